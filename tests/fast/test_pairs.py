from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.console import UserError
from pipeline.fast import pairs
from pipeline.fast.pairs import Consecutive, Pair, Pairs, make_pair
from pipeline.motion import warp
from tests.pictures import picture, scene

SIDE_PX, MARGIN_PX = 48, 6


def pair(seed: int, style: int = 0) -> Pair:
    whole_px = SIDE_PX + 2 * MARGIN_PX
    pictures = picture(2 * seed, whole_px), picture(2 * seed + 1, whole_px)
    return make_pair(*pictures, MARGIN_PX, style, np.random.default_rng(seed))


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "LARGEST_NOISE", 0.0)


@given(seed=st.integers(0, 10_000))
def test_shapes_and_ranges(seed: int) -> None:
    made = pair(seed)
    assert made.frame.shape == made.moved.shape == (3, SIDE_PX, SIDE_PX)
    assert made.flow.shape == (SIDE_PX, SIDE_PX, 2)
    assert made.visible.shape == (1, SIDE_PX, SIDE_PX)
    assert {tensor.dtype for tensor in made[:4]} == {torch.float32}
    for image in made[:2]:
        assert image.min() >= 0
        assert image.max() <= 1
    assert set(made.visible.flatten().tolist()) <= {0.0, 1.0}


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("seed", range(40))
def test_what_is_visible_was_carried_along_the_flow(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "LARGEST_LIGHT", 0.0)
    made = pair(seed)
    carried, _ = warp(made.frame, made.flow, (0, 0, 0))
    # OpenCV's own warping, of which nobody here has written a line.
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float32)
    flow = made.flow.numpy()
    remapped = cv2.remap(made.frame.permute(1, 2, 0).numpy(), x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR)
    visible = made.visible[0] > 0
    assert visible.float().mean() > 0.4
    torch.testing.assert_close(carried[:, visible], made.moved[:, visible], rtol=0, atol=1e-3)
    np.testing.assert_allclose(remapped[visible.numpy()], made.moved.permute(1, 2, 0)[visible].numpy(), atol=0.02)


@pytest.mark.usefixtures("clean")
def test_light_changes_by_a_gain_and_a_black_level(monkeypatch: pytest.MonkeyPatch) -> None:
    def moved(seed: int, light: float) -> torch.Tensor:
        monkeypatch.setattr(pairs, "LARGEST_LIGHT", light)
        return pair(seed).moved

    for seed in range(10):
        dark, lit = moved(seed, 0.0), moved(seed, 0.08)
        within = (lit > 0) & (lit < 1)
        gain, black = np.polyfit(dark[within].numpy(), lit[within].numpy(), 1)
        torch.testing.assert_close(lit, (gain * dark + black).clamp(0, 1), rtol=0, atol=1e-4)
        assert abs(gain - 1) < 0.09
        assert abs(black) < 0.09


@pytest.mark.usefixtures("clean")
def test_what_was_hidden_or_outside_is_not_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    """A square in front moves to the right by 8 pixels, before what stands still."""
    monkeypatch.setattr(pairs, "LARGEST_LIGHT", 0.0)
    whole_px = SIDE_PX + 2 * MARGIN_PX
    flows = iter([torch.zeros(whole_px, whole_px, 2), torch.tensor([-8.0, 0]).expand(whole_px, whole_px, 2)])
    shape = np.zeros((whole_px, whole_px), np.float32)
    shape[20:40, 20:32] = 1
    monkeypatch.setattr(pairs, "STILL_SHARE", 0.0)
    monkeypatch.setattr(pairs, "_smooth_flow", lambda *_: next(flows))
    monkeypatch.setattr(pairs, "_shape", lambda *_: shape)
    made = pair(1)
    expected = torch.ones(whole_px, whole_px)
    expected[20:40, 20:28] = 0  # what the square has uncovered
    torch.testing.assert_close(made.visible[0], expected[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX])
    moved = made.flow[..., 0] == -8
    square = torch.zeros(whole_px, whole_px, dtype=torch.bool)
    square[20:40, 28:40] = True
    assert moved.equal(square[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX])

    flows = iter([torch.tensor([5.0, 0]).expand(whole_px, whole_px, 2)] * 2)
    made = pair(1)
    columns = made.visible[0].all(dim=0)
    assert not columns[-5:].any()  # it comes from beyond the right border


def write_photographs(folder: Path, count: int = 3) -> list[Path]:
    paths = [folder / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        scene(80 + 10 * number, 64, seed=number).save(path)
    return paths


def test_a_pair_depends_on_seed_and_number_alone(tmp_path: Path) -> None:
    photographs = write_photographs(tmp_path)

    def same(one: Pair, other: Pair) -> bool:
        return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))

    dataset = Pairs(photographs, 3, 32, seed=1)
    before = dataset[7]
    for number in range(3):
        assert not same(dataset[number], before)
    assert same(dataset[7], before)
    assert same(Pairs(photographs, 3, 32, seed=1)[7], before)
    assert not same(Pairs(photographs, 3, 32, seed=2)[7], before)


def test_styles_take_turns(tmp_path: Path) -> None:
    dataset = Pairs(write_photographs(tmp_path), 3, 32, seed=1)
    assert [int(dataset[number].style) for number in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def test_photographs_smaller_than_a_pair_are_enlarged(tmp_path: Path) -> None:
    Image.new("RGB", (40, 33), "red").save(tmp_path / "small.png")
    assert Pairs([tmp_path / "small.png"], 1, 64, seed=1)[0].frame.shape == (3, 64, 64)


def test_photograph_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.png cannot be read"):
        Pairs([tmp_path / "none.png"], 1, 32, seed=1)[0]


def test_every_pair_comes_once() -> None:
    sampler = Consecutive(4, epoch=1)
    assert len(sampler) == 4
    assert list(sampler) == [4, 5, 6, 7]
    sampler.set_epoch(0)
    assert list(sampler) == [0, 1, 2, 3]


def test_some_scenes_are_still_some_move_by_whole_pixels_and_some_bend() -> None:
    flows = [pair(seed).flow for seed in range(60)]
    still = sum(not flow.any() for flow in flows)
    whole = sum(bool((flow == flow.round()).all()) for flow in flows)
    assert 2 <= still < whole < 50
    assert max(float(flow.abs().max()) for flow in flows) < 0.25 * SIDE_PX
