"""Measure how steady the painted videos are, what that cost in sharpness, content and style, and what fine-tuning did.

Reads for every job ``data/stylized/<job>.mp4``, ``data/baseline/<job>.mp4``, the same frames each painted on its own,
``data/plain/<job>.mp4``, painted with plain VGG16, and ``data/fast/<job>.mp4`` if there is one, painted by the small
network; with them the clip, the style and both networks. Writes ``data/metrics/video.json`` and, by frame,
``data/plots/temporal.csv``. Everything is measured on the encoded videos, which are what people see.

    python -m pipeline.stages.measure
"""

import argparse
import statistics
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from torch import Tensor

from pipeline.console import UserError, progress, run
from pipeline.device import pick_device
from pipeline.files import write_json
from pipeline.images import load_rgb
from pipeline.motion import Frame
from pipeline.painting.clip import Weights, blend
from pipeline.painting.frame import Painter, painting_network
from pipeline.params import load_params
from pipeline.steadiness import sharpness, warping_errors
from pipeline.tables import write_table
from pipeline.tensors import to_tensor
from pipeline.video import probe, read_frames

WEIGHTS = Path("data/weights/vgg16.safetensors")
MODEL = Path("data/models/classifier.safetensors")
METRICS = Path("data/metrics/video.json")
BY_FRAME = Path("data/plots/temporal.csv")
KINDS = ("stylized", "baseline", "plain")
FAST = "fast"
"""A further kind, of jobs whose styles the small network has learnt."""
Frames = tuple[Frame, ...]
"""One moment of the clip and of its videos, in the order of their kinds."""
Mean = float | None
"""None where no frame has the figure."""


@dataclass(frozen=True)
class Figures:
    """What is measured of one frame; errors compare it with the next frame, and with the one a long interval ahead.

    An error is None where there is no such frame, or where a cut lies between the two. A loss measured with one network
    favours what was painted with it, so losses are measured with both: the fine-tuned one, and plain VGG16.
    """

    warping_error_short: float | None
    warping_error_long: float | None
    sharpness: float
    content_loss: float
    style_loss: float
    content_loss_plain: float
    style_loss_plain: float


def main(argv: Sequence[str]) -> None:
    """Measure every job of ``params.yaml``."""
    argparse.ArgumentParser(prog="measure", description=__doc__.splitlines()[0]).parse_args(argv)
    params = load_params()
    settings = replace(params.stylize, scales=1)  # the coarser ones are for painting
    device = pick_device()
    networks = [painting_network(WEIGHTS, model, device) for model in (MODEL, None)]
    metrics: dict[str, dict[str, Mapping[str, Mean]]] = {}
    rows: list[dict[str, object]] = []
    for name, job in params.stylize.jobs.items():
        clip = Path(f"data/clips/{job.clip}.mp4")
        styles = [to_tensor(load_rgb(Path(f"data/styles/{style}.png"))) for style in job.style_names()]
        first = to_tensor(next(read_frames(clip)))
        fine_tuned, plain = (Painter(network, styles, settings, first=first, device=device) for network in networks)
        weights = blend(*job.weights(), probe(clip).frame_count or 1)
        kinds = (*KINDS, FAST) if Path(f"data/{FAST}/{name}.mp4").exists() else KINDS
        interval = params.measure.long_interval_frames
        figures = list(measure_job(name, clip, kinds, (fine_tuned, plain), weights, interval))
        means = {kind: mean_figures([frame[kind] for frame in figures]) for kind in kinds}
        metrics[name] = {
            **means,
            "ratio": ratios(means["stylized"], means["baseline"]),
            "ratio_to_plain": ratios(means["stylized"], means["plain"]),
            "network_change": network_change(fine_tuned, plain, first),
        }
        if FAST in kinds:
            metrics[name]["ratio_fast"] = ratios(means[FAST], means["baseline"])
        for index, frame in enumerate(figures[:-1]):
            errors = {kind: frame[kind].warping_error_short for kind in kinds}
            rows.append({"job": name, "frame": index, **errors})
    write_table(BY_FRAME, ("job", "frame", *KINDS, FAST), rows)
    write_json(METRICS, metrics)


def measure_job(
    name: str,
    clip: Path,
    kinds: Sequence[str],
    painters: tuple[Painter, Painter],
    weights: Weights,
    interval: int,
) -> Iterator[dict[str, Figures]]:
    """The figures of one frame after another, for each of ``kinds`` of video.

    ``painters`` have the fine-tuned network and plain VGG16, ``weights`` are those of their styles; ``interval`` is the
    long one, in frames.
    """
    count = probe(clip).frame_count
    videos = [clip, *(Path(f"data/{kind}/{name}.mp4") for kind in kinds)]
    if any(probe(video).frame_count != count for video in videos):
        stages = " ".join(f"{stage}@{name}" for stage in ("stylize", "baseline", "plain"))
        raise UserError(f"the videos of job {name} are not as long as their clip; run `dvc repro -sf {stages} {FAST}`")
    with progress(total=count, unit="frame", description=f"measure {name}") as bar:
        moments = windows(zip(*map(read_frames, videos), strict=True), interval + 1)
        for index, window in enumerate(moments):
            content, *painted = window[0]
            errors = {
                k: warping_errors(content, window[k][0], list(zip(painted, window[k][1:], strict=True)))
                for k in (1, interval)
                if k < len(window)
            }
            targets = [painter.content_taps(to_tensor(content)) for painter in painters]
            frames = {}
            for number, (kind, frame) in enumerate(zip(kinds, painted, strict=True)):
                losses, losses_plain = (
                    painter.losses(to_tensor(frame), taps, weights(index))
                    for painter, taps in zip(painters, targets, strict=True)
                )
                frames[kind] = Figures(
                    warping_error_short=errors[1][number] if 1 in errors else None,
                    warping_error_long=errors[interval][number] if interval in errors else None,
                    sharpness=sharpness(frame),
                    content_loss=float(losses.content),
                    style_loss=float(losses.style),
                    content_loss_plain=float(losses_plain.content),
                    style_loss_plain=float(losses_plain.style),
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


def mean_figures(frames: Sequence[Figures]) -> dict[str, Mean]:
    """The mean of each figure over the frames that have it."""
    columns = {field.name: [asdict(frame)[field.name] for frame in frames] for field in fields(Figures)}
    known = {name: [value for value in values if value is not None] for name, values in columns.items()}
    return {name: statistics.fmean(values) if values else None for name, values in known.items()}


def ratios(figures: Mapping[str, Mean], reference: Mapping[str, Mean]) -> dict[str, Mean]:
    """Each figure over that of ``reference``.

    None where there is nothing to compare, or nothing to divide by: a still clip has no error.
    """
    return {
        name: value / divisor if value is not None and (divisor := reference[name]) else None
        for name, value in figures.items()
    }


def network_change(fine_tuned: Painter, plain: Painter, content: Tensor) -> dict[str, float]:
    """How far fine-tuning moved what painting looks at in block 5, the only one that it trains.

    ``|tuned - plain| / |plain|`` (Frobenius norms) by layer: of the Gram matrices of the first style, and of the
    activations of ``content``, a frame (3, H, W) of the clip.
    """
    looked_at = {
        "style": (fine_tuned.grams[0], plain.grams[0]),
        "content": (fine_tuned.content_taps(content), plain.content_taps(content)),
    }
    return {
        f"{purpose}_{layer}": float((tuned[layer].float() - taps[layer].float()).norm() / taps[layer].float().norm())
        for purpose, (tuned, taps) in looked_at.items()
        for layer in taps
        if layer.startswith("relu5")
    }


if __name__ == "__main__":
    run(main)
