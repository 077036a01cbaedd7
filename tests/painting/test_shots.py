import dataclasses
import os
import signal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.encoding import write_video
from pipeline.motion import Frame
from pipeline.painting.clip import frame_path
from pipeline.painting.shots import find_shots, paint_shots
from pipeline.painting.work import Work
from pipeline.params import Stylize, load_params
from pipeline.vgg import save_tensors
from tests.conftest import ROOT
from tests.networks import write_random_weights
from tests.pictures import shifted, textured

SHOTS = [range(3), range(3, 5)]


@pytest.fixture
def work(tmp_path: Path, settings: Stylize) -> Work:
    """A clip of two shots, small."""
    clip, style, weights, model = (tmp_path / name for name in ("clip.mp4", "style.png", "vgg", "model"))
    frames = [shifted(textured(len(shot), 144, 256), 2 * i)[:64, :96] for shot in SHOTS for i in shot]
    write_video(clip, frames, Fraction(25), crf=8)
    Image.fromarray(textured(7)).save(style)
    save_tensors(model, write_random_weights(weights).trainable(), {})
    return Work(
        clip=clip,
        count=5,
        styles=(style,),
        mixtures=((1.0,), (1.0,)),
        settings=dataclasses.replace(settings, first_frame_iterations=2, next_frame_iterations=2),
        flow=load_params(ROOT / "params.yaml").flow,
        weights=weights,
        model=model,
    )


def painted(work: Work, folder: Path) -> list[Frame]:
    return [frame for frame, _ in work.paint(folder, "test")]


def test_shots_are_found(work: Work) -> None:
    assert find_shots(work) == SHOTS
    assert find_shots(dataclasses.replace(work, steady=False)) == [range(i, i + 1) for i in range(5)]


def test_a_shot_is_painted_as_in_the_whole_clip(work: Work, tmp_path: Path) -> None:
    whole = painted(work, tmp_path / "whole")
    part = [frame for frame, _ in work.paint(tmp_path / "part", "test", SHOTS[1])]
    np.testing.assert_array_equal(whole[3:], part)


def test_workers_paint_what_one_process_does(work: Work, tmp_path: Path) -> None:
    """One of them dies at the first frame of the second shot, once."""
    pytest.importorskip("ray")
    alone, on_termination = painted(work, tmp_path / "alone"), signal.getsignal(signal.SIGTERM)
    paint_shots(dying(work, tmp_path / "died"), tmp_path / "shots", SHOTS, workers=2)
    assert (tmp_path / "died").exists()
    assert signal.getsignal(signal.SIGTERM) == on_termination
    assert all(frame_path(tmp_path / "shots", index).exists() for index in range(5))
    np.testing.assert_array_equal(alone, painted(work, tmp_path / "shots"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class DyingWork(Work):
    died: Path

    def paint(self, folder: Path, name: str, shot: range | None = None):  # type: ignore[no-untyped-def]
        if shot == SHOTS[1] and not self.died.exists():
            self.died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().paint(folder, name, shot)


def dying(work: Work, died: Path) -> Work:
    """The same, whose worker is killed once."""
    return DyingWork(died=died, **{field.name: getattr(work, field.name) for field in dataclasses.fields(work)})
