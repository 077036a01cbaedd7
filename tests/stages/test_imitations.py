"""The imitations stage on a few photographs and paintings of its own."""

import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline import imitations as filters
from pipeline import transfer, vgg
from pipeline.console import UserError
from pipeline.imitations import MANNERS
from pipeline.params import Imitations
from pipeline.stages import imitations
from pipeline.stages.imitations import ACCEPTED, FOLDER, SHEET, TABLE, WEIGHTS, Imitation, main, plan
from pipeline.tables import read_table, write_table
from pipeline.workers import in_parallel
from tests.networks import SMALL, set_params, write_random_weights
from tests.pictures import scene
from tests.stages.running import start

COLUMNS = ("path", "source", "label", "id", "split")
PHOTOS = [("one", "a"), ("one", "b.c"), ("other", "a")]
"""Source and id of the training photographs."""
OTHERS = [
    *(("one", "painting", "p", "train"), ("other", "painting", "q", "train")),
    *(("third", "painting", "v", "validation"), ("third", "painting", "t", "test")),
    *(("one", "photo", "v", "validation"), ("one", "photo", "t", "test")),
]
STYLED = {"one/a-styled", "one/b.c-styled", "other/a-styled"}
SIDE_PX = 32
"""Of an imitation in the style of a painting."""


def accept(rows: list[tuple[str, str, str, str]], side_px: int = 64) -> None:
    """Write images and the table of them, given as (source, label, id, split)."""
    table = []
    for seed, (source, label, name, split) in enumerate(rows):
        path = Path("data/images", source, label, f"{name}.jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        scene(side_px + 16, side_px, seed).save(path, quality=95)
        table.append({"path": str(path), "source": source, "label": label, "id": name, "split": split})
    write_table(ACCEPTED, COLUMNS, table)


@pytest.fixture(autouse=True)
def _in_this_process(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To start others takes longer."""
    monkeypatch.setattr(imitations, "in_parallel", lambda function, items, **_: map(function, items))
    imitations.network.cache_clear()
    set_params({"features.crop_px": SIDE_PX, "imitations.transferred": 1.0, "imitations.seed": 2})


@pytest.fixture
def photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few photographs, each of which takes the style of one of few paintings, by a small network in few steps."""
    monkeypatch.setattr(vgg, "CHANNELS", SMALL)
    monkeypatch.setattr(transfer, "STEPS", 2)
    write_random_weights(WEIGHTS)
    accept([(source, "photo", name, "train") for source, name in PHOTOS] + OTHERS)


def files() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in (*FOLDER.rglob("*"), SHEET) if path.is_file()}


def changed_at() -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in FOLDER.rglob("*.jpg")}


def lenders() -> dict[str, str]:
    """Of each imitation in the style of a painting, the source of that painting."""
    return {row["path"]: row["lender"] for row in read_table(TABLE) if row["manner"] == "styled"}


@pytest.mark.usefixtures("photographs")
def test_training_photographs_and_no_others_are_imitated() -> None:
    main([])
    rows = read_table(TABLE)
    assert [(row["path"], row["source"], row["photo"]) for row in rows] == [
        (f"data/imitations/{source}/{name}-{number}.jpg", source, f"data/images/{source}/photo/{name}.jpg")
        for source, name in PHOTOS
        for number in (1, 2, "styled")
    ]
    assert {str(path) for path in FOLDER.rglob("*.jpg")} == {row["path"] for row in rows}
    for row in rows:
        styled = row["path"].endswith("-styled.jpg")
        assert row["manner"] in (["styled"] if styled else MANNERS)
        assert row["lender"] in (["one", "other"] if styled else [""])
        with Image.open(row["path"]) as image, Image.open(row["photo"]) as photo:
            expected = photo.resize((SIDE_PX, SIDE_PX)) if styled else photo
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", expected.size)
            assert image.quantization == photo.quantization, "the coding does not tell"  # type: ignore[attr-defined]
            assert np.abs(np.asarray(image).astype(int) - np.asarray(expected)).max() > 0
    assert len(set(files().values())) == 3 * len(PHOTOS) + 2, "no two are the same"
    with Image.open(SHEET) as sheet:
        assert sheet.width > 8 * 160


