"""Index and fetch against stand-ins of the live museums, on bad days."""

import csv
import json
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.stages.fetch import MANIFEST, METRICS, RAW, TABLE
from pipeline.stages.index import METRICS as INDEX_METRICS
from scrapers.items import read_manifest
from tests.museums.collection import Sizes
from tests.museums.faults import Fault
from tests.museums.server import Museums, open_museums
from tests.stages.running import edit_crawl, error, run, start

SIZES = Sizes(cleveland=(80, 80), nga=(60, 60), met=(40, 40), aic=(60, 20), commons=(60, 60), inaturalist=(0, 60))
PER_CLASS = 150
IMAGES = "*.jp*g"
ETIQUETTE = ("commons.wikimedia.org", "query.wikidata.org")
"""Interfaces whose robots.txt is for others."""
RECORDS = {"checksums.sha256", "addresses.txt"}
"""What the store knows of its files."""
BAD_DAY = (
    Fault("retry-after-seconds", path=IMAGES, share=0.02, first=1),
    Fault("server-error", path=IMAGES, share=0.05, first=1),
    Fault("reset", path=IMAGES, share=0.05, first=1),
    Fault("truncated", path=IMAGES, share=0.05, first=1),
    Fault("gone", path=IMAGES, share=0.04),
    Fault("html", path=IMAGES, share=0.03),
    Fault("redirect-elsewhere", path=IMAGES, share=0.03),
    Fault("redirect-loop", path=IMAGES, share=0.02),
    Fault("redirect-private", path=IMAGES, share=0.02),
    Fault("noai", path=IMAGES, share=0.02),
    Fault("endless", path=IMAGES, share=0.01),
    Fault("drip", path=IMAGES, share=0.005, seconds=0.1),
    Fault("server-error", host="collectionapi.metmuseum.org", path="*/objects/*", share=0.1, first=1),
    Fault("reset", host="api.artic.edu", first=1),
)


@pytest.fixture(autouse=True)
def _live(workspace: Path) -> None:
    """Parameters of a live crawl, of hosts that allow everything."""
    edit_crawl(
        sources=["cleveland", "nga", "met", "aic", "commons", "inaturalist"],
        licences=["CC0-1.0", "CC-PDM-1.0"],
        user_agent="paint-your-video-tests/1 (tests@paint-your-video.net)",
        hosts=_hosts(concurrency=4),
        per_class=PER_CLASS,
        min_per_class=1,
        max_error_ratio=0.3,
        max_image_mb=0.5,
        timeout_s=1.5,
        backoff_s=0.1,
        patience_s=20,
    )


