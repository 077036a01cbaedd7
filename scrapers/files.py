"""The store of original files."""

import hashlib
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

CHECKSUMS = "checksums.sha256"
ADDRESSES = "addresses.txt"


class Store:
    """The files of ``addresses`` below ``folder``, and where each came from.

    ``addresses`` tells each file's address by its path. ``checksums.sha256`` has a line for each file that is stored,
    in the format of ``sha256sum``; ``addresses.txt`` has its address in the same way.

    Both lines are appended before the file appears under its name, which it does whole: whatever kills the process, a
    file without a line, or with another hash than its line's, is one that the store did not finish.
    """

    def __init__(self, folder: Path, addresses: Mapping[str, str]) -> None:
        self.folder = folder
        self.addresses = addresses
        self.checksums = _read(folder / CHECKSUMS)
        self.came_from = _read(folder / ADDRESSES)

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
            # In this order: killed in between, an older file under this name has another hash than its line's.
            self._append(CHECKSUMS, checksum, path)
            self._append(ADDRESSES, self.addresses[path], path)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self.checksums[path], self.came_from[path] = checksum, self.addresses[path]
        return checksum

    def prune(self) -> int:
        """Delete what is not wanted, not intact, from another address or left half done; say how many files went."""
        records = {self.folder / CHECKSUMS, self.folder / ADDRESSES}
        everything = sorted(self.folder.rglob("*"), reverse=True)
        files = [path for path in everything if not path.is_dir() and path not in records]
        kept = {}
        for file in files:
            path = file.relative_to(self.folder).as_posix()
            wanted = path in self.addresses and self.addresses[path] == self.came_from.get(path)
            if wanted and file.is_file() and self.checksums.get(path) == _hash(file):
                kept[path] = self.checksums[path]
            else:
                file.unlink()
        for folder in (path for path in everything if path.is_dir()):
            if not any(folder.iterdir()):
                folder.rmdir()
        self.checksums = kept
        self.write_records()
        return len(files) - len(kept)

    def write_records(self) -> None:
        """Forget files that are not there, and write hashes and addresses anew, sorted."""
        known = self.checksums.keys() & self.came_from.keys()
        there = [path for path in sorted(known) if (self.folder / path).exists()]
        self.checksums = {path: self.checksums[path] for path in there}
        self.came_from = {path: self.came_from[path] for path in there}
        self.folder.mkdir(parents=True, exist_ok=True)
        self._replace(CHECKSUMS, self.checksums)
        self._replace(ADDRESSES, self.came_from)

    def _append(self, name: str, value: str, path: str) -> None:
        with (self.folder / name).open("ab", buffering=0) as records:  # appended by one call, whole
            records.write(f"{value}  {path}\n".encode())

    def _replace(self, name: str, values: Mapping[str, str]) -> None:
        temporary = self.folder / f".{name}"
        temporary.write_text("".join(f"{value}  {path}\n" for path, value in values.items()), encoding="utf-8")
        temporary.replace(self.folder / name)


def _read(path: Path) -> dict[str, str]:
    """The last value of each path; lines that are torn or nonsense do not count."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    matches = (re.fullmatch(r"(\S+)  (\S+)", line) for line in lines)
    return {match[2]: match[1] for match in matches if match}


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
