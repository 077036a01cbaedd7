"""Runs spiders as ``params.crawl`` says: the one place where the pipeline meets Scrapy."""

import asyncio
import logging
import signal
from argparse import ArgumentParser
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

from scrapy import Spider, signals
from scrapy.crawler import AsyncCrawlerProcess, Crawler
from scrapy.settings import Settings

from pipeline.console import UserError
from pipeline.params import Crawl, names_contact
from scrapers.sample import HOST, MuseumError, museum

Spiders = Sequence[tuple[type[Spider], Mapping[str, object]]]
"""Classes, and the arguments of each."""


def add_stand_in(parser: ArgumentParser) -> None:
    """Add the option to ask another server than the sources'; in the project itself it raises :class:`UserError`."""
    parser.add_argument(
        "--stand-in",
        metavar="URL",
        type=_outside_the_project,
        help="rehearse in a folder of its own: ask this server, as a proxy, for whatever any source has",
    )


def _outside_the_project(stand_in: str) -> str:
    if Path(".dvc").is_dir():
        raise UserError(
            "--stand-in would replace what was crawled here; "
            "make an empty folder, copy params.yaml there, and run this in it"
        )
    return stand_in


def crawl(
    spiders: Spiders,
    params: Crawl,
    *,
    sources: Collection[str],
    stand_in: str | None,
    on_item: Callable[..., None] | None = None,
) -> list[dict[str, Any]]:
    """Run ``spiders`` side by side; can be called once in a process.

    ``on_item(item)`` is called with every item. The sample museum is open for the time of the crawl if it is among the
    ``sources`` that are asked, unless the address of a ``stand_in`` is given, which then answers for every host.
    Returns each spider's statistics. Raises :class:`UserError` where a live source would not learn whom to turn to, and
    where a spider ended before its time: Scrapy itself takes that for a success.
    """
    if set(sources) - {"sample"} and not stand_in and not names_contact(params.user_agent):
        raise UserError("crawl.user_agent names nobody to turn to; live museums want your mail or web address in it")
    own_museum = "sample" in sources and not stand_in
    try:
        with museum() if own_museum else nullcontext(stand_in) as address:
            detours = {HOST if own_museum else "*": address} if address else {}
            process = _process(_settings(params, detours))
            crawlers = [process.create_crawler(spider) for spider, _ in spiders]
            for crawler, (_, arguments) in zip(crawlers, spiders, strict=True):
                if on_item:
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


def _settings(params: Crawl, detours: Mapping[str, str]) -> Settings:
    settings = Settings()
    settings.setmodule("scrapers.settings")
    settings.setdict(
        {
            "USER_AGENT": params.user_agent,
            # The Art Institute asks for a header of its own.
            "DEFAULT_REQUEST_HEADERS": {"Accept": "*/*", "AIC-User-Agent": params.user_agent},
            "DETOURS": detours,
            "DOWNLOAD_TIMEOUT": params.timeout_s,
            "DOWNLOAD_MAXSIZE": round(params.max_image_mb * 1_000_000),
            "DOWNLOAD_WARNSIZE": 0,
            "DOWNLOAD_DELAY": params.hosts["default"].delay_s,
            "CONCURRENT_REQUESTS": sum(host.concurrency for host in params.hosts.values()),
            "CONCURRENT_REQUESTS_PER_DOMAIN": params.hosts["default"].concurrency,
            "ROBOTS_TXT_EXEMPT": [name for name, host in params.hosts.items() if not host.robots_txt],
            "DOWNLOAD_SLOTS": {
                name: {"delay": host.delay_s, "concurrency": host.concurrency} for name, host in params.hosts.items()
            },
            "RETRY_TIMES": params.retries,
            "BACKOFF_S": params.backoff_s,
            "PATIENCE_S": params.patience_s,
            "MAX_REFUSALS": params.max_refusals,
        },
        priority="cmdline",
    )
    return settings


def _statistics(crawler: Crawler) -> dict[str, Any]:
    error = getattr(crawler.spider, "error", None)
    if isinstance(error, OSError):
        raise error
    statistics = crawler.stats.get_stats()
    reason = statistics.get("finish_reason")
    if reason != "finished" or statistics.get("spider_exceptions/count"):
        raise UserError(f"the spider {crawler.spidercls.name} broke off ({reason}); run the stage again")
    return statistics
