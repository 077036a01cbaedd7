"""What the benchmarks of painting paint: frames of a clip in the style of a picture."""

import argparse
from dataclasses import replace
from pathlib import Path

from pipeline.painting.work import Work
from pipeline.params import default_params
from pipeline.video import parse_frames

WEIGHTS = Path("data/weights/vgg16.safetensors")


def job_parser(description: str | None, frames: str) -> argparse.ArgumentParser:
    """Takes the clip, the style, the range of frames and their width."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, default=Path("data/clips/street.mp4"), help="a video or folder of frames")
    parser.add_argument("--style", type=Path, default=Path("data/styles/expressionist.png"), help="a picture")
    parser.add_argument("--frames", default=frames, help="first and end frame, without a cut between them")
    parser.add_argument("--width", type=int, default=256, help="of the frames, in pixels")
    return parser


def parsed_job(arguments: argparse.Namespace, **settings: float) -> Work:
    """What :func:`job_parser` took, to be painted by plain VGG16 as params.yaml says, but for ``settings``."""
    params, chosen = default_params(), parse_frames(arguments.frames)
    return Work(
        clip=arguments.clip,
        count=chosen.stop - chosen.start,
        styles=(arguments.style,),
        mixtures=((1.0,), (1.0,)),
        settings=replace(params.stylize, jobs={}, **settings),  # type: ignore[arg-type]
        flow=params.flow,
        weights=WEIGHTS,
        model=None,
        begin=chosen.start,
        width_px=arguments.width,
    )
