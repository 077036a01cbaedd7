"""A scheduled run, step by step: from the newest pipeline to a new model in service, or to the reason why not.

After each step the run is written down, so that one that was killed is continued. The model in service is touched by
the last step alone, when everything else is stored where others can get it.
"""

import hashlib
import logging
import re
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path

from pipeline.console import UserError
from pipeline.files import write_text
from pipeline.installed import MODEL
from pipeline.params import PARAMS, load_params
from pipeline.retraining import frozen, service
from pipeline.retraining.commands import Commands
from pipeline.retraining.gate import Comparison
from pipeline.retraining.progress import Run, Step, load_run, save_run
from pipeline.retraining.repository import Repository

RUNS = Path(".retrain/runs")
"""For each snapshot, what its last run leaves for inspection."""
RESULTS = (Path("dvc.lock"), Path("data/metrics"), Path("data/plots"))
"""What DVC goes by to tell that a stage has run, as far as git keeps it."""
PATIENCE = 3
"""Calls that may fail on one snapshot before a newer one is taken."""
QUICK_TIMEOUT_S = 3600.0
"""Of what takes minutes: a comparison, DVC on the frozen images, installing what the pipeline needs."""
SNAPSHOT = re.compile(r"^(  snapshot: *)\S+", re.MULTILINE)

log = logging.getLogger(__name__)


