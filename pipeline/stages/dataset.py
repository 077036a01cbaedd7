"""Say what the data set is: where every image comes from, under which licence, and what was left out.

Reads ``data/index/manifest.jsonl``, ``data/metrics/index.json``, ``data/fetch/images.csv``, and
``data/prepare/accepted.csv`` and ``rejected.csv``. Writes ``data/dataset/ATTRIBUTION.csv``, a row for each accepted
image; the data set card ``data/dataset/README.md``; and ``data/metrics/dataset.json``.

    python -m pipeline.stages.dataset
"""

import argparse
import logging
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median_low
from typing import Any

from pipeline.console import UserError, run
from pipeline.dataset_card import read_index, render_dataset_card
from pipeline.files import write_json, write_text
from pipeline.manifest import load_manifest
from pipeline.params import load_params
from pipeline.splits import SPLITS
from pipeline.tables import read_table, write_table
from scrapers.items import LABELS, Work

MANIFEST = Path("data/index/manifest.jsonl")
INDEX = Path("data/metrics/index.json")
DOWNLOADS = Path("data/fetch/images.csv")
ACCEPTED = Path("data/prepare/accepted.csv")
REJECTED = Path("data/prepare/rejected.csv")
ATTRIBUTION = Path("data/dataset/ATTRIBUTION.csv")
CARD = Path("data/dataset/README.md")
METRICS = Path("data/metrics/dataset.json")

COLUMNS = (
    *("path", "source", "label", "id", "title", "creator", "year"),
    *("licence", "licence_url", "page_url", "image_url", "sha256"),
)
PERIOD_ENDS = {
    "before 1500": 1500,
    **{f"{start}-{start + 99}": start + 100 for start in range(1500, 1900, 100)},
    "1900-1949": 1950,
    "1950 and later": 10_000,
}
UNKNOWN_PERIOD = "unknown"

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Image:
    """An accepted image, and the original that it was made from."""

    work: Work
    path: str
    split: str
    width_px: int
    height_px: int
    is_gray: bool
    original_bytes: int
    sha256: str
    """Of the original."""


def main(argv: Sequence[str]) -> None:
    """Write the attribution, the card and the counts."""
    argparse.ArgumentParser(prog="dataset", description=__doc__.splitlines()[0]).parse_args(argv)
    crawl = load_params().crawl
    works = load_manifest(MANIFEST)
    index = read_index(INDEX)
    downloads = read_table(DOWNLOADS)
    images = sorted(find_images(works, downloads), key=lambda image: image.path)
    metrics = count(works, downloads, read_table(REJECTED), images)

    write_table(ATTRIBUTION, COLUMNS, map(attribution, images))
    write_text(CARD, render_dataset_card(crawl, metrics, index))
    write_json(METRICS, metrics)
    log.info("%s attributes %d images, %s describes them", ATTRIBUTION, len(images), CARD)


def find_images(works: Iterable[Work], downloads: Iterable[Mapping[str, str]]) -> Iterator[Image]:
    """What the stages before say of each accepted image."""
    work_of = {work.key: work for work in works}
    download_of = {_key(row): row for row in downloads}
    for row in read_table(ACCEPTED):
        work, download = work_of.get(_key(row)), download_of.get(_key(row))
        if not work or not download:
            raise UserError(f"{ACCEPTED} has an image that {MANIFEST} or {DOWNLOADS} does not; run `dvc repro`")
        yield Image(
            work=work,
            path=row["path"],
            split=row["split"],
            width_px=int(row["width_px"]),
            height_px=int(row["height_px"]),
            is_gray=row["is_gray"] == "True",
            original_bytes=int(download["bytes"]),
            sha256=download["sha256"],
        )


def count(
    works: Iterable[Work],
    downloads: Sequence[Mapping[str, str]],
    rejections: Iterable[Mapping[str, str]],
    images: Sequence[Image],
) -> dict[str, Any]:
    """How many images there are of each kind, and how many were lost on the way."""
    of_class = {label: [image for image in images if image.work.label == label] for label in LABELS}
    return {
        "by_source": count_by_source(works, downloads, images),
        "by_split": count_by_class(((image.split, image.work.label) for image in images), SPLITS),
        "by_licence": count_by_class((image.work.licence, image.work.label) for image in images),
        "by_period": count_by_class(
            ((period(image.work.year), image.work.label) for image in images), (*PERIOD_ENDS, UNKNOWN_PERIOD)
        ),
        "sizes": {label: sizes(members) for label, members in of_class.items() if members},
        "lost": {
            "fetch": count_by_class((row["reason"], row["label"]) for row in downloads if row["status"] == "failed"),
            "prepare": count_by_class((row["reason"], row["label"]) for row in rejections),
        },
    }


def count_by_source(
    works: Iterable[Work], downloads: Iterable[Mapping[str, str]], images: Sequence[Image]
) -> dict[str, dict[str, dict[str, int]]]:
    """How many works of each source and class came how far, and how many of those accepted are grey."""
    counts: dict[str, Counter[tuple[str, str]]] = {
        "listed": Counter((work.source, work.label) for work in works),
        "downloaded": Counter((row["source"], row["label"]) for row in downloads if row["status"] == "ok"),
        "accepted": Counter((image.work.source, image.work.label) for image in images),
        "gray": Counter((image.work.source, image.work.label) for image in images if image.is_gray),
    }
    sources = sorted({source for source, _ in counts["listed"]})
    return {s: {label: {name: each[s, label] for name, each in counts.items()} for label in LABELS} for s in sources}


def count_by_class(pairs: Iterable[tuple[str, str]], names: Iterable[str] = ()) -> dict[str, dict[str, int]]:
    """How often each name comes with each class, in the order of ``names``, or of the alphabet."""
    counts = Counter(pairs)
    names = names or sorted({name for name, _ in counts})
    return {name: {label: counts[name, label] for label in LABELS} for name in names}


def period(year: int | None) -> str:
    """The time in which a work was made, coarsely."""
    if year is None:
        return UNKNOWN_PERIOD
    return next(name for name, end in PERIOD_ENDS.items() if year < end)


def sizes(images: Sequence[Image]) -> dict[str, Any]:
    """How large the images are, and their originals."""
    original_bytes = [image.original_bytes for image in images]
    return {
        "original_bytes": sum(original_bytes),
        "median_original_bytes": median_low(original_bytes),
        "short_side_px": extent([min(image.width_px, image.height_px) for image in images]),
        "long_side_px": extent([max(image.width_px, image.height_px) for image in images]),
    }


def extent(values: Sequence[int]) -> dict[str, int]:
    """The least, the middle and the greatest of some values."""
    return {"min": min(values), "median": median_low(values), "max": max(values)}


def attribution(image: Image) -> dict[str, object]:
    """A row of ``ATTRIBUTION.csv``."""
    row: dict[str, object] = asdict(image.work) | {"path": image.path, "sha256": image.sha256}
    return {name: inert(value) if isinstance(value := row[name], str) else value for name in COLUMNS}


def inert(text: str) -> str:
    """Text on one line that no spreadsheet takes for a formula, whatever the width of its first visible character."""
    line = " ".join(text.split())
    visible = (character for character in line if unicodedata.category(character)[0] not in "CZ")
    begins = unicodedata.normalize("NFKC", next(visible, ""))
    return f"'{line}" if begins.startswith(("=", "+", "-", "@")) else line


def _key(row: Mapping[str, str]) -> tuple[str, str, str]:
    return row["source"], row["label"], row["id"]


if __name__ == "__main__":
    run(main)
