"""What all spiders share: shares that fill, sources that fail, and answers that nobody should trust."""

import asyncio
import errno
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapers.answers import Answers
from scrapers.items import LABELS, Label, Work
from scrapers.quotas import Quota
from scrapers.spiders import museum
from scrapers.spiders.museum import BADLY_SHAPED, LARGEST_ANSWER_BYTES, AnswerError, GoneError, MuseumSpider
from tests.scrapers.spiders.answering import JSON, answer_from, make_spider, report

API = "https://api.example.org/works"
IMAGES = "https://images.example.org"
LETTERS: dict[Label, str] = {"painting": "abcdefgh", "photo": "ijklmnop"}


class PagesSpider(MuseumSpider):
    """Reads pages, each of which says where the next is."""

    name = "pages"
    image_hosts = frozenset({"images.example.org"})

    async def records(self, label: Label) -> AsyncIterator[Any]:
        """Yield the records of page after page."""
        page = 1
        while page:
            answer = await self.get_json(API, {"label": label, "page": page}, key="data", patience=7)
            for record in answer["data"]:
                yield record
            page = answer["next"]

    def work(self, record: Any, label: Label) -> Work | None:
        """A record has all but what never changes."""
        if record == "not for us":
            return None
        fixed: dict[str, Any] = {
            **{"source": self.name, "label": label, "group": "a", "title": "A", "creator": "B", "year": None},
            **{"licence": "CC0-1.0", "licence_url": "https://example.org/cc0", "page_url": API},
            **{"image_url": f"{IMAGES}/{record['id']}.jpg", "width_px": None, "height_px": None},
        }
        return Work(**{**fixed, **record})


def test_walk_ends_when_the_share_is_full_and_asks_no_further() -> None:
    answers = {_page(1): {"data": _records("abc"), "next": 2}, _page(2): {"data": _records("def"), "next": 3}}
    walked = asyncio.run(report(PagesSpider, "photo", answers, wanted=4))
    assert [work.id for work in walked.works] == list("abcd")
    assert [request.url for request in walked.asked] == [_page(1), _page(2)]
    assert "photo/exhausted" not in walked.counts


def test_source_that_has_no_more_is_exhausted() -> None:
    walked = asyncio.run(report(PagesSpider, "photo", {_page(1): {"data": _records("ab"), "next": None}}))
    assert (len(walked.works), walked.counts["photo/exhausted"]) == (2, 1)


def test_classes_are_walked_one_after_the_other_and_fail_alone() -> None:
    spider = make_spider(PagesSpider)
    answer_from(spider, {_page(1, "painting"): 500, _page(1): {"data": _records("a"), "next": None}})
    assert [(work.label, work.id) for work in asyncio.run(_start(spider))] == [("photo", "a")]
    counts = spider.crawler.stats.get_stats()
    assert (counts["painting/failed"], counts["photo/exhausted"]) == (1, 1)


def test_what_a_failing_source_cannot_give_is_given_by_another() -> None:
    quotas: dict[Label, Quota] = {"photo": Quota(6, ["pages", "others"], {})}
    one, other = make_spider(PagesSpider), make_spider(PagesSpider)
    other.name = "others"
    answer_from(one, {_page(1): {"data": _records("a"), "next": 2}, _page(2): b"<html>"})
    answer_from(other, {_page(1): {"data": _records("ghijklmn"), "next": None}})
    for spider in (one, other):
        spider.quotas, spider.labels = quotas, ("photo",)  # type: ignore[misc]

    async def both() -> list[int]:
        return [len(works) for works in await asyncio.gather(_start(one), _start(other))]

    assert asyncio.run(both()) == [1, 5]


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_gone_is_told_from_other_failures(status: int) -> None:
    with pytest.raises(GoneError, match=f"{API}: status {status}"):
        asyncio.run(_get(status))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        *((status, f"status {status}") for status in (201, 204, 301, 403, 429, 500, 503)),
        *((TimeoutError(), "TimeoutError"), (OSError(), "OSError"), (ValueError("odd"), "odd")),
    ],
)
def test_any_other_failure_names_address_and_reason(answer: object, reason: str) -> None:
    with pytest.raises(AnswerError, match=f"{API}: {reason}") as caught:
        asyncio.run(_get(answer))
    assert not isinstance(caught.value, GoneError)


