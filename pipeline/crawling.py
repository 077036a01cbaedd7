"""Runs spiders as ``params.crawl`` says: the one place where the pipeline meets Scrapy."""

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NoReturn

from scrapy import Spider, signals
from scrapy.crawler import AsyncCrawlerProcess, Crawler
from scrapy.settings import Settings

from pipeline.console import UserError
from pipeline.params import Crawl
from scrapers.sample import MuseumError, museum

SHORTEST_DELAY_S = 0.001
"""Without any delay, Scrapy 2.19 starts all the requests of a burst before it counts one of them as running."""


def crawl(
    spiders: Sequence[tuple[type[Spider], Mapping[str, object]]],
    params: Crawl,
    on_item: Callable[..., None],
    *,
    settings: Mapping[str, object],
    museum_address: str | None,
) -> list[dict[str, Any]]:
    """Run ``spiders``, a class and its arguments each, side by side; can be called once in a process.

    ``on_item(item)`` is called with every item; ``settings`` are added to those of ``scrapers.settings``. The sample
    museum is opened for the time of the crawl unless ``museum_address`` names an open one. Returns each spider's
    statistics. Raises :class:`UserError` where a spider ended before its time: Scrapy itself takes that for a success.
    """
    try:
        with nullcontext(museum_address) if museum_address or "sample" not in params.sources else museum() as address:
            process = _process(_settings(params, address, settings))
            crawlers = [process.create_crawler(spider) for spider, _ in spiders]
            for crawler, (_, arguments) in zip(crawlers, spiders, strict=True):
                crawler.signals.connect(on_item, signals.item_scraped)
                process.crawl(crawler, **arguments)
            # Interrupted, Scrapy would first download all that waits; what is stored is safe without that.
            asyncio.get_event_loop().add_signal_handler(signal.SIGINT, _interrupt)
            process.start(install_signal_handlers=False)
    except MuseumError as error:
        raise UserError(str(error)) from None
    return [_statistics(crawler) for crawler in crawlers]


def _process(settings: Settings) -> AsyncCrawlerProcess:
    """Make Scrapy's process, with its log cut down to what the stages do not report themselves."""
    logging.disable(logging.INFO)
    process = AsyncCrawlerProcess(settings)
    logging.disable(logging.NOTSET)
    # A failed download is counted, by reason; Scrapy would show a traceback for each.
    logging.getLogger("scrapy").setLevel(logging.CRITICAL)
    logging.getLogger("scrapy.core").setLevel(logging.ERROR)
    return process


def _interrupt() -> NoReturn:
    """Leave the event loop. Python's own handler could raise within Twisted, which takes that for a failed download."""
    from twisted.internet import reactor  # imported earlier, it would be another reactor than Scrapy's

    reactor.getThreadPool().stop()  # the exit of Python would wait for its threads
    raise KeyboardInterrupt


def _settings(params: Crawl, museum_address: str | None, extra: Mapping[str, object]) -> Settings:
    settings = Settings()
    settings.setmodule("scrapers.settings")
    default = params.hosts["default"]
    hosts = {name: host for name, host in params.hosts.items() if name != "default"}
    settings.setdict(
        {
            "USER_AGENT": params.user_agent,
            "DOWNLOAD_TIMEOUT": params.timeout_s,
            "DOWNLOAD_MAXSIZE": round(params.max_image_mb * 1_000_000),
            "DOWNLOAD_WARNSIZE": 0,
            "DOWNLOAD_DELAY": max(default.delay_s, SHORTEST_DELAY_S),
            "CONCURRENT_REQUESTS_PER_DOMAIN": default.concurrency,
            "CONCURRENT_REQUESTS": sum(host.concurrency for host in params.hosts.values()),
            "DOWNLOAD_SLOTS": {
                name: {"delay": max(host.delay_s, SHORTEST_DELAY_S), "concurrency": host.concurrency}
                for name, host in hosts.items()
            },
            "SAMPLE_MUSEUM": museum_address,
            **extra,
        },
        priority="cmdline",
    )
    return settings


def _statistics(crawler: Crawler) -> dict[str, Any]:
    statistics = crawler.stats.get_stats()
    reason = statistics.get("finish_reason")
    if reason != "finished" or statistics.get("spider_exceptions/count"):
        raise UserError(f"the spider {crawler.spidercls.name} broke off ({reason}); run the stage again")
    return statistics
