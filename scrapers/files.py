"""The store of original files, and the pipeline that downloads into it."""

import hashlib
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from scrapy import Request, exceptions
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.http.request import NO_CALLBACK
from scrapy.pipelines.files import FilesPipeline
from scrapy.pipelines.media import FileException, FileInfo, FileInfoOrError, MediaPipeline
from twisted.python.failure import Failure

from scrapers.items import Work

CHECKSUMS = "checksums.sha256"
REASONS: dict[type[Exception], str] = {
    exceptions.CannotResolveHostError: "host-unknown",
    exceptions.DownloadCancelledError: "too-large",
    exceptions.DownloadConnectionRefusedError: "connection-refused",
    exceptions.DownloadFailedError: "connection-lost",
    exceptions.DownloadTimeoutError: "timeout",
    exceptions.IgnoreRequest: "robots-txt",
    exceptions.ResponseDataLossError: "truncated",
    OSError: "not-stored",
}
"""Why a download failed, beside ``http-STATUS``, ``empty-content`` and ``html``."""


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
        """Store ``body`` under the relative ``path``; its hash comes back."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        checksum = hashlib.sha256(body).hexdigest()
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            temporary.write_bytes(body)
            with (self.folder / CHECKSUMS).open("a", encoding="utf-8") as checksums:
                checksums.write(f"{checksum}  {path}\n")
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
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


@dataclass(frozen=True)
class Download:
    """A work whose image is wanted, and why it could not be had."""

    work: Work
    reason: str = ""


class ImagePipeline(FilesPipeline):
    """Brings each :class:`Download`'s original bytes into the store at ``FILES_STORE``.

    Whoever yields the downloads decides what is missing: nothing here is skipped because of a file's age.
    """

    def __init__(self, store_uri: str, *, crawler: Crawler) -> None:
        super().__init__(store_uri, crawler=crawler)
        self.files = Store(Path(store_uri))

    def get_media_requests(self, item: Download, info: MediaPipeline.SpiderInfo) -> list[Request]:
        """Ask for the image."""
        return [Request(item.work.image_url, callback=NO_CALLBACK)]

    def media_to_download(self, request: Request, info: MediaPipeline.SpiderInfo, *, item: Any = None) -> None:
        """Skip nothing."""

    def file_path(
        self,
        request: Request,
        response: Response | None = None,
        info: MediaPipeline.SpiderInfo | None = None,
        *,
        item: Any = None,
    ) -> str:
        """The path is the work's."""
        path: str = item.work.path
        return path

    async def media_downloaded(
        self, response: Response, request: Request, info: MediaPipeline.SpiderInfo, *, item: Any = None
    ) -> FileInfo:
        """Refuse what a look at status and first byte shows to be no image."""
        if response.status != 200:
            raise FileException(f"http-{response.status}")
        if response.body.lstrip()[:1] == b"<":
            raise FileException("html")
        return await super().media_downloaded(response, request, info, item=item)

    def file_downloaded(
        self, response: Response, request: Request, info: MediaPipeline.SpiderInfo, *, item: Any = None
    ) -> str:
        """Store the bytes as they came."""
        return self.files.add(self.file_path(request, item=item), response.body)

    def media_failed(self, failure: Failure, request: Request, info: MediaPipeline.SpiderInfo) -> NoReturn:
        """Name the reason."""
        error = failure.value
        if isinstance(error, FileException):
            raise error
        names = (name for kind, name in REASONS.items() if isinstance(error, kind))
        raise FileException(next(names, type(error).__name__))

    def item_completed(self, results: list[FileInfoOrError], item: Any, info: MediaPipeline.SpiderInfo) -> Download:
        """Note what became of the download."""
        download: Download = item
        _, outcome = results[0]
        return replace(download, reason=str(outcome.value)) if isinstance(outcome, Failure) else download


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
