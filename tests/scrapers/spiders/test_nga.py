"""Washington: two tables, joined; only images that the museum marks as open."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapers.answers import Answers
from scrapers.items import Work
from scrapers.spiders.nga import COMMIT, LONG_SIDE_PX, NgaSpider
from tests.scrapers.spiders.answering import (
    SHAPES,
    answer_from,
    assert_harmless,
    disturbed,
    make_spider,
    report,
    walk,
)

TABLES = f"https://raw.githubusercontent.com/NationalGalleryOfArt/opendata/{COMMIT}/data"
OBJECTS, IMAGES = ((SHAPES / f"nga-{name}.csv").read_bytes() for name in ("objects", "published_images"))
ANSWERS = {f"{TABLES}/objects.csv": OBJECTS, f"{TABLES}/published_images.csv": IMAGES}
CC0 = {"licence": "CC0-1.0", "licence_url": "https://creativecommons.org/publicdomain/zero/1.0/"}
SPIDER = make_spider(NgaSpider)
RECORD = {
    **{"objectid": "1106", "title": "Woman Reading", "attribution": "Corot", "beginyear": "1866"},
    **{"classification": "Painting", "parentid": "", "isvirtual": "0"},
    **{"iiifurl": "https://api.nga.gov/iiif/x", "width": "3365", "height": "4332"},
}


def test_open_paintings_are_read() -> None:
    walked = asyncio.run(report(NgaSpider, "painting", ANSWERS))
    assert walked.works == [
        Work(
            source="nga",
            id="35",
            label="painting",
            group="34",
            title="Triptych, Left Panel",
            creator="Anonymous Artist",
            year=1300,
            **CC0,
            page_url="https://www.nga.gov/artworks/35",
            image_url="https://api.nga.gov/iiif/22227f61-4922-417b-8f27-893ea328206c/full/!843,843/0/default.jpg",
            width_px=843,
            height_px=210,
        ),
        Work(
            source="nga",
            id="1106",
            label="painting",
            group="1106",
            title='Woman Reading, called "The Reader"',
            creator="Édouard Manet",
            year=1866,
            **CC0,
            page_url="https://www.nga.gov/artworks/1106",
            image_url="https://api.nga.gov/iiif/00007f61-4922-417b-8f27-893ea328206c/full/!843,843/0/default.jpg",
            width_px=654,
            height_px=843,
        ),
    ]
    assert walked.works[0].path == "nga/painting/35.jpg"


def test_small_photograph_keeps_its_size_and_a_virtual_one_is_passed_over() -> None:
    walked = asyncio.run(report(NgaSpider, "photo", ANSWERS))
    assert [(work.id, work.width_px, work.height_px) for work in walked.works] == [
        *(("35311", 600, 450), ("141000", 843, 843)),
    ]
    leaf = walked.works[1]
    assert (leaf.title, leaf.year, leaf.group) == ("untitled", None, "139000")
    assert walked.counts["photo/passed"] == 1


def test_tables_are_asked_for_once_and_with_limits_that_they_fit() -> None:
    spider = make_spider(NgaSpider)
    asked = answer_from(spider, ANSWERS)

    async def both() -> list[Work]:
        return [work async for work in spider.start()]

    assert [work.label for work in asyncio.run(both())] == ["painting", "painting", "photo", "photo"]
    assert [request.url for request in asked] == list(reversed(ANSWERS))
    for request in asked:
        assert request.meta["download_maxsize"] >= 100_000_000
        assert request.meta["download_timeout"] >= 100


def test_tables_are_kept_but_not_one_that_cannot_be_read(tmp_path: Path) -> None:
    objects = f"{TABLES}/objects.csv"
    with Answers(tmp_path / "answers.sqlite") as kept:
        broken = asyncio.run(report(NgaSpider, "painting", {**ANSWERS, objects: b"objectid\n1\n"}, kept=kept))
        assert broken.counts["painting/failed"] == 1
        first, second = (asyncio.run(report(NgaSpider, "painting", ANSWERS, kept=kept)) for _ in range(2))
    assert [request.url for request in first.asked] == [objects]
    assert second.asked == []
    assert first.works == second.works != []


def test_text_that_is_longer_than_the_csv_module_likes_is_read() -> None:
    long = OBJECTS.replace(b"to a dealer.", b"to a dealer." * 20_000)
    assert len(asyncio.run(walk(NgaSpider, "painting", {**ANSWERS, f"{TABLES}/objects.csv": long}))) == 2


@pytest.mark.parametrize(
    ("table", "body"),
    [
        *((table, body) for table in ("objects", "published_images") for body in (b"<html>\nno", b"\xff\xfe,\n1,2")),
        ("objects", b'objectid\n"' + b"x" * 11_000_000),
        ("published_images", b"viewtype,depictstmsobjectid\nprimary,35\n"),
        ("published_images", 404),
    ],
)
def test_table_that_is_none_ends_the_walk(table: str, body: object) -> None:
    walked = asyncio.run(report(NgaSpider, "painting", {**ANSWERS, f"{TABLES}/{table}.csv": body}))
    assert not walked.works
    assert walked.counts["painting/failed"] == 1


def test_byte_order_mark_is_no_part_of_the_first_column() -> None:
    marked = {url: b"\xef\xbb\xbf" + table for url, table in ANSWERS.items()}
    assert len(asyncio.run(walk(NgaSpider, "painting", marked))) == 2


@pytest.mark.parametrize("row", [b"35", b"35,,,,,\xc3\xa9", b"35" + b"," * 99, b""])
def test_row_of_another_length_breaks_nothing(row: bytes) -> None:
    header, rest = OBJECTS.split(b"\n", 1)
    table = b"\n".join([header, row, rest])
    works = asyncio.run(walk(NgaSpider, "painting", {**ANSWERS, f"{TABLES}/objects.csv": table}))
    assert [work.id for work in works] == ["35", "1106"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("objectid", value) for value in ("", "../x", None)),
        *(("width", value) for value in ("", "0", "-5", "wide", None, "9" * 5000, 9)),
        *(("iiifurl", value) for value in (None, "https://evil.example/iiif", "")),
        *(("beginyear", value) for value in ("old", "99999")),
    ],
)
def test_doubtful_object_is_dropped(key: str, value: Any) -> None:
    spider = make_spider(NgaSpider)
    spider.objects = [{**RECORD, key: value}, {**RECORD, "objectid": "7", "iiifurl": "https://api.nga.gov/iiif/y"}]  # type: ignore[attr-defined]

    async def paintings() -> list[Work]:
        return [work async for work in spider.start()]

    assert [work.id for work in asyncio.run(paintings())] == ["7"]
    assert spider.crawler.stats.get_value("painting/dropped") == 1


@given(width=st.integers(1, 200_000), height=st.integers(1, 200_000))
def test_size_fits_the_square_and_keeps_its_shape(width: int, height: int) -> None:
    record = {**RECORD, "width": str(width), "height": str(height)}
    try:
        work = SPIDER.work(record, "painting")
    except ValueError:
        assert min(width, height) * LONG_SIDE_PX < max(width, height), "less than a pixel high"
        return
    assert work
    assert work.width_px
    assert work.height_px
    assert max(work.width_px, work.height_px) == min(LONG_SIDE_PX, max(width, height))
    scale = min(1, LONG_SIDE_PX / max(width, height))
    assert work.width_px == pytest.approx(width * scale, abs=1)
    assert work.height_px == pytest.approx(height * scale, abs=1)


@given(record=disturbed(RECORD))
def test_no_record_breaks_the_spider(record: Any) -> None:
    assert_harmless(SPIDER, record, "painting")
