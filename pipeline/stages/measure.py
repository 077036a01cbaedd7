"""Measure how steady the painted videos are, and what the steadiness cost in sharpness, content and style.

Reads for every job ``data/stylized/<job>.mp4`` and ``data/baseline/<job>.mp4``, the same frames each painted on its
own, with the clip, the style and the network; writes ``data/metrics/video.json`` and, by frame,
``data/plots/temporal.csv``. Everything is measured on the encoded videos, which are what people see.

    python -m pipeline.stages.measure
"""

import argparse
import json
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from pipeline.console import UserError, progress, run
from pipeline.device import pick_device
from pipeline.files import replacing
from pipeline.images import load_rgb, to_tensor
from pipeline.motion import optical_flow, reliability, warp
from pipeline.painting.clip import Frame, frame_to_tensor
from pipeline.painting.frame import Painter, painting_network
from pipeline.params import Flow, Params, load_params
from pipeline.tables import write_table
from pipeline.video import read_frames

WEIGHTS = Path("data/weights/vgg16.safetensors")
MODEL = Path("data/models/classifier.safetensors")
METRICS = Path("data/metrics/video.json")
BY_FRAME = Path("data/plots/temporal.csv")
KINDS = ("stylized", "baseline")


@dataclass(frozen=True)
class FrameFigures:
    """What is measured of one frame; errors compare it with the next frame, and with the one a long interval ahead."""

    warping_error_short: float | None
    warping_error_long: float | None
    sharpness: float
    content_loss: float
    style_loss: float


def main(argv: Sequence[str]) -> None:
    """Measure every job of ``params.yaml``."""
    argparse.ArgumentParser(prog="measure", description=__doc__.splitlines()[0]).parse_args(argv)
    params = load_params()
    metrics: dict[str, object] = {}
    rows: list[dict[str, object]] = []
    for job in params.stylize.jobs:
        figures = measure_job(job, params)
        means = {kind: mean_figures(frames) for kind, frames in figures.items()}
        ratios = {name: means["stylized"][name] / means["baseline"][name] for name in means["baseline"]}
        metrics[job] = {**means, "ratio": ratios}
        rows += [
            {"job": job, "video": kind, "frame": index, "warping_error": frame.warping_error_short}
            for kind, frames in figures.items()
            for index, frame in enumerate(frames[:-1])
        ]
    write_table(BY_FRAME, ("job", "video", "frame", "warping_error"), rows)
    with replacing(METRICS) as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n")


def measure_job(name: str, params: Params) -> dict[str, list[FrameFigures]]:
    """The figures of every frame, for the stylized video and its baseline."""
    job = params.stylize.jobs[name]
    clip = list(read_frames(Path(f"data/clips/{job.clip}.mp4")))
    interval = params.measure.long_interval_frames
    if len(clip) <= interval:
        raise UserError(
            f"clips.{job.clip} has {len(clip)} frames, too few to compare frames {interval} apart;"
            " take a longer part, or lower measure.long_interval_frames"
        )
    videos = {kind: list(read_frames(Path(f"data/{kind}/{name}.mp4"))) for kind in KINDS}
    if any(len(video) != len(clip) for video in videos.values()):
        raise UserError(f"the videos of job {name} are not as long as their clip; run `dvc repro -f stylize@{name}`")
    device = pick_device()
    height_px, width_px = clip[0].shape[:2]
    style = to_tensor(load_rgb(Path(f"data/styles/{job.style}.png")))
    network = painting_network(WEIGHTS, MODEL, device)
    painter = Painter(network, style, params.stylize, height_px=height_px, width_px=width_px, device=device)

    figures: dict[str, list[FrameFigures]] = defaultdict(list)
    with progress(total=len(clip), unit="frame", description=f"measure {name}") as bar:
        for i, content in enumerate(clip):
            errors = {
                k: warping_errors(content, clip[i + k], [(v[i], v[i + k]) for v in videos.values()], params.flow)
                for k in (1, interval)
                if i + k < len(clip)
            }
            for number, (kind, video) in enumerate(videos.items()):
                losses = painter.losses(frame_to_tensor(video[i]), frame_to_tensor(content))
                figures[kind].append(
                    FrameFigures(
                        warping_error_short=errors[1][number] if 1 in errors else None,
                        warping_error_long=errors[interval][number] if interval in errors else None,
                        sharpness=sharpness(video[i]),
                        content_loss=float(losses.content),
                        style_loss=float(losses.style),
                    )
                )
            bar.update()
    return figures


def warping_errors(first: Frame, second: Frame, painted: Sequence[tuple[Frame, Frame]], settings: Flow) -> list[float]:
    """Warping error of each pair of ``painted`` frames under the motion from ``first`` to ``second``, unpainted.

    The mean, over channels and the pixels that both frames show, of the squared difference between a frame and the
    next one warped back to it, in [0, 1] (Lai 2018, "Learning Blind Video Temporal Consistency", E_warp; their
    sum over channels is three times as large).
    """
    there, back = optical_flow(first, second, settings), optical_flow(second, first, settings)
    shown = torch.from_numpy(reliability(back, there, settings) >= 0.5)
    if not shown.any():
        raise UserError("two frames of a clip share nothing to compare; does it contain a cut? Choose other frames")
    errors = []
    for earlier, later in painted:
        warped, _ = warp(frame_to_tensor(later), torch.from_numpy(there), fill=(0, 0, 0))
        errors.append(float((frame_to_tensor(earlier) - warped).square().mean(dim=0)[shown].mean()))
    return errors


def sharpness(frame: Frame) -> float:
    """Mean magnitude of the luminance gradient, in levels of 255 per pixel."""
    along_y, along_x = np.gradient(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32))
    return float(np.hypot(along_x, along_y).mean())


def mean_figures(frames: Sequence[FrameFigures]) -> dict[str, float]:
    """The mean of each figure over the frames that have it."""
    values = [asdict(frame) for frame in frames]
    return {name: statistics.fmean(row[name] for row in values if row[name] is not None) for name in values[0]}


if __name__ == "__main__":
    run(main)
