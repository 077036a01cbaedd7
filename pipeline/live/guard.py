"""Which requests the page's server answers: those of its own page, whatever other pages make a browser ask."""

import ipaddress
import socket
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware


def guard(host: str) -> Middleware:
    """Refuses what browsers send for other pages, and names that may have been made to lead here (DNS rebinding)."""
    own = socket.gethostname().lower()
    names = {"localhost", host.lower(), own, f"{own}.local"}

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        name = _name(request.host)
        if name not in names and not _is_number(name):
            raise web.HTTPForbidden(text="this server does not answer to that name")
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2] != request.host:
            raise web.HTTPForbidden(text="this server does not speak to other pages")
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise web.HTTPForbidden(text="this server does not speak to other pages")
        return await handler(request)

    return answer


def _name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_number(name: str) -> bool:
    """An address in numbers is no name that somebody could lead elsewhere."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
