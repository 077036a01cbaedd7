import dataclasses
import io
import itertools
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.console import UserError
from pipeline.motion import Field, Frame, Motion, live_motion
from pipeline.painting.clip import (
    FrameCost,
    Step,
    blend,
    fill_in,
    load_frame,
    load_mark,
    paint_clip,
    paint_step,
    recolour,
    save_frame,
    steps,
    work_folder,
)
from pipeline.painting.frame import Painter
from pipeline.params import Start, Stylize, load_params
from tests.pictures import picture

SIDE = 48


def still(shift: int) -> Frame:
    pixels = picture(0, SIDE).permute(1, 2, 0).mul(255).to(torch.uint8).numpy()
    return np.ascontiguousarray(np.roll(pixels, shift, axis=1))


def pan(reliable: float) -> Motion:
    """Everything moves one pixel to the right from frame to frame."""

    def motion(index: int, frame: Frame, other_index: int, other: Frame) -> tuple[Field, Field]:
        flow = np.zeros((SIDE, SIDE, 2), np.float32)
        flow[..., 0] = other_index - index
        return flow, np.full((SIDE, SIDE), reliable, np.float32)

    return motion


def paint(painter: Painter, frames: int, motion: Motion | None, folder: Path) -> list[Frame]:
    return [frame for frame, _ in paint_from(painter, frames, motion, folder)]


def paint_from(painter: Painter, frames: int, motion: Motion | None, folder: Path) -> Iterator[tuple[Frame, FrameCost]]:
    clip = (still(i) for i in range(frames))
    return paint_clip(painter, clip, motion, folder, weights=lambda index: [1.0], numbers=range(frames), name="test")


def change_along_the_pan(frames: list[Frame]) -> float:
    pairs = itertools.pairwise(frames)
    return float(np.mean([np.abs(a[:, 4:-5].astype(float) - b[:, 5:-4].astype(float)).mean() for a, b in pairs]))


def test_strokes_move_with_the_picture(painter: Painter, tmp_path: Path) -> None:
    steady = paint(painter, 4, pan(1), tmp_path / "steady")
    alone = paint(painter, 4, None, tmp_path / "alone")
    assert change_along_the_pan(steady) < change_along_the_pan(alone) / 2


def test_a_cut_begins_anew(painter: Painter, tmp_path: Path) -> None:
    """Where nearly nothing can be relied on, the frame is painted as if it were the first."""
    cut = paint(painter, 2, pan(0), tmp_path / "cut")
    alone = paint(painter, 2, None, tmp_path / "alone")
    np.testing.assert_array_equal(cut, alone)


def test_a_stopped_run_goes_on_and_ends_the_same(painter: Painter, tmp_path: Path) -> None:
    whole = paint(painter, 4, pan(1), tmp_path / "whole")
    stopped = paint_from(painter, 4, pan(1), tmp_path / "stopped")
    next(stopped)
    next(stopped)
    stopped.close()  # type: ignore[attr-defined]
    (tmp_path / "stopped" / ".frame-000002.0123.npz").write_bytes(b"half a frame")
    finished = sorted((tmp_path / "stopped").glob("frame-*.npz"))
    times = [path.stat().st_mtime_ns for path in finished]
    np.testing.assert_array_equal(whole, paint(painter, 4, pan(1), tmp_path / "stopped"))
    assert len(finished) == 2
    assert times == [path.stat().st_mtime_ns for path in finished]


def test_frames_are_not_taken_for_those_of_other_inputs(tmp_path: Path, settings: Stylize) -> None:
    clip, style = tmp_path / "clip", tmp_path / "style"
    clip.write_bytes(b"a")
    style.write_bytes(b"b")
    folder = work_folder(tmp_path, [clip, style], settings)
    assert folder == work_folder(tmp_path, [clip, style], settings)
    assert folder != work_folder(tmp_path, [style, clip], settings)
    assert folder != work_folder(tmp_path, [clip, style], settings, "0:5")


def test_live_motion_finds_a_pan() -> None:
    flow, reliable = live_motion(load_params(Path(__file__).parents[2] / "params.yaml").flow)(2, still(2), 0, still(0))
    assert np.median(flow[..., 0]) == pytest.approx(-2, abs=0.2)
    assert np.median(flow[..., 1]) == pytest.approx(0, abs=0.2)
    assert reliable.mean() > 0.5


