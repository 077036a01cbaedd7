"""Pictures that tests make, and their files."""

import io

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pipeline.motion import Frame


def noise(height: int, width: int, *channels: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, *channels), dtype=np.uint8)


def scene(width: int = 96, height: int = 72, seed: int = 0) -> Image.Image:
    """A picture of smooth patches, different for each seed, that survives JPEG."""
    return Image.fromarray(noise(6, 8, 3, seed=seed)).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(seed: int, side: int = 48) -> Tensor:
    """Smooth noise, (3, side, side) in [0, 1]."""
    noise = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, size=(side, side), mode="bicubic")[0].clamp(0, 1)


def textured(seed: int, height: int = 64, width: int = 96) -> Frame:
    """Smooth noise over the whole range of values."""
    generator = np.random.default_rng(seed)
    coarse = generator.uniform(0, 255, (height // 8 + 1, width // 8 + 1, 3)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def shifted(frame: Frame, columns: int) -> Frame:
    return np.ascontiguousarray(np.roll(frame, columns, axis=1))
