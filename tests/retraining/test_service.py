import os
from pathlib import Path

import pytest

from pipeline.installed import MODEL
from pipeline.retraining import service

COMPARISON = Path("comparison.json")


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    MODEL.parent.mkdir(parents=True)
    COMPARISON.write_text("{}")


def promote(number: int) -> str:
    MODEL.write_text(str(number))
    release = f"model-2026-11-{number:02}-abcdef{number:02}"
    service.promote(release, COMPARISON)
    folder = Path("service") / release
    os.utime(folder, (number, number))
    return release


def test_a_release_takes_the_place_of_the_one_before_it() -> None:
    assert service.model_in_service() is None
    assert service.current_release() == ""
    first, second = promote(1), promote(2)
    assert service.current_release() == second
    model = service.model_in_service()
    assert model
    assert model.read_text() == "2"
    assert (Path("service") / first / "classifier.safetensors").read_text() == "1"
    assert service.releases_of("abcdef01" + "0" * 56) == [first]


def test_a_release_is_never_changed() -> None:
    release = promote(1)
    MODEL.write_text("other")
    service.promote(release, COMPARISON)
    assert (Path("service/current") / MODEL.name).read_text() == "1"


def test_the_one_in_service_can_be_read_at_any_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    promote(1)
    seen: list[str] = []
    for owner, name in ((Path, "replace"), (Path, "rename"), (Path, "symlink_to"), (os, "sync")):
        original = getattr(owner, name)

        def looked_at(*arguments: object, original: object = original, **options: object) -> object:
            seen.append((Path("service/current") / MODEL.name).read_text())
            return original(*arguments, **options)  # type: ignore[operator]

        monkeypatch.setattr(owner, name, looked_at)
    promote(2)
    assert len(seen) >= 5
    assert seen == sorted(seen)


def test_old_releases_go_and_the_one_in_service_stays() -> None:
    releases = [promote(number) for number in range(1, 8)]
    assert sorted(path.name for path in Path("service").glob("model-*")) == releases[2:]
    assert service.current_release() == releases[-1]