def test_what_was_uncovered_gets_the_colours_of_the_painting() -> None:
    """The painting swaps red and blue; the half that nothing is known of is painted alike."""
    content = picture(0, SIDE)
    painted = content.flip(0)
    weights = torch.zeros(SIDE, SIDE)
    weights[:, : SIDE // 2] = 1
    assert (recolour(content, painted, weights) - painted).abs().mean() < 0.02
    assert torch.equal(recolour(content, painted, torch.zeros(SIDE, SIDE)), content)


@given(level=st.floats(0, 1), painted_level=st.floats(0, 1))
def test_a_picture_of_one_colour_does_not_upset_the_colours(level: float, painted_level: float) -> None:
    content = torch.full((3, 8, 8), level)
    result = recolour(content, torch.full((3, 8, 8), painted_level), torch.ones(8, 8))
    assert (result - painted_level).abs().max() < 0.05


@pytest.mark.parametrize("start", ["last", "noise"])
def test_a_frame_may_start_elsewhere(painter: Painter, tmp_path: Path, start: Start) -> None:
    """The ablations of Ruder 2016, section 6.1: without a step, what is painted is the start."""
    painter.settings = dataclasses.replace(painter.settings, start=start)
    last = picture(5, SIDE)
    step = Step(7, still(7), 6, {6: pan(1)(7, still(7), 6, still(6))})
    begun: list[torch.Tensor] = []
    painter.paint = lambda content, *, start, **_: begun.append(start)  # type: ignore[method-assign, assignment]
    paint_step(painter, step, {6: last}, lambda index: [1.0])
    paint_step(painter, step, {6: last}, lambda index: [1.0])
    assert torch.equal(begun[0], begun[1])
    assert torch.equal(begun[0], last) == (start == "last")


def test_a_frame_is_tied_to_those_before_as_far_as_its_shot_goes(painter: Painter, tmp_path: Path) -> None:
    """A cut before frame 3: frame 4 is tied to it alone, frame 5 to both."""

    def motion(index: int, frame: Frame, other_index: int, other: Frame) -> tuple[Field, Field]:
        np.testing.assert_array_equal(other, still(other_index))
        shared = (index < 3) == (other_index < 3)
        return np.zeros((SIDE, SIDE, 2), np.float32), np.full((SIDE, SIDE), shared, np.float32)

    found = list(steps((still(i) for i in range(6)), motion, tmp_path, [1, 2], range(6)))
    assert [list(step.motions) for step in found] == [[], [0], [1, 0], [], [3], [4, 3]]
    assert [step.shot for step in found] == [0, 0, 0, 3, 3, 3]


def test_what_neither_neighbour_shows_is_recoloured_content() -> None:
    content, near, far = picture(0, SIDE), picture(1, SIDE), picture(2, SIDE)
    left, middle = torch.zeros(SIDE, SIDE), torch.zeros(SIDE, SIDE)
    left[:, :16], middle[:, 16:32] = 1, 1
    start = fill_in([near, far], [left, middle], content)
    assert torch.equal(start[..., :16], near[..., :16])
    assert torch.equal(start[..., 16:32], far[..., 16:32])
    assert torch.isfinite(start).all()


@given(count=st.integers(1, 50), index=st.integers(0, 49))
def test_styles_go_over_evenly(count: int, index: int) -> None:
    weights = blend([2.0, 0.0], [1.0, 3.0], count)(min(index, count - 1))
    share = min(index, count - 1) / max(1, count - 1)
    assert weights == pytest.approx([1 - 0.75 * share, 0.75 * share])


def npy(array: NDArray[np.float64]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def squeezed(path: Path) -> None:
    np.savez_compressed(path, image=np.zeros((3, 12, 1000), np.float32), iterations=1, seconds=1.0, mark=0)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(pickle.dumps({"image": 1})),
        lambda path: path.write_bytes(path.read_bytes().replace(b"\0\0\x80?", b"\0\0\x81?", 1)),
        lambda path: path.write_bytes(npy(np.zeros(3))),
        lambda path: np.savez(path, image=np.array([{}]), iterations=1, seconds=1.0, mark=0),
        lambda path: np.savez(path, image=np.zeros((3, 12, 16)), iterations=1, seconds=1.0, mark=0),
        lambda path: np.savez(path, image=np.zeros((3, 16, 12), np.float32), iterations=1, seconds=1.0, mark=0),
        lambda path: np.savez(path, image=np.full((3, 12, 16), np.nan, np.float32), iterations=1, seconds=1.0, mark=0),
        lambda path: np.savez(path, image=np.zeros((3, 12, 16), np.float32), iterations=-1, seconds=1.0, mark=0),
        squeezed,
    ],
)
def test_damaged_frames_are_one_sentence(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    path = tmp_path / "frame-000000.npz"
    save_frame(path, torch.ones(3, 12, 16), FrameCost(3, 0.5), 7)
    assert load_frame(path, (12, 16))[1] == FrameCost(3, 0.5)
    assert load_mark(path) == 7
    damage(path)
    with pytest.raises(UserError, match=r"frame-000000\.npz is damaged; delete it and run this again"):
        load_frame(path, (12, 16))
