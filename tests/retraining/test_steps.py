import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from itertools import count
from pathlib import Path

import pytest

from pipeline.console import UserError
from pipeline.retraining.progress import STATE, Run, Step, load_run, save_run
from pipeline.retraining.steps import Retraining
from tests.disks import limited_files
from tests.retraining.project import CURRENT, DAY, LittleCommands, frozen_rows, git, push, retrain, skill

NEXT_WEEK = date(2026, 12, 6)
PERSON = Path("../person")


class Killed(BaseException):
    """No code can catch it, as none can a SIGKILL."""


def upstream() -> str:
    return git("rev-parse", "main", folder=Path("../remote.git"))


def tags() -> list[str]:
    return git("tag", folder=Path("../remote.git")).split()


def is_clean() -> bool:
    return not git("status", "--porcelain")


def check_promoted(run: Run, skilled: float) -> None:
    """All that a promoted run promises."""
    assert run.outcome == "promoted", run
    assert skill(CURRENT) == skilled
    assert upstream() == git("rev-parse", "HEAD") == git("rev-parse", f"{run.release}^{{commit}}")
    assert run.release in tags()
    assert is_clean()
    assert f'snapshot: "{run.snapshot}"' in Path("params.yaml").read_text()
    assert (Path("../store") / run.model).exists()
    assert git("log", "--format=%s", f"{run.base}..HEAD") == f"Retrain on the snapshot of {run.snapshot}"
    assert Path("service/current").readlink() == Path(run.release)
    assert {path.name for path in Path("service/current").iterdir()} == {
        *("classifier.safetensors", "model_card.md", "comparison.json")
    }
    assert [row["id"] for row in frozen_rows()] == ["work-4", "work-5"]
    assert all(Path(row["path"]).read_text() == row["id"] for row in frozen_rows())


def test_the_first_model_is_promoted_and_its_test_split_frozen(clone: Path) -> None:
    check_promoted(retrain(), 0.9)
    assert git("show", "HEAD:data/frozen.dvc") == "work-4.jpg work-5.jpg"
    assert "sample: balanced accuracy 0.900" in git("log", "-1", "--format=%b")
    assert json.loads(Path("data/metrics/classifier.json").read_text()) == {"skill": 0.9}
    assert git("show", "HEAD:data/metrics/classifier.json")


def test_a_second_one_follows_and_the_frozen_images_stay(clone: Path) -> None:
    first = retrain()
    frozen = Path("data/frozen.csv").read_text()
    push(PERSON, skill="0.92")
    second = retrain(day=NEXT_WEEK)
    check_promoted(second, 0.92)
    assert Path("data/frozen.csv").read_text() == frozen
    assert {folder.name for folder in Path("service").glob("model-*")} == {first.release, second.release}
    assert "balanced accuracy 0.920 (was 0.900)" in second.message


def test_nothing_new_changes_nothing(clone: Path) -> None:
    retrain()
    tip = upstream()
    run = retrain()
    assert run.outcome == "unchanged"
    assert "is in service already" in run.message
    assert upstream() == tip
    check_promoted(retrain(day=NEXT_WEEK), 0.9)


def test_a_model_that_does_not_pass_is_kept_and_not_pushed(clone: Path) -> None:
    first = retrain()
    tip = push(PERSON, skill="0.81")
    run = retrain(day=NEXT_WEEK)
    assert run.outcome == "gated"
    assert "balanced accuracy of sample is 0.810 instead of 0.900" in run.message
    assert upstream() == tip
    assert tags() == [first.release]
    assert skill(CURRENT) == 0.9
    kept = Path(".retrain/runs/2026-12-06")
    assert skill(kept / "classifier.safetensors") == 0.81
    assert {path.name for path in kept.iterdir()} >= {"comparison.json", "model_card.md", "changes.patch"}

    push(PERSON, skill="0.91")
    check_promoted(retrain(day=date(2026, 12, 13)), 0.91)
    git("checkout", "--quiet", tip)
    git("apply", str(kept / "changes.patch"))
    assert '"2026-12-06"' in Path("params.yaml").read_text()
    assert json.loads(Path("dvc.lock").read_text())["skill"] == 0.81