def test_query_is_escaped_and_meta_travels_with_the_request() -> None:
    spider = make_spider(PagesSpider)
    asked = answer_from(spider, {f"{API}?q=a%20%26%20b%3D%C3%A9": b"body"})
    assert asyncio.run(spider.get(API, {"q": "a & b=é"}, download_maxsize=9)) == b"body"
    assert asked[0].meta["download_maxsize"] == 9


def test_questions_are_patient_and_have_a_limit_of_their_own_unless_they_say_otherwise() -> None:
    spider = make_spider(PagesSpider)
    asked = answer_from(spider, {API: b"body"})
    asyncio.run(spider.get(API))
    asyncio.run(spider.get(API, patient=False, download_maxsize=9))
    assert [(request.meta["patient"], request.meta["download_maxsize"]) for request in asked] == [
        (True, LARGEST_ANSWER_BYTES),
        (False, 9),
    ]


@pytest.mark.parametrize("headers", [{"Range": "bytes=0-9"}, {"Accept": "*/*"}, None])
def test_part_is_welcome_where_one_was_asked_for(headers: dict[str, str] | None) -> None:
    spider = make_spider(PagesSpider)
    asked = answer_from(spider, {API: 206})
    if headers and "Range" in headers:
        assert asyncio.run(spider.get(API, headers=headers)) == b""
    else:
        with pytest.raises(AnswerError, match="status 206"):
            asyncio.run(spider.get(API, headers=headers))
    for name, value in (headers or {}).items():
        assert asked[0].headers[name] == value.encode()


def test_parts_of_one_address_are_kept_apart_and_not_where_reading_fails(tmp_path: Path) -> None:
    async def read(spider: MuseumSpider, span: str, error: Exception | None = None) -> bytes:
        async with spider.keeping(API, headers={"Range": span}) as body:
            if error:
                raise error
            return body

    with Answers(tmp_path / "answers.sqlite") as kept:
        spider = make_spider(PagesSpider, kept=kept)
        answer_from(spider, {API: b"one"})
        with pytest.raises(KeyError):
            asyncio.run(read(spider, "bytes=0-2", KeyError("badly shaped")))
        assert asyncio.run(read(spider, "bytes=0-2")) == b"one"
        answer_from(spider, {API: b"two"})
        assert [asyncio.run(read(spider, span)) for span in ("bytes=0-2", "bytes=3-5")] == [b"one", b"two"]


def test_either_key_will_do() -> None:
    spider = make_spider(PagesSpider)
    answer_from(spider, {API: {"done": True}})
    assert asyncio.run(spider.get_json(API, key="data", or_key="done")) == {"done": True}
    with pytest.raises(AnswerError, match="'data'"):
        asyncio.run(spider.get_json(API, key="data"))


BROKEN = [
    *(b"", b"<html>", b"[" * 100_000, b"\xff\xfe", b"null", b"[]", b"{}", b"1" * 5000, b'"data"', b'["data"]'),
    *(b'{"data": 1', b'{"info": {}}', b'{"a":' * 50_000),
]


@pytest.mark.parametrize("body", BROKEN)
def test_answer_that_is_not_what_was_asked_for_ends_the_walk_and_is_not_kept(body: bytes, tmp_path: Path) -> None:
    with Answers(tmp_path / "answers.sqlite") as kept:
        walked = asyncio.run(report(PagesSpider, "photo", {_page(1): body}, kept=kept))
        assert (walked.works, walked.counts["photo/failed"]) == ([], 1)
        assert kept.get(_page(1)) is None


def test_kept_answers_are_not_asked_for_again(tmp_path: Path) -> None:
    answers: dict[str, object] = {_page(1): {"data": _records("ab"), "next": 2}, _page(2): 500}
    with Answers(tmp_path / "answers.sqlite") as kept:
        first = asyncio.run(report(PagesSpider, "photo", answers, kept=kept))
        answers[_page(2)] = {"data": _records("c"), "next": 0}
        second = asyncio.run(report(PagesSpider, "photo", answers, kept=kept))
    assert [request.meta["patience"] for request in first.asked] == [7, 7]
    assert [request.url for request in second.asked] == [_page(2)]
    assert [work.id for work in second.works] == ["a", "b", "c"]


