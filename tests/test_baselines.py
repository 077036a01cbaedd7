from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import vgg
from pipeline.baselines import SIDE_PX, Original, train_original
from pipeline.console import UserError
from pipeline.finetuning import Rows
from pipeline.params import Compare
from pipeline.vgg import VGG16
from tests.networks import SMALL, random_network

SETTINGS = Compare(probe_l2=0.1, head_epochs=30, original_epochs=2, seed=1)
FEATURES = Path("features.npy")


@pytest.fixture
def top(monkeypatch: pytest.MonkeyPatch, workspace: Path) -> VGG16:
    """Block 5; as many features of paintings as of photographs, which differ in the even channels."""
    monkeypatch.setattr(vgg, "CHANNELS", SMALL)
    network = VGG16(first_block=5)
    network.load_state_dict(random_network().trainable())
    features = np.random.default_rng(0).uniform(0, 1, (40, 8, 9, 9))
    features[::2, ::2] *= 4
    np.save(FEATURES, features.astype(np.float16))
    return network


def rows() -> Rows:
    names = np.array([f"{number}.jpg" for number in range(40)])
    return Rows(
        paths=names,
        sources=np.full(40, "museum"),
        splits=np.full(40, "train"),
        targets=(np.arange(40) % 2 == 0).astype(np.float32),
        plain=np.ones(40, bool),
        kinds=np.full(40, "image"),
        lenders=np.full(40, ""),
    )


def train(top: VGG16, settings: Compare = SETTINGS) -> dict[str, torch.Tensor]:
    return train_original(top, FEATURES, rows(), np.arange(32), np.arange(32, 40), settings)


def test_head_sees_the_pooled_block_5_of_a_square(top: VGG16) -> None:
    network = Original(top).eval()
    features = torch.rand(3, 8, SIDE_PX // 16, SIDE_PX // 16)
    pooled = torch.max_pool2d(top.block(5, features.clone()), 2).flatten(1)
    assert pooled.shape == (3, 8 * 4 * 4)
    first, second = network.head[1], network.head[4]
    expected = second(first(pooled).relu()).squeeze(1)
    torch.testing.assert_close(network(features), expected)


def test_both_steps_learn_and_only_the_second_changes_block_5(top: VGG16) -> None:
    before = {name: value.clone() for name, value in top.state_dict().items()}
    answers = train(top)
    assert list(answers) == ["head-only", "original"]
    for probabilities in answers.values():
        assert probabilities[::2].min() > 0.5 > probabilities[1::2].max()
    assert not top.get_parameter("conv5_1.weight").equal(before["conv5_1.weight"])
    again = VGG16(first_block=5)
    again.load_state_dict(before)
    torch.testing.assert_close(train(again), answers)


def test_block_5_is_as_it_was_after_the_first_step(top: VGG16, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: value.clone() for name, value in top.state_dict().items()}
    monkeypatch.setattr("pipeline.baselines.RATE", 0.0)
    answers = train(top)
    assert all(top.state_dict()[name].equal(value) for name, value in before.items())
    assert answers["original"].shape == answers["head-only"].shape == (8,)


def test_loss_that_is_not_a_number_is_one_sentence(top: VGG16) -> None:
    top.get_parameter("conv5_3.bias").data.fill_(torch.inf)
    with pytest.raises(UserError, match=r"the loss of the head only is not a number; change compare\.seed"):
        train(top)
