"""The Art Institute of Chicago: pages by number, sizes of images, and artworks that are not for us."""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapers.items import Work
from scrapers.spiders.aic import PAGE_SIZE, SEARCH, AicSpider
from tests.scrapers.spiders.answering import Walk, assert_harmless, disturbed, make_spider, read_shape, report

PAINTINGS = read_shape("aic-paintings.json")
CC0 = {"licence": "CC0-1.0", "licence_url": "https://creativecommons.org/publicdomain/zero/1.0/"}
SPIDER = make_spider(AicSpider)


def test_free_paintings_with_an_image_are_read() -> None:
    walked = _walk(PAINTINGS)
    boy, bust, nameless, cliffs = walked.works
    assert boy == Work(
        source="aic",
        id="4",
        label="painting",
        group="4",
        title="Priest and Boy",
        creator="Lawrence Carmichael Earle",
        year=1880,
        **CC0,
        page_url="https://www.artic.edu/artworks/4",
        image_url="https://www.artic.edu/iiif/2/b272df73-a965-ac37-4172-be4e99483637/full/843,/0/default.jpg",
        width_px=843,
        height_px=1124,
    )
    assert bust == Work(
        source="aic",
        id="9",
        label="painting",
        group="9",
        title="Bust of a Man, after the Antique",
        creator="unknown",
        year=1790,
        **CC0,
        page_url="https://www.artic.edu/artworks/9",
        image_url="https://www.artic.edu/iiif/2/2d484387-2509-5e8e-2c43-22f9981972eb/full/600,/0/default.jpg",
        width_px=600,
        height_px=750,
    )
    assert (nameless.title, nameless.year, nameless.width_px) == ("untitled", None, None)
    assert nameless.image_url.endswith("/full/843,/0/default.jpg")
    assert (cliffs.title, cliffs.creator, cliffs.year) == ("Untitled (Cliffs)", "Claude Monet", -300)
    assert (cliffs.width_px, cliffs.height_px) == (None, None)
    assert (walked.counts["painting/passed"], walked.counts["painting/dropped"]) == (2, 1)


def test_photograph_is_read() -> None:
    (work,) = _walk(read_shape("aic-photographs.json"), label="photo").works
    assert (work.path, work.creator) == ("aic/photo/66724.jpg", "André Kertész")
    assert (work.width_px, work.height_px) == (843, 631)


def test_each_page_begins_after_the_last_number_and_the_walk_ends_with_an_empty_one() -> None:
    first = PAINTINGS["data"][0]
    records: list[Any] = [{**first, "id": number, "image_id": _image(number)} for number in range(1, 251)]
    records[PAGE_SIZE - 1] = None  # the last of a page names no number

    def answer(address: str) -> object:
        search = _search(address)
        assert search["limit"] == PAGE_SIZE
        assert search["sort"] == [{"id": "asc"}]
        assert "page" not in search
        (last,) = [part["range"]["id"]["gt"] for part in search["query"]["bool"]["filter"] if "range" in part]
        return {**PAINTINGS, "data": records[last : last + PAGE_SIZE]}

    walked = asyncio.run(report(AicSpider, "painting", answer))
    assert [work.id for work in walked.works] == [str(number) for number in range(1, 251) if number != PAGE_SIZE]
    assert len(walked.asked) == 4
    assert walked.counts["painting/exhausted"] == 1


@pytest.mark.parametrize(("label", "kind"), [("painting", "Painting"), ("photo", "Photograph")])
def test_question_is_for_free_works_of_the_class_with_an_image(label: Any, kind: str) -> None:
    (asked,) = asyncio.run(report(AicSpider, label, lambda _: {**PAINTINGS, "data": []})).asked
    assert asked.url.startswith(SEARCH)
    assert _search(asked.url)["query"]["bool"]["filter"][:3] == [
        {"term": {"is_public_domain": True}},
        {"term": {"artwork_type_title.keyword": kind}},
        {"exists": {"field": "image_id"}},
    ]


@pytest.mark.parametrize(
    "page",
    [
        {"status": 403, "error": "Invalid number of results", "detail": "You have requested too many results."},
        *({**PAINTINGS, "data": data} for data in (3, None, {"id": 1})),
        {**PAINTINGS, "data": [{}]},
        {**PAINTINGS, "data": [None]},
        {"data": PAINTINGS["data"]},
        {**PAINTINGS, "config": None},
    ],
)
def test_page_that_is_none_ends_the_walk(page: object) -> None:
    assert asyncio.run(report(AicSpider, "painting", lambda _: page)).counts["painting/failed"] == 1


DOUBTFUL: list[tuple[str, Any]] = [
    *(("id", value) for value in ("4", None, 4.0, ["4"])),
    *(("title", value) for value in (["x"], 3, False)),
    ("artist_title", ["x"]),
    *(("date_start", value) for value in ("1880", 1880.5, 10**9, True)),
    *(("artwork_type_title", value) for value in ("Photograph", None, ["Painting"])),
    *(("image_id", value) for value in ("", "../../x", "x?y", 7, ["x"], "b272df73")),
    *(("thumbnail", {"width": width, "height": 100}) for width in (0, -5, "843", 900.5, float("nan"), 10**400)),
    ("thumbnail", {"width": 100, "height": 0}),
    ("thumbnail", {"width": 100}),
]


@pytest.mark.parametrize(("key", "value"), DOUBTFUL)
def test_doubtful_artwork_is_dropped_and_counted(key: str, value: object) -> None:
    walked = _walk({**PAINTINGS, "data": [{**PAINTINGS["data"][0], key: value}, PAINTINGS["data"][1]]})
    assert [work.id for work in walked.works] == ["9"]
    assert walked.counts["painting/dropped"] == 1


@pytest.mark.parametrize("iiif_url", [None, "", "https://evil.example/iiif/2", "https://www.artic.edu@evil.example"])
def test_image_server_elsewhere_is_not_believed(iiif_url: object) -> None:
    walked = _walk({**PAINTINGS, "config": {"iiif_url": iiif_url}})
    assert walked.works == []
    assert walked.counts["painting/dropped"] == 5


@given(record=st.sampled_from(PAINTINGS["data"]).flatmap(disturbed))
def test_no_artwork_breaks_the_spider(record: Any) -> None:
    assert_harmless(SPIDER, {"artwork": record, "iiif_url": PAINTINGS["config"]["iiif_url"]}, "painting")


def _walk(page: Any, label: Any = "painting") -> Walk:
    pages = iter([page, {**page, "data": []}])
    return asyncio.run(report(AicSpider, label, lambda _: next(pages)))


def _search(address: str) -> Any:
    return json.loads(parse_qs(urlsplit(address).query)["params"][0])


def _image(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012}"
