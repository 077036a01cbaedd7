"""The store of original files."""

import hashlib
import re
import secrets
from collections.abc import Collection
from pathlib import Path

CHECKSUMS = "checksums.sha256"


class Store:
    """Files below ``folder``, and their hashes in the format of ``sha256sum``.

    A file's line is appended before the file appears under its name, which it does whole: whatever kills the process,
    a file without a line, or with another hash than its line's, is one that the store did not finish.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checksums: dict[str, str] = {}
        if (folder / CHECKSUMS).exists():
            lines = (folder / CHECKSUMS).read_text(encoding="utf-8", errors="replace").splitlines()
            matches = (re.fullmatch(r"([0-9a-f]{64})  (.+)", line) for line in lines)
            self.checksums = {match[2]: match[1] for match in matches if match}

    def add(self, path: str, body: bytes) -> str:
        """Store ``body`` under the relative ``path``; its hash comes back. May be called by several threads."""
        target = self.folder / path
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        checksum = hashlib.sha256(body).hexdigest()
        try:
            try:
                temporary.write_bytes(body)
            except FileNotFoundError:
                target.parent.mkdir(parents=True, exist_ok=True)
                temporary.write_bytes(body)
            with (self.folder / CHECKSUMS).open("ab", buffering=0) as checksums:  # appended by one call, whole
                checksums.write(f"{checksum}  {path}\n".encode())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self.checksums[path] = checksum
        return checksum

    def prune(self, wanted: Collection[str]) -> int:
        """Delete what is not wanted or not intact, and what was left half done; say how many files went."""
        everything = sorted(self.folder.rglob("*"), reverse=True)
        files = [path for path in everything if not path.is_dir() and path != self.folder / CHECKSUMS]
        kept = {}
        for file in files:
            path = file.relative_to(self.folder).as_posix()
            if path in wanted and file.is_file() and self.checksums.get(path) == _hash(file):
                kept[path] = self.checksums[path]
            else:
                file.unlink()
        for folder in (path for path in everything if path.is_dir()):
            if not any(folder.iterdir()):
                folder.rmdir()
        self.checksums = kept
        self.write_checksums()
        return len(files) - len(kept)

    def write_checksums(self) -> None:
        """Forget files that are not there, and write the hashes anew, sorted."""
        there = (path for path in sorted(self.checksums) if (self.folder / path).exists())
        self.checksums = {path: self.checksums[path] for path in there}
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{CHECKSUMS}"
        lines = [f"{checksum}  {path}\n" for path, checksum in self.checksums.items()]
        temporary.write_text("".join(lines), encoding="utf-8")
        temporary.replace(self.folder / CHECKSUMS)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
