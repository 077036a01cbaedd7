"""What hosts ask of a crawler, and whether they get it."""

import gzip
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy.http import Response

from pipeline.stages.fetch import MANIFEST, METRICS, RAW
from scrapers.hosts import forbids_use, retry_after
from scrapers.items import Label, Work, write_manifest
from tests.scrapers.small_museum import SmallHandler, SmallMuseum, small_museum
from tests.stages.running import edit_crawl, error, run

AGENT = "paint-your-video/0.1 (+https://example.org/contact)"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("0", 0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("9" * 50, 999999999),
    ],
)
def test_retry_after_in_seconds(value: str, seconds: float | None) -> None:
    assert retry_after(Response("http://a.example/", headers={"Retry-After": value})) == seconds


def test_retry_after_as_a_date() -> None:
    later = datetime.now(UTC) + timedelta(seconds=90)
    for date in (format_datetime(later, usegmt=True), later.strftime("%a, %d %b %Y %H:%M:%S -0000")):
        assert retry_after(Response("http://a.example/", headers={"Retry-After": date})) == pytest.approx(90, abs=2)
    past = Response("http://a.example/", headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})
    assert retry_after(past) == 0


@given(st.binary(max_size=40))
def test_no_header_breaks_anything(value: bytes) -> None:
    response = Response("http://a.example/", headers={"Retry-After": value, "X-Robots-Tag": value})
    assert (retry_after(response) or 0) >= 0
    forbids_use(response, AGENT)


@pytest.mark.parametrize(
    ("lines", "directive"),
    [
        (["noai"], "noai"),
        (["max-image-preview: large, NoImageAI"], "noimageai"),
        (["all", "noindex"], "noindex"),
        (["none"], "none"),
        (["googlebot: noindex, noai"], None),
        (["googlebot: noindex", "noai"], "noai"),
        (["paint-your-video: noai"], "noai"),
        (["unavailable_after: 25 Jun 2030 15:00:00 PST, noai"], "noai"),
        (["unavailable_after: Wed, 25 Jun 2031 15:00:00 GMT, noai"], "noai"),
        (["nofollow, noarchive"], None),
        ([""], None),
    ],
)
def test_robots_tag(lines: list[str], directive: str | None) -> None:
    assert forbids_use(Response("http://a.example/", headers={"X-Robots-Tag": lines}), AGENT) == directive


@pytest.fixture
def museum(workspace: Path) -> Iterator[SmallMuseum]:
    """A museum, and a manifest of one painting and eight photographs, asked for one by one in this order."""
    host = {"delay_s": 0.0, "concurrency": 1}
    edit_crawl(min_per_class=1, max_error_ratio=1.0, backoff_s=0.2, patience_s=5, max_refusals=3)
    edit_crawl(hosts={"museum.localhost": host, "default": host})
    with small_museum(8) as opened:
        MANIFEST.parent.mkdir(parents=True)
        write_manifest([_work("painting", "p"), *(_work("photo", name) for name in "abcdefgh")], MANIFEST)
        yield opened


@pytest.mark.parametrize("asked_s", [1, None, 0])
def test_host_that_asks_for_rest_gets_it_and_loses_nothing(museum: SmallMuseum, asked_s: int | None) -> None:
    refused: list[str] = []

    def overrun(handler: SmallHandler) -> None:
        if len(refused) < 2:
            refused.append(handler.path)
            handler.send_bytes(b"slower!", status=429, headers={} if asked_s is None else {"Retry-After": f"{asked_s}"})
        else:
            handler.send_bytes(b"\xff\xd8")

    museum.faults["/images/c.jpg"] = overrun
    run("fetch", "--stand-in", museum.address)
    times = [visit.time_s for visit in museum.visits if visit.path.startswith("/images/")]
    pauses = sorted(after - before for before, after in pairwise(times))[-2:]
    rest_s = asked_s or 0.2
    assert pauses == pytest.approx([rest_s, rest_s], abs=0.25)
    assert min(pauses) >= rest_s - 0.01, "never too early"
    assert len(list(RAW.rglob("*.jpg"))) == 9


@pytest.mark.parametrize("status", [429, 503])
def test_host_that_asks_for_rest_all_the_time_is_left_alone(museum: SmallMuseum, status: int) -> None:
    edit_crawl(patience_s=1.2, retries=0)
    busy = {"Retry-After": "0"}
    museum.faults["/images/c.jpg"] = lambda handler: handler.send_bytes(b"", status=status, headers=busy)
    for name in "defgh":
        museum.faults[f"/images/{name}.jpg"] = museum.faults["/images/c.jpg"]
    run("fetch", "--stand-in", museum.address)
    assert 4 <= museum.images_asked.total() <= 3 + 4, "p, a and b, and three rests"
    assert json.loads(METRICS.read_text())["failed_by_reason"].keys() <= {"host-left-alone", f"http-{status}"}


