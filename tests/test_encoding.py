import logging
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.console import UserError
from pipeline.encoding import Sound, write_video
from pipeline.video import probe, read_frames, read_times
from tests.clips import SAMPLE_RATE, first_heard_s, grays, levels, make_clip, samples, sound_packets


def gradient() -> NDArray[np.uint8]:
    y, x = np.mgrid[:96, :128] / (95, 127)[0]
    return np.stack((x * 186, y * 255, 255 - x * 186), axis=-1).round().astype(np.uint8)


@pytest.mark.parametrize("colour", [(200, 30, 60), (0, 0, 0), (255, 255, 255), (10, 120, 250), None])
def test_colours_survive_writing_and_reading(tmp_path: Path, colour: tuple[int, int, int] | None) -> None:
    picture = gradient() if colour is None else np.full((96, 128, 3), colour, np.uint8)
    write_video(tmp_path / "out.mp4", [picture] * 5, Fraction(25), crf=8)
    for frame in read_frames(tmp_path / "out.mp4"):
        assert np.abs(frame.astype(int) - picture).mean() < 1.5


def test_the_output_is_what_players_play(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    write_video(out, [np.full((48, 64, 3), (200, 30, 60), np.uint8)] * 3, Fraction(25), crf=8)
    with av.open(out) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)
        luma = next(container.decode(stream)).to_ndarray()[:48]
    expected = 16 + 219 * np.dot((0.2126, 0.7152, 0.0722), (200, 30, 60)) / 255
    assert abs(float(luma.mean()) - expected) < 1
    data = out.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(60), Fraction(12, 5)])
def test_frame_rates_are_kept(tmp_path: Path, rate: Fraction) -> None:
    write_video(tmp_path / "out.mp4", grays(31), rate, crf=8)
    info = probe(tmp_path / "out.mp4")
    assert (info.frame_rate, info.frame_count, info.has_sound) == (rate, 31, False)
    assert levels(read_frames(tmp_path / "out.mp4"))[:25] == list(range(25))


def test_no_frame_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no frame to write into .*out\.mp4"):
        write_video(tmp_path / "out.mp4", [], Fraction(25), crf=8)
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    references: list[weakref.ref[NDArray[np.uint8]]] = []
    alive: list[int] = []

    def watched() -> Iterator[NDArray[np.uint8]]:
        for frame in read_frames(clip):
            references.append(weakref.ref(frame))
            alive.append(sum(reference() is not None for reference in references))
            yield frame

    clip = make_clip(tmp_path / "clip.mp4", grays(200))
    write_video(tmp_path / "out.mp4", watched(), Fraction(25), crf=30)
    assert len(alive) == 200
    assert max(alive) <= 5


@pytest.mark.parametrize(
    ("rate", "frames"),
    [(Fraction(25), slice(20, 45)), (Fraction(30000, 1001), slice(0, 60)), (Fraction(24), slice(1, 50))],
)
@pytest.mark.parametrize(("name", "codec"), [("clip.mp4", "aac"), ("clip.mkv", "libopus")])
def test_sound_is_copied_unchanged_trimmed_and_in_step(
    tmp_path: Path, rate: Fraction, frames: slice, name: str, codec: str
) -> None:
    clip, out = make_clip(tmp_path / name, grays(75), rate, sound=codec), tmp_path / "out.mp4"
    assert probe(clip).has_sound
    start_s = frames.start / rate
    length_s = (frames.stop - frames.start) / rate
    write_video(out, read_frames(clip, frames), rate, 20, Sound(clip, start_s))

    source, copied = sound_packets(clip), sound_packets(out)
    first = [data for _, data in source].index(copied[0][1])
    assert [data for _, data in copied] == [data for _, data in source[first : first + len(copied)]]
    for (was_s, _), (is_s, _) in zip(source[first:], copied, strict=False):
        assert abs(was_s - start_s - is_s) < 0.0015
    packet_s = Fraction(1024, SAMPLE_RATE)
    assert -2 * packet_s <= copied[0][0] <= 0
    assert length_s - 2 * packet_s < copied[-1][0] < length_s
    assert first_heard_s(out) == pytest.approx(float(1 - start_s), abs=0.012)
    assert probe(out).frame_count == frames.stop - frames.start


