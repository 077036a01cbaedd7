"""The sample museum's spider against pages that no museum should send."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapers.items import Work
from scrapers.sample.server import record
from scrapers.sample.works import collect
from scrapers.spiders import museum
from scrapers.spiders.sample import PAGE_SIZE, SampleSpider
from tests.scrapers.small_museum import NAMES, photograph
from tests.scrapers.spiders.answering import JSON, Walk, assert_harmless, disturbed, make_spider, report

RECORDS: list[Any] = [record(work) for work in collect([photograph(name) for name in NAMES])[1]]
SPIDER = make_spider(SampleSpider)


def test_work_keeps_what_the_museum_says() -> None:
    (work,) = _walk({"info": {"total": 1}, "data": RECORDS[:1]}).works
    assert work == Work(
        source="sample",
        id="chelsea-01",
        label="photo",
        group="chelsea",
        title="The chelsea",
        creator="Somebody",
        year=None,
        licence="CC0-1.0",
        licence_url="https://example.org/cc0",
        page_url="http://museum.localhost/api/artworks/chelsea-01",
        image_url="http://museum.localhost/images/chelsea-01.jpg",
        width_px=RECORDS[0]["images"]["web"]["width"],
        height_px=RECORDS[0]["images"]["web"]["height"],
    )
    assert work.path == "sample/photo/chelsea-01.jpg"


def test_walk_goes_on_where_the_last_page_ended() -> None:
    pages = {0: RECORDS[:5], 5: RECORDS[5:8]}

    def answer(address: str) -> object:
        query = {key: values[0] for key, values in parse_qs(urlsplit(address).query).items()}
        assert (query["type"], query["limit"]) == ("Photograph", str(PAGE_SIZE))
        return {"info": {"total": 8}, "data": pages[int(query["skip"])]}

    walked = asyncio.run(report(SampleSpider, "photo", answer))
    assert [work.id for work in walked.works] == [work["id"] for work in RECORDS[:8]]
    assert len(walked.asked) == 2


def test_walk_ends_with_the_last_work_wanted_the_last_there_is_and_an_empty_page() -> None:
    wanted = _walk({"info": {"total": 99}, "data": RECORDS[:5]}, wanted=3)
    assert (len(wanted.works), len(wanted.asked)) == (3, 1)
    last = _walk({"info": {"total": 5}, "data": RECORDS[:5]})
    assert (len(last.works), len(last.asked)) == (5, 1)
    empty = _walk({"info": {"total": 10**18}, "data": RECORDS[:5]}, {"info": {"total": 10**18}, "data": []})
    assert (len(empty.works), len(empty.asked)) == (5, 2)


def test_museum_that_repeats_its_page_for_ever_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(museum, "FRUITLESS", 12)
    page = {"info": {"total": 10**18}, "data": RECORDS[:5]}
    walked = asyncio.run(report(SampleSpider, "photo", lambda _: page))
    assert (len(walked.works), len(walked.asked)) == (5, 4)
    assert walked.counts["photo/failed"] == 1


DOUBTFUL: list[tuple[str, Any]] = [
    *(("id", value) for value in ("", ".x", "a/b", "a\\b", "a\n", "a b", "é", "x" * 81, 7, None, ["a"])),
    *(("after", value) for value in ("../x", None)),
    *(("title", value) for value in ("", "\ud800", None, 3, "x" * 501)),
    ("creators", []),
    ("creators", [None]),
    ("creators", [{}]),
    ("creators", "Somebody"),
    *(("type", value) for value in ("Painting", None)),
    ("share_license", None),
    ("share_license", {"name": "CC0-1.0", "url": "javascript:alert(1)"}),
    ("images", {"web": {"url": "file:///etc/passwd", "width": 9, "height": 9}}),
    ("images", {"web": {"url": "http://169.254.169.254/x.jpg", "width": 9, "height": 9}}),
    ("images", {"web": {"url": "http://museum.localhost@evil.example/x.jpg", "width": 9, "height": 9}}),
    *(
        ("images", {"web": {"url": "http://museum.localhost/x.jpg", "width": width, "height": 9}})
        for width in (0, -1, "9", 9.5, True, 10**400, float("nan"))
    ),
    ("images", {}),
]


@pytest.mark.parametrize(("key", "value"), DOUBTFUL)
def test_doubtful_record_is_dropped_and_counted(key: str, value: object) -> None:
    walked = _walk({"info": {"total": 2}, "data": [{**RECORDS[0], key: value}, RECORDS[1]]})
    assert [work.id for work in walked.works] == [RECORDS[1]["id"]]
    assert walked.counts["photo/dropped"] == 1


def test_second_work_of_a_name_or_an_image_is_dropped() -> None:
    same_image = {**RECORDS[1], "images": RECORDS[0]["images"]}
    walked = _walk({"info": {"total": 3}, "data": [RECORDS[0], RECORDS[0], same_image]})
    assert len(walked.works) == 1
    assert walked.counts["photo/dropped"] == 2


@pytest.mark.parametrize(
    "page",
    [
        *(b"<html>", b"{}", {"data": [], "info": {}}, {"data": RECORDS[:1], "info": {"total": "9"}}),
        *({"data": data, "info": {"total": 9}} for data in (3, None, True)),
        {"data": [], "info": None},
    ],
)
def test_page_that_is_none_is_counted(page: object) -> None:
    walked = _walk(page)
    assert walked.counts["photo/failed"] == 1


@given(records=st.lists(JSON, max_size=5), last=st.sampled_from(RECORDS[:5]).flatmap(disturbed), total=JSON)
def test_no_answer_breaks_the_spider(records: list[Any], last: Any, total: object) -> None:
    walked = _walk({"info": {"total": total}, "data": [*records, last]}, {"info": {"total": 0}, "data": []})
    for work in walked.works:
        assert work.path.startswith("sample/photo/")
    assert_harmless(SPIDER, last, "photo")


def _walk(*pages: object, **options: Any) -> Walk:
    rest = list(pages)
    return asyncio.run(report(SampleSpider, "photo", lambda _: rest.pop(0), **options))