def test_host_that_asks_for_more_than_our_patience_is_left_alone(museum: SmallMuseum) -> None:
    museum.faults["/images/c.jpg"] = lambda handler: handler.send_bytes(b"", status=503, headers={"Retry-After": "9"})
    run("fetch", "--stand-in", museum.address)
    assert json.loads(METRICS.read_text())["failed_by_reason"].keys() == {"host-left-alone", "http-503"}
    assert museum.images_asked.total() == 4, "painting p, photographs a, b and c"


def test_host_that_is_left_alone_is_not_asked_for_what_waits(museum: SmallMuseum) -> None:
    edit_crawl(hosts={"default": {"delay_s": 0.3, "concurrency": 4}})
    museum.faults["/images/p.jpg"] = lambda handler: handler.send_bytes(b"", status=429, headers={"Retry-After": "999"})
    began = time.monotonic()
    error("fetch", "--stand-in", museum.address)
    assert museum.images_asked.total() <= 2
    assert time.monotonic() - began < 6


def test_answer_that_was_under_way_does_not_end_a_rest(museum: SmallMuseum) -> None:
    edit_crawl(hosts={"default": {"delay_s": 0.0, "concurrency": 2}})
    asked: list[str] = []

    def once_busy(handler: SmallHandler) -> None:
        asked.append(handler.path)
        if len(asked) == 1:
            handler.send_bytes(b"", status=429, headers={"Retry-After": "1"})
        else:
            handler.send_bytes(b"\xff\xd8")

    def slow(handler: SmallHandler) -> None:
        time.sleep(0.3)
        handler.send_bytes(b"\xff\xd8")

    museum.faults |= {"/images/p.jpg": once_busy, "/images/a.jpg": slow}
    run("fetch", "--stand-in", museum.address)
    times = [visit.time_s for visit in museum.visits if visit.path.startswith("/images/")]
    assert max(after - before for before, after in pairwise(times)) > 0.98
    assert len(list(RAW.rglob("*.jpg"))) == 9


def test_redirect_is_asked_at_the_pace_of_the_host_it_leads_to(museum: SmallMuseum) -> None:
    works = [_work("painting", "p"), *(_work("photo", name) for name in "abc")]
    slow = [replace(work, id=f"{work.id}2", image_url=f"http://slow.example/{work.id}.jpg") for work in works]
    write_manifest([*works, *slow], MANIFEST)
    edit_crawl(
        hosts={"slow.example": {"delay_s": 0.3, "concurrency": 1}, "default": {"delay_s": 0.0, "concurrency": 4}}
    )
    for work in works:
        away = {"Location": f"http://slow.example/{work.id}-again.jpg"}
        museum.faults[f"/images/{work.id}.jpg"] = partial(SmallHandler.send_bytes, body=b"", status=302, headers=away)
        for name in (work.id, f"{work.id}-again"):
            museum.faults[f"/{name}.jpg"] = partial(SmallHandler.send_bytes, body=b"\xff\xd8")
    run("fetch", "--stand-in", museum.address)
    times = [visit.time_s for visit in museum.visits if visit.target.startswith("http://slow.example/")]
    assert len(times) == 9, "robots.txt and twice four"
    assert min(after - before for before, after in pairwise(times)) > 0.28
    assert len(list(RAW.rglob("*.jpg"))) == 8


@pytest.mark.parametrize(
    "away", ["https://museum.localhost/x.jpg", "http://a.museum.localhost/x.jpg", "http://u:p@museum.localhost/x.jpg"]
)
def test_redirect_to_another_scheme_host_or_user_is_not_followed(museum: SmallMuseum, away: str) -> None:
    museum.faults["/images/a.jpg"] = partial(SmallHandler.send_bytes, body=b"", status=302, headers={"Location": away})
    run("fetch", "--stand-in", museum.address)
    assert json.loads(METRICS.read_text())["failed_by_reason"] == {"redirect-elsewhere": 1}


def test_host_that_refuses_thrice_in_a_row_is_left_alone(museum: SmallMuseum) -> None:
    for name in "bdefgh":
        museum.faults[f"/images/{name}.jpg"] = lambda handler: handler.send_bytes(b"<html>", status=403)
    run("fetch", "--stand-in", museum.address)
    assert json.loads(METRICS.read_text())["failed_by_reason"] == {"host-left-alone": 2, "http-403": 4}
    assert museum.images_asked.keys() == {f"/images/{name}.jpg" for name in "pabcdef"}