UNEVEN_MS = [*range(0, 400, 40), *range(433, 900, 33), 1020, 1021, *range(1500, 1900, 50)]


@pytest.mark.parametrize("unit", [1000, 90_000, 15_360])
@pytest.mark.parametrize("count", [1, 2, len(UNEVEN_MS) - 1])
def test_times_are_kept_and_so_is_the_sound(tmp_path: Path, unit: int, count: int) -> None:
    clip, out = make_clip(tmp_path / "clip.mp4", grays(75), sound="aac"), tmp_path / "out.mp4"
    times_s = [7 + Fraction(time_ms * unit // 1000, unit) for time_ms in UNEVEN_MS[: count + 1]]
    write_video(out, grays(count), Fraction(25), 20, Sound(clip, Fraction(1, 5)), times_s)
    assert read_times(out) == [time_s - 7 for time_s in times_s]
    assert [frame % 25 for frame in range(count)] == levels(read_frames(out))
    source, copied = sound_packets(clip), sound_packets(out)
    first = [data for _, data in source].index(copied[0][1])
    assert [data for _, data in copied] == [data for _, data in source[first : first + len(copied)]]
    assert abs(float(copied[-1][0] - times_s[-1] + 7)) < 2 * 1024 / SAMPLE_RATE
    if count > 2:
        assert first_heard_s(out) == pytest.approx(0.8, abs=0.012)


def test_even_times_are_written_as_a_constant_rate_is(tmp_path: Path) -> None:
    rate = Fraction(24000, 1001)
    written = []
    for times_s in (None, [Fraction(1, 3) + i / rate for i in range(32)]):
        write_video(tmp_path / "out.mp4", grays(31), rate, 20, times_s=times_s)
        with av.open(tmp_path / "out.mp4") as container:
            written.append([(packet.pts, packet.dts, packet.duration) for packet in container.demux(video=0)])
            assert container.streams.video[0].average_rate == container.streams.video[0].guessed_rate == rate
    assert written[0] == written[1]


def test_times_too_fine_to_be_written_still_increase(tmp_path: Path) -> None:
    times_s = [Fraction(0), Fraction(1, 10_000_019), Fraction(1, 3), Fraction(2, 3)]
    write_video(tmp_path / "out.mp4", grays(3), Fraction(25), 20, times_s=times_s)
    read_s = read_times(tmp_path / "out.mp4")
    assert all(abs(read - asked) < 0.0001 for read, asked in zip(read_s, times_s, strict=True))
    assert levels(read_frames(tmp_path / "out.mp4")) == [0, 1, 2]


def test_as_many_times_as_frames(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zip"):
        write_video(tmp_path / "out.mp4", grays(3), Fraction(25), 20, times_s=[Fraction(i) for i in range(3)])
    assert list(tmp_path.iterdir()) == []


def test_the_sound_of_joined_recordings_goes_on(tmp_path: Path) -> None:
    part = make_clip(tmp_path / "part.ts", grays(75), sound="aac").read_bytes()
    joined, out = tmp_path / "joined.ts", tmp_path / "out.mp4"
    joined.write_bytes(part * 2)
    times_s = read_times(joined, slice(60, 130))
    write_video(out, read_frames(joined, slice(60, 130)), Fraction(25), 20, Sound(joined, times_s[0]), times_s)
    assert first_heard_s(out) == pytest.approx(4 - 60 / 25, abs=0.05)
    source, copied = ([data for _, data in sound_packets(path)] for path in (joined, out))
    source = [data[7:] for data in source]  # without the headers that a transport stream adds
    first = source.index(copied[0])
    assert copied == source[first : first + len(copied)]


def test_a_long_silence_without_packets_is_kept(tmp_path: Path) -> None:
    """As of a call whose microphone was off."""
    clip, gap, out = (tmp_path / name for name in ("clip.mp4", "gap.ts", "out.mp4"))
    make_clip(clip, grays(80), 1, sound="aac")
    with av.open(clip) as source, av.open(gap, "w") as target:
        streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.size and (packet.stream.type == "video" or not 4 < (packet.dts or 0) * packet.time_base < 70):
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    write_video(out, read_frames(gap), Fraction(1), 30, Sound(gap))
    was_s, is_s = ([time_s for time_s, _ in sound_packets(path)] for path in (gap, out))
    with av.open(gap) as container:
        start_s = (container.streams.video[0].start_time or 0) * Fraction(1, 90_000)
    heard_s = [time_s - start_s for time_s in was_s][-len(is_s) :]
    assert len(is_s) > 500
    assert max(after - before for before, after in pairwise(is_s)) > 60
    assert max(abs(a - b) for a, b in zip(heard_s, is_s, strict=True)) < 0.0015


def test_a_folder_of_pictures_has_no_sound(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    write_video(tmp_path / "out.mp4", grays(3), Fraction(25), 20, Sound(tmp_path / "frames"))
    assert not probe(tmp_path / "out.mp4").has_sound


def test_sound_is_whole_from_its_first_sample(tmp_path: Path) -> None:
    """AAC overlaps packets: without the packet before, the first would fade in."""
    clip, out = make_clip(tmp_path / "clip.mp4", grays(50), sound="aac"), tmp_path / "out.mp4"
    write_video(out, read_frames(clip, slice(20, 40)), Fraction(25), 20, Sound(clip, Fraction(20, 25)))
    was, now = samples(clip), samples(out)
    start = SAMPLE_RATE * 20 // 25
    np.testing.assert_array_equal(now[: SAMPLE_RATE // 2], was[start : start + SAMPLE_RATE // 2])


def test_sound_keeps_step_with_a_video_that_starts_late(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", grays(50), times_ms=range(480, 480 + 50 * 40, 40), sound="aac")
    write_video(tmp_path / "out.mp4", read_frames(clip), Fraction(25), 20, Sound(clip))
    assert first_heard_s(tmp_path / "out.mp4") == pytest.approx(1 - 0.48, abs=0.012)


def test_sound_that_an_mp4_cannot_hold_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clip = make_clip(tmp_path / "clip.mkv", grays(5), sound="wavpack")
    with caplog.at_level(logging.WARNING):
        write_video(tmp_path / "out.mp4", read_frames(clip), Fraction(25), 20, Sound(clip))
    assert "wavpack" in caplog.text
    assert probe(tmp_path / "out.mp4").frame_count == 5


def test_the_same_frames_make_the_same_file_whatever_was_in_memory(tmp_path: Path) -> None:
    script = """
import sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from pipeline.encoding import write_video

random = np.random.default_rng(0)
texture = np.kron(random.integers(0, 200, (40, 40, 3), np.uint8), np.ones((4, 4, 1), np.uint8))
frames = (np.roll(texture, i, 1) + random.integers(0, 50, texture.shape, np.uint8) for i in range(8))
write_video(Path(sys.argv[1]), frames, Fraction(25), 16)
"""
    written = set()
    for filling in ("0", "85", "170"):  # of memory that is handed out, by the C library of Linux
        environment = {**os.environ, "MALLOC_PERTURB_": filling}
        subprocess.run([sys.executable, "-c", script, tmp_path / "out.mp4"], check=True, env=environment)
        written.add((tmp_path / "out.mp4").read_bytes())
    assert len(written) == 1


def test_a_failure_half_way_keeps_the_file_that_was_there(tmp_path: Path) -> None:
    def failing() -> Iterator[NDArray[np.uint8]]:
        yield from grays(60)
        raise RuntimeError("out of paint")

    (tmp_path / "out.mp4").write_bytes(b"the last one")
    with pytest.raises(RuntimeError, match="out of paint"):
        write_video(tmp_path / "out.mp4", failing(), Fraction(25), crf=8)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert (tmp_path / "out.mp4").read_bytes() == b"the last one"


def test_a_killed_run_leaves_no_half_file(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from pipeline.encoding import write_video

def frames():
    for i in range(200):
        yield np.random.default_rng(i).integers(0, 255, (96, 128, 3), np.uint8)
    os.kill(os.getpid(), signal.SIGKILL)

write_video(Path(sys.argv[1]), frames(), Fraction(25), 8)
"""
    out = tmp_path / "out.mp4"
    killed = subprocess.run([sys.executable, "-c", script, out], check=False, capture_output=True)
    assert killed.returncode == -9, killed.stderr
    assert not out.exists()
    assert [path for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