class Retraining:
    """A run on the snapshot of ``today``, or the one that was not finished, in the clone that is the current folder."""

    def __init__(self, commands: Commands, today: date) -> None:
        self._commands = commands
        self._today = today.isoformat()
        self._repository = Repository(commands)
        self._code_is_new = False
        self._steps: dict[Step, Callable[[Run], Run]] = {
            Step.UPDATE: self._update,
            Step.REPRODUCE: self._reproduce,
            Step.JUDGE: self._judge,
            Step.COMMIT: self._commit,
            Step.TAG: self._tag,
            Step.STORE: self._store,
            Step.PUSH: self._push,
            Step.PROMOTE: self._promote,
        }

    def go_on(self) -> Run:
        """Go on until there is an outcome, or this very code has been updated: then call it anew, in a new process.

        Raises :class:`UserError` and :class:`OSError` for trouble; what was done by then is kept for the next call.
        """
        run = self._begin()
        while not run.outcome and not self._code_is_new:
            log.info("snapshot of %s: %s", run.snapshot, run.step)
            try:
                run = self._steps[run.step](run)
            except (UserError, OSError):
                if run.step is not Step.UPDATE:
                    with suppress(OSError):  # on a full disk the trouble is told, if not counted
                        save_run(replace(run, failures=run.failures + 1))
                raise
            save_run(run)
        return run

    def _begin(self) -> Run:
        last = load_run()
        if last is None:
            return Run(snapshot=self._today)
        self._repository.remove_locks()
        if last.outcome:
            return Run(snapshot=self._today)
        if not last.base:
            return replace(last, snapshot=self._today)
        if last.step in (Step.REPRODUCE, Step.JUDGE) and last.failures:
            if last.failures >= PATIENCE and last.snapshot != self._today:
                log.warning("the snapshot of %s failed %d times and is given up", last.snapshot, last.failures)
                return Run(snapshot=self._today)
            if self._repository.fetch() != last.base:  # perhaps somebody has mended it
                return replace(last, step=Step.UPDATE, failures=0)
        log.info("going on with the snapshot of %s", last.snapshot)
        return last

    def _update(self, run: Run) -> Run:
        """Take the newest commit; what an earlier run changed and did not promote is kept as a patch.

        Where there was such a run, what it has computed is still known to DVC, and only what the commit changes runs.
        """
        self._repository.check_identity()
        tip, before, last = self._repository.fetch(), self._repository.head(), load_run()
        if last is None or last.outcome == "promoted":
            self._repository.check_nothing_to_lose(tip)
        elif last.outcome or last.step is not Step.UPDATE:
            self._repository.write_changes(_folder(last) / "changes.patch")
            run = replace(run, kept=self._repository.record())
        save_run(run)  # if git is killed in the middle, what it leaves is nobody's work
        self._repository.take(tip, run.kept, RESULTS)
        try:
            self._commands.dvc("config", "core.remote", timeout_s=QUICK_TIMEOUT_S)
        except UserError as error:
            advice = "`dvc remote add --default NAME ADDRESS` says where to push, commit what it writes"
            raise UserError(f"{error}; {advice}") from None
        if Path(sys.prefix).resolve() == Path(".venv").resolve():  # the clone's own environment runs the clone's code
            self._commands.run("make setup", "make", "setup", timeout_s=QUICK_TIMEOUT_S)
            self._code_is_new = tip != before
        return replace(run, step=Step.REPRODUCE, base=tip, kept="")

    def _reproduce(self, run: Run) -> Run:
        write_text(PARAMS, SNAPSHOT.sub(rf'\g<1>"{run.snapshot}"', PARAMS.read_text(encoding="utf-8"), count=1))
        params = load_params()
        if params.crawl.snapshot != run.snapshot:
            raise UserError(f"{PARAMS} has no line `  snapshot: ...` of its own under crawl; write it so")
        if frozen.missing():
            self._commands.dvc("pull", "--force", str(frozen.TRACKED), timeout_s=QUICK_TIMEOUT_S)
        frozen.remove(params.crawl.exclude)
        timeout_s = params.retrain.repro_timeout_h * 3600
        self._commands.dvc("repro", timeout_s=timeout_s)
        if frozen.freeze():
            log.info("the test split is frozen, to compare later models on")
            self._commands.dvc("repro", timeout_s=timeout_s)  # `prepare` depends on what is frozen
        return replace(run, step=Step.JUDGE)

    def _judge(self, run: Run) -> Run:
        """Compare the new model with the one in service, and keep what a person needs to see why."""
        run = replace(run, model=_sha256(MODEL))
        if known := service.releases_of(run.model):
            now = service.current_release()
            been = "is in service already" if now in known else f"was taken out of service before ({known[-1]})"
            return replace(run, outcome="unchanged", message=f"the model of {run.snapshot} {been}; nothing to do")
        comparison = _folder(run) / "comparison.json"
        command = [sys.executable, "-m", "pipeline.retraining.comparison", "--output", str(comparison)]
        if in_service := service.model_in_service():
            command += ["--service", str(in_service)]
        self._commands.run("comparison", *command, timeout_s=QUICK_TIMEOUT_S)
        judged = Comparison.read(comparison)
        log.info("%s", judged.describe())
        if complaints := judged.complaints(load_params().retrain):
            for path in (MODEL, service.CARD):
                if path.exists():
                    shutil.copyfile(path, _folder(run) / path.name)
            self._repository.write_changes(_folder(run) / "changes.patch")
            message = f"the model of {run.snapshot} stays out of service: {'; '.join(complaints)} (see {_folder(run)})"
            return replace(run, outcome="gated", message=message)
        return replace(run, step=Step.COMMIT)

    def _commit(self, run: Run) -> Run:
        if frozen.FOLDER.exists():
            self._commands.dvc("add", "--quiet", str(frozen.FOLDER), timeout_s=QUICK_TIMEOUT_S)
        self._repository.commit(
            f"Retrain on the snapshot of {run.snapshot}\n\n{_described(run)}", (*RESULTS, frozen.TABLE, frozen.TRACKED)
        )
        return replace(run, step=Step.TAG)

    def _tag(self, run: Run) -> Run:
        self._repository.tag(run.release, _described(run))
        return replace(run, step=Step.STORE)

    def _store(self, run: Run) -> Run:
        self._commands.dvc("push", timeout_s=load_params().retrain.push_timeout_h * 3600)
        return replace(run, step=Step.PUSH)

    def _push(self, run: Run) -> Run:
        if self._repository.push(run.release):
            return replace(run, step=Step.PROMOTE)
        log.warning("others have pushed meanwhile; what that changes is run again")
        return replace(run, step=Step.UPDATE, kept=self._repository.head())

    def _promote(self, run: Run) -> Run:
        if _sha256(MODEL) != run.model:
            raise UserError(f"{MODEL} is not the model that was judged; `dvc checkout {MODEL}` brings it back")
        service.promote(run.release, _folder(run) / "comparison.json")
        message = f"{run.release} is in service\n{_described(run)}"
        return replace(run, outcome="promoted", message=message)


def _folder(run: Run) -> Path:
    folder = RUNS / run.snapshot
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _described(run: Run) -> str:
    return Comparison.read(_folder(run) / "comparison.json").describe()


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise UserError(f"{path} is missing; `dvc repro finetune` makes it") from None
