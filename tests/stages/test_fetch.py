"""The fetch stage against a museum on loopback that counts, delays and misbehaves."""

import csv
import hashlib
import json
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.console import UserError
from pipeline.stages import fetch
from pipeline.stages.fetch import MANIFEST, METRICS, RAW, TABLE
from scrapers.items import Label, Work, read_manifest, write_manifest
from scrapers.sample.server import record
from scrapers.sample.works import Exhibit
from tests.scrapers.small_museum import Fault, SmallHandler, SmallMuseum, small_museum
from tests.stages.running import edit_crawl, error, run, start

PER_CLASS = 10
RECORDS = {"checksums.sha256", "addresses.txt"}
"""What the store knows of its files."""


@pytest.fixture
def museum(workspace: Path) -> Iterator[SmallMuseum]:
    """A museum, and the manifest of it."""
    edit_crawl(per_class=PER_CLASS, min_per_class=PER_CLASS - 2, backoff_s=0.01, patience_s=1.0)
    with small_museum(PER_CLASS) as opened:
        MANIFEST.parent.mkdir(parents=True)
        write_manifest(_works(opened), MANIFEST)
        yield opened


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_stopped_run_is_continued_where_it_was(
    museum: SmallMuseum, tmp_path: Path, sent: signal.Signals, status: int
) -> None:
    run("fetch", "--stand-in", museum.address)
    undisturbed = _files()
    assert len(undisturbed) == 2 * PER_CLASS + len(RECORDS)
    RAW.rename(tmp_path / "undisturbed")
    museum.visits.clear()
    edit_crawl(
        hosts={"museum.localhost": {"delay_s": 0.0, "concurrency": 2}, "default": {"delay_s": 1, "concurrency": 1}}
    )
    museum.delay_s = 0.1
    with start("fetch", "--stand-in", museum.address) as process:
        while museum.images_asked.total() < PER_CLASS:
            time.sleep(0.01)
            assert process.poll() is None
        process.send_signal(sent)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == status
    assert "Traceback" not in errors
    museum.delay_s = 0.0
    asked_when_stopped = museum.images_asked
    done_when_stopped = {f"/images/{Path(path).name}" for path in _files()}
    assert 0 < len(done_when_stopped & set(asked_when_stopped)) < 2 * PER_CLASS
    run("fetch", "--stand-in", museum.address)
    assert _files() == undisturbed
    twice = {path for path, count in museum.images_asked.items() if count > 1}
    assert len(twice) <= 2, "no more than were in flight"
    assert not twice & done_when_stopped


def test_finished_folder_is_left_alone_and_a_changed_one_mended(museum: SmallMuseum) -> None:
    run("fetch", "--stand-in", museum.address)
    complete = _files()
    times = {path: path.stat().st_mtime_ns for path in RAW.rglob("*.jpg")}
    _check_records()
    museum.visits.clear()
    run("fetch", "--stand-in", museum.address)
    assert not museum.visits
    assert {path: path.stat().st_mtime_ns for path in RAW.rglob("*.jpg")} == times
    changed, missing, *_ = sorted(times)
    changed.write_bytes(changed.read_bytes()[:-1] + b"!")
    missing.unlink()
    (RAW / "sample/photo/unknown.jpg").write_bytes(b"\xff\xd8")
    (RAW / "sample/photo/.half.jpg.1234").write_bytes(b"\xff")
    (RAW / "gone/photo").mkdir(parents=True)
    (RAW / "gone/photo/old.jpg").write_bytes(b"\xff\xd8")
    for name in RECORDS:
        with (RAW / name).open("a") as records:
            records.write("0123 torn li")
    run("fetch", "--stand-in", museum.address)
    assert museum.images_asked == {f"/images/{changed.name}": 1, f"/images/{missing.name}": 1}
    assert _files() == complete
    assert not (RAW / "gone").exists()


def test_larger_manifest_fetches_what_is_new_and_a_smaller_one_deletes(museum: SmallMuseum) -> None:
    edit_crawl(min_per_class=1)
    works = read_manifest(MANIFEST)
    write_manifest(works[3:], MANIFEST)
    run("fetch", "--stand-in", museum.address)
    museum.visits.clear()
    write_manifest(works[:-4], MANIFEST)
    run("fetch", "--stand-in", museum.address)
    assert set(museum.images_asked) == {f"/images/{Path(work.path).name}" for work in works[:3]}
    assert _files().keys() - RECORDS == {work.path for work in works[:-4]}


