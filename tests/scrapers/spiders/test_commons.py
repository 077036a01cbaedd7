"""Wikimedia Commons: what Wikidata and Commons say of a painting, and the photographs that a search finds."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapers.items import Work
from scrapers.licences import URLS
from scrapers.spiders import museum
from scrapers.spiders.commons import API, PAGE_SIZE, CommonsSpider
from scrapers.spiders.wikidata import DECADES, SPARQL
from tests.scrapers.spiders.answering import Walk, assert_harmless, disturbed, make_spider, read_shape, report

ITEMS, FILES, SEARCH = (read_shape(f"commons-{name}.json") for name in ("items", "files", "search"))
ROWS, PAGES = ITEMS["results"]["bindings"], FILES["query"]["pages"]
TERRACE = PAGES[1]
STREET, HERON = SEARCH["query"]["pages"][:2]
TRACKED = "utm_source=commons.wikimedia.org&utm_campaign=imageinfo&utm_content"
SPIDER = make_spider(CommonsSpider)


def test_painting_is_what_wikidata_says_in_the_image_that_commons_has() -> None:
    walked = _paintings()
    terrace, study, rhine = walked.works
    assert terrace == Work(
        source="commons",
        id="9001",
        label="painting",
        group="Q1091086",
        title="Café Terrace at Night",
        creator="Vincent van Gogh",
        year=1888,
        licence="CC-PDM-1.0",
        licence_url=URLS["CC-PDM-1.0"],
        page_url="https://commons.wikimedia.org/wiki/File:Caf%C3%A9_Terrace_at_Night.jpg",
        image_url="https://thumb.wikimedia.org/wikipedia/commons/thumb/b/b0/Caf%C3%A9_Terrace_at_Night.jpg"
        f"/960px-Caf%C3%A9_Terrace_at_Night.jpg?{TRACKED}=thumbnail",
        width_px=960,
        height_px=1219,
    )
    assert study == Work(
        source="commons",
        id="9002",
        label="painting",
        group="Q1231009",
        title="untitled",
        creator="unknown",
        year=1885,
        licence="CC-BY-SA-3.0",
        licence_url=URLS["CC-BY-SA-3.0"],
        page_url="https://commons.wikimedia.org/wiki/File:A_small_study_(detail).jpg",
        image_url="https://upload.wikimedia.org/wikipedia/commons/1/12/A_small_study_(detail).jpg"
        f"?{TRACKED}=thumbnail_unscaled",
        width_px=640,
        height_px=480,
    )
    assert (rhine.group, rhine.title, rhine.path) == ("Q15877", "Der Rhein", "commons/painting/9003.jpg")
    assert walked.counts["painting/passed"] == 2
    assert "painting/dropped" not in walked.counts


def test_photographs_are_read_but_not_those_of_paintings() -> None:
    walked = _photographs(SEARCH)
    street, heron, undated = walked.works
    assert street == Work(
        source="commons",
        id="310001",
        label="photo",
        group="310001",
        title="2014-07-20 Street scene, Prague",
        creator="Jane & Co",
        year=2014,
        licence="CC-BY-SA-4.0",
        licence_url=URLS["CC-BY-SA-4.0"],
        page_url="https://commons.wikimedia.org/wiki/File:2014-07-20_Street_scene,_Prague.jpg",
        image_url="https://thumb.wikimedia.org/wikipedia/commons/thumb/f/f5/2014-07-20_Street_scene,_Prague.jpg"
        f"/960px-2014-07-20_Street_scene,_Prague.jpg?{TRACKED}=thumbnail",
        width_px=960,
        height_px=640,
    )
    assert (heron.title, heron.creator, heron.year) == ("Heron", "Ralf Roletschek", 2012)
    assert (undated.creator, undated.year, undated.licence) == ("unknown", None, "CC-PDM-1.0")
    assert walked.counts["photo/passed"] == 2


def test_original_is_taken_where_there_is_no_thumbnail() -> None:
    image = {key: value for key, value in HERON["imageinfo"][0].items() if not key.startswith("thumb")}
    work = SPIDER.work({"page": {**HERON, "imageinfo": [image]}}, "photo")
    assert work
    assert (work.image_url, work.width_px, work.height_px) == (image["url"], 3000, 4500)


def test_paintings_come_from_all_decades_before_any_decade_gives_a_second_page() -> None:
    pages = {decade: PAGE_SIZE * (decade == 1880) + 1 for decade in DECADES}  # one more than a page

    def answer(address: str) -> object:
        query = _query(address)
        if address.startswith(API):
            return {"query": {"pages": [_page(title) for title in query["titles"].split("|")]}}
        decade, limit, offset = _span(query["query"])
        rows = [_row(decade, number) for number in range(pages[decade])]
        return {"results": {"bindings": rows[offset : offset + limit]}}

    walked = asyncio.run(report(CommonsSpider, "painting", answer))
    assert len(walked.works) == sum(pages.values())
    spans = [_span(_query(asked.url)["query"]) for asked in walked.asked if asked.url.startswith(SPARQL)]
    assert sorted(decade for decade, _, offset in spans if not offset) == list(DECADES)
    assert [(decade, offset) for decade, _, offset in spans if offset] == [(1880, PAGE_SIZE)]
    assert spans[-1][0] == 1880
    assert {decade // 100 for decade, _, _ in spans[:12]} == set(range(14, 20))


def test_long_titles_are_asked_for_in_several_requests() -> None:
    rows = [_row(1400, 10**200 + number) for number in range(PAGE_SIZE)]

    def answer(address: str) -> object:
        assert len(address) < 8000
        query = _query(address)
        if address.startswith(API):
            return {"query": {"pages": [_page(title) for title in query["titles"].split("|")]}}
        return {"results": {"bindings": rows if _span(query["query"])[::2] == (1400, 0) else []}}

    assert len(asyncio.run(report(CommonsSpider, "painting", answer)).works) == PAGE_SIZE


def test_rows_repeated_for_ever_without_a_file_end_the_walk() -> None:
    rows = [_row(1400, number) for number in range(PAGE_SIZE)]
    walked = asyncio.run(
        report(
            CommonsSpider,
            "painting",
            lambda address: {"batchcomplete": True} if address.startswith(API) else {"results": {"bindings": rows}},
        )
    )
    assert len(walked.asked) == museum.FRUITLESS_QUESTIONS
    assert walked.counts["painting/failed"] == 1


def test_search_goes_on_until_commons_says_no_more() -> None:
    first = {**SEARCH, "query": {"pages": [STREET]}}
    last = {"batchcomplete": True, "query": {"pages": [HERON]}}
    walked = _photographs(first, last)
    assert [work.id for work in walked.works] == ["310001", "300002"]
    assert "gsroffset" not in _query(walked.asked[0].url)
    assert (_query(walked.asked[1].url)["gsroffset"], len(walked.asked)) == ("50", 2)
    assert walked.counts["photo/exhausted"] == 1


def test_page_described_in_the_next_answer_is_read_there() -> None:
    bare = {key: value for key, value in HERON.items() if key != "imageinfo"}
    first = {"continue": {"iicontinue": "Heron.jpeg|2012", "continue": "||"}, "query": {"pages": [STREET, bare]}}
    last = {"batchcomplete": True, "query": {"pages": [HERON]}}
    assert [work.id for work in _photographs(first, last).works] == ["310001", "300002"]


@pytest.mark.parametrize("answer", [{"continue": {"gsroffset": 50}, "query": {"pages": []}}, {"batchcomplete": True}])
def test_search_without_pages_ends_the_walk(answer: object) -> None:
    walked = _photographs(answer)
    assert (walked.counts["photo/exhausted"], len(walked.asked)) == (1, 1)


@pytest.mark.parametrize(
    ("licences", "categories"),
    [
        (["CC0-1.0", "CC-PDM-1.0", "BSD-3-Clause"], 'incategory:"CC-Zero|PD-self"'),
        (["CC-BY-SA-3.0", "CC-BY-4.0"], 'incategory:"CC-BY-4.0|CC-BY-SA-3.0"'),
    ],
)
def test_search_is_for_good_photographs_under_the_licences_allowed(licences: list[str], categories: str) -> None:
    walked = _photographs({"batchcomplete": True, "query": {"pages": []}}, licences=licences)
    assert _query(walked.asked[0].url)["gsrsearch"] == f'incategory:"Quality images" {categories} filemime:image/jpeg'


def test_nothing_is_searched_without_a_licence_to_search_for() -> None:
    assert _photographs(SEARCH, licences=["NKC"]).asked == []


def test_interfaces_are_asked_for_a_width_that_there_is_and_not_past_their_robots_txt() -> None:
    walked = _paintings()
    assert {urlsplit(asked.url).hostname for asked in walked.asked} == {"query.wikidata.org", "commons.wikimedia.org"}
    assert not any("dont_obey_robotstxt" in asked.meta for asked in walked.asked)
    assert {_query(asked.url)["iiurlwidth"] for asked in walked.asked if asked.url.startswith(API)} == {"960"}


@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"code": "maxlag", "info": "Waiting for a database server"}},
        {"query": None},
        {"query": []},
        {"query": {}},
        {"query": {"pages": 3}},
        {"query": {"pages": None}},
        {"continue": "gsroffset", "query": {"pages": [HERON]}},
    ],
)
def test_answer_that_is_none_ends_the_walk(answer: object) -> None:
    assert _photographs(answer).counts["photo/failed"] == 1


@pytest.mark.parametrize("results", [None, {}, {"bindings": 3}, {"bindings": None}])
def test_answer_of_wikidata_that_is_none_ends_the_walk(results: object) -> None:
    walked = asyncio.run(report(CommonsSpider, "painting", lambda _: {"results": results}))
    assert walked.counts["painting/failed"] == 1


@pytest.mark.parametrize(
    "row",
    [
        *(None, "x", {}, {**ROWS[0], "image": None}, {**ROWS[0], "image": {"value": 7}}),
        *({**ROWS[0], "item": {"value": value}} for value in ("Q1", "http://www.wikidata.org/entity/P1", 7)),
        *({**ROWS[0], "itemLabel": value} for value in (None, {}, {"value": ["x"]})),
        *({**ROWS[0], "creator": value} for value in (None, {"value": ["x"]})),
        {**ROWS[0], "creatorLabel": {"value": 3}},
        *({**ROWS[0], "year": {"value": value}} for value in (1888, "MDCCCLXXXVIII", "18880")),
    ],
)
def test_doubtful_row_is_dropped_and_counted(row: object) -> None:
    walked = _paintings([row, ROWS[2]], [page for page in PAGES if page.get("pageid") in (9001, 9003)])
    assert [work.group for work in walked.works] == ["Q15877"]
    assert walked.counts["painting/dropped"] >= 1


DOUBTFUL: list[tuple[str, Any]] = [
    *(("descriptionurl", value) for value in (None, "", "javascript:alert(1)")),
    *(("thumburl", value) for value in (None, ["x"], "https://evil.example/x.jpg", "https://upload.wikimedia.org:1/x")),
    *(("thumbwidth", value) for value in (0, "960", 960.5, True)),
    ("thumbheight", -1),
    ("extmetadata", []),
    *(("extmetadata", {**HERON["imageinfo"][0]["extmetadata"], "Artist": {"value": value}}) for value in (["x"], 3)),
    ("extmetadata", {**HERON["imageinfo"][0]["extmetadata"], "Artist": "x"}),
    ("extmetadata", {**HERON["imageinfo"][0]["extmetadata"], "LicenseShortName": {"value": ["CC0"]}}),
    ("mime", ["image/jpeg"]),
]


@pytest.mark.parametrize(("key", "value"), DOUBTFUL)
def test_doubtful_file_is_dropped_and_counted(key: str, value: object) -> None:
    page = {**HERON, "imageinfo": [{**HERON["imageinfo"][0], key: value}]}
    walked = _photographs({"query": {"pages": [page, STREET]}})
    assert [work.id for work in walked.works] == ["310001"]
    assert walked.counts["photo/dropped"] == 1


@pytest.mark.parametrize("mime", ["image/svg+xml", "image/gif", "video/webm", "application/pdf"])
def test_what_is_no_photograph_of_a_painting_is_passed_over(mime: str) -> None:
    page = {**TERRACE, "imageinfo": [{**TERRACE["imageinfo"][0], "mime": mime}]}
    assert SPIDER.work({"page": page, "paintings": {page["title"]: ROWS[0]}}, "painting") is None


@given(page=st.sampled_from([TERRACE, PAGES[0]]).flatmap(disturbed), row=st.sampled_from(ROWS[:2]).flatmap(disturbed))
def test_no_painting_breaks_the_spider(page: Any, row: Any) -> None:
    assert_harmless(SPIDER, {"page": page, "paintings": {TERRACE["title"]: row}}, "painting")


@given(page=st.sampled_from([STREET, HERON]).flatmap(disturbed))
def test_no_photograph_breaks_the_spider(page: Any) -> None:
    assert_harmless(SPIDER, {"page": page}, "photo")


def _paintings(rows: list[Any] = ROWS, pages: list[Any] = PAGES) -> Walk:
    """A walk whose first decade has the rows."""
    items = iter([{"results": {"bindings": rows}}])
    files = {**FILES, "query": {**FILES["query"], "pages": pages}}
    nothing: Any = {"results": {"bindings": []}}
    return asyncio.run(
        report(CommonsSpider, "painting", lambda address: files if address.startswith(API) else next(items, nothing))
    )


def _photographs(*answers: Any, **options: Any) -> Walk:
    last = {"batchcomplete": True, "query": {"pages": []}}
    pages = iter(answers)
    return asyncio.run(report(CommonsSpider, "photo", lambda _: next(pages, last), **options))


def _row(decade: int, number: int) -> Any:
    name = f"http://commons.wikimedia.org/wiki/Special:FilePath/{decade}-{number}.jpg"
    return {
        **ROWS[0],
        "image": {"value": name},
        "item": {"value": f"http://www.wikidata.org/entity/Q{decade}{number}"[:60]},
    }


def _page(title: str) -> Any:
    image = TERRACE["imageinfo"][0] | {"thumburl": f"https://thumb.wikimedia.org/{title.replace(' ', '_')}"}
    return {**TERRACE, "pageid": crc32(title.encode()), "title": title, "imageinfo": [image]}


def _span(query: str) -> tuple[int, int, int]:
    """Decade, limit and offset that a query of Wikidata names."""
    words = query.replace('"', " ").split()
    decade = next(int(word[:4]) for word in words if word.endswith("-01-01T00:00:00Z"))
    return decade, int(words[words.index("LIMIT") + 1]), int(words[words.index("OFFSET") + 1])


def _query(address: str) -> dict[str, str]:
    return {key: value for key, (value,) in parse_qs(urlsplit(address).query).items()}
