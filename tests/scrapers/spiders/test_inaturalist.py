"""iNaturalist: places along the years, the photograph of an observation, and its licence."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapers.items import Work
from scrapers.spiders.inaturalist import PAGE_SIZE, PLACES, INaturalistSpider
from tests.scrapers.spiders.answering import Walk, assert_harmless, disturbed, make_spider, read_shape, report

OBSERVATIONS = read_shape("inaturalist-observations.json")
SPARROW, CORAL, UNDATED = OBSERVATIONS["results"][:3]
SPIDER = make_spider(INaturalistSpider)


def test_first_open_photograph_of_each_observation_is_read() -> None:
    walked = _walk(OBSERVATIONS["results"])
    sparrow, coral, undated = walked.works
    assert sparrow == Work(
        source="inaturalist",
        id="225727271",
        label="photo",
        group="132557277",
        title="House Sparrow",
        creator="Dan Hartley",
        year=2022,
        licence="CC0-1.0",
        licence_url="https://creativecommons.org/publicdomain/zero/1.0/",
        page_url="https://www.inaturalist.org/observations/132557277",
        image_url="https://inaturalist-open-data.s3.amazonaws.com/photos/225727271/large.jpeg",
        width_px=768,
        height_px=1024,
    )
    assert coral == Work(
        source="inaturalist",
        id="225727301",
        label="photo",
        group="132557280",
        title="Anthozoa",
        creator="kueda",
        year=2009,
        licence="CC-BY-4.0",
        licence_url="https://creativecommons.org/licenses/by/4.0/",
        page_url="https://www.inaturalist.org/observations/132557280",
        image_url="https://inaturalist-open-data.s3.amazonaws.com/photos/225727301/large.jpg",
        width_px=800,
        height_px=600,
    )
    assert (undated.year, undated.width_px, undated.height_px, undated.creator) == (None, None, None, "x")
    assert walked.counts["photo/passed"] == 2


def test_licence_of_the_photograph_decides() -> None:
    walked = _walk(OBSERVATIONS["results"], licences=["CC-BY-4.0"])
    assert [work.id for work in walked.works] == ["225727301"]


@pytest.mark.parametrize(
    ("licences", "asked"),
    [(["CC0-1.0", "CC-PDM-1.0"], "cc0"), (["CC-BY-SA-4.0", "CC0-1.0", "CC-BY-4.0"], "cc0,cc-by,cc-by-sa")],
)
def test_question_is_for_the_licences_allowed(licences: list[str], asked: str) -> None:
    walked = _walk(OBSERVATIONS["results"], licences=licences)
    assert {_query(request.url)["photo_license"] for request in walked.asked} == {asked}


def test_nothing_is_asked_without_a_licence_to_ask_for() -> None:
    assert _walk(OBSERVATIONS["results"], licences=["CC-BY-2.0", "CC-PDM-1.0"]).asked == []


def test_a_few_works_come_from_all_the_years_and_all_works_come_once() -> None:
    numbers = range(1, 4001)
    walked = asyncio.run(report(INaturalistSpider, "photo", lambda address: _listing(address, numbers), wanted=5000))
    works = [int(work.id) for work in walked.works]
    assert sorted(works) == list(numbers)
    assert {number * 4 // 4001 for number in works[: 4 * PAGE_SIZE]} == {0, 1, 2, 3}
    assert walked.counts["photo/exhausted"] == 1


@pytest.mark.parametrize("size", [1, 2, PLACES - 1, PAGE_SIZE + 1])
def test_few_observations_all_come(size: int) -> None:
    walked = asyncio.run(report(INaturalistSpider, "photo", lambda address: _listing(address, range(7, 7 + size))))
    assert len(walked.works) == size


@pytest.mark.parametrize(
    "page", [{"error": "Too many", "status": 429}, {"results": []}, {"results": 3}, {"results": [{}]}]
)
def test_page_that_is_none_ends_the_walk(page: object) -> None:
    assert asyncio.run(report(INaturalistSpider, "photo", lambda _: page)).counts["photo/failed"] == 1


PHOTO = SPARROW["photos"][0]
DOUBTFUL: list[tuple[str, Any]] = [
    *(("id", value) for value in ("1", None, 1.5)),
    *(("photos", value) for value in (None, "x")),
    *(("photos", [photo]) for photo in (None, {}, {**PHOTO, "id": "7"}, {**PHOTO, "url": 7})),
    *(("photos", [{**PHOTO, "license_code": code}]) for code in (["cc0"], 3, {"cc0": 1})),
    *(
        ("photos", [{**PHOTO, "original_dimensions": {"width": width, "height": 9}}])
        for width in (0, -1, "9", 9.5, 10**400, float("nan"))
    ),
    *(("taxon", value) for value in (None, {}, {"name": ["x"]}, {"name": "x", "preferred_common_name": 3})),
    *(("user", value) for value in (None, {"name": "x"}, {"name": ["x"], "login": "x"})),
    *(("observed_on_details", value) for value in ("2022", {}, {"year": "2022"}, {"year": 10**9})),
]


@pytest.mark.parametrize(("key", "value"), DOUBTFUL)
def test_doubtful_observation_is_dropped_and_counted(key: str, value: object) -> None:
    walked = _walk([{**SPARROW, key: value}, CORAL])
    assert [work.id for work in walked.works] == ["225727301"]
    assert walked.counts["photo/dropped"] == 1


@pytest.mark.parametrize(
    "url",
    [
        "https://static.inaturalist.org/photos/1/square.jpg",
        "http://inaturalist-open-data.s3.amazonaws.com/photos/1/square.jpg",
        "https://inaturalist-open-data.s3.amazonaws.com@evil.example/photos/1/square.jpg",
        "https://inaturalist-open-data.s3.amazonaws.com/photos/1/../2/square.jpg",
        "https://inaturalist-open-data.s3.amazonaws.com/photos/1/medium.jpg",
    ],
)
def test_photograph_elsewhere_is_not_open_data(url: str) -> None:
    assert SPIDER.work({**SPARROW, "photos": [{**PHOTO, "url": url}]}, "photo") is None


@given(record=st.sampled_from([SPARROW, CORAL, UNDATED]).flatmap(disturbed))
def test_no_observation_breaks_the_spider(record: Any) -> None:
    assert_harmless(SPIDER, record, "photo")


def _walk(results: list[Any], **options: Any) -> Walk:
    """A walk whose first page has all the results."""
    pages = iter([results[-1:], results])
    return asyncio.run(report(INaturalistSpider, "photo", lambda _: {"results": next(pages, [])}, **options))


def _listing(address: str, numbers: range) -> object:
    """What the source would answer that has an observation for each number."""
    query = _query(address)
    if query["order"] == "desc":
        found = list(numbers)[-1:]
    else:
        found = [number for number in numbers if int(query["id_above"]) < number < int(query["id_below"])]
    return {"results": [_observation(number) for number in found[: int(query["per_page"])]]}


def _observation(number: int) -> Any:
    url = f"https://inaturalist-open-data.s3.amazonaws.com/photos/{number}/square.jpg"
    return {**SPARROW, "id": number, "photos": [{**PHOTO, "id": number, "url": url}]}


def _query(address: str) -> dict[str, str]:
    return {key: value for key, (value,) in parse_qs(urlsplit(address).query).items()}
