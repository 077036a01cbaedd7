"""The way from the museum's host name to where it happens to listen."""

from typing import Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from scrapy.utils.httpobj import urlparse_cached

from scrapers.sample import HOST


class MuseumProxy:
    """Downloader middleware: sends requests for the museum's host to ``SAMPLE_MUSEUM``, as to a proxy.

    Their addresses stay what they are, so robots.txt and the rates of a host are kept by that host's name.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Raises :class:`NotConfigured` where no museum is open."""
        address = crawler.settings.get("SAMPLE_MUSEUM")
        if not address:
            raise NotConfigured
        return cls(address)

    def process_request(self, request: Request) -> None:
        """Choose the proxy."""
        if urlparse_cached(request).hostname == HOST:
            request.meta["proxy"] = self.address
