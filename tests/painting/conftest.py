import pytest

from pipeline.params import Stylize


@pytest.fixture
def settings() -> Stylize:
    return Stylize(
        content_layers=("relu4_2", "relu5_2"),
        style_layers=("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
        content_weight=5,
        style_weight=100,
        temporal_weight=2000,
        temporal_intervals=(1, 2),
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
    )