@pytest.mark.usefixtures("photographs")
def test_second_run_keeps_what_is_there() -> None:
    main([])
    first, times = files(), changed_at()
    main([])
    assert (files(), changed_at()) == (first, times)
    shutil.rmtree(FOLDER)
    main([])
    assert files() == first


@pytest.mark.usefixtures("photographs")
def test_what_is_no_longer_wanted_goes_and_what_is_left_stays() -> None:
    main([])
    times = changed_at()
    for stale in ("one/.a-1.0badcafe.jpg", "gone/old-1.jpg"):
        (FOLDER / stale).parent.mkdir(exist_ok=True)
        (FOLDER / stale).write_bytes(b"half")
    accept([(source, "photo", name, "train") for source, name in PHOTOS[:2]] + OTHERS)
    set_params({"imitations.per_photo": 1, "imitations.transferred": 0})
    main([])
    assert changed_at() == {
        f"data/imitations/one/{name}-1.jpg": times[f"data/imitations/one/{name}-1.jpg"] for name in ("a", "b.c")
    }
    set_params({"imitations.per_photo": 3})
    main([])
    assert len(changed_at()) == 6
    assert (
        changed_at().items() >= {path: at for path, at in times.items() if "/one/a-" in path and "-1" in path}.items()
    )


def name(path: str) -> str:
    """Of an imitation: its source, the photograph's id, and which one it is."""
    return Path(path).relative_to(FOLDER).with_suffix("").as_posix()


def painted_anew(times: dict[str, int]) -> set[str]:
    """Names of what a run paints, beside what was there at these ``times``."""
    main([])
    return {name(path) for path, at in changed_at().items() if at != times.get(path)}


@pytest.mark.usefixtures("photographs")
def test_one_photograph_that_changed_is_imitated_anew() -> None:
    main([])
    times = changed_at()
    scene(100, 64, 99).save("data/images/one/photo/a.jpg")
    (FOLDER / "other/a-2.jpg").write_bytes(b"")
    (FOLDER / "other/a-styled.jpg").unlink()
    assert painted_anew(times) == {"one/a-1", "one/a-2", "one/a-styled", "other/a-2", "other/a-styled"}
    with Image.open(FOLDER / "one/a-2.jpg") as image:
        assert image.size == (100, 64)


@pytest.mark.usefixtures("photographs")
def test_painting_that_changed_is_lent_anew() -> None:
    main([])
    first, times = files(), changed_at()
    scene(80, 64, 99).save("data/images/one/painting/p.jpg")
    assert painted_anew(times) == {name(path) for path, lender in lenders().items() if lender == "one"}
    again = files()
    assert {path for path, lender in lenders().items() if again[path] == first[path] and lender == "one"} == set()
    assert set(lenders().values()) == {"one", "other"}


@pytest.mark.usefixtures("photographs")
def test_another_size_paints_the_styled_anew_and_other_weights_too() -> None:
    main([])
    times = changed_at()
    set_params({"features.crop_px": 2 * SIDE_PX})
    assert painted_anew(times) == STYLED
    with Image.open(FOLDER / "one/a-styled.jpg") as image:
        assert image.size == (2 * SIDE_PX, 2 * SIDE_PX)
    first, times = files(), changed_at()
    write_random_weights(WEIGHTS, seed=1)
    imitations.network.cache_clear()
    assert painted_anew(times) >= STYLED
    assert first[str(FOLDER / "one/a-styled.jpg")] != files()[str(FOLDER / "one/a-styled.jpg")]


@pytest.mark.usefixtures("photographs")
def test_another_seed_or_code_paints_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    main([])
    first = files()
    code = tmp_path / "code.py"
    for module in (filters, transfer):
        times = changed_at()
        changed = [path for path in imitations.CODE if str(path) != module.__file__]
        assert len(changed) < len(imitations.CODE)
        code.write_text(f"# {module.__name__} after a change")
        with monkeypatch.context() as patch:
            patch.setattr(imitations, "CODE", [*changed, code])
            assert len(painted_anew(times)) == len(times)
    set_params({"imitations.seed": 3})
    main([])
    again = files()
    assert all(again[path] != first[path] for path in times)


