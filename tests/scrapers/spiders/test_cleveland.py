"""Cleveland: pages of records, of which some are not free and some have no image."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapers.items import Work
from scrapers.spiders import cleveland
from scrapers.spiders.cleveland import WORKS, ClevelandSpider
from tests.scrapers.spiders.answering import assert_harmless, disturbed, make_spider, read_shape, report, walk

PAINTINGS: dict[str, Any] = read_shape("cleveland-paintings.json")
PHOTOGRAPHS: dict[str, Any] = read_shape("cleveland-photographs.json")
IMAGES = "https://openaccess-cdn.clevelandart.org"
CC0 = {"licence": "CC0-1.0", "licence_url": "https://creativecommons.org/publicdomain/zero/1.0/"}
SPIDER = make_spider(ClevelandSpider)


def test_free_works_with_an_image_are_read() -> None:
    walked = asyncio.run(report(ClevelandSpider, "painting", {_page("Painting", 0): PAINTINGS}))
    assert walked.works == [
        Work(
            source="cleveland",
            id="92937",
            label="painting",
            group="92937",
            title="Stag at Sharkey's",
            creator="George Bellows (American, 1882–1925)",  # noqa: RUF001 - theirs
            year=1909,
            **CC0,
            page_url="https://clevelandart.org/art/1922.1133",
            image_url=f"{IMAGES}/1922.1133/1922.1133_web.jpg",
            width_px=1170,
            height_px=893,
        ),
        Work(
            source="cleveland",
            id="130707",
            label="painting",
            group="130707",
            title="Head of Saint John the Baptist",
            creator="unknown",
            year=1550,
            **CC0,
            page_url="https://clevelandart.org/art/1953.424",
            image_url=f"{IMAGES}/1953.424/1953.424_web.jpg",
            width_px=1263,
            height_px=830,
        ),
        Work(
            source="cleveland",
            id="148000",
            label="painting",
            group="148000",
            title="Calypso & Odysseus",
            creator="unknown",
            year=-465,
            **CC0,
            page_url="https://clevelandart.org/art/1992.2",
            image_url=f"{IMAGES}/1992.2/1992.2_web.jpg",
            width_px=893,
            height_px=1230,
        ),
    ]
    assert (walked.counts["painting/passed"], walked.counts.get("painting/dropped")) == (3, None)


def test_photograph_is_read() -> None:
    (work,) = asyncio.run(walk(ClevelandSpider, "photo", {_page("Photograph", 0): PHOTOGRAPHS}))
    assert (work.label, work.title, work.year) == ("photo", "Cathedral of Wells: A Sea of Steps", 1903)
    assert work.path == "cleveland/photo/145000.jpg"


def test_walk_goes_from_page_to_page_until_the_total(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleveland, "PAGE_SIZE", 2)
    pages = {
        _page("Painting", skip, 2): {**PAINTINGS, "data": PAINTINGS["data"][skip : skip + 2]} for skip in (0, 2, 4)
    }
    walked = asyncio.run(report(ClevelandSpider, "painting", pages))
    assert [work.id for work in walked.works] == ["92937", "130707", "148000"]
    assert len(walked.asked) == 3


def test_empty_page_ends_the_walk_whatever_the_total_says() -> None:
    endless = {**PAINTINGS, "info": {"total": 10**18}}
    pages = {_page("Painting", 0): endless, _page("Painting", 6): {**endless, "data": []}}
    walked = asyncio.run(report(ClevelandSpider, "painting", pages))
    assert len(walked.works) == 3
    assert walked.counts["painting/exhausted"] == 1


DOUBTFUL: list[tuple[str, Any]] = [
    *(("id", value) for value in ("92937", 1.5, None, [1], -1 << 400)),
    *(("title", value) for value in (["x"], 3, {"en": "x"})),
    *(("creators", value) for value in ("Somebody", [None], [{"role": "artist"}], [{"description": ["x"]}])),
    *(("creation_date_earliest", value) for value in ("1909", 1909.0, True, 10**6)),
    *(("type", value) for value in ("Photograph", None, ["Painting"])),
    *(("share_license_status", value) for value in (None, 0, ["CC0"])),
    *(("url", value) for value in (None, "javascript:alert(1)")),
    *(("images", value) for value in ("web", [1], {"web": "x"}, {"web": {"url": f"{IMAGES}/x.jpg"}})),
    *(
        ("images", {"web": {"url": f"{IMAGES}/x.jpg", "width": width, "height": "9"}})
        for width in (9, 9.5, True, None, "", "0", "-3", "wide", "9" * 5000)
    ),
    *(
        ("images", {"web": {"url": url, "width": "9", "height": "9"}})
        for url in ("https://evil.example/x.jpg", f"{IMAGES}@evil.example/x.jpg", f"{IMAGES}:22/x.jpg", None)
    ),
]


@pytest.mark.parametrize(("key", "value"), DOUBTFUL)
def test_doubtful_record_is_dropped_and_counted(key: str, value: object) -> None:
    first, second = PAINTINGS["data"][:2]
    page = {"info": {"total": 2}, "data": [{**first, key: value}, second]}
    walked = asyncio.run(report(ClevelandSpider, "painting", {_page("Painting", 0): page}))
    assert [work.id for work in walked.works] == ["130707"]
    assert walked.counts["painting/dropped"] == 1


@given(record=st.sampled_from(PAINTINGS["data"]).flatmap(disturbed))
def test_no_record_breaks_the_spider(record: Any) -> None:
    assert_harmless(SPIDER, record, "painting")


def _page(kind: str, skip: int, limit: int = 100) -> str:
    return f"{WORKS}?type={kind}&cc0=1&has_image=1&limit={limit}&skip={skip}"
