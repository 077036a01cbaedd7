"""Answers of the sources, kept for as long as a snapshot lasts: an index that was killed asks only for the rest."""

import hashlib
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from typing import Self

COLUMNS = "url TEXT PRIMARY KEY, sha256 BLOB, body BLOB"


class Answers:
    """Bodies of answers by their address, in one SQLite file; what is stored survives a kill."""

    def __init__(self, path: Path) -> None:
        """Open ``path``, or make it; one that is damaged, or something else, is made anew."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not _is_intact(path):
            path.unlink()
        self._database = sqlite3.connect(path)
        with self._database:
            self._database.execute(f"CREATE TABLE IF NOT EXISTS answers ({COLUMNS}) WITHOUT ROWID")

    def get(self, url: str) -> bytes | None:
        """The body stored for ``url``; None where there is none, or a damaged one."""
        row = self._database.execute("SELECT sha256, body FROM answers WHERE url = ?", (url,)).fetchone()
        if not row:
            return None
        try:
            body = zlib.decompress(row[1])
        except zlib.error:
            return None
        return body if hashlib.sha256(body).digest() == row[0] else None

    def put(self, url: str, body: bytes) -> None:
        """Store ``body``, in place of what is there."""
        row = (url, hashlib.sha256(body).digest(), zlib.compress(body, level=1))
        with self._database:
            self._database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", row)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _is_intact(path: Path) -> bool:
    """Raises :class:`sqlite3.OperationalError` where another process writes to it."""
    with closing(sqlite3.connect(path)) as database:
        try:
            columns = database.execute("SELECT sql FROM sqlite_master WHERE name = 'answers'").fetchone()
            sound = database.execute("PRAGMA quick_check").fetchone() == ("ok",)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            return False
        return sound and (not columns or COLUMNS in columns[0])
