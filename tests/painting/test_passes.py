import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.motion import Frame, Motion
from pipeline.painting.clip import FrameCost, paint_clip
from pipeline.painting.frame import Painter
from pipeline.painting.passes import paint_frames
from pipeline.params import Multipass
from tests.painting.test_clip import change_along_the_pan, pan, still

FRAMES = 3


def many(painter: Painter, passes: int, iterations: int = 3) -> Painter:
    multipass = Multipass(
        passes=passes, iterations=iterations, blend_weight=1, temporal_from_pass=3, temporal_weight=500
    )
    painter.settings = dataclasses.replace(painter.settings, multipass=multipass)
    return painter


def paint(painter: Painter, motion: Motion | None, folder: Path) -> Iterator[tuple[Frame, FrameCost]]:
    clip = (still(i) for i in range(FRAMES))
    return paint_frames(painter, clip, motion, folder, weights=lambda index: [1.0], numbers=range(FRAMES), name="test")


def test_passes_go_in_turn_forwards_and_backwards(painter: Painter, tmp_path: Path) -> None:
    asked: list[tuple[int, int]] = []

    def motion(index: int, frame: Frame, other_index: int, other: Frame) -> tuple[np.ndarray, np.ndarray]:
        np.testing.assert_array_equal(frame, still(index))
        np.testing.assert_array_equal(other, still(other_index))
        asked.append((index, other_index))
        return pan(1)(index, frame, other_index, other)

    result = list(paint(many(painter, 3), motion, tmp_path))
    # The first pass paints each frame on its own; the second comes back from the end.
    assert asked == [(1, 2), (0, 1), (1, 0), (2, 1)]
    assert [cost.iterations for _, cost in result] == [9] * FRAMES


def test_strokes_move_with_the_picture(painter: Painter, tmp_path: Path) -> None:
    steady = [frame for frame, _ in paint(many(painter, 4, 8), pan(1), tmp_path / "steady")]
    apart = [frame for frame, _ in paint(many(painter, 4, 8), pan(0), tmp_path / "apart")]
    assert change_along_the_pan(steady) < change_along_the_pan(apart) / 2


def test_a_run_that_stopped_in_any_pass_ends_the_same(
    painter: Painter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(painter, 3)
    whole = [frame for frame, _ in paint(painter, pan(1), tmp_path / "whole")]
    original = Painter.paint
    for stop in (1, 4, 8):
        calls = itertools.count()

        def failing(self: Painter, *arguments: object, **more: object) -> object:
            if next(calls) == stop:  # noqa: B023
                raise KeyboardInterrupt
            return original(self, *arguments, **more)  # type: ignore[arg-type]

        folder = tmp_path / f"stopped-{stop}"
        with monkeypatch.context() as context:
            context.setattr(Painter, "paint", failing)
            with pytest.raises(KeyboardInterrupt):
                list(paint(painter, pan(1), folder))
        resumed = list(paint(painter, pan(1), folder))
        np.testing.assert_array_equal(whole, [frame for frame, _ in resumed])
        assert [cost.iterations for _, cost in resumed] == [9] * FRAMES


def test_frames_on_their_own_need_one_pass(painter: Painter, tmp_path: Path) -> None:
    alone = [frame for frame, _ in paint(many(painter, 3), None, tmp_path / "alone")]
    clip = (still(i) for i in range(FRAMES))
    single = paint_clip(
        painter, clip, None, tmp_path / "single", weights=lambda index: [1.0], numbers=range(FRAMES), name="test"
    )
    np.testing.assert_array_equal(alone, [frame for frame, _ in single])
