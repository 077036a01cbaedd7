"""Tables that stages hand on to each other, as CSV."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.console import UserError
from pipeline.files import replacing


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a table as text. Raises :class:`UserError` for a table that is not there, or not whole.

    So does a row that is asked for a column which the table does not have.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file, strict=True)
            return [_Row(path, zip(header, row, strict=True)) for row in rows]
    except FileNotFoundError:
        raise UserError(f"{path} is missing; `dvc repro` makes it") from None
    except (ValueError, csv.Error):
        raise UserError(f"{path} is not a whole table; delete it, and `dvc repro` makes it anew") from None


class _Row(dict[str, str]):
    def __init__(self, path: Path, values: Iterable[tuple[str, str]]) -> None:
        super().__init__(values)
        self._path = path

    def __missing__(self, column: str) -> str:
        raise UserError(f"{self._path} has no column {column}; delete it, and `dvc repro` makes it anew")


def write_table(path: Path, columns: Iterable[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a table whole or not at all; its lines end as Git wants them."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
