"""Pictures that tests make, and their files."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def noise(height: int, width: int, *channels: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, *channels), dtype=np.uint8)


def scene(width: int = 96, height: int = 72, seed: int = 0) -> Image.Image:
    """A picture of smooth patches, different for each seed, that survives JPEG."""
    return Image.fromarray(noise(6, 8, 3, seed=seed)).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
