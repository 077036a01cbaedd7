"""Clips for tests, and what is seen and heard in them."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.packet import Packet
from av.video.frame import VideoFrame
from numpy.typing import NDArray

SAMPLE_RATE = 48_000
GAP = 10
"""Between the grey levels of frames made by ``grays``, far more than coding changes them."""


def grays(count: int, height: int = 48, width: int = 64) -> list[NDArray[np.uint8]]:
    return [np.full((height, width, 3), GAP * i % 250, np.uint8) for i in range(count)]


def levels(frames: Iterator[NDArray[np.uint8]]) -> list[int]:
    """Which of the ``grays`` each frame is."""
    return [round(float(frame.mean()) / GAP) for frame in frames]


def make_clip(
    path: Path,
    frames: Sequence[NDArray[np.uint8]],
    rate: Fraction | int = 25,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    times_ms: Sequence[int] | None = None,
    sound: str | None = None,
    degrees: int = 0,
    pixel_aspect: int = 1,
    movflags: str = "",
) -> Path:
    """A clip made with PyAV alone; its sound is a faint noise with a tone from second 1.0 to 1.1."""
    height, width = frames[0].shape[:2]
    with av.open(path, "w", options={"movflags": movflags} if movflags else {}) as container:
        video = container.add_stream(codec, rate=rate)
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = width, height, pix_fmt
        video.codec_context.sample_aspect_ratio = Fraction(pixel_aspect)
        if degrees:
            video.set_display_rotation(degrees)
        # AAC would put other noise in the place of noise each time it is decoded.
        audio = container.add_stream(sound, rate=SAMPLE_RATE, options={"aac_pns": "0"}) if sound else None
        for i, pixels in enumerate(frames):
            frame = VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = (times_ms[i], Fraction(1, 1000)) if times_ms else (i, 1 / Fraction(rate))
            container.mux(video.encode(frame))
        if isinstance(audio, av.AudioStream):
            length_s = times_ms[-1] / 1000 if times_ms else len(frames) / rate
            seconds = np.arange(int(length_s * SAMPLE_RATE)) / SAMPLE_RATE
            wave = np.random.default_rng(0).normal(scale=0.02, size=len(seconds))
            wave += (seconds >= 1.0) * (seconds < 1.1) * 0.8 * np.sin(2 * np.pi * 880 * seconds)
            packed = np.repeat(wave.astype(np.float32)[None], 2, axis=0)
            heard = AudioFrame.from_ndarray(packed, format="fltp", layout="stereo")
            heard.sample_rate, heard.pts, heard.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
            container.mux(audio.encode(heard))
            container.mux(audio.encode(None))
        container.mux(video.encode(None))
    return path


def sound_packets(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(path) as container:
        packets: list[Packet[av.AudioStream]] = list(container.demux(container.streams.audio[0]))
        return [(p.pts * p.time_base, bytes(p)) for p in packets if p.pts is not None]


def samples(path: Path) -> NDArray[np.float32]:
    """The first channel as it is played, from second 0."""
    played = np.zeros(5 * SAMPLE_RATE, np.float32)
    with av.open(path) as container:
        for frame in container.decode(audio=0):
            start = round(float(frame.time or 0) * SAMPLE_RATE)
            heard = frame.to_ndarray()[0][max(0, -start) :]
            played[max(0, start) : max(0, start) + len(heard)] = heard
    return played


def first_heard_s(path: Path) -> float:
    """When the tone begins."""
    return float(np.flatnonzero(np.abs(samples(path)) > 0.3)[0]) / SAMPLE_RATE
