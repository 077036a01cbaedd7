"""The Met: numbers by the page, objects one by one, of which some are gone, not free, or without an image."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapers.answers import Answers
from scrapers.items import Label, Work
from scrapers.spiders import museum
from scrapers.spiders.met import COLLECTION, LARGEST_SEARCH, MOST_MISSES, PAGE_SIZE, MetSpider
from scrapers.spiders.museum import AnswerError
from tests.scrapers.spiders.answering import assert_harmless, disturbed, make_spider, read_shape, report, walk

OBJECTS: dict[int, Any] = {record["objectID"]: record for record in read_shape("met-objects.json")}
PAINTINGS = [number for number, record in OBJECTS.items() if record["classification"] != "Photographs"]
CC0 = {"licence": "CC0-1.0", "licence_url": "https://creativecommons.org/publicdomain/zero/1.0/"}
SPIDER = make_spider(MetSpider)


def test_free_paintings_with_an_image_are_read_by_their_numbers() -> None:
    walked = asyncio.run(report(MetSpider, "painting", {_search("painting"): _found(PAINTINGS), **_objects(PAINTINGS)}))
    lady, wheat, boy = walked.works
    assert wheat == Work(
        source="met",
        id="436535",
        label="painting",
        group="436535",
        title="Wheat Field with Cypresses",
        creator="Vincent van Gogh",
        year=1889,
        **CC0,
        page_url="https://www.metmuseum.org/art/collection/search/436535",
        image_url="https://images.metmuseum.org/CRDImages/ep/web-large/DT436535.jpg",
        width_px=None,
        height_px=None,
    )
    assert lady == Work(
        source="met",
        id="11234",
        label="painting",
        group="11234",
        title="Portrait of a Lady",
        creator="unknown",
        year=None,
        **CC0,
        page_url="https://www.metmuseum.org/art/collection/search/11234",
        image_url="https://images.metmuseum.org/CRDImages/ad/web-large/a%20lady.jpg",
        width_px=None,
        height_px=None,
    )
    assert (boy.id, boy.year) == ("547860", -100)
    assert walked.counts["painting/passed"] == 3
    assert "painting/dropped" not in walked.counts


def test_photograph_is_read() -> None:
    answers = {_search("photo"): _found([283099]), **_objects([283099])}
    (work,) = asyncio.run(walk(MetSpider, "photo", answers))
    assert (work.path, work.creator) == ("met/photo/283099.jpg", "Julia Margaret Cameron")


@pytest.mark.parametrize("numbers", [None, []])
def test_search_without_results_ends_the_walk(numbers: object) -> None:
    walked = asyncio.run(report(MetSpider, "painting", {_search("painting"): {"total": 0, "objectIDs": numbers}}))
    assert (walked.works, walked.counts["painting/exhausted"]) == ([], 1)


def test_search_is_read_page_by_page_and_repeats_no_object() -> None:
    total = PAGE_SIZE + 2
    answers = {
        _search("painting", 0): {"total": total, "objectIDs": [436535, 11234] * (PAGE_SIZE // 2)},
        _search("painting", PAGE_SIZE): {"total": total, "objectIDs": [547860, 11234]},
        **_objects([436535, 11234, 547860]),
    }
    walked = asyncio.run(report(MetSpider, "painting", answers))
    assert [work.id for work in walked.works] == ["11234", "436535", "547860"]
    assert len(walked.asked) == 5


def test_search_is_never_asked_for_more_than_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(address: str) -> object:
        query = parse_qs(urlsplit(address).query)
        if "offset" not in query:
            return 404
        offset, limit = int(query["offset"][0]), int(query["limit"][0])
        assert offset + limit <= LARGEST_SEARCH
        return {"total": 40_000, "objectIDs": list(range(offset, offset + limit))}

    monkeypatch.setattr(museum, "FRUITLESS_QUESTIONS", 10**9)
    walked = asyncio.run(report(MetSpider, "photo", answer))
    assert len(walked.asked) == LARGEST_SEARCH // PAGE_SIZE + LARGEST_SEARCH
    assert walked.counts["photo/exhausted"] == 1


def test_page_of_the_search_gives_no_more_than_was_asked_for() -> None:
    numbers = list(range(1, 3 * PAGE_SIZE))
    answers = {_search("photo"): {"total": 1, "objectIDs": numbers}, **{_object(number): 404 for number in numbers}}
    assert len(asyncio.run(report(MetSpider, "photo", answers)).asked) == 1 + PAGE_SIZE


def test_objects_that_are_all_gone_end_the_walk() -> None:
    def answer(address: str) -> object:
        offset = int(parse_qs(urlsplit(address).query).get("offset", ["0"])[0])
        return {"total": 10**6, "objectIDs": list(range(offset, offset + 500))} if "search" in address else 404

    walked = asyncio.run(report(MetSpider, "photo", answer))
    assert len(walked.asked) == museum.FRUITLESS_QUESTIONS
    assert walked.counts["photo/failed"] == 1


def test_search_is_asked_with_patience_and_a_single_object_is_not() -> None:
    walked = asyncio.run(report(MetSpider, "photo", {_search("photo"): _found([283099]), **_objects([283099])}))
    assert [request.meta["patient"] for request in walked.asked] == [True, False]


def test_search_that_names_no_numbers_is_asked_again(tmp_path: Path) -> None:
    answers: dict[str, object] = {_search("photo"): {"total": 1, "objectIDs": ["x"]}, **_objects([283099])}
    with Answers(tmp_path / "answers.sqlite") as kept:
        assert asyncio.run(report(MetSpider, "photo", answers, kept=kept)).counts["photo/failed"] == 1
        answers[_search("photo")] = _found([283099])
        assert len(asyncio.run(walk(MetSpider, "photo", answers, kept=kept))) == 1


def test_missing_object_and_a_few_failing_ones_are_left_out() -> None:
    numbers = [1, 2, 11234, 3, 436535]
    answers = {_search("painting"): _found(numbers), **_objects([11234, 436535])}
    failing = {_object(1): 404, _object(2): b"<html>", _object(3): TimeoutError()}
    assert [work.id for work in asyncio.run(walk(MetSpider, "painting", {**answers, **failing}))] == ["11234", "436535"]


def test_walk_ends_where_the_host_gives_nothing_any_more() -> None:
    numbers = list(range(100))
    walked = asyncio.run(
        report(MetSpider, "painting", lambda address: _found(numbers) if "search" in address else AnswerError("403"))
    )
    assert len(walked.asked) == 1 + MOST_MISSES
    assert walked.counts["painting/failed"] == 1


def test_failures_between_answers_end_nothing() -> None:
    numbers = list(range(5 * MOST_MISSES))
    found = _found(numbers)

    def answer(address: str) -> object:
        number = address.rpartition("/")[2]
        return found if "search" in address else 403 if int(number) % MOST_MISSES else OBJECTS[436535]

    walked = asyncio.run(report(MetSpider, "painting", answer))
    assert len(walked.asked) == 1 + len(numbers)
    assert walked.counts["painting/exhausted"] == 1


@pytest.mark.parametrize(
    "page",
    [
        *({"total": 1, "objectIDs": numbers} for numbers in (3, "1", ["1"], [None], [[1]], [1.5], {"1": 2}, [1, "2"])),
        *({"total": total, "objectIDs": [1]} for total in (None, "1", [1])),
        *({}, {"objectIDs": []}, {"total": 1}),
    ],
)
def test_search_that_is_none_ends_the_walk(page: object) -> None:
    walked = asyncio.run(report(MetSpider, "painting", {_search("painting"): page, _object(1): 404}))
    assert walked.counts["painting/failed"] == 1


DOUBTFUL: list[tuple[str, Any]] = [
    *(("objectID", value) for value in ("436535", None, 1.5)),
    *(("title", value) for value in (["x"], 3)),
    ("artistDisplayName", ["x"]),
    *(("objectBeginDate", value) for value in ("1889", 1889.5, 10**9)),
    *(("classification", value) for value in (["Paintings"], 7)),
    *(("objectURL", value) for value in ("", None, "javascript:alert(1)")),
    *(("primaryImageSmall", value) for value in (["x"], 7, "DT1.jpg", "https://evil.example/x.jpg", "http://[x")),
    ("primaryImageSmall", "https://images.metmuseum.org:8443/x.jpg"),
    ("primaryImageSmall", "https://images.metmuseum.org@evil.example/x.jpg"),
]


@pytest.mark.parametrize(("key", "value"), DOUBTFUL)
def test_doubtful_object_is_dropped_and_counted(key: str, value: object) -> None:
    answers = {_search("painting"): _found([436535]), _object(436535): {**OBJECTS[436535], key: value}}
    walked = asyncio.run(report(MetSpider, "painting", answers))
    assert walked.works == []
    assert walked.counts["painting/dropped"] == 1


@pytest.mark.parametrize("value", [False, None, 1, "true", ["x"]])
def test_only_true_is_public_domain(value: object) -> None:
    assert SPIDER.work({**OBJECTS[436535], "isPublicDomain": value}, "painting") is None


@given(record=st.sampled_from(list(OBJECTS.values())).flatmap(disturbed))
def test_no_record_breaks_the_spider(record: Any) -> None:
    assert_harmless(SPIDER, record, "painting")


def _search(label: Label, offset: int = 0) -> str:
    medium = {"painting": "Paintings", "photo": "Photographs"}[label]
    rest = f"hasImages=true&isPublicDomain=true&offset={offset}&limit={PAGE_SIZE}"
    return f"{COLLECTION}/v1.1/search?q=*&medium={medium}&{rest}"


def _object(number: int) -> str:
    return f"{COLLECTION}/v1/objects/{number}"


def _found(numbers: list[int]) -> dict[str, object]:
    return {"total": len(numbers), "objectIDs": numbers}


def _objects(numbers: list[int]) -> dict[str, object]:
    return {_object(number): OBJECTS[number] for number in numbers}
