"""A store that is kept by another process."""

import asyncio
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from scrapers.files import Store
from scrapers.storing import storing
from tests.conftest import ROOT

ADDRESSES = {f"museum/photo/{number}.jpg": f"https://museum.example/{number}.jpg" for number in range(40)}


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def body(path: str) -> bytes:
    """Bytes of a file; more than a pipe holds for some."""
    return path.encode() * (100_000 if path.endswith("7.jpg") else 1)


async def add_all(store: Store) -> None:
    async with storing(store) as add:
        await asyncio.gather(*(add(path, body(path)) for path in store.addresses))


def test_files_are_stored_as_the_store_itself_does(tmp_path: Path) -> None:
    asyncio.run(add_all(Store(tmp_path / "apart", ADDRESSES)))
    here = Store(tmp_path / "here", ADDRESSES)
    for path in ADDRESSES:
        here.add(path, body(path))
    for folder in ("apart", "here"):
        store = Store(tmp_path / folder, ADDRESSES)
        assert store.prune() == 0
        assert store.checksums.keys() == ADDRESSES.keys()
    assert Store(tmp_path / "apart", ADDRESSES).checksums == here.checksums


def test_file_that_cannot_be_stored_is_an_error_and_the_rest_is_stored(tmp_path: Path) -> None:
    (tmp_path / "museum").mkdir()
    (tmp_path / "museum/photo").write_bytes(b"in the way")
    store = Store(
        tmp_path, {"museum/photo/1.jpg": "https://museum.example/1.jpg", "b.jpg": "https://museum.example/b.jpg"}
    )

    async def add_both() -> None:
        async with storing(store) as add:
            with pytest.raises(NotADirectoryError, match=r"1\.jpg"):
                await add("museum/photo/1.jpg", b"1")
            await add("b.jpg", b"2")

    asyncio.run(add_both())
    assert (tmp_path / "b.jpg").read_bytes() == b"2"


def test_death_of_the_process_is_an_error(tmp_path: Path) -> None:
    store = Store(tmp_path, ADDRESSES)

    async def add_and_kill() -> None:
        first, second, *_ = ADDRESSES
        async with storing(store) as add:
            await add(first, b"1")
            (process,) = psutil.Process().children()
            process.kill()
            with pytest.raises(OSError, match="has ended"):
                await add(second, b"2")

    asyncio.run(add_and_kill())
    assert Store(tmp_path, ADDRESSES).checksums.keys() == {"museum/photo/0.jpg"}


@pytest.mark.parametrize("sent", [b"", b'{"path": "a.jpg", "address": "https://a.example/", "size_bytes": 9}\nhalf'])
def test_process_ends_with_its_input_and_keeps_no_half_file(tmp_path: Path, sent: bytes) -> None:
    command = [sys.executable, "-m", "scrapers.storing", str(tmp_path)]
    done = subprocess.run(command, input=sent, capture_output=True, timeout=30, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
    assert not list(tmp_path.iterdir())
