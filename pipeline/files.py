"""Files and folders that appear whole or not at all."""

import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success rename it to ``path``, on failure remove it.

    The temporary name starts with a dot and keeps the suffix, which some writers go by.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path`` that takes its place on success; what was there goes only then."""
    new, old = (path.with_name(f".{path.name}.{age}") for age in ("new", "old"))

    def tidy() -> None:
        for folder in (new, old):
            shutil.rmtree(folder, ignore_errors=True)

    tidy()  # after a run that was killed
    new.mkdir(parents=True)
    try:
        yield new
        if path.exists():
            path.rename(old)
        new.rename(path)
    finally:
        tidy()


def write_text(path: Path, text: str) -> None:
    """Write a text file, as UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON for people: indented, and with a final newline."""
    write_text(path, json.dumps(value, indent=2) + "\n")
