import io
import struct
import zlib
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms

from pipeline.console import UserError
from pipeline.images import (
    RejectedImage,
    contact_sheet,
    is_gray,
    load_rgb,
    load_unit,
    open_image,
    perceptual_hash,
    resize_short_side,
    save_picture,
)
from tests.pictures import encoded, noise, scene


def pixels(data: bytes) -> NDArray[np.int64]:
    image = open_image(data)
    assert image.mode == "RGB"
    assert image.info == {}
    return np.asarray(image).astype(np.int64)


def reason(data: bytes, **limits: float) -> str:
    with pytest.raises(RejectedImage) as caught:
        open_image(data, **limits)  # type: ignore[arg-type]
    return caught.value.reason


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour_type: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"])
def test_ordinary_files_decode_as_pillow_decodes_them(kind: str) -> None:
    data = encoded(scene(), kind)
    assert np.array_equal(pixels(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        b"\xff\xd8\xff",
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        encoded(scene(), "PPM"),
        encoded(scene(), "ICO"),
        encoded(scene(), "EPS"),
        encoded(scene(), "JPEG2000"),
    ],
    ids=["empty", "html", "three bytes", "svg", "ppm", "ico", "eps", "jpeg2000"],
)
def test_what_is_no_image_of_an_allowed_format_is_rejected(data: bytes) -> None:
    assert reason(data) == "not-an-image"


def test_detail_of_a_page_shows_how_it_starts() -> None:
    with pytest.raises(RejectedImage) as caught:
        open_image(b"<!DOCTYPE html>...")
    assert "<!DOCTYPE html>" in caught.value.detail
    assert "0x" not in caught.value.detail


