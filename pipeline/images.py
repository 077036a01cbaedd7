"""Pictures: safe decoding of files from anywhere, resizing, perceptual hashes and contact sheets.

Everything works on upright 8-bit RGB images in sRGB, which is what :func:`open_image` makes of any file or refuses.
Only what is painted has more levels: :func:`load_unit` reads and :func:`save_picture` writes 16 bits a channel.
"""

import io
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import cv2
import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageCms, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from pipeline.console import UserError
from pipeline.files import replacing

Reason = Literal[
    "not-an-image",
    "truncated",
    "corrupt",
    "decompression-bomb",
    "too-small",
    "too-long",
    "animated",
    "unsupported-mode",
]

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")

MAX_MEGAPIXELS = 178
"""What Pillow decodes at most."""

MAX_SIDE_PX = 65_500
"""What a JPEG holds at most."""

NETWORK_MIN_SIDE_PX = 32
"""Of a picture for the network, which halves it four times before its last block."""

_FORMATS = ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP")  # JPEG includes MPO
_UNSUPPORTED_MODES = ("I", "F", "LAB")
"""32-bit samples have no agreed white, and Pillow does not convert LAB."""
_DEEP_STARTS = (b"\x89PNG", b"II*\0", b"MM\0*")
_DEFLATED = (
    *(cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_ADOBE_DEFLATE),
    *(cv2.IMWRITE_TIFF_PREDICTOR, cv2.IMWRITE_TIFF_PREDICTOR_HORIZONTAL),
)
_DEEP_OPTIONS: dict[str, tuple[int, ...]] = {".png": (), ".tif": _DEFLATED, ".tiff": _DEFLATED}
_ROUNDING_LEVELS = 2
"""Of 255, between decoders that mean the same colour."""
_SRGB = ImageCms.createProfile("sRGB")
_HASH_BITS = 64
_HASH_SIDE_PX = 32
"""What imagehash takes the coefficients of."""

_PAPER, _CARD, _INK = "#fafafa", "#eeeeee", "#333333"


