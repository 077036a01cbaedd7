from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from pipeline.console import UserError
from pipeline.encoding import write_video
from pipeline.painting.clip import Frame
from pipeline.stages import flow, measure, stylize
from pipeline.tables import read_table
from pipeline.vgg import VGG16, save_tensors
from pipeline.video import probe, read_frames
from tests.networks import random_network, write_random_weights
from tests.stages.test_measure import shifted, textured

FRAMES = 4


@pytest.fixture
def job(workspace: Path, network: VGG16) -> Path:
    """A project with all that one job needs, small."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["clips"] = {"pan": {"source": "pan.mp4", "frames": ":", "width_px": 96}}
    params["styles"] = {"noise": {"source": "noise.png"}}
    params["stylize"] |= {
        "first_frame_iterations": 6,
        "next_frame_iterations": 4,
        "jobs": {"pan-noise": {"clip": "pan", "style": "noise"}},
    }
    params["measure"]["long_interval_frames"] = 2
    Path("params.yaml").write_text(yaml.safe_dump(params))
    frames: list[Frame] = [shifted(textured(0), 2 * i) for i in range(FRAMES)]
    write_video(Path("data/clips/pan.mp4"), frames, Fraction(24000, 1001), crf=8)
    Path("data/styles").mkdir()
    Image.fromarray(textured(1)).save("data/styles/noise.png")
    flow.main(["pan"])
    save_tensors(stylize.MODEL, write_random_weights(stylize.WEIGHTS).trainable(), {})
    return workspace


def test_a_job_is_painted_and_measured(job: Path) -> None:
    stylize.main(["pan-noise"])
    stylize.main(["pan-noise", "--alone"])
    stylized, baseline = Path("data/stylized/pan-noise.mp4"), Path("data/baseline/pan-noise.mp4")
    info = probe(stylized)
    assert (info.width_px, info.height_px, info.frame_rate) == (96, 64, Fraction(24000, 1001))
    assert not np.array_equal(list(read_frames(stylized)), list(read_frames(baseline)))
    assert not any(stylize.WORK.iterdir())

    measure.main([])
    rows = read_table(measure.BY_FRAME)
    assert [row["frame"] for row in rows] == ["0", "1", "2"]
    assert all(float(row[kind]) > 0 for row in rows for kind in measure.KINDS)


def test_the_fine_tuned_block_5_paints(job: Path) -> None:
    stylize.main(["pan-noise"])
    first = list(read_frames(Path("data/stylized/pan-noise.mp4")))
    save_tensors(stylize.MODEL, random_network(seed=1).trainable(), {})
    stylize.main(["pan-noise"])
    assert not np.array_equal(first, list(read_frames(Path("data/stylized/pan-noise.mp4"))))


def test_a_job_that_is_not_there_is_named(job: Path) -> None:
    with pytest.raises(UserError, match="no job 'other'"):
        stylize.main(["other"])


def test_a_missing_model_is_named(job: Path) -> None:
    stylize.MODEL.unlink()
    with pytest.raises(UserError, match=r"classifier\.safetensors is missing"):
        stylize.main(["pan-noise"])


def test_videos_of_another_length_are_named(job: Path) -> None:
    for kind in measure.KINDS:
        write_video(Path(f"data/{kind}/pan-noise.mp4"), [textured(0)] * 2, Fraction(24), crf=8)
    with pytest.raises(UserError, match="not as long as their clip"):
        measure.main([])
