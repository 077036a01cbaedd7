"""Walks the sample museum's paged interface: ``scrapy crawl sample -s SAMPLE_MUSEUM=http://127.0.0.1:PORT``."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

from scrapy import Request, Spider
from scrapy.http import Response
from twisted.python.failure import Failure
from w3lib.url import canonicalize_url

from scrapers.items import Label, Work
from scrapers.sample import HOST

TYPES: dict[Label, str] = {"painting": "Painting", "photo": "Photograph"}
PAGE_SIZE = 50


class SampleSpider(Spider):
    """Yields the first ``per_class`` works of each label, in the museum's order.

    A record that is not as it should be is dropped and counted in ``works/dropped``; a page that cannot be had or read
    ends the walk of its label and is counted in ``pages/failed``.
    """

    name = "sample"

    def __init__(self, per_class: int = PAGE_SIZE, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.per_class = int(per_class)
        self.seen: set[object] = set()

    async def start(self) -> AsyncIterator[Request]:
        """Ask for the first page of each label."""
        for label in TYPES:
            yield self._page(label, skip=0, found=0)

    def parse(self, response: Response, label: Label, skip: int, found: int) -> Iterator[Work | Request]:
        """Yield a page's works, and the request for the next page."""
        try:
            answer = json.loads(response.body)
            records, total = answer["data"], answer["info"]["total"]
            if not isinstance(records, list) or not isinstance(total, int):
                raise TypeError("data is a list and total a number")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            self._count("pages/failed", f"{response.url}: not a page of works: {error!r}")
            return
        before = found
        for record in records:
            try:
                work = self._work(record, label)
            except (ValueError, KeyError, IndexError, TypeError) as error:
                self._count("works/dropped", f"{response.url}: a record is dropped: {error!r}")
                continue
            yield work
            found += 1
            if found == self.per_class:
                return
        # A page of nothing new ends the walk: the museum might repeat it for ever.
        if found > before and skip + len(records) < total:
            yield self._page(label, skip + len(records), found)

    def fail(self, failure: Failure) -> None:
        """Count a page that was not had, after retries."""
        self._count("pages/failed", f"a page was not had: {failure.value!r}")

    def _page(self, label: Label, skip: int, found: int) -> Request:
        query = urlencode({"type": TYPES[label], "skip": skip, "limit": PAGE_SIZE})
        url = f"http://{HOST}/api/artworks/?{query}"
        arguments = {"label": label, "skip": skip, "found": found}
        return Request(url, callback=self.parse, errback=self.fail, cb_kwargs=arguments)

    def _work(self, record: Any, label: Label) -> Work:
        image = record["images"]["web"]
        work = Work(
            source=self.name,
            id=record["id"],
            label=label,
            group=record["after"],
            title=record["title"],
            creator=record["creators"][0]["description"],
            licence=record["share_license"]["name"],
            licence_url=record["share_license"]["url"],
            page_url=record["url"],
            image_url=image["url"],
            width_px=image["width"],
            height_px=image["height"],
        )
        if record["type"] != TYPES[label]:
            raise ValueError(f"{work.id} is no {TYPES[label]}")
        if urlsplit(work.image_url).netloc != HOST:
            raise ValueError(f"{work.id} has its image elsewhere")
        marks = {work.key, canonicalize_url(work.image_url)}
        if marks & self.seen:
            raise ValueError(f"{work.id} is there twice")
        self.seen |= marks
        return work

    def _count(self, name: str, message: str) -> None:
        self.logger.debug(message)
        self.crawler.stats.inc_value(name)
