"""The store: whole files with a line each, whatever happens in between."""

import hashlib
from pathlib import Path

import pytest

from scrapers.files import ADDRESSES, CHECKSUMS, Store

FROM = "https://example.org/a"


def test_added_file_has_its_line_in_the_format_of_sha256sum_and_its_address(tmp_path: Path) -> None:
    Store(tmp_path, {"sample/photo/a.jpg": FROM}).add("sample/photo/a.jpg", b"bytes")
    assert (tmp_path / "sample/photo/a.jpg").read_bytes() == b"bytes"
    line = f"{hashlib.sha256(b'bytes').hexdigest()}  sample/photo/a.jpg\n"
    assert (tmp_path / CHECKSUMS).read_text() == line
    assert (tmp_path / ADDRESSES).read_text() == f"{FROM}  sample/photo/a.jpg\n"
    assert Store(tmp_path, {}).checksums == {"sample/photo/a.jpg": line.split()[0]}


def test_death_before_the_rename_leaves_lines_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        Store(tmp_path, {"a.jpg": FROM}).add("a.jpg", b"bytes")
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == [ADDRESSES, CHECKSUMS]
    store = Store(tmp_path, {"a.jpg": FROM})
    assert "a.jpg" in store.checksums
    store.prune()
    assert not store.checksums
    assert (tmp_path / ADDRESSES).read_text() == ""


@pytest.mark.parametrize("appended", [0, 1, 2])
@pytest.mark.parametrize("body", [b"old", b"new"])
def test_death_never_passes_an_old_file_off_as_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, appended: int, body: bytes
) -> None:
    Store(tmp_path, {"a.jpg": FROM}).add("a.jpg", b"old")
    store = Store(tmp_path, {"a.jpg": "https://example.org/new"})
    append = store._append
    left = iter(range(appended))

    def append_or_die(name: str, value: str, path: str) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        append(name, value, path)

    def die(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "_append", append_or_die)
    monkeypatch.setattr(Path, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        store.add("a.jpg", body)
    monkeypatch.undo()
    again = Store(tmp_path, {"a.jpg": "https://example.org/new"})
    again.prune()
    assert ("a.jpg" in again.checksums) == (body == b"old" and appended == 2)
    assert (tmp_path / "a.jpg").exists() == ("a.jpg" in again.checksums)


def test_last_line_of_a_file_counts_and_nonsense_does_not(tmp_path: Path) -> None:
    store = Store(tmp_path, {"a.jpg": FROM})
    store.add("a.jpg", b"old")
    for name in (CHECKSUMS, ADDRESSES):
        with (tmp_path / name).open("ab") as records:
            records.write(b"\xff\xfe nonsense\n0123  b.jpg\n")
    store.add("a.jpg", b"new")
    again = Store(tmp_path, {"a.jpg": FROM})
    assert again.checksums["a.jpg"] == hashlib.sha256(b"new").hexdigest()
    assert again.prune() == 0
    assert list(again.checksums) == ["a.jpg"]
    assert (tmp_path / "a.jpg").read_bytes() == b"new"


def test_torn_line_costs_no_more_than_the_next_one(tmp_path: Path) -> None:
    addresses = {f"{name}.jpg": f"{FROM}/{name}" for name in "abc"}
    store = Store(tmp_path, addresses)
    store.add("a.jpg", b"a")
    with (tmp_path / ADDRESSES).open("ab") as records:
        records.write(b"https://example.org/a/b")
    store.add("b.jpg", b"b")
    store.add("c.jpg", b"c")
    again = Store(tmp_path, addresses)
    assert again.prune() == 1
    assert list(again.checksums) == ["a.jpg", "c.jpg"]


def test_pruning_keeps_what_is_wanted_and_intact_and_from_the_same_address(tmp_path: Path) -> None:
    kept = ("kept", "unwanted", "damaged", "moved", "nowhere-from")
    store = Store(tmp_path, {f"sample/{name}.jpg": FROM for name in kept})
    for name in kept:
        store.add(f"sample/{name}.jpg", name.encode())
    lines = (tmp_path / ADDRESSES).read_text().splitlines(keepends=True)
    (tmp_path / ADDRESSES).write_text("".join(line for line in lines if "nowhere-from" not in line))
    (tmp_path / "sample/damaged.jpg").write_bytes(b"")
    (tmp_path / "sample/without-line.jpg").write_bytes(b"x")
    (tmp_path / "sample/dangling.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "empty/folder").mkdir(parents=True)
    wanted = dict.fromkeys(
        (f"sample/{name}.jpg" for name in ("kept", "damaged", "nowhere-from", "without-line", "dangling")), FROM
    )
    assert Store(tmp_path, wanted | {"sample/moved.jpg": f"{FROM}/2"}).prune() == 6
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
        *(ADDRESSES, CHECKSUMS, "sample", "sample/kept.jpg"),
    ]
    assert list(Store(tmp_path, wanted).checksums) == ["sample/kept.jpg"]
    assert (tmp_path / ADDRESSES).read_text() == f"{FROM}  sample/kept.jpg\n"
