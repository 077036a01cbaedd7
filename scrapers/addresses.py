"""Where a crawl never goes: to this machine, to its neighbours, or anywhere but to public addresses."""

import errno
import logging
import socket
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit
from urllib.request import getproxies

from aiohttp import ThreadedResolver
from aiohttp.abc import ResolveResult
from scrapy import Request
from scrapy.core.downloader.handlers._aiohttp import AiohttpDownloadHandler
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.utils.httpobj import urlparse_cached

NOT_PUBLIC = "which is not a public address"

log = logging.getLogger(__name__)


class PrivateAddressError(IgnoreRequest):
    """The address belongs to no public host."""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet's: not private, loopback, link-local, multicast or reserved."""
    parsed = ip_address(address.partition("%")[0])
    return parsed.is_global and not parsed.is_multicast


class PublicResolver(ThreadedResolver):
    """Resolves a name, whenever a connection needs it, to public addresses or not at all.

    Connections are made to the very addresses that were checked, so a name that changes its mind (DNS rebinding), or
    one that a redirect leads to, is refused as well. The way to a proxy of the user's own is free.
    """

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()
        self.proxies = {urlsplit(proxy).hostname for proxy in getproxies().values()}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises :class:`OSError` for a name that has an address which is not public."""
        results = await super().resolve(host, port, family)
        private = [result["host"] for result in results if not is_public(result["host"])]
        if private and host not in self.proxies:
            if host not in self.refused:
                log.warning("%s leads to %s, %s: refused", host, private[0], NOT_PUBLIC)
            self.refused.add(host)
            raise OSError(errno.EHOSTUNREACH, f"{host} leads to {private[0]}, {NOT_PUBLIC}")
        return results


class PublicAddresses:
    """Downloader middleware: refuses a host that is given as an address, unless it is public."""

    def process_request(self, request: Request) -> None:
        """Raises :class:`PrivateAddressError`."""
        host = urlparse_cached(request).hostname or ""
        with suppress(ValueError):  # of a name, which the resolver looks at
            if not host or not is_public(host):
                raise PrivateAddressError(f"{host} is not a public host")


class PublicHandler(AiohttpDownloadHandler):
    """Downloads by aiohttp, which takes half the time of Scrapy's default, and from public addresses alone.

    Leads requests for the hosts of ``DETOURS`` (``*`` is every host) to a server of this machine, as to a proxy.

    Their addresses stay what they are, so robots.txt and the rates of a host are kept by that host's name.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self.resolver = PublicResolver()
        self._session.connector._resolver = self.resolver  # type: ignore[union-attr]
        self.detours = crawler.settings.getdict("DETOURS")

    async def download_request(self, request: Request) -> Response:
        """Download by the detour, if there is one."""
        url = urlparse_cached(request)
        detour = self.detours.get(url.hostname) or self.detours.get("*")
        if not detour:
            return await super().download_request(request)
        if url.scheme == "http":
            request.meta["proxy"] = detour
            return await super().download_request(request)
        plain = request.replace(url=url._replace(scheme="http").geturl(), meta={**request.meta, "proxy": detour})
        response = await super().download_request(plain)
        return response.replace(url=request.url)
