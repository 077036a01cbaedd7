"""Tables that stages hand on to each other, as CSV."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.console import UserError
from pipeline.files import replacing


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a table as text. Raises :class:`UserError` for a table that is not there."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; `dvc repro` makes it") from None


def write_table(path: Path, columns: Iterable[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a table whole or not at all; its lines end as Git wants them."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