def test_the_first_model_has_a_gate_too(clone: Path) -> None:
    push(PERSON, skill="0.7")
    run = retrain()
    assert run.outcome == "gated"
    assert not CURRENT.exists()
    push(PERSON, skill="0.9")
    check_promoted(retrain(day=NEXT_WEEK), 0.9)


def test_a_model_that_was_taken_out_of_service_stays_out(clone: Path) -> None:
    first = retrain()
    push(PERSON, skill="0.95")
    retrain()
    Path("service/other").symlink_to(first.release)
    Path("service/other").replace("service/current")
    run = retrain()
    assert run.outcome == "unchanged"
    assert "was taken out of service" in run.message
    assert skill(CURRENT) == 0.9


def events(monkeypatch: pytest.MonkeyPatch, limit: int) -> Callable[[str], None]:
    """Kills at the event of this number: a command, or a file that is copied, renamed or made sure of."""
    numbers = count()

    def event(name: str) -> None:
        if next(numbers) == limit:
            raise Killed

    def counted(module: object, name: str) -> None:
        original = getattr(module, name)

        def function(*arguments: object, **options: object) -> object:
            event(name)
            return original(*arguments, **options)

        monkeypatch.setattr(module, name, function)

    counted(shutil, "copyfile")
    counted(os, "sync")
    counted(Path, "replace")
    counted(Path, "rename")
    return event


