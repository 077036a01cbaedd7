"""The first frames of a clip beside the protocol of the paper: the time to the loss at which that one stops.

    python -m benchmarks.protocol --clip data/clips/street.mp4 --style data/styles/expressionist.png

Ruder, Dosovitskiy and Brox (2016): L-BFGS with 100 pairs in float32 at one size, the first frame from noise and each
other one from the last, warped, until the loss changed by less than 1e-4 over 50 iterations. Ours: the parameters of
``params.yaml``, once as they are and then with numbers of steps that grow until the loss is as low. Both minimise the
loss of ``params.yaml`` on plain VGG16, each near its own last frame; a network in
float32 judges both, the protocol's picture before it is clipped, ours clipped to [0, 1]. Prints steps, loss and seconds
of each frame, and the ratio of those of all frames. Optical flow, reading the weights and what the style should look
like count for neither.
"""

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.budgets import budgets
from benchmarks.jobs import WEIGHTS, job_parser
from pipeline.device import pick_device
from pipeline.images import load_rgb
from pipeline.motion import live_motion, warp
from pipeline.painting.clip import Step, paint_step
from pipeline.painting.frame import Painter, painting_network
from pipeline.painting.losses import Neighbour, frame_losses
from pipeline.painting.tiles import TILE_AREA_PX, taps_and_grams
from pipeline.params import Flow, default_params
from pipeline.tensors import to_tensor
from pipeline.vgg import load_network
from pipeline.video import parse_frames, read_frames

FIRST_ITERATIONS, NEXT_ITERATIONS = 2000, 1000
HISTORY = 100
RELATIVE_CHANGE, WINDOW = 1e-4, 50
NOISE = 0.001
"""Deviation around the mean colour, on the scale of the network, of where the first frame starts."""

Loss = Callable[[Tensor], Tensor]
"""Of an image (1, 3, H, W) in [0, 1]."""


@dataclass(frozen=True)
class Outcome:
    """A painted frame."""

    image: Tensor
    """(3, H, W), in [0, 1], on the CPU."""
    loss: float
    steps: int
    seconds: float


def main() -> None:
    """Compare the two."""
    params = default_params()
    arguments = job_parser(__doc__, "0:3").parse_args()
    steps = list(read_steps(arguments.clip, arguments.frames, arguments.width, params.flow))
    first, style, device = to_tensor(steps[0].frame), to_tensor(load_rgb(arguments.style)), pick_device()
    precise = load_network(WEIGHTS).to(memory_format=torch.channels_last).to(device)
    judge = Painter(precise, [style], params.stylize, first=first, device=device)
    painter = Painter(painting_network(WEIGHTS, None, device), [style], params.stylize, first=first, device=device)
    print(f"{first.shape[2]} x {first.shape[1]} pixels on {device}, {torch.get_num_threads()} threads")

    protocol: dict[int, Outcome] = {}
    default: dict[int, Outcome] = {}
    ours: dict[int, Outcome] = {}
    for step in steps:
        protocol[step.index] = follow_protocol(judge, step, protocol)
        report("protocol", step, protocol[step.index])
        default[step.index] = paint(painter, judge, step, default)
        report("default", step, default[step.index])
        for budget in budgets():
            ours[step.index] = paint(with_budget(painter, budget), judge, step, ours)
            if ours[step.index].loss <= protocol[step.index].loss:
                break
        else:
            raise SystemExit(f"ours stays at a loss of {ours[step.index].loss:.0f}")
        report("ours", step, ours[step.index])
    their_s, our_s = (sum(outcome.seconds for outcome in side.values()) for side in (protocol, ours))
    print(f"to the same loss: protocol {their_s:.1f} s, ours {our_s:.1f} s: {our_s / their_s:.3f} of its time")


def read_steps(clip: Path, frames: str, width_px: int, settings: Flow) -> Iterator[Step]:
    """The frames, each but the first with its motion since the last one."""
    motion = live_motion(settings)
    read = list(read_frames(clip, parse_frames(frames), width_px))
    for index, frame in enumerate(read):
        motions = {index - 1: motion(index, frame, index - 1, read[index - 1])} if index else {}
        yield Step(index, frame, 0, motions)


