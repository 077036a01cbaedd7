"""Tables: the rows and columns that are wanted, while others have their turn."""

import asyncio

import pytest

from scrapers.spiders.museum import AnswerError
from scrapers.spiders.tables import ROWS_AT_A_TIME, Row, select


def test_wanted_columns_of_wanted_rows_are_read() -> None:
    table = '\ufeffid,text,more\r\n1,"a\r\nb",x\r\n2,c,y\r\n3,d,z\r\n'.encode()
    assert _select(table, lambda row: row["id"] != "2") == [{"text": "a\r\nb", "id": "1"}, {"text": "d", "id": "3"}]


def test_others_have_their_turn() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def both() -> None:
        other = asyncio.create_task(count())
        await select(b"id,text\n" + b"1,a\n" * 5 * ROWS_AT_A_TIME, ["id"], lambda _: True)
        other.cancel()

    asyncio.run(both())
    assert turns >= 4


def test_field_without_end_is_refused() -> None:
    with pytest.raises(AnswerError, match="no table"):
        _select(b'id,text\n"' + b"x" * 11_000_000, lambda _: True)


def test_missing_column_is_an_error() -> None:
    with pytest.raises(KeyError):
        _select(b"id\n1\n", lambda _: True)


def _select(table: bytes, is_wanted: object) -> list[Row]:
    return asyncio.run(select(table, ["text", "id"], is_wanted))  # type: ignore[arg-type]
