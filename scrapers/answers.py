"""Answers of the sources, kept for as long as a snapshot lasts: an index that was killed asks only for the rest."""

import errno
import hashlib
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

COLUMNS = "url TEXT PRIMARY KEY, sha256 BLOB, body BLOB"
ERRORS = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_READONLY: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
}
"""What the system calls what SQLite complains of."""


class Answers:
    """Bodies of answers by their address, in one SQLite file; what is stored survives a kill.

    Everything raises :class:`OSError` where the disk is full, or the file is in use by another process for long.
    """

    def __init__(self, path: Path) -> None:
        """Open ``path``, or make it; one that is damaged, or something else, is made anew."""
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with _errors_of_the_system(path):
            if path.exists() and not _is_intact(path):
                path.unlink()
            self._database = _opened(path)
        self._execute(f"CREATE TABLE IF NOT EXISTS answers ({COLUMNS}) WITHOUT ROWID")

    def get(self, url: str) -> bytes | None:
        """The body stored for ``url``; None where there is none, or a damaged one."""
        row = self._execute("SELECT sha256, body FROM answers WHERE url = ?", url)
        if not row:
            return None
        try:
            body = zlib.decompress(row[1])
        except (zlib.error, TypeError):  # the second of what is no bytes
            return None
        return body if _digest(url, body) == row[0] else None

    def put(self, url: str, body: bytes) -> None:
        """Store ``body``, in place of what is there."""
        row = (url, _digest(url, body), zlib.compress(body, level=1))
        self._execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", *row)

    def forget(self, url: str) -> None:
        """Drop what is stored for ``url``."""
        self._execute("DELETE FROM answers WHERE url = ?", url)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _execute(self, statement: str, *values: object) -> Any:
        """Execute and commit; the first row of the result, if there is one."""
        with _errors_of_the_system(self._path), self._database:
            return self._database.execute(statement, values).fetchone()


def _opened(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path)
    database.text_factory = bytes  # what is damaged may not be decoded
    return database


def _digest(url: str, body: bytes) -> bytes:
    """Of both: a body may not pass for the answer to another question."""
    return hashlib.sha256(url.encode() + b"\0" + body).digest()


def _is_intact(path: Path) -> bool:
    """Raises :class:`sqlite3.OperationalError` where another process writes to it."""
    with closing(_opened(path)) as database:
        try:
            columns = database.execute("SELECT sql FROM sqlite_master WHERE name = 'answers'").fetchone()
            sound = database.execute("PRAGMA quick_check").fetchone() == (b"ok",)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF in ERRORS:
                raise
            return False
        except UnicodeDecodeError:  # of an error that quotes what is damaged
            return False
        return sound and (not columns or COLUMNS.encode() in columns[0])


@contextmanager
def _errors_of_the_system(path: Path) -> Iterator[None]:
    """Raise SQLite's operational errors as the system would; the stages tell the way out of those."""
    try:
        yield
    except sqlite3.OperationalError as error:
        number = ERRORS.get(error.sqlite_errorcode & 0xFF, errno.EIO)
        raise OSError(number, str(error), str(path)) from error
