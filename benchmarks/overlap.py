"""What a clip costs beside painting its frames: reading, optical flow and writing, which run beside the painting.

    python -m benchmarks.overlap --clip data/clips/street.mp4 --style data/styles/expressionist.png --width 256

Paints the same frames twice in one run: from frames and flow that are there already, with nothing written but the
finished frames, and as ``paint video`` does, from a file to a file. Prints both times and their ratio.
"""

import tempfile
import time
from pathlib import Path

import torch

from benchmarks.jobs import job_parser, parsed_job
from pipeline.cli import CRF
from pipeline.encoding import write_video
from pipeline.motion import Field, Frame, live_motion
from pipeline.painting.clip import paint_clip
from pipeline.painting.work import Work
from pipeline.video import probe


def main() -> None:
    """Compare the two."""
    # Each frame takes all its steps, so that both runs take as many.
    work = parsed_job(job_parser(__doc__, "0:12").parse_args(), stop_relative_change=0.0)
    height, width = work.painter.size
    print(f"{work.count} frames of {width} x {height} pixels, {torch.get_num_threads()} threads", flush=True)
    frames = list(work.read())
    known = motions(frames, work)

    def motion(index: int, frame: Frame, other_index: int, other: Frame) -> tuple[Field, Field]:
        return known[index, other_index]

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        numbers = range(work.count)
        began = time.perf_counter()
        painted = paint_clip(
            work.painter, frames, motion, folder / "a", weights=lambda index: [1.0], numbers=numbers, name="frames"
        )
        for _ in painted:
            pass
        alone_s = time.perf_counter() - began

        began = time.perf_counter()
        whole = (frame for frame, _ in work.paint(folder / "b", "clip"))
        write_video(folder / "painted.mp4", whole, probe(work.clip).frame_rate, CRF)
        whole_s = time.perf_counter() - began
    print(f"painting {alone_s:.1f} s, from file to file {whole_s:.1f} s: {whole_s / alone_s:.3f} of it")


def motions(frames: list[Frame], work: Work) -> dict[tuple[int, int], tuple[Field, Field]]:
    """The motion between all the pairs of frames that are tied to each other."""
    live = live_motion(work.flow)
    pairs = [(i, i - k) for i in range(len(frames)) for k in work.settings.temporal_intervals if i >= k]
    return {(i, j): live(i, frames[i], j, frames[j]) for i, j in pairs}


if __name__ == "__main__":
    main()
