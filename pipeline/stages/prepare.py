"""Accept or reject every crawled image, and split the accepted ones.

Reads ``data/index/manifest.jsonl``, ``data/raw/`` and ``data/frozen.csv``, the images on which `paint retrain` compares
models: what is like one of them is for the test. Writes the accepted images, upright sRGB JPEGs of a limited size,
to ``data/images/<source>/<label>/<id>.jpg``; ``data/prepare/accepted.csv`` and ``rejected.csv``, of which one or the
other lists each image; ``data/metrics/prepare.json``; a contact sheet of each label to ``data/sheets/``.

    python -m pipeline.stages.prepare
"""

import argparse
import hashlib
import io
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

from PIL import Image

from pipeline import images
from pipeline.console import UserError, progress, run
from pipeline.files import replacing, write_json
from pipeline.manifest import load_manifest
from pipeline.params import Prepare, load_params
from pipeline.splits import (
    SPLITS,
    Frozen,
    Picture,
    Split,
    alike,
    assign_splits,
    find_duplicates,
    held_groups,
    merge_groups,
)
from pipeline.tables import read_table, write_table
from pipeline.workers import in_parallel
from scrapers.items import LABELS, Work

MANIFEST = Path("data/index/manifest.jsonl")
RAW = Path("data/raw")
FROZEN = Path("data/frozen.csv")
IMAGES = Path("data/images")
ACCEPTED = Path("data/prepare/accepted.csv")
REJECTED = Path("data/prepare/rejected.csv")
METRICS = Path("data/metrics/prepare.json")
SHEETS = Path("data/sheets")

ACCEPTED_COLUMNS = ("path", "source", "label", "id", "group", "split", "width_px", "height_px", "is_gray", "phash")
SHEET_IMAGES, SHEET_COLUMNS, SHEET_TILE_PX = 48, 8, 160
SLOW_IMPORTS = ["imagehash", "pydantic", "scipy.fftpack", "scipy.sparse.csgraph"]
"""Of the workers: done once for all of them."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A row of ``rejected.csv``; ``reason`` is one of :data:`pipeline.images.Reason`, duplicate or near-duplicate."""

    path: str
    source: str
    label: str
    id: str
    reason: str
    detail: str


def main(argv: Sequence[str]) -> None:
    """Accept, reject and split the images."""
    argparse.ArgumentParser(prog="prepare", description=__doc__.splitlines()[0]).parse_args(argv)
    settings = load_params()
    params = settings.prepare
    wanted = load_manifest(MANIFEST)
    works = [work for work in wanted if (RAW / work.path).is_file()]
    if not works:
        raise UserError(f"{RAW} has no image of {MANIFEST}; `dvc repro fetch` brings them")
    ACCEPTED.unlink(missing_ok=True)  # from here on it no longer describes data/images
    outcomes = list(decode(works, params, settings.machine.workers))
    pictures = [outcome for outcome in outcomes if isinstance(outcome, Picture)]
    rejections = [outcome for outcome in outcomes if isinstance(outcome, Rejection)]

    near = alike(pictures, params.near_duplicate_bits)
    groups = merge_groups(pictures, near)
    frozen = Frozen.of(read_table(FROZEN) if FROZEN.exists() else [])
    held = held_groups(groups, frozen, params.near_duplicate_bits)
    for picture, kept in find_duplicates(pictures, near).items():
        reason = "duplicate" if picture.sha256 == kept.sha256 else "near-duplicate"
        rejections.append(_rejection(picture, picture.raw, reason, f"of {kept.raw}"))
        del groups[picture]
    splits = assign_splits(
        groups, validation_ratio=params.validation_ratio, test_ratio=params.test_ratio, seed=params.seed, held=held
    )

    remove_all_but({Path(picture.path) for picture in groups})
    for label in LABELS:
        write_sheet(SHEETS / f"{label}.jpg", [picture for picture in groups if picture.label == label])
    write_metrics(groups, splits, rejections, len(wanted) - len(works))
    rejections.sort(key=lambda each: each.path)
    write_table(REJECTED, [column.name for column in fields(Rejection)], map(vars, rejections))
    rows = (vars(picture) | {"group": group, "split": splits[group]} for picture, group in groups.items())
    write_table(ACCEPTED, ACCEPTED_COLUMNS, ({name: row[name] for name in ACCEPTED_COLUMNS} for row in rows))
    reasons = Counter(each.reason for each in rejections)
    summary = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items())) or "none"
    log.info("accepted %d images in %d groups, rejected: %s", len(groups), len(splits), summary)


