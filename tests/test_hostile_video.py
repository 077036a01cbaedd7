"""Mutated files of every usual kind: whatever is in them, they end in frames or in one sentence.

FFmpeg is native code, so they are read by a child process, which a crash or a hang would end. For a longer run:

    python -m tests.test_hostile_video FOLDER 0 100000
"""

import faulthandler
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np

from pipeline.console import UserError
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
MUTANTS = 150
LONGEST_S = 30


def originals(folder: Path) -> list[Path]:
    random = np.random.default_rng(0)
    frames = [np.roll(random.integers(0, 255, (48, 64, 3), np.uint8), 3 * i, axis=1) for i in range(8)]
    return [
        make_clip(folder / f"{codec}.{suffix}", frames, codec=codec, pix_fmt=pix_fmt, sound=sound)
        for suffix, codec, pix_fmt, sound in KINDS
    ]


def mutate(files: list[bytes], random: np.random.Generator) -> bytes:
    data = bytearray(files[random.integers(len(files))])
    for _ in range(random.integers(1, 4)):
        # Headers are small, and where the harm is done.
        at = int(random.integers(len(data) if random.random() < 0.5 else min(len(data), 2048)))
        length = int(random.integers(1, 200))
        match random.integers(7):
            case 0:
                for position in random.integers(0, len(data), length):
                    data[position] = random.integers(256)
            case 1:
                data[at] ^= 1 << random.integers(8)
            case 2:
                data[at : at + 4] = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)[random.integers(5)].to_bytes(4)
            case 3:
                del data[at:]
            case 4:
                del data[at : at + length]
            case 5:
                data[at:at] = data[at : at + length]
            case 6:
                other = files[random.integers(len(files))]
                data[at:] = other[random.integers(len(other)) :]
        if not data:
            break
    return bytes(data)


def read(path: Path) -> str:
    """How it ended; any exception but a :class:`UserError`, and any at all while writing, is a failure."""
    try:
        info = probe(path)
        times_s = read_times(path)
        frames = list(read_frames(path, width_px=32))
    except UserError as error:
        return str(error).replace(str(path), "FILE")
    assert len(times_s) == len(frames) + 1
    assert all(Fraction(0) < end_s - start_s < 3600 for start_s, end_s in pairwise(times_s))
    write_video(path.with_suffix(".out.mp4"), frames, info.frame_rate, 30, Sound(path, times_s[0]), times_s)
    return f"{len(frames)} frames"


def main(folder: Path, first: int, stop: int) -> None:
    files = [path.read_bytes() for path in originals(folder)]
    for seed in range(first, stop):
        print(seed, end=" ", flush=True)
        path = folder / "mutant.mp4"  # the name says nothing of the contents
        path.write_bytes(mutate(files, np.random.default_rng(seed)))
        faulthandler.dump_traceback_later(LONGEST_S, exit=True)
        print(read(path), flush=True)
        faulthandler.cancel_dump_traceback_later()


def test_mutated_videos_are_read_or_refused(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-m", __name__, tmp_path, "0", str(MUTANTS)], check=False, capture_output=True, text=True
    )
    assert child.returncode == 0, (child.stdout[-500:], child.stderr[-3000:])
    endings = [line.split(maxsplit=1)[1] for line in child.stdout.splitlines()]
    assert len(endings) == MUTANTS
    assert 0.2 < np.mean([ending.endswith("frames") for ending in endings]) < 0.8


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
