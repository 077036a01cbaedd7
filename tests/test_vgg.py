import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers  # type: ignore[import-untyped]

from pipeline.console import UserError
from pipeline.vgg import CONVOLUTIONS, VGG16, load_metadata, load_network, save_tensors, tensors_sha256
from tests.networks import random_network, write_random_weights

LAYERS = ("relu1_1", "relu2_2", "relu4_2", "relu5_3")


@pytest.fixture(scope="module")
def network() -> VGG16:
    return random_network().freeze_trunk()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 64, 48, generator=torch.Generator().manual_seed(1))


def torchvision_layers(network: VGG16) -> nn.Sequential:
    """torchvision's VGG16 convolutions with the weights of ``network``: an implementation that is not ours."""
    layers: nn.Sequential = make_layers(cfgs["D"], batch_norm=False)
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    for name, layer in zip(CONVOLUTIONS, convolutions, strict=True):
        layer.load_state_dict(network.get_submodule(name).state_dict())
    return layers.requires_grad_(False)


def preprocessed(images: Tensor) -> Tensor:
    return images * 255 - torch.tensor([123.68, 116.779, 103.939]).view(3, 1, 1)


def test_cached_trunk_and_block_5_equal_the_uncut_network(network: VGG16, images: Tensor) -> None:
    with torch.no_grad():
        cached = network.trunk(images).numpy().copy()
        relu5_3 = torchvision_layers(network)[:30](preprocessed(images))
        expected = network.head((1 + relu5_3.mean(dim=(2, 3))).log()).squeeze(1)
        top = VGG16(first_block=5).eval()
        top.load_state_dict(network.trainable())

        assert cached.shape == (2, 512, 4, 3)
        torch.testing.assert_close(network(images), expected, rtol=1e-5, atol=0)
        torch.testing.assert_close(top.classify(torch.from_numpy(cached)), expected, rtol=1e-5, atol=0)


def test_taps_equal_torchvision(network: VGG16, images: Tensor) -> None:
    layers = torchvision_layers(network)
    positions = {"relu1_1": 1, "relu2_2": 8, "relu4_2": 20, "relu5_3": 29}
    with torch.no_grad():
        taps = network.taps(images, LAYERS)
        for name in LAYERS:
            expected = layers[: positions[name] + 1](preprocessed(images))
            assert float((taps[name] - expected).norm() / expected.norm()) < 1e-5


def test_nothing_above_the_highest_tap_is_computed(network: VGG16, images: Tensor) -> None:
    assert set(network.taps(images, ["relu1_2", "relu1_1"])) == {"relu1_1", "relu1_2"}
    with pytest.raises(ValueError, match="relu6_1"):
        network.taps(images, ["relu6_1"])


def test_gradient_of_the_image_equals_the_difference_quotient(network: VGG16) -> None:
    exact = random_network().double().requires_grad_(False)
    random = torch.Generator().manual_seed(2)
    image = torch.rand(1, 3, 32, 32, dtype=torch.float64, generator=random, requires_grad=True)
    direction = torch.randn(image.shape, dtype=torch.float64, generator=random)

    def loss(pixels: Tensor) -> Tensor:
        return torch.stack([tap.square().mean() for tap in exact.taps(pixels, LAYERS).values()]).sum()

    [gradient] = torch.autograd.grad(loss(image), image)
    step = 1e-7
    with torch.no_grad():
        quotient = (loss(image + step * direction) - loss(image - step * direction)) / (2 * step)
    torch.testing.assert_close((gradient * direction).sum(), quotient, rtol=1e-5, atol=0)


def test_reduced_trunk_stays_within_three_percent(images: Tensor) -> None:
    network = random_network()
    with torch.no_grad():
        exact, exact_logits = network.trunk(images), network(images)
        network.cast_trunk(torch.bfloat16)
        reduced, reduced_logits = network.trunk(images), network(images)
    assert reduced.dtype == torch.bfloat16
    assert network.head.weight.dtype == network.get_parameter("conv5_1.weight").dtype == torch.float32
    assert reduced_logits.dtype == torch.float32
    assert float((reduced.float() - exact).norm() / exact.norm()) < 0.03
    assert float((reduced_logits - exact_logits).norm() / exact_logits.norm()) < 0.03


