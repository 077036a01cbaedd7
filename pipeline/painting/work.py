"""A clip to be painted, described by files and settings: any process can paint any part of it, with the same result."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pipeline.motion import Frame, Motion, live_motion, open_flows, stored_motion
from pipeline.painting.clip import FrameCost, blend, work_folder
from pipeline.painting.frame import Painter, load_painter
from pipeline.painting.mask import read_masks, under_mask
from pipeline.painting.passes import paint_frames
from pipeline.params import Flow, Stylize
from pipeline.tensors import to_pixels, to_tensor
from pipeline.video import clip_files, read_frames


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is painted, in which style, and how."""

    clip: Path
    count: int
    """The number of frames that are painted."""
    styles: tuple[Path, ...]
    mixtures: tuple[tuple[float, ...], tuple[float, ...]]
    """The weights of the styles at the first frame and at the last."""
    settings: Stylize
    flow: Flow
    weights: Path
    model: Path | None
    """The fine-tuned one; without it plain VGG16 paints."""
    begin: int = 0
    """The first frame of the clip that is painted, frame 0 of the painting."""
    width_px: int | None = None
    mask: Path | None = None
    """A picture, or a video or folder with one for each frame of the clip."""
    steady: bool = True
    """Under temporal constraints, or each frame on its own."""
    stored_flow: Path | None = None
    """A folder of :class:`pipeline.motion.ClipFlow` by interval; without it the flow is computed on the way."""

    def folder(self, parent: Path) -> Path:
        """Where finished frames wait: another one for whatever would be painted otherwise."""
        size = self.painter.size  # whoever asks for it first is told best what is wrong with a file
        model = [self.model] if self.model else []
        flow = sorted(self.stored_flow.glob("*/*.npy")) if self.stored_flow and self.steady else []
        inputs = [*clip_files(self.clip), *self.styles, self.weights, *model, *flow]
        settings = replace(self.settings, jobs={}, workers=1)
        return work_folder(parent, inputs, settings, self.flow, self.begin, size, self.mixtures, self.steady)

    def read(self) -> Iterator[Frame]:
        """The frames to be painted."""
        return self._read(range(self.count))

    @cached_property
    def painter(self) -> Painter:
        """Ready to paint the frames; raises :class:`UserError` for a file that is missing or broken."""
        first = to_tensor(next(self.read()))
        return load_painter(self.weights, self.model, self.styles, self.settings, first=first)

    @cached_property
    def motion(self) -> Motion | None:
        """Between the frames, unless each is painted on its own."""
        if not self.steady:
            return None
        if self.stored_flow is None:
            return live_motion(self.flow)
        return stored_motion(open_flows(self.stored_flow, self.settings.temporal_intervals), self.flow)

    def paint(self, folder: Path, name: str, shot: range | None = None) -> Iterator[tuple[Frame, FrameCost]]:
        """Yield each frame painted, or those of one ``shot``, and what it cost.

        ``folder`` keeps the finished ones, ``name`` is for people.
        """
        part = shot or range(self.count)
        mixture = blend(*self.mixtures, self.count)
        painted = paint_frames(
            self.painter, self._read(part), self.motion, folder, weights=mixture, numbers=part, name=name
        )
        return painted if self.mask is None else self._under(self.mask, painted, part)

    def _under(
        self, mask: Path, painted: Iterator[tuple[Frame, FrameCost]], part: range
    ) -> Iterator[tuple[Frame, FrameCost]]:
        masks = read_masks(mask, self._numbers(part), self.painter.size)
        for shown, content, (frame, cost) in zip(masks, self._read(part), painted, strict=False):
            yield to_pixels(under_mask(to_tensor(frame), to_tensor(content), shown)), cost

    def _read(self, part: range) -> Iterator[Frame]:
        return read_frames(self.clip, self._numbers(part), self.width_px)

    def _numbers(self, part: range) -> slice:
        """In the clip."""
        return slice(self.begin + part.start, self.begin + part.stop)
