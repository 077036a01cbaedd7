import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from pipeline.console import UserError
from pipeline.fast.files import FORMAT, load_fast, save_fast
from pipeline.fast.network import FastNetwork, Widths, relax
from pipeline.vgg import load_metadata, save_tensors
from tests.fast.test_network import TINY, images, tiny_network


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_fast(tmp_path / "fast.safetensors", relax(tiny_network()))
    return tmp_path / "fast.safetensors"


def rewrite(path: Path, metadata: dict[str, str] | None = None, tensors: dict[str, Tensor] | None = None) -> None:
    save_tensors(path, load_file(path) | (tensors or {}), load_metadata(path) | (metadata or {}))


def test_loaded_network_paints_as_the_saved_one(path: Path) -> None:
    loaded, saved = load_fast(path), relax(tiny_network())
    assert loaded.names == ("a", "b")
    assert loaded.widths == TINY
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    weights = torch.tensor([[0.2, 0.8]])
    torch.testing.assert_close(loaded(images(), weights), saved(images(), weights), rtol=0, atol=2e-3)


def test_file_says_what_it_holds(path: Path) -> None:
    assert load_metadata(path) == {
        "format": FORMAT,
        "version": "1",
        "styles": '["a", "b"]',
        "fine": "4",
        "coarse": "6",
        "blocks": "2",
    }


def test_eight_styles_of_full_size_are_less_than_two_megabytes(tmp_path: Path) -> None:
    network = FastNetwork(Widths(fine=32, coarse=80, blocks=4), [f"style-{number}" for number in range(8)])
    save_fast(tmp_path / "fast.safetensors", network)
    assert (tmp_path / "fast.safetensors").stat().st_size < 2_000_000


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"format": "other"}, "is no network for painting in one pass"),
        ({"version": "2"}, "is of another version than 1"),
        ({"styles": "["}, "does not say which styles and widths it has"),
        ({"styles": "[" * 100_000}, "does not say which styles"),
        ({"styles": '{"a": 1}'}, "names no styles"),
        ({"styles": "[]"}, "names no styles"),
        ({"styles": '["a", "a"]'}, "or one of them twice"),
        ({"styles": '["../a", "b"]'}, "names no styles"),
        ({"styles": json.dumps([f"s{n}" for n in range(300)])}, "too many"),
        ({"styles": '["a", "b", "c"]'}, "does not hold the tensors of the network that it describes"),
        ({"fine": "8"}, "holds tensors of other shapes"),
        ({"fine": "5"}, "has an odd number of channels"),
        ({"fine": "0"}, "is wider than any such network, or has no width"),
        ({"fine": "9998"}, "is wider than any such network"),
        ({"coarse": "1e3"}, "has no width"),
        ({"coarse": "-6"}, "has no width"),
        ({"blocks": "³"}, "has no width"),
        ({"blocks": "99"}, "is wider"),
    ],
)
def test_file_that_no_training_writes_is_refused(path: Path, metadata: dict[str, str], message: str) -> None:
    rewrite(path, metadata)
    with pytest.raises(UserError, match=rf"fast\.safetensors .*{message}") as error:
        load_fast(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"extra": torch.zeros(1)}, "does not hold the tensors"),
        ({"up.weight": torch.zeros(4, 6)}, "holds tensors of other shapes"),
        ({"up.weight": torch.full((4, 6, 1, 1), torch.nan)}, "has values that are not numbers"),
        ({"up.weight": torch.full((4, 6, 1, 1), torch.inf)}, "has values that are not numbers"),
        ({"up.weight": torch.ones((4, 6, 1, 1), dtype=torch.int8)}, "holds tensors of another type"),
        ({"up.weight": torch.ones((4, 6, 1, 1), dtype=torch.complex64)}, "holds tensors of another type"),
    ],
)
def test_other_tensors_are_refused(path: Path, tensors: dict[str, Tensor], message: str) -> None:
    rewrite(path, tensors=tensors)
    with pytest.raises(UserError, match=message):
        load_fast(path)


@given(kept=st.floats(0, 1, exclude_max=True))
def test_file_that_was_cut_short_is_refused(tmp_path_factory: pytest.TempPathFactory, kept: float) -> None:
    path = tmp_path_factory.mktemp("cut") / "fast.safetensors"
    save_fast(path, relax(tiny_network()))
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(UserError, match="is not a safetensors file"):
        load_fast(path)


def test_file_that_is_missing_or_a_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(UserError, match="cannot be read; `dvc repro distill`"):
            load_fast(path)