def test_crawl_that_is_killed_five_times_ends_with_the_same_files(tmp_path: Path) -> None:
    with open_museums(SIZES, BAD_DAY, tiny=True) as museums:
        _crawl(museums)
        undisturbed, reasons = _files(), _reasons()
    assert set(reasons) >= {"http-404", "html", "redirect-elsewhere", "redirect-loop", "x-robots-tag", "too-large"}
    shutil.rmtree("data")
    rng = random.Random(7)
    with open_museums(SIZES, BAD_DAY, tiny=True) as museums:
        for stage, requests in (("index", 60), ("index", 100), ("fetch", 300), ("fetch", 400), ("fetch", 500)):
            if stage == "fetch" and not MANIFEST.exists():
                run("index", "--stand-in", museums.address)
            _kill(stage, museums, after=rng.randrange(requests // 4))
        _crawl(museums)
        assert _files() == undisturbed
        assert _reasons() == reasons
        asked = museums.requests.total()
        run("fetch", "--stand-in", museums.address)
        assert museums.requests.total() - asked <= 3 * sum(reasons.values()), "only for what failed"
    rows = _rows()
    assert [row["path"] for row in rows] == [work.path for work in read_manifest(MANIFEST)]
    assert all((row["status"] == "ok") == bool(row["sha256"]) != bool(row["reason"]) for row in rows)


def test_finished_crawl_asks_only_for_what_was_gone_and_an_older_snapshot_is_pruned() -> None:
    with open_museums(SIZES, tiny=True) as museums:
        _crawl(museums)
        works = read_manifest(MANIFEST)
        before = len(museums.visits)
        run("fetch", "--stand-in", museums.address)
        run("index", "--stand-in", museums.address)
        again = museums.visits[before:]
        assert {visit.host for visit in again} <= {"collectionapi.metmuseum.org"}, "what is gone is no answer to keep"
        assert len(again) <= 3, "two objects and robots.txt"
        assert read_manifest(MANIFEST) == works
    assert _files().keys() - RECORDS == {work.path for work in works}
    edit_crawl(snapshot="2030-01-01")
    with open_museums(SIZES, tiny=True, seed=2) as museums:
        _crawl(museums)
    assert [path.name for path in MANIFEST.parent.glob(".answers*")] == [".answers-2030-01-01.sqlite"]
    assert _files().keys() - RECORDS == {work.path for work in read_manifest(MANIFEST)}


def test_what_a_source_cannot_give_is_given_by_the_others() -> None:
    edit_crawl(quotas={"inaturalist": {"photo": 5}})
    with open_museums(SIZES, tiny=True) as museums:
        said = run("index", "--stand-in", museums.address)
        offered = {source: museums.expected(source, "painting") for source in ("met", "aic", "cleveland")}
    works = read_manifest(MANIFEST)
    counts = Counter((work.source, work.label) for work in works)
    assert Counter(work.label for work in works) == {"painting": PER_CLASS, "photo": PER_CLASS}
    assert counts["met", "painting"] == min(30, offered["met"])
    figures = json.loads(INDEX_METRICS.read_text())["sources"]
    assert {source: walks["photo"]["share"] for source, walks in figures.items()} == {
        **dict.fromkeys(("cleveland", "nga", "met", "aic", "commons"), 29),
        "inaturalist": 5,
    }
    assert counts["inaturalist", "photo"] == figures["inaturalist"]["photo"]["given"] == 5
    assert "inaturalist gives" not in said, "that limit was set"
    assert figures["aic"]["photo"]["ended"] == "exhausted"
    assert figures["aic"]["photo"]["given"] < figures["aic"]["photo"]["share"]
    assert "failed" not in {walk["ended"] for walks in figures.values() for walk in walks.values()}
    assert {work.licence for work in works} <= {"CC0-1.0", "CC-PDM-1.0"}


def test_host_that_refuses_is_left_alone_and_the_rest_goes_on() -> None:
    edit_crawl(max_refusals=5, max_error_ratio=0.5)
    walls = [
        Fault("forbidden", host="www.artic.edu", path=IMAGES),
        Fault("forbidden", host="collectionapi.metmuseum.org"),
    ]
    with open_museums(SIZES, walls, tiny=True) as museums:
        _crawl(museums)
        assert museums.requests["www.artic.edu"] <= 5 + 4 + 1, "five refusals, what was under way, robots.txt"
    works = read_manifest(MANIFEST)
    assert not [work for work in works if work.source == "met"]
    assert Counter(work.label for work in works) == {"painting": PER_CLASS, "photo": PER_CLASS}
    assert json.loads(INDEX_METRICS.read_text())["sources"]["met"]["painting"]["ended"] == "failed"
    failed = [row for row in _rows() if row["status"] == "failed"]
    assert {row["source"] for row in failed} == {"aic"}
    assert {row["reason"] for row in failed} == {"http-403", "host-left-alone"}
    assert len(failed) == sum(work.source == "aic" for work in works)


def test_every_host_is_asked_as_its_row_of_the_table_says() -> None:
    slow = {"delay_s": 0.1, "concurrency": 1}
    edit_crawl(per_class=20, hosts=_hosts(concurrency=2) | {"images.metmuseum.org": slow})
    with open_museums(SIZES, [Fault("late", path=IMAGES, seconds=0.02)], tiny=True) as museums:
        _crawl(museums)
        most = museums.open_most
        times = [visit.time_s for visit in museums.visits if visit.host == "images.metmuseum.org"]
        agents = {visit.user_agent for visit in museums.visits}
        robots = {visit.host for visit in museums.visits if visit.path == "/robots.txt"}
        hosts = set(museums.requests)
    assert max(most.values()) == 2
    assert most["images.metmuseum.org"] == 1
    assert len(times) > 3
    assert times[-1] - times[0] > 0.1 * (len(times) - 2)  # the first visit may be noted late
    assert agents == {"paint-your-video-tests/1 (tests@paint-your-video.net)"}
    assert hosts == robots


def test_short_outage_of_a_source_costs_nothing() -> None:
    edit_crawl(sources=["cleveland"], per_class=10, retries=1, backoff_s=0.02)
    with open_museums(SIZES, tiny=True) as museums:
        run("index", "--stand-in", museums.address)
    undisturbed = read_manifest(MANIFEST)
    shutil.rmtree("data")
    outage = Fault("server-error", host="openaccess-api.clevelandart.org", path="*/artworks/*", first=4)
    with open_museums(SIZES, [outage], tiny=True) as museums:
        run("index", "--stand-in", museums.address)
        assert museums.requests["openaccess-api.clevelandart.org"] > 8
    assert read_manifest(MANIFEST) == undisturbed
    walks = json.loads(INDEX_METRICS.read_text())["sources"]["cleveland"]
    assert [walk["ended"] for walk in walks.values()] == ["full", "full"]


def test_rehearsal_keeps_away_from_what_was_crawled() -> None:
    Path(".dvc").mkdir()
    for path in (MANIFEST.parent / ".answers-2026-11-22.sqlite", MANIFEST, RAW / "met/photo/1.jpg"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"crawled")
    before = {path: path.stat() for path in Path("data").rglob("*")}
    for stage in ("index", "fetch"):
        sentence = error(stage, "--stand-in", "http://127.0.0.1:9")
        assert "make an empty folder, copy params.yaml there, and run this in it" in sentence
    assert {path: path.stat() for path in Path("data").rglob("*")} == before


def _hosts(concurrency: int) -> dict[str, dict[str, Any]]:
    default = {"delay_s": 0.0, "concurrency": concurrency}
    return {"default": default} | {name: {**default, "robots_txt": False} for name in ETIQUETTE}


def _crawl(museums: Museums) -> None:
    run("index", "--stand-in", museums.address)
    run("fetch", "--stand-in", museums.address)


def _kill(stage: str, museums: Museums, after: int) -> None:
    """Start a stage and kill it after so many requests, unless it has come to its end before."""
    asked = museums.requests.total()
    with start(stage, "--stand-in", museums.address) as process:
        while process.poll() is None and museums.requests.total() - asked < after:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)


def _files() -> dict[str, bytes]:
    return {path.relative_to(RAW).as_posix(): path.read_bytes() for path in RAW.rglob("*") if path.is_file()}


def _rows() -> Sequence[dict[str, str]]:
    with TABLE.open(newline="") as file:
        return list(csv.DictReader(file))


def _reasons() -> dict[str, int]:
    reasons: dict[str, int] = json.loads(METRICS.read_text())["failed_by_reason"]
    return reasons
