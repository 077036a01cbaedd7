import logging
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.codec.context import Flags
from av.video.frame import VideoFrame
from PIL import Image

from pipeline import video
from pipeline.console import UserError
from pipeline.video import clip_files, parse_frames, probe, read_frames, read_times
from tests.clips import SAMPLE_RATE, grays, levels, make_clip

# --- what is asked for


@pytest.mark.parametrize(
    ("text", "expected"),
    [("190:214", slice(190, 214)), (":", slice(0, None)), ("5:", slice(5, None)), (":7", slice(0, 7))],
)
def test_ranges_of_frames(text: str, expected: slice) -> None:
    assert parse_frames(text) == expected


@pytest.mark.parametrize("text", ["", "7", "7:7", "9:3", "-3:4", "1:2:3", "a:b", "\u0661:\u0662", "1:" + "9" * 5000])
def test_other_ranges_are_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(UserError, match="frames") as caught:
        parse_frames(text)
    assert "\n" not in str(caught.value)


# --- reading


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi", "clip.ts", "clip.mov", "part:1 %d.mp4"])
def test_frames_come_in_order_from_any_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    clip = make_clip(tmp_path / name, grays(20)).relative_to(tmp_path)
    assert levels(read_frames(clip)) == list(range(20))
    assert levels(read_frames(clip, slice(7, 11))) == [7, 8, 9, 10]
    assert levels(read_frames(clip, slice(17, None))) == [17, 18, 19]
    assert probe(clip).frame_rate == 25


def test_a_range_outside_the_clip_is_refused(tmp_path: Path) -> None:
    for name in ("clip.mp4", "clip.mkv"):  # the first says how many frames it has, the second does not
        clip = make_clip(tmp_path / name, grays(20))
        for frames in (slice(20, None), slice(15, 30), slice(100, 110)):
            with pytest.raises(UserError, match=r"20|100"):
                list(read_frames(clip, frames))


def test_a_range_that_only_the_header_has_is_refused(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "clip.mov", grays(21), codec="mjpeg", pix_fmt="yuvj420p", movflags="+faststart")
    with av.open(whole) as container:
        last = max(packet.pos or 0 for packet in container.demux(video=0))
    (tmp_path / "clip.mov").write_bytes(whole.read_bytes()[:last])
    assert probe(whole).frame_count == 21
    assert len(list(read_frames(whole, slice(19, None)))) == 1
    with pytest.raises(UserError, match="ends before frame 20"):
        next(read_frames(whole, slice(20, None)))


def test_a_width_keeps_the_aspect_and_sides_are_even(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "odd.mkv", grays(2, 75, 101), pix_fmt="yuv444p")
    assert (probe(clip).width_px, probe(clip).height_px) == (101, 75)
    assert next(read_frames(clip)).shape == (74, 100, 3)
    assert next(read_frames(clip, width_px=65)).shape == (48, 64, 3)
    assert next(read_frames(clip, width_px=202)).shape == (150, 202, 3)


def test_no_row_is_blurred_to_make_a_side_even(tmp_path: Path) -> None:
    rows = np.zeros((47, 64, 3), np.uint8)
    rows[::2] = 255
    clip = make_clip(tmp_path / "odd.mkv", [rows], codec="ffv1", pix_fmt="bgr0")
    np.testing.assert_array_equal(next(read_frames(clip)), rows[:46])


def test_wide_pixels_become_square(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "wide.mp4", grays(2), pixel_aspect=2)
    assert probe(clip).width_px == 128
    assert next(read_frames(clip)).shape == (48, 128, 3)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_rotated_clip_is_read_upright(tmp_path: Path, degrees: int) -> None:
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, :32] = (250, 20, 20)
    picture[24:, 32:] = (20, 20, 250)
    clip = make_clip(tmp_path / "clip.mp4", [picture] * 2, pix_fmt="yuv444p", degrees=degrees)
    upright = np.rot90(picture, degrees // 90)
    assert (probe(clip).height_px, probe(clip).width_px) == upright.shape[:2]
    assert np.abs(next(read_frames(clip)).astype(int) - upright).mean() < 3
    assert next(read_frames(clip, width_px=24)).shape[:2] == ((32, 24) if degrees != 180 else (18, 24))


MATRICES = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}


