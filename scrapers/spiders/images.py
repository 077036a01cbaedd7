"""Downloads the images of works: every host in a queue of its own, and no more of them in memory than are under way."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from scrapy import Request, Spider, exceptions
from scrapy.http import Response

from scrapers.addresses import NOT_PUBLIC, ElsewhereError, PrivateAddressError
from scrapers.files import Store
from scrapers.hosts import HostLeftAloneError, NoRobotsTxtError, asks_for_rest, forbids_use
from scrapers.items import Work
from scrapers.storing import storing

REASONS: dict[type[Exception], str] = {
    PrivateAddressError: "private-address",
    ElsewhereError: "redirect-elsewhere",
    HostLeftAloneError: "host-left-alone",
    NoRobotsTxtError: "robots-txt-unavailable",
    exceptions.UnsupportedURLSchemeError: "bad-address",
    exceptions.CannotResolveHostError: "host-unknown",
    exceptions.DownloadCancelledError: "too-large",
    exceptions.DownloadConnectionRefusedError: "connection-refused",
    exceptions.DownloadTimeoutError: "timeout",
    exceptions.DownloadFailedError: "connection-lost",
    exceptions.ResponseDataLossError: "truncated",
}
"""Why a download failed, beside ``http-STATUS``, ``empty-content``, ``html``, ``x-robots-tag`` and those below."""
IGNORED = {"Forbidden by robots": "robots-txt", "max redirections": "redirect-loop"}
"""What Scrapy's middlewares say when they drop a request; they raise the same exception for everything."""
TRANSIENT = {"host-unknown", "connection-refused", "timeout", "connection-lost", "truncated"}

Attempt = tuple[Work, int, str]
"""What is to be downloaded, how often it failed, and the reason of the last time."""


class ImagesSpider(Spider):
    """Stores the image of each of ``works`` and reports what became of it, with a reason if it failed.

    What failed for a reason that may pass is asked for again, up to ``retries`` times, after the host's other images.
    Attempts for which the host asked for rest are not counted. Redirects are followed to the ``origins`` of ``works``
    alone, which are schemes and hosts.
    """

    name = "images"
    custom_settings = {"RETRY_ENABLED": False}  # noqa: RUF012 as Scrapy declares it

    def __init__(
        self, works: Sequence[Work], store: Store, report: Callable[[Work, str], None], retries: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.store = store
        self.report = report
        self.retries = retries
        self.error: BaseException | None = None
        self.queues: dict[str, deque[Attempt]] = {}
        turns: Counter[tuple[str, str]] = Counter()

        def turn(work: Work) -> int:
            turns[work.source, work.label] += 1
            return turns[work.source, work.label]

        # The classes of a source take turns: a host that is left alone halfway leaves both the poorer.
        for work in sorted(works, key=turn):
            host = urlsplit(work.image_url).hostname or ""
            self.queues.setdefault(host, deque()).append((work, 0, ""))
        self.origins = {"://".join(urlsplit(work.image_url)[:2]) for work in works}

    async def start(self) -> AsyncIterator[Request]:
        """Work through all queues at once; end early, and leave an ``error``, where nothing can be stored."""
        slots = self.crawler.settings.getdict("DOWNLOAD_SLOTS")
        try:
            async with storing(self.store) as self.add, asyncio.TaskGroup() as group:
                for host, queue in self.queues.items():
                    for _ in range(slots.get(host, slots["default"])["concurrency"]):
                        group.create_task(self._work_through(queue))
        except* OSError as errors:
            self.error = errors.exceptions[0]
        if self.error:
            self.logger.error("nothing can be stored: %s", self.error)
        return
        yield

    async def _work_through(self, queue: deque[Attempt]) -> None:
        while queue:
            work, failures, last_reason = queue.popleft()
            reason, is_to_wait = await self._download(work)
            if is_to_wait:  # the host rests meanwhile, and is left alone some day
                queue.append((work, failures, reason))
            elif failures < self.retries and (reason in TRANSIENT or reason.startswith("http-5")):
                queue.append((work, failures + 1, reason))
            else:
                left_alone = reason == REASONS[HostLeftAloneError]
                self.report(work, last_reason if left_alone and last_reason else reason)

    async def _download(self, work: Work) -> tuple[str, bool]:
        """Store the image of ``work``, or return the reason why not, and whether the host only wants rest."""
        try:
            response = await self.crawler.engine.download_async(Request(work.image_url))
        except Exception as error:  # whatever networks, protocols and middlewares can raise
            return _reason(error), isinstance(error, NoRobotsTxtError)
        if reason := self._refusal(response):
            return reason, asks_for_rest(response)
        await self.add(work.path, response.body)
        return "", False

    def _refusal(self, response: Response) -> str:
        """Why an answer is no image for us, as far as status, headers and first byte show."""
        if response.status != HTTPStatus.OK:
            return f"http-{response.status}"
        if forbids_use(response, self.crawler.settings["USER_AGENT"]):
            return "x-robots-tag"
        if not response.body:
            return "empty-content"
        return "html" if response.body[:100].lstrip()[:1] == b"<" else ""


def _reason(error: Exception) -> str:
    said = str(error)
    if NOT_PUBLIC in said:
        return REASONS[PrivateAddressError]
    if "[SSL" in said:
        return "tls"
    ignored = (name for words, name in IGNORED.items() if said.startswith(words))
    known = (name for kind, name in REASONS.items() if isinstance(error, kind))
    return next(ignored, None) or next(known, "unreadable")
