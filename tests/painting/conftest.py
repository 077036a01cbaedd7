import pytest
import torch

from pipeline.painting.frame import Painter
from pipeline.params import Stylize
from pipeline.vgg import VGG16
from tests.painting.test_frame import picture


@pytest.fixture
def settings() -> Stylize:
    return Stylize(
        content_layers=("relu4_2", "relu5_2"),
        style_layers=("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
        content_weight=5,
        style_weight=100,
        temporal_weight=2000,
        temporal_intervals=(1, 2),
        temporal_shares="closest-first",
        uncovered_emphasis=5,
        tv_weight=1e-3,
        strength=1,
        colours="style",
        start="warped",
        scales=1,
        multipass=None,
        first_frame_iterations=8,
        next_frame_iterations=5,
        stop_relative_change=0,
        stop_window=4,
        workers=1,
    )


@pytest.fixture
def painter(network: VGG16, settings: Stylize) -> Painter:
    """For pictures of 48 x 48 pixels."""
    return Painter(network, [picture(1)], settings, first=picture(0), device=torch.device("cpu"))
