"""Manifests."""

from dataclasses import replace
from pathlib import Path

from pipeline.manifest import load_manifest
from scrapers.items import LABELS, Work, write_manifest

WORK = Work(
    source="sample",
    id="a-1",
    label="photo",
    group="a",
    title="The cat « Chelsea »",
    creator="Somebody",
    year=1901,
    licence="CC0-1.0",
    licence_url="https://example.org/cc0",
    page_url="https://example.org/works/a-1",
    image_url="https://example.org/a-1.jpg",
    width_px=300,
    height_px=200,
)


def originals(folder: Path) -> list[bytes]:
    works = [replace(WORK, id=f"{label}-{number}", label=label) for label in LABELS for number in range(3)]
    write_manifest(works, folder / "manifest.jsonl")
    return [(folder / "manifest.jsonl").read_bytes()]


def read(path: Path) -> None:
    for work in load_manifest(path):
        assert Path(work.path).parent == Path(work.source, work.label)
