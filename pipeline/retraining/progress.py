"""How far a run has come, in one small file: a run that was killed is continued by the next one."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from pipeline.console import UserError
from pipeline.files import replacing

STATE = Path(".retrain/state.json")


class Step(StrEnum):
    """What there is to do next, in order. Each can be done again after any part of it was done."""

    UPDATE = "update"
    REPRODUCE = "reproduce"
    JUDGE = "judge"
    COMMIT = "commit"
    TAG = "tag"
    STORE = "store"
    PUSH = "push"
    PROMOTE = "promote"


Outcome = Literal["promoted", "gated", "unchanged"]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Run:
    """One run, which may take several calls; ``outcome`` and ``message`` are those of one that has ended."""

    snapshot: str
    step: Step = Step.UPDATE
    base: str = ""
    """The commit of the remote that it builds on."""
    kept: str = ""
    """While the clone is updated, a commit that has what was computed so far."""
    model: str = ""
    """SHA-256 of the model that passed the gate."""
    failures: int = 0
    """Calls that ended in trouble, not counting those that were killed."""
    outcome: Outcome | None = None
    message: str = ""

    @property
    def release(self) -> str:
        """The name of the model that passed the gate: its tag, and its folder in service."""
        return f"model-{self.snapshot}-{self.model[:8]}"


_FILE = TypeAdapter(Run)


def load_run() -> Run | None:
    """The last run of this clone, if there was one; raises :class:`UserError` for a file that no run wrote."""
    try:
        return _FILE.validate_json(STATE.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        raise UserError(f"{STATE} was not written by a run; remove it, and what `git status` shows") from None


def save_run(run: Run) -> None:
    """Write the file so that even a power cut leaves the old one or the new one."""
    with replacing(STATE) as temporary, temporary.open("wb") as file:
        file.write(_FILE.dump_json(run, indent=2))
        file.flush()
        os.fsync(file.fileno())
