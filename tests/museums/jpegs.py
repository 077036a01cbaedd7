"""JPEG files by the thousand: each is a choice of ready bands, joined without encoding anything anew.

Each row of blocks ends with a restart marker, after which nothing depends on what was before: any band of rows may
follow any other.
"""

import re
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from itertools import chain, cycle

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from scrapers.items import Label
from tests.museums.collection import Piece, draw

POOL_SIZE = 48
"""Bands of each class and width."""
BAND_HEIGHT_PX = 128
TINY_WIDTH_PX = 80
TINY_BAND_HEIGHT_PX = 16
TINY_BANDS = 8
FRAME, SCAN, END = b"\xff\xc0", b"\xff\xda", b"\xff\xd9"
RESTARTS = tuple(bytes((0xFF, 0xD0 + number)) for number in range(8))
"""In turn."""


@dataclass(frozen=True)
class Pool:
    """Bands of one width, each the rows that it has, and the head that they share."""

    head: bytes
    bands: tuple[tuple[bytes, ...], ...]
    band_height_px: int

    def jpeg(self, key: str, count: int) -> bytes:
        """A file of ``count`` bands; another one for each ``key``, which is in it as a comment."""
        chosen, note = draw(key), key.encode()
        comment = b"\xff\xfe" + (len(note) + 2).to_bytes(2) + note
        size = self.head.index(FRAME) + 5
        height = (count * self.band_height_px).to_bytes(2)
        parts = [self.head[:2], comment, self.head[2:size], height, self.head[size + 2 :]]
        rows = chain.from_iterable(self.bands[(chosen >> 7 * place) % len(self.bands)] for place in range(count))
        for row, restart in zip(rows, cycle(RESTARTS), strict=False):
            parts += row, restart
        return b"".join([*parts[:-1], END])


@dataclass(frozen=True)
class Format:
    """The images of a source: their width, and the bands that one has at least and at most."""

    width_px: int
    least: int
    most: int

    def height_px(self, piece: Piece) -> int:
        """The height of a work's image."""
        return self._bands(piece) * BAND_HEIGHT_PX

    def jpeg(self, piece: Piece, *, tiny: bool) -> bytes:
        """A work's image; a tiny one is smaller than the source says."""
        key = f"{piece.source}/{piece.label}/{piece.id}/{piece.seed}"
        bands = pool(piece.label, TINY_WIDTH_PX if tiny else self.width_px, tiny=tiny)
        return bands.jpeg(key, TINY_BANDS if tiny else self._bands(piece))

    def _bands(self, piece: Piece) -> int:
        return self.least + piece.draw("height") % (self.most + 1 - self.least)


@cache
def pool(label: Label, width_px: int, *, tiny: bool = False) -> Pool:
    """The bands for images of a class."""
    height_px, quality, subsampling = (TINY_BAND_HEIGHT_PX, 25, 0) if tiny else (BAND_HEIGHT_PX, 80, 2)
    heads, bands = zip(
        *(_encoded(_pixels(label, number, width_px, height_px), quality, subsampling) for number in range(POOL_SIZE)),
        strict=True,
    )
    return Pool(heads[0], bands, height_px)


def _encoded(pixels: npt.NDArray[np.uint8], quality: int, subsampling: int) -> tuple[bytes, tuple[bytes, ...]]:
    """Head and rows of a band."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=subsampling, restart_marker_rows=1)
    jpeg = file.getvalue()
    start = jpeg.index(SCAN) + 2
    start += int.from_bytes(jpeg[start : start + 2])
    return jpeg[:start], tuple(re.split(b"\xff[\xd0-\xd7]", jpeg[start : -len(END)]))


def _pixels(label: Label, number: int, width_px: int, height_px: int) -> npt.NDArray[np.uint8]:
    """Coloured smears for a painting; for a photograph, grey clouds under a fine grain."""
    rng = np.random.default_rng([number, len(label), width_px])
    columns, channels, grain = (9, 3, 14.0) if label == "painting" else (5, 1, 7.0)
    coarse = rng.uniform(0, 255, (2, columns, channels)).astype(np.float32)
    clouds = cv2.resize(coarse, (width_px, height_px), interpolation=cv2.INTER_CUBIC).reshape(height_px, width_px, -1)
    noise = rng.normal(0, grain, (height_px, width_px, 1)).astype(np.float32)
    if label == "painting":
        noise = 3 * np.asarray(cv2.blur(noise, (9, 2)), np.float32)[..., np.newaxis]
    return np.broadcast_to(clouds + noise, (height_px, width_px, 3)).clip(0, 255).astype(np.uint8)
