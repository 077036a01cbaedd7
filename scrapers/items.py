"""What spiders bring home: works of art that a museum describes, and the manifest of them."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

Label = Literal["painting", "photo"]
LABELS: tuple[Label, Label] = get_args(Label)
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,79}$")]
"""Becomes part of a file's name: no separator, no leading dot."""
Text = Annotated[str, Field(min_length=1, max_length=500)]


def _parsed(address: str) -> str:
    """Raises :class:`ValueError` for brackets that hold no host, and for a port that is none."""
    if urlsplit(address).port == 0:
        raise ValueError("Port out of range 0-65535")
    return address


Url = Annotated[str, Field(pattern=r"^https?://[!-.0-~][!-~]*$", max_length=2000), AfterValidator(_parsed)]
"""Printable ASCII, as in RFC 3986: nothing that a terminal obeys."""
Pixels = Annotated[int, Field(ge=1, le=1_000_000)]

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".gif", ".tif", ".tiff", ".webp", ".bmp"})


class ManifestError(Exception):
    """A manifest that no crawl wrote."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(strict=True, extra="forbid"))
class Work:
    """A painting or photograph, in the manifest's order of keys. Raises :class:`ValueError` for a doubtful value."""

    source: Name
    id: Name
    label: Label
    group: Name
    """Works of one group show the same thing and never cross a split."""
    title: Text
    creator: Text
    year: Annotated[int, Field(ge=-10_000, le=3000)] | None
    """Of creation, the earliest that the source names."""
    licence: Text
    """SPDX identifier."""
    licence_url: Url
    page_url: Url
    image_url: Url
    width_px: Pixels | None
    height_px: Pixels | None

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from every other work, and sorts the manifest."""
        return self.source, self.label, self.id

    @property
    def path(self) -> str:
        """Where its file is stored; known before the file is."""
        suffix = PurePosixPath(urlsplit(self.image_url).path).suffix.lower()
        return f"{self.source}/{self.label}/{self.id}{suffix if suffix in SUFFIXES else '.bin'}"


def write_manifest(works: Iterable[Work], path: Path) -> None:
    """Write one JSON object a line, sorted: the same works give the same bytes."""
    lines = [json.dumps(asdict(work), ensure_ascii=False) + "\n" for work in sorted(works, key=lambda work: work.key)]
    path.write_text("".join(lines), encoding="utf-8")


def read_manifest(path: Path) -> list[Work]:
    """Read what :func:`write_manifest` wrote. Raises :class:`ManifestError` that names the line at fault."""
    works: dict[tuple[str, str, str], Work] = {}
    line_of_manifest = TypeAdapter(Work)
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            work = line_of_manifest.validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ManifestError(f"{path}:{number}: {where}: {first['msg']}") from None
        if works.setdefault(work.key, work) is not work:
            raise ManifestError(f"{path}:{number}: {'/'.join(work.key)} is there twice")
    return list(works.values())