def decode(works: Sequence[Work], params: Prepare, workers: int = 1) -> Iterator[Picture | Rejection]:
    """Decode the images of ``works`` in parallel, in order. Only small records come back: pixels go to files."""
    for folder in {IMAGES / work.source / work.label for work in works}:
        folder.mkdir(parents=True, exist_ok=True)
    outcomes = in_parallel(
        partial(decode_one, params=params),
        works,
        workers=workers,
        at_a_time=8,
        preload=SLOW_IMPORTS,
        advice="lower prepare.max_megapixels",
    )
    with progress(total=len(works), unit="image", description="prepare") as bar:
        for outcome in outcomes:
            bar.update()
            yield outcome


def decode_one(work: Work, params: Prepare) -> Picture | Rejection:
    """Decode, reduce and write one image."""
    raw = RAW / work.path
    data = raw.read_bytes()
    try:
        image = images.open_image(data, max_megapixels=params.max_megapixels, min_side_px=params.min_side_px)
    except images.RejectedImage as error:
        return _rejection(work, str(raw), error.reason, error.detail)
    reduced = images.resize_short_side(image, params.short_side_px)
    encoded = io.BytesIO()  # Pillow writes to a file in small pieces
    reduced.save(encoded, "JPEG", quality=95, subsampling="4:4:4")
    path = IMAGES / work.source / work.label / f"{work.id}.jpg"
    path.write_bytes(encoded.getbuffer())  # not atomic: no run trusts a file that it did not write itself
    return Picture(
        path=str(path),
        source=work.source,
        label=work.label,
        id=work.id,
        group=work.group,
        width_px=reduced.width,
        height_px=reduced.height,
        is_gray=images.is_gray(reduced),
        phash=images.perceptual_hash(reduced),
        raw=str(raw),
        raw_pixels=image.width * image.height,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _rejection(image: Work | Picture, path: str, reason: str, detail: str) -> Rejection:
    return Rejection(path=path, source=image.source, label=image.label, id=image.id, reason=reason, detail=detail)


def remove_all_but(paths: set[Path]) -> None:
    """Leave only ``paths`` in ``data/images``: not the duplicates, nor what an earlier run accepted."""
    for path in IMAGES.rglob("*"):
        if path.is_file() and path not in paths:
            path.unlink()


def write_sheet(path: Path, pictures: Iterable[Picture]) -> None:
    """A sample of ``pictures``, drawn by a hash of their path, so that it changes little as pictures come and go."""
    drawn = sorted(pictures, key=lambda picture: hashlib.sha256(picture.path.encode()).digest())[:SHEET_IMAGES]
    tiles = []
    for picture in sorted(drawn, key=lambda picture: picture.path):
        with Image.open(picture.path) as image:
            tiles.append((image.copy(), picture.id))
    with replacing(path) as temporary:
        images.contact_sheet(tiles, SHEET_COLUMNS, SHEET_TILE_PX).save(temporary, quality=90)


def write_metrics(
    groups: Mapping[Picture, str], splits: Mapping[str, Split], rejections: Sequence[Rejection], missing: int
) -> None:
    """What came of the images, as ``dvc metrics show`` and the report read it."""
    strata = sorted({(picture.source, picture.label) for picture in groups})
    counts = Counter((picture.source, picture.label, splits[group]) for picture, group in groups.items())
    by_source: dict[str, dict[str, dict[str, int]]] = {}
    for source, label in strata:
        by_source.setdefault(source, {})[label] = {split: counts[source, label, split] for split in SPLITS}
    gray = {label: [picture.is_gray for picture in groups if picture.label == label] for label in LABELS}
    metrics = {
        "accepted": len(groups),
        "rejected": len(rejections),
        "missing": missing,
        "rejected_by_reason": dict(sorted(Counter(each.reason for each in rejections).items())),
        "images": by_source,
        "groups": len(splits),
        "largest_group": max(Counter(groups.values()).values()),
        "gray_share": {label: round(sum(flags) / len(flags), 4) for label, flags in gray.items()},
    }
    write_json(METRICS, metrics)


if __name__ == "__main__":
    run(main)
