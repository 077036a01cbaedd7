from safetensors.torch import load_file

from pipeline import installed
from pipeline.vgg import VGG16, load_metadata


def test_the_installed_model_is_block_5_and_the_head_in_half_precision() -> None:
    tensors = load_file(installed.PRETRAINED)
    expected = VGG16(first_block=5).state_dict()
    assert {name: values.shape for name, values in tensors.items()} == {n: v.shape for n, v in expected.items()}
    assert {str(values.dtype) for values in tensors.values()} == {"torch.float16"}
    assert all(values.isfinite().all() for values in tensors.values())
    assert int(load_metadata(installed.PRETRAINED)["crop_px"]) % 32 == 0
    assert "## Training data" in installed.PRETRAINED.with_name("model_card.md").read_text(encoding="utf-8")
