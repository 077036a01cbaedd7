from pathlib import Path

import pytest

from pipeline.console import UserError
from pipeline.retraining import frozen
from pipeline.tables import read_table, write_table
from scrapers.items import Work, write_manifest

COLUMNS = ("path", "source", "label", "id", "group", "split", "phash")


@pytest.fixture(autouse=True)
def _accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six works of two sources, half of them for the test; groups were merged under other names."""
    monkeypatch.chdir(tmp_path)
    works, rows = [], []
    for number in range(6):
        name, source = f"work-{number}", ("met", "nga")[number % 2]
        path = Path("data/images", source, "photo", f"{name}.jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        address = f"https://example.org/{name}.jpg"
        works.append(
            Work(
                source=source,
                id=name,
                label="photo",
                group=f"own-{number}",
                title="A",
                creator="B",
                year=None,
                licence="CC0-1.0",
                licence_url=address,
                page_url=address,
                image_url=address,
                width_px=None,
                height_px=None,
            )
        )
        values = (path, source, "photo", name, "met/merged", ("train", "test")[number // 3], f"{number << 32:016x}")
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    frozen.MANIFEST.parent.mkdir()
    write_manifest(works, frozen.MANIFEST)
    write_table(frozen.ACCEPTED, COLUMNS, rows)
    write_table(frozen.TABLE, frozen.COLUMNS, [])


def files() -> set[str]:
    return {path.read_text() for path in frozen.FOLDER.rglob("*") if path.is_file()}


def test_the_test_split_is_copied_once() -> None:
    assert frozen.freeze()
    assert files() == {"work-3", "work-4", "work-5"}
    rows = read_table(frozen.TABLE)
    assert [(row["group"], row["phash"]) for row in rows] == [
        (f"{source}/own-{number}", f"{number << 32:016x}") for number, source in ((3, "nga"), (4, "met"), (5, "nga"))
    ]
    assert not frozen.missing()
    frozen.ACCEPTED.unlink()
    assert not frozen.freeze()


def test_a_copy_that_was_interrupted_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfile", lambda *_: pytest.fail("interrupted"))
        with pytest.raises(pytest.fail.Exception, match="interrupted"):
            frozen.freeze()
    assert read_table(frozen.TABLE) == []
    assert frozen.freeze()
    assert len(files()) == 3


def test_a_file_that_is_not_there_is_missed() -> None:
    frozen.freeze()
    next(frozen.FOLDER.rglob("*.jpg")).unlink()
    assert frozen.missing()


def test_what_is_excluded_goes() -> None:
    frozen.freeze()
    frozen.remove(["nga/work-3", "met/work-5", "met/work-0"])
    assert files() == {"work-4", "work-5"}
    assert [row["id"] for row in read_table(frozen.TABLE)] == ["work-4", "work-5"]
    frozen.remove([])
    assert not frozen.missing()


def test_nothing_like_a_frozen_image_may_have_been_trained_on() -> None:
    frozen.check_unseen(64)
    frozen.freeze()
    frozen.check_unseen(0)
    with pytest.raises(UserError, match=r"data/images/met/photo/work-0\.jpg was trained on"):
        frozen.check_unseen(2)
