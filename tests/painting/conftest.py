import pytest
import torch

from pipeline.params import Stylize
from pipeline.vgg import VGG16


@pytest.fixture(scope="session")
def network() -> VGG16:
    """VGG16 with random weights that keep the magnitude of activations through the layers (He et al. 2015)."""
    torch.manual_seed(0)
    network = VGG16().requires_grad_(False)
    for name, parameter in network.named_parameters():
        if name.endswith("weight") and parameter.dim() == 4:
            torch.nn.init.kaiming_normal_(parameter, nonlinearity="relu")
    return network.eval()


@pytest.fixture
def settings() -> Stylize:
    return Stylize(
        content_layers=("relu4_2", "relu5_2"),
        style_layers=("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
        content_weight=5,
        style_weight=100,
        temporal_weight=200,
        tv_weight=1e-3,
        first_frame_iterations=8,
        next_frame_iterations=5,
        stop_relative_change=0,
        stop_window=4,
    )
