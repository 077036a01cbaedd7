"""Gather what a run has made on one page for a browser, and sum it up in Markdown.

Reads the metrics, plots and tables of the other stages, ``data/index/manifest.jsonl``, the contact sheets, and for
every job the clip, the style and its videos. Writes ``data/report/``, whole or not at all: ``index.html`` and what it
shows, copied to ``media/``, so that the folder can be sent as it is; and ``report.md``, which fits a pull request.

    python -m pipeline.stages.report
"""

import argparse
import json
import logging
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from pipeline.charts import Chart, line_chart
from pipeline.console import UserError, run
from pipeline.files import replacing_folder
from pipeline.manifest import load_manifest
from pipeline.params import Job, load_params
from pipeline.rendering import render
from pipeline.tables import read_table
from pipeline.video import VideoInfo, probe, read_frames
from scrapers.items import LABELS, Work

REPORT = Path("data/report")
MANIFEST = Path("data/index/manifest.jsonl")
ACCEPTED = Path("data/prepare/accepted.csv")
METHODS = Path("data/evaluate/methods.csv")
PER_SOURCE = Path("data/evaluate/per_source.csv")
WORST = Path("data/evaluate/worst.csv")
METRICS = Path("data/metrics")
PLOTS = Path("data/plots")
SHEETS = {name: Path(f"data/sheets/{name}.jpg") for name in (*LABELS, "imitations", "worst")}
KINDS = ("stylized", "baseline", "plain")
FAST = "fast"
"""A further kind, of jobs whose styles the small network has learnt."""
FIGURES = {
    "warping_error_short": "Short-term warping error",
    "warping_error_long": "Long-term warping error",
    "sharpness": "Sharpness",
    "content_loss": "Content loss",
    "style_loss": "Style loss",
    "content_loss_plain": "Content loss by plain VGG16",
    "style_loss_plain": "Style loss by plain VGG16",
}
"""What is measured of a video; of sharpness more is better, of all else less."""
NOTABLE_DIFFERENCE = 0.05
"""Between two videos, as a share of the second one's figure."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Video:
    """A job: where its files are in the report, what was measured and what it cost."""

    name: str
    job: Job
    info: VideoInfo
    clip: str
    painted: Mapping[str, str]
    stills: Mapping[str, str]
    """The middle of one frame of ``painted``."""
    styles: Mapping[str, str]
    """Name: picture."""
    figures: Mapping[str, Mapping[str, float | None]]
    comparison: str
    """Of the two networks, in one sentence."""
    costs: Mapping[str, Mapping[str, float]]
    temporal: Chart


def main(argv: Sequence[str]) -> None:
    """Write the report."""
    argparse.ArgumentParser(prog="report", description=__doc__.splitlines()[0]).parse_args(argv)
    params = load_params()
    with replacing_folder(REPORT) as folder:
        media = folder / "media"
        media.mkdir()
        works = find_works()
        contents = {
            "snapshot": params.crawl.snapshot,
            "videos": [read_video(name, job, media) for name, job in params.stylize.jobs.items()],
            "figure_titles": FIGURES,
            "long_interval_frames": params.measure.long_interval_frames,
            "labels": LABELS,
            "sheets": {name: copy(path, media) for name, path in SHEETS.items() if path.exists()},
            "licences": count_licences(works.values()),
            "mistakes": find_mistakes(works),
            "methods": read_table(METHODS),
            "per_source": read_table(PER_SOURCE),
            "confusion": Counter((row["actual"], row["predicted"]) for row in read_table(PLOTS / "confusion.csv")),
            **{name: read_figures(METRICS / f"{name}.json") for name in ("fetch", "prepare", "finetune", "classifier")},
            **classifier_charts(),
        }
        for template, name in (("report.html", "index.html"), ("report.md", "report.md")):
            (folder / name).write_text(render(template, contents), encoding="utf-8")
    log.info("open %s", (REPORT / "index.html").resolve().as_uri())


def copy(path: Path, media: Path) -> str:
    """Copy a file into the report, and return its address there."""
    name = f"{path.parent.name}-{path.name}"
    try:
        shutil.copyfile(path, media / name)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; `dvc repro` makes it") from None
    return f"{media.name}/{name}"


def copy_still(video: Path, frame: int, media: Path) -> str:
    """Put the middle of a frame, half its width and height, into the report, and return its address there."""
    pixels = next(read_frames(video, slice(frame, frame + 1)))
    top, left = (side // 4 for side in pixels.shape[:2])
    name = f"{video.parent.name}-{video.stem}.png"
    Image.fromarray(pixels[top:-top, left:-left]).save(media / name)
    return f"{media.name}/{name}"


class Figures(dict[str, Any]):
    """An object of a metrics file; raises :class:`UserError` for a key that it lacks."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self._path = path

    def __missing__(self, key: str) -> Any:
        raise UserError(f"{self._path} says nothing of {key}; delete it, and `dvc repro` makes it anew")


def read_figures(path: Path) -> Figures:
    """The contents of a metrics file."""
    try:
        contents = json.loads(path.read_text(encoding="utf-8"), object_hook=partial(Figures, path))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; `dvc repro` makes it") from None
    except ValueError:
        raise UserError(f"{path} is not JSON; delete it, and `dvc repro` makes it anew") from None
    return contents if isinstance(contents, Figures) else Figures(path, {})