@pytest.mark.parametrize("bad", [{"data": []}, {"data": 3, "next": 0}, {"data": [], "next": "x" * 9 + "\ud800"}])
def test_answer_that_ends_the_walk_by_its_shape_is_asked_for_again(bad: object, tmp_path: Path) -> None:
    answers: dict[str, object] = {_page(1): {"data": _records("a"), "next": 2}, _page(2): bad}
    with Answers(tmp_path / "answers.sqlite") as kept:
        assert asyncio.run(report(PagesSpider, "photo", answers, kept=kept)).counts["photo/failed"] == 1
        answers[_page(2)] = {"data": _records("b"), "next": 0}
        second = asyncio.run(report(PagesSpider, "photo", answers, kept=kept))
    assert [request.url for request in second.asked] == [_page(2)]
    assert [work.id for work in second.works] == ["a", "b"]


def test_spider_that_cannot_keep_answers_ends_with_the_error_and_nobody_waits_for_it(tmp_path: Path) -> None:
    quotas: dict[Label, Quota] = {label: Quota(6, ["pages", "others"], {}) for label in LABELS}
    with Answers(tmp_path / "answers.sqlite") as kept:
        full, other = make_spider(PagesSpider, kept=kept), make_spider(PagesSpider)
        other.name = "others"
        kept._database.execute("PRAGMA max_page_count = 1")
        padding = random.Random(1).randbytes(9000).hex()
        pages = {_page(1, label): {"data": _records(names), "next": padding} for label, names in LETTERS.items()}
        asked = answer_from(full, pages)
        answer_from(other, pages)
        for spider in (full, other):
            spider.quotas = quotas

        async def both() -> list[int]:
            return [len(works) for works in await asyncio.wait_for(asyncio.gather(_start(full), _start(other)), 5)]

        assert asyncio.run(both()) == [0, 12]
    assert full.error
    assert full.error.errno == errno.ENOSPC
    assert len(asked) == 1


def test_works_not_for_us_are_passed_over() -> None:
    records = [
        "not for us",
        {"id": "b", "licence": "CC-BY-NC-4.0"},
        {"id": "c"},
        {"id": "d", "licence": "cc0"},
        {"id": "e"},
    ]
    walked = asyncio.run(
        report(PagesSpider, "photo", _one_page(records), licences=["CC0-1.0"], exclude=["pages/c", "others/e"])
    )
    assert [work.id for work in walked.works] == ["e"]
    assert walked.counts["photo/passed"] == 3
    assert walked.counts["excluded/pages/c"] == 1
    assert "photo/dropped" not in walked.counts


@pytest.mark.parametrize(
    "address",
    [
        *(
            "http://169.254.169.254/a.jpg",
            "https://127.0.0.1/a.jpg",
            "file:///etc/passwd",
            "https://evil.example/a.jpg",
        ),
        *(
            f"{IMAGES}@evil.example/a.jpg",
            f"{IMAGES}.evil.example/a.jpg",
            f"{IMAGES}:22/a.jpg",
            "//images.example.org/a.jpg",
        ),
        *(
            "https://user@images.example.org/a.jpg",
            "https://[images.example.org/a.jpg",
            "https://example.org/a.jpg",
            "",
        ),
        *("https://evil.example\\@images.example.org/a.jpg", "https://images.example.org\n.evil.example/a.jpg"),
    ],
)
def test_image_elsewhere_is_dropped(address: str) -> None:
    walked = asyncio.run(report(PagesSpider, "photo", _one_page([{"id": "a", "image_url": address}, {"id": "b"}])))
    assert [work.id for work in walked.works] == ["b"]
    assert walked.counts["photo/dropped"] == 1


def test_second_work_of_a_name_or_an_image_is_dropped() -> None:
    records = [
        {"id": "a", "image_url": f"{IMAGES}/x?w=1&h=2"},
        {"id": "a", "image_url": f"{IMAGES}/y"},
        {"id": "b", "image_url": f"{IMAGES}/x?h=2&w=1#again"},
        {"id": "c"},
    ]
    walked = asyncio.run(report(PagesSpider, "photo", _one_page(records)))
    assert [work.id for work in walked.works] == ["a", "c"]
    assert walked.counts["photo/dropped"] == 2


