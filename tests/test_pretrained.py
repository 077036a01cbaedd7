import numpy as np
import torch
from safetensors.torch import load_file

from pipeline import installed
from pipeline.fast.files import load_fast
from pipeline.fast.painter import torch_painter
from pipeline.vgg import VGG16, load_metadata
from tests.pictures import textured


def test_the_installed_model_is_block_5_and_the_head_in_half_precision() -> None:
    tensors = load_file(installed.PRETRAINED)
    expected = VGG16(first_block=5).state_dict()
    assert {name: values.shape for name, values in tensors.items()} == {n: v.shape for n, v in expected.items()}
    assert {str(values.dtype) for values in tensors.values()} == {"torch.float16"}
    assert all(values.isfinite().all() for values in tensors.values())
    assert int(load_metadata(installed.PRETRAINED)["crop_px"]) % 32 == 0
    assert "## Training data" in installed.PRETRAINED.with_name("model_card.md").read_text(encoding="utf-8")


def test_the_installed_small_network_is_small_and_paints_each_of_its_styles_otherwise() -> None:
    assert installed.FAST_PRETRAINED.stat().st_size < 2e6
    painter = torch_painter(load_fast(installed.FAST_PRETRAINED), torch.device("cpu"))
    assert len(painter.names) == 8
    card = installed.FAST_PRETRAINED.with_name("fast_card.md").read_text(encoding="utf-8")
    frame, painted = textured(0, 72, 128), []
    for name in painter.names:
        assert f"`{name}`" in card
        painter.mix({name: 1.0})
        painted.append(painter.paint(frame).astype(float))
    differences = [np.abs(one - other).mean() for i, one in enumerate(painted) for other in (frame, *painted[:i])]
    assert min(differences) > 8
