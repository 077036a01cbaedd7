"""``paint``: the work of the stages, for people with a photograph or a video at hand.

paint video holiday.mp4 --style scream.jpg --output holiday-scream.mp4
"""

import os

# Before torch is loaded: its threads would spin while they wait for each other, and keep from the cores what they wait
# for, wherever a browser, a decoder or an encoder runs beside them.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import json
import logging
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from PIL import Image

from pipeline.arguments import StrengthOption, WeightsOption, check_output, parse_weights
from pipeline.check import check_machine
from pipeline.classification import NEGATIVE, POSITIVE, classify, load_classifier
from pipeline.console import UserError, progress, run
from pipeline.encoding import Sound, write_video
from pipeline.fast.clip import AT_ONCE, FastClip
from pipeline.fast.runtime import load_fast_painter
from pipeline.files import replacing
from pipeline.images import PICTURE_SUFFIXES, load_unit, save_picture
from pipeline.installed import fetch_weights, find_fast, find_model, find_weights
from pipeline.live.command import stream_command
from pipeline.motion import Frame
from pipeline.painting.frame import load_painter, resize
from pipeline.painting.mask import load_mask, under_mask
from pipeline.painting.shots import find_shots, paint_shots
from pipeline.painting.work import Work
from pipeline.params import Colours, default_params
from pipeline.retraining.command import retrain_command
from pipeline.video import parse_frames, probe, read_times

OUTPUT_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")
CRF = 16
WIDTH_PX = 480
"""Where nobody asked for another, and the file is not smaller: minutes a frame would be a surprise."""

log = logging.getLogger(__name__)
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Paint videos and photographs in the style of a picture, and tell paintings from photographs.",
)

StylesOption = Annotated[
    list[Path], typer.Option("--style", help="The picture whose style is taken; once more for a mixture of styles.")
]
ColoursOption = Annotated[
    Colours,
    typer.Option(
        help="The colours of the style, the style's matched to the content's, or those of the content itself."
    ),
]
WidthOption = Annotated[
    int | None,
    typer.Option(
        min=64,
        help="Width of the result in pixels; the time grows with its square.",
        show_default=f"that of the file, at most {WIDTH_PX}",
    ),
]


@app.command("classify")
def classify_command(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Pictures, or folders of pictures.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")] = False,
) -> None:
    """Say of each picture whether it is a painting or a photograph, and how probable that is.

    In a project that has trained a model (`dvc repro finetune`) that one answers, elsewhere the one that was installed.
    Ends with status 1 if a picture could not be read.
    """
    network, crop_px = load_classifier(fetch_weights(), find_model())
    failed = 0
    for path, probability in classify(network, _pictures(paths), crop_px):
        if isinstance(probability, UserError):
            failed += 1
            answer: dict[str, object] = {"path": str(path), "error": str(probability)}
            line = f"{'unreadable':10}         {probability}"
        else:
            label, confidence = (POSITIVE, probability) if probability >= 0.5 else (NEGATIVE, 1 - probability)
            answer = {"path": str(path), "label": label, "probability": round(confidence, 4)}
            line = f"{label:10} {confidence:6.1%}  {path}"
        typer.echo(json.dumps(answer) if as_json else line)
    if failed:
        raise UserError(f"{failed} of the pictures could not be read")


@app.command("image")
def image_command(
    photo: Annotated[Path, typer.Argument(help="The photograph to paint.")],
    style: StylesOption,
    output: Annotated[Path, typer.Option(help=f"The painting: a file ending in {', '.join(OUTPUT_SUFFIXES)}.")],
    width: WidthOption = None,
    iterations: Annotated[int, typer.Option(min=1, help="Steps at most; more is closer to the style.")] = 300,
    weights: WeightsOption = None,
    strength: StrengthOption = 1.0,
    colours: ColoursOption = "style",
    mask: Annotated[
        Path | None, typer.Option(help="A picture: what is white in it is painted, what is black stays as it was.")
    ] = None,
) -> None:
    """Paint a photograph in the style of a picture, with 16 bits a channel as PNG or TIFF."""
    check_output(output, OUTPUT_SUFFIXES)
    mixture = parse_weights("--weights", weights, len(style))
    photograph = torch.from_numpy(load_unit(photo)).permute(2, 0, 1)
    width = width or min(WIDTH_PX, photograph.shape[2])
    height = max(1, round(photograph.shape[1] * width / photograph.shape[2]))
    pixels = resize(photograph, (height, width)).clamp(0, 1)
    settings = replace(default_params().stylize, strength=strength, colours=colours)
    painter = load_painter(fetch_weights(), find_model(), style, settings, first=pixels)
    shown = load_mask(mask, (height, width)) if mask else torch.ones(height, width)
    with progress(total=iterations, unit="step", description=f"paint {photo.name}") as bar:
        start = painter.start_coarse(pixels, pixels, mixture, iterations)
        painted = painter.paint(pixels, start=start, weights=mixture, iterations=iterations, on_iteration=bar.update)
    seen = under_mask(painter.finish(painted.image, pixels), pixels, shown)
    save_picture(output, seen.permute(1, 2, 0).numpy())
    log.info("%s: %d x %d pixels after %d steps", output, width, height, painted.iterations)


