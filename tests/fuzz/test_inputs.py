import subprocess
import sys

from tests.fuzz.__main__ import INPUTS, READ

NEVER_REFUSED = {"answers", "kept"}


def test_whatever_comes_from_outside_is_read_or_refused_in_one_sentence() -> None:
    command = [sys.executable, "-m", "tests.fuzz"]
    child = subprocess.run(command, check=False, capture_output=True, text=True)
    assert child.returncode == 0, (child.stdout[-500:], child.stderr[-3000:])
    endings: dict[str, list[str]] = {}
    for line in child.stdout.splitlines():
        name, _, ending = line.split(maxsplit=2)
        endings.setdefault(name, []).append(ending)
    assert {name: len(each) for name, each in endings.items()} == INPUTS
    for name, each in endings.items():
        assert READ in each, f"no mutant of {name} was sound enough to be read"
        assert name in NEVER_REFUSED or set(each) - {READ}, f"no mutant of {name} was broken enough to be refused"
