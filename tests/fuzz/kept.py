"""The file of answers that are kept: what is damaged is asked for again."""

from pathlib import Path

from pipeline.console import MENDABLE, UserError
from scrapers.answers import Answers

BODIES = {f"https://example.org/{number}": bytes([number]) * 200 for number in range(30)}


def originals(folder: Path) -> list[bytes]:
    with Answers(folder / "answers.sqlite") as answers:
        for url, body in BODIES.items():
            answers.put(url, body)
    return [(folder / "answers.sqlite").read_bytes()]


def read(path: Path) -> None:
    try:
        _read(path)
    except OSError as error:  # a header may say that the file cannot be written to
        if error.errno not in MENDABLE:
            raise
        raise UserError(str(error)) from None


def _read(path: Path) -> None:
    with Answers(path) as answers:
        for url, body in BODIES.items():
            assert answers.get(url) in (body, None)
        answers.put(url, body)
        assert answers.get(url) in (body, None)