@pytest.mark.parametrize(
    ("matrix", "tag", "full_range", "height"),
    [
        ("bt709", 1, False, 48),
        ("bt601", 6, False, 48),
        ("bt601", 2, False, 48),
        ("bt709", 2, False, 720),
        ("bt709", 1, True, 48),
    ],
)
def test_colours_follow_the_matrix_and_range_of_the_file(
    tmp_path: Path, matrix: str, tag: int, full_range: bool, height: int
) -> None:
    rgb = np.array((200.0, 40.0, 90.0))
    red, blue = MATRICES[matrix]
    luma = np.dot((red, 1 - red - blue, blue), rgb)
    chroma = (rgb[2] - luma) / (1 - blue) / 2, (rgb[0] - luma) / (1 - red) / 2
    scale, offset, spread = (1, 0, 1) if full_range else (219 / 255, 16, 224 / 255)
    planes = (luma * scale + offset, *(c * spread + 128 for c in chroma))
    path = tmp_path / "clip.mkv"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, height, "yuv444p"
        stream.codec_context.colorspace, stream.codec_context.color_range = tag, 2 if full_range else 1
        data = np.stack([np.full((height, 64), round(p), np.uint8) for p in planes])
        frame = VideoFrame.from_ndarray(data, format="yuv444p")
        frame.colorspace, frame.color_range = tag, 2 if full_range else 1
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    np.testing.assert_allclose(next(read_frames(path)).mean(axis=(0, 1)), rgb, atol=2)


