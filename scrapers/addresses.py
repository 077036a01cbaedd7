"""Where a crawl never goes: to this machine, to its neighbours, or anywhere but to public addresses."""

import errno
import logging
import socket
from collections.abc import Collection
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import Self
from urllib.parse import urlsplit
from urllib.request import getproxies

from aiohttp import TCPConnector, ThreadedResolver
from aiohttp.abc import ResolveResult
from scrapy import Request
from scrapy.core.downloader.handlers._aiohttp import AiohttpDownloadHandler
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.utils.httpobj import urlparse_cached

TRANSLATED = [ip_network(name) for name in ("64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16")]
"""NAT64, Teredo and 6to4."""
NOT_PUBLIC = "which is not a public address"

log = logging.getLogger(__name__)


class PrivateAddressError(IgnoreRequest):
    """The address belongs to no public host."""


class ElsewhereError(IgnoreRequest):
    """A redirect leads away from the places that a spider knows."""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet's: not private, loopback, link-local, multicast or reserved.

    Nor is one of IPv6 that may stand for any of IPv4.
    """
    parsed = ip_address(address.partition("%")[0])
    return parsed.is_global and not parsed.is_multicast and not any(parsed in network for network in TRANSLATED)


class PublicResolver(ThreadedResolver):
    """Resolves a name, whenever a connection needs it, to public addresses or not at all.

    Connections are made to the very addresses that were checked, so a name that changes its mind (DNS rebinding), or
    one that a redirect leads to, is refused as well. The way to a proxy of the user's own is free.
    """

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()
        proxies = [urlsplit(proxy) for proxy in getproxies().values()]
        self.proxies = {(proxy.hostname, proxy.port or 80) for proxy in proxies}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises :class:`OSError` for a name that has an address which is not public."""
        results = await super().resolve(host, port, family)
        private = [result["host"] for result in results if not is_public(result["host"])]
        if private and (host, port) not in self.proxies:
            if host not in self.refused:
                log.warning("%s leads to %s, %s: refused", host, private[0], NOT_PUBLIC)
            self.refused.add(host)
            raise OSError(errno.EHOSTUNREACH, f"{host} leads to {private[0]}, {NOT_PUBLIC}")
        return results


class PublicAddresses:
    """Downloader middleware: refuses a host that is given as an address, unless it is public, and redirects elsewhere.

    A redirect may lead to the ``origins`` of the spider, such as ``https://a.example``; that of a robots.txt anywhere.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make the middleware."""
        return cls(crawler)

    def process_request(self, request: Request) -> None:
        """Raises :class:`PrivateAddressError` or :class:`ElsewhereError`."""
        url = urlparse_cached(request)
        host = url.hostname or ""
        with suppress(ValueError):  # of a name, which the resolver looks at
            if not host or not is_public(host):
                raise PrivateAddressError(f"{host} is not a public host")
        is_image = not request.meta.get("dont_obey_robotstxt")
        if is_image and request.meta.get("redirect_times") and f"{url.scheme}://{url.netloc}" not in self._origins():
            raise ElsewhereError(f"redirected to {request.url}")
        request.meta["download_slot"] = host  # Scrapy keeps that of the host which redirected

    def _origins(self) -> Collection[str]:
        return getattr(self.crawler.spider, "origins", ())


class PublicHandler(AiohttpDownloadHandler):
    """Downloads by aiohttp, which takes half the time of Scrapy's default, and from public addresses alone.

    Leads requests for the hosts of ``DETOURS`` (``*`` is every host) to a server of this machine, as to a proxy.

    Their addresses stay what they are, so robots.txt and the rates of a host are kept by that host's name.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self.resolver = PublicResolver()
        connector = self._session.connector
        assert isinstance(connector, TCPConnector)  # noqa: S101
        connector._resolver = self.resolver
        connector._limit_per_host = 0  # the slots of Scrapy's downloader say how many requests there are at a time
        self.detours = crawler.settings.getdict("DETOURS")

    async def download_request(self, request: Request) -> Response:
        """Download by the detour, if there is one."""
        url = urlparse_cached(request)
        detour = self.detours.get(url.hostname) or self.detours.get("*")
        if not detour:
            return await super().download_request(request)
        if url.scheme == "http":
            return await self._download_by(detour, request)
        plain = request.replace(url=url._replace(scheme="http").geturl())
        response = await self._download_by(detour, plain)
        return response.replace(url=request.url)

    async def _download_by(self, detour: str, request: Request) -> Response:
        """Only for this one time: what a redirect makes of the request must not take the detour with it."""
        before = request.meta.get("proxy")
        request.meta["proxy"] = detour
        try:
            return await super().download_request(request)
        finally:
            request.meta["proxy"] = before
