"""The process that mutates and reads.

python -m tests.fuzz [INPUT ...] --seconds 300
python -m tests.fuzz pictures --first 4711 --examples 1
"""

import argparse
import faulthandler
import importlib
import logging
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np

from pipeline.console import UserError
from tests.fuzz.mutation import mutate

INPUTS = {
    "videos": 100,
    "pictures": 150,
    "manifests": 100,
    "params": 40,
    "kept": 20,
    "answers": 12,
    "streams": 20,
    "requests": 60,
    "tables": 100,
    "models": 60,
    "graphs": 60,
    "checkpoints": 60,
    "arrays": 60,
    "frames": 100,
}
"""By the number of examples in a short run, the quickest to load first."""
LONGEST_S = 30
MOST_MEMORY_BYTES = 4 * 2**30
"""Beyond that of the process before it reads: the largest picture that is allowed takes 2.7 GB."""
LONGEST_SENTENCE = 1000
READ = "read"


def main() -> None:
    """Print of each example its input, its seed and how it ended; the first that ends otherwise ends it all."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("inputs", metavar="INPUT", nargs="*", help=f"of {', '.join(INPUTS)}; all by default")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--examples", type=int, help="so many of each input")
    parser.add_argument("--seconds", type=float, help="so long with each input")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    for name in arguments.inputs or INPUTS:
        examples = arguments.examples or (None if arguments.seconds else INPUTS[name])
        with tempfile.TemporaryDirectory() as folder:
            fuzz(name, _seeds(arguments.first, examples, arguments.seconds), Path(folder))


def fuzz(name: str, seeds: Iterator[int], folder: Path) -> None:
    """Read a mutant for each seed."""
    module = importlib.import_module(f"tests.fuzz.{name}")
    files: list[bytes] = module.originals(folder)
    path = folder / "mutant"  # the name says nothing of the contents
    for original in files:
        path.write_bytes(original)
        assert _read(module.read, path) == READ
    _limit_memory()
    for seed in seeds:
        print(name, seed, end=" ", flush=True)
        path.write_bytes(mutate(files, np.random.default_rng(seed)))
        faulthandler.dump_traceback_later(LONGEST_S, exit=True)
        print(_read(module.read, path), flush=True)
        faulthandler.cancel_dump_traceback_later()


def _read(read: Callable[[Path], None], path: Path) -> str:
    try:
        read(path)
    except UserError as error:
        sentence = str(error)
        assert sentence.isprintable(), repr(sentence)
        assert len(sentence) <= LONGEST_SENTENCE, sentence
        assert "MemoryError" not in sentence, sentence
        return f"refused: {sentence.replace(str(path), 'FILE')}"
    return READ


def _seeds(first: int, examples: int | None, seconds: float | None) -> Iterator[int]:
    end_s = time.monotonic() + (seconds or float("inf"))
    for seed in count(first) if examples is None else range(first, first + examples):
        if time.monotonic() > end_s:
            return
        yield seed


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MOST_MEMORY_BYTES, hard))


if __name__ == "__main__":
    main()
