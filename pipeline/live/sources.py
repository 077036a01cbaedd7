"""Where live pictures come from: a file, a camera, or an address; opened, decoded and timed.

What a message says of an address is its host alone: users, passwords, paths and queries may hold secrets.
"""

import re
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.console import UserError
from pipeline.rectify import progressive
from pipeline.timing import is_jump, mean_rate
from pipeline.video import DECODE_OPTIONS, OPEN_OPTIONS, reading, video_stream

Kind = Literal["file", "camera", "rtsp", "http"]
SCHEMES: dict[str, Kind] = {"rtsp": "rtsp", "rtsps": "rtsp", "http": "http", "https": "http"}
CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}
"""FFmpeg's name for the cameras of a system, and of one of them."""
OPTIONS: dict[Kind, dict[str, str]] = {
    "camera": {},
    "rtsp": {"rtsp_transport": "tcp", "protocol_whitelist": "rtp,rtsp,rtsps,tcp,tls"},
    "http": {
        "protocol_whitelist": "crypto,http,https,tcp,tls",  # a playlist may name addresses, never files
        "format_whitelist": f"{OPEN_OPTIONS['format_whitelist']},aac,hls,mjpeg,mpjpeg",
        "analyzeduration": "1000000",
        "tls_verify": "1",  # of addresses alone: cameras sign their certificates themselves
        "ca_file": ssl.get_default_verify_paths().cafile or "",
    },
}


@dataclass(frozen=True, slots=True)
class Source:
    """What ``--input`` names; ``shown`` is what messages call it."""

    kind: Kind
    address: str
    shown: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A source that is open; its frames come with the times at which they are shown, in seconds, which increase."""

    frames: Iterator[tuple[VideoFrame, Fraction]]
    pixel_aspect: Fraction
    waits: bool
    """It is stored, or comes in pieces of some seconds: frames can be had before they are due."""
    ends: bool
    """After the last frame there is no more to come."""


def parse_source(text: str) -> Source:
    """``camera:0``, an address, or the path of a file; raises :class:`UserError`."""
    if match := re.fullmatch(r"camera:([0-9]{1,3})", text):
        if sys.platform not in CAMERAS:
            raise UserError(f"cameras of {sys.platform} are not known here; give a file or an address")
        return Source("camera", CAMERAS[sys.platform][1].format(match[1]), text)
    if "://" not in text:
        return Source("file", text, text)
    kind = SCHEMES.get(text.partition("://")[0].lower())
    if kind is None:
        raise UserError("--input should be a file, camera:0, or an address that starts with rtsp:// or http://")
    return Source(kind, text, shown_address("--input", text))


def shown_address(option: str, address: str) -> str:
    """Scheme, host and port of an address that was given as ``option``; raises :class:`UserError` if it has none."""
    try:
        parts = urlsplit(address)
        known = bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise UserError(f"{option} has an address without a host, or with a port that is none; look at its spelling")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


@contextmanager
def connected(source: Source, timeout_s: float) -> Iterator[Connection]:
    """Open a source. Raises :class:`UserError`, at once or later, if it is none, or is silent for ``timeout_s``."""
    with _opened(source, timeout_s) as container:
        stream = video_stream(container, source.shown)
        if source.kind != "file":
            stream.thread_type = "SLICE"  # threads for whole frames would keep some back
        in_pieces = container.format.name == "hls"
        stored = source.kind == "file" or (source.kind == "http" and container.size > 0 and not in_pieces)
        yield Connection(
            frames=_timed(progressive(_decoded(container, stream, timeout_s)), container, stream),
            pixel_aspect=stream.sample_aspect_ratio or Fraction(1),
            waits=stored or in_pieces,
            ends=stored or (in_pieces and container.duration is not None),
        )


@contextmanager
def _opened(source: Source, timeout_s: float) -> Iterator[InputContainer]:
    if source.kind == "file":
        with reading(Path(source.address)) as container:
            yield container
        return
    layout = CAMERAS[sys.platform][0] if source.kind == "camera" else None
    try:
        with av.open(
            source.address,
            "r",
            format=layout,
            options=DECODE_OPTIONS,
            container_options=OPTIONS[source.kind],
            timeout=timeout_s,
            metadata_errors="replace",
        ) as container:
            yield container
    except (av.ExitError, TimeoutError):
        raise UserError(f"{source.shown} gave no picture for {timeout_s:g} s; check that it is on") from None
    except (av.FFmpegError, IndexError) as error:  # not the whole error: it names the address
        reason = getattr(error, "strerror", "no picture")
        what = "the address and its certificate" if source.shown.startswith("https") else "the address"
        raise UserError(f"{source.shown} cannot be read ({reason}); check {what}, and that it is on") from None


def _decoded(container: InputContainer, stream: VideoStream, timeout_s: float) -> Iterator[VideoFrame]:
    """Every frame that can be decoded. Raises ``TimeoutError`` where only sound comes, or damage."""
    heard_s = time.monotonic()
    for packet in container.demux():
        if packet.stream_index == stream.index:
            try:
                frames = stream.decode(packet)  # a packet may say that it is of another kind of stream
            except av.FFmpegError:  # damaged, or before the first key frame
                frames = []
            for frame in frames:
                yield frame
                heard_s = time.monotonic()
        if time.monotonic() - heard_s > timeout_s:
            raise TimeoutError


def _timed(
    frames: Iterator[VideoFrame], container: InputContainer, stream: VideoStream
) -> Iterator[tuple[VideoFrame, Fraction]]:
    """A jump of the time stamps, or a missing one, counts as the usual interval."""
    in_disorder = container.format.name == "avi"  # which has no time stamps but the order of its packets
    interval_s = 1 / mean_rate(stream)
    before_s, shown_s = None, Fraction(0)
    for frame in frames:
        ticks = frame.dts if in_disorder else frame.pts
        stamp_s = None if ticks is None or frame.time_base is None else ticks * frame.time_base
        if before_s is not None:
            step_s = interval_s if stamp_s is None else stamp_s - before_s
            shown_s += interval_s if step_s <= 0 or is_jump(step_s) else step_s
        before_s = stamp_s if stamp_s is not None else (before_s or Fraction(0)) + interval_s
        yield frame, shown_s
