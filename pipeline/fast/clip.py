"""Paint a video frame by frame with a :class:`FastPainter`, while frames are decoded before it and encoded after it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat
from pathlib import Path

import torch
from torch import Tensor

from pipeline.console import progress
from pipeline.encoding import Sound, write_video
from pipeline.fast.painter import FastPainter, Mixture
from pipeline.motion import Frame
from pipeline.overlap import ahead, at_once
from pipeline.painting.clip import blend
from pipeline.painting.mask import read_masks, under_mask
from pipeline.tensors import to_pixels, to_tensor
from pipeline.video import probe, read_frames, read_times

AT_ONCE = 2
"""Frames that are painted at a time, by half of the cores each: threads that share a frame wait for each other."""
AHEAD = 4
"""Frames that wait between two threads: enough that none of them waits for a frame that takes longer than others."""
PRESET = "veryfast"
"""Of x264: a third of the work of its default, which is nearly that of painting; the file is no larger."""


@dataclass(frozen=True, kw_only=True)
class FastClip:
    """What is painted, in which of the painter's ``styles``, and how."""

    clip: Path
    styles: tuple[str, ...]
    mixtures: tuple[tuple[float, ...], tuple[float, ...]]
    """The weights of the styles at the first frame and at the last."""
    frames: slice
    """The numbers of those that are painted."""
    strength: float = 1.0
    width_px: int | None = None
    """Without it, that of the file."""
    mask: Path | None = None
    """A picture, or a video or folder with one for each frame of the clip."""

    def write(self, painter: FastPainter, output: Path, crf: int) -> int:
        """Write the painted video, with the times and the sound of the clip; returns the number of frames.

        Raises :class:`UserError` for an unknown style, and for a clip or mask that is broken or too short.
        """
        self._mix(painter, self.mixtures[0])  # an unknown style is known before the whole clip is read
        times_s = read_times(self.clip, self.frames)
        count = len(times_s) - 1
        with progress(total=count, unit="frame", description=f"paint {self.clip.name}") as bar:

            def counted() -> Iterator[Frame]:
                for frame in ahead(self.paint(painter, count), AHEAD):
                    yield frame
                    bar.update()

            sound = Sound(self.clip, times_s[0])
            write_video(output, counted(), probe(self.clip).frame_rate, crf, sound, times_s, preset=PRESET)
        return count

    def paint(self, painter: FastPainter, count: int) -> Iterator[Frame]:
        """The ``count`` frames, painted."""
        chosen = slice(self.frames.start, self.frames.start + count)
        frames = ahead(read_frames(self.clip, chosen, self.width_px), AHEAD)
        first = next(frames)
        masks = repeat(None) if self.mask is None else read_masks(self.mask, chosen, first.shape[:2])
        weights = blend(*self.mixtures, count)

        def calls() -> Iterator[Callable[[], Frame]]:
            mixed: Sequence[float] = ()
            for index, (frame, mask) in enumerate(zip(chain((first,), frames), masks, strict=False)):
                if weights(index) != mixed:
                    mixed = weights(index)
                    self._mix(painter, mixed)
                yield partial(_paint, painter, painter.mixture, frame, mask)

        threads = torch.get_num_threads()
        workers = min(AT_ONCE, threads)
        try:
            yield from at_once(calls(), workers, lambda: torch.set_num_threads(threads // workers))
        finally:
            torch.set_num_threads(threads)  # a thread that begins later takes what was set last, in whichever thread

    def _mix(self, painter: FastPainter, weights: Sequence[float]) -> None:
        pairs = list(zip(self.styles, weights, strict=True))
        painter.mix(
            {style: sum(weight for name, weight in pairs if name == style) for style in self.styles}, self.strength
        )


def _paint(painter: FastPainter, mixture: Mixture, frame: Frame, mask: Tensor | None) -> Frame:
    painted = painter.paint(frame, mixture)
    return painted if mask is None else to_pixels(under_mask(to_tensor(painted), to_tensor(frame), mask))
