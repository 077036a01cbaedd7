"""What every test shares: a workspace of its own, no network but loopback, and the folder of real data."""

import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings as hypothesis_settings

from pipeline.painting.frame import Painter
from pipeline.params import Stylize
from pipeline.vgg import VGG16
from tests.networks import SMALL, random_network
from tests.pictures import picture

ROOT = Path(__file__).parent.parent

hypothesis_settings.register_profile("steady", deadline=None)  # what a busy machine takes says nothing about the code
hypothesis_settings.load_profile("steady")
torch.set_num_threads(1)  # the networks here are small, and two threads wait for each other longer than they work


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise RuntimeError(f"a test tried to reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project: the current folder, with a copy of ``params.yaml``."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> VGG16:
    """VGG16 with few channels and random weights; for the length of a test, every VGG16 has so few."""
    monkeypatch.setattr("pipeline.vgg.CHANNELS", SMALL)
    return random_network()


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


@pytest.fixture
def real_data() -> Path:
    """The folder of real pictures and clips."""
    folder = os.environ.get("PAINT_REAL_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("PAINT_REAL_DATA does not name the folder of real pictures")
    return Path(folder)
