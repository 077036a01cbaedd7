"""Paint the clip of every job with the small network, one pass a frame, to compare with what the optimiser paints.

Reads ``data/clips/<clip>.mp4`` and ``data/models/fast.safetensors``. Writes ``data/fast/<job>.mp4`` and
``data/metrics/fast.json``: the frames of each job, and the seconds that it took from file to file. A job with a style
that the network has not learnt is left out. Of the settings of ``stylize``, the network takes the strength alone;
colours are always those of the style.

    python -m pipeline.stages.fast
"""

import argparse
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from pipeline.console import run
from pipeline.device import pick_device
from pipeline.fast.clip import FastClip
from pipeline.fast.files import load_fast
from pipeline.fast.painter import torch_painter
from pipeline.files import replacing_folder, write_json
from pipeline.params import load_params

MODEL = Path("data/models/fast.safetensors")
VIDEOS = Path("data/fast")
METRICS = Path("data/metrics/fast.json")
CRF = 12
"""Fine enough that the encoder does not smooth away what is measured later, as of the other videos."""

log = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> None:
    """Paint every job of ``params.yaml`` whose styles the network has."""
    argparse.ArgumentParser(prog="fast", description=__doc__.splitlines()[0]).parse_args(argv)
    settings = load_params().stylize
    painter = torch_painter(load_fast(MODEL), pick_device())
    metrics: dict[str, dict[str, float]] = {}
    with replacing_folder(VIDEOS) as folder:
        for name, job in settings.jobs.items():
            unknown = [style for style in job.style_names() if style not in painter.names]
            if unknown:
                log.warning(
                    "%s is left out: %s has not learnt %s; add it to distill.styles", name, MODEL, ", ".join(unknown)
                )
                continue
            work = FastClip(
                clip=Path(f"data/clips/{job.clip}.mp4"),
                styles=tuple(job.style_names()),
                mixtures=job.weights(),
                frames=slice(0, None),
                strength=settings.strength,
            )
            started_s = time.perf_counter()
            frames = work.write(painter, folder / f"{name}.mp4", CRF)
            metrics[name] = {"frames": frames, "seconds": round(time.perf_counter() - started_s, 3)}
    write_json(METRICS, metrics)


if __name__ == "__main__":
    run(main)
