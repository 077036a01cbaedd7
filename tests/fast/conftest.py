import pytest
import torch

from pipeline.fast.judge import Judge
from pipeline.params import Distill
from pipeline.vgg import VGG16
from tests.fast.test_network import TINY
from tests.pictures import picture

SETTINGS = Distill(
    styles=("a", "b"),
    start=None,
    fine_channels=TINY.fine,
    coarse_channels=TINY.coarse,
    blocks=TINY.blocks,
    side_px=32,
    style_side_px=40,
    content_layers=("relu3_3",),
    style_layers=("relu1_1", "relu3_1", "relu5_1"),
    content_weight=0.5,
    style_weight=1.0,
    temporal_weight=0.002,
    tv_weight=0.00001,
    learning_rate=0.003,
    batch_size=2,
    steps=6,
    checkpoint_steps=2,
    seed=1,
)


@pytest.fixture
def judge(network: VGG16) -> Judge:
    return Judge(network, [picture(1, 64), picture(2, 50)[:, :40]], SETTINGS, torch.device("cpu"))
