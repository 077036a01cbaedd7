"""Paint the training photographs by filters, so that a subject alone does not tell a painting from a photograph.

Reads ``data/prepare/accepted.csv`` and the photographs that it sets aside for training. Writes
``imitations.per_photo`` paintings of each to ``data/imitations/<source>/<id>-<number>.jpg``, ``imitations.csv`` beside
them with the columns path, source, photo (its path) and manner, and the contact sheet ``data/sheets/imitations.jpg``.
Each painting carries a fingerprint of what it was made from: one that is there and up to date is kept, all others go; a
run may be killed at any moment and run again.

    python -m pipeline.stages.imitations
"""

import argparse
import hashlib
import io
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pipeline.console import UserError, progress, run
from pipeline.files import replacing
from pipeline.images import contact_sheet
from pipeline.imitations import MANNERS, imitate
from pipeline.params import Imitations, load_params
from pipeline.tables import read_table, write_table
from pipeline.workers import in_processes
from scrapers.sample.strokes import Picture

ACCEPTED = Path("data/prepare/accepted.csv")
FOLDER = Path("data/imitations")
TABLE = FOLDER / "imitations.csv"
SHEET = Path("data/sheets/imitations.jpg")

COLUMNS = ("path", "source", "photo", "manner")
CODE = [Path(__file__).parents[2] / name for name in ("pipeline/imitations.py", "scrapers/sample/strokes.py")]
"""What decides how a photograph is painted."""
SHEET_PAIRS, SHEET_TILE_PX = 4, 160
"""Of each manner: a row of the sheet, if there are so many."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Photograph:
    """A training photograph and the files that its imitations go to."""

    path: str
    source: str
    imitations: tuple[Path, ...]


def main(argv: Sequence[str]) -> None:
    """Bring ``data/imitations`` to what the photographs and the settings say."""
    argparse.ArgumentParser(prog="imitations", description=__doc__.splitlines()[0]).parse_args(argv)
    params = load_params().imitations
    photographs = [
        Photograph(path=row["path"], source=row["source"], imitations=imitation_paths(row, params.per_photo))
        for row in read_table(ACCEPTED)
        if (row["label"], row["split"]) == ("photo", "train")
    ]
    TABLE.unlink(missing_ok=True)  # from here on it no longer describes the folder
    remove_all_but({path for photograph in photographs for path in photograph.imitations})
    rows = paint_all(photographs, params) if params.per_photo else []
    write_sheet(rows)
    write_table(TABLE, COLUMNS, rows)
    counts = Counter(row["manner"] for row in rows)
    summary = ", ".join(f"{manner} {counts[manner]}" for manner in MANNERS if counts[manner]) or "none"
    log.info("%d imitations of %d photographs: %s", len(rows), len(photographs), summary)


def imitation_paths(row: Mapping[str, str], count: int) -> tuple[Path, ...]:
    """Where the imitations of a row of ``accepted.csv`` go."""
    stem = Path(row["path"]).stem
    return tuple(FOLDER / row["source"] / f"{stem}-{number + 1}.jpg" for number in range(count))


def remove_all_but(paths: set[Path]) -> None:
    """Leave only ``paths`` in ``data/imitations``: not those of photographs that are gone, nor half a file."""
    for path in FOLDER.rglob("*"):
        if path.is_file() and path not in paths:
            path.unlink()


def paint_all(photographs: Sequence[Photograph], params: Imitations) -> list[dict[str, str]]:
    """Paint in parallel what is not there yet; the rows of the table, in the order of ``photographs``."""
    for folder in {path.parent for photograph in photographs for path in photograph.imitations}:
        folder.mkdir(parents=True, exist_ok=True)
    code = hashlib.sha256(b"".join(path.read_bytes() for path in CODE)).hexdigest()
    rows = []
    outcomes = in_processes(
        partial(paint_one, seed=params.seed, code=code),
        photographs,
        at_a_time=1,
        preload=["pipeline.images", "pipeline.imitations", "pipeline.params"],
        advice="lower prepare.short_side_px",
    )
    with progress(total=len(photographs) * params.per_photo, unit="image", description="imitations") as bar:
        for photograph, manners in zip(photographs, outcomes, strict=True):
            for path, manner in zip(photograph.imitations, manners, strict=True):
                named = {"path": str(path), "source": photograph.source}
                rows.append(named | {"photo": photograph.path, "manner": manner})
            bar.update(params.per_photo)
    return rows


def paint_one(photograph: Photograph, seed: int, code: str) -> list[str]:
    """Paint the imitations of one photograph, unless they are there and up to date; their manners.

    The file's comment tells the manner and the fingerprint: of the code, the seed, the number, and the photograph.
    """
    cv2.setNumThreads(1)  # every core has a process
    try:
        data = Path(photograph.path).read_bytes()
        pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    except OSError as error:
        raise UserError(f"{photograph.path} cannot be read ({error}); `dvc repro -f prepare` makes it anew") from None
    content = hashlib.sha256(data).hexdigest()
    manners = []
    for number, path in enumerate(photograph.imitations):
        state = f"{seed} {photograph.path} {number}"
        fingerprint = hashlib.sha256(f"{state} {content} {code}".encode()).hexdigest()
        manner, found = read_comment(path)
        if found != fingerprint:
            rng = np.random.default_rng(list(hashlib.sha256(state.encode()).digest()))
            painting, manner = imitate(pixels, rng)
            write_imitation(path, painting, f"{manner} {fingerprint}")
        manners.append(manner)
    return manners


def read_comment(path: Path) -> tuple[str, str]:
    """The manner and the fingerprint of an imitation; empty if it is not there or not one."""
    try:
        with Image.open(path) as image:
            manner, _, fingerprint = image.info.get("comment", b"").decode(errors="replace").partition(" ")
    except OSError:
        return "", ""
    return manner, fingerprint


def write_imitation(path: Path, painting: Picture, comment: str) -> None:
    """Write a JPEG as ``prepare`` writes the other images: the coding must not tell what is an imitation."""
    encoded = io.BytesIO()  # Pillow writes to a file in small pieces
    Image.fromarray(painting).save(encoded, "JPEG", quality=95, subsampling="4:4:4", comment=comment)
    with replacing(path) as temporary:
        temporary.write_bytes(encoded.getbuffer())


def write_sheet(rows: Sequence[Mapping[str, str]]) -> None:
    """Photographs beside their imitations, a few of each manner, drawn by a hash so that they change little."""
    drawn = sorted(rows, key=lambda row: hashlib.sha256(row["path"].encode()).digest())
    tiles = []
    for manner in MANNERS:
        for row in [row for row in drawn if row["manner"] == manner][:SHEET_PAIRS]:
            for path, caption in ((row["photo"], Path(row["photo"]).stem), (row["path"], manner)):
                with Image.open(path) as image:
                    tiles.append((image.convert("RGB"), caption))
    with replacing(SHEET) as temporary:
        contact_sheet(tiles, 2 * SHEET_PAIRS, SHEET_TILE_PX).save(temporary, quality=90)


if __name__ == "__main__":
    run(main)
