"""The index stage against a museum on loopback."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.stages.index import MANIFEST, METRICS
from scrapers.items import read_manifest
from scrapers.sample.server import record
from tests.scrapers.small_museum import SmallHandler, small_museum
from tests.stages.running import edit_crawl, error, run


@pytest.fixture(autouse=True)
def _few_works(workspace: Path) -> None:
    edit_crawl(per_class=12, min_per_class=10)


def test_manifest_is_sorted_and_the_same_every_time_and_a_larger_share_keeps_it() -> None:
    with small_museum() as museum:
        run("index", "--stand-in", museum.address)
        first = MANIFEST.read_bytes()
        run("index", "--stand-in", museum.address)
        assert MANIFEST.read_bytes() == first
        works = read_manifest(MANIFEST)
        edit_crawl(per_class=14)
        run("index", "--stand-in", museum.address)
    assert [work.key for work in works] == sorted(work.key for work in works)
    assert [sum(work.label == label for work in works) for label in ("painting", "photo")] == [12, 12]
    assert {work.id for work in works} >= {"plate-expressionist", "plate-pointillist"}
    more = read_manifest(MANIFEST)
    assert len(more) == 28
    assert all(work in more for work in works)
    assert list(json.loads(first.splitlines()[0])) == [
        *("source", "id", "label", "group", "title", "creator", "year", "licence"),
        *("licence_url", "page_url", "image_url", "width_px", "height_px"),
    ]
    assert str(museum.server_port).encode() not in first
    assert museum.visits[0].target == "http://museum.localhost/robots.txt"
    assert {visit.user_agent for visit in museum.visits} == {"paint-your-video/0.1 (+https://example.org/contact)"}
    assert not museum.images_asked


def test_badly_described_works_are_left_out_and_counted() -> None:
    def hostile(handler: SmallHandler) -> None:
        kind = "Photograph" if "Photograph" in handler.path else "Painting"
        works: list[Any] = [record(work) for work in handler.server.by_type[kind]]
        if kind == "Photograph":
            works = [{"id": "../../etc/passwd"}, None, [], {"id": 7}, "\ud800", works[0], *works]
        handler.send_bytes(json.dumps({"info": {"total": len(works)}, "data": works}).encode())

    with small_museum() as museum:
        museum.faults["/api/artworks/"] = hostile
        run("index", "--stand-in", museum.address)
    assert sum(work.label == "photo" for work in read_manifest(MANIFEST)) == 12
    figures = json.loads(METRICS.read_text())["sources"]["sample"]
    assert figures["photo"] == {"given": 12, "share": 12, "dropped": 6, "passed": 0, "ended": "full"}


def test_dead_server_leaves_the_old_manifest() -> None:
    MANIFEST.parent.mkdir(parents=True)
    MANIFEST.write_text("the old one\n")
    edit_crawl(backoff_s=0.01, patience_s=0.1)
    with small_museum() as museum:
        address = museum.address
    assert "the sources gave 0 of class painting" in error("index", "--stand-in", address)
    assert MANIFEST.read_text() == "the old one\n"
    assert json.loads(METRICS.read_text())["sources"]["sample"]["photo"]["ended"] == "failed"


def test_page_of_a_wall_of_bots_ends_the_stage() -> None:
    with small_museum() as museum:
        museum.faults["/api/artworks/"] = lambda handler: handler.send_bytes(b"<html>Are you a robot?")
        assert "the sources gave 0 of class painting" in error("index", "--stand-in", museum.address)
    assert not MANIFEST.exists()


def test_class_under_its_floor_ends_the_stage() -> None:
    with small_museum(per_class=9) as museum:
        assert "crawl.min_per_class = 10" in error("index", "--stand-in", museum.address)
    assert not MANIFEST.exists()


def test_exclusion_that_leaves_nothing_out_is_named() -> None:
    with small_museum() as museum:
        run("index", "--stand-in", museum.address)
        met = f"sample/{read_manifest(MANIFEST)[0].id}"
        edit_crawl(exclude=[met])
        assert "crawl.exclude" not in run("index", "--stand-in", museum.address)
        edit_crawl(exclude=["sample/plate-expresionist", met, "met/10000"])
        said = run("index", "--stand-in", museum.address)
    assert "crawl.exclude had nothing to leave out for sample/plate-expresionist; works that come after" in said


@pytest.mark.parametrize(
    ("licence", "way_out"),
    [
        ("CC0", "'CC0', which no source states; write CC0-1.0"),
        ("cc-by 4.0", "write CC-BY-4.0"),
        ("MIT", "it takes SPDX identifiers, such as CC0-1.0, CC-PDM-1.0, CC-BY-1.0"),
    ],
)
def test_licence_that_no_source_states_is_named_before_anything_is_asked(licence: str, way_out: str) -> None:
    edit_crawl(licences=["CC-PDM-1.0", licence])
    with small_museum() as museum:
        sentence = error("index", "--stand-in", museum.address)
    assert sentence.startswith("error: crawl.licences names ")
    assert way_out in sentence
    assert not museum.visits


def test_licences_and_exclusions_decide_what_is_taken() -> None:
    with small_museum() as museum:
        run("index", "--stand-in", museum.address)
        first = read_manifest(MANIFEST)
        unwanted = first[-1]
        edit_crawl(exclude=[f"sample/{unwanted.id}"])
        run("index", "--stand-in", museum.address)
        works = read_manifest(MANIFEST)
        assert unwanted not in works
        assert len(works) == len(first), "another work takes its place"
        edit_crawl(licences=["CC-PDM-1.0"])
        assert "gave 0 of class painting" in error("index", "--stand-in", museum.address)
