from pathlib import Path

import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.fast.exported import Session, style_names, write_float, write_int8
from pipeline.fast.network import relax
from tests.fast.test_network import images, tiny_network

PHOTOGRAPHS = torch.cat([images(1, 32, 40), images(1, 32, 40).flip(3)])


@pytest.fixture(scope="module")
def float32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "fast.onnx"
    write_float(path, relax(tiny_network()).eval())
    return path


@pytest.fixture(scope="module")
def int8(float32: Path) -> Path:
    path = float32.with_name("fast-int8.onnx")
    write_int8(path, float32, PHOTOGRAPHS)
    return path


@given(height=st.integers(1, 40), width=st.integers(1, 40), share=st.floats(0, 1))
@settings(max_examples=25)
def test_float_file_paints_images_of_any_size_as_the_network_does(
    float32: Path, height: int, width: int, share: float
) -> None:
    image, weights = images(1, height, width), torch.tensor([[share, 1 - share]])
    painted = Session(float32).paint(image, weights)
    torch.testing.assert_close(painted, tiny_network()(image, weights), rtol=0, atol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_8_bits_paint_nearly_the_same(int8: Path, share: float) -> None:
    image, weights = images(1, 29, 50), torch.tensor([[share, 1 - share]])
    painted = Session(int8).paint(image, weights)
    exact = tiny_network()(image, weights)
    assert painted.shape == exact.shape
    assert 0 < (painted - exact).abs().mean() < 0.025


def test_files_say_what_they_take_and_whose_styles_they_have(float32: Path, int8: Path) -> None:
    for path in (float32, int8):
        model = onnx.load(path)
        onnx.checker.check_model(model)
        assert style_names(path) == ["a", "b"]
        assert [(each.domain, each.version) for each in model.opset_import] == [("", 18)]
        shapes = {
            value.name: [each.dim_param or each.dim_value for each in value.type.tensor_type.shape.dim]
            for value in (*model.graph.input, *model.graph.output)
        }
        assert shapes == {
            "image": [1, 3, "height", "width"],
            "weights": [1, 2],
            "painted": [1, 3, "height", "width"],
        }


def test_files_tell_nothing_of_the_code_they_came_from(float32: Path, int8: Path) -> None:
    for path in (float32, int8):
        for words in (b"pipeline", b".py", str(Path.cwd()).encode()):
            assert words not in path.read_bytes()


def test_filters_are_of_8_bits(int8: Path) -> None:
    graph = onnx.load(int8).graph
    large = [each for each in graph.initializer if len(each.dims) == 4]
    assert large
    assert {each.data_type for each in large} == {onnx.TensorProto.INT8}


def test_the_same_network_makes_the_same_bytes(float32: Path, int8: Path, tmp_path: Path) -> None:
    write_float(tmp_path / "fast.onnx", relax(tiny_network()).eval())
    write_int8(tmp_path / "fast-int8.onnx", tmp_path / "fast.onnx", PHOTOGRAPHS)
    assert (tmp_path / "fast.onnx").read_bytes() == float32.read_bytes()
    assert (tmp_path / "fast-int8.onnx").read_bytes() == int8.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fast-int8.onnx", "fast.onnx"]