def test_host_in_trouble_is_asked_less_and_less_until_it_is_well(museum: SmallMuseum) -> None:
    edit_crawl(retries=3)
    asked: list[str] = []

    def down(handler: SmallHandler) -> None:
        asked.append(handler.path)
        if len(asked) <= 7:
            handler.send_bytes(b"down", status=500)
        else:
            handler.send_bytes(b"\xff\xd8")

    for name in "pabcdefgh":
        museum.faults[f"/images/{name}.jpg"] = down
    run("fetch", "--stand-in", museum.address)
    assert len(list(RAW.rglob("*.jpg"))) == 9
    times = [visit.time_s for visit in museum.visits if visit.path.startswith("/images/")]
    pauses = [after - before for before, after in pairwise(times)]
    assert pauses[4:7] == pytest.approx([0.2, 0.4, 0.8], abs=0.15), "after the fifth failure in a row"
    assert sum(pauses[:4]) + sum(pauses[7:]) < 1


def test_crawl_delay_beyond_our_patience_leaves_the_host_alone(museum: SmallMuseum) -> None:
    museum.faults["/robots.txt"] = lambda handler: handler.send_bytes(b"User-agent: *\nCrawl-delay: 1000000000\n")
    error("fetch", "--stand-in", museum.address)
    assert not museum.images_asked


def test_crawl_delay_is_kept(museum: SmallMuseum) -> None:
    museum.faults["/robots.txt"] = lambda handler: handler.send_bytes(b"User-agent: *\nCrawl-delay: 0.3\n")
    run("fetch", "--stand-in", museum.address)
    times = [visit.time_s for visit in museum.visits]
    assert min(after - before for before, after in pairwise(times)) > 0.28


def test_rest_that_is_asked_for_by_robots_txt_costs_nothing(museum: SmallMuseum) -> None:
    edit_crawl(retries=0)
    asked: list[str] = []

    def busy(handler: SmallHandler) -> None:
        asked.append(handler.path)
        if len(asked) <= 4:
            handler.send_bytes(b"", status=429)
        else:
            handler.send_bytes(b"User-agent: *\nAllow: /\n")

    museum.faults["/robots.txt"] = busy
    run("fetch", "--stand-in", museum.address)
    assert len(list(RAW.rglob("*.jpg"))) == 9


def test_robots_txt_is_read_though_it_is_packed(museum: SmallMuseum) -> None:
    packed = gzip.compress(b"User-agent: *\nDisallow: /\n")
    museum.faults["/robots.txt"] = lambda handler: handler.send_bytes(packed, headers={"Content-Encoding": "gzip"})
    error("fetch", "--stand-in", museum.address)
    assert json.loads(METRICS.read_text())["failed_by_reason"] == {"robots-txt": 9}
    assert not museum.images_asked


def test_exempt_host_is_asked_in_spite_of_its_robots_txt_but_at_its_pace(museum: SmallMuseum) -> None:
    edit_crawl(
        hosts={
            "museum.localhost": {"delay_s": 0, "concurrency": 1, "robots_txt": False},
            "default": {"delay_s": 0, "concurrency": 1},
        }
    )
    rules = b"User-agent: *\nDisallow: /\nCrawl-delay: 0.2\n"
    museum.faults["/robots.txt"] = lambda handler: handler.send_bytes(rules)
    run("fetch", "--stand-in", museum.address)
    times = [visit.time_s for visit in museum.visits]
    assert len(times) == 10
    assert min(after - before for before, after in pairwise(times)) > 0.18


def test_robots_txt_that_cannot_be_had_forbids_everything(museum: SmallMuseum) -> None:
    edit_crawl(patience_s=0.5)
    museum.faults["/robots.txt"] = lambda handler: handler.send_bytes(b"down", status=500)
    error("fetch", "--stand-in", museum.address)
    assert not museum.images_asked
    reasons = json.loads(METRICS.read_text())["failed_by_reason"]
    assert reasons.keys() <= {"robots-txt-unavailable", "host-left-alone"}


def _work(label: Label, name: str) -> Work:
    return Work(
        source="sample",
        id=name,
        label=label,
        group=name,
        title=name,
        creator="Somebody",
        year=None,
        licence="CC0-1.0",
        licence_url="https://example.org/cc0",
        page_url=f"https://example.org/{name}",
        image_url=f"http://museum.localhost/images/{name}.jpg",
        width_px=None,
        height_px=None,
    )
