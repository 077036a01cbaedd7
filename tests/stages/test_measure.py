import copy
import json
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from pipeline.console import UserError
from pipeline.encoding import write_video
from pipeline.painting.frame import Painter
from pipeline.params import load_params
from pipeline.stages.measure import (
    BY_FRAME,
    FAST,
    KINDS,
    METRICS,
    MODEL,
    WEIGHTS,
    Figures,
    main,
    mean_figures,
    network_change,
    ratios,
    windows,
)
from pipeline.tables import read_table
from pipeline.tensors import to_tensor
from pipeline.vgg import VGG16, save_tensors
from tests.conftest import ROOT
from tests.networks import write_random_weights
from tests.pictures import shifted, textured


def test_means_leave_out_frames_that_lack_a_figure() -> None:
    frames = [Figures(0.2, 0.4, 1, 2, 3, 1, 2), Figures(0.4, None, 3, 4, 5, 3, 4), Figures(None, None, 5, 6, 7, 5, 6)]
    assert mean_figures(frames) == {
        "warping_error_short": pytest.approx(0.3),
        "warping_error_long": pytest.approx(0.4),
        "sharpness": 3,
        "content_loss": 4,
        "style_loss": 5,
        "content_loss_plain": 3,
        "style_loss_plain": 4,
    }


def test_figures_that_nothing_has_are_none() -> None:
    means = mean_figures([Figures(None, None, 1, 2, 3, 4, 5)])
    assert means["warping_error_short"] is None
    figures: dict[str, float | None] = {"a": None, "b": 0.5, "c": 0.5, "d": 1.0, "e": 0.0}
    compared = ratios(figures, {"a": 0.5, "b": None, "c": 0.0, "d": 4.0, "e": 2.0})
    assert compared == {"a": None, "b": None, "c": None, "d": 0.25, "e": 0}


def test_the_change_of_a_network_is_that_of_its_block_5(network: VGG16) -> None:
    """Where conv5_1 is scaled by s, relu5_1 is too, its Gram matrix by s^2, and relu5_2 by s if it has no bias."""
    scale = 1.2
    plain = network.requires_grad_(False)
    plain.get_parameter("conv5_2.bias").zero_()
    fine_tuned = copy.deepcopy(plain)
    for name in ("conv5_1.weight", "conv5_1.bias"):
        fine_tuned.get_parameter(name).mul_(scale)
    settings = load_params(ROOT / "params.yaml").stylize
    tuned_painter, plain_painter = (
        Painter(each, [to_tensor(textured(1))], settings, first=to_tensor(textured(0)), device=torch.device("cpu"))
        for each in (fine_tuned, plain)
    )
    assert network_change(tuned_painter, plain_painter, to_tensor(textured(0))) == {
        "style_relu5_1": pytest.approx(scale**2 - 1, rel=1e-4),
        "content_relu5_2": pytest.approx(scale - 1, rel=1e-4),
    }


@pytest.mark.parametrize(("count", "length"), [(5, 3), (3, 3), (2, 3), (1, 2), (0, 2)])
def test_each_frame_comes_with_those_that_follow(count: int, length: int) -> None:
    frames = [(np.full((1, 1, 3), index, np.uint8),) for index in range(count)]
    found = [[int(frame[0][0, 0, 0]) for frame in window] for window in windows(frames, length)]
    assert found == [list(range(index, min(index + length, count))) for index in range(count)]


@pytest.fixture
def painted(workspace: Path, network: VGG16) -> Path:
    """Two jobs, of which the small network has painted the first, frame for frame as the optimiser did."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["clips"] = {"pan": {"source": "pan.mp4", "frames": ":", "width_px": 96}}
    params["styles"] = {"noise": {"source": "noise.png"}}
    params["distill"]["styles"] = ["noise"]
    params["stylize"]["jobs"] = {name: {"clip": "pan", "styles": {"noise": 1}} for name in ("learnt", "other")}
    params["measure"]["long_interval_frames"] = 2
    Path("params.yaml").write_text(yaml.safe_dump(params))
    for number, folder in enumerate(("clips", *KINDS)):
        frames = [shifted(textured(number), 2 * index) for index in range(3)]
        for name in ("pan",) if folder == "clips" else ("learnt", "other"):
            write_video(Path(f"data/{folder}/{name}.mp4"), frames, Fraction(25), crf=8)
    Path("data/fast").mkdir()
    shutil.copy("data/stylized/learnt.mp4", "data/fast")
    Path("data/styles").mkdir()
    Image.fromarray(textured(9)).save("data/styles/noise.png")
    save_tensors(MODEL, write_random_weights(WEIGHTS).trainable(), {})
    return workspace


def test_the_small_network_is_measured_where_it_has_painted(painted: Path) -> None:
    main([])
    metrics = json.loads(METRICS.read_text())
    assert metrics["learnt"][FAST] == metrics["learnt"]["stylized"]
    assert metrics["learnt"]["ratio_fast"] == metrics["learnt"]["ratio"]
    assert metrics["other"].keys() == metrics["learnt"].keys() - {FAST, "ratio_fast"}
    assert metrics["other"]["ratio"] == metrics["learnt"]["ratio"]
    rows = read_table(BY_FRAME)
    assert [row["job"] for row in rows] == ["learnt"] * 2 + ["other"] * 2
    assert [row[FAST] for row in rows] == [row["stylized"] for row in rows[:2]] + ["", ""]


def test_video_of_the_small_network_that_is_too_short_is_named(painted: Path) -> None:
    write_video(Path("data/fast/learnt.mp4"), [textured(0)] * 2, Fraction(25), crf=8)
    with pytest.raises(UserError, match=r"learnt are not as long .* `dvc repro -sf .* plain@learnt fast`"):
        main([])
    assert not METRICS.exists()
