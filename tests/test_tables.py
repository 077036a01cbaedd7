from pathlib import Path

import pytest

from pipeline.console import UserError
from pipeline.tables import read_table, write_table


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = [{"a": 'one, "two"\nthree', "b": ""}, {"a": "é", "b": "2"}]
    write_table(tmp_path / "table.csv", ["a", "b"], rows)
    assert read_table(tmp_path / "table.csv") == rows
    write_table(tmp_path / "table.csv", ["a", "b"], [])
    assert read_table(tmp_path / "table.csv") == []


@pytest.mark.parametrize(
    "data",
    [b"", b"a,b\n1\n", b"a,b\n1,2,3\n", b"a,b\n\n1,2\n", b"a,b\n\xff,2\n", b'a,b\n1,"2', b"a\n" + b"x" * 200_000],
)
def test_what_is_not_whole_is_one_sentence(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "table.csv").write_bytes(data)
    with pytest.raises(UserError, match=r"table\.csv is not a whole table; delete it"):
        read_table(tmp_path / "table.csv")


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv", ["a"], [{"a": 1}])
    with pytest.raises(UserError, match=r"table\.csv has no column b"):
        read_table(tmp_path / "table.csv")[0]["b"]