@app.command("video")
def video_command(
    clip: Annotated[Path, typer.Argument(help="The video to paint.")],
    style: StylesOption,
    output: Annotated[Path, typer.Option(help="The painted video, ending in .mp4.")],
    fast: Annotated[
        bool,
        typer.Option("--fast", help="Paint at the full size, many frames a second; --style names what was learnt."),
    ] = False,
    width: WidthOption = None,
    frames: Annotated[str, typer.Option(metavar="A:B", help="Only the frames from A to B, B left out.")] = ":",
    weights: WeightsOption = None,
    weights_at_end: Annotated[
        str | None, typer.Option(metavar="W,W", help="The weights that those go over to until the end of the video.")
    ] = None,
    strength: StrengthOption = 1.0,
    colours: ColoursOption = "style",
    mask: Annotated[
        Path | None,
        typer.Option(help="A picture, or a video or folder with one for each frame: what is white in it is painted."),
    ] = None,
    temporal: Annotated[
        bool, typer.Option("--temporal/--no-temporal", help="Keep strokes on what moves, or paint each frame alone.")
    ] = True,
    workers: Annotated[
        int, typer.Option(min=1, help="Shots that are painted at the same time, on as many devices (needs Ray).")
    ] = 1,
) -> None:
    """Paint a video in the style of a picture; rate and sound stay as they are.

    With --fast, in a style that a small network has learnt (`dvc repro distill`), or in the installed one's. Otherwise
    the first painted frame is shown in a picture as soon as it is there. A run that was stopped goes on at the first
    unfinished frame when it is started again in the same way.
    """
    check_output(output, (".mp4",))
    chosen = parse_frames(frames)
    first_weights = parse_weights("--weights", weights, len(style))
    last_weights = parse_weights("--weights-at-end", weights_at_end, len(style)) if weights_at_end else first_weights
    if fast:
        if colours != "style" or workers > 1:
            raise UserError("--fast takes the colours of the style and all cores; leave out --colours and --workers")
        fast_clip = FastClip(
            clip=clip,
            styles=tuple(map(str, style)),
            mixtures=(first_weights, last_weights),
            frames=chosen,
            strength=strength,
            width_px=width,
            mask=mask,
        )
        count = fast_clip.write(load_fast_painter(find_fast(), AT_ONCE), output, CRF)
        log.info("%s: %d frames", output, count)
        return
    info = probe(clip)
    times_s = read_times(clip, chosen)
    params = default_params()
    work = Work(
        clip=clip,
        count=len(times_s) - 1,
        styles=tuple(style),
        mixtures=(first_weights, last_weights),
        settings=replace(params.stylize, jobs={}, strength=strength, colours=colours),
        flow=params.flow,
        weights=fetch_weights(),
        model=find_model(),
        begin=chosen.start,
        width_px=width or min(WIDTH_PX, info.width_px),
        mask=mask,
        steady=temporal,
    )
    folder = work.folder(output.parent / f".{output.stem}.frames")
    if workers > 1:
        paint_shots(work, folder, find_shots(work), workers)
    painted = work.paint(folder, clip.name)
    shown = _show_first((frame for frame, _ in painted), folder.parent / "first-frame.jpg")
    write_video(output, shown, info.frame_rate, CRF, Sound(clip, times_s[0]), times_s)
    shutil.rmtree(folder.parent)
    log.info("%s: %d frames of %d x %d pixels", output, work.count, *reversed(work.painter.size))


@app.command("check")
def check_command() -> None:
    """Tell what works on this machine, what does not, and what to do. Ends with status 1 if painting cannot work."""
    broken = False
    for check in check_machine(find_weights(), find_model()):
        broken |= check.state == "missing"
        typer.echo(f"{check.state:8} {check.name:12} {check.finding}")
    if broken:
        raise UserError("something that painting needs is missing; the lines above say what to do")


app.command("stream")(stream_command)
app.command("retrain")(retrain_command)


def main() -> None:
    """The command ``paint``."""
    run(lambda argv: app(args=list(argv), prog_name="paint"))


def _show_first(frames: Iterable[Frame], path: Path) -> Iterator[Frame]:
    """The same frames; the first is also written as a picture, for people who would not wait to see it."""
    for index, frame in enumerate(frames):
        if index == 0:
            with replacing(path) as temporary:
                Image.fromarray(frame).save(temporary, quality=95)
            log.info("the first frame is in %s", path)
        yield frame


def _pictures(paths: Sequence[Path]) -> list[Path]:
    found = []
    for path in paths:
        if path.is_dir():
            found += sorted(each for each in path.rglob("*") if each.suffix.lower() in PICTURE_SUFFIXES)
        elif path.exists():
            found.append(path)
        else:
            raise UserError(f"{path} does not exist")
    if not found:
        raise UserError(f"no pictures in {', '.join(map(str, paths))}; they end in {', '.join(PICTURE_SUFFIXES)}")
    return found