def read_video(name: str, job: Job, media: Path) -> Video:
    """All there is to say about one job; its files are copied."""
    measured = read_figures(METRICS / "video.json").get(name)
    rows = [row for row in read_table(PLOTS / "temporal.csv") if row["job"] == name]
    if not measured or not rows:
        raise UserError(f"{METRICS / 'video.json'} says nothing of job {name}; run `dvc repro measure`")

    def errors(kind: str) -> list[tuple[float, float | None]]:
        return [(int(row["frame"]) + 1, float(row[kind]) if row[kind] else None) for row in rows]

    clip = Path(f"data/clips/{job.clip}.mp4")
    painted = {kind: Path(f"data/{kind}/{name}.mp4") for kind in KINDS}
    costs = {kind: read_figures(METRICS / kind / f"{name}.json") for kind in KINDS}
    fast = Path(f"data/{FAST}/{name}.mp4")
    if fast.exists():
        painted[FAST], costs[FAST] = fast, read_figures(METRICS / f"{FAST}.json")[name]
    middle = costs["stylized"]["frames"] // 2
    return Video(
        name=name,
        job=job,
        clip=copy(clip, media),
        painted={kind: copy(path, media) for kind, path in painted.items()},
        stills={kind: copy_still(painted[kind], middle, media) for kind in ("stylized", "plain")},
        styles={style: copy(Path(f"data/styles/{style}.png"), media) for style in job.style_names()},
        info=probe(clip),
        figures=measured,
        comparison=compare(measured["ratio_to_plain"]),
        costs=costs,
        temporal=line_chart(
            {"painted" if kind == "stylized" else kind: errors(kind) for kind in painted},
            x_label="frame",
            y_label="warping error to the next frame",
            y_shows=[0],
        ),
    )


def compare(ratios: Mapping[str, float | None]) -> str:
    """One sentence: which figures of the fine-tuned network over those of plain VGG16 differ, and in whose favour."""
    favoured: dict[str, list[str]] = {"the fine-tuned network": [], "plain VGG16": []}
    for key, title in FIGURES.items():
        ratio = ratios[key]
        if ratio is not None and abs(ratio - 1) > NOTABLE_DIFFERENCE:
            is_better = (ratio > 1) == (key == "sharpness")
            network = "the fine-tuned network" if is_better else "plain VGG16"
            favoured[network].append(f"{title[0].lower()}{title[1:]} {ratio - 1:+.1%}")
    parts = "; ".join(f"in favour of {network}: {', '.join(found)}" for network, found in favoured.items() if found)
    limit = f"{NOTABLE_DIFFERENCE:.0%}"
    return f"More than {limit} apart, {parts}." if parts else f"No figure differs by more than {limit}."


def find_works() -> dict[str, Work]:
    """What the manifest says of each accepted image, by the image's path."""
    accepted = read_table(ACCEPTED)
    works = {work.key: work for work in load_manifest(MANIFEST)}
    try:
        return {row["path"]: works[row["source"], row["label"], row["id"]] for row in accepted}
    except KeyError:
        raise UserError(f"{ACCEPTED} has an image that {MANIFEST} does not; run `dvc repro`") from None


def count_licences(works: Iterable[Work]) -> list[dict[str, object]]:
    """How many works, and of how many creators, each source gave under each licence."""
    creators: dict[tuple[str, str], list[str]] = {}
    for work in works:
        creators.setdefault((work.source, work.licence), []).append(work.creator)
    return [
        {"source": source, "licence": licence, "works": len(names), "creators": len(set(names))}
        for (source, licence), names in sorted(creators.items())
    ]


def find_mistakes(works: Mapping[str, Work]) -> list[tuple[Work, float]]:
    """What the classifier got wrong on the sheet, with the probability of a painting, the worst first."""
    painting, _ = LABELS
    mistakes = []
    for row in read_table(WORST):
        probability = float(row["probability"])
        is_wrong = (probability >= 0.5) != (row["label"] == painting)
        if is_wrong and row["path"] in works:
            mistakes.append((works[row["path"]], probability))
    return sorted(mistakes, key=lambda mistake: (-abs(mistake[1] - 0.5), mistake[0].key))


def classifier_charts() -> dict[str, Chart]:
    """How the training went, and how far the classifier's probabilities can be believed."""
    epochs = read_table(PLOTS / "training.csv")
    bins = [row for row in read_table(PLOTS / "calibration.csv") if int(row["images"])]

    def curve(column: str) -> list[tuple[float, float]]:
        return [(float(row["epoch"]), float(row[column])) for row in epochs]

    reliability: dict[str, list[tuple[float, float]]] = {"random split": [], "ideal": [(0, 0), (1, 1)]}
    for row in bins:
        point = float(row["mean_probability"]), float(row["share_of_paintings"])
        reliability.setdefault(row["protocol"], []).append(point)
    return {
        "loss": line_chart(
            {"training": curve("train_loss"), "validation": curve("validation_loss")},
            x_label="epoch",
            y_label="cross-entropy",
            y_shows=[0],
        ),
        "accuracy": line_chart(
            {"validation": curve("validation_accuracy")}, x_label="epoch", y_label="accuracy", y_shows=[0.5, 1]
        ),
        "reliability": line_chart(
            reliability,
            x_label="probability that was given",
            y_label="share of paintings",
            y_shows=[0, 1],
        ),
    }


if __name__ == "__main__":
    run(main)