@pytest.mark.parametrize(
    "data",
    [
        encoded(scene(), "JPEG", quality=95),
        encoded(scene(), "JPEG", quality=95, progressive=True),
        encoded(scene(), "PNG"),
        encoded(scene(), "TIFF"),
        encoded(scene(), "GIF"),
        encoded(scene(), "BMP"),
    ],
    ids=["jpeg", "progressive jpeg", "png", "tiff", "gif", "bmp"],
)
def test_truncated_files_are_rejected(data: bytes) -> None:
    assert reason(data[: len(data) * 3 // 5]) in ("truncated", "corrupt" if data[:2] == b"II" else "truncated")


def test_truncated_webp_is_rejected() -> None:
    data = encoded(scene(), "WEBP")
    assert reason(data[: len(data) * 3 // 5]) in ("truncated", "corrupt", "not-an-image")


@pytest.mark.parametrize(
    "data",
    [
        png(60_000, 60_000, 8, 2, b"\0" * 100),
        png(14_000, 14_000, 1, 0, b"\0" * 100),
        b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + encoded(scene(), "GIF")[10:],
        encoded(scene(), "BMP")[:18] + struct.pack("<ii", 30_000, 30_000) + encoded(scene(), "BMP")[26:],
    ],
    ids=["png", "one-bit png", "gif", "bmp"],
)
def test_bombs_are_rejected_by_their_header(data: bytes) -> None:
    assert reason(data) == "decompression-bomb"


def test_limit_of_megapixels_is_the_callers() -> None:
    data = encoded(scene(200, 100), "PNG")
    assert reason(data, max_megapixels=0.0199) == "decompression-bomb"
    assert open_image(data, max_megapixels=0.02).size == (200, 100)


def test_sizes_that_pillow_only_warns_of_pass_in_silence() -> None:
    assert reason(png(10_000, 10_000, 1, 0, b"\0" * 100)) in ("truncated", "corrupt")


def test_tiny_and_endless_images_are_rejected() -> None:
    assert reason(encoded(Image.new("RGB", (1, 1)), "GIF"), min_side_px=2) == "too-small"
    assert reason(encoded(scene(64, 63), "PNG"), min_side_px=64) == "too-small"
    assert open_image(encoded(scene(64, 64), "PNG"), min_side_px=64).size == (64, 64)
    assert reason(encoded(Image.new("L", (70_000, 2)), "PNG")) == "too-long"


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_animations_are_rejected(kind: str) -> None:
    data = encoded(scene(), kind, save_all=True, append_images=[scene(seed=1), scene(seed=2)])
    assert reason(data) == "animated"


def test_only_the_first_picture_of_a_stereo_jpeg_counts() -> None:
    data = encoded(scene(), "MPO", save_all=True, append_images=[scene(seed=1)], quality=95)
    assert np.abs(pixels(data) - np.asarray(scene())).mean() < 4


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_cmyk_without_profile_is_converted_plainly(kind: str) -> None:
    inks = np.repeat(np.repeat(noise(3, 4, 4), 16, axis=0), 16, axis=1)
    data = encoded(Image.fromarray(inks, "CMYK"), kind, **({"quality": 100} if kind == "JPEG" else {}))
    if kind == "JPEG":
        assert b"Adobe" in data[:64], "Adobe's JPEGs hold inverted inks"
    cyan_magenta_yellow, black = inks[..., :3] / 255.0, inks[..., 3:] / 255.0
    expected = 255 * (1 - cyan_magenta_yellow) * (1 - black)
    assert np.abs(pixels(data) - expected).max() <= (1 if kind == "TIFF" else 6)


def cmyk_profile() -> bytes:
    """An ICC profile (version 2, lut8) of a printer whose cyan is red, its magenta and yellow invisible."""
    red, white, black = bytes((136, 208, 195)), bytes((255, 128, 128)), bytes((0, 128, 128))  # 8-bit Lab
    identity = np.array([1, 0, 0, 0, 1, 0, 0, 0, 1], dtype=">i4") * 65536
    ramp = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + identity.astype(">i4").tobytes() + ramp * 4
    table += (white + black) * 4 + (red + black) * 4 + ramp * 3
    illuminant = struct.pack(">iii", round(0.9642 * 65536), 65536, round(0.8249 * 65536))
    header = struct.pack(">I4sI4s4s4s12s4s", 144 + len(table), b"", 0x02400000, b"prtr", b"CMYK", b"Lab ", b"", b"acsp")
    return (
        header.ljust(68, b"\0")
        + illuminant.ljust(60, b"\0")
        + struct.pack(">I4sII", 1, b"A2B0", 144, len(table))
        + table
    )


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_cmyk_goes_through_its_profile(kind: str) -> None:
    image = Image.new("CMYK", (32, 32), (255, 0, 0, 0))
    red, green, blue = pixels(encoded(image, kind, icc_profile=cmyk_profile())).mean(axis=(0, 1))
    assert red > 200
    assert green < 60
    assert blue < 60


def swapped_profile() -> bytes:
    """SRGB with the primaries of red and blue exchanged."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return data.replace(b"rXYZ", b"----").replace(b"bXYZ", b"rXYZ").replace(b"----", b"bXYZ")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_profiles_of_rgb_are_applied(mode: str) -> None:
    image = scene().quantize(16).convert(mode)
    expected = np.asarray(image.convert("RGB"))[..., ::-1]
    assert np.abs(pixels(encoded(image, "PNG", icc_profile=swapped_profile())) - expected).max() <= 2


@pytest.mark.parametrize("profile", [b"", b"nonsense", swapped_profile()[:200], cmyk_profile()])
def test_profiles_that_are_broken_or_of_another_space_are_ignored(profile: bytes) -> None:
    data = encoded(scene(), "PNG", icc_profile=profile)
    assert np.array_equal(pixels(data), np.asarray(scene()))


@pytest.mark.parametrize(("kind", "order"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2")])
def test_gray_of_16_bits_is_scaled(kind: str, order: str) -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    data = encoded(Image.fromarray(values.astype(order)), kind)
    expected = np.rint(values / 257.0)
    assert np.array_equal(pixels(data), np.repeat(expected[..., None], 3, axis=2))


def test_rgb_of_16_bits_is_scaled() -> None:
    values = np.random.default_rng(0).integers(0, 65536, (8, 8, 3), dtype=np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    assert np.abs(pixels(png(8, 8, 16, 2, rows)) - values / 257.0).max() <= 1


@pytest.mark.parametrize("mode", ["I", "F"])
def test_samples_without_an_agreed_white_are_rejected(mode: str) -> None:
    assert reason(encoded(Image.new(mode, (8, 8), 7), "TIFF")) == "unsupported-mode"


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_composited_on_white(mode: str) -> None:
    channels = noise(16, 16, len(mode))
    colour, alpha = channels[..., :-1].astype(float), channels[..., -1:] / 255.0
    expected = np.broadcast_to(alpha * colour + (1 - alpha) * 255, (16, 16, 3))
    assert np.abs(pixels(encoded(Image.fromarray(channels, mode), "PNG")) - expected).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_transparent_palette_entries_become_white(kind: str) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8).repeat(4, axis=0), "P")
    image.putpalette([10, 20, 30, 200, 0, 0, 0, 0, 200])
    data = encoded(image, kind, transparency=1)
    assert pixels(data)[0].tolist() == [[10, 20, 30], [255, 255, 255], [0, 0, 200]]


def test_palette_entries_may_be_half_transparent() -> None:
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), "P")
    image.putpalette([0, 0, 0, 0, 0, 255])
    data = encoded(image, "PNG", transparency=bytes((255, 51)))
    assert pixels(data)[0].tolist() == [[0, 0, 0], [204, 204, 255]]


def test_a_transparent_colour_of_rgb_and_of_gray_becomes_white() -> None:
    image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8))
    assert pixels(encoded(image, "PNG", transparency=(1, 2, 3)))[0].tolist() == [[255, 255, 255], [4, 5, 6]]
    gray = Image.fromarray(np.array([[7, 8]], dtype=np.uint8))
    assert pixels(encoded(gray, "PNG", transparency=7))[0].tolist() == [[255] * 3, [8] * 3]


def test_one_bit_and_gray_images_become_rgb() -> None:
    gray = Image.fromarray(noise(9, 7))
    assert np.array_equal(pixels(encoded(gray, "PNG"))[..., 1], np.asarray(gray))
    bits = gray.convert("1")
    assert np.array_equal(pixels(encoded(bits, "PNG"))[..., 2], np.asarray(bits) * 255)


# What a camera stores, from TIFF 6.0's table: where row 0 and column 0 of the stored image are on the upright one.
STORED = {
    1: lambda upright: upright,  # top, left
    2: lambda upright: upright[:, ::-1],  # top, right
    3: lambda upright: upright[::-1, ::-1],  # bottom, right
    4: lambda upright: upright[::-1],  # bottom, left
    5: lambda upright: upright.swapaxes(0, 1),  # left, top
    6: lambda upright: upright[:, ::-1].swapaxes(0, 1),  # right, top
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),  # right, bottom
    8: lambda upright: upright[::-1].swapaxes(0, 1),  # left, bottom
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_exif_orientation_is_undone(orientation: int, kind: str) -> None:
    upright = noise(5, 7, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    assert np.array_equal(pixels(encoded(stored, kind, exif=exif.tobytes())), upright)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
def test_broken_exif_is_ignored(exif: bytes) -> None:
    plain = encoded(scene(), "JPEG")
    assert np.array_equal(pixels(encoded(scene(), "JPEG", exif=exif)), pixels(plain))


SEEDS = [
    encoded(scene(), "JPEG", icc_profile=swapped_profile(), exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"),
    encoded(scene(), "JPEG", progressive=True),
    encoded(scene().convert("CMYK"), "JPEG", icc_profile=cmyk_profile()),
    encoded(scene(), "MPO", save_all=True, append_images=[scene(seed=1)]),
    encoded(scene().convert("RGBA"), "PNG", icc_profile=swapped_profile()),
    encoded(scene(), "PNG", save_all=True, append_images=[scene(seed=1)]),
    encoded(scene().quantize(16), "GIF", transparency=3),
    encoded(scene(), "TIFF", compression="tiff_lzw"),
    encoded(scene(), "TIFF", compression="jpeg"),
    encoded(Image.fromarray(noise(9, 9).astype(np.uint16) * 257), "TIFF"),
    encoded(scene(), "WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"),
    encoded(scene(), "BMP"),
]


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_mutated_files_decode_or_are_rejected(data: st.DataObject) -> None:
    mutated = bytearray(data.draw(st.sampled_from(SEEDS)))
    # Most decisions are taken on the first bytes of a file.
    place = st.one_of(st.integers(0, 200), st.integers(0, len(mutated) - 1)).map(lambda at: min(at, len(mutated) - 1))
    for at, value in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), min_size=1, max_size=8)):
        mutated[at] = value
    end = data.draw(st.one_of(st.just(len(mutated)), st.integers(0, len(mutated))))
    try:
        image = open_image(bytes(mutated[:end]), max_megapixels=1)
    except RejectedImage:
        pass
    else:
        assert image.mode == "RGB"
        assert image.width * image.height <= 1e6


def test_pictures_of_people_load_from_a_path(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    scene().save(path)
    assert np.array_equal(np.asarray(load_rgb(path)), np.asarray(scene()))


def test_people_are_told_in_one_sentence_what_is_wrong(tmp_path: Path) -> None:
    page = tmp_path / "picture.jpg"
    page.write_text("<html>")
    dot = tmp_path / "dot.png"
    scene(31, 40).save(dot)
    for path in (page, dot, tmp_path / "missing.jpg", tmp_path):
        with pytest.raises(UserError) as caught:
            load_rgb(path)
        message = str(caught.value)
        assert str(path) in message
        assert "; give " in message
        assert "\n" not in message


def tiff(samples: NDArray[np.uint16], order: str = "<", orientation: int = 1) -> bytes:
    """A plain TIFF of 16-bit RGB (TIFF 6.0, section 6): header, strip, directory, bits per sample."""
    height, width, channels = samples.shape
    strip = samples.astype(f"{order}u2").tobytes()
    directory_at, entries = 8 + len(strip), 10
    bits_at = directory_at + 2 + 12 * entries + 4
    short, long = (f"{order}HHIHxx", 3), (f"{order}HHII", 4)
    tags = [
        (256, short, 1, width),
        (257, short, 1, height),
        (258, (long[0], 3), channels, bits_at),
        (259, short, 1, 1),  # not compressed
        (262, short, 1, 2),  # RGB
        (273, long, 1, 8),
        (274, short, 1, orientation),
        (277, short, 1, channels),
        (278, short, 1, height),
        (279, long, 1, len(strip)),
    ]
    assert len(tags) == entries
    directory = b"".join(struct.pack(layout, tag, kind, count, value) for tag, (layout, kind), count, value in tags)
    return (
        (b"II*\0" if order == "<" else b"MM\0*")
        + struct.pack(f"{order}I", directory_at)
        + strip
        + struct.pack(f"{order}H", entries)
        + directory
        + struct.pack(f"{order}I", 0)
        + struct.pack(f"{order}{channels}H", *[16] * channels)
    )


def deep_png(samples: NDArray[np.uint16]) -> bytes:
    height, width, channels = samples.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    return png(width, height, 16, {3: 2, 4: 6}[channels], rows)


def deep_noise(height: int, width: int, channels: int = 3) -> NDArray[np.uint16]:
    return np.random.default_rng(0).integers(0, 65536, (height, width, channels), dtype=np.uint16)


def loaded(folder: Path, data: bytes) -> NDArray[np.float64]:
    """What ``load_unit`` makes of a file, on the scale of 16 bits."""
    path = folder / "picture"
    path.write_bytes(data)
    values = load_unit(path)
    assert values.dtype == np.float32
    return values.astype(np.float64) * 65535


def decoded_by_ffmpeg(path: Path) -> NDArray[np.uint16]:
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    assert frame.format.name.startswith("rgb48")
    return np.asarray(frame.to_ndarray(), np.uint16)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".PNG"])
def test_every_level_of_16_bits_outlives_the_file(tmp_path: Path, suffix: str) -> None:
    levels = np.arange(3 * 64 * 352, dtype=np.uint32).reshape(64, 352, 3).clip(0, 65535)
    path = tmp_path / f"painting{suffix}"
    save_picture(path, levels / 65535)
    assert np.array_equal(decoded_by_ffmpeg(path), levels)
    np.testing.assert_allclose(load_unit(path), levels / 65535, atol=1e-7)
    assert np.abs(np.asarray(load_rgb(path)) - levels / 257).max() < 1
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_gentle_ramp_has_no_bands(tmp_path: Path) -> None:
    ramp = np.linspace(0.4, 0.5, 2000, dtype=np.float32)[None, :, None].repeat(32, axis=0).repeat(3, axis=2)
    save_picture(tmp_path / "sky.png", ramp)
    assert len(np.unique(decoded_by_ffmpeg(tmp_path / "sky.png"))) == 2000
    assert len(np.unique(load_unit(tmp_path / "sky.png"))) == 2000


@pytest.mark.parametrize(("suffix", "kind"), [(".jpg", "JPEG"), (".webp", "WEBP")])
def test_jpeg_and_webp_have_8_bits(tmp_path: Path, suffix: str, kind: str) -> None:
    picture = np.asarray(scene())
    path = tmp_path / f"painting{suffix}"
    save_picture(path, picture / 255)
    with Image.open(path) as image:
        assert image.format == kind
    assert np.abs(np.asarray(load_rgb(path)).astype(float) - picture).mean() < 2
    assert np.array_equal(load_unit(path), np.asarray(load_rgb(path)).astype(np.float32) / 255)


def test_values_beyond_white_and_black_are_clipped_and_any_layout_is_taken(tmp_path: Path) -> None:
    planes = np.linspace(-0.5, 1.5, 3 * 40 * 50, dtype=np.float32).reshape(3, 40, 50)
    save_picture(tmp_path / "painting.png", planes.transpose(1, 2, 0))
    expected = np.rint(planes.transpose(1, 2, 0).clip(0, 1) * 65535)
    assert np.array_equal(decoded_by_ffmpeg(tmp_path / "painting.png"), expected)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "painting.png"
    path.write_bytes(b"before")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        save_picture(path, np.zeros((32, 32, 3)))
    assert path.read_bytes() == b"before"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bits_of_a_tiff_are_read_in_both_byte_orders(tmp_path: Path, order: str) -> None:
    samples = deep_noise(33, 40)
    np.testing.assert_allclose(loaded(tmp_path, tiff(samples, order)), samples, atol=0.01)


def test_16_bits_of_a_png_are_read_with_and_without_opaque_alpha(tmp_path: Path) -> None:
    samples = deep_noise(33, 40, 4)
    samples[..., 3] = 65535
    for each in (samples[..., :3], samples):
        np.testing.assert_allclose(loaded(tmp_path, deep_png(each)), samples[..., :3], atol=0.01)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_of_grey_are_read(tmp_path: Path, kind: str) -> None:
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = levels[..., None].repeat(3, axis=2)
    np.testing.assert_allclose(loaded(tmp_path, encoded(Image.fromarray(levels), kind)), expected, atol=0.01)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_16_bits_are_read_upright(tmp_path: Path, orientation: int) -> None:
    upright = deep_noise(33, 40)
    data = tiff(STORED[orientation](upright), orientation=orientation)
    np.testing.assert_allclose(loaded(tmp_path, data), upright, atol=0.01)


def with_profile(data: bytes, profile: bytes) -> bytes:
    """A PNG with an ICC profile after its header."""
    header_end = 8 + 25
    return data[:header_end] + png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(profile)) + data[header_end:]


def test_a_profile_of_srgb_leaves_all_16_bits(tmp_path: Path) -> None:
    samples = deep_noise(33, 40)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_allclose(loaded(tmp_path, with_profile(deep_png(samples), profile)), samples, atol=0.01)


def test_what_8_bits_compute_is_in_8_bits(tmp_path: Path) -> None:
    """Transparency and other colour spaces: exact colour counts for more than depth."""
    transparent = deep_noise(33, 40, 4)
    for data in (deep_png(transparent), with_profile(deep_png(transparent[..., :3]), swapped_profile())):
        expected = np.asarray(open_image(data)) / 255 * 65535
        np.testing.assert_allclose(loaded(tmp_path, data), expected, atol=0.01)


def test_pictures_of_8_bits_are_read_as_ever(tmp_path: Path) -> None:
    for kind in ("PNG", "TIFF", "JPEG", "GIF"):
        data = encoded(scene(), kind)
        np.testing.assert_allclose(loaded(tmp_path, data), np.asarray(open_image(data)) / 255 * 65535, atol=0.01)


def test_people_are_told_of_deep_files_too(tmp_path: Path) -> None:
    path = tmp_path / "picture.tif"
    for data in (tiff(deep_noise(31, 40)), tiff(deep_noise(40, 40))[:-2000], png(60_000, 60_000, 16, 2, b"\0" * 100)):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"picture\.tif cannot be used") as caught:
            load_unit(path)
        assert "\n" not in str(caught.value)


DEEP_SEEDS = [
    deep_png(deep_noise(33, 34)),
    deep_png(deep_noise(33, 34, 4)),
    tiff(deep_noise(33, 34)),
    tiff(deep_noise(33, 34), ">", 6),
    cv2.imencode(".tif", deep_noise(33, 34))[1].tobytes(),
]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_mutated_deep_files_decode_or_are_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    mutated = bytearray(data.draw(st.sampled_from(DEEP_SEEDS)))
    # A PNG begins with its header, a TIFF ends with its directory.
    place = st.one_of(st.integers(0, 99), st.integers(len(mutated) - 199, len(mutated) - 1))
    for at, value in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), min_size=1, max_size=6)):
        mutated[at] = value
    path = tmp_path_factory.getbasetemp() / "mutated"
    path.write_bytes(mutated)
    try:
        values = load_unit(path)
    except UserError:
        return
    image = load_rgb(path)
    assert values.shape == (image.height, image.width, 3)
    assert np.abs(values * 255 - np.asarray(image)).max() <= 3


@given(width=st.integers(1, 300), height=st.integers(1, 300), short_side_px=st.integers(1, 200))
def test_short_side_is_reduced_and_never_enlarged(width: int, height: int, short_side_px: int) -> None:
    image = Image.new("RGB", (width, height), (10, 200, 30))
    result = resize_short_side(image, short_side_px)
    assert min(result.size) == min(short_side_px, width, height)
    if result.size != image.size:
        assert (
            abs(result.width / result.height - width / height) <= 0.5 * max(result.size) / min(result.size) ** 2 + 1e-9
        )
    assert result.getextrema() == ((10, 10), (200, 200), (30, 30))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_hash_outlives_resizing_and_compression_and_tells_scenes_apart(seed: int) -> None:
    def bits(image: Image.Image) -> int:
        value = perceptual_hash(image)
        assert value is not None
        assert len(value) == 16
        return int(value, 16)

    first = bits(scene(400, 300, seed))
    small = open_image(encoded(scene(400, 300, seed).resize((133, 100)), "JPEG", quality=60))
    assert (first ^ bits(small)).bit_count() <= 6
    assert (first ^ bits(scene(400, 300, seed + 1))).bit_count() > 6


def test_plain_pictures_have_no_hash() -> None:
    ramp = Image.fromarray(np.tile(np.linspace(0, 255, 192).astype(np.uint8), (192, 1))).convert("RGB")
    for image in (Image.new("RGB", (192, 192), "white"), Image.new("RGB", (192, 192), (0, 0, 90)), ramp):
        assert perceptual_hash(image) is None


def test_gray_is_told_from_faint_colour() -> None:
    gray = scene().convert("L")
    assert is_gray(gray.convert("RGB"))
    assert is_gray(open_image(encoded(gray.convert("RGB"), "JPEG", quality=50)))
    sepia = np.asarray(gray)[..., None] * np.array([1.0, 0.88, 0.7])
    assert not is_gray(Image.fromarray(sepia.astype(np.uint8)))
    assert not is_gray(scene())


@pytest.mark.parametrize("size", [(40, 40), (640, 400), (400, 1000)])
@pytest.mark.parametrize(("share", "expected"), [(0.004, True), (0.02, False)])
def test_a_speck_of_colour_leaves_a_picture_gray(size: tuple[int, int], share: float, expected: bool) -> None:
    image = Image.fromarray(noise(6, 8)).resize(size).convert("RGB")
    side_px = round((share * image.width * image.height) ** 0.5)
    image.paste((200, 20, 20), (0, 0, side_px, side_px))
    assert is_gray(image) is expected


def test_channels_may_be_eight_levels_apart() -> None:
    assert is_gray(Image.new("RGB", (64, 64), (100, 108, 104)))
    assert not is_gray(Image.new("RGB", (64, 64), (100, 109, 104)))


def test_sheet_places_tiles_in_rows_with_captions_below() -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    tiles = [(Image.new("RGB", (30, 30), colour), "a caption far too long for its tile " * 3) for colour in colours]
    sheet = np.asarray(contact_sheet(tiles, columns=2, tile_px=96))
    gap_px, caption_px = 6, round(1.6 * 10)
    assert sheet.shape == (2 * (96 + caption_px + gap_px) + gap_px, 2 * (96 + gap_px) + gap_px, 3)
    centres = [
        (gap_px + 48, gap_px + 48),
        (gap_px + 48, 2 * gap_px + 144),
        (2 * gap_px + 144 + caption_px, gap_px + 48),
    ]
    assert [tuple(sheet[centre]) for centre in centres] == colours
    paper = sheet[0, 0]
    assert (sheet[:, :gap_px] == paper).all()
    assert (sheet[:, gap_px + 96 : 2 * gap_px + 96] == paper).all(), "captions stay within their tile"
    assert (sheet[gap_px + 96 : gap_px + 96 + caption_px, gap_px : gap_px + 96].min(axis=-1) < 128).any()
    assert (sheet[-96 - caption_px :, 2 * gap_px + 96 :] == paper).all(), "the last place is empty"


def test_sheet_shows_whole_pictures_of_any_shape() -> None:
    tall, wide = Image.new("RGB", (10, 100), "red"), Image.new("RGB", (100, 10), "blue")
    sheet = np.asarray(contact_sheet([(tall, ""), (wide, "")], columns=2, tile_px=50)).astype(int)
    red, blue = (sheet == [255, 0, 0]).all(axis=-1), (sheet == [0, 0, 255]).all(axis=-1)
    assert red.any(axis=1).sum() == blue.any(axis=0).sum() == 50
    assert red.any(axis=0).sum() == blue.any(axis=1).sum() == 5
