"""``paint stream``: paint what a camera, an address or a file shows, while it shows it.

paint stream --input camera:0 --output page
"""

import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from pipeline.arguments import StrengthOption, WeightsOption, check_output, parse_weights
from pipeline.console import UserError
from pipeline.fast.runtime import load_fast_painter
from pipeline.installed import find_fast
from pipeline.live.broadcast import Broadcast
from pipeline.live.meter import Meter
from pipeline.live.page import Page
from pipeline.live.painting import WIDTH_PX, Mix, paint_stream
from pipeline.live.reader import Reader, every_frame
from pipeline.live.recording import Recording
from pipeline.live.sources import Source, parse_source, shown_address

LOOPBACK = ("127.0.0.1", "::1", "localhost")

log = logging.getLogger(__name__)


def stream_command(
    source: Annotated[
        str,
        typer.Option(
            "--input", envvar="PAINT_INPUT", help="A video file, camera:0, or an address: rtsp://..., http://..."
        ),
    ],
    output: Annotated[
        str, typer.Option(envvar="PAINT_OUTPUT", help="page, a file ending in .mp4, or an address: rtmp://...")
    ] = "page",
    style: Annotated[
        list[str] | None,
        typer.Option(help="A style of the network; once more for a mixture.", show_default="its first"),
    ] = None,
    weights: WeightsOption = None,
    strength: StrengthOption = 1.0,
    width: Annotated[
        int | None,
        typer.Option(
            min=64,
            max=4096,
            help="Width of the result in pixels; the time grows with its square.",
            show_default=f"that of the source, at most {WIDTH_PX}",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Where the page is served; 0.0.0.0 is for all who reach this machine.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where the page is served; 0 finds a free one.")] = 8000,
) -> None:
    """Paint live: a camera, a stream or a video, shown on a web page, recorded, or sent on.

    \b
    paint stream --input camera:0
    paint stream --input rtsp://camera.local/live --output out.mp4
    paint stream --input clip.mp4 --style A --style B --weights 2,1
    paint stream --input http://host/live.m3u8 --output rtmp://server/app/key

    The page has the live picture, and styles are picked and mixed there; a file is played there again and again. A
    recording, or what is sent on, keeps the size of its first frame.

    All users of a machine see the arguments of a command: an address with a password or a key is better given in the
    environment, as PAINT_INPUT or PAINT_OUTPUT.

    Frames that come faster than they can be painted are left out, except from a file into a file. A source that stalls
    or goes away is asked again until it is back. Ctrl-C ends it, and the recording is whole; if the machine fails,
    what was recorded until then plays from a hidden file beside it. There is no sound.
    """  # noqa: D301, click reads the escape
    chosen = parse_source(source)
    painter = load_fast_painter(find_fast())
    names = style or [painter.names[0]]
    mix = Mix(_by_name(names, parse_weights("--weights", weights, len(names))), strength)
    painter.mix(mix.weights, mix.strength)  # a mistake is told before anything is opened
    with _until_stopped() as stop, ExitStack() as stack:
        if output == "page":
            page = stack.enter_context(_page(host, port, chosen, mix))
            reader = stack.enter_context(Reader(chosen, again=True))
            meter = paint_stream(reader.newest(), painter, lambda: page.mix, width, page, stop)
            _tell(meter, reader, page.latency())
            return
        sink: Broadcast | Recording
        if "://" in output:
            if not output.startswith(("rtmp://", "rtmps://")):
                raise UserError(
                    "--output should be page, a file ending in .mp4, or an address that starts with rtmp://"
                )
            sink = stack.enter_context(Broadcast(output, shown_address("--output", output)))
        else:
            check_output(Path(output), (".mp4",))
            sink = stack.enter_context(Recording(Path(output)))
        if chosen.kind == "file" and isinstance(sink, Recording):
            meter = paint_stream(every_frame(chosen), painter, lambda: mix, width, sink, stop)
            log.info("%s: %d frames", output, meter.count)
            return
        reader = stack.enter_context(Reader(chosen, again=False))
        meter = paint_stream(reader.newest(), painter, lambda: mix, width, sink, stop)
        _tell(meter, reader, meter.latency())


def _tell(meter: Meter, reader: Reader, latency: str) -> None:
    log.info("%d frames painted, %s; %d left out; %s", meter.count, meter.rate(), reader.dropped, latency)


def _by_name(names: Sequence[str], weights: Sequence[float]) -> dict[str, float]:
    if len(set(names)) != len(names):
        raise UserError("--style names a style twice; give it once, with a weight")
    return dict(zip(names, weights, strict=True))


@contextmanager
def _page(host: str, port: int, source: Source, mix: Mix) -> Iterator[Page]:
    previewer = load_fast_painter(find_fast())
    shown = Path(source.address).name if source.kind == "file" else source.shown  # viewers need not know folders
    with Page(host, port, shown, previewer, mix) as page:
        if host not in LOOPBACK:
            log.warning("whoever reaches %s sees the picture and can change the style", page.address)
        log.info("open %s in a browser; Ctrl-C ends it", page.address)
        yield page


@contextmanager
def _until_stopped() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; the second Ctrl-C ends at once."""
    stop = threading.Event()

    def ask(number: int, _: object) -> None:
        stop.set()
        signal.signal(number, previous[signal.Signals(number)])

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
