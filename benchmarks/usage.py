"""What a command takes: time, processor and memory, of all its processes together."""

import os
import resource
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
SAMPLE_S = 1.0
"""Between two looks at the memory, each of which takes some milliseconds of processor."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What one run took. Memory is the peak of all processes, pages that they share counted once."""

    seconds: float
    cpu_s: float
    memory_mb: float


def run_measured(command: Sequence[str], folder: Path) -> Usage:
    """Run ``command`` in ``folder``, from the start of the first process to its exit."""
    memory_bytes, seen_s, before = 0, {}, resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryFile("w+") as log:
        began = time.perf_counter()
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        with psutil.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log) as first:
            while first.poll() is None:
                together_bytes = 0
                for process in [first, *first.children(recursive=True)]:
                    with suppress(psutil.Error):  # it ended meanwhile
                        times = process.cpu_times()
                        seen_s[process.pid] = times.user + times.system
                        together_bytes += process.memory_full_info().pss
                memory_bytes = max(memory_bytes, together_bytes)
                with suppress(psutil.TimeoutExpired):
                    first.wait(SAMPLE_S)
        seconds = time.perf_counter() - began
        if first.returncode != 0:
            log.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{log.read()[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    waited_for_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # The system counts only processes that somebody waited for, which a fork server's are not; looking misses the ends.
    return Usage(seconds=seconds, cpu_s=max(waited_for_s, sum(seen_s.values())), memory_mb=memory_bytes / 1e6)
