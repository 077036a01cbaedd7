"""Make paintings of the training photographs, so that a subject alone does not tell a painting from a photograph.

Reads ``data/prepare/accepted.csv``, the training images that it names and ``data/weights/vgg16.safetensors``. Writes
``imitations.per_photo`` paintings by filters of each photograph to ``data/imitations/<source>/<id>-<number>.jpg``, and
for the share ``imitations.transferred`` of them one in the style of a training painting, or of a picture in the folder
``imitations.styles`` if it is given, to ``<id>-styled.jpg``. ``imitations.csv`` beside them has the columns path,
source, photo (its path), manner and lender (the source of the painting that lent its style); the contact sheet is
``data/sheets/imitations.jpg``. Each imitation carries a fingerprint of what it was made from: one that is there and up
to date is kept, all others go; a run may be killed at any moment and run again.

    python -m pipeline.stages.imitations
"""

import argparse
import hashlib
import io
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from pipeline.console import UserError, progress, run
from pipeline.device import network_dtype
from pipeline.files import replacing
from pipeline.images import contact_sheet, load_rgb
from pipeline.imitations import MANNERS, imitate
from pipeline.params import Imitations, load_params
from pipeline.tables import read_table, write_table
from pipeline.transfer import imitate_style
from pipeline.vgg import VGG16, load_network
from pipeline.workers import in_parallel
from scrapers.sample.strokes import Picture

ACCEPTED = Path("data/prepare/accepted.csv")
WEIGHTS = Path("data/weights/vgg16.safetensors")
FOLDER = Path("data/imitations")
TABLE = FOLDER / "imitations.csv"
SHEET = Path("data/sheets/imitations.jpg")

COLUMNS = ("path", "source", "photo", "manner", "lender")
STYLED = "styled"
"""The manner of an imitation that took its style from a painting."""
CODE = [
    Path(__file__).parents[2] / name
    for name in (
        "pipeline/augmentation.py",
        "pipeline/images.py",
        "pipeline/imitations.py",
        "pipeline/painting/losses.py",
        "pipeline/tensors.py",
        "pipeline/transfer.py",
        "pipeline/vgg.py",
        "scrapers/sample/strokes.py",
    )
]
"""What decides how a photograph is painted, beside the weights."""
SHEET_PAIRS, SHEET_TILE_PX = 4, 160
"""Of each manner: a row of the sheet, if there are so many."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Imitation:
    """One painting to be made."""

    path: Path
    photo: str
    source: str
    style: str = ""
    """The picture that lends its style; filters need none."""
    lender: str = ""
    """The source of that picture, empty for one from ``imitations.styles``."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all imitations have in common."""

    seed: int
    side_px: int
    """Of those in the style of a painting."""
    code: str
    """Hash of the code and the weights."""


def main(argv: Sequence[str]) -> None:
    """Bring ``data/imitations`` to what the photographs and the settings say."""
    argparse.ArgumentParser(prog="imitations", description=__doc__.splitlines()[0]).parse_args(argv)
    params = load_params()
    training = [row for row in read_table(ACCEPTED) if row["split"] == "train"]
    imitations = list(plan(training, params.imitations))
    TABLE.unlink(missing_ok=True)  # from here on it no longer describes the folder
    remove_all_but({imitation.path for imitation in imitations})
    settings = params.imitations.seed, params.features.crop_px, params.machine.workers
    rows = paint_all(imitations, *settings) if imitations else []
    write_sheet(rows)
    write_table(TABLE, COLUMNS, rows)
    counts = Counter(row["manner"] for row in rows)
    summary = ", ".join(f"{manner} {counts[manner]}" for manner in (*MANNERS, STYLED) if counts[manner]) or "none"
    log.info("%d imitations: %s", len(rows), summary)


def plan(training: Sequence[Mapping[str, str]], params: Imitations) -> Iterator[Imitation]:
    """The imitations of the photographs among the rows of ``accepted.csv`` that are trained on.

    Which photograph takes which style is settled by hashes: it changes little as images come and go.
    """
    lenders: dict[str, list[str]] = {"": find_pictures(Path(params.styles))} if params.styles else {}
    for row in training:
        if row["label"] == "painting" and not params.styles:
            lenders.setdefault(row["source"], []).append(row["path"])
    for row in training:
        if row["label"] != "photo":
            continue
        folder, stem = FOLDER / row["source"], Path(row["path"]).stem
        for number in range(params.per_photo):
            path = folder / f"{stem}-{number + 1}.jpg"
            yield Imitation(path=path, photo=row["path"], source=row["source"])
        chance = f"{params.seed} {row['path']}"
        if lenders and _hash(chance) < params.transferred * 2**256:
            lender = max(lenders, key=lambda name: _hash(f"{chance} {name}"))
            yield Imitation(
                path=folder / f"{stem}-{STYLED}.jpg",
                photo=row["path"],
                source=row["source"],
                style=max(lenders[lender], key=lambda path: _hash(f"{chance} {path}")),
                lender=lender,
            )