def follow_protocol(judge: Painter, step: Step, before: Mapping[int, Outcome]) -> Outcome:
    """Paint a frame as the paper does, near the last one ``before`` it."""
    near = neighbours(step, before)
    loss = frame_loss(judge, step, near)
    mean, shape = judge.network.mean.cpu(), to_tensor(step.frame)[None].shape
    first = mean + NOISE * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    start = near[0].warped * 255 if near else first
    began = time.perf_counter()
    image, reached, iterations = descend(
        lambda levels: loss(levels / 255), start.to(judge.device), NEXT_ITERATIONS if near else FIRST_ITERATIONS
    )
    seconds = time.perf_counter() - began
    return Outcome((image / 255).clamp(0, 1)[0].cpu(), reached, iterations, seconds)


def descend(loss: Loss, start: Tensor, iterations: int) -> tuple[Tensor, float, int]:
    """Minimise with L-BFGS, a step of 1 and no line search; the last image, its loss and the number of iterations."""
    image = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([image], max_iter=1, history_size=HISTORY, tolerance_grad=0, tolerance_change=0)

    def evaluate() -> Tensor:
        optimiser.zero_grad()
        value = loss(image)
        value.backward()  # type: ignore[no-untyped-call]
        return value.detach()

    losses: list[float] = []
    while len(losses) < iterations:
        losses.append(float(optimiser.step(evaluate)))  # type: ignore[no-untyped-call]
        if len(losses) > WINDOW and abs(losses[-1 - WINDOW] - losses[-1]) < RELATIVE_CHANGE * losses[-1 - WINDOW]:
            break
    with torch.no_grad():
        return image.detach(), float(loss(image)), len(losses)


def paint(painter: Painter, judge: Painter, step: Step, before: Mapping[int, Outcome]) -> Outcome:
    """Paint a frame as the stage ``stylize`` does, near the last one ``before`` it."""
    began = time.perf_counter()
    painted = paint_step(painter, step, {index: before[index].image for index in step.motions}, lambda _: [1.0])
    seconds = time.perf_counter() - began
    with torch.no_grad():
        loss = float(frame_loss(judge, step, neighbours(step, before))(painted.image[None].to(judge.device)))
    return Outcome(painted.image, loss, painted.iterations, seconds)


def frame_loss(judge: Painter, step: Step, near: list[Neighbour]) -> Loss:
    """What a frame is judged by, in the precision of the network of ``judge``."""
    settings = judge.settings
    content = judge.content_taps(to_tensor(step.frame))
    near = [Neighbour(each.warped.to(judge.device), each.reliability.to(judge.device)) for each in near]

    def loss(image: Tensor) -> Tensor:
        seen = taps_and_grams(judge.network, image, settings.content_layers, settings.style_layers, TILE_AREA_PX)
        return frame_losses(image, *seen, content, judge.grams[0], near).total(settings)

    return loss


def neighbours(step: Step, before: Mapping[int, Outcome]) -> list[Neighbour]:
    """The last frame, carried along the flow; none for the first frame."""
    return [
        Neighbour(
            warp(before[index].image, torch.from_numpy(flow), fill=(0, 0, 0))[0][None], torch.from_numpy(reliable)
        )
        for index, (flow, reliable) in step.motions.items()
    ]


def with_budget(painter: Painter, budget: int) -> Painter:
    """The same, with another number of steps, all of which it takes."""
    other = copy.copy(painter)
    other.settings = replace(
        painter.settings, first_frame_iterations=budget, next_frame_iterations=budget, stop_relative_change=0.0
    )
    return other


def report(side: str, step: Step, outcome: Outcome) -> None:
    """Print a line."""
    print(
        f"frame {step.index}  {side:8}  {outcome.steps:4} steps  loss {outcome.loss:9.0f}  {outcome.seconds:6.1f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
