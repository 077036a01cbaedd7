"""Stands for the network where spiders are tested: answers by address, and a note of all that is asked."""

import copy
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import strategies as st
from scrapy import Request
from scrapy.http import Response
from scrapy.utils.test import get_crawler
from w3lib.url import canonicalize_url

from scrapers.answers import Answers
from scrapers.items import LABELS, Label, Work
from scrapers.licences import URLS
from scrapers.quotas import Quota
from scrapers.spiders.museum import BADLY_SHAPED, MuseumSpider

SHAPES = Path(__file__).parent.parent / "shapes"
"""Answers as the sources give them, written by hand after their documentation."""


@dataclass(frozen=True)
class Walk:
    """What a walk gave."""

    works: list[Work]
    counts: dict[str, Any]
    """The spider's statistics."""
    asked: list[Request]


async def walk(
    spider_class: type[MuseumSpider],
    label: Label,
    answers: Mapping[str, object] | Callable[[str], object],
    **options: Any,
) -> list[Work]:
    """The works of a class, from a spider with ``options`` of :func:`make_spider`."""
    return (await report(spider_class, label, answers, **options)).works


async def report(
    spider_class: type[MuseumSpider],
    label: Label,
    answers: Mapping[str, object] | Callable[[str], object],
    **options: Any,
) -> Walk:
    """A walk of one class, and what came with it."""
    spider = make_spider(spider_class, **options)
    spider.labels = (label,)  # type: ignore[misc]
    asked = answer_from(spider, answers)
    works = [work async for work in spider.start()]
    return Walk(works, spider.crawler.stats.get_stats(), asked)


def answer_from(spider: MuseumSpider, answers: Mapping[str, object] | Callable[[str], object]) -> list[Request]:
    """Let ``answers`` stand for the network, and note in the list that comes back what the spider asks.

    They have, or make, an answer for every address, however its query is ordered or escaped: a body, a status, an
    exception, or what is sent as JSON. A question that they have no answer for fails the test.
    """
    asked: list[Request] = []
    by_address = {} if callable(answers) else {canonicalize_url(url): answer for url, answer in answers.items()}

    async def download(request: Request) -> Response:
        asked.append(request)
        address = canonicalize_url(request.url)
        if not callable(answers) and address not in by_address:
            pytest.fail(f"nobody expected to be asked for {request.url}")
        answer = answers(address) if callable(answers) else by_address[address]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            return Response(request.url, status=answer)
        return Response(request.url, body=answer if isinstance(answer, bytes) else json.dumps(answer).encode())

    spider.crawler.engine = SimpleNamespace(download_async=download)  # type: ignore[assignment]
    return asked


def make_spider(
    spider_class: type[MuseumSpider],
    *,
    wanted: int = 1000,
    licences: Collection[str] = tuple(URLS),
    exclude: Collection[str] = (),
    kept: Answers | None = None,
) -> MuseumSpider:
    """A spider that has its quotas for itself."""
    quotas = {label: Quota(wanted, [spider_class.name], {}) for label in LABELS}
    crawler = get_crawler(spider_class)
    return spider_class.from_crawler(crawler, quotas=quotas, licences=licences, exclude=exclude, answers=kept)


def read_shape(name: str) -> Any:
    """An answer of JSON."""
    return json.loads((SHAPES / name).read_bytes())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def disturbed(record: Any) -> st.SearchStrategy[Any]:
    """The record with anything at all in one to three of its places, however deep."""
    changes = st.lists(st.tuples(st.sampled_from(_places(record)), JSON), min_size=1, max_size=3)
    return changes.map(lambda changes: _changed(record, changes))


def assert_harmless(spider: MuseumSpider, record: Any, label: Label) -> None:
    """Whatever the record is, reading it gives a work that can be stored, none, or an error that is counted."""
    try:
        work = spider.work(record, label)
    except BADLY_SHAPED:
        return
    if work:
        assert work.path.startswith(f"{spider.name}/{label}/")
        json.dumps(asdict(work), ensure_ascii=False).encode()


def _places(record: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = list(record) if isinstance(record, dict) else range(len(record)) if isinstance(record, list) else []
    return [place, *(deeper for key in keys for deeper in _places(record[key], (*place, key)))]


def _changed(record: Any, changes: list[tuple[tuple[Any, ...], Any]]) -> Any:
    whole = {"": copy.deepcopy(record)}
    for place, value in changes:
        *path, last = ("", *place)
        holder: Any = whole
        try:
            for key in path:
                holder = holder[key]
            holder[last] = value
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took the place away
    return whole[""]