@pytest.mark.parametrize("missing", ["settings", "photographs"])
@pytest.mark.usefixtures("photographs")
def test_none_are_an_empty_table(missing: str) -> None:
    main([])
    if missing == "settings":
        set_params({"imitations.per_photo": 0, "imitations.transferred": 0})
    else:
        accept(OTHERS)
    main([])
    assert TABLE.read_text() == "path,source,photo,manner,lender\n"
    assert [path for path in FOLDER.rglob("*") if path.is_file()] == [TABLE]
    with Image.open(SHEET) as sheet:
        sheet.load()


@pytest.mark.usefixtures("photographs")
def test_without_paintings_to_train_on_the_filters_are_left() -> None:
    accept([(source, "photo", name, "train") for source, name in PHOTOS] + OTHERS[2:])
    main([])
    assert len(read_table(TABLE)) == 2 * len(PHOTOS)
    assert lenders() == {}


@pytest.mark.usefixtures("photographs")
def test_folder_of_styles_lends_in_place_of_the_training_paintings() -> None:
    set_params({"imitations.styles": "mine"})
    Path("mine/deeper").mkdir(parents=True)
    scene(70, 90, 5).save("mine/b.png")
    scene(90, 70, 6).convert("L").save("mine/a.webp")
    Path("mine/.DS_Store").write_bytes(b"no picture, and nobody put it there")
    main([])
    assert lenders() == {str(FOLDER / f"{name}.jpg"): "" for name in STYLED}
    times = changed_at()
    for path in Path("mine").glob("?.*"):
        scene(70, 70, 7).save(path)
    assert painted_anew(times) == STYLED


@pytest.mark.usefixtures("photographs")
def test_folder_of_styles_that_has_none_is_one_sentence() -> None:
    main([])
    before = files()
    set_params({"imitations.styles": "mine"})
    for _ in range(2):
        with pytest.raises(
            UserError, match=r"^mine has no pictures; set imitations\.styles to a folder of paintings, or"
        ):
            main([])
        Path("mine/deeper").mkdir(parents=True, exist_ok=True)
        Path("mine/.hidden.jpg").touch()
    assert files() == before


@pytest.mark.parametrize("content", [b"", b"Dear diary", b"\xff\xd8\xff\xe0 cut off"])
@pytest.mark.usefixtures("photographs")
def test_style_that_is_no_picture_is_named(content: bytes) -> None:
    set_params({"imitations.styles": "mine"})
    Path("mine").mkdir()
    Path("mine/notes.txt").write_bytes(content)
    with pytest.raises(
        UserError, match=r"^mine/notes\.txt cannot be used \(.*\); give a JPEG.* of at least 32 px a side$"
    ):
        main([])
    assert not TABLE.exists()


@pytest.mark.usefixtures("photographs")
def test_painting_that_cannot_be_read_is_named() -> None:
    paintings = [Path("data/images/one/painting/p.jpg"), Path("data/images/other/painting/q.jpg")]
    for damage in (Path.unlink, Path.touch):
        for path in paintings:
            damage(path)
        with pytest.raises(
            UserError, match=r"painting/[pq]\.jpg cannot be read .*; `dvc repro -sf prepare` makes it anew$"
        ):
            main([])


@pytest.mark.usefixtures("photographs")
def test_missing_weights_are_one_sentence() -> None:
    WEIGHTS.unlink()
    with pytest.raises(UserError, match=r"^data/weights/vgg16\.safetensors is missing; `dvc repro` makes it$"):
        main([])


SETTINGS = Imitations(per_photo=1, transferred=0.3, styles=None, seed=1)


def table(photos: Sequence[int], paintings: Sequence[str]) -> list[dict[str, str]]:
    """Rows of training images: photographs of these numbers, and paintings, each named source/id."""
    rows = [{"path": f"data/images/s/photo/{number}.jpg", "source": "s", "label": "photo"} for number in photos]
    for name in paintings:
        source, _, stem = name.partition("/")
        rows.append({"path": f"data/images/{source}/painting/{stem}.jpg", "source": source, "label": "painting"})
    return rows


def styles(rows: Sequence[dict[str, str]], settings: Imitations = SETTINGS) -> dict[str, Imitation]:
    """By photograph, what is to be made in the style of a painting."""
    return {each.photo: each for each in plan(rows, settings) if each.style}


