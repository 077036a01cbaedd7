import csv
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.console import UserError
from pipeline.params import load_params
from pipeline.splits import Picture
from pipeline.stages import prepare
from pipeline.stages.prepare import MANIFEST, decode, main
from scrapers.items import read_manifest
from scrapers.sample.photographs import DOWNLOADS, load
from scrapers.sample.troubles import TROUBLES, TWICE
from scrapers.sample.works import collect
from tests.conftest import ROOT
from tests.dying import die_once
from tests.networks import set_params
from tests.pictures import encoded, noise, scene
from tests.scrapers.small_museum import pretend_downloads

PAIRS = 12


class Museum:
    """A crawled museum in the current folder: pairs of a painting and a photograph, and what a test adds."""

    def __init__(self) -> None:
        self.entries: list[dict[str, str | int]] = []
        for number in range(PAIRS):
            for label, seed in (("painting", 1000 + number), ("photo", 2000 + number)):
                self.add(
                    label, f"work-{number:02}", encoded(scene(320, 240, seed), "JPEG", quality=90), group=f"{number}"
                )

    def add(
        self, label: str, name: str, data: bytes | None, *, source: str = "sample", group: str = "", kind: str = "jpg"
    ) -> str:
        entry: dict[str, str | int] = {"source": source, "id": name, "label": label, "group": group or name}
        entry |= {"title": "A line\u2028and another", "creator": "A. Painter", "year": 1889, "licence": "CC0-1.0"}
        page = f"https://example.org/{source}/{label}/{name}"
        entry |= {"licence_url": "https://example.org/zero", "page_url": page, "image_url": f"{page}.{kind}"}
        self.entries.append(entry | {"width_px": 10, "height_px": 10})
        path = Path("data/raw", source, label, f"{name}.{kind}")
        if data is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return str(path)

    def prepare(self) -> None:
        self.write_manifest()
        main([])

    def write_manifest(self) -> None:
        self.entries.sort(key=lambda entry: (entry["source"], entry["label"], entry["id"]))
        manifest = Path("data/index/manifest.jsonl")
        manifest.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(entry, ensure_ascii=False) + "\n" for entry in self.entries]
        manifest.write_text("".join(lines), encoding="utf-8")


@pytest.fixture
def museum(workspace: Path) -> Museum:
    return Museum()


def table(name: str) -> dict[str, dict[str, str]]:
    """The rows of a table by source/label/id; fails if two rows are of one image."""
    with Path("data/prepare", name).open(newline="") as file:
        rows = list(csv.DictReader(file))
    by_image = {f"{row['source']}/{row['label']}/{row['id']}": row for row in rows}
    assert len(by_image) == len(rows)
    return by_image


def outputs() -> dict[str, bytes]:
    folders = ("images", "prepare", "sheets", "metrics")
    return {
        str(path): path.read_bytes() for name in folders for path in Path("data", name).rglob("*") if path.is_file()
    }


