"""Two moments of a scene with exactly known motion, made of photographs: what a steady network is trained on.

A photograph is moved smoothly, a part of another one before it moves otherwise; noise and light change from one moment
to the next, as in any video.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from pipeline.augmentation import plain_view
from pipeline.images import load_rgb
from pipeline.motion import warp
from pipeline.tensors import to_tensor

SMALLEST_SHARE = 0.6
"""Of a photograph's short side: the side of the smallest region that is shown."""
MARGIN = 0.1
"""Around what the first moment shows, as a share of its side: what may move into sight."""
STILL_SHARE = 0.2
"""Of the scenes: those in which nothing moves."""
WHOLE_SHARE = 0.5
"""Of the motions: those by whole pixels, which carry a painting without blurring it; else blur would be steady."""
LARGEST_SHIFT, LARGEST_ZOOM, LARGEST_BEND = 0.06, 0.05, 0.01
"""Of what moves, as a share of the side: a fast pan at 25 frames a second, and what it bends by."""
LARGEST_TURN_DEGREES = 4.0
FRONT_SHARE = 0.7
"""Of the scenes: those with something in front."""
LARGEST_NOISE = 0.02
"""Standard deviation, in units of the pixels' range; of a video in dim light."""
LARGEST_LIGHT = 0.08
"""Change of brightness and of black, as a share of the range."""
EDGE = 1e-4
"""Of a share that is neither 0 nor 1 but by rounding."""


class Pair(NamedTuple):
    """Two moments of a scene of H x W pixels, float32, and how the second came out of the first."""

    frame: Tensor
    """(3, H, W) in [0, 1], with noise."""
    moved: Tensor
    """(3, H, W) in [0, 1], with other noise."""
    flow: Tensor
    """(H, W, 2) in pixels, from ``moved`` to ``frame``."""
    visible: Tensor
    """(1, H, W): 1 where ``frame`` shows what ``moved`` does, 0 where that is hidden, outside, or at an edge."""
    style: Tensor
    """The number of the style that it is painted in."""


class Pairs(Dataset[Pair]):
    """Pair number n of a training, of ``photographs`` and ``side_px`` a side, depends on the seed and n alone.

    The ``styles`` that are trained take turns.
    """

    def __init__(self, photographs: Sequence[Path], styles: int, side_px: int, seed: int) -> None:
        self._photographs = photographs
        self._styles = styles
        self._side_px = side_px
        self._seed = seed

    def __getitem__(self, number: int) -> Pair:
        random = np.random.default_rng((self._seed, number))
        margin_px = round(MARGIN * self._side_px)
        behind, before = (self._view(random, self._side_px + 2 * margin_px) for _ in range(2))
        return make_pair(behind, before, margin_px, number % self._styles, random)

    def _view(self, random: np.random.Generator, side_px: int) -> Tensor:
        """A random square of a random photograph, half the time mirrored."""
        pixels = np.array(load_rgb(self._photographs[int(random.integers(len(self._photographs)))]))
        height_px, width_px = pixels.shape[:2]
        region_px = round(min(height_px, width_px) * random.uniform(SMALLEST_SHARE, 1))
        top, left = (random.integers(each_px - region_px, endpoint=True) for each_px in (height_px, width_px))
        view = to_tensor(plain_view(pixels[top : top + region_px, left : left + region_px], side_px))
        return view.flip(2) if random.random() < 0.5 else view


