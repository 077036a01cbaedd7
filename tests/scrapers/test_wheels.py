"""Wheels from a folder that stands for the package index."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from scrapers import wheels
from scrapers.wheels import Wheel, WheelError, extract


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wheel:
    """A wheel in a folder that pip searches instead of an index."""
    path = tmp_path / "pictures-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pictures/data/a.png", "picture a")
        archive.writestr("pictures-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: pictures\nVersion: 1.0\n")
        archive.writestr(
            "pictures-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("pictures-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return Wheel("pictures==1.0", hashlib.sha256(path.read_bytes()).hexdigest())


def test_member_is_taken_out_once_and_kept(wheel: Wheel, tmp_path: Path) -> None:
    folder = tmp_path / "downloads"
    (picture,) = extract(wheel, ["pictures/data/a.png"], folder)
    assert picture.read_text() == "picture a"
    assert list(folder.iterdir()) == [picture]
    picture.write_text("kept")
    assert extract(Wheel("nothing==1.0", "0" * 64), ["pictures/data/a.png"], folder) == [picture]
    assert picture.read_text() == "kept"


def test_wheel_of_another_hash_is_refused(wheel: Wheel, tmp_path: Path) -> None:
    with pytest.raises(WheelError, match=r"cannot download pictures==1\.0"):
        extract(Wheel(wheel.requirement, "0" * 64), ["pictures/data/a.png"], tmp_path / "downloads")
    assert not list((tmp_path / "downloads").iterdir())


def test_missing_pip_is_named(wheel: Wheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "find_spec", {"pip": None}.__getitem__)
    with pytest.raises(WheelError, match=r"cannot download pictures==1\.0 without pip; install pip"):
        extract(wheel, ["pictures/data/a.png"], tmp_path / "downloads")


def test_password_of_the_index_is_not_told(wheel: Wheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(WheelError) as raised:
        extract(Wheel("nothing==1.0", "0" * 64), ["a.png"], tmp_path / "downloads")
    assert "secret" not in str(raised.value)