def test_only_block_5_and_head_get_gradients(network: VGG16, images: Tensor) -> None:
    network(images).sum().backward()
    with_gradient = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert with_gradient == set(network.trainable())
    assert with_gradient == {f"{m}.{k}" for m in ("conv5_1", "conv5_2", "conv5_3", "head") for k in ("weight", "bias")}


@settings(max_examples=8, deadline=None)
@given(height=st.integers(16, 80), width=st.integers(16, 80))
def test_any_size_from_16_px_has_features(network: VGG16, height: int, width: int) -> None:
    with torch.no_grad():
        assert network.trunk(torch.rand(1, 3, height, width)).shape == (1, 512, height // 16, width // 16)


def test_hash_sees_values_names_and_shapes() -> None:
    tensors = {"a": torch.arange(6.0), "b": torch.ones(2)}
    same = {"b": torch.ones(2, dtype=torch.float64), "a": torch.arange(6.0)}
    assert tensors_sha256(same) == tensors_sha256(tensors)
    nudged = torch.arange(6.0)
    nudged[3] = torch.nextafter(nudged[3], torch.tensor(9.0))
    changed: list[dict[str, Tensor]] = [
        tensors | {"a": nudged},
        tensors | {"a": torch.arange(6.0).view(2, 3)},
        {"a": torch.arange(6.0), "c": torch.ones(2)},
    ]
    assert tensors_sha256(tensors) not in [tensors_sha256(each) for each in changed]


def test_saved_network_loads_as_it_was(tmp_path: Path, images: Tensor) -> None:
    network = write_random_weights(tmp_path / "vgg16.safetensors")
    save_tensors(tmp_path / "model.safetensors", network.trainable(), {"crop_px": "64"})
    loaded = load_network(tmp_path / "vgg16.safetensors", tmp_path / "model.safetensors")
    with torch.no_grad():
        assert torch.equal(loaded(images), network(images))
    assert load_metadata(tmp_path / "model.safetensors") == {"crop_px": "64"}
    assert {name for name, p in loaded.named_parameters() if p.requires_grad} == set(network.trainable())


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "vgg16.safetensors"
    with pytest.raises(UserError, match=r"vgg16\.safetensors is missing"):
        load_network(path)
    torch.save({"conv1_1.weight": torch.ones(1)}, path)
    with pytest.raises(UserError, match="not a safetensors file"):
        load_network(path)
    save_tensors(path, {"conv1_1.weight": torch.ones(1)}, {})
    with pytest.raises(UserError, match="does not hold the tensors of VGG16"):
        load_network(path)
    save_tensors(path, {f"{name}.{kind}": torch.ones(1) for name in CONVOLUTIONS for kind in ("weight", "bias")}, {})
    with pytest.raises(UserError, match="other shapes"):
        load_network(path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("head.bias", torch.ones(2), "holds tensors of other shapes than those of block 5 and head"),
        ("head.bias", torch.ones(1, dtype=torch.int64), "holds tensors of another type"),
        ("head.bias", torch.ones(1, dtype=torch.complex64), "holds tensors of another type"),
        ("head.bias", torch.ones(1, dtype=torch.float8_e4m3fn), "holds tensors of another type"),
        ("head.bias", torch.tensor([torch.nan]), "has values that are not numbers"),
        ("head.bias", torch.tensor([torch.inf]), "has values that are not numbers"),
        ("head.more", torch.ones(1), "does not hold the tensors of block 5 and head"),
    ],
)
@pytest.mark.usefixtures("network")
def test_models_that_no_training_writes_are_refused(tmp_path: Path, name: str, value: Tensor, message: str) -> None:
    weights, model = tmp_path / "vgg16.safetensors", tmp_path / "model.safetensors"
    network = write_random_weights(weights)
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        save_tensors(model, {each: values.to(dtype) for each, values in network.trainable().items()}, {})
        load_network(weights, model)
    save_tensors(model, {**network.trainable(), name: value}, {})
    with pytest.raises(UserError, match=rf"model\.safetensors {message}.*; delete it"):
        load_network(weights, model)


def test_pickles_under_another_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "vgg16.safetensors"
    path.write_bytes(pickle.dumps({"conv1_1.weight": 1}))
    with pytest.raises(UserError, match=r"vgg16\.safetensors is not a safetensors file"):
        load_network(path)