@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_killed_everywhere_it_is_gone_on_with_and_the_model_in_service_was_not_touched(
    clone: Path, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    """Each call comes one event further in its step than the one before it, until it reaches the next step."""
    if not first:
        retrain()
        push(PERSON, skill="0.95")
    before, after = (None, 0.9) if first else (0.9, 0.95)
    kills, number, step = 0, 0, None
    while True:
        with monkeypatch.context() as patch:
            try:
                run = retrain(events(patch, number), NEXT_WEEK)
            except Killed:
                kills += 1
            else:
                break
        in_service = skill(CURRENT) if CURRENT.exists() else None
        assert in_service in (before, after)
        if in_service == after:  # only when all else is done
            assert upstream() == git("rev-parse", "HEAD")
            assert len(tags()) == 1 if first else 2
        last = load_run()
        reached = last.step if last and not last.outcome else None
        number, step = (number + 1, step) if reached == step else (0, reached)
    check_promoted(run, after)
    assert kills > 25


@pytest.mark.parametrize("step", list(Step))
def test_trouble_at_any_step_is_told_and_gone_on_with(clone: Path, step: Step) -> None:
    names = {
        **{Step.UPDATE: "git fetch", Step.REPRODUCE: "dvc repro", Step.JUDGE: "comparison", Step.COMMIT: "git commit"},
        **{Step.TAG: "git tag", Step.STORE: "dvc push", Step.PUSH: "git push", Step.PROMOTE: ""},
    }

    def trouble(name: str) -> None:
        if name == names[step]:
            raise UserError("no")

    if step is Step.PROMOTE:
        Path("service").write_text("in the way")
        with pytest.raises(OSError, match="service"):
            retrain()
        Path("service").unlink()
    else:
        with pytest.raises(UserError, match="no"):
            retrain(trouble)
    assert not CURRENT.exists()
    failed = load_run()
    assert (failed.step, failed.failures) == (step, 1) if failed else step is Step.UPDATE
    check_promoted(retrain(), 0.9)


def test_a_dead_source_is_told_and_its_snapshot_given_up_in_the_end(clone: Path) -> None:
    Path("down").touch()
    for _ in range(3):
        with pytest.raises(UserError, match="the museum does not answer"):
            retrain()
        assert not CURRENT.exists()
    with pytest.raises(UserError, match="does not answer"):
        retrain(day=NEXT_WEEK)
    assert (run := load_run())
    assert (run.snapshot, run.failures) == ("2026-12-06", 1)
    Path("down").unlink()
    check_promoted(retrain(day=date(2026, 12, 7)), 0.9)
    assert '"2026-12-06"' in Path("params.yaml").read_text()


def test_what_failed_takes_the_commit_that_mends_it(clone: Path) -> None:
    broken = (PERSON / "stage.py").read_text()
    (PERSON / "stage.py").write_text("raise SystemExit('error: a mistake')")
    push(PERSON)
    with pytest.raises(UserError, match="a mistake"):
        retrain()
    (PERSON / "stage.py").write_text(broken)
    push(PERSON)
    check_promoted(retrain(day=NEXT_WEEK), 0.9)
    assert '"2026-11-29"' in Path("params.yaml").read_text()  # the snapshot is the same


def test_settings_that_nobody_can_read_are_mended_from_outside(clone: Path) -> None:
    settings = (PERSON / "params.yaml").read_text()
    (PERSON / "params.yaml").write_text("  snapshot: 1\nretrain: [")
    push(PERSON)
    with pytest.raises(UserError, match=r"params\.yaml is not YAML"):
        retrain()
    (PERSON / "params.yaml").write_text(settings)
    push(PERSON)
    check_promoted(retrain(), 0.9)


def test_an_unreachable_remote_costs_no_second_training(clone: Path) -> None:
    Path("../store").rename("../elsewhere")
    with pytest.raises(UserError, match="the remote does not answer"):
        retrain()
    assert not CURRENT.exists()
    assert upstream() == git("rev-parse", "HEAD~1")
    Path("../elsewhere").rename("../store")
    Path("../remote.git").rename("../gone.git")
    with pytest.raises(UserError, match="git fetch failed"):
        retrain()
    assert not CURRENT.exists()
    Path("../gone.git").rename("../remote.git")
    Path("down").touch()  # to train again would fail
    check_promoted(retrain(day=NEXT_WEEK), 0.9)


def test_commits_of_others_come_first(clone: Path) -> None:
    """A run takes days; what others have pushed meanwhile is taken up before anything of it is published."""
    pushed: list[str] = []
    known: list[str] = []

    def meanwhile(name: str) -> None:
        if name == "dvc push" and not pushed:
            pushed.append(push(PERSON, skill="0.93"))
        if name == "dvc repro" and pushed:
            known.append(Path("dvc.lock").read_text() + Path("data/metrics/classifier.json").read_text())

    run = retrain(meanwhile)
    check_promoted(run, 0.93)
    assert run.base == pushed[0]
    assert tags() == [run.release]
    assert '"skill": 0.9,' in known[0]  # so that DVC runs only what the commit changes
    assert known[0].endswith('{"skill": 0.9}')


def test_an_update_that_was_killed_halfway_is_nobodys_work(clone: Path) -> None:
    def halfway(name: str) -> None:
        if name == "git checkout":
            Path("skill.txt").write_text("0.")
            Path("dvc.lock").write_text("{")
            Path(".git/index.lock").touch()
            raise Killed

    with pytest.raises(Killed):
        retrain(halfway)
    check_promoted(retrain(), 0.9)
    push(PERSON, skill="0.95")
    with pytest.raises(Killed):
        retrain(halfway)
    check_promoted(retrain(day=NEXT_WEEK), 0.95)


def test_what_was_computed_outlives_an_update_that_was_killed_halfway(clone: Path) -> None:
    pushed: list[str] = []
    known: list[str] = []

    def halfway(name: str) -> None:
        if name == "dvc push":
            pushed.append(push(PERSON, notes="1"))
        if name == "git checkout" and pushed:
            Path("dvc.lock").write_text("{")
            raise Killed

    with pytest.raises(Killed):
        retrain(halfway)
    run = retrain(lambda name: known.append(Path("dvc.lock").read_text()) if name == "dvc repro" else None)
    assert '"skill": 0.9,' in known[0]
    check_promoted(run, 0.9)
    assert run.base == pushed[0]


def test_another_commit_on_top_of_what_was_pushed_is_no_trouble(clone: Path) -> None:
    def stop(name: str) -> None:
        if name == "git push":
            git("push", "--quiet", "--atomic", "origin", "HEAD:main", git("tag"))
            push(PERSON, notes="1")
            raise Killed

    with pytest.raises(Killed):
        retrain(stop)
    run = retrain()
    assert run.outcome == "promoted"
    assert skill(CURRENT) == 0.9
    assert upstream() != git("rev-parse", "HEAD")


def test_a_full_disk_leaves_the_model_in_service(clone: Path) -> None:
    retrain()
    push(PERSON, skill="0.95")
    run = retrain(day=NEXT_WEEK)
    save_run(replace(run, outcome=None, message="", step=Step.PROMOTE))
    Path("service/other").symlink_to(sorted(Path("service").glob("model-*"))[0].name)
    Path("service/other").replace("service/current")
    shutil.rmtree(Path("service") / run.release)
    with limited_files(20), pytest.raises(OSError, match="too large"):
        retrain(day=NEXT_WEEK)
    assert skill(CURRENT) == 0.9
    assert not (Path("service") / run.release).exists()
    check_promoted(retrain(day=NEXT_WEEK), 0.95)


def test_locks_of_a_git_that_was_killed_go(clone: Path) -> None:
    def kill(name: str) -> None:
        if name == "git commit":
            Path(".git/index.lock").touch()
            Path(".git/refs/heads/main.lock").touch()
            raise Killed

    with pytest.raises(Killed):
        retrain(kill)
    check_promoted(retrain(), 0.9)


def test_work_of_people_is_not_lost(clone: Path) -> None:
    Path("skill.txt").write_text("0.99")
    with pytest.raises(UserError, match="changes that are not committed"):
        retrain()
    git("commit", "--quiet", "--all", "--message", "Mine")
    with pytest.raises(UserError, match="commits that main of origin lacks"):
        retrain()
    assert Path("skill.txt").read_text() == "0.99"
    assert load_run() is None


def test_who_commits_is_asked_before_hours_are_spent(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git("config", "--unset", "user.email")
    git("config", "user.useConfigOnly", "true")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.delenv("EMAIL", raising=False)
    with pytest.raises(UserError, match="git var failed"):
        retrain()


def test_where_to_push_is_asked_before_hours_are_spent(clone: Path) -> None:
    def refuse(name: str) -> None:
        if name == "dvc config core.remote":
            raise UserError("dvc config core.remote failed: option 'remote' doesn't exist")

    with pytest.raises(UserError, match="doesn't exist; `dvc remote add --default NAME ADDRESS` says where"):
        retrain(refuse)
    check_promoted(retrain(), 0.9)


def test_what_is_excluded_leaves_the_frozen_images(clone: Path) -> None:
    retrain()
    path = PERSON / "params.yaml"
    git("pull", "--quiet", folder=PERSON)
    path.write_text(path.read_text().replace("exclude: []", "exclude: [sample/work-4]"))
    push(PERSON, skill="0.91")
    run = retrain(day=NEXT_WEEK)
    assert run.outcome == "promoted"
    assert [row["id"] for row in frozen_rows()] == ["work-5"]
    assert git("show", "HEAD:data/frozen.dvc") == "work-5.jpg"
    assert not list(Path("data/frozen").rglob("work-4*"))


def test_another_model_than_the_one_that_was_judged_is_not_promoted(clone: Path) -> None:
    def tamper(name: str) -> None:
        if name == "git push":
            Path("data/models/classifier.safetensors").write_text("{}")

    with pytest.raises(UserError, match="is not the model that was judged"):
        retrain(tamper)
    assert not CURRENT.exists()


def test_a_state_that_no_run_wrote_is_named(clone: Path) -> None:
    STATE.parent.mkdir()
    STATE.write_text('{"step": "fly"}')
    with pytest.raises(UserError, match=r"\.retrain/state\.json was not written by a run"):
        retrain()


def test_the_clones_own_environment_is_made_anew_and_its_code_called_anew(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(".venv").mkdir()
    monkeypatch.setattr("sys.prefix", str(Path(".venv").resolve()))
    (PERSON / "Makefile").write_text("setup:\n\ttouch made\n")
    tip = push(PERSON)
    run = retrain()
    assert (run.outcome, run.step, run.base) == (None, Step.REPRODUCE, tip)
    assert Path("made").exists()
    check_promoted(retrain(), 0.9)


def test_commands_are_those_of_the_documentation(clone: Path) -> None:
    commands = LittleCommands()
    Retraining(commands, DAY).go_on()
    assert [name for name in commands.names if name.startswith("dvc")] == [
        *("dvc config core.remote", "dvc repro", "dvc repro", "dvc add --quiet data/frozen", "dvc push")
    ]
