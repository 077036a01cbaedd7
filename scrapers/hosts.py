"""How every host is treated: robots.txt is obeyed, rest is given, and who does not want us is left alone."""

import logging
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

TROUBLES = 5
"""So many failures in a row are taken for trouble of the host, not of what was asked for."""
SHORTEST_DELAY_S = 0.001
"""Without any delay, Scrapy 2.19 does not look when a host was last asked."""

log = logging.getLogger(__name__)


class HostLeftAloneError(IgnoreRequest):
    """The host has been left alone for the rest of the run."""


class NoRobotsTxtError(IgnoreRequest):
    """There is no telling what a host's robots.txt forbids."""


class ObeyRobotsTxt(RobotsTxtMiddleware):
    """Scrapy's own, with what RFC 9309 asks for beyond it, and Crawl-delay.

    Scrapy 2.19 hands the parser to the first of the requests that wait for it side by side, and None, which forbids
    nothing, to the others. It takes a robots.txt that cannot be had for one that forbids nothing, too.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._errors: dict[str, Exception] = {}
        crawler.signals.connect(self.slow_down, signals.robots_parsed)

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
        if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR or response.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise NoRobotsTxtError(f"status {response.status}")
        await super()._parse_robots(response, netloc, request)

    def slow_down(self, robotparser: RobotParser, request: Request) -> None:
        """Keep the host's Crawl-delay where it is longer than ours."""
        delay_s = robotparser.crawl_delay(self._default_useragent)
        downloader = self.crawler.engine.downloader
        key = downloader.get_slot_key(request)
        if not delay_s or key not in downloader.slots or delay_s <= downloader.slots[key].delay:
            return
        log.info("%s wants %g s between requests", key, delay_s)
        downloader.slots[key].delay = delay_s
        # Scrapy forgets a host that was not asked for a minute.
        downloader.per_slot_settings.setdefault(key, {})["delay"] = delay_s


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
    """

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.backoff_s = crawler.settings.getfloat("BACKOFF_S")
        self.patience_s = crawler.settings.getfloat("PATIENCE_S")
        self.max_refusals = crawler.settings.getint("MAX_REFUSALS")
        self.conditions: defaultdict[str, Condition] = defaultdict(Condition)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make the middleware."""
        return cls(crawler)

    def process_request(self, request: Request) -> None:
        """Raises :class:`HostLeftAloneError`."""
        host = self._host(request)
        if self.conditions[host].left_alone:
            raise HostLeftAloneError(f"{host} has been left alone")

    def process_response(self, request: Request, response: Response) -> Response:
        """Draw the conclusions from an answer."""
        host = self._host(request)
        condition = self.conditions[host]
        asked_s = retry_after(response)
        if response.status == HTTPStatus.FORBIDDEN:
            condition.refusals += 1
            if condition.refusals >= self.max_refusals:
                self._leave_alone(host, f"it answered 403 {condition.refusals} times in a row")
        elif response.status == HTTPStatus.TOO_MANY_REQUESTS or (response.status >= 500 and asked_s is not None):
            request.meta["max_retry_times"] = 1_000_000  # patience_s is the limit
            self._rest(host, asked_s)
        elif response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._note_trouble(host)
        else:
            self.conditions[host] = Condition(left_alone=condition.left_alone)
        return response

    def process_exception(self, request: Request, exception: Exception) -> None:
        """Draw the conclusions from a failure."""
        if not isinstance(exception, IgnoreRequest | DownloadCancelledError | ResponseDataLossError):
            self._note_trouble(self._host(request))

    def _note_trouble(self, host: str) -> None:
        condition = self.conditions[host]
        condition.troubles += 1
        if condition.troubles >= TROUBLES and monotonic() >= condition.resting_until_s:
            self._rest(host, None)

    def _rest(self, host: str, asked_s: float | None) -> None:
        """Let ``host`` rest; answers to what was already under way prolong a rest, and do not add to it."""
        condition, now_s = self.conditions[host], monotonic()
        rest_s = self.backoff_s + condition.rested_s if asked_s is None else asked_s
        under_way_s = max(condition.resting_until_s - now_s, 0.0)
        if condition.left_alone or (asked_s is None and under_way_s) or rest_s <= under_way_s:
            return
        condition.rested_s += rest_s - under_way_s
        if condition.rested_s > self.patience_s:
            self._leave_alone(host, f"it wants {condition.rested_s:.0f} s of rest without an answer between")
            return
        condition.resting_until_s = now_s + rest_s
        log.warning("%s gets %.0f s of rest%s", host, rest_s, "" if asked_s is None else ", as it asked for")
        slot = self.crawler.engine.downloader.slots.get(host)
        if slot:
            slot.delay = max(slot.delay, SHORTEST_DELAY_S)
            slot.lastseen = condition.resting_until_s

    def _leave_alone(self, host: str, why: str) -> None:
        condition = self.conditions[host]
        if not condition.left_alone:
            log.warning("%s is left alone for the rest of this run: %s", host, why)
        condition.left_alone = True
        if slot := self.crawler.engine.downloader.slots.get(host):
            slot.lastseen = monotonic()  # those who wait for it shall wait no longer

    def _host(self, request: Request) -> str:
        return str(self.crawler.engine.downloader.get_slot_key(request))


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
            agent, colon, rest = part.strip().rpartition(":")
            if colon and "unavailable_after" not in agent and "max-" not in agent:
                addressed_to = agent.strip()
            directive = rest.strip() if colon else part.strip()
            named = addressed_to == "*" or addressed_to in user_agent.lower()
            if named and directive in {"noai", "noimageai", "noindex", "noimageindex", "none"}:
                return directive
    return None