def test_image_at_a_new_address_takes_the_place_of_the_old_one(museum: SmallMuseum) -> None:
    works = read_manifest(MANIFEST)
    run("fetch", "--stand-in", museum.address)
    before = _files()
    other, elsewhere = works[3], works[4]
    moved = replace(other, image_url=f"{other.image_url}?size=large")
    gone = replace(elsewhere, image_url="http://museum.localhost/images/gone.jpg")
    assert (moved.path, gone.path) == (other.path, elsewhere.path)
    museum.faults[f"/images/{Path(moved.path).name}"] = lambda handler: handler.send_bytes(b"\xff\xd8 larger")
    museum.faults["/images/gone.jpg"] = lambda handler: handler.send_bytes(b"", status=404)
    write_manifest([*works[:3], moved, gone, *works[5:]], MANIFEST)
    museum.visits.clear()
    run("fetch", "--stand-in", museum.address)
    assert museum.images_asked == {f"/images/{Path(moved.path).name}": 1, "/images/gone.jpg": 1}
    after = _files()
    assert after[moved.path] == b"\xff\xd8 larger"
    assert gone.path not in after, "an image that is not the manifest's is not kept in its place"
    same = before.keys() - {moved.path, gone.path, *RECORDS}
    assert {path: after[path] for path in same} == {path: before[path] for path in same}
    museum.visits.clear()
    run("fetch", "--stand-in", museum.address)
    assert museum.images_asked == {"/images/gone.jpg": 1}


def test_every_failure_has_its_reason_and_the_rest_is_kept(museum: SmallMuseum) -> None:
    edit_crawl(max_image_mb=0.05, timeout_s=1.0, retries=1)

    def redirect(to: str) -> Fault:
        return lambda handler: handler.send_bytes(b"", status=302, headers={"Location": to})

    def stall(handler: SmallHandler) -> None:
        time.sleep(1.3)
        handler.close_connection = True

    faults = {
        "http-404": lambda handler: handler.send_bytes(b"gone", status=404),
        "redirect-loop": lambda handler: redirect(handler.path)(handler),
        "redirect-elsewhere": redirect("http://elsewhere.example/x.jpg"),
        "x-robots-tag": lambda handler: handler.send_bytes(b"\xff\xd8", headers={"X-Robots-Tag": "noai"}),
        "html": lambda handler: handler.send_bytes(b"\n <!doctype html><p>Are you a robot?"),
        "empty-content": lambda handler: handler.send_bytes(b""),
        "too-large": lambda handler: handler.send_bytes(b"\xff" * 60_000),
        "truncated": lambda handler: handler.send_bytes(b"\xff\xd8", length=100),
        "timeout": stall,
    }
    paths = sorted(work.path for work in read_manifest(MANIFEST))
    for path, fault in zip(paths, faults.values(), strict=False):
        museum.faults[f"/images/{Path(path).name}"] = fault
    sentence = error("fetch", "--stand-in", museum.address)
    assert "9 of 20 images could not be had" in sentence
    assert "crawl.max_error_ratio" in sentence
    rows = _table()
    assert [row["reason"] for row in rows if row["status"] == "failed"] == list(faults)
    assert json.loads(METRICS.read_text())["failed_by_reason"] == dict.fromkeys(sorted(faults), 1)
    assert sorted(_files().keys() - RECORDS) == paths[9:]


def test_few_failures_are_borne_but_not_a_class_under_its_floor(museum: SmallMuseum) -> None:
    edit_crawl(max_error_ratio=0.15, min_per_class=PER_CLASS - 2)
    photos = [work for work in read_manifest(MANIFEST) if work.label == "photo"][:3]
    for work in photos:
        museum.faults[f"/images/{Path(work.path).name}"] = lambda handler: handler.send_bytes(b"", status=403)
    assert "7 images of class photo are here" in error("fetch", "--stand-in", museum.address)
    edit_crawl(min_per_class=PER_CLASS - 3)
    run("fetch", "--stand-in", museum.address)
    assert json.loads(METRICS.read_text())["failed_by_reason"] == {"http-403": 3}


