"""Videos of every usual kind: read, timed, and written anew with their sound."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np

from pipeline.encoding import Sound, write_video
from pipeline.video import probe, read_frames, read_times
from tests.clips import make_clip

KINDS = (
    ("mp4", "libx264", "yuv420p", "aac"),
    ("mov", "prores_ks", "yuva444p10le", None),
    ("mp4", "libx265", "yuv420p10le", "aac"),
    ("mkv", "libx264", "yuv420p", "libopus"),
    ("mkv", "ffv1", "bgra", None),
    ("webm", "libvpx-vp9", "yuv420p", "libopus"),
    ("avi", "mjpeg", "yuvj420p", None),
    ("avi", "mpeg4", "yuv420p", "mp2"),
    ("gif", "gif", "rgb8", None),
    ("ts", "mpeg2video", "yuv420p", "mp2"),
    ("flv", "flv", "yuv420p", "aac"),
)


def originals(folder: Path) -> list[bytes]:
    random = np.random.default_rng(0)
    frames = [np.roll(random.integers(0, 255, (48, 64, 3), np.uint8), 3 * i, axis=1) for i in range(8)]
    return [
        make_clip(folder / f"{codec}.{suffix}", frames, codec=codec, pix_fmt=pix_fmt, sound=sound).read_bytes()
        for suffix, codec, pix_fmt, sound in KINDS
    ]


def read(path: Path) -> None:
    info = probe(path)
    times_s = read_times(path)
    frames = list(read_frames(path, width_px=32))
    assert len(times_s) == len(frames) + 1
    assert all(Fraction(0) < end_s - start_s < 3600 for start_s, end_s in pairwise(times_s))
    write_video(path.with_suffix(".out.mp4"), frames, info.frame_rate, 30, Sound(path, times_s[0]), times_s)
