"""Pictures of every kind that is taken, with 8 and with 16 bits."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pipeline.images import load_rgb, load_unit
from tests.pictures import encoded, noise, scene

ORIENTED = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"


def originals(_: Path) -> list[bytes]:
    deep = noise(40, 48, 3).astype(np.uint16) * 257
    return [
        encoded(scene(), "JPEG", exif=ORIENTED),
        encoded(scene(), "JPEG", progressive=True),
        encoded(scene().convert("CMYK"), "JPEG"),
        encoded(scene(), "PNG"),
        encoded(scene().convert("RGBA"), "PNG"),
        encoded(scene().convert("1"), "PNG"),
        encoded(scene().quantize(16), "GIF", transparency=3),
        encoded(scene(), "TIFF", compression="tiff_lzw"),
        encoded(scene(), "TIFF", compression="jpeg"),
        encoded(scene(), "TIFF", compression="tiff_adobe_deflate"),
        encoded(Image.fromarray(noise(40, 40).astype(np.uint16) * 257), "TIFF"),
        encoded(scene(), "WEBP", exif=ORIENTED),
        encoded(scene(), "WEBP", lossless=True),
        encoded(scene(), "BMP"),
        *(cv2.imencode(suffix, deep)[1].tobytes() for suffix in (".png", ".tif")),
    ]


def read(path: Path) -> None:
    values = load_unit(path)
    image = load_rgb(path)
    assert values.shape == (image.height, image.width, 3)
    assert 0 <= values.min() <= values.max() <= 1
