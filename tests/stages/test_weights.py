from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pipeline import weights
from pipeline.console import UserError
from pipeline.stages.weights import WEIGHTS, main
from pipeline.vgg import load_network, tensors_sha256
from tests.networks import set_params, write_random_weights


def test_stage_writes_verified_weights(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = write_random_weights(Path("copy.safetensors"))
    set_params({"weights.source": "copy.safetensors"})
    with pytest.raises(UserError, match=r"copy\.safetensors gave other tensors than VGG16's"):
        main([])
    assert not WEIGHTS.exists()
    monkeypatch.setattr(weights, "TENSORS_SHA256", tensors_sha256(load_file(Path("copy.safetensors"))))
    main([])
    loaded = load_network(WEIGHTS)
    assert torch.equal(loaded.get_parameter("conv5_3.weight"), network.get_parameter("conv5_3.weight"))
