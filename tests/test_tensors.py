"""Pictures become tensors and come back as they were."""

import numpy as np
import torch

from pipeline.tensors import to_pixels, to_tensor
from tests.pictures import scene


def test_tensors_round_trip() -> None:
    image = scene()
    tensor = to_tensor(image)
    assert tensor.shape == (3, 72, 96)
    assert tensor.dtype == torch.float32
    assert np.array_equal(tensor.numpy(), (np.asarray(image).astype(np.float32) / 255).transpose(2, 0, 1))
    assert np.array_equal(to_pixels(tensor), np.asarray(image))


def test_values_outside_the_range_are_clipped_and_others_rounded() -> None:
    tensor = torch.tensor([-1.0, 0.5 / 255 + 1e-4, 2.0]).reshape(3, 1, 1).requires_grad_()
    assert to_pixels(tensor)[0, 0].tolist() == [0, 1, 255]
