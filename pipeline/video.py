"""Frames of videos as RGB arrays, and their times, from any file that FFmpeg reads or a folder of pictures."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from pipeline.console import UserError
from pipeline.images import load_rgb
from pipeline.rectify import progressive, to_rgb, upright_size
from pipeline.timing import LONGEST_STILL_S, SHORTEST_STILL_S, count_frames, evened, mean_rate, shown_times

WHOLE = slice(0, None)
FOLDER_RATE = Fraction(25)
MAX_MEGAPIXELS = 64
MAX_SIDE_PX = 16_384
"""What x264 takes."""
OPEN_OPTIONS = {
    # FFmpeg would also take playlists, which open other files and addresses, and draw text as a video.
    "protocol_whitelist": "file",
    "format_whitelist": "asf,avi,dv,flv,gif,ivf,matroska,mov,mpeg,mpegts,mxf,ogg,rm,webm",
}
DECODE_OPTIONS = {"max_pixels": str(MAX_MEGAPIXELS * 1_000_000)}
"""A frame may be larger than its header says."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Upright size with square pixels, frames per second on average, their number if the file says so, and sound."""

    width_px: int
    height_px: int
    frame_rate: Fraction
    frame_count: int | None
    has_sound: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """What is open for reading; time stamps are multiples of ``tick_s``, from ``start_s``."""

    path: Path
    frames: Iterator[VideoFrame]
    rate: Fraction
    count: int | None
    tick_s: Fraction
    start_s: Fraction | None
    pixel_aspect: Fraction = Fraction(1)
    has_sound: bool = False
    in_disorder: bool = False
    """AVI has no time stamps but the order of its packets."""


def parse_frames(text: str) -> slice:
    """``"190:214"`` is frames 190 to 213, counted from 0; either number may be missing."""
    if not (match := re.fullmatch(r"(\d{0,9}):(\d{0,9})", text, re.ASCII)):
        raise UserError(f"frames {text!r} should be two numbers with a colon between them, such as 190:214")
    start, stop = int(match[1] or 0), int(match[2]) if match[2] else None
    if stop is not None and stop <= start:
        raise UserError(f"frames {text!r} is empty; the second number is the first frame left out")
    return slice(start, stop)


def probe(path: Path) -> VideoInfo:
    """Look at the header and the first frame. Raises :class:`UserError` if ``path`` is not a video."""
    with _opened(path) as source:
        first = next(source.frames, None)
        if first is None:
            raise UserError(f"{path} holds no picture; it may be cut off or damaged")
        return VideoInfo(*_size(source, first), source.rate, source.count, source.has_sound)


def read_frames(path: Path, frames: slice = WHOLE, width_px: int | None = None) -> Iterator[NDArray[np.uint8]]:
    """The chosen frames of ``path`` one after another: RGB, uint8 (H, W, 3), upright, H and W even.

    W is ``width_px`` (rounded down if odd) and H keeps the aspect; without it they are those of the file. Each frame
    comes once, however long it is shown. What comes before ``frames`` is decoded too: the later they start, the longer
    the first takes. Raises :class:`UserError` if ``path`` is no video, is damaged, or is shorter than ``frames``.
    """
    _check_range(path, frames)
    return _rgb_frames(path, frames, width_px)


def read_times(path: Path, frames: slice = WHOLE) -> list[Fraction]:
    """When each of the chosen frames is shown, and last when the last one ends: N + 1 increasing times for N frames.

    In seconds after the start of the video, as exact as its time stamps; where these are even but for rounding, even.
    All the frames are decoded: what is damaged or too short is known before hours are spent on it. Raises
    :class:`UserError` as :func:`read_frames` does.
    """
    _check_range(path, frames)
    stamps_s: list[Fraction | None] = []
    last_s = Fraction(0)
    with _opened(path) as source:
        for frame in islice(source.frames, frames.stop and frames.stop + 1):
            stamp, unit_s = frame.dts if source.in_disorder else frame.pts, frame.time_base or Fraction(0)
            stamps_s.append(None if stamp is None else stamp * unit_s)
            last_s = frame.duration * unit_s
        _check_end(source, frames, len(stamps_s))
    interval_s = 1 / source.rate
    times_s = shown_times(stamps_s, interval_s, source.start_s)
    if frames.stop is None or len(times_s) <= frames.stop:
        times_s.append(times_s[-1] + (last_s if SHORTEST_STILL_S <= last_s <= LONGEST_STILL_S else interval_s))
    return evened(times_s[frames.start :], interval_s, source.tick_s)


def clip_files(path: Path) -> list[Path]:
    """The pictures of a folder in the order of the numbers in their names, or else ``path`` itself."""
    if not path.is_dir():
        return [path]
    files = [each for each in path.iterdir() if each.is_file() and not each.name.startswith(".")]
    if not files:
        raise UserError(f"{path} holds no pictures; give a video or a folder of pictures")
    return sorted(files, key=lambda each: [int(s) if s.isdecimal() else s for s in re.split("([0-9]+)", each.name)])


