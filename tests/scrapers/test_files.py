"""The store: whole files with a line each, whatever happens in between."""

import hashlib
from pathlib import Path

import pytest

from scrapers.files import CHECKSUMS, Store


def test_added_file_has_its_line_in_the_format_of_sha256sum(tmp_path: Path) -> None:
    Store(tmp_path).add("sample/photo/a.jpg", b"bytes")
    assert (tmp_path / "sample/photo/a.jpg").read_bytes() == b"bytes"
    line = f"{hashlib.sha256(b'bytes').hexdigest()}  sample/photo/a.jpg\n"
    assert (tmp_path / CHECKSUMS).read_text() == line
    assert Store(tmp_path).checksums == {"sample/photo/a.jpg": line.split()[0]}


def test_death_before_the_rename_leaves_a_line_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        Store(tmp_path).add("a.jpg", b"bytes")
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == [CHECKSUMS]
    store = Store(tmp_path)
    assert "a.jpg" in store.checksums
    store.prune({"a.jpg"})
    assert not store.checksums


def test_last_line_of_a_file_counts_and_nonsense_does_not(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add("a.jpg", b"old")
    with (tmp_path / CHECKSUMS).open("ab") as checksums:
        checksums.write(b"\xff\xfe nonsense\n0123  b.jpg\n")
    store.add("a.jpg", b"new")
    again = Store(tmp_path)
    assert again.checksums == {"a.jpg": hashlib.sha256(b"new").hexdigest()}
    assert again.prune({"a.jpg"}) == 0
    assert (tmp_path / "a.jpg").read_bytes() == b"new"


def test_pruning_keeps_what_is_wanted_and_intact(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in ("kept", "unwanted", "damaged"):
        store.add(f"sample/{name}.jpg", name.encode())
    (tmp_path / "sample/damaged.jpg").write_bytes(b"")
    (tmp_path / "sample/without-line.jpg").write_bytes(b"x")
    (tmp_path / "sample/dangling.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "empty/folder").mkdir(parents=True)
    wanted = {f"sample/{name}.jpg" for name in ("kept", "damaged", "without-line", "dangling")}
    assert store.prune(wanted) == 4
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
        *(CHECKSUMS, "sample", "sample/kept.jpg"),
    ]
    assert list(Store(tmp_path).checksums) == ["sample/kept.jpg"]
