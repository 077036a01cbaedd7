"""How steady a clip is painted, beside the same frames each painted on its own.

    python -m benchmarks.quality --clip data/clips/street.mp4 --style data/styles/expressionist.png --width 256

Frames are measured as they were painted, before an encoder smooths what flickers. Prints for each ``--temporal-weight``
the warping errors to the next frame and over ten, sharpness, and the losses under the network that painted, each as a
share of that of the frames on their own, and the seconds a frame. ``--sheet`` shows some of the frames side by side:
ghosts behind what moves, drift to grey and creeping borders are for the eye.
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.jobs import job_parser, parsed_job
from pipeline.images import contact_sheet
from pipeline.installed import find_model
from pipeline.motion import Frame
from pipeline.painting.work import Work
from pipeline.params import default_params
from pipeline.steadiness import sharpness, warping_errors
from pipeline.tensors import to_tensor

LONG_INTERVAL = 10
FIGURES = ("short", "long", "sharpness", "style", "content")
SHOWN = 4
"""Frames on the sheet."""


def main() -> None:
    """Paint on its own and with each weight, and compare."""
    parser = job_parser(__doc__, "0:18")
    weight = default_params().stylize.temporal_weight
    parser.add_argument("--temporal-weight", type=float, nargs="+", default=[weight])
    parser.add_argument("--sheet", type=Path, help="a picture to write")
    arguments = parser.parse_args()
    alone = replace(parsed_job(arguments), model=find_model(), steady=False)
    frames = list(alone.read())
    height, width = frames[0].shape[:2]
    print(f"{len(frames)} frames of {width} x {height} pixels on {alone.painter.device}")
    print(" " * 16 + "".join(f"{name:>11}" for name in (*FIGURES, "seconds")))

    works = [alone] + [
        replace(alone, steady=True, settings=replace(alone.settings, temporal_weight=weight))
        for weight in arguments.temporal_weight
    ]
    names = ["on their own", *(f"weight {weight:g}" for weight in arguments.temporal_weight)]
    rows = [(frames, "clip")]
    reference = np.ones(len(FIGURES))
    for name, work in zip(names, works, strict=True):
        painted, seconds = paint(work, name)
        rows.append((painted, name))
        figures = measure(alone, frames, painted)
        show(name, figures / reference, seconds / len(frames))
        if work is alone:
            reference = figures
    if arguments.sheet:
        write_sheet(arguments.sheet, rows)


def paint(work: Work, name: str) -> tuple[list[Frame], float]:
    """The painted frames, and the seconds that they took."""
    _ = work.painter  # loaded outside the time
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        painted = [frame for frame, _ in work.paint(Path(folder), name)]
        return painted, time.perf_counter() - began


def measure(work: Work, frames: Sequence[Frame], painted: Sequence[Frame]) -> NDArray[np.float64]:
    """The mean of each of ``FIGURES``; NaN for an error over more frames than there are, or always across a cut."""
    errors = [
        [
            warping_errors(frames[i], frames[i + interval], [(painted[i], painted[i + interval])])[0]
            for i in range(len(frames) - interval)
        ]
        for interval in (1, LONG_INTERVAL)
    ]
    losses = [
        work.painter.losses(to_tensor(after), work.painter.content_taps(to_tensor(before)))
        for before, after in zip(frames, painted, strict=True)
    ]
    return np.array(
        [
            *(np.nanmean(np.array(each, float)) if each else np.nan for each in errors),
            np.mean([sharpness(frame) for frame in painted]),
            np.mean([float(loss.style) for loss in losses]),
            np.mean([float(loss.content) for loss in losses]),
        ]
    )


def show(name: str, figures: NDArray[np.float64], seconds: float) -> None:
    """A line."""
    print(f"{name:16}" + "".join(f"{value:11.4g}" for value in (*figures, seconds)), flush=True)


def write_sheet(path: Path, rows: Sequence[tuple[Sequence[Frame], str]]) -> None:
    """Some of the frames, in a row for each way to paint them."""
    count = len(rows[0][0])
    numbers = np.linspace(0, count - 1, min(SHOWN, count)).round().astype(int).tolist()
    tiles = [(Image.fromarray(frames[i]), f"{name}, frame {i}") for frames, name in rows for i in numbers]
    contact_sheet(tiles, len(numbers), max(rows[0][0][0].shape[:2])).save(path)


if __name__ == "__main__":
    main()
