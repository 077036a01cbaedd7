"""Hands works to the pipeline that downloads their images; it asks for no page itself."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from scrapy import Spider

from scrapers.files import Download
from scrapers.items import Work


class ImagesSpider(Spider):
    """Yields a :class:`Download` for each of ``works``."""

    name = "images"
    custom_settings = {  # noqa: RUF012 - Scrapy's own declaration
        "ITEM_PIPELINES": {"scrapers.files.ImagePipeline": 1}
    }

    def __init__(self, works: Sequence[Work] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.works = works

    async def start(self) -> AsyncIterator[Download]:
        """Yield the downloads, and end with the last of them: else Scrapy takes up to 5 s to notice."""
        for work in self.works:
            yield Download(work)
        engine = self.crawler.engine
        while engine and engine.scraper.slot and not engine.scraper.slot.is_idle():
            await asyncio.sleep(0.02)
