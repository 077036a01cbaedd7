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
from dataclasses import replace
from pathlib import Path

from pipeline.console import run
from pipeline.device import pick_device
from pipeline.encoding import Sound, write_video
from pipeline.files import write_json
from pipeline.images import load_rgb
from pipeline.motion import Frame, open_flows, stored_motion
from pipeline.painting.clip import FrameCost, blend, work_folder
from pipeline.painting.frame import Painter, painting_network
from pipeline.painting.passes import paint_frames
from pipeline.params import load_params
from pipeline.tensors import to_tensor
from pipeline.video import probe, read_frames

WEIGHTS = Path("data/weights/vgg16.safetensors")
MODEL = Path("data/models/classifier.safetensors")
WORK = Path("data/work")
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
    model = None if arguments.plain else MODEL
    clip = Path(f"data/clips/{job.clip}.mp4")
    styles = [Path(f"data/mixes/{name}/{style}.png") for style in job.style_names()]
    flow = Path(f"data/flow/{job.clip}")
    flow_files = [] if arguments.alone else sorted(flow.glob("*/*.npy"))
    inputs = [clip, *styles, WEIGHTS, *([model] if model else []), *flow_files]
    info = probe(clip)
    device = pick_device()
    painter = Painter(
        painting_network(WEIGHTS, model, device),
        [to_tensor(load_rgb(style)) for style in styles],
        settings,
        first=to_tensor(next(read_frames(clip))),
        device=device,
    )
    folder = work_folder(WORK / f"{kind}-{name}", inputs, replace(settings, jobs={}), params.flow, job)
    motion = None if arguments.alone else stored_motion(open_flows(flow, settings.temporal_intervals), params.flow)
    costs: list[FrameCost] = []

    def painted() -> Iterator[Frame]:
        for frame, cost in paint_frames(
            painter,
            read_frames(clip),
            motion,
            folder,
            weights=blend(*job.weights(), info.frame_count or 1),
            total=info.frame_count,
            name=name,
        ):
            costs.append(cost)
            yield frame

    write_video(Path(f"data/{kind}/{arguments.job}.mp4"), painted(), info.frame_rate, crf=CRF, sound=Sound(clip))
    summary = {
        "frames": len(costs),
        "iterations": sum(cost.iterations for cost in costs),
        "seconds": round(sum(cost.seconds for cost in costs), 1),
    }
    write_json(Path(f"data/metrics/{kind}/{arguments.job}.json"), summary)
    shutil.rmtree(folder.parent)  # with frames that other settings left


if __name__ == "__main__":
    run(main)