class Consecutive(Sampler[int]):
    """The numbers of the ``count`` pairs of an epoch; Lightning sets the epoch before each but the first."""

    def __init__(self, count: int, epoch: int) -> None:
        self._count = count
        self._epoch = epoch

    def __len__(self) -> int:
        return self._count

    def set_epoch(self, epoch: int) -> None:
        """Choose what the next iteration gives."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        yield from range(self._epoch * self._count, (self._epoch + 1) * self._count)


def make_pair(behind: Tensor, before: Tensor, margin_px: int, style: int, random: np.random.Generator) -> Pair:
    """A pair of two pictures (3, S, S), which reach ``margin_px`` beyond it on each side."""
    scene_px = behind.shape[1]
    still = random.random() < STILL_SHARE
    flows = [torch.zeros(scene_px, scene_px, 2) if still else _smooth_flow(scene_px, random) for _ in range(2)]
    front = torch.from_numpy(_shape(scene_px, random))[None]
    # Behind and before, each with where the front was: by the motion of what is behind, and by its own.
    layers = torch.cat((behind, front)), torch.cat((before, front))
    carried = [warp(layer, flow, (0,) * 4)[0] for layer, flow in zip(layers, flows, strict=True)]

    inner = slice(margin_px, scene_px - margin_px)
    (old, hidden), (new, covering) = ((each[:3, inner, inner], each[3:, inner, inner]) for each in carried)
    frame = torch.where(front > 0, before, behind)[:, inner, inner]
    moved = old * (1 - covering) + new * covering
    lit = _relight(moved, random)
    flow = torch.where(covering[0, :, :, None] > 0.5, flows[1][inner, inner], flows[0][inner, inner])
    visible = (covering > 1 - EDGE) | ((covering < EDGE) & (hidden < EDGE))
    visible &= _inside(flow)
    first, second = (_add_noise(each, random) for each in (frame, lit))
    return Pair(first, second, flow, visible.float(), torch.tensor(style))


def _smooth_flow(side_px: int, random: np.random.Generator) -> Tensor:
    """A shift, or also a turn, a zoom and bending, a random share of the largest each: (side, side, 2)."""
    strength = random.random()
    turn = np.deg2rad(strength * random.uniform(-LARGEST_TURN_DEGREES, LARGEST_TURN_DEGREES))
    zoom = 1 + strength * random.uniform(-LARGEST_ZOOM, LARGEST_ZOOM)
    shift_px = strength * side_px * random.uniform(-LARGEST_SHIFT, LARGEST_SHIFT, 2)
    if random.random() < WHOLE_SHARE:
        return torch.from_numpy(shift_px.round().astype(np.float32)).expand(side_px, side_px, 2)
    matrix = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    y, x = np.mgrid[:side_px, :side_px] - (side_px - 1) / 2
    rigid = np.dstack((x, y)) @ (matrix - np.eye(2)).T + shift_px
    bends_px = strength * side_px * random.uniform(-LARGEST_BEND, LARGEST_BEND, (4, 4, 2))
    bent = rigid + cv2.resize(bends_px, (side_px, side_px), interpolation=cv2.INTER_CUBIC)
    return torch.from_numpy(bent.astype(np.float32))


def _shape(scene_px: int, random: np.random.Generator) -> NDArray[np.float32]:
    """1 where something is in front, an ellipse or nothing: (S, S)."""
    shape = np.zeros((scene_px, scene_px), np.float32)
    if random.random() < FRONT_SHARE:
        centre = tuple(random.integers(scene_px, size=2).tolist())
        axes_px = tuple(np.maximum(1, scene_px * random.uniform(0.08, 0.3, 2)).astype(int).tolist())
        cv2.ellipse(shape, centre, axes_px, random.uniform(0, 180), 0, 360, (1.0,), cv2.FILLED)
    return shape


def _inside(flow: Tensor) -> Tensor:
    """Whether each pixel comes from within the frame, where nothing has to be made up: (1, H, W)."""
    height, width = flow.shape[:2]
    x = flow[..., 0] + torch.arange(width)
    y = flow[..., 1] + torch.arange(height)[:, None]
    inside: Tensor = ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1))[None]
    return inside


def _relight(picture: Tensor, random: np.random.Generator) -> Tensor:
    gain, black = random.uniform(-LARGEST_LIGHT, LARGEST_LIGHT, 2) * random.random()
    lit: Tensor = picture * (1 + gain) + black
    return lit.clamp(0, 1)


def _add_noise(picture: Tensor, random: np.random.Generator) -> Tensor:
    deviation = random.uniform(0, LARGEST_NOISE)
    noise = torch.from_numpy(random.standard_normal(picture.shape, np.float32)) * deviation
    return (picture + noise).clamp(0, 1)
