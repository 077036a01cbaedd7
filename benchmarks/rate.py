"""Frames a second of ``paint video --fast``, from file to file, and where the time goes.

    python -m benchmarks.rate --clip clip.mp4 --network data/models/fast.safetensors

Prints the milliseconds of processor that a frame takes to be decoded, painted and encoded, each alone and in one thread
but for x264's own; then all of it at the same time, as the command does: frames a second of the whole clip, the median
and the 95th percentile of the milliseconds that painting a frame takes meanwhile, and the peak of the memory. Loading
the network does not count.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from benchmarks.step import timed
from pipeline.cli import CRF
from pipeline.encoding import write_video
from pipeline.fast.clip import AT_ONCE, PRESET, FastClip
from pipeline.fast.painter import FastPainter, Paint
from pipeline.fast.runtime import load_fast_painter
from pipeline.motion import Frame
from pipeline.video import WHOLE, probe, read_frames, read_times

ALONE = slice(0, 50)
Result = TypeVar("Result")


def main() -> None:
    """Time the parts, and all of them together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, default=Path("data/clips/street.mp4"))
    parser.add_argument("--network", type=Path, default=Path("data/models/fast.safetensors"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch")
    arguments = parser.parse_args()
    quickest, seconds_each = load_fast_painter(arguments.network, AT_ONCE), list[float]()

    def timed_fold(weights: Tensor) -> Paint:
        paint = quickest.fold(weights)

        def timed_paint(frame: Frame) -> Frame:
            began = time.perf_counter()
            painted = paint(frame)
            seconds_each.append(time.perf_counter() - began)
            return painted

        return timed_paint

    painter = FastPainter(quickest.names, timed_fold)
    info = probe(arguments.clip)
    size, runtime = f"{info.width_px} x {info.height_px} pixels", quickest.fold.__qualname__
    print(f"{size}, {runtime}, {arguments.threads} threads of torch")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "painted.mp4"
        count = len(read_times(arguments.clip, ALONE)) - 1
        frames = measured("decoded", count, lambda: list(read_frames(arguments.clip, ALONE)))
        painter.paint(frames[0])
        painted = measured("painted", count, lambda: [painter.paint(frame) for frame in frames])
        measured("encoded", count, lambda: write_video(output, painted, info.frame_rate, CRF, preset=PRESET))

        torch.set_num_threads(arguments.threads)
        seconds_each.clear()
        work = FastClip(clip=arguments.clip, styles=painter.names[:1], mixtures=((1,), (1,)), frames=WHOLE)
        seconds = timed(lambda: work.write(painter, output, CRF))
    median, slow = 1e3 * np.percentile(seconds_each, (50, 95))
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"together  {len(seconds_each) / seconds:5.1f} frames/s, painting {median:.1f} ms, 95% within {slow:.1f} ms")
    print(f"memory    {memory_mb:.0f} MB at most")


def measured(what: str, count: int, work: Callable[[], Result]) -> Result:
    """What ``work()`` returns; prints the processor time of each of ``count`` frames."""
    began = time.process_time()
    result = work()
    print(f"{what}   {1e3 * (time.process_time() - began) / count:5.1f} ms", flush=True)
    return result


if __name__ == "__main__":
    main()
