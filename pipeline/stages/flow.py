"""Compute the optical flow of a clip in both directions, and how far it can be relied on.

Reads ``data/clips/<clip>.mp4``; writes ``data/flow/<clip>/``: ``forward.npy``, ``backward.npy``, ``reliability.npy``
(see :class:`pipeline.motion.ClipFlow`).

    python -m pipeline.stages.flow street
"""

import argparse
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise, repeat
from pathlib import Path

import numpy as np

from pipeline.console import UserError, progress, run
from pipeline.files import replacing_folder
from pipeline.motion import ClipFlow, optical_flow, reliability
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
    pairs = (info.frame_count or 1) - 1

    share = 0.0
    with (
        replacing_folder(FLOW / name) as folder,
        progress(total=pairs, unit="pair", description=f"flow {name}") as bar,
        ThreadPoolExecutor(max_workers=2) as pool,  # DIS alone keeps two cores only two thirds busy
    ):
        flow = ClipFlow.create(folder, pairs, info.height_px, info.width_px)
        for i, (first, second) in enumerate(pairwise(read_frames(clip))):
            forward, backward = pool.map(optical_flow, (first, second), (second, first), repeat(settings))
            reliable = reliability(forward, backward, settings)
            flow.forwards[i], flow.backwards[i] = forward, backward
            flow.reliabilities[i] = np.rint(reliable * 255)
            share += float(reliable.mean()) / pairs
            bar.update()
    log.info("%s: %d pairs of frames, %.1f%% of the pixels reliable", FLOW / name, pairs, 100 * share)


if __name__ == "__main__":
    run(main)
