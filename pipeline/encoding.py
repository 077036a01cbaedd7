"""Frames out as H.264, with the sound of the original."""

import heapq
import io
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, chain, count, pairwise
from math import gcd, lcm
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from pipeline.console import UserError
from pipeline.files import replacing
from pipeline.rectify import SCALING
from pipeline.timing import is_jump
from pipeline.video import reading, video_stream

X264_OPTIONS = {"mbtree": "0"}
"""With it and B-frames, x264 reads memory that it has not written: the same frames would not make the same file."""
FINEST_TICK_S = Fraction(1, 1_000_000)
USUAL_TICK_S = Fraction(1, 90_000)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sound:
    """The sound of the video ``path``, from ``start_s`` seconds after its start."""

    path: Path
    start_s: Fraction = Fraction(0)


def write_video(
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    frame_rate: Fraction,
    crf: int,
    sound: Sound | None = None,
    times_s: Sequence[Fraction] | None = None,
    preset: str = "medium",
) -> None:
    """Encode ``frames``, RGB uint8 (H, W, 3) with H and W even, into an MP4 of H.264 (yuv420p, BT.709).

    ``crf`` is x264's constant quality: 0 is the best, 18 looks lossless. Packets of ``sound`` are copied unchanged, as
    long as there are frames. ``times_s`` are those of the frames and the end of the last one, counted from anywhere
    (see :func:`pipeline.video.read_times`); without them, frames follow each other at ``frame_rate``. ``preset`` is
    x264's: how long it tries to make the file smaller. ``path`` appears when all is written. Raises
    :class:`UserError` if there is no frame.
    """
    remaining = iter(frames)
    first = next(remaining, None)
    if first is None:
        raise UserError(f"there is no frame to write into {path}; choose a longer range of frames")
    with _writing(path) as container:
        options = {"crf": str(crf), "preset": preset, **X264_OPTIONS}
        stream = add_h264(container, first, frame_rate, options)
        stream.codec_context.flags |= Flags.frame_duration
        encoded = _encode(chain((first,), remaining), stream, times_s)
        copied = _copy_sound(sound, container) if sound else iter(())
        packets: Iterator[Packet[Any]] = heapq.merge(encoded, copied, key=_decoding_time_s)
        end_s = Fraction(0)
        for packet in packets:
            if packet.stream is stream:
                end_s = max(end_s, ((packet.pts or 0) + (packet.duration or 0)) * packet.time_base)
                container.mux(packet)
            elif _decoding_time_s(packet) < end_s:
                with suppress(av.FFmpegError):  # a damaged packet of sound is a short silence
                    container.mux(packet)
            else:
                break  # in order of time, it comes after the last frame


def add_h264(
    container: OutputContainer, first: NDArray[np.uint8], frame_rate: Fraction, options: dict[str, str]
) -> VideoStream:
    """A stream of H.264 (yuv420p, BT.709) for frames of the size of ``first`` (H, W, 3), with x264's ``options``."""
    stream = container.add_stream("libx264", rate=frame_rate, options=options)
    stream.height, stream.width = first.shape[:2]
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
    context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    return stream


def to_yuv(pixels: NDArray[np.uint8], reformatter: VideoReformatter) -> VideoFrame:
    """RGB (H, W, 3) as what a stream of :func:`add_h264` takes."""
    return reformatter.reformat(
        VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24"),
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        interpolation=SCALING,
    )


@contextmanager
def _writing(path: Path) -> Iterator[OutputContainer]:
    options = {"movflags": "+faststart"}
    try:
        with replacing(path) as part, av.open(f"file:{part}", "w", format="mp4", options=options) as container:
            yield container
    except av.FFmpegError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}): is the disk full, or its sound damaged?"
        ) from None


def _encode(
    frames: Iterable[NDArray[np.uint8]], stream: VideoStream, times_s: Sequence[Fraction] | None
) -> "Iterator[Packet[VideoStream]]":
    tick_s = 1 / stream.codec_context.framerate if times_s is None else _tick_s(times_s)
    ticks: Iterable[int] = count()
    if times_s is not None:
        nearest = (round((time_s - times_s[0]) / tick_s) for time_s in times_s)
        ticks = accumulate(nearest, lambda before, tick: max(before + 1, tick))
    stream.codec_context.time_base = tick_s
    reformatter = VideoReformatter()
    for pixels, (start, end) in zip(frames, pairwise(ticks), strict=times_s is not None):
        frame = to_yuv(pixels, reformatter)
        frame.pts, frame.duration, frame.time_base = start, end - start, tick_s
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _tick_s(times_s: Sequence[Fraction]) -> Fraction:
    """The longest unit in which the times are whole, or a usual one if that is too short to be written."""
    unit = Fraction(1, lcm(*(time_s.denominator for time_s in times_s)))
    tick_s = unit * gcd(*(int((time_s - times_s[0]) / unit) for time_s in times_s))
    return tick_s if tick_s >= FINEST_TICK_S else USUAL_TICK_S


def _copy_sound(sound: Sound, target: OutputContainer) -> "Iterator[Packet[Any]]":
    """Add a stream to ``target`` at once, and return the packets for it, timed from the start of the sound."""
    if sound.path.is_dir():
        return iter(())
    with reading(sound.path) as source:
        if not source.streams.audio:
            return iter(())
        template = source.streams.audio[0]
        try:
            # Of what it cannot hold, an MP4 tells when it is closed: then the video would be lost too.
            with av.open(io.BytesIO(), "w", format="mp4") as trial:
                packet = next(source.demux(template))
                packet.stream = trial.add_stream_from_template(template)
                trial.mux(packet)
        except (ValueError, av.FFmpegError) as error:
            log.warning("%s: its sound is left out (%s)", sound.path, getattr(error, "strerror", error))
            return iter(())
        stream = target.add_stream_from_template(template)
    return _sound_packets(sound, stream)


def _sound_packets(sound: Sound, target: AudioStream) -> "Iterator[Packet[Any]]":
    with reading(sound.path) as source:
        video, audio = video_stream(source, sound.path), source.streams.audio[0]
        first_s = (video.start_time or 0) * (video.time_base or Fraction(0))
        ends_s = {video.index: first_s, audio.index: first_s}
        jumps_s = {video.index: Fraction(0), audio.index: Fraction(0)}
        for packet in source.demux(video, audio):
            if packet.dts is None:  # of video, or the empty packet at the end
                continue
            index, began_s = packet.stream.index, _decoding_time_s(packet)
            step_s, time_s = began_s - ends_s[index], began_s - jumps_s[index]
            shown_s = ends_s[video.index] - jumps_s[video.index]
            # After a long silence the sound is where the picture is; after a jump, it would be there without the jump.
            silence = index == audio.index and abs(time_s - shown_s) < abs(time_s - step_s - shown_s)
            if is_jump(step_s) and not silence:
                jumps_s[index] += step_s
            ends_s[index] = began_s + (packet.duration or 0) * packet.time_base
            if index == video.index or packet.pts is None or is_jump((packet.pts - packet.dts) * packet.time_base):
                continue
            start = round((first_s + sound.start_s + jumps_s[index]) / packet.time_base)
            # The packet before is needed to decode the first: an MP4 does not play what lies before time 0.
            if packet.pts + 2 * (packet.duration or 0) > start:
                packet.pts, packet.dts, packet.stream = packet.pts - start, packet.dts - start, target
                yield packet


def _decoding_time_s(packet: "Packet[Any]") -> Fraction:
    return (packet.dts or 0) * packet.time_base