def test_image_that_is_both_classes_is_given_once() -> None:
    spider = make_spider(PagesSpider)
    answer_from(spider, {_page(1, label): {"data": _records("a"), "next": 0} for label in ("painting", "photo")})
    assert [work.label for work in asyncio.run(_start(spider))] == ["painting"]


def test_source_that_repeats_itself_for_ever_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(museum, "FRUITLESS", 20)
    walked = asyncio.run(report(PagesSpider, "photo", lambda _: {"data": _records("abc"), "next": 2}))
    assert len(walked.works) == 3
    assert len(walked.asked) == 8
    assert walked.counts["photo/failed"] == 1


def test_source_that_answers_for_ever_without_a_work_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(museum, "FRUITLESS_QUESTIONS", 20)
    walked = asyncio.run(report(PagesSpider, "photo", lambda _: {"data": [], "next": 2}))
    assert (len(walked.asked), walked.counts["photo/failed"]) == (20, 1)


def test_kept_answers_without_a_work_end_the_walk_as_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(museum, "FRUITLESS_QUESTIONS", 20)
    with Answers(tmp_path / "answers.sqlite") as kept:
        for _ in range(2):
            walked = asyncio.run(report(PagesSpider, "photo", lambda _: {"data": [], "next": 2}, kept=kept))
            assert walked.counts["photo/failed"] == 1
    assert walked.asked == []


def test_work_in_every_few_answers_keeps_a_walk_going(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(museum, "FRUITLESS_QUESTIONS", 3)
    pages = {_page(number): {"data": [], "next": number + 1} for number in range(1, 10)}
    pages |= {_page(number): {"data": _records(str(number)), "next": number + 1} for number in (3, 6, 9)}
    pages[_page(10)] = {"data": [], "next": 0}
    walked = asyncio.run(report(PagesSpider, "photo", pages))
    assert (len(walked.works), walked.counts["photo/exhausted"]) == (3, 1)


def test_fruit_now_and_then_keeps_a_walk_going(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(museum, "FRUITLESS", 3)
    records = ["not for us", "not for us", {"id": "a"}] * 2
    records[-1] = {"id": "b"}
    walked = asyncio.run(report(PagesSpider, "photo", _one_page([*records, "not for us"])))
    assert (len(walked.works), walked.counts["photo/exhausted"]) == (2, 1)


@pytest.mark.parametrize("kind", BADLY_SHAPED)
def test_badly_shaped_record_is_dropped_and_a_badly_shaped_page_ends_the_walk(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise kind("badly shaped")

    with monkeypatch.context() as patch:
        patch.setattr(PagesSpider, "work", fail)
        walked = asyncio.run(report(PagesSpider, "photo", _one_page([{"id": "a"}])))
        assert (walked.counts["photo/dropped"], walked.counts["photo/exhausted"]) == (1, 1)

    async def failing(_: MuseumSpider, label: Label) -> AsyncIterator[Any]:
        yield {"id": "a"}
        raise kind("badly shaped")

    monkeypatch.setattr(PagesSpider, "records", failing)
    walked = asyncio.run(report(PagesSpider, "photo", {}))
    assert (len(walked.works), walked.counts["photo/failed"]) == (1, 1)


@given(
    records=st.lists(JSON | st.fixed_dictionaries({"id": JSON}, optional={"title": JSON, "image_url": JSON})),
    following=JSON,
)
def test_no_page_breaks_a_spider(records: list[Any], following: object) -> None:
    pages = [{"data": records, "next": following}, {"data": [], "next": 0}]
    walked = asyncio.run(report(PagesSpider, "photo", lambda _: pages.pop(0) if pages else 404))
    assert walked.counts.get("photo/failed", 0) + walked.counts.get("photo/exhausted", 0) == 1
    assert len({work.key for work in walked.works}) == len(walked.works)


async def _start(spider: MuseumSpider) -> list[Work]:
    return [work async for work in spider.start()]


async def _get(answer: object) -> bytes:
    spider = make_spider(PagesSpider)
    answer_from(spider, {API: answer})
    return await spider.get(API)


def _page(number: int, label: Label = "photo") -> str:
    return f"{API}?label={label}&page={number}"


def _one_page(records: list[Any]) -> dict[str, object]:
    return {_page(1): {"data": records, "next": None}}


def _records(names: str) -> list[dict[str, str]]:
    return [{"id": name} for name in names]