class RejectedImage(Exception):  # noqa: N818, an outcome that is wanted rather than an error
    """A file that is not taken: a stable ``reason`` for tables, and a ``detail`` for people."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def open_image(source: Path | bytes, *, max_megapixels: float = MAX_MEGAPIXELS, min_side_px: int = 1) -> Image.Image:
    """Decode a file, or its bytes, into an upright 8-bit RGB image in sRGB.

    Size and number of frames are checked in the header, before anything is decoded. EXIF orientation and ICC profile
    are applied (a broken one is ignored), transparency is composited on white, 16-bit grey is scaled, and CMYK
    without a profile is converted plainly.

    Raises :class:`RejectedImage`, whatever the bytes are, and ``OSError`` for a path that cannot be read.
    """
    data = source.read_bytes() if isinstance(source, Path) else source
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            _check_header(image, max_megapixels, min_side_px)
            image.load()
            return _upright_srgb(image)
    except RejectedImage:
        raise
    except UnidentifiedImageError:
        raise RejectedImage("not-an-image", f"starts with {data[:16]!r}" if data else "empty file") from None
    except Image.DecompressionBombError as error:
        raise RejectedImage("decompression-bomb", str(error)) from error
    except Exception as error:  # a hostile file leads decoders to raise anything
        truncated = isinstance(error, EOFError) or "truncated" in str(error).lower()
        raise RejectedImage("truncated" if truncated else "corrupt", f"{type(error).__name__}: {error}") from error


def load_rgb(path: Path) -> Image.Image:
    """Decode a picture that a person named; raises :class:`UserError`."""
    try:
        return open_image(path, min_side_px=NETWORK_MIN_SIDE_PX)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give the path of a picture") from None
    except RejectedImage as error:
        raise UserError(
            f"{path} cannot be used ({error.reason}: {error.detail}); "
            f"give a JPEG, PNG, WebP, TIFF, GIF or BMP picture of at least {NETWORK_MIN_SIDE_PX} px a side"
        ) from None


def load_unit(path: Path) -> NDArray[np.float32]:
    """Decode a picture that a person named to RGB (H, W, 3) in [0, 1], upright and in sRGB; raises :class:`UserError`.

    All of the 16 bits of a PNG or TIFF are kept, unless it is transparent or has the profile of another colour space.
    """
    pixels = np.asarray(load_rgb(path))
    deep = _deep_samples(path.read_bytes(), pixels)
    return np.divide(pixels, 255, dtype=np.float32) if deep is None else np.divide(deep, 65535, dtype=np.float32)


def save_picture(path: Path, pixels: NDArray[np.floating[Any]]) -> None:
    """Write sRGB (H, W, 3), clipped to [0, 1]: with 16 bits a channel as PNG or TIFF, with 8 as JPEG or WebP."""
    with replacing(path) as temporary:
        if (options := _DEEP_OPTIONS.get(path.suffix.lower())) is not None:  # Pillow writes no such colours
            samples = cv2.cvtColor(_quantised(pixels, np.uint16), cv2.COLOR_RGB2BGR)
            _, file = cv2.imencode(path.suffix, samples, options)
            temporary.write_bytes(file.tobytes())  # not by imwrite, for which a full disk is no OSError
        else:
            Image.fromarray(_quantised(pixels, np.uint8)).save(temporary, quality=95, subsampling="4:4:4")


def _deep_samples(data: bytes, pixels: NDArray[np.uint8]) -> NDArray[np.uint16] | None:
    """The 16-bit samples of a file, if they mean what :func:`open_image` has made of it (H, W, 3)."""
    if not data.startswith(_DEEP_STARTS):
        return None
    with suppress(cv2.error):
        samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        if samples is not None and samples.dtype == np.uint16 and samples.shape == pixels.shape:
            deep = np.asarray(cv2.cvtColor(samples, cv2.COLOR_BGR2RGB), np.uint16)
            if cv2.absdiff((deep >> 8).astype(np.uint8), pixels).max() <= _ROUNDING_LEVELS:
                return deep
    return None


def _quantised(pixels: NDArray[np.floating[Any]], kind: type[np.unsignedinteger[Any]]) -> NDArray[Any]:
    return np.asarray(np.rint(np.clip(pixels, 0, 1) * np.iinfo(kind).max), kind)


def _check_header(image: Image.Image, max_megapixels: float, min_side_px: int) -> None:
    width_px, height_px = image.size
    if width_px * height_px > max_megapixels * 1e6:
        raise RejectedImage("decompression-bomb", f"{width_px} x {height_px}")
    if min(image.size) < min_side_px:
        raise RejectedImage("too-small", f"{width_px} x {height_px}")
    if max(image.size) > MAX_SIDE_PX:
        raise RejectedImage("too-long", f"{width_px} x {height_px}")
    # The further frames of an MPO are previews or the second eye of a stereo camera.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise RejectedImage("animated", f"{image.format} of several frames")


def _upright_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    with suppress(Exception):  # broken EXIF says nothing about the pixels
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I;16"):
        gray = np.asarray(image).astype(np.uint32)
        image = Image.fromarray(((gray + 128) // 257).astype(np.uint8))
    if image.mode in _UNSUPPORTED_MODES:
        raise RejectedImage("unsupported-mode", image.mode)
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("L" if image.mode in ("1", "LA") else "RGB")
    if profile:
        with suppress(Exception):  # a broken profile, or one of another colour space, is as good as none
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            image = ImageCms.profileToProfile(image, source, _SRGB, outputMode="RGB") or image
    if image.mode != "RGB":  # else convert() copies
        image = image.convert("RGB")
    if alpha is not None:
        image = Image.composite(image, Image.new("RGB", image.size, "white"), alpha)
    image.info = {}
    return image


def resize_short_side(image: Image.Image, short_side_px: int) -> Image.Image:
    """Reduce to a short side of ``short_side_px``, keeping the shape; a smaller image is returned as it is."""
    scale = short_side_px / min(image.size)
    if scale >= 1:
        return image
    width_px, height_px = (round(side_px * scale) for side_px in image.size)
    return image.resize((width_px, height_px), Image.Resampling.LANCZOS, reducing_gap=3.0)


def perceptual_hash(image: Image.Image) -> str | None:
    """The 64-bit DCT hash of ``imagehash.phash`` in hexadecimal; None for a picture too plain to have one.

    A bit tells whether a low-frequency coefficient is above the median, so exactly half of them are set unless many
    coefficients are equal. That happens to plain colours and smooth ramps, whose hashes would all be alike.
    """
    # imagehash would reduce the grey image in one step, which takes twice the time.
    grey = image.convert("L").resize((_HASH_SIDE_PX, _HASH_SIDE_PX), Image.Resampling.LANCZOS, reducing_gap=3.0)
    value = imagehash.phash(grey)
    return str(value) if int(value.hash.sum()) == _HASH_BITS // 2 else None


def is_gray(image: Image.Image) -> bool:
    """Whether an RGB image has no colour: channels at most 8 levels apart in 99% of a reduced copy's pixels."""
    red, green, blue = image.reduce(max(1, min(image.size) // 64)).split()
    most = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    least = ImageChops.darker(ImageChops.darker(red, green), blue)
    levels = ImageChops.difference(most, least).histogram()
    return sum(levels[:9]) >= 0.99 * sum(levels)


def contact_sheet(tiles: Sequence[tuple[Image.Image, str]], columns: int, tile_px: int) -> Image.Image:
    """Images with captions, row by row: each within a square card of ``tile_px``, its caption below."""
    gap_px = max(4, tile_px // 16)
    font_px = max(10, tile_px // 12)
    font = ImageFont.load_default(size=font_px)
    caption_px = round(1.6 * font_px)
    rows = -(-len(tiles) // columns)
    step_x_px, step_y_px = tile_px + gap_px, tile_px + caption_px + gap_px
    sheet = Image.new("RGB", (columns * step_x_px + gap_px, rows * step_y_px + gap_px), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, (image, caption) in enumerate(tiles):
        row, column = divmod(index, columns)
        left, top = gap_px + column * step_x_px, gap_px + row * step_y_px
        draw.rectangle((left, top, left + tile_px - 1, top + tile_px - 1), fill=_CARD)
        fitted = ImageOps.contain(image, (tile_px, tile_px), Image.Resampling.LANCZOS)
        sheet.paste(fitted, (left + (tile_px - fitted.width) // 2, top + (tile_px - fitted.height) // 2))
        text = _shortened(caption, font, tile_px)
        draw.text((left + tile_px / 2, top + tile_px + caption_px / 2), text, fill=_INK, font=font, anchor="mm")
    return sheet


def _shortened(caption: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width_px: int) -> str:
    if font.getlength(caption) <= width_px:
        return caption
    kept = next((n for n in range(len(caption), 0, -1) if font.getlength(caption[:n] + "…") <= width_px), 0)
    return caption[:kept].rstrip() + "…"