def _hash(text: str) -> int:
    """A number below 2 to the power of 256."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest())


def find_pictures(folder: Path) -> list[str]:
    """The files in the folder of further styles; raises :class:`UserError` for one that is not there or empty."""
    found = sorted(str(path) for path in folder.glob("*") if path.is_file() and not path.name.startswith("."))
    if not found:
        raise UserError(f"{folder} has no pictures; set imitations.styles to a folder of paintings, or to null")
    return found


def remove_all_but(paths: set[Path]) -> None:
    """Leave only ``paths`` in ``data/imitations``: not those of photographs that are gone, nor half a file."""
    for path in FOLDER.rglob("*"):
        if path.is_file() and path not in paths:
            path.unlink()


def paint_all(imitations: Sequence[Imitation], seed: int, side_px: int, workers: int) -> list[dict[str, str]]:
    """Paint in parallel what is not there yet; the rows of the table, in the order of ``imitations``."""
    if not WEIGHTS.exists():
        raise UserError(f"{WEIGHTS} is missing; `dvc repro` makes it")
    for folder in {imitation.path.parent for imitation in imitations}:
        folder.mkdir(parents=True, exist_ok=True)
    code = hashlib.sha256(b"".join(path.read_bytes() for path in (*CODE, WEIGHTS))).hexdigest()
    outcomes = in_parallel(
        partial(paint_one, settings=Settings(seed=seed, side_px=side_px, code=code)),
        imitations,
        workers=workers,
        at_a_time=1,
        preload=["pipeline.images", "pipeline.imitations", "pipeline.params", "pipeline.transfer"],
        advice="lower prepare.short_side_px",
    )
    rows = []
    with progress(total=len(imitations), unit="image", description="imitations") as bar:
        for imitation, manner in zip(imitations, outcomes, strict=True):
            named = {"path": str(imitation.path), "source": imitation.source, "photo": imitation.photo}
            rows.append(named | {"manner": manner, "lender": imitation.lender})
            bar.update()
    return rows


def paint_one(imitation: Imitation, settings: Settings) -> str:
    """Paint one imitation, unless it is there and up to date; its manner.

    The file's comment tells the manner and the fingerprint: of the code, the seed, the path, and the pictures.
    """
    cv2.setNumThreads(1)  # every core has a process
    torch.set_num_threads(1)
    data = read_image(Path(imitation.photo))
    style = read_style(imitation) if imitation.style else b""
    state = f"{settings.seed} {imitation.path}"
    side_px = settings.side_px if imitation.style else 0
    contents = " ".join(hashlib.sha256(each).hexdigest() for each in (data, style))
    fingerprint = hashlib.sha256(f"{state} {contents} {side_px} {settings.code}".encode()).hexdigest()
    manner, found = read_comment(imitation.path)
    if found != fingerprint:
        photograph = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
        rng = np.random.default_rng(list(hashlib.sha256(state.encode()).digest()))
        if imitation.style:
            lent = np.array(load_rgb(Path(imitation.style)))
            painting, manner = imitate_style(network(), photograph, lent, settings.side_px, rng), STYLED
        else:
            painting, manner = imitate(photograph, rng)
        write_imitation(imitation.path, painting, f"{manner} {fingerprint}")
    return manner


@cache
def network() -> VGG16:
    """Plain VGG16, once for each process: on the CPU, where many small pictures are painted at a time."""
    return load_network(WEIGHTS).cast_trunk(network_dtype(torch.device("cpu")))


def read_image(path: Path) -> bytes:
    """The bytes of an image that ``prepare`` wrote; raises :class:`UserError` for one that is gone or not whole."""
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error}); `dvc repro -sf prepare` makes it anew") from None
    return data


def read_style(imitation: Imitation) -> bytes:
    """The bytes of the picture that lends its style; one of a person's own is checked when it is decoded."""
    path = Path(imitation.style)
    return read_image(path) if imitation.lender else path.read_bytes()


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
    for manner in (*MANNERS, STYLED):
        for row in [row for row in drawn if row["manner"] == manner][:SHEET_PAIRS]:
            for path, caption in ((row["photo"], Path(row["photo"]).stem), (row["path"], manner)):
                with Image.open(path) as image:
                    tiles.append((image.convert("RGB"), caption))
    with replacing(SHEET) as temporary:
        contact_sheet(tiles, 2 * SHEET_PAIRS, SHEET_TILE_PX).save(temporary, quality=90)


if __name__ == "__main__":
    run(main)
