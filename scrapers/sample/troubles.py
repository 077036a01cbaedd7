"""Files that are not as they should be, as every museum has some: a pipeline had better meet them here first.

The catalogue says nothing of them. Some are beyond use, others only of a kind that many programs get wrong.
"""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import ExifTags, Image

from scrapers.sample.strokes import Picture

JPEG_QUALITY = 90
BOMB_SIDE_PX = 12_000
TURNED_RIGHT = 6
"""Value of EXIF's orientation: to be turned a quarter to the right before it is shown."""


@dataclass(frozen=True)
class Trouble:
    """A way to make a file of a picture."""

    suffix: str
    encode: Callable[[Picture], bytes]


def _cut_off(picture: Picture) -> bytes:
    """The first half of a file."""
    whole = _save(picture, "JPEG", quality=JPEG_QUALITY)
    return whole[: len(whole) // 2]


def _placeholder(picture: Picture) -> bytes:
    """A single pixel."""
    return _save(picture[:1, :1], "PNG")


def _animated(picture: Picture) -> bytes:
    """Three frames that fade in."""
    darker = [Image.fromarray(picture // 2), Image.fromarray(picture)]
    return _save(picture // 3, "GIF", save_all=True, append_images=darker, duration=200)


def _bomb(_: Picture) -> bytes:
    """A small PNG file of very many black pixels, of one bit each; written by hand, as they would fill 144 MB."""
    header = struct.pack(">IIBBBBB", BOMB_SIDE_PX, BOMB_SIDE_PX, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((1 + BOMB_SIDE_PX // 8) * BOMB_SIDE_PX), level=1)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _for_print(picture: Picture) -> bytes:
    """Four inks instead of three colours."""
    return _save(picture, "JPEG", mode="CMYK", quality=JPEG_QUALITY)


def _turned(picture: Picture) -> bytes:
    """Lying on its side, with a tag that says so."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = TURNED_RIGHT
    return _save(np.rot90(picture), "JPEG", quality=JPEG_QUALITY, exif=exif)


def _scanned(picture: Picture) -> bytes:
    """Grey of 16 bits."""
    return _save(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.uint16) * 257, "PNG")


def _save(pixels: np.ndarray[Any, Any], kind: str, mode: str | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    (image.convert(mode) if mode else image).save(file, kind, **options)
    return file.getvalue()


TROUBLES = {
    "gravel-01": Trouble("png", _bomb),
    "moon-01": Trouble("png", _scanned),
    "motorcycle-left-01": Trouble("jpg", _turned),
    "grass-01-pointillist": Trouble("gif", _animated),
    "hubble-deep-field-01-expressionist": Trouble("jpg", _cut_off),
    "ihc-01-colorist-wash": Trouble("png", _placeholder),
    "retina-01-expressionist": Trouble("jpg", _for_print),
}
"""The works that have one, by identifier: all among the first of their class."""

TWICE = "coins-01"
"""The photograph that the museum has a second file of, of another size and quality."""