def test_share_of_the_photographs_takes_a_style() -> None:
    rows = table(range(2000), ["a/1", "a/2", "a/3", "b/1"])
    for share in (0.0, 0.3, 1.0):
        found = styles(rows, replace(SETTINGS, transferred=share))
        assert len(found) == pytest.approx(2000 * share, abs=4 * np.sqrt(2000 * share * (1 - share)))
    assert len({each.path for each in plan(rows, replace(SETTINGS, transferred=1))}) == 2 * 2000
    sources, paintings = Counter(each.lender for each in found.values()), Counter(each.style for each in found.values())
    assert sources["a"] == pytest.approx(1000, abs=4 * np.sqrt(500)), "every source lends as often"
    assert [paintings[f"data/images/a/painting/{name}.jpg"] for name in (1, 2, 3)] == pytest.approx([333] * 3, abs=65)
    assert all(each.style.startswith(f"data/images/{each.lender}/painting/") for each in found.values())
    other = styles(rows, replace(SETTINGS, seed=2))
    assert len(other.keys() & styles(rows).keys()) == pytest.approx(2000 * 0.09, abs=60)


def test_what_a_photograph_takes_changes_little_as_images_come_and_go() -> None:
    paintings = [f"{source}/{number}" for source in "ab" for number in range(5)]
    before = styles(table(range(500), paintings))
    half = styles(table(range(0, 500, 2), paintings))
    assert half == {photo: each for photo, each in before.items() if photo in half}
    assert half.keys() == {photo for photo in before if int(Path(photo).stem) % 2 == 0}
    fewer = styles(table(range(500), paintings[:-1]))
    assert fewer.keys() == before.keys()
    gone = "data/images/b/painting/4.jpg"
    assert {photo for photo in before if fewer[photo] != before[photo]} == {
        photo for photo, each in before.items() if each.style == gone
    }
    more = styles(table(range(500), [*paintings, "c/0"]))
    assert all(more[photo] == each or more[photo].lender == "c" for photo, each in before.items())
    larger = styles(table(range(500), paintings), replace(SETTINGS, transferred=0.6))
    assert larger.items() >= before.items()


def in_few_steps(function: Callable[[Imitation], str], imitation: Imitation) -> str:
    """What ``photographs`` makes of the network, in another process."""
    vgg.CHANNELS, transfer.STEPS = SMALL, 2
    return function(imitation)


@pytest.mark.usefixtures("photographs")
def test_other_processes_paint_the_same_and_pass_errors_on(monkeypatch: pytest.MonkeyPatch) -> None:
    main([])
    expected = files()
    shutil.rmtree(FOLDER)

    def elsewhere(function: Callable[[Imitation], str], items: Sequence[Imitation], **options: Any) -> Iterator[str]:
        return in_parallel(partial(in_few_steps, function), items, **options)

    monkeypatch.setattr(imitations, "in_parallel", elsewhere)
    main([])
    assert files() == expected
    Path("data/images/one/photo/a.jpg").unlink()
    with pytest.raises(UserError, match=r"photo/a\.jpg cannot be read"):
        main([])


def test_killed_run_goes_on_where_it_was() -> None:
    WEIGHTS.parent.mkdir(parents=True)
    WEIGHTS.write_bytes(b"which filters do not need")
    set_params({"imitations.transferred": 0})
    accept([("one", "photo", f"{number:02}", "train") for number in range(12)], side_px=128)
    main([])
    undisturbed = files()
    shutil.rmtree(FOLDER)
    with start("imitations") as process:
        while len(kept := changed_at()) < 4:
            time.sleep(0.01)
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    assert not TABLE.exists()
    main([])
    assert files() == undisturbed
    assert (
        changed_at().items() >= {path: at for path, at in kept.items() if not Path(path).name.startswith(".")}.items()
    )


@pytest.mark.parametrize("damage", [None, b"", b"<!DOCTYPE html>", b"\xff\xd8\xff\xe0 cut off"])
@pytest.mark.usefixtures("photographs")
def test_photograph_that_cannot_be_read_is_named(damage: bytes | None) -> None:
    photo = Path("data/images/one/photo/b.c.jpg")
    if damage is None:
        photo.unlink()
    else:
        photo.write_bytes(damage)
    with pytest.raises(UserError, match=rf"^{photo} cannot be read .*; `dvc repro -sf prepare` makes it anew$"):
        main([])
    assert not TABLE.exists()


def test_missing_table_is_told_in_one_sentence() -> None:
    with pytest.raises(UserError, match=r"data/prepare/accepted\.csv is missing"):
        main([])
