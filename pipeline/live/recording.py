"""A file of what was painted, which plays as far as it goes whatever ends the run."""

import logging
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Self

import av

from pipeline.console import UserError
from pipeline.files import replacing
from pipeline.live.encoder import Encoder
from pipeline.live.reader import Arrival
from pipeline.motion import Frame

MUXER_OPTIONS = {"movflags": "+hybrid_fragmented+default_base_moof", "frag_duration": "1000000", "flush_packets": "1"}
"""Fragments of a second, made into a plain MP4 at the end."""
X264_OPTIONS = {"crf": "18", "preset": "veryfast", "bf": "0"}
"""Without B-frames, which a fragmented file would show late."""
TICK_S = Fraction(1, 90_000)

log = logging.getLogger(__name__)


class Recording:
    """An MP4 at ``path``; until it is closed it grows under a hidden name beside it, and plays there too."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._encoder: Encoder | None = None

    @property
    def wanted(self) -> bool:
        """Always."""
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """What there is becomes the file, after a mistake too."""
        if self._encoder is None:
            return
        try:
            self._encoder.finish()
            self._container.close()
        except av.FFmpegError as error:
            log.warning("%s was not finished (%s); it plays as far as it goes", self._path, error.strerror)
        self._replacing.close()

    def deliver(self, painted: Frame, _: Frame, arrival: Arrival) -> None:
        """Append a frame; raises :class:`UserError` where it cannot be written."""
        try:
            if self._encoder is None:
                self._begin(painted, arrival)
            else:
                self._encoder.write(painted, arrival.shown_s)
        except av.FFmpegError as error:
            raise UserError(f"{self._path} cannot be written ({error.strerror}); is the disk full?") from None

    def _begin(self, painted: Frame, arrival: Arrival) -> None:
        with ExitStack() as stack:
            part = stack.enter_context(replacing(self._path))
            self._container = av.open(f"file:{part}", "w", format="mp4", container_options=MUXER_OPTIONS)
            encoder = Encoder(self._container, TICK_S, X264_OPTIONS)
            encoder.write(painted, arrival.shown_s)
            self._encoder, self._replacing = encoder, stack.pop_all()
