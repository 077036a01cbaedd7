"""What every test shares: a workspace of its own, no network but loopback, and the folder of real data."""

import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

from pipeline.vgg import VGG16
from tests.networks import SMALL, random_network

ROOT = Path(__file__).parent.parent

settings.register_profile("steady", deadline=None)  # what a busy machine takes says nothing about the code
settings.load_profile("steady")
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
def real_data() -> Path:
    """The folder of real pictures and clips."""
    folder = os.environ.get("PAINT_REAL_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("PAINT_REAL_DATA does not name the folder of real pictures")
    return Path(folder)