@pytest.mark.parametrize("degrees", [0, 90])
@pytest.mark.parametrize(("codec", "count"), [("libx264", 8), ("mpeg2video", 8), ("libx264", 1)])
def test_interlaced_frames_are_deinterlaced(tmp_path: Path, codec: str, count: int, degrees: int) -> None:
    path = tmp_path / "clip.mp4"
    with av.open(path, "w") as container:
        options = {"x264-params": "interlaced=1:tff=1"} if codec == "libx264" else {"qscale": "2"}
        stream = container.add_stream(codec, rate=25, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.flags |= Flags.interlaced_dct
        stream.set_display_rotation(degrees)
        for i in range(count):
            pixels = np.full((64, 96, 3), 40, np.uint8)
            pixels[::2, 8 * i : 8 * i + 16] = pixels[1::2, 8 * i + 4 : 8 * i + 20] = 220  # the second field is later
            frame = VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    read = [np.rot90(pixels, -degrees // 90).astype(int) for pixels in read_frames(path)]
    assert len(read) == count
    for i, pixels in enumerate(read[1:-1], 1):
        fields = np.full((2, 96), 40)
        fields[0, 8 * i : 8 * i + 16] = fields[1, 8 * i + 4 : 8 * i + 20] = 220
        assert min(np.abs(pixels.mean(axis=(0, 2)) - field).mean() for field in fields) < 4
        assert np.abs(np.diff(pixels, axis=0)).mean() < 1
    np.testing.assert_array_equal(next(read_frames(path, slice(count - 1, None))), list(read_frames(path))[-1])


def test_ten_bits_with_the_tags_of_hdr_are_tone_mapped(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx265", rate=25, options={"x265-params": "log-level=none"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 9, 9, 16, 1
        frame = VideoFrame(64, 48, "yuv420p10le")
        for plane, level in zip(frame.planes, (64 + round(876 * 0.4273), 512, 512), strict=True):  # 43 cd/m2
            plane.update(np.full(plane.buffer_size // 2, level, np.uint16).tobytes())
        frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range = 9, 9, 16, 1
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    np.testing.assert_allclose(next(read_frames(path)).mean(axis=(0, 1)), 255 * (43 / 203) ** (1 / 2.4), atol=3)


# --- times


def test_every_frame_of_variable_rate_comes_once_and_keeps_its_time(tmp_path: Path) -> None:
    """Written at a nominal 1000 frames a second, as screen recorders do; read at the rate of phones."""
    times_ms = [0, 33, 67, 1000, 1010, 1020, 3000]
    clip = make_clip(tmp_path / "clip.mkv", grays(7), 1000, times_ms=times_ms)
    assert probe(clip).frame_rate == 30
    assert levels(read_frames(clip)) == list(range(7))
    assert read_times(clip)[:-1] == [Fraction(time_ms, 1000) for time_ms in times_ms]
    assert read_times(clip)[-1] == 3 + Fraction(1, 30)  # a millisecond would not be seen
    assert levels(read_frames(clip, slice(2, 5))) == [2, 3, 4]
    assert read_times(clip, slice(2, 5)) == [Fraction(time_ms, 1000) for time_ms in (67, 1000, 1010, 1020)]


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001), Fraction(24000, 1001), Fraction(60)])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi", "clip.ts", "clip.mov", "clip.webm"])
def test_a_constant_rate_is_exactly_constant(tmp_path: Path, name: str, rate: Fraction) -> None:
    clip = make_clip(tmp_path / name, grays(70), rate, codec="libvpx" if name == "clip.webm" else "libx264")
    assert read_times(clip) == [i / rate for i in range(71)]
    times_s = read_times(clip, slice(13, 60))
    assert [time_s - times_s[0] for time_s in times_s] == [i / rate for i in range(48)]
    assert abs(times_s[0] - 13 / rate) <= Fraction(1, 2000)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_pauses_of_an_avi_are_kept(tmp_path: Path, codec: str) -> None:
    ticks = (0, 1, 2, 5, 6, 7, 8, 9, 12, 13, 14, 15)
    clip = make_clip(tmp_path / "clip.avi", grays(12), codec=codec, times_ms=[40 * tick for tick in ticks])
    assert probe(clip).frame_count == 12
    assert levels(read_frames(clip)) == list(range(12))
    assert read_times(clip)[:-1] == [Fraction(tick, 25) for tick in ticks]


def test_a_jump_of_the_time_stamps_is_no_pause(tmp_path: Path) -> None:
    times_ms = [*range(0, 400, 40), *range(9_000_000, 9_000_200, 40), *range(9_000_280, 9_000_480, 40)]
    clip = make_clip(tmp_path / "clip.mkv", grays(20), 25, times_ms=times_ms)
    assert levels(read_frames(clip)) == list(range(20))
    still = 14  # shown for 120 ms after the jump
    assert read_times(clip) == [Fraction(i + 2 * (i > still), 25) for i in range(21)]


def test_joined_recordings_go_on_where_the_first_one_ends(tmp_path: Path) -> None:
    parts = [make_clip(tmp_path / name, grays(50)).read_bytes() for name in ("a.ts", "b.ts")]
    (tmp_path / "joined.ts").write_bytes(b"".join(parts))
    assert levels(read_frames(tmp_path / "joined.ts")) == [i % 25 for i in range(100)]
    assert read_times(tmp_path / "joined.ts") == [Fraction(i, 25) for i in range(101)]


@pytest.mark.parametrize("times_ms", [None, [33 * i + 5 * (i % 3) + 500 * (i > 10) for i in range(20)]])
def test_frames_hidden_by_an_edit_list_are_not_counted(tmp_path: Path, times_ms: list[int] | None) -> None:
    clip = make_clip(tmp_path / "clip.mp4", grays(20), 25 if times_ms is None else 1000, times_ms=times_ms)
    data = bytearray(clip.read_bytes())
    at = data.index(b"elst") + 12  # after the type, the version and the number of edits
    struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] // 2)
    clip.write_bytes(data)
    shown = levels(read_frames(clip))
    assert shown == list(range(len(shown)))
    assert 9 < len(shown) < 12
    assert probe(clip).frame_count == len(shown) == len(read_times(clip)) - 1


# --- folders of pictures


def test_a_folder_of_pictures_is_a_clip(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for i, pixels in enumerate(grays(12, 50, 70)):
        Image.fromarray(pixels).save(folder / f"frame{i}.png")
    (folder / ".hidden").write_text("")
    info = probe(folder)
    assert (info.width_px, info.height_px, info.frame_rate, info.frame_count) == (70, 50, Fraction(25), 12)
    assert not info.has_sound
    assert levels(read_frames(folder)) == list(range(12))
    assert levels(read_frames(folder, slice(9, 11))) == [9, 10]
    assert next(read_frames(folder, width_px=35)).shape == (24, 34, 3)
    assert read_times(folder, slice(9, 11)) == [Fraction(i, 25) for i in (9, 10, 11)]
    assert [path.name for path in clip_files(folder)] == [f"frame{i}.png" for i in range(12)]
    with pytest.raises(UserError, match="has 12 frames"):
        read_frames(folder, slice(9, 13))


def test_mistakes_in_a_folder_of_pictures_are_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no pictures"):
        probe(tmp_path)
    Image.new("RGB", (70, 50)).save(tmp_path / "1.png")
    Image.new("RGB", (50, 70)).save(tmp_path / "2.png")
    with pytest.raises(UserError, match=r"2\.png and 1\.png have different sizes, 50 x 70 and 70 x 50"):
        list(read_frames(tmp_path))
    (tmp_path / "2.png").write_text("no picture")
    with pytest.raises(UserError, match=r"2\.png cannot be used \(not-an-image"):
        read_times(tmp_path)


# --- files that are no videos


def hostile_files(folder: Path) -> dict[str, tuple[Path, str]]:
    def write(name: str, data: bytes) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    whole = make_clip(folder / "whole.mp4", grays(50), sound="aac").read_bytes()
    ready = make_clip(folder / "ready.mp4", grays(50), sound="aac", movflags="+faststart").read_bytes()
    with av.open(folder / "sound.m4a", "w") as container:
        audio = container.add_stream("aac", rate=SAMPLE_RATE)
        silence = AudioFrame.from_ndarray(np.zeros((2, 4096), np.float32), format="fltp", layout="stereo")
        silence.sample_rate = SAMPLE_RATE
        container.mux(audio.encode(silence))
        container.mux(audio.encode(None))
    (folder / "folder.mp4").mkdir()
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nwhole.mp4\n#EXT-X-ENDLIST\n"
    return {
        "missing": (folder / "none.mp4", "not a file"),
        "folder": (folder / "folder.mp4", "holds no pictures"),
        "empty": (write("empty.mp4", b""), "cannot be read"),
        "html": (write("page.mp4", b"<!DOCTYPE html><html><body>404</body></html>" * 50), "cannot be read"),
        "text": (write("notes.txt", b"some words\n" * 500), "cannot be read"),
        "noise": (write("noise.mp4", np.random.default_rng(0).bytes(50_000)), "cannot be read"),
        "playlist": (write("list.m3u8", playlist.encode()), "cannot be read"),
        "script": (write("script.mp4", b"ffconcat version 1.0\nfile whole.mp4\n"), "cannot be read"),
        "cut off before the index": (write("half.mp4", whole[: len(whole) // 2]), "cannot be read"),
        "cut off after the index": (write("cut.mp4", ready[: len(ready) * 2 // 3]), "before frame|cannot be read"),
        "only sound": (folder / "sound.m4a", "no moving picture"),
    }


def test_what_is_no_whole_video_is_refused_in_one_sentence(tmp_path: Path) -> None:
    for kind, (path, message) in hostile_files(tmp_path).items():
        with pytest.raises(UserError, match=message) as caught:
            list(read_frames(path))
        assert path.name in str(caught.value), kind
        assert "\n" not in str(caught.value), kind


def test_a_damaged_packet_is_left_out_and_more_are_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = make_clip(tmp_path / "clip.mov", grays(30), codec="png", pix_fmt="rgb24")
    data = bytearray(clip.read_bytes())
    with av.open(clip) as container:
        starts = [packet.pos for packet in container.demux(video=0) if packet.pos is not None]
    offset = data.index(b"\x89PNG", starts[12]) - starts[12]
    data[starts[12] + offset] = 0
    clip.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert levels(read_frames(clip)) == [*range(12), *range(13, 25), *range(5)]
    assert "frame 12 is damaged and left out" in caplog.text
    assert read_times(clip) == [Fraction(i, 25) for i in range(31) if i != 12]
    data[starts[20] + offset] = 0
    clip.write_bytes(data)
    for read in (read_frames, read_times):
        with pytest.raises(UserError, match="damaged at frame 19"):
            list(read(clip))


def test_frames_too_large_to_be_meant_are_refused(tmp_path: Path) -> None:
    narrow = make_clip(tmp_path / "narrow.mkv", grays(1, 1000, 2), codec="ffv1", pix_fmt="bgr0")
    assert next(read_frames(narrow)).shape == (1000, 2, 3)
    with pytest.raises(UserError, match="64 megapixels"):
        list(read_frames(narrow, width_px=480))
    wide = make_clip(tmp_path / "wide.mkv", grays(1, 600, 600), pixel_aspect=30)
    with pytest.raises(UserError, match="16384 pixels a side"):
        probe(wide)


def test_a_frame_larger_than_its_header_says_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip(tmp_path / "clip.avi", grays(2, 300, 200), codec="mjpeg", pix_fmt="yuvj420p")
    clip.write_bytes(clip.read_bytes().replace(struct.pack("<II", 200, 300), struct.pack("<II", 20, 30)))
    assert next(read_frames(clip)).shape == (300, 200, 3)
    monkeypatch.setattr(video, "DECODE_OPTIONS", {"max_pixels": "50000"})
    with pytest.raises(UserError, match="holds no picture"):
        read_frames(clip)
