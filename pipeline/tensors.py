"""Pictures as tensors and back. :mod:`pipeline.images` does without torch, which takes seconds to import."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor


def to_bytes(image: Image.Image | NDArray[np.uint8]) -> Tensor:
    """An RGB image, or its pixels (H, W, 3), as uint8 of shape (3, H, W)."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def to_unit_range(pixels: Tensor) -> Tensor:
    """uint8 of any shape as float32 in [0, 1], on the same device."""
    return pixels.float().div_(255)


def to_tensor(image: Image.Image | NDArray[np.uint8]) -> Tensor:
    """An RGB image, or its pixels (H, W, 3), as float32 of shape (3, H, W) in [0, 1]."""
    return to_unit_range(to_bytes(image).contiguous())


def to_pixels(tensor: Tensor) -> NDArray[np.uint8]:
    """A float tensor of shape (3, H, W) as RGB pixels (H, W, 3); values outside [0, 1] are clipped."""
    pixels = tensor.detach().float().clamp(0, 1).mul(255).round().byte()
    return pixels.permute(1, 2, 0).contiguous().cpu().numpy()