def test_every_image_is_accepted_or_rejected_with_a_reason(museum: Museum) -> None:
    jpeg = encoded(scene(200, 150, 1), "JPEG", quality=95)
    frames = [scene(80, 80, seed) for seed in range(3)]
    rejected = {
        "truncated": jpeg[: len(jpeg) // 2],
        "not-an-image": b"<!DOCTYPE html><title>Sorry</title>",
        "decompression-bomb": encoded(Image.new("1", (9000, 9000)), "PNG"),
        "too-small": encoded(Image.new("RGB", (1, 1)), "GIF"),
        "animated": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
    }
    for reason, data in rejected.items():
        museum.add("photo", reason, data)
    exif = Image.Exif()
    exif[0x0112] = 6
    odd = {
        "cmyk": encoded(scene(100, 100, 11).convert("CMYK"), "JPEG"),
        "gray16": encoded(Image.fromarray(noise(6, 8).astype(np.uint16) * 257).resize((120, 90)), "PNG"),
        "palette": encoded(scene(100, 100, 13).quantize(8), "PNG", transparency=0),
        "rotated": encoded(scene(120, 90, 14), "JPEG", exif=exif),
    }
    for name, data in odd.items():
        museum.add("painting", name, data, kind="bin")
    museum.add("photo", "not-fetched", None)
    Path("data/raw/sample/photo/not-wanted.jpg").write_bytes(jpeg)
    Path("data/raw/sample/photo/.work-00.partial.jpg").write_bytes(jpeg)
    museum.prepare()

    accepted, refused = table("accepted.csv"), table("rejected.csv")
    assert {name.split("/")[-1]: row["reason"] for name, row in refused.items()} == {name: name for name in rejected}
    assert refused["sample/photo/too-small"]["path"] == "data/raw/sample/photo/too-small.jpg"
    assert all(row["detail"] for row in refused.values())
    wanted = {f"sample/{entry['label']}/{entry['id']}" for entry in museum.entries} - {"sample/photo/not-fetched"}
    assert accepted.keys() ^ refused.keys() == wanted
    assert {str(path) for path in Path("data/images").rglob("*") if path.is_file()} == {
        row["path"] for row in accepted.values()
    }
    assert [name for name, row in accepted.items() if row["is_gray"] == "True"] == ["sample/painting/gray16"]
    for row in accepted.values():
        with Image.open(row["path"]) as image:
            assert (image.format, image.mode) == ("JPEG", "RGB")
            assert image.size == (int(row["width_px"]), int(row["height_px"]))
            assert min(image.size) <= 192
            assert not {"exif", "icc_profile"} & image.info.keys()
    assert (accepted["sample/photo/work-00"]["width_px"], accepted["sample/photo/work-00"]["height_px"]) == (
        "256",
        "192",
    )
    assert (accepted["sample/painting/rotated"]["width_px"], accepted["sample/painting/rotated"]["height_px"]) == (
        "90",
        "120",
    )

    metrics = json.loads(Path("data/metrics/prepare.json").read_text())
    assert (metrics["accepted"], metrics["rejected"], metrics["missing"]) == (2 * PAIRS + 4, 5, 1)
    assert metrics["rejected_by_reason"] == dict.fromkeys(sorted(rejected), 1)
    assert sum(metrics["images"]["sample"]["photo"].values()) == PAIRS
    assert metrics["gray_share"] == {"painting": round(1 / (PAIRS + 4), 4), "photo": 0}
    for label in ("painting", "photo"):
        with Image.open(f"data/sheets/{label}.jpg") as sheet:
            assert sheet.width > 8 * 160


def test_the_sample_museum_has_troubled_works_of_every_kind(museum: Museum) -> None:
    pretend_downloads(DOWNLOADS)
    for label, works in zip(("painting", "photo"), collect(load()), strict=True):
        for work in works:
            if work.id in TROUBLES or work.id.startswith(TWICE):
                group, kind = work.photograph.group, work.file_name.rpartition(".")[2]
                museum.add(label, work.id, work.image(), group=group, kind=kind)
    museum.prepare()
    accepted, refused = table("accepted.csv"), table("rejected.csv")
    reasons = {row["id"]: row["reason"] for row in refused.values()}
    twice = reasons.keys() & {TWICE, f"{TWICE}-print"}
    assert len(twice) == 1
    assert reasons == {
        "gravel-01": "decompression-bomb",
        "grass-01-pointillist": "animated",
        "hubble-deep-field-01-expressionist": "truncated",
        "ihc-01-colorist-wash": "too-small",
        twice.pop(): "near-duplicate",
    }
    assert {row["id"] for row in accepted.values()} >= TROUBLES.keys() - reasons.keys()


def test_colours_and_detail_survive(museum: Museum) -> None:
    original = scene(150, 120, 5)
    museum.add("photo", "exact", encoded(original, "PNG"), kind="png")
    museum.prepare()
    with Image.open("data/images/sample/photo/exact.jpg") as image:
        error = np.asarray(image).astype(float) - np.asarray(original)
        assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3, "colour at full resolution"  # type: ignore[attr-defined]
    assert np.sqrt((error**2).mean()) < 2


def test_pairs_share_a_split_and_every_split_has_every_label(museum: Museum) -> None:
    museum.prepare()
    accepted = table("accepted.csv").values()
    splits_of_group: dict[str, set[str]] = {}
    for row in accepted:
        splits_of_group.setdefault(row["group"], set()).add(row["split"])
    assert len(splits_of_group) == PAIRS
    assert all(len(splits) == 1 for splits in splits_of_group.values())
    assert {(row["label"], row["split"]) for row in accepted} == {
        (label, split) for label in ("painting", "photo") for split in ("train", "validation", "test")
    }


def test_near_duplicates_of_one_label_leave_the_largest(museum: Museum) -> None:
    small = museum.add("photo", "aaa", encoded(scene(160, 120, 77), "JPEG"), source="other")
    large = museum.add("photo", "zzz", encoded(scene(320, 240, 77), "PNG"), kind="png")
    copy = museum.add("photo", "zzz-copy", encoded(scene(320, 240, 77), "PNG"), kind="png")
    museum.prepare()
    rejected = table("rejected.csv")
    assert {row["path"]: (row["reason"], row["detail"]) for row in rejected.values()} == {
        small: ("near-duplicate", f"of {large}"),
        copy: ("duplicate", f"of {large}"),
    }
    assert "sample/photo/zzz" in table("accepted.csv")
    assert not Path("data/images/other/photo/aaa.jpg").exists()


def test_a_photograph_of_a_painting_joins_its_group(museum: Museum) -> None:
    museum.add("photo", "of-a-painting", encoded(scene(200, 150, 1003), "JPEG", quality=70), source="other")
    museum.prepare()
    accepted = table("accepted.csv")
    painting, photo = accepted["sample/painting/work-03"], accepted["other/photo/of-a-painting"]
    assert (painting["group"], painting["split"]) == (photo["group"], photo["split"])
    assert (int(painting["phash"], 16) ^ int(photo["phash"], 16)).bit_count() <= 6


def test_what_is_like_a_frozen_image_is_for_the_test(museum: Museum) -> None:
    museum.prepare()
    rows = table("accepted.csv")
    trained = [row for row in rows.values() if row["split"] == "train"]
    looks, own = trained[0], next(row for row in trained if row["group"] != trained[0]["group"])
    lines = [
        f"{index},sample,photo,gone-{index},{group},{phash}\n"
        for index, (group, phash) in enumerate([("sample/gone", looks["phash"]), (own["group"], "")])
    ]
    Path("data/frozen.csv").write_text("path,source,label,id,group,phash\n" + "".join(lines))
    museum.prepare()
    after = table("accepted.csv")
    for row in rows.values():
        if row["group"] in (looks["group"], own["group"]):
            assert after[f"{row['source']}/{row['label']}/{row['id']}"]["split"] == "test"
    assert {row["split"] for row in after.values()} == {"train", "validation", "test"}


def test_plain_pictures_are_not_each_others_duplicates(museum: Museum) -> None:
    colours = ["white", "navy", "tan"]
    for colour in colours:
        museum.add("painting", colour, encoded(Image.new("RGB", (99, 99), colour), "PNG"))
    museum.prepare()
    accepted = table("accepted.csv")
    assert [accepted[f"sample/painting/{colour}"]["phash"] for colour in colours] == ["", "", ""]


def test_a_second_run_writes_the_same_and_removes_what_is_no_longer_wanted(museum: Museum) -> None:
    museum.prepare()
    first = outputs()
    for stale in ("data/images/sample/photo/.work-00.1234.jpg", "data/images/gone/photo/old.jpg"):
        Path(stale).parent.mkdir(parents=True, exist_ok=True)
        Path(stale).write_bytes(b"half")
    museum.entries.reverse()
    museum.prepare()
    assert outputs() == first


def test_workers_write_the_same(museum: Museum, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them dies, once."""
    pytest.importorskip("ray")
    museum.add("photo", "broken", b"no image")
    museum.prepare()
    alone = outputs()
    died = tmp_path / "died"
    monkeypatch.setattr(prepare, "decode_one", partial(die_once, prepare.decode_one, died))
    set_params({"machine.workers": 2})
    museum.prepare()
    assert died.exists()
    assert outputs() == alone


def test_names_cannot_leave_their_folder(museum: Museum) -> None:
    outside = Path("data/escape.jpg")
    outside.write_bytes(encoded(scene(), "JPEG"))
    museum.entries.append(museum.entries[0] | {"id": "../../../escape"})
    with pytest.raises(UserError, match=r"manifest\.jsonl:1: id: .*; run `dvc repro -sf index`"):
        museum.prepare()
    assert not Path("data/images").exists()


def test_an_image_listed_twice_is_refused(museum: Museum) -> None:
    museum.entries.append(museum.entries[0])
    with pytest.raises(UserError, match=r"manifest\.jsonl:2: sample/painting/work-00 is there twice"):
        museum.prepare()


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (None, r"manifest\.jsonl is missing"),
        ("{}\n", r"manifest\.jsonl:1: source"),
        ('[1]\n{"so', r"manifest\.jsonl:1"),
        ("", r"data/raw has no image"),
    ],
)
def test_mistakes_are_told_in_one_sentence(workspace: Path, manifest: str | None, message: str) -> None:
    if manifest is not None:
        Path("data/index").mkdir(parents=True)
        Path("data/index/manifest.jsonl").write_text(manifest)
    with pytest.raises(UserError, match=message):
        main([])


def test_a_class_without_images_names_the_parameter(museum: Museum) -> None:
    museum.entries = [entry for entry in museum.entries if entry["label"] == "photo"]
    with pytest.raises(UserError, match=r"0 accepted groups with a painting .* raise crawl\.per_class"):
        museum.prepare()
    assert not Path("data/prepare/accepted.csv").exists()


def test_a_killed_worker_ends_the_stage_with_advice(museum: Museum) -> None:
    data = encoded(scene(1200, 900), "PNG")
    for number in range(200):
        museum.add("photo", f"more-{number}", data, kind="png")
    museum.write_manifest()
    outcomes = decode(read_manifest(MANIFEST), load_params().prepare)
    assert isinstance(next(outcomes), Picture)
    for process in multiprocessing.active_children():
        process.kill()
    with pytest.raises(UserError, match=r"lower prepare\.max_megapixels"):
        list(outcomes)


def test_workers_end_with_a_killed_stage(museum: Museum) -> None:
    data = encoded(scene(1200, 900), "PNG")
    for number in range(400):
        museum.add("photo", f"more-{number}", data, kind="png")
    museum.write_manifest()
    command = [sys.executable, "-m", "pipeline.stages.prepare"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    stage = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    wait_for(lambda: any(Path("data/images").rglob("[!.]*.jpg")))
    stage.kill()
    stage.wait()
    assert not Path("data/prepare/accepted.csv").exists()
    wait_for(lambda: not is_alive(stage.pid))


def test_its_processes_do_without_the_network() -> None:
    code = "import sys, pipeline.stages.prepare; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def wait_for(condition: Callable[[], bool], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(process_group: int) -> bool:
    try:
        os.killpg(process_group, 0)
    except ProcessLookupError:
        return False
    return True
