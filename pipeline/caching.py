"""Features of images, computed once and kept: a cache that a killed run leaves in a state to go on from.

A cache is a folder with ``features.npy``, shape (rows, 512, crop_px // 16, crop_px // 16), and ``index.csv``, which
tells of each row its image, source, label, split, view, kind (image, or an imitation that is filtered or styled), the
source that lent a style, and CRC-32. While it is being made, rows are in ``features.npy.partial`` and their checksums
in ``checksums.partial``; ``fingerprint.txt`` says of what.
"""

import hashlib
import io
import logging
import math
import os
import shutil
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.console import UserError, progress
from pipeline.files import write_text
from pipeline.params import FeatureType
from pipeline.tables import read_table, write_table
from pipeline.trunk import Row, compute_features, compute_in_cluster
from pipeline.vgg import TRUNK_STRIDE_PX, VGG16, tensors_sha256

FEATURES, INDEX = "features.npy", "index.csv"
PARTIAL, CHECKSUMS, FINGERPRINT = "features.npy.partial", "checksums.partial", "fingerprint.txt"
CODE = [
    Path(__file__).with_name(f"{name}.py")
    for name in ("augmentation", "caching", "classification", "images", "tensors", "trunk", "vgg")
]
"""What decides the features that are computed."""

COLUMNS = ("row", *Row.__slots__, "crc32")
CHECKSUM_BYTES = len("00000000\n")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cache:
    """A finished cache: the file of its array, its index (columns as in :data:`COLUMNS`), and what it was made of."""

    features: Path
    index: Sequence[Mapping[str, str]]
    fingerprint: str


def cache_features(
    network: VGG16, rows: Sequence[Row], folder: Path, *, crop_px: int, dtype: FeatureType, seed: int, workers: int = 1
) -> None:
    """Compute the trunk's output for every row of a cache in ``folder``, or what of it is not there yet.

    An image is decoded once for rows of it that follow each other. A cache of anything else is begun anew. More than
    one of ``workers`` compute it with Ray, to the same bytes. Raises :class:`UserError` for an image that cannot be
    read, features out of range, and a disk without room.
    """
    channels, side = network.get_parameter("conv5_1.weight").shape[1], crop_px // TRUNK_STRIDE_PX
    layout = _Layout((len(rows), channels, side, side), np.dtype(dtype))
    done = _prepare(folder, layout, _fingerprint(network, rows, f"{layout} {crop_px} {seed}"))
    if (folder / FEATURES).exists():
        log.info("%s is as it should be", folder / FEATURES)
        return
    _check_room(folder, layout, done)
    started = time.monotonic()
    with (
        (folder / PARTIAL).open("r+b") as file,
        (folder / CHECKSUMS).open("r+b") as checksums,
        progress(total=len(rows), initial=done, unit="view", description="trunk") as bar,
    ):
        file.write(layout.header)
        for each, length in ((file, layout.bytes_of(done)), (checksums, CHECKSUM_BYTES * done)):
            each.truncate(length)
            each.seek(length)
        # Not through a memory map: a full disk is then an error and not a bus error, and no written page counts as
        # this process's memory.
        compute = compute_features if workers == 1 else partial(compute_in_cluster, workers=workers)
        for features in compute(network, rows[done:], crop_px=crop_px, dtype=dtype, seed=seed):
            data = [row.tobytes() for row in features]
            file.writelines(data)
            file.flush()
            checksums.writelines(f"{_checksum(row)}\n".encode() for row in data)
            checksums.flush()
            bar.update(len(data))
        os.fsync(file.fileno())
    _finish(folder, rows)
    seconds = time.monotonic() - started
    log.info("%d views in %.1f s, %.1f views/s", len(rows) - done, seconds, (len(rows) - done) / seconds)


def open_features(folder: Path) -> Cache:
    """A finished cache; raises :class:`UserError` for one that is not finished, or was cut off.

    That is told at once, by its length and its last row; :func:`verify_features` reads all of it.
    """
    index = read_table(folder / INDEX)
    if not index or not set(COLUMNS) <= index[0].keys():
        raise UserError(f"{folder / INDEX} is not the index of features; {_remedy(folder)}")
    try:
        features = np.lib.format.open_memmap(folder / FEATURES, mode="r")
        layout = _Layout(features.shape, features.dtype)
        whole = len(features) == len(index) and layout.bytes_of(len(index)) == (folder / FEATURES).stat().st_size
        whole = whole and _checksum(features[-1].tobytes()) == index[-1]["crc32"]
        fingerprint = (folder / FINGERPRINT).read_text()
    except Exception:  # missing, cut off, or something else, which fails in many ways
        whole = False
    if not whole:
        raise UserError(
            f"{folder / FEATURES} does not hold the {len(index)} rows of {folder / INDEX}; {_remedy(folder)}"
        )
    return Cache(folder / FEATURES, index, fingerprint)


