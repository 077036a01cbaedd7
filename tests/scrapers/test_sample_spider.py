"""The spider against pages that no museum should send."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scrapy import Request
from scrapy.http import TextResponse
from scrapy.utils.test import get_crawler

from scrapers.items import Work
from scrapers.sample.server import record
from scrapers.sample.works import collect
from scrapers.spiders.sample import SampleSpider
from tests.scrapers.small_museum import NAMES, photograph

RECORDS: list[Any] = [record(work) for work in collect([photograph(name) for name in NAMES])[1]]


def test_page_gives_its_works_and_the_next_page() -> None:
    spider = _spider()
    *works, following = _parse(spider, {"info": {"total": 99}, "data": RECORDS[:5]})
    assert [work.id for work in works if isinstance(work, Work)] == [work["id"] for work in RECORDS[:5]]
    assert isinstance(following, Request)
    assert "skip=5" in following.url
    assert following.cb_kwargs == {"label": "photo", "skip": 5, "found": 5}


def test_walk_ends_with_the_last_work_wanted_the_last_there_is_and_a_page_of_nothing_new() -> None:
    assert len(_parse(_spider(per_class=3), {"info": {"total": 99}, "data": RECORDS[:5]})) == 3
    assert len(_parse(_spider(), {"info": {"total": 5}, "data": RECORDS[:5]})) == 5
    spider = _spider()
    assert len(_parse(spider, {"info": {"total": 10**18}, "data": RECORDS[:5]})) == 6
    assert _parse(spider, {"info": {"total": 10**18}, "data": RECORDS[:5]}) == []


def test_work_keeps_what_the_museum_says() -> None:
    (work,) = _parse(_spider(), {"info": {"total": 1}, "data": RECORDS[:1]})
    assert work == Work(
        source="sample",
        id="chelsea-01",
        label="photo",
        group="chelsea",
        title="The chelsea",
        creator="Somebody",
        licence="CC0-1.0",
        licence_url="https://example.org/cc0",
        page_url="http://museum.localhost/api/artworks/chelsea-01",
        image_url="http://museum.localhost/images/chelsea-01.jpg",
        width_px=RECORDS[0]["images"]["web"]["width"],
        height_px=RECORDS[0]["images"]["web"]["height"],
    )
    assert work.path == "sample/photo/chelsea-01.jpg"


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
    ("share_license", {"name": "CC0", "url": "javascript:alert(1)"}),
    ("images", {"web": {"url": "file:///etc/passwd", "width": 9, "height": 9}}),
    ("images", {"web": {"url": "http://169.254.169.254/x.jpg", "width": 9, "height": 9}}),
    ("images", {"web": {"url": "http://museum.localhost@evil.example/x.jpg", "width": 9, "height": 9}}),
    *(
        ("images", {"web": {"url": "http://museum.localhost/x.jpg", "width": width, "height": 9}})
        for width in (0, -1, "9", 9.5, True, None, 10**400, float("nan"))
    ),
    ("images", {}),
]


@pytest.mark.parametrize(("key", "value"), DOUBTFUL)
def test_doubtful_record_is_dropped_and_counted(key: str, value: object) -> None:
    spider = _spider()
    found = _parse(spider, {"info": {"total": 2}, "data": [{**RECORDS[0], key: value}, RECORDS[1]]})
    assert [work.id for work in found if isinstance(work, Work)] == [RECORDS[1]["id"]]
    assert spider.crawler.stats.get_value("works/dropped") == 1


def test_second_work_of_a_name_or_an_image_is_dropped() -> None:
    spider = _spider()
    same_image = {**RECORDS[1], "images": RECORDS[0]["images"]}
    found = _parse(spider, {"info": {"total": 3}, "data": [RECORDS[0], RECORDS[0], same_image]})
    assert len(found) == 1
    assert spider.crawler.stats.get_value("works/dropped") == 2


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"<html>", b"[" * 100_000, b"\xff\xfe", b"null", b"[]", b"{}", b"1" * 5000),
        *(b'{"info": {}, "data": []}', b'{"info": {"total": "9"}, "data": []}', b'{"info": {"total": 9}, "data": 3}'),
    ],
)
def test_page_that_is_none_is_counted(body: bytes) -> None:
    spider = _spider()
    assert _answer(spider, body) == []
    assert spider.crawler.stats.get_value("pages/failed") == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(sorted(RECORDS[0])), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=80, deadline=None)
@given(records=st.lists(JSON, max_size=5), patch=st.dictionaries(st.sampled_from(sorted(RECORDS[0])), JSON), total=JSON)
def test_no_answer_breaks_the_spider(records: list[Any], patch: dict[str, Any], total: object) -> None:
    answer = {"info": {"total": total}, "data": [*records, {**RECORDS[0], **patch}]}
    for work in _parse(_spider(), answer):
        if isinstance(work, Work):
            assert work.path.startswith("sample/photo/")
            json.dumps(work.title).encode()


def _spider(per_class: int = 50) -> SampleSpider:
    crawler = get_crawler(SampleSpider)
    return SampleSpider.from_crawler(crawler, per_class=per_class)


def _parse(spider: SampleSpider, answer: object) -> list[Work | Request]:
    return _answer(spider, json.dumps(answer).encode())


def _answer(spider: SampleSpider, body: bytes) -> list[Work | Request]:
    response = TextResponse("http://museum.localhost/api/artworks/", body=body)
    return list(spider.parse(response, label="photo", skip=0, found=0))
