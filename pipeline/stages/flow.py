"""Compute the optical flow of a clip in both directions, and how far it can be relied on.

Reads ``data/clips/<clip>.mp4``; writes ``data/flow/<clip>/<interval>/`` for frames so far apart: ``forward.npy``,
``backward.npy``, ``reliability.npy`` (see :class:`pipeline.motion.ClipFlow`).

    python -m pipeline.stages.flow street
"""

import argparse
import logging
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np

from pipeline.console import UserError, progress, run
from pipeline.files import replacing_folder
from pipeline.motion import ClipFlow, Frame, optical_flow, reliability
from pipeline.params import load_params
from pipeline.video import probe, read_frames

CLIPS = Path("data/clips")
FLOW = Path("data/flow")

log = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> None:
    """Compute the flow of the clip that ``argv`` names."""
    parser = argparse.ArgumentParser(prog="flow", description=__doc__.splitlines()[0])
    parser.add_argument("clip", help="of params.yaml")
    name = parser.parse_args(argv).clip
    params = load_params()
    if name not in params.clips:
        raise UserError(f"params.yaml has no clip {name!r}; it has {', '.join(params.clips)}")
    clip, settings = CLIPS / f"{name}.mp4", params.flow
    if not clip.is_file():
        raise UserError(f"{clip} is missing; `dvc repro clips@{name}` makes it")
    info = probe(clip)
    count = info.frame_count or 1
    pairs = {interval: max(0, count - interval) for interval in params.stylize.temporal_intervals}

    share = 0.0
    with (
        replacing_folder(FLOW / name) as folder,
        progress(total=sum(pairs.values()), unit="pair", description=f"flow {name}") as bar,
        ThreadPoolExecutor(max_workers=2) as pool,  # DIS alone keeps two cores only two thirds busy
    ):
        for interval in pairs:
            (folder / str(interval)).mkdir()
        flows = {k: ClipFlow.create(folder / str(k), pairs[k], info.height_px, info.width_px) for k in pairs}
        earlier: deque[Frame] = deque(maxlen=max(pairs))
        for index, frame in enumerate(read_frames(clip)):
            for interval, flow in flows.items():
                if interval > index:
                    break
                first, i = earlier[-interval], index - interval
                forward, backward = pool.map(optical_flow, (first, frame), (frame, first), repeat(settings))
                reliable = reliability(forward, backward, settings)
                flow.forwards[i], flow.backwards[i] = forward, backward
                flow.reliabilities[i] = np.rint(reliable * 255)
                if interval == 1:
                    share += float(reliable.mean()) / pairs[1]
                bar.update()
            earlier.append(frame)
    log.info("%s: %d pairs of frames, %.1f%% of the pixels reliable", FLOW / name, pairs[1], 100 * share)


if __name__ == "__main__":
    run(main)