def test_dead_server_ends_the_stage(museum: SmallMuseum) -> None:
    museum.shutdown()
    museum.server_close()
    edit_crawl(patience_s=0.1)
    sentence = error("fetch", "--stand-in", museum.address)
    assert "20 of 20 images could not be had" in sentence
    assert "connection-refused" in sentence
    assert {row["reason"] for row in _table()} <= {"connection-refused", "robots-txt-unavailable", "host-left-alone"}


def test_robots_txt_is_obeyed(museum: SmallMuseum) -> None:
    museum.faults["/robots.txt"] = lambda handler: handler.send_bytes(b"User-agent: *\nDisallow: /images/\n")
    assert "robots-txt 20" in error("fetch", "--stand-in", museum.address)
    assert not museum.images_asked


def test_delay_and_concurrency_of_a_host_are_kept(museum: SmallMuseum) -> None:
    default = {"delay_s": 9.0, "concurrency": 1}
    edit_crawl(hosts={"museum.localhost": {"delay_s": 0.05, "concurrency": 8}, "default": default})
    run("fetch", "--stand-in", museum.address)
    times = [visit.time_s for visit in museum.visits if visit.path.startswith("/images/")]
    assert len(times) == 20
    assert times[-1] - times[0] > 0.8, "19 delays of 0.05 s"
    for image in RAW.rglob("*.*g"):
        image.unlink()
    edit_crawl(hosts={"museum.localhost": {"delay_s": 0.0, "concurrency": 3}, "default": default})
    museum.delay_s = 0.05
    museum.open_most = 0
    run("fetch", "--stand-in", museum.address)
    assert museum.open_most == 3


@pytest.mark.usefixtures("workspace")
def test_missing_or_damaged_manifest_is_named() -> None:
    with pytest.raises(UserError, match=r"manifest\.jsonl is missing; `dvc repro index`"):
        fetch.main([])
    MANIFEST.parent.mkdir(parents=True)
    MANIFEST.write_text('{"source": "sample", "id": "../x"}\n')
    with pytest.raises(UserError, match=r"manifest\.jsonl:1: id"):
        fetch.main([])


def _works(museum: SmallMuseum) -> list[Work]:
    labels: dict[str, Label] = {"Painting": "painting", "Photograph": "photo"}
    return [_work(work, label) for kind, label in labels.items() for work in museum.by_type[kind]]


def _work(work: Exhibit, label: Label) -> Work:
    return Work(
        source="sample",
        id=work.id,
        label=label,
        group=work.photograph.group,
        title=str(record(work)["title"]),
        creator="Somebody",
        year=None,
        licence="CC0-1.0",
        licence_url="https://example.org/cc0",
        page_url=str(record(work)["url"]),
        image_url=f"http://museum.localhost/images/{work.file_name}",
        width_px=work.width_px,
        height_px=work.height_px,
    )


def _check_records() -> None:
    """Table, metrics and the store's records agree with the files."""
    rows = _table()
    works = read_manifest(MANIFEST)
    assert [row["path"] for row in rows] == [work.path for work in works]
    addresses = (RAW / "addresses.txt").read_text().splitlines()
    assert addresses == [f"{work.image_url}  {work.path}" for work in works]
    lines = (RAW / "checksums.sha256").read_text().splitlines()
    assert lines == [f"{row['sha256']}  {row['path']}" for row in rows]
    for row in rows:
        body = (RAW / row["path"]).read_bytes()
        assert (row["status"], row["bytes"]) == ("ok", str(len(body)))
        assert row["sha256"] == hashlib.sha256(body).hexdigest()
    have = {"painting": PER_CLASS, "photo": PER_CLASS}
    assert json.loads(METRICS.read_text()) == {"wanted": 20, "have": have, "failed": 0, "failed_by_reason": {}}
    assert (RAW / "sample/painting/plate-expressionist.png").exists()


def _table() -> list[dict[str, str]]:
    with TABLE.open(newline="") as file:
        return list(csv.DictReader(file))


def _files() -> dict[str, bytes]:
    return {path.relative_to(RAW).as_posix(): path.read_bytes() for path in RAW.rglob("*") if path.is_file()}
