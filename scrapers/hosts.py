"""How every host is treated: robots.txt is obeyed, rest is given, and who does not want us is left alone."""

import logging
import re
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from time import monotonic
from typing import Self

from scrapy import Request, signals
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.robotstxt import RobotsTxtMiddleware
from scrapy.exceptions import DownloadCancelledError, IgnoreRequest, ResponseDataLossError
from scrapy.http import Response
from scrapy.robotstxt import RobotParser
from scrapy.utils.httpobj import urlparse_cached
from twisted.python.failure import Failure

TROUBLES = 5
"""So many failures in a row are taken for trouble of the host, not of what was asked for."""
UNTIL_PATIENCE_ENDS = 1_000_000
SHORTEST_REST_S = 0.5
"""A shorter one that a host asks for is taken for none at all."""
DIRECTIVES_WITH_VALUES = {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
SHORTEST_DELAY_S = 0.001
"""Without any delay, Scrapy 2.19 does not look when a host was last asked."""

log = logging.getLogger(__name__)


class HostLeftAloneError(IgnoreRequest):
    """The host has been left alone for the rest of the run."""


class NoRobotsTxtError(IgnoreRequest):
    """There is no telling what a host's robots.txt forbids."""


class ObeyRobotsTxt(RobotsTxtMiddleware):
    """Scrapy's own, with what RFC 9309 asks for beyond it, and with the hosts of ``ROBOTS_TXT_EXEMPT``.

    Scrapy 2.19 hands the parser to the first of the requests that wait for it side by side, and None, which forbids
    nothing, to the others. It takes a robots.txt that cannot be had for one that forbids nothing, too.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._errors: dict[str, Exception] = {}
        self._exempt = set(crawler.settings.getlist("ROBOTS_TXT_EXEMPT"))

    def process_request_2(self, rp: RobotParser | None, request: Request) -> None:
        """Let requests for an exempt host pass: its robots.txt was read for the Crawl-delay alone."""
        if urlparse_cached(request).hostname not in self._exempt:
            super().process_request_2(rp, request)

    async def robot_parser(self, request: Request) -> RobotParser | None:
        """Wait for the parser, then ask for it once more: by now it is there for all.

        Raises what went wrong with the robots.txt; the next request asks for it again.
        """
        await super().robot_parser(request)
        parser = await super().robot_parser(request)
        if parser is None:
            netloc = urlparse_cached(request).netloc
            self._parsers.pop(netloc, None)
            raise self._errors[netloc]
        return parser

    def _robots_error(self, exc: Exception, netloc: str) -> None:
        self._errors[netloc] = exc
        super()._robots_error(exc, netloc)

    async def _parse_robots(self, response: Response, netloc: str, request: Request) -> None:
        if asks_for_rest(response) or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise NoRobotsTxtError(f"status {response.status}")
        await super()._parse_robots(response, netloc, request)


@dataclass
class Condition:
    """How it has gone with a host since its last good answer."""

    refusals: int = 0
    troubles: int = 0
    rested_s: float = 0.0
    resting_until_s: float = 0.0
    """On the clock of :func:`time.monotonic`."""
    left_alone: bool = False


class HostManners:
    """Downloader middleware: lets a host rest that says so or fails, and leaves alone one that does not want us.

    A host rests as long as its Retry-After says; without one, or after :data:`TROUBLES` failures in a row, for
    ``BACKOFF_S``, then twice as long, and so on. It is left alone once the rests would come to more than ``PATIENCE_S``
    without a good answer between them, or after ``MAX_REFUSALS`` answers of status 403 in a row.

    A request is repeated as often as its host asks for rest. One with the meta key ``patient``, which nothing can stand
    in for, is repeated after every failure, and its host rests at the first.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.backoff_s = crawler.settings.getfloat("BACKOFF_S")
        self.patience_s = crawler.settings.getfloat("PATIENCE_S")
        self.max_refusals = crawler.settings.getint("MAX_REFUSALS")
        self.conditions: defaultdict[str, Condition] = defaultdict(Condition)
        crawler.signals.connect(self.keep_crawl_delay, signals.robots_parsed)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make the middleware."""
        return cls(crawler)

    def process_request(self, request: Request) -> None:
        """Raises :class:`HostLeftAloneError`."""
        host = _host(request)
        if self.conditions[host].left_alone:
            raise HostLeftAloneError(f"{host} has been left alone")

    def process_response(self, request: Request, response: Response) -> Response:
        """Draw the conclusions from an answer."""
        host = _host(request)
        condition = self.conditions[host]
        overrun = asks_for_rest(response)
        patient = overrun or request.meta.get("patient", False)
        request.meta["max_retry_times"] = UNTIL_PATIENCE_ENDS if patient else None
        if overrun:
            self._rest(host, retry_after(response))
        elif response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._note_trouble(host, at_once=patient)
        elif response.status == HTTPStatus.FORBIDDEN:
            condition.refusals += 1
            if condition.refusals >= self.max_refusals:
                self._leave_alone(host, f"it answered 403 {condition.refusals} times in a row")
        elif monotonic() >= condition.resting_until_s:  # what was under way when a rest began does not end it
            self.conditions[host] = Condition(left_alone=condition.left_alone)
        return response

    def process_exception(self, request: Request, exception: Exception) -> None:
        """Draw the conclusions from a failure."""
        patient = request.meta.get("patient", False)
        request.meta["max_retry_times"] = UNTIL_PATIENCE_ENDS if patient else None
        if not isinstance(exception, IgnoreRequest | DownloadCancelledError | ResponseDataLossError):
            self._note_trouble(_host(request), at_once=patient)

    def keep_crawl_delay(self, robotparser: RobotParser, request: Request) -> None:
        """Keep the host's Crawl-delay where it is longer than ours."""
        host, downloader = _host(request), self.crawler.engine.downloader
        delay_s = robotparser.crawl_delay(self.crawler.settings["USER_AGENT"]) or 0.0
        if delay_s > self.patience_s:
            self._leave_alone(host, f"it wants {delay_s:g} s between requests")
        elif host in downloader.slots and delay_s > downloader.slots[host].delay:
            log.info("%s wants %g s between requests", host, delay_s)
            downloader.slots[host].delay = delay_s
            # Scrapy forgets a host that was not asked for a minute.
            downloader.per_slot_settings.setdefault(host, {})["delay"] = delay_s

    def _note_trouble(self, host: str, *, at_once: bool) -> None:
        condition = self.conditions[host]
        condition.troubles += 1
        if (at_once or condition.troubles >= TROUBLES) and monotonic() >= condition.resting_until_s:
            self._rest(host, None)

    def _rest(self, host: str, asked_s: float | None) -> None:
        """Let ``host`` rest; answers to what was already under way prolong a rest, and do not add to it."""
        condition, now_s = self.conditions[host], monotonic()
        asked = asked_s is not None and asked_s >= SHORTEST_REST_S
        rest_s = asked_s if asked_s is not None and asked else self.backoff_s + condition.rested_s
        under_way_s = max(condition.resting_until_s - now_s, 0.0)
        if condition.left_alone or (under_way_s and not asked) or rest_s <= under_way_s:
            return
        condition.rested_s += rest_s - under_way_s
        if condition.rested_s > self.patience_s:
            self._leave_alone(host, f"it wants {condition.rested_s:.0f} s of rest without a good answer between")
            return
        condition.resting_until_s = now_s + rest_s
        log.warning("%s gets %.0f s of rest%s", host, rest_s, ", as it asked for" if asked else "")
        if slot := self.crawler.engine.downloader.slots.get(host):
            slot.delay = max(slot.delay, SHORTEST_DELAY_S)
            slot.lastseen = max(slot.lastseen, condition.resting_until_s)

    def _leave_alone(self, host: str, why: str) -> None:
        if self.conditions[host].left_alone:
            return
        log.warning("%s is left alone for the rest of this run: %s", host, why)
        self.conditions[host].left_alone = True
        slot = self.crawler.engine.downloader.slots.get(host)
        while slot and slot.queue:
            _, waiting = slot.queue.popleft()
            waiting.errback(Failure(HostLeftAloneError(f"{host} has been left alone")))  # type: ignore[no-untyped-call]


def _host(request: Request) -> str:
    return urlparse_cached(request).hostname or ""


def asks_for_rest(response: Response) -> bool:
    """Whether a host says that it is asked too much, and not merely that something is wrong."""
    overrun = response.status == HTTPStatus.TOO_MANY_REQUESTS
    return overrun or (response.status >= HTTPStatus.INTERNAL_SERVER_ERROR and retry_after(response) is not None)


def retry_after(response: Response) -> float | None:
    """Seconds of the header Retry-After, which holds a number or a date; None without one that can be read."""
    value = (response.headers.get("Retry-After") or b"").decode("latin-1").strip()
    if value.isascii() and value.isdecimal():
        return float(value[:9])
    with suppress(ValueError, OverflowError):
        date = parsedate_to_datetime(value)
        return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    return None


def forbids_use(response: Response, user_agent: str) -> str | None:
    """The directive of X-Robots-Tag that keeps us from an image, if there is one.

    Those against indexing and against the training of models count, as in img2dataset, unless they name another agent.
    """
    for line in response.headers.getlist("X-Robots-Tag"):
        addressed_to = "*"
        for part in line.decode("latin-1").lower().split(","):
            before, colon, after = (text.strip() for text in part.partition(":"))
            if colon and before not in DIRECTIVES_WITH_VALUES and re.fullmatch(r"[\w.-]+", before):
                addressed_to = before
            directive = after if colon else before
            named = addressed_to == "*" or addressed_to in user_agent.lower()
            if named and directive in {"noai", "noimageai", "noindex", "noimageindex", "none"}:
                return directive
    return None
