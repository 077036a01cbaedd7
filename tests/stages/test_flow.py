from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import pipeline.stages.flow as flow
from pipeline.console import UserError
from pipeline.encoding import write_video
from pipeline.motion import ClipFlow, optical_flow
from tests.test_motion import texture

CLIP = Path("data/clips/street.mp4")
MOTION = (3, -2)
"""Pixels a frame, (dx, dy), of everything in the clip."""


def write_clip(frames: int) -> None:
    picture = np.clip(texture(np.random.default_rng(0), 140, 160), 0, 255).astype(np.uint8)
    dx, dy = MOTION
    moving = (picture[40 - dy * i : 112 - dy * i, 40 - dx * i : 136 - dx * i] for i in range(frames))
    write_video(CLIP, moving, Fraction(25), crf=4)


def test_the_flow_of_a_clip_in_both_directions(workspace: Path) -> None:
    write_clip(5)
    flow.main(["street"])
    found = ClipFlow.open(workspace / "data/flow/street/1")
    assert len(found) == 4
    for i in range(4):
        inner = (slice(8, -8), slice(8, -8))
        np.testing.assert_allclose(found.forward(i)[inner].mean(axis=(0, 1)), MOTION, atol=0.05)
        np.testing.assert_allclose(found.backward(i)[inner].mean(axis=(0, 1)), np.negative(MOTION), atol=0.05)
        reliable = found.reliability(i)
        assert reliable[inner].mean() > 0.95
        assert reliable[:, :2].mean() < 0.2  # came into view from the left
        assert reliable[-1:].mean() < 0.2  # and from below
    assert [path.name for path in (workspace / "data/flow").iterdir()] == ["street"]


def test_a_second_run_replaces_the_first(workspace: Path) -> None:
    write_clip(4)
    flow.main(["street"])
    write_clip(3)
    flow.main(["street"])
    assert len(ClipFlow.open(workspace / "data/flow/street/1")) == 2


@pytest.mark.usefixtures("workspace")
def test_a_clip_of_one_frame_has_no_flow() -> None:
    write_clip(1)
    flow.main(["street"])
    assert len(ClipFlow.open(Path("data/flow/street/1"))) == 0


def test_a_run_that_ends_half_way_leaves_nothing_to_trust(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(4)
    left = 4

    def failing(*arguments: object) -> object:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return optical_flow(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(flow, "optical_flow", failing)
    with pytest.raises(KeyboardInterrupt):
        flow.main(["street"])
    with pytest.raises(UserError, match="`dvc repro flow@street`"):
        ClipFlow.open(workspace / "data/flow/street/1")
    monkeypatch.undo()
    monkeypatch.chdir(workspace)
    flow.main(["street"])
    assert len(ClipFlow.open(workspace / "data/flow/street/1")) == 3
    assert [path.name for path in (workspace / "data/flow").iterdir()] == ["street"]


@pytest.mark.usefixtures("workspace")
def test_a_missing_clip_is_named_with_the_way_to_make_it() -> None:
    with pytest.raises(UserError, match=r"street\.mp4 is missing; `dvc repro clips@street` makes it"):
        flow.main(["street"])


@pytest.mark.usefixtures("workspace")
def test_a_clip_of_no_parameters_is_named_with_those_that_there_are() -> None:
    with pytest.raises(UserError, match=r"params\.yaml has no clip 'nosuch'; it has street"):
        flow.main(["nosuch"])
