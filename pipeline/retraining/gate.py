"""Whether a new model may take the place of the one in service."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.params import Retrain

BALANCED, CALIBRATION = "balanced_accuracy", "calibration_error"


@dataclass(frozen=True)
class Comparison:
    """What :mod:`pipeline.retraining.comparison` wrote: figures of the new model and of the one in service, if any."""

    new: dict[str, Any]
    service: dict[str, Any] | None

    @classmethod
    def read(cls, path: Path) -> "Comparison":
        """From the file at ``path``."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def complaints(self, settings: Retrain) -> list[str]:
        """Why the new model may not be put into service; none if it may."""
        found = []
        accuracy, calibration = (self.new["all"][name] for name in (BALANCED, CALIBRATION))
        if not accuracy >= settings.min_balanced_accuracy:  # nor does one pass that is not a number
            found.append(f"balanced accuracy is {accuracy:.3f}, less than {settings.min_balanced_accuracy}")
        if not calibration <= settings.max_calibration_error:
            found.append(f"calibration error is {calibration:.3f}, more than {settings.max_calibration_error}")
        for source, figures in (self.service or {"sources": {}})["sources"].items():
            before, now = figures[BALANCED], self.new["sources"][source][BALANCED]
            if not now >= round(before - settings.max_source_loss, 6):
                found.append(f"balanced accuracy of {source} is {now:.3f} instead of {before:.3f}")
        return found

    def describe(self) -> str:
        """The figures for people, a line for all images and for each source."""
        lines = []
        for name, now in {"all": self.new["all"], **self.new["sources"]}.items():
            before = None
            if self.service:
                before = self.service["all"] if name == "all" else self.service["sources"][name]
            said = [
                f"{figure.replace('_', ' ')} {now[figure]:.3f}" + (f" (was {before[figure]:.3f})" if before else "")
                for figure in (BALANCED, CALIBRATION)
            ]
            lines.append(f"{name}: {', '.join(said)}, {now['images']} frozen images")
        return "\n".join(lines)
