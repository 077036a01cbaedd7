"""Measure how steady the painted videos are, and what the steadiness cost in sharpness, content and style.

Reads for every job ``data/stylized/<job>.mp4`` and ``data/baseline/<job>.mp4``, the same frames each painted on its
own, with the clip, the style and the network; writes ``data/metrics/video.json`` and, by frame,
``data/plots/temporal.csv``. Everything is measured on the encoded videos, which are what people see.

    python -m pipeline.stages.measure
"""

import argparse
import statistics
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import torch

from pipeline.console import UserError, progress, run
from pipeline.device import pick_device
from pipeline.files import write_json
from pipeline.images import load_rgb
from pipeline.motion import optical_flow, reliability, warp
from pipeline.painting.clip import CUT_RELIABILITY, Frame
from pipeline.painting.frame import Painter, painting_network
from pipeline.params import Flow, Params, load_params
from pipeline.tables import write_table
from pipeline.tensors import to_tensor
from pipeline.video import probe, read_frames

WEIGHTS = Path("data/weights/vgg16.safetensors")
MODEL = Path("data/models/classifier.safetensors")
METRICS = Path("data/metrics/video.json")
BY_FRAME = Path("data/plots/temporal.csv")
KINDS = ("stylized", "baseline")
YARDSTICK = Flow(
    finest_scale=0,
    gradient_descent_iterations=50,
    variational_refinement_iterations=10,
    consistency_ratio=0.01,
    consistency_offset=0.5,
    boundary_ratio=0.01,
    boundary_offset=0.002,
)
"""The flow that videos are measured with does not change with the one that they are painted with."""

Frames = tuple[Frame, ...]
"""One moment of the clip, of the stylized video and of the baseline."""
Mean = float | None
"""None where no frame has the figure."""


@dataclass(frozen=True)
class Figures:
    """What is measured of one frame; errors compare it with the next frame, and with the one a long interval ahead.

    An error is None where there is no such frame, or where a cut lies between the two.
    """

    warping_error_short: float | None
    warping_error_long: float | None
    sharpness: float
    content_loss: float
    style_loss: float


def main(argv: Sequence[str]) -> None:
    """Measure every job of ``params.yaml``."""
    argparse.ArgumentParser(prog="measure", description=__doc__.splitlines()[0]).parse_args(argv)
    params = load_params()
    metrics: dict[str, dict[str, dict[str, Mean]]] = {}
    rows: list[dict[str, object]] = []
    for job in params.stylize.jobs:
        figures = list(measure_job(job, params))
        stylized, baseline = (mean_figures([frame[kind] for frame in figures]) for kind in KINDS)
        metrics[job] = {
            "stylized": stylized,
            "baseline": baseline,
            "ratio": {name: ratio(stylized[name], baseline[name]) for name in stylized},
        }
        for index, frame in enumerate(figures[:-1]):
            errors = {kind: frame[kind].warping_error_short for kind in KINDS}
            rows.append({"job": job, "frame": index, **errors})
    write_table(BY_FRAME, ("job", "frame", *KINDS), rows)
    write_json(METRICS, metrics)


def measure_job(name: str, params: Params) -> Iterator[dict[str, Figures]]:
    """The figures of one frame after another, for the stylized video and its baseline."""
    job = params.stylize.jobs[name]
    clip = Path(f"data/clips/{job.clip}.mp4")
    interval = params.measure.long_interval_frames
    info = probe(clip)
    device = pick_device()
    style = to_tensor(load_rgb(Path(f"data/styles/{job.style}.png")))
    painter = Painter(
        painting_network(WEIGHTS, MODEL, device),
        style,
        params.stylize,
        height_px=info.height_px,
        width_px=info.width_px,
        device=device,
    )
    videos = [clip, *(Path(f"data/{kind}/{name}.mp4") for kind in KINDS)]
    if any(probe(video).frame_count != info.frame_count for video in videos):
        raise UserError(f"the videos of job {name} are not as long as their clip; run `dvc repro -f stylize@{name}`")
    with progress(total=info.frame_count, unit="frame", description=f"measure {name}") as bar:
        for window in windows(zip(*map(read_frames, videos), strict=True), interval + 1):
            content, *painted = window[0]
            errors = {
                k: warping_errors(content, window[k][0], list(zip(painted, window[k][1:], strict=True)))
                for k in (1, interval)
                if k < len(window)
            }
            frames = {}
            for number, (kind, frame) in enumerate(zip(KINDS, painted, strict=True)):
                losses = painter.losses(to_tensor(frame), to_tensor(content))
                frames[kind] = Figures(
                    warping_error_short=errors[1][number] if 1 in errors else None,
                    warping_error_long=errors[interval][number] if interval in errors else None,
                    sharpness=sharpness(frame),
                    content_loss=float(losses.content),
                    style_loss=float(losses.style),
                )
            bar.update()
            yield frames


def windows(items: Iterable[Frames], length: int) -> Iterator[Sequence[Frames]]:
    """Each item with those that follow, ``length`` in all, fewer at the end."""
    window: deque[Frames] = deque(maxlen=length)
    for item in items:
        window.append(item)
        if len(window) == length:
            yield window
    if len(window) == length:
        window.popleft()
    while window:
        yield window
        window.popleft()


def warping_errors(first: Frame, second: Frame, painted: Sequence[tuple[Frame, Frame]]) -> list[float | None]:
    """Warping error of each pair of ``painted`` frames under the motion from ``first`` to ``second``, unpainted.

    The mean, over channels and the pixels that both frames show, of the squared difference between a frame and the
    later one warped back to it, in [0, 1] (Lai 2018, "Learning Blind Video Temporal Consistency", E_warp; their
    sum over channels is three times as large). None across a cut, where painting begins anew.
    """
    there, back = optical_flow(first, second, YARDSTICK), optical_flow(second, first, YARDSTICK)
    reliable = reliability(back, there, YARDSTICK)
    if reliable.mean() < CUT_RELIABILITY:
        return [None] * len(painted)
    shown = torch.from_numpy(reliable >= 0.5)
    errors: list[float | None] = []
    for earlier, later in painted:
        warped, _ = warp(to_tensor(later), torch.from_numpy(there), fill=(0, 0, 0))
        errors.append(float((to_tensor(earlier) - warped).square().mean(dim=0)[shown].mean()))
    return errors


def sharpness(frame: Frame) -> float:
    """Mean magnitude of the luminance gradient, in levels of 255 per pixel."""
    along_y, along_x = np.gradient(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32))
    return float(np.hypot(along_x, along_y).mean())


def mean_figures(frames: Sequence[Figures]) -> dict[str, Mean]:
    """The mean of each figure over the frames that have it."""
    columns = {field.name: [asdict(frame)[field.name] for frame in frames] for field in fields(Figures)}
    known = {name: [value for value in values if value is not None] for name, values in columns.items()}
    return {name: statistics.fmean(values) if values else None for name, values in known.items()}


def ratio(stylized: Mean, baseline: Mean) -> Mean:
    """None where there is nothing to compare, or nothing to divide by: a still clip has no error."""
    return stylized / baseline if stylized is not None and baseline else None


if __name__ == "__main__":
    run(main)
