"""Paint one clip in a style, or a mixture of styles, with the network that was fine-tuned.

Reads ``data/clips/<clip>.mp4``, ``data/flow/<clip>/``, ``data/mixes/<job>/``, ``data/weights/vgg16.safetensors``
and ``data/models/classifier.safetensors``; writes ``data/stylized/<job>.mp4`` and ``data/metrics/stylized/<job>.json``.
To compare with, ``--alone`` paints every frame on its own (``data/baseline/<job>.mp4`` and
``data/metrics/baseline/<job>.json``), and ``--plain`` paints with plain VGG16, without the model
(``data/plain/<job>.mp4`` and ``data/metrics/plain/<job>.json``). A run that was stopped goes on at the first frame that
was not finished.

    python -m pipeline.stages.stylize street-expressionist
"""

import argparse
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.console import run
from pipeline.encoding import Sound, write_video
from pipeline.files import write_json
from pipeline.motion import Frame
from pipeline.painting.clip import FrameCost
from pipeline.painting.shots import find_shots, paint_shots
from pipeline.painting.work import Work
from pipeline.params import load_params
from pipeline.video import probe, read_times

WEIGHTS = Path("data/weights/vgg16.safetensors")
MODEL = Path("data/models/classifier.safetensors")
UNFINISHED = Path("data/work")
CRF = 12
"""Fine enough that the encoder does not smooth away what is measured later."""


def main(argv: Sequence[str]) -> None:
    """Paint the job that ``argv`` names."""
    parser = argparse.ArgumentParser(prog="stylize", description=__doc__.splitlines()[0])
    parser.add_argument("job", help="a name under stylize.jobs in params.yaml")
    variant = parser.add_mutually_exclusive_group()
    variant.add_argument("--alone", action="store_true", help="paint every frame on its own")
    variant.add_argument("--plain", action="store_true", help="paint with plain VGG16")
    arguments = parser.parse_args(argv)
    params = load_params()
    settings, name = params.stylize, arguments.job
    job = settings.job(name)

    kind = "baseline" if arguments.alone else "plain" if arguments.plain else "stylized"
    clip = Path(f"data/clips/{job.clip}.mp4")
    times_s = read_times(clip)
    work = Work(
        clip=clip,
        count=len(times_s) - 1,
        styles=tuple(Path(f"data/mixes/{name}/{style}.png") for style in job.style_names()),
        mixtures=job.weights(),
        settings=settings,
        flow=params.flow,
        weights=WEIGHTS,
        model=None if arguments.plain else MODEL,
        steady=not arguments.alone,
        stored_flow=Path(f"data/flow/{job.clip}"),
    )
    folder = work.folder(UNFINISHED / f"{kind}-{name}")
    if settings.workers > 1:
        paint_shots(work, folder, find_shots(work), settings.workers)
    costs: list[FrameCost] = []

    def painted() -> Iterator[Frame]:
        for frame, cost in work.paint(folder, name):
            costs.append(cost)
            yield frame

    output = Path(f"data/{kind}/{name}.mp4")
    write_video(output, painted(), probe(clip).frame_rate, CRF, Sound(clip, times_s[0]), times_s)
    summary = {
        "frames": len(costs),
        "iterations": sum(cost.iterations for cost in costs),
        "seconds": round(sum(cost.seconds for cost in costs), 1),
    }
    write_json(Path(f"data/metrics/{kind}/{name}.json"), summary)
    shutil.rmtree(folder.parent)  # with frames that other settings left


if __name__ == "__main__":
    run(main)