def verify_features(folder: Path) -> None:
    """Compare every row of a finished cache with its CRC-32; raises :class:`UserError` for one that was changed."""
    cache = open_features(folder)
    features = np.load(cache.features, mmap_mode="r")
    layout = _Layout(features.shape, features.dtype)
    sound = _count_sound(cache.features, layout, [entry["crc32"] for entry in cache.index])
    if sound < len(cache.index):
        raise UserError(f"row {sound} of {cache.features} is not what was written; {_remedy(folder)}")


def _remedy(folder: Path) -> str:
    return f"delete {folder} and run `dvc repro` again"


def _checksum(row: bytes) -> str:
    return f"{zlib.crc32(row):08x}"


@dataclass(frozen=True)
class _Layout:
    """Of the file of an array."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def header(self) -> bytes:
        file = io.BytesIO()
        fields = {"descr": self.dtype.str, "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(file, fields)
        return file.getvalue()

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def bytes_of(self, rows: int) -> int:
        """Length of the file with so many rows."""
        return len(self.header) + rows * self.row_bytes


def _fingerprint(network: VGG16, rows: Sequence[Row], settings: str) -> str:
    """Hash of all that decides what a cache holds: settings, code, weights, precision, and the images' bytes."""
    trainable = network.trainable()
    trunk = {name: values for name, values in network.named_parameters() if name not in trainable}
    digest = hashlib.sha256(f"{settings} {next(iter(trunk.values())).dtype} {tensors_sha256(trunk)}".encode())
    for path in CODE:
        digest.update(path.read_bytes())
    for name, group in groupby(rows, attrgetter("path")):
        digest.update(repr(list(group)).encode())
        try:
            digest.update(hashlib.sha256(Path(name).read_bytes()).digest())
        except OSError as error:
            raise UserError(f"{name} cannot be read ({error.strerror}); `dvc repro` makes it again") from None
    return digest.hexdigest()


def _prepare(folder: Path, layout: _Layout, fingerprint: str) -> int:
    """Make ``folder`` one of this fingerprint; returns the rows that are there and sound."""
    started = folder / FINGERPRINT
    same = started.exists() and started.read_text(errors="replace") == fingerprint
    if same and (folder / FEATURES).exists():
        try:
            verify_features(folder)
        except UserError:
            log.warning("%s is damaged, and computed anew", folder / FEATURES)
            same = False
        else:
            (folder / CHECKSUMS).unlink(missing_ok=True)  # of a run that was killed when all was done
            return layout.shape[0]
    if not same:
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():  # the folder itself may be a link to a larger disk
            path.unlink()
        write_text(started, fingerprint)
    for name in (PARTIAL, CHECKSUMS):
        (folder / name).touch()
    *checksums, _ = (folder / CHECKSUMS).read_text(errors="replace").split("\n")  # the last has no end
    sound = _count_sound(folder / PARTIAL, layout, checksums)
    if sound:
        log.info("continuing after row %d of %d", sound, layout.shape[0])
    return sound


def _count_sound(path: Path, layout: _Layout, checksums: Sequence[str]) -> int:
    """Rows from the first on that are whole and have their checksum."""
    with path.open("rb") as file:
        if file.read(len(layout.header)) != layout.header:
            return 0
        for row, checksum in enumerate(checksums[: layout.shape[0]]):
            data = file.read(layout.row_bytes)
            if len(data) < layout.row_bytes or _checksum(data) != checksum:
                return row
    return min(len(checksums), layout.shape[0])


def _check_room(folder: Path, layout: _Layout, done: int) -> None:
    rows = layout.shape[0]
    size_mb, missing_mb = (layout.row_bytes * count / 1e6 for count in (rows, rows - done))
    free_mb = shutil.disk_usage(folder).free / 1e6
    log.info("%s will hold %d x %s %s, %.0f MB", folder / FEATURES, rows, layout.shape[1:], layout.dtype, size_mb)
    if missing_mb > free_mb:
        raise UserError(
            f"{folder / FEATURES} needs {missing_mb:.0f} MB more and the disk has {free_mb:.0f} MB; "
            "make room or lower features.views"
        )


def _finish(folder: Path, rows: Sequence[Row]) -> None:
    """Write the index and, last of all, give the features their name."""
    checksums = (folder / CHECKSUMS).read_text().splitlines()
    write_table(
        folder / INDEX,
        COLUMNS,
        (
            {"row": number, **asdict(row), "crc32": checksum}
            for number, (row, checksum) in enumerate(zip(rows, checksums, strict=True))
        ),
    )
    (folder / PARTIAL).replace(folder / FEATURES)
    (folder / CHECKSUMS).unlink()
