import dataclasses
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image

from pipeline.console import UserError
from pipeline.encoding import write_video
from pipeline.motion import Frame
from pipeline.stages import flow, measure, mixes, stylize
from pipeline.tables import read_table
from pipeline.vgg import VGG16, load_network, save_tensors
from pipeline.video import probe, read_frames
from tests.networks import random_network, write_random_weights
from tests.pictures import shifted, textured

FRAMES = 4


@pytest.fixture
def job(workspace: Path, network: VGG16) -> Path:
    """A project with all that one job needs, small."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["clips"] = {"pan": {"source": "pan.mp4", "frames": ":", "width_px": 96}}
    params["styles"] = {"noise": {"source": "noise.png"}}
    params["distill"]["styles"] = ["noise"]
    params["stylize"] |= {
        "first_frame_iterations": 6,
        "next_frame_iterations": 4,
        "temporal_intervals": [1, 2],
        "scales": 1,
        "jobs": {"pan-noise": {"clip": "pan", "styles": {"noise": 1}}},
    }
    params["measure"]["long_interval_frames"] = 2
    Path("params.yaml").write_text(yaml.safe_dump(params))
    frames: list[Frame] = [shifted(textured(0), 2 * i) for i in range(FRAMES)]
    write_video(Path("data/clips/pan.mp4"), frames, Fraction(24000, 1001), crf=8)
    Path("data/styles").mkdir()
    Image.fromarray(textured(1)).save("data/styles/noise.png")
    mixes.main(["pan-noise"])
    flow.main(["pan"])
    save_tensors(stylize.MODEL, write_random_weights(stylize.WEIGHTS).trainable(), {})
    return workspace


def painted(kind: str) -> NDArray[np.uint8]:
    """The frames of a video of the job, (N, H, W, 3)."""
    return np.stack(list(read_frames(Path(f"data/{kind}/pan-noise.mp4"))))


def content_loss(kind: str, model: Path | None) -> float:
    """Mean over the frames of the sum over layers of the mean squared difference (Gatys 2015, eq. 1), in float64."""
    network = load_network(stylize.WEIGHTS, model).double()
    clip = np.stack(list(read_frames(Path("data/clips/pan.mp4"))))
    images = [torch.from_numpy(frames / 255).permute(0, 3, 1, 2) for frames in (painted(kind), clip)]
    with torch.no_grad():
        taps, targets = (network.taps(each, ["relu4_2", "relu5_2"]) for each in images)
    return sum(float((taps[layer] - targets[layer]).square().mean()) for layer in taps)


def test_a_job_is_painted_and_measured(job: Path) -> None:
    save_tensors(stylize.MODEL, random_network(seed=1).trainable(), {})
    for variant in ([], ["--alone"], ["--plain"]):
        stylize.main(["pan-noise", *variant])
    info = probe(Path("data/stylized/pan-noise.mp4"))
    assert (info.width_px, info.height_px, info.frame_rate) == (96, 64, Fraction(24000, 1001))
    stylized, baseline, plain = (painted(kind) for kind in measure.KINDS)
    assert not np.array_equal(stylized, baseline)
    assert not np.array_equal(stylized, plain)
    assert not np.array_equal(baseline, plain)
    assert not any(stylize.UNFINISHED.iterdir())

    measure.main([])
    rows = read_table(measure.BY_FRAME)
    assert [row["frame"] for row in rows] == ["0", "1", "2"]
    assert all(float(row[kind]) > 0 for row in rows for kind in measure.KINDS)
    measured = json.loads(measure.METRICS.read_text())["pan-noise"]
    names = {field.name for field in dataclasses.fields(measure.Figures)}
    assert all(measured[kind].keys() == names for kind in measure.KINDS)
    for ratio, kind in (("ratio", "baseline"), ("ratio_to_plain", "plain")):
        assert measured[ratio] == pytest.approx(
            {name: measured["stylized"][name] / measured[kind][name] for name in names}
        )
    for kind in measure.KINDS:
        assert measured[kind]["content_loss"] == pytest.approx(content_loss(kind, stylize.MODEL), rel=0.03)
        assert measured[kind]["content_loss_plain"] == pytest.approx(content_loss(kind, None), rel=0.03)
        assert measured[kind]["content_loss"] != pytest.approx(measured[kind]["content_loss_plain"], rel=0.1)
    assert measured["network_change"].keys() == {"style_relu5_1", "content_relu5_2"}
    assert all(change > 0.1 for change in measured["network_change"].values())


def test_a_model_that_training_left_as_it_was_changes_nothing(job: Path) -> None:
    """The model holds the block 5 of the weights themselves: both networks are one."""
    stylize.main(["pan-noise"])
    stylize.main(["pan-noise", "--plain"])
    np.testing.assert_array_equal(painted("stylized"), painted("plain"))
    write_video(Path("data/baseline/pan-noise.mp4"), painted("plain"), Fraction(24000, 1001), crf=8)
    measure.main([])
    measured = json.loads(measure.METRICS.read_text())["pan-noise"]
    assert set(measured["ratio_to_plain"].values()) == {1}
    assert measured["network_change"] == {"style_relu5_1": 0, "content_relu5_2": 0}
    assert all(figures["style_loss"] == figures["style_loss_plain"] for figures in map(measured.get, measure.KINDS))


def test_the_fine_tuned_block_5_paints(job: Path) -> None:
    stylize.main(["pan-noise"])
    first = painted("stylized")
    save_tensors(stylize.MODEL, random_network(seed=1).trainable(), {})
    stylize.main(["pan-noise"])
    assert not np.array_equal(first, painted("stylized"))


def test_plain_vgg16_paints_without_a_model(job: Path) -> None:
    stylize.main(["pan-noise", "--plain"])
    first = painted("plain")
    stylize.MODEL.unlink()
    stylize.main(["pan-noise", "--plain"])
    np.testing.assert_array_equal(first, painted("plain"))


def test_a_job_is_painted_in_one_way_at_a_time(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        stylize.main(["pan-noise", "--alone", "--plain"])
    assert "not allowed with argument --alone" in capsys.readouterr().err


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
