from fractions import Fraction

import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc, VideoReformatter
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.rectify import progressive, to_rgb, upright_size

BT709, BT2020, DISPLAY_P3 = 1, ColorPrimaries.BT2020, ColorPrimaries.SMPTE432
PQ, HLG = ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67
CHROMATICITIES = {  # x, y of red, green and blue
    BT709: ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    DISPLAY_P3: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
LUMA: dict[int, tuple[float, float]] = {Colorspace.ITU709: (0.2126, 0.0722), Colorspace.BT2020: (0.2627, 0.0593)}


def xyz(primaries: int) -> NDArray[np.float64]:
    """The matrix from linear RGB to XYZ, by the chromaticities and a white of D65."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in CHROMATICITIES[primaries]]).T
    white = np.array((0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290))
    return np.array(columns * np.linalg.solve(columns, white), np.float64)


def pq(cd_m2: NDArray[np.float64]) -> NDArray[np.float64]:
    y = (cd_m2 / 10_000) ** 0.1593017578125
    return np.power((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y), 78.84375)


def hlg(cd_m2: NDArray[np.float64]) -> NDArray[np.float64]:
    luminance = max(1e-9, float(np.dot((0.2627, 0.6780, 0.0593), cd_m2)) / 1000)
    scene = cd_m2 / 1000 * luminance ** (1 / 1.2 - 1)
    upper = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    signal: NDArray[np.float64] = np.where(scene <= 1 / 12, np.sqrt(3 * scene), upper)
    return signal


def plain(signal: NDArray[np.float64], *, transfer: int, primaries: int, matrix: int = Colorspace.BT2020) -> VideoFrame:
    """A frame of one colour, in 10 bits, from its R'G'B' in [0, 1]."""
    red, blue = LUMA[matrix if matrix in LUMA else Colorspace.BT2020]
    luma = np.dot((red, 1 - red - blue, blue), signal)
    chroma = (signal[2] - luma) / (1 - blue) / 2, (signal[0] - luma) / (1 - red) / 2
    frame = VideoFrame(64, 48, "yuv420p10le")
    for plane, level in zip(frame.planes, (64 + 876 * luma, *(512 + 896 * c for c in chroma)), strict=True):
        plane.update(np.full(plane.buffer_size // 2, round(level), np.uint16).tobytes())
    frame.color_trc, frame.color_primaries, frame.colorspace, frame.color_range = transfer, primaries, matrix, 1
    return frame


def shown(frame: VideoFrame) -> NDArray[np.float64]:
    pixels = to_rgb(frame, (64, 48), VideoReformatter())
    assert pixels.shape == (48, 64, 3)
    return np.asarray(pixels.mean(axis=(0, 1)))


def shown_hdr(light: NDArray[np.float64], transfer: int) -> NDArray[np.float64]:
    """What becomes of linear light of BT.709, in cd/m2, that was recorded in HDR with BT.2020."""
    wide = np.linalg.solve(xyz(BT2020), xyz(BT709) @ light).clip(0)
    return shown(plain(pq(wide) if transfer == PQ else hlg(wide), transfer=transfer, primaries=BT2020))


COLOURS = [(200, 30, 60), (30, 180, 60), (40, 60, 220), (128, 128, 128), (230, 200, 90), (8, 8, 8), (0, 0, 0)]


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("primaries", [BT2020, DISPLAY_P3])
def test_wide_primaries_are_converted(colour: tuple[int, int, int], primaries: int) -> None:
    light = (np.array(colour) / 255) ** 2.4
    wide = np.linalg.solve(xyz(primaries), xyz(BT709) @ light).clip(0)
    frame = plain(wide ** (1 / 2.4), transfer=ColorTrc.BT2020_10, primaries=primaries)
    np.testing.assert_allclose(shown(frame), colour, atol=3)


@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize("colour", COLOURS)
def test_hdr_darker_than_highlights_looks_as_in_sdr(colour: tuple[int, int, int], transfer: int) -> None:
    half = 0.45 * (np.array(colour) / 255) ** 2.4  # up to 91 cd/m2, where highlights begin
    np.testing.assert_allclose(shown_hdr(203 * half, transfer), 255 * half ** (1 / 2.4), atol=5)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_highlights_are_rolled_off_and_keep_their_hue(transfer: int) -> None:
    greys = [shown_hdr(np.full(3, float(light)), transfer) for light in (91, 130, 203, 400, 700, 1000)]
    levels = [grey[1] for grey in greys]
    assert all(np.ptp(grey) < 1.5 for grey in greys)
    assert all(np.diff(levels[:4]) > 10)
    assert all(np.diff(levels[3:]) >= 0)
    assert 215 < levels[2] < 235  # white paper is less than the lights
    assert levels[-1] > 253
    yellow = (shown_hdr(np.array((900.0, 450.0, 90.0)), transfer) / 255) ** 2.4
    np.testing.assert_allclose(yellow / yellow[0], (1, 0.5, 0.1), atol=0.03)


def test_what_hdr_does_not_say_is_assumed() -> None:
    signal = pq(np.array((60.0, 20.0, 10.0)))
    tagged = shown(plain(signal, transfer=PQ, primaries=BT2020))
    np.testing.assert_array_equal(shown(plain(signal, transfer=PQ, primaries=2, matrix=2)), tagged)


@given(st.lists(st.integers(0, 255), min_size=3, max_size=3))
def test_ten_bits_are_read_as_eight_are(colour: list[int]) -> None:
    frame = plain(np.array(colour) / 255, transfer=1, primaries=1, matrix=Colorspace.ITU709)
    np.testing.assert_allclose(shown(frame), colour, atol=2)


@pytest.mark.parametrize("pix_fmt", ["rgba", "yuva420p", "rgba64le", "bgra", "ya8", "gbrap"])
def test_what_is_transparent_is_black(pix_fmt: str) -> None:
    pixels = np.full((48, 64, 4), (200, 200, 200, 255), np.uint8)
    pixels[:, 16:32, 3], pixels[:, 32:, 3] = 128, 0
    frame = VideoFrame.from_ndarray(pixels, format="rgba").reformat(format=pix_fmt)
    rgb = to_rgb(frame, (64, 48), VideoReformatter())
    for columns, level in ((slice(2, 14), 200), (slice(18, 30), 100), (slice(34, 62), 0)):
        np.testing.assert_allclose(rgb[:, columns], level, atol=2)


def test_hidden_colours_do_not_leak_when_a_frame_is_scaled() -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, :31], pixels[:, 31:] = (0, 0, 200, 255), (255, 0, 0, 0)
    rgb = to_rgb(VideoFrame.from_ndarray(pixels, format="rgba"), (16, 16), VideoReformatter())
    assert rgb[..., 0].max() <= 2
    assert rgb[..., 2].max() > 180


@pytest.mark.parametrize(("aspect", "expected"), [(Fraction(2), (128, 48)), (Fraction(1, 900), (1, 48))])
def test_square_pixels(aspect: Fraction, expected: tuple[int, int]) -> None:
    assert upright_size(VideoFrame(64, 48, "yuv420p"), aspect) == expected


def test_progressive_frames_are_not_touched() -> None:
    frames = [VideoFrame(64, 48, "yuv420p") for _ in range(3)]
    assert [id(frame) for frame in progressive(frames)] == [id(frame) for frame in frames]
