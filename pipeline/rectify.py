"""Decoded frames of any kind made into one: progressive, opaque, upright, square pixels, 8-bit BT.709 RGB."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc, Interpolation, VideoReformatter
from numpy.typing import NDArray

UNSPECIFIED = 2
"""FFmpeg's number for what a file does not say of its colours: matrix, transfer function or primaries."""
SCALING = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
HDR = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)
WHITE_CD_M2 = 203
"""Of paper in an HDR picture, which becomes the white of SDR (ITU-R BT.2408)."""
PEAK_CD_M2 = 1000
"""What HDR is mostly mastered for; anything brighter is as bright."""
LUMINANCE_2020 = (0.2627, 0.678, 0.0593)
M1, M2, C1, C2, C3 = 2610 / 16384, 2523 / 32, 107 / 128, 2413 / 128, 2392 / 128
"""Of PQ (ITU-R BT.2100, table 4)."""
TO_BT709: dict[int, tuple[tuple[float, ...], ...]] = {
    ColorPrimaries.BT2020: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    ColorPrimaries.SMPTE432: ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),  # Display P3
}
"""Linear light of wider primaries in those of BT.709 (ITU-R BT.2087)."""

Floats = NDArray[np.floating[Any]]
"""RGB (H, W, 3): a signal in [0, 1], or linear light in which 1 is white."""


def progressive(frames: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
    """The same number of frames, those flagged as interlaced replaced by FFmpeg's bwdif."""
    graph, layout = None, None
    for frame in frames:
        if graph and layout != (frame.format.name, frame.width, frame.height):
            yield from _pull(graph, last=True)
            graph = None
        if graph is None and frame.interlaced_frame:
            layout = frame.format.name, frame.width, frame.height
            graph = _deinterlacer(frame)
        if graph:
            graph.push(frame)
            yield from _pull(graph)
        else:
            yield frame
    if graph:
        yield from _pull(graph, last=True)


def upright_size(frame: VideoFrame, pixel_aspect: Fraction) -> tuple[int, int]:
    """Width and height in square pixels."""
    width, height = max(1, round(frame.width * pixel_aspect)), frame.height
    return (height, width) if _quarter_turns(frame) % 2 else (width, height)


def to_rgb(frame: VideoFrame, size: tuple[int, int], reformatter: VideoReformatter) -> NDArray[np.uint8]:
    """One frame as RGB (H, W, 3), upright, scaled to ``size`` (width, height), sides rounded down to even ones.

    Transparency is composited on black; PQ and HLG are tone-mapped, and wider primaries converted.
    """
    turns, transfer, primaries = _quarter_turns(frame), frame.color_trc, frame.color_primaries
    wide = transfer in HDR or primaries in TO_BT709
    width, height = (max(2, side) for side in (reversed(size) if turns % 2 else size))
    matrix = None
    if frame.colorspace == UNSPECIFIED:  # what players assume
        matrix = Colorspace.BT2020 if wide else Colorspace.ITU709 if frame.height >= 720 else Colorspace.ITU601
    if any(component.is_alpha for component in frame.format.components):
        frame, matrix = _on_black(frame, matrix), None
    layout = "rgb48le" if wide else "rgb24"
    scaled = reformatter.reformat(frame, width, height, layout, src_colorspace=matrix, interpolation=SCALING)
    pixels = scaled.to_ndarray()
    if wide:
        pixels = _to_bt709(pixels.astype(np.float32) / 65535, transfer, primaries)
    upright = np.rot90(pixels, turns)
    return np.ascontiguousarray(upright[: len(upright) // 2 * 2, : upright.shape[1] // 2 * 2], np.uint8)


def _deinterlacer(frame: VideoFrame) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 1000)
    )
    graph.link_nodes(source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink"))
    graph.configure()
    return graph


def _pull(graph: Graph, *, last: bool = False) -> Iterator[VideoFrame]:
    if last:
        graph.push(None)
    while True:
        try:
            yield cast(VideoFrame, graph.pull())
        except (av.BlockingIOError, av.EOFError):
            return


def _quarter_turns(frame: VideoFrame) -> int:
    return round(frame.rotation / 90) % 4


def _on_black(frame: VideoFrame, matrix: int | None) -> VideoFrame:
    # Before scaling, which would mix in colours that nobody sees.
    pixels = frame.reformat(format="rgba64le", src_colorspace=matrix).to_ndarray().astype(np.uint32)
    opaque = (pixels[..., :3] * pixels[..., 3:] + 32767) // 65535
    return VideoFrame.from_ndarray(opaque.astype(np.uint16), format="rgb48le")


def _to_bt709(signal: Floats, transfer: int, primaries: int) -> NDArray[np.uint8]:
    """A signal of PQ, HLG or wider primaries as it looks on a display of BT.709 and BT.1886."""
    if transfer == ColorTrc.SMPTE2084:
        light = _pq_light(signal)
    elif transfer == ColorTrc.ARIB_STD_B67:
        light = _hlg_light(signal)
    else:
        light = signal**2.4
    matrix = TO_BT709.get(primaries if primaries != UNSPECIFIED else ColorPrimaries.BT2020)
    if matrix:
        light = np.maximum(light @ np.array(matrix, signal.dtype).T, 0)
    if transfer in HDR:
        light = _tone_mapped(light)
    return np.rint(light.clip(0, 1) ** (1 / 2.4) * 255).astype(np.uint8)


def _pq_light(signal: Floats) -> Floats:
    """The EOTF of PQ (SMPTE ST 2084)."""
    root = signal ** (1 / M2)
    light: Floats = (np.maximum(root - C1, 0) / (C2 - C3 * root)) ** (1 / M1)
    return light * (10_000 / WHITE_CD_M2)


def _pq_signal(light: Floats) -> Floats:
    power = (light * (WHITE_CD_M2 / 10_000)) ** M1
    signal: Floats = ((C1 + C2 * power) / (1 + C3 * power)) ** M2
    return signal


def _hlg_light(signal: Floats) -> Floats:
    """The EOTF of HLG on a display of 1000 cd/m2 (ITU-R BT.2100, table 5)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luminance = scene @ np.array(LUMINANCE_2020, signal.dtype)
    light: Floats = scene * luminance[..., None] ** 0.2
    return light * (PEAK_CD_M2 / WHITE_CD_M2)


def _tone_mapped(light: Floats) -> Floats:
    """Highlights rolled off: the EETF of ITU-R BT.2390, section 5.4.1, by the largest of R, G and B, to keep hues."""
    brightest, white = _pq_signal(np.array((PEAK_CD_M2 / WHITE_CD_M2, 1), light.dtype))
    peak = light.max(axis=-1, keepdims=True)
    signal, most = np.minimum(_pq_signal(peak) / brightest, 1), white / brightest
    knee = 1.5 * most - 0.5
    t = np.maximum(signal - knee, 0) / (1 - knee)
    bent = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    mapped: Floats = light * (_pq_light(np.where(signal < knee, signal, bent) * brightest) / np.maximum(peak, 1e-6))
    return mapped
