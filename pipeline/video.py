"""Frames of videos as RGB arrays at a constant rate, from any file that FFmpeg reads."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice, repeat, tee
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from pipeline.console import UserError

WHOLE = slice(0, None)
CREDIBLE_RATES = (1, 250)
"""Recordings of variable rate have headers that speak of 1000 frames per second, or of none."""
DEFAULT_RATE = Fraction(30)
LONGEST_STILL_S = 60
"""A longer pause between two frames is a jump of the time stamps, as where recordings were joined."""
MAX_MEGAPIXELS = 64
UNSPECIFIED = 2
"""FFmpeg's AVCOL_SPC_UNSPECIFIED: the file does not say which matrix its colours were made with."""
SCALING = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
OPEN_OPTIONS = {
    # FFmpeg would also take playlists, which open other files and addresses, and draw text as a video.
    "protocol_whitelist": "file",
    "format_whitelist": "asf,avi,dv,flv,gif,ivf,matroska,mov,mpeg,mpegts,mxf,ogg,rm,webm",
}


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Upright size with square pixels, frames per second, their number if the file says so, and sound."""

    width_px: int
    height_px: int
    frame_rate: Fraction
    frame_count: int | None
    has_sound: bool


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
    with reading(path) as container:
        stream = video_stream(container, path)
        first = next(container.decode(stream), None)
        if first is None:
            raise UserError(f"{path} holds no picture; it may be cut off or damaged")
        rate = _frame_rate(stream)
        count = stream.frames or None
        if count and stream.duration and stream.time_base:  # an edit list may hide frames that are in the file
            count = max(1, min(count, round(stream.duration * stream.time_base * rate)))
        return VideoInfo(*_upright_size(stream, first), rate, count, has_sound=bool(container.streams.audio))


def read_frames(path: Path, frames: slice = WHOLE, width_px: int | None = None) -> Iterator[NDArray[np.uint8]]:
    """The chosen frames of ``path`` one after another: RGB, uint8 (H, W, 3), upright, H and W even.

    W is ``width_px`` (rounded down if odd) and H keeps the aspect; without it they are those of the file.
    A clip of variable rate is read at its mean rate: frames are repeated or left out as their times say, so that
    sound stays in step. What comes before ``frames`` is decoded too: the later they start, the longer the first takes.
    Raises :class:`UserError` if ``path`` is no video, is damaged, or is shorter than ``frames``.
    """
    count = probe(path).frame_count
    if count and max(frames.start + 1, frames.stop or 0) > count:
        raise UserError(f"{path} has {count} frames, too few for {frames.start}:{frames.stop or ''}")
    return _decode(path, frames, width_px, count)


@contextmanager
def reading(path: Path) -> Iterator[InputContainer]:
    """Open ``path``. Raises :class:`UserError` for what FFmpeg cannot read, at once or later in the ``with`` block."""
    if not path.is_file():
        raise UserError(f"{path} is not a file; check its name")
    try:
        # Without "file:" a colon in the name would end the name of a protocol.
        with av.open(f"file:{path}", "r", container_options=OPEN_OPTIONS, metadata_errors="replace") as container:
            yield container
    except (av.FFmpegError, IndexError) as error:  # the second where PyAV meets a stream that begins late
        reason = getattr(error, "strerror", error)
        raise UserError(f"{path} cannot be read as a video ({reason}); it may be cut off or damaged") from None


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The moving picture of ``path``, open as ``container``. Raises :class:`UserError` if it has none or a huge one."""
    for stream in container.streams.video:
        known = stream.codec_context is not None  # else FFmpeg has no decoder for it
        if known and not stream.disposition & Disposition.attached_pic:  # the cover of a song
            if stream.width * stream.height > MAX_MEGAPIXELS * 1e6:
                raise UserError(f"{path} has frames of more than {MAX_MEGAPIXELS} megapixels; reduce it first")
            stream.thread_type = "AUTO"
            return stream
    raise UserError(f"{path} has no moving picture; give a video")


def _frame_rate(stream: VideoStream) -> Fraction:
    rate = stream.average_rate or stream.guessed_rate or DEFAULT_RATE
    lowest, highest = CREDIBLE_RATES
    return rate.limit_denominator(1001) if lowest <= rate <= highest else DEFAULT_RATE


def _upright_size(stream: VideoStream, frame: VideoFrame) -> tuple[int, int]:
    width, height = round(frame.width * (stream.sample_aspect_ratio or 1)), frame.height
    return (height, width) if _quarter_turns(frame) % 2 else (width, height)


def _quarter_turns(frame: VideoFrame) -> int:
    return round(frame.rotation / 90) % 4


def _decode(path: Path, frames: slice, width_px: int | None, count: int | None) -> Iterator[NDArray[np.uint8]]:
    end = frames.start
    with reading(path) as container:
        stream = video_stream(container, path)
        decoded: Iterator[VideoFrame] = container.decode(stream)
        if container.format.name != "avi":  # constant by definition, with time stamps in disorder
            decoded = _at_constant_rate(decoded, _frame_rate(stream))
        reformatter = VideoReformatter()
        size: tuple[int, int] | None = None
        for frame in islice(decoded, frames.start, frames.stop):
            if size is None:
                size = _upright_size(stream, frame)
                if width_px is not None:
                    size = width_px, round(width_px * size[1] / size[0] / 2) * 2
            yield _to_rgb(frame, size, reformatter)
            end += 1
    # A header may be wrong by a frame or two; where a file was cut off, more are missing.
    expected = frames.stop or (count - max(1, count // 100) if count else 0)
    if end < max(frames.start + 1, expected):
        raise UserError(f"{path} ends before frame {end}; choose frames before it, or take a whole copy of the file")


def _at_constant_rate(frames: Iterable[VideoFrame], rate: Fraction) -> Iterator[VideoFrame]:
    """Each frame as often as ticks of ``rate`` fall to it, the first tick at the time of the first frame."""
    start_s: Fraction | None = None
    tick = 0
    shown, ahead = tee(frames)
    next(ahead, None)
    for frame, following in zip(shown, chain(ahead, (None,)), strict=False):
        if start_s is None:
            start_s = _time_s(frame) - tick / rate
        if following is None:
            ticks = max(1, round((frame.duration or 0) * (frame.time_base or 0) * rate))
        else:
            ticks = round((_time_s(following) - start_s) * rate) - tick
        if not 0 <= ticks <= LONGEST_STILL_S * rate:
            ticks, start_s = 1, None  # a jump: count from the following frame
        yield from repeat(frame, ticks)
        tick += ticks


def _time_s(frame: VideoFrame) -> Fraction:
    return (frame.pts if frame.pts is not None else frame.dts or 0) * (frame.time_base or Fraction(0))


def _to_rgb(frame: VideoFrame, size: tuple[int, int], reformatter: VideoReformatter) -> NDArray[np.uint8]:
    turns = _quarter_turns(frame)
    width, height = (max(2, side) for side in (reversed(size) if turns % 2 else size))
    matrix = None
    if frame.colorspace == UNSPECIFIED:  # what players assume
        matrix = Colorspace.ITU709 if frame.height >= 720 else Colorspace.ITU601
    rgb = reformatter.reformat(frame, width, height, "rgb24", src_colorspace=matrix, interpolation=SCALING)
    upright = np.rot90(rgb.to_ndarray(), turns)
    return np.ascontiguousarray(upright[: len(upright) // 2 * 2, : upright.shape[1] // 2 * 2], np.uint8)
