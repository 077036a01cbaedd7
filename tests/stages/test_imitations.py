"""The imitations stage on a few photographs of its own."""

import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import imitations as filters
from pipeline.console import UserError
from pipeline.imitations import MANNERS
from pipeline.stages import imitations
from pipeline.stages.imitations import ACCEPTED, FOLDER, SHEET, TABLE, main
from pipeline.tables import read_table, write_table
from pipeline.workers import in_processes
from tests.networks import set_params
from tests.pictures import scene
from tests.stages.running import start

COLUMNS = ("path", "source", "label", "id", "split")
PHOTOS = [("one", "a"), ("one", "b.c"), ("other", "a")]
"""Source and id of the training photographs."""


def accept(rows: list[tuple[str, str, str, str]], side_px: int = 64) -> None:
    """Write images and the table of them, given as (source, label, id, split)."""
    table = []
    for seed, (source, label, name, split) in enumerate(rows):
        path = Path("data/images", source, label, f"{name}.jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        scene(side_px + 16, side_px, seed).save(path, quality=95)
        table.append({"path": str(path), "source": source, "label": label, "id": name, "split": split})
    write_table(ACCEPTED, COLUMNS, table)


@pytest.fixture
def photographs(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Few photographs, painted in this process: to start others takes longer."""
    monkeypatch.setattr(imitations, "in_processes", lambda function, items, **_: map(function, items))
    others = [("one", "painting", "p", "train"), ("one", "photo", "v", "validation"), ("one", "photo", "t", "test")]
    accept([(source, "photo", name, "train") for source, name in PHOTOS] + others)
    return workspace


def files() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in (*FOLDER.rglob("*"), SHEET) if path.is_file()}


def changed_at() -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in FOLDER.rglob("*.jpg")}


def test_training_photographs_and_no_others_are_imitated(photographs: Path) -> None:
    main([])
    rows = read_table(TABLE)
    assert [(row["path"], row["source"], row["photo"]) for row in rows] == [
        (f"data/imitations/{source}/{name}-{number}.jpg", source, f"data/images/{source}/photo/{name}.jpg")
        for source, name in PHOTOS
        for number in (1, 2)
    ]
    assert {row["manner"] for row in rows} <= MANNERS.keys()
    assert {str(path) for path in FOLDER.rglob("*.jpg")} == {row["path"] for row in rows}
    for row in rows:
        with Image.open(row["path"]) as image, Image.open(row["photo"]) as photo:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", photo.size)
            assert image.quantization == photo.quantization, "the coding does not tell"  # type: ignore[attr-defined]
            assert np.abs(np.asarray(image).astype(int) - np.asarray(photo)).max() > 0
    assert len(set(files().values())) == 2 * len(PHOTOS) + 2, "no two are the same"
    with Image.open(SHEET) as sheet:
        assert sheet.width > 8 * 160


def test_second_run_keeps_what_is_there(photographs: Path) -> None:
    main([])
    first, times = files(), changed_at()
    main([])
    assert (files(), changed_at()) == (first, times)
    shutil.rmtree(FOLDER)
    main([])
    assert files() == first


def test_what_is_no_longer_wanted_goes_and_what_is_left_stays(photographs: Path) -> None:
    main([])
    times = changed_at()
    for stale in ("one/.a-1.0badcafe.jpg", "gone/old-1.jpg"):
        (FOLDER / stale).parent.mkdir(exist_ok=True)
        (FOLDER / stale).write_bytes(b"half")
    accept([(source, "photo", name, "train") for source, name in PHOTOS[:2]])
    set_params({"imitations.per_photo": 1})
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


def test_one_photograph_that_changed_is_imitated_anew(photographs: Path) -> None:
    main([])
    times = changed_at()
    scene(100, 64, 99).save("data/images/one/photo/a.jpg")
    (FOLDER / "other/a-2.jpg").write_bytes(b"")
    main([])
    anew = {path for path, at in changed_at().items() if at != times[path]}
    assert anew == {f"data/imitations/{name}.jpg" for name in ("one/a-1", "one/a-2", "other/a-2")}
    with Image.open(FOLDER / "one/a-2.jpg") as image:
        assert image.size == (100, 64)


def test_another_seed_or_code_paints_anew(photographs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    main([])
    first, times = files(), changed_at()
    code = tmp_path / "filters.py"
    code.write_bytes(Path(filters.__file__).read_bytes() + b"\n")
    monkeypatch.setattr(imitations, "CODE", [code, *imitations.CODE[1:]])
    main([])
    assert all(at != times[path] for path, at in changed_at().items())
    set_params({"imitations.seed": 2})
    main([])
    again = files()
    assert all(again[path] != first[path] for path in times)


def test_none_are_an_empty_table(photographs: Path) -> None:
    main([])
    set_params({"imitations.per_photo": 0})
    main([])
    assert TABLE.read_text() == "path,source,photo,manner\n"
    assert [path for path in FOLDER.rglob("*") if path.is_file()] == [TABLE]
    with Image.open(SHEET) as sheet:
        sheet.load()


def test_other_processes_paint_the_same_and_pass_errors_on(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main([])
    expected = files()
    shutil.rmtree(FOLDER)
    monkeypatch.setattr(imitations, "in_processes", in_processes)
    main([])
    assert files() == expected
    Path("data/images/one/photo/a.jpg").unlink()
    with pytest.raises(UserError, match=r"photo/a\.jpg cannot be read"):
        main([])


def test_killed_run_goes_on_where_it_was(workspace: Path) -> None:
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
def test_photograph_that_cannot_be_read_is_named(photographs: Path, damage: bytes | None) -> None:
    photo = Path("data/images/one/photo/b.c.jpg")
    if damage is None:
        photo.unlink()
    else:
        photo.write_bytes(damage)
    with pytest.raises(UserError, match=rf"^{photo} cannot be read .*; `dvc repro -f prepare` makes it anew$"):
        main([])
    assert not TABLE.exists()


def test_missing_table_is_told_in_one_sentence(workspace: Path) -> None:
    with pytest.raises(UserError, match=r"data/prepare/accepted\.csv is missing"):
        main([])