@contextmanager
def reading(path: Path) -> Iterator[InputContainer]:
    """Open ``path``. Raises :class:`UserError` for what FFmpeg cannot read, at once or later in the ``with`` block."""
    if not path.is_file():
        raise UserError(f"{path} is not a file; check its name")
    try:
        # Without "file:" a colon in the name would end the name of a protocol.
        with av.open(
            f"file:{path}",
            "r",
            options=DECODE_OPTIONS,
            container_options=OPEN_OPTIONS,
            metadata_errors="replace",
        ) as container:
            yield container
    except (av.FFmpegError, IndexError) as error:  # the second where PyAV meets a stream that begins late
        reason = getattr(error, "strerror", error)
        raise UserError(f"{path} cannot be read as a video ({reason}); it may be cut off or damaged") from None


def video_stream(container: InputContainer, path: Path | str) -> VideoStream:
    """The moving picture of ``path``, open as ``container``. Raises :class:`UserError` if it has none or a huge one."""
    for stream in container.streams.video:
        known = stream.codec_context is not None  # else FFmpeg has no decoder for it
        if known and not stream.disposition & Disposition.attached_pic:  # the cover of a song
            _check_size(path, stream.width, stream.height)
            stream.codec_context.options = DECODE_OPTIONS
            stream.thread_type = "AUTO"
            return stream
    raise UserError(f"{path} has no moving picture; give a video")


@contextmanager
def _opened(path: Path) -> Iterator[_Source]:
    if path.is_dir():
        files, tick_s = clip_files(path), 1 / FOLDER_RATE
        frames = _pictures(files, tick_s)
        yield _Source(path=path, frames=frames, rate=FOLDER_RATE, count=len(files), tick_s=tick_s, start_s=Fraction(0))
        return
    with reading(path) as container:
        stream = video_stream(container, path)
        unit_s = stream.time_base or Fraction(1, 1000)
        in_disorder = container.format.name == "avi"
        yield _Source(
            path=path,
            frames=_decoded(container, stream, path),
            rate=mean_rate(stream),
            count=count_frames(container, stream),
            tick_s=unit_s,
            start_s=None if in_disorder or stream.start_time is None else stream.start_time * unit_s,
            pixel_aspect=stream.sample_aspect_ratio or Fraction(1),
            has_sound=bool(container.streams.audio),
            in_disorder=in_disorder,
        )


def _pictures(files: list[Path], tick_s: Fraction) -> Iterator[VideoFrame]:
    size: tuple[int, int] | None = None
    for i, path in enumerate(files):
        picture = load_rgb(path)
        size = size or picture.size
        if picture.size != size:
            sizes = " and ".join(f"{width} x {height}" for width, height in (picture.size, size))
            raise UserError(f"{path} and {files[0].name} have different sizes, {sizes}; make them equal")
        frame = VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
        frame.pts, frame.duration, frame.time_base = i, 1, tick_s
        yield frame


def _decoded(container: InputContainer, stream: VideoStream, path: Path) -> Iterator[VideoFrame]:
    """Every frame; a packet that cannot be decoded is left out, as players do, unless it is more than one in 100."""
    shown = damaged = 0
    for packet in container.demux(stream):
        try:
            frames = stream.decode(packet)  # a packet may say that it is of another kind of stream
        except av.FFmpegError as error:
            if not shown:  # a recording may begin between two key frames
                continue
            damaged += 1
            if damaged > max(1, shown // 100):
                reason = f"is damaged at frame {shown} ({error.strerror})"
                raise UserError(f"{path} {reason}; choose frames before it, or repair the file") from None
            log.warning("%s: frame %d is damaged and left out", path, shown)
            continue
        shown += len(frames)
        yield from frames


def _check_size(path: Path | str, width_px: int, height_px: int) -> None:
    if width_px * height_px > MAX_MEGAPIXELS * 1e6 or max(width_px, height_px) > MAX_SIDE_PX:
        limits = f"{MAX_MEGAPIXELS} megapixels or {MAX_SIDE_PX} pixels a side"
        raise UserError(f"{path} has frames of {width_px} x {height_px}, more than {limits}; reduce it first")


def _check_range(path: Path, frames: slice) -> None:
    count = probe(path).frame_count
    if count and max(frames.start + 1, frames.stop or 0) > count:
        raise UserError(f"{path} has {count} frames, too few for {frames.start}:{frames.stop or ''}")


def _check_end(source: _Source, frames: slice, end: int) -> None:
    # A header may be wrong by a frame or two; where a file was cut off, more are missing.
    expected = frames.stop or (source.count - max(1, source.count // 100) if source.count else 0)
    if end < max(frames.start + 1, expected):
        way_out = "choose frames before it, or take a whole copy of the file"
        raise UserError(f"{source.path} ends before frame {end}; {way_out}")


def _size(source: _Source, frame: VideoFrame, width_px: int | None = None) -> tuple[int, int]:
    width, height = upright_size(frame, source.pixel_aspect)
    if width_px is not None:
        width, height = width_px, round(width_px * height / width / 2) * 2
    _check_size(source.path, width, height)
    return width, height


def _rgb_frames(path: Path, frames: slice, width_px: int | None) -> Iterator[NDArray[np.uint8]]:
    end = frames.start
    size: tuple[int, int] | None = None
    reformatter = VideoReformatter()
    with _opened(path) as source:
        for frame in islice(progressive(source.frames), frames.start, frames.stop):
            size = size or _size(source, frame, width_px)
            yield to_rgb(frame, size, reformatter)
            end += 1
        _check_end(source, frames, end)
