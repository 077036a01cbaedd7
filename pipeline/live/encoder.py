"""Frames as they come, of any size, as H.264 of the size of the first."""

from fractions import Fraction

import cv2
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from pipeline.encoding import X264_OPTIONS, add_h264, to_yuv

USUAL_RATE = Fraction(30)
"""What the header says; the frames have their own times."""


class Encoder:
    """Writes into ``container`` with times in multiples of ``tick_s``, until :meth:`finish`."""

    def __init__(self, container: OutputContainer, tick_s: Fraction, options: dict[str, str]) -> None:
        self._container, self._tick_s, self._options = container, tick_s, X264_OPTIONS | options
        self._stream: VideoStream | None = None
        self._reformatter = VideoReformatter()
        self._last = -1

    def write(self, frame: NDArray[np.uint8], shown_s: Fraction) -> None:
        """A frame (H, W, 3), RGB with H and W even, shown ``shown_s`` seconds after the start."""
        if self._stream is None:
            self._stream = add_h264(self._container, frame, USUAL_RATE, self._options)
            self._stream.codec_context.time_base = self._tick_s
            self._container.start_encoding()
        picture = to_yuv(fitted(frame, self._stream.width, self._stream.height), self._reformatter)
        self._last = max(self._last + 1, round(shown_s / self._tick_s))
        picture.pts, picture.time_base = self._last, self._tick_s
        self._container.mux(self._stream.encode(picture))

    def finish(self) -> None:
        """Write what was kept back."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))


def fitted(frame: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """A frame scaled to fit into (height, width, 3), black where it has another shape."""
    old_height, old_width = frame.shape[:2]
    if (old_width, old_height) == (width, height):
        return frame
    scale = min(width / old_width, height / old_height)
    inner = (max(1, round(old_width * scale)), max(1, round(old_height * scale)))
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    canvas = np.zeros((height, width, 3), np.uint8)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    canvas[top : top + inner[1], left : left + inner[0]] = cv2.resize(frame, inner, interpolation=method)
    return canvas
