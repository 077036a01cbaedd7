"""What the spiders of all sources share: asking, walking each class, and a doubtful eye on what comes back."""

import json
from abc import abstractmethod
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit

from scrapy import Request, Spider
from w3lib.url import canonicalize_url

from scrapers.answers import Answers
from scrapers.items import LABELS, Label, Work
from scrapers.quotas import Quota

FRUITLESS = 5000
"""So many records in a row that give no work end a walk: a source might repeat itself for ever."""
FRUITLESS_QUESTIONS = 1000
"""Likewise of questions: their answers might have no record at all."""
LARGEST_ANSWER_BYTES = 32 * 2**20
"""What ``max_image_mb`` limits are images."""


class AnswerError(Exception):
    """A source did not answer, or not in the way that it used to."""


class GoneError(AnswerError):
    """What was asked for is not there any more."""


BADLY_SHAPED = (ValueError, KeyError, IndexError, TypeError, AttributeError, ArithmeticError)
"""What reading a badly shaped record or answer leads to."""


class MuseumSpider(Spider):
    """Walks a source's works, one class after the other, and yields each as a :class:`Work` until its share is full.

    Its statistics, for each label: ``LABEL/dropped`` counts records that are not as they should be, ``LABEL/passed``
    those that are not for us (not free, without an image); ``LABEL/exhausted`` tells that the source has no more, and
    ``LABEL/failed`` that an answer ended the walk which could not be had or read. ``excluded/SOURCE/ID`` tells of a
    work that was left out.
    """

    labels: ClassVar[tuple[Label, ...]] = LABELS
    """The classes that the source has."""
    image_hosts: ClassVar[frozenset[str]]
    """Where its images are; a work with an image elsewhere is dropped."""

    scheme: ClassVar[str] = "https"
    """Of the images' addresses."""

    def __init__(
        self,
        quotas: Mapping[Label, Quota],
        licences: Collection[str],
        exclude: Collection[str] = (),
        answers: Answers | None = None,
        **kwargs: Any,
    ) -> None:
        """``exclude`` names works that are left out, as ``source/id``; ``answers`` keeps what is asked."""
        super().__init__(**kwargs)
        self.quotas = quotas
        self.licences = licences
        self.exclude = exclude
        self.answers = answers
        self.seen: set[object] = set()
        self.fruitless_questions = 0
        self.last_question = ""
        self.error: OSError | None = None
        """Why answers cannot be kept, which ends the spider."""

    @abstractmethod
    def records(self, label: Label) -> AsyncIterator[Any]:
        """Yield what the source has of a class, record by record as it comes, always in the same order."""

    @abstractmethod
    def work(self, record: Any, label: Label) -> Work | None:
        """The work that a record describes; None for one that is not for us.

        Raises one of :data:`BADLY_SHAPED` for a record that is not as it should be.
        """

    async def start(self) -> AsyncIterator[Work]:
        """Walk each class until its share is full or the source ends; end early, with an ``error``, on a full disk."""
        for label in self.labels:
            quota = self.quotas[label]
            try:
                async for work in self._works(label):
                    if not await quota.admit(self.name):
                        break
                    yield work
                else:
                    self._count(f"{label}/exhausted")
            except OSError as error:
                self.error = error
                self.logger.error("%s: what it answers cannot be kept: %s", self.name, error)
                for awaited in self.quotas.values():
                    await awaited.end(self.name)
                return
            except (AnswerError, *BADLY_SHAPED) as error:
                self._count(f"{label}/failed")
                self.logger.warning("%s: the walk of class %s ended early: %r", self.name, label, error)
            finally:
                await quota.end(self.name)

    async def get(
        self,
        url: str,
        query: Mapping[str, object] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **meta: Any,
    ) -> bytes:
        """The body of an answer of status 200, or 206 where ``headers`` ask for a range. Raises :class:`AnswerError`.

        A source that sends all it has instead of the range needs a limit: ``download_maxsize``. Unless it is told not
        to be ``patient``, a question that fails is asked again for as long as the host's troubles are borne with.
        """
        defaults = {"patient": True, "download_maxsize": LARGEST_ANSWER_BYTES, "dont_redirect": True}
        request = Request(_address(url, query), headers=dict(headers or {}), meta=defaults | meta)
        try:
            response = await self.crawler.engine.download_async(request)
        except Exception as error:  # whatever networks, protocols and middlewares can raise
            raise AnswerError(f"{request.url}: {str(error) or type(error).__name__}") from error
        in_part = "Range" in request.headers and response.status == HTTPStatus.PARTIAL_CONTENT
        if response.status != HTTPStatus.OK and not in_part:
            gone = response.status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
            raise (GoneError if gone else AnswerError)(f"{request.url}: status {response.status}")
        return response.body

    @asynccontextmanager
    async def keeping(
        self,
        url: str,
        query: Mapping[str, object] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **meta: Any,
    ) -> AsyncIterator[bytes]:
        """The body of an answer, which is kept for the time of the snapshot unless reading it raises."""
        self.fruitless_questions += 1
        if self.fruitless_questions > FRUITLESS_QUESTIONS:
            raise AnswerError(f"{FRUITLESS_QUESTIONS} questions in a row gave no work")
        name = self.last_question = "#".join([_address(url, query), *(headers or {}).values()])
        kept = self.answers.get(name) if self.answers else None
        body = kept or await self.get(url, query, headers=headers, **meta)
        yield body
        if self.answers and not kept:
            self.answers.put(name, body)

    async def get_json(
        self,
        url: str,
        query: Mapping[str, object] | None = None,
        *,
        key: str,
        or_key: str | None = None,
        **meta: Any,
    ) -> Any:
        """An answer that is a JSON object with ``key``, or else ``or_key``; it is kept for the time of the snapshot.

        Raises :class:`AnswerError`.
        """
        async with self.keeping(url, query, **meta) as body:
            try:
                answer = json.loads(body)
            except (ValueError, RecursionError) as error:
                raise AnswerError(f"{_address(url, query)}: not JSON: {error}") from error
            if not isinstance(answer, dict) or (key not in answer and or_key not in answer):
                raise AnswerError(f"{_address(url, query)}: not a JSON object with {key!r}")
            return answer

    async def _works(self, label: Label) -> AsyncIterator[Work]:
        fruitless = self.fruitless_questions = 0
        try:
            async for record in self.records(label):
                if work := self._checked(record, label):
                    fruitless = self.fruitless_questions = 0
                    yield work
                    continue
                fruitless += 1
                if fruitless >= FRUITLESS:
                    raise AnswerError(f"{FRUITLESS} records in a row gave no work")
        except BADLY_SHAPED:
            if self.answers:
                self.answers.forget(self.last_question)
            raise

    def _checked(self, record: Any, label: Label) -> Work | None:
        try:
            work = self.work(record, label)
            if work:
                self._check(work)
        except BADLY_SHAPED as error:
            self._count(f"{label}/dropped")
            self.logger.debug("a record is dropped: %r", error)
            return None
        if not work or work.licence not in self.licences:
            self._count(f"{label}/passed")
            return None
        if f"{work.source}/{work.id}" in self.exclude:
            self._count(f"excluded/{work.source}/{work.id}")
            return None
        return work

    def _check(self, work: Work) -> None:
        address = urlsplit(work.image_url)
        if address.scheme != self.scheme or address.netloc not in self.image_hosts:
            raise ValueError(f"{work.id} has its image elsewhere")
        marks = {work.key, canonicalize_url(work.image_url)}
        if marks & self.seen:
            raise ValueError(f"{work.id} is there twice")
        self.seen |= marks

    def _count(self, name: str) -> None:
        self.crawler.stats.inc_value(name)


def _address(url: str, query: Mapping[str, object] | None) -> str:
    return f"{url}?{urlencode(query)}" if query else url
