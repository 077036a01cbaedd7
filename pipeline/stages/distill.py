"""Train the small network that paints a frame in one pass, in several styles, by the losses of the fine-tuned VGG16.

Reads ``data/prepare/accepted.csv``, the photographs that it names (those of the training split are trained on, a few of
the validation split are samples), ``data/styles/``, ``data/weights/vgg16.safetensors`` and
``data/models/classifier.safetensors``. Writes ``data/models/fast.safetensors``, ``data/metrics/distill.json``,
``data/plots/distill.csv``, the samples in every style as ``data/sheets/distill.jpg``, and as they came to be in
``data/distill/``, where a run that was killed goes on after its last checkpoint.

With ``distill.start``, the network in that file learns the styles that it lacks, and keeps the others as they are; if
it lacks none, all of it is trained further.

    python -m pipeline.stages.distill
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import pytorch_lightning as pl

from pipeline.console import UserError, run
from pipeline.device import pick_device
from pipeline.fast.files import load_fast, save_fast
from pipeline.fast.judge import Judge
from pipeline.fast.network import FastNetwork, Widths, constrain, relax
from pipeline.fast.pairs import Pairs
from pipeline.fast.photographs import find_photographs, show
from pipeline.fast.training import CURVE_COLUMNS, Run, distill, fingerprint, write_sheet
from pipeline.files import write_json
from pipeline.images import load_rgb
from pipeline.painting.frame import painting_network
from pipeline.parallel import Share
from pipeline.params import Distill, load_params
from pipeline.tables import write_table
from pipeline.tensors import to_tensor

ACCEPTED = Path("data/prepare/accepted.csv")
STYLES = Path("data/styles")
WEIGHTS = Path("data/weights/vgg16.safetensors")
CLASSIFIER = Path("data/models/classifier.safetensors")
FOLDER = Path("data/distill")
MODEL = Path("data/models/fast.safetensors")
METRICS = Path("data/metrics/distill.json")
CURVE = Path("data/plots/distill.csv")
SHEET = Path("data/sheets/distill.jpg")
SAMPLES = 4

log = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> None:
    """Train, or go on with a training that was stopped."""
    argparse.ArgumentParser(prog="distill", description=__doc__.splitlines()[0]).parse_args(argv)
    params = load_params()
    settings = params.distill
    share = Share.of(params.machine)
    share.check(settings.batch_size, "distill.batch_size")
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    pl.seed_everything(settings.seed, workers=True, verbose=False)
    photographs, samples = (find_photographs(ACCEPTED, split) for split in ("train", "validation"))
    network, trained = prepare_network(settings)
    styles = [STYLES / f"{name}.png" for name in trained]
    device = pick_device()
    judge = Judge(
        painting_network(WEIGHTS, CLASSIFIER, device), [to_tensor(load_rgb(path)) for path in styles], settings, device
    )
    started_from = [Path(settings.start)] if settings.start else []
    files = [WEIGHTS, CLASSIFIER, *started_from, *styles, *photographs, *samples]
    training = Run(
        folder=FOLDER, samples=show(samples, SAMPLES, settings.side_px), fingerprint=fingerprint(settings, files)
    )
    log.info("%d photographs, %d styles to learn", len(photographs), len(trained))
    pairs = Pairs(photographs, len(trained), settings.side_px, settings.seed)
    curve = distill(network, judge, pairs, training, settings, share)

    relax(network)
    save_fast(MODEL, network)
    write_sheet(SHEET, load_fast(MODEL), training.samples)
    write_table(CURVE, CURVE_COLUMNS, curve)
    figures = {name: round(curve[-1][name], 6) for name in CURVE_COLUMNS[1:-1]}
    write_json(
        METRICS,
        {
            **figures,
            "styles": len(network.names),
            "steps": settings.steps,
            "multiply_adds_per_pixel": round(network.multiply_adds()),
            "bytes": MODEL.stat().st_size,
            "seconds": round(sum(row["seconds"] for row in curve), 1),
        },
    )
    training.last.unlink()
    log.info("%s paints in %s", MODEL, ", ".join(network.names))


def prepare_network(settings: Distill) -> tuple[FastNetwork, list[str]]:
    """The network to train, and the names of its last styles: those that are trained."""
    if settings.start is None:
        widths = Widths(fine=settings.fine_channels, coarse=settings.coarse_channels, blocks=settings.blocks)
        return constrain(FastNetwork(widths, settings.styles)), list(settings.styles)
    network = load_fast(Path(settings.start))
    new = [name for name in settings.styles if name not in network.names]
    if set(settings.styles) == set(network.names):
        return constrain(network.requires_grad_()), list(network.names)
    if not new:
        raise UserError(f"{settings.start} has all of distill.styles and more; name a further one, or all of them")
    for name in new:
        network.add_style(name)
    return network, new


if __name__ == "__main__":
    run(main)
