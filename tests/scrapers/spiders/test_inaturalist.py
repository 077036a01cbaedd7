"""iNaturalist: the part of a table, the rows that are drawn from it, and what each says."""

import asyncio
import gzip
import zlib
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapers.answers import Answers
from scrapers.items import Work
from scrapers.spiders import inaturalist_table
from scrapers.spiders.inaturalist import LARGE_PX, PART_BYTES, TABLE, INaturalistSpider
from tests.scrapers.spiders.answering import SHAPES, Walk, assert_harmless, disturbed, make_spider, report

PHOTOS = (SHAPES / "inaturalist-photos.csv").read_bytes()
HEADER, *ROWS = PHOTOS.decode().splitlines()
RECORD = dict(zip(HEADER.split("\t"), ROWS[1].split("\t"), strict=True))
SPIDER = make_spider(INaturalistSpider)


def test_free_first_photographs_are_read() -> None:
    works = {work.id: work for work in _walk(PHOTOS).works}
    assert works.keys() == {"226", "225727271", "225727301", "225727310", "225727330"}
    assert works["225727271"] == Work(
        source="inaturalist",
        id="225727271",
        label="photo",
        group="0b8f6d02-2d3c-4a9b-8f4e-7a6d5c3b0002",
        title="iNaturalist photograph 225727271",
        creator="iNaturalist observer 4042",
        year=None,
        licence="CC0-1.0",
        licence_url="https://creativecommons.org/publicdomain/zero/1.0/",
        page_url="https://www.inaturalist.org/photos/225727271",
        image_url="https://inaturalist-open-data.s3.amazonaws.com/photos/225727271/large.jpeg",
        width_px=768,
        height_px=1024,
    )
    assert (works["226"].licence, works["226"].width_px, works["226"].height_px) == ("CC-BY-4.0", 800, 600)
    assert (works["225727310"].licence, works["225727310"].width_px) == ("CC-PDM-1.0", None)
    assert works["225727330"].image_url.endswith("/large.JPG")


def test_licence_of_the_photograph_decides() -> None:
    walked = _walk(PHOTOS, licences=["CC0-1.0", "CC-PDM-1.0"])
    assert {work.id for work in walked.works} == {"225727271", "225727310"}
    assert walked.counts["photo/passed"] == 1, "a GIF"


def test_first_part_is_asked_for_and_a_bucket_that_sends_more_is_cut_short() -> None:
    (request,) = _walk(PHOTOS).asked
    assert request.url == TABLE
    assert request.headers["Range"] == f"bytes=0-{PART_BYTES - 1}".encode()
    assert request.meta["download_maxsize"] == PART_BYTES
    assert request.meta["download_timeout"] >= 100
    assert make_spider(INaturalistSpider).crawler.settings.getbool("COMPRESSION_ENABLED") is False


def test_part_is_kept_but_not_one_that_cannot_be_read(tmp_path: Path) -> None:
    with Answers(tmp_path / "answers.sqlite") as kept:
        assert _walk(PHOTOS, packed=b"<html>", kept=kept).counts["photo/failed"] == 1
        first, second = (_walk(PHOTOS, kept=kept) for _ in range(2))
    assert (len(first.asked), second.asked) == (1, [])
    assert first.works == second.works


@given(end=st.integers(0, 10_000))
def test_cut_anywhere_the_part_gives_the_rows_that_are_whole(end: int) -> None:
    table = _table([_row(number) for number in range(200)])
    packed = gzip.compress(table, mtime=0)
    text = zlib.decompressobj(wbits=31).decompress(packed[:end])
    walked = _walk(packed=packed[:end])
    assert len(walked.works) == max(text.count(b"\n") - 1, 0)
    assert walked.counts.get("photo/failed", 0) == (b"\n" not in text)
    assert "photo/dropped" not in walked.counts


def test_table_of_several_packed_parts_is_read() -> None:
    first, second = _table([_row(1)]), _row(2).encode() + b"\n"
    assert len(_walk(packed=gzip.compress(first) + gzip.compress(second)).works) == 2


@pytest.mark.parametrize("place", [0, 10, -8], ids=["magic number", "first block", "checksum"])
def test_damaged_table_ends_the_walk(place: int) -> None:
    packed = bytearray(gzip.compress(_table([_row(1)]), mtime=0))
    packed[place] ^= 0xFF
    walked = _walk(packed=bytes(packed))
    assert (walked.works, walked.counts["photo/failed"]) == ([], 1)


@pytest.mark.parametrize("table", [b"", b"\n", b"photo_id\tlicense\n1\tCC0\n", b"\xff\xfe\n", b"x" * 50_000])
def test_other_table_ends_the_walk(table: bytes) -> None:
    assert _walk(table).counts["photo/failed"] == 1


def test_columns_may_move() -> None:
    table = "\n".join("\t".join(reversed(line.split("\t"))) for line in (HEADER, *ROWS)) + "\n"
    assert _walk(table.encode()).works == _walk(PHOTOS).works


def test_bomb_ends_the_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(_walk(_table([_row(1)])).works) == 1
    monkeypatch.setattr(inaturalist_table, "LARGEST_TEXT", 100_000)
    walked = _walk(_table([_row(1)]) + b"x" * 200_000)
    assert (walked.works, walked.counts["photo/failed"]) == ([], 1)


def test_more_rows_than_the_part_can_have_end_the_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inaturalist_table, "MOST_ROWS", 50)
    assert len(_walk(_table([_row(number) for number in range(50)])).works) == 50
    assert _walk(_table([_row(number) for number in range(51)])).counts["photo/failed"] == 1


def test_malformed_rows_in_a_row_end_the_walk_at_once() -> None:
    malformed = [""] * inaturalist_table.MOST_MALFORMED
    assert len(_walk(_table([*malformed, _row(1), *malformed, _row(2)])).works) == 2
    start = process_time()
    walked = _walk(_table([_row(1)]) + b"\n" * 3_000_000)
    assert (walked.works, walked.counts["photo/failed"]) == ([], 1)
    assert process_time() - start < 2


def test_observers_take_turns_and_places_of_the_table_mix() -> None:
    rows = [_row(number, observer=number // 100) for number in range(1000)]
    works = _walk(_table(rows)).works
    assert len(works) == 1000
    assert len({work.creator for work in works[:10]}) == len({work.creator for work in works[-10:]}) == 10
    assert [work.id for work in works] == [work.id for work in _walk(_table(rows[::-1])).works]
    assert {int(work.id) % 100 // 25 for work in works[:100]} == {0, 1, 2, 3}


def test_few_rows_are_held_and_a_smaller_number_keeps_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    table = _table([_row(number) for number in range(300)])
    all_works = [work.id for work in _walk(table).works]
    monkeypatch.setattr(inaturalist_table, "MOST_DRAWN", 40)
    assert [work.id for work in _walk(table).works] == all_works[:40]


def test_observation_gives_one_photograph() -> None:
    assert len(_walk(_table([_row(7), _row(8).replace(_uuid(8), _uuid(7)), _row(9)])).works) == 2


DOUBTFUL = [
    *(("photo_id", value) for value in ("", "../1", "1/2", "9" * 81, "9" * 5000, "1.5")),
    *(("observation_uuid", value) for value in ("", "../x", "é" * 9, "a" * 81)),
    *(("observer_id", value) for value in ("", "kueda", "9" * 501)),
    *(("width", value) for value in ("wide", "0", "-5", "")),
    ("height", "1e3"),
]


@pytest.mark.parametrize(("key", "value"), DOUBTFUL)
def test_doubtful_row_is_dropped_and_counted(key: str, value: str) -> None:
    walked = _walk(_table(["\t".join({**RECORD, key: value}.values()), _row(1)]))
    assert [work.id for work in walked.works] == ["1"]
    assert walked.counts["photo/dropped"] == 1


@pytest.mark.parametrize("row", ["", "1", ROWS[1] + "\t1", ROWS[1].rpartition("\t")[0], "x" * 30_000])
def test_row_of_another_length_is_dropped_and_counted(row: str) -> None:
    walked = _walk(_table([row, _row(1)]))
    assert [work.id for work in walked.works] == ["1"]
    assert walked.counts["photo/dropped"] >= 1


@pytest.mark.parametrize("extension", ["", "gif", "html", "jpg/../../x", "jpg?x=1"])
def test_what_is_no_photograph_is_passed_over(extension: str) -> None:
    assert SPIDER.work({**RECORD, "extension": extension}, "photo") is None


@given(width=st.integers(1, 5000), height=st.integers(1, 5000))
def test_size_fits_the_square_and_keeps_its_shape(width: int, height: int) -> None:
    record = {**RECORD, "width": str(width), "height": str(height)}
    try:
        work = SPIDER.work(record, "photo")
    except ValueError:
        assert min(width, height) * LARGE_PX < max(width, height), "less than a pixel high"
        return
    assert work
    assert work.width_px
    assert work.height_px
    assert max(work.width_px, work.height_px) == min(LARGE_PX, max(width, height))
    scale = min(1, LARGE_PX / max(width, height))
    assert work.width_px == pytest.approx(width * scale, abs=1)
    assert work.height_px == pytest.approx(height * scale, abs=1)


@given(record=disturbed(RECORD))
def test_no_row_breaks_the_spider(record: Any) -> None:
    assert_harmless(SPIDER, record, "photo")


@given(lines=st.lists(st.binary(max_size=60) | st.sampled_from(ROWS).map(str.encode), max_size=8))
def test_no_table_breaks_the_walk(lines: list[bytes]) -> None:
    walked = _walk(b"\n".join([HEADER.encode(), *lines, b""]))
    assert walked.counts["photo/exhausted"] == 1


def _walk(table: bytes = b"", *, packed: bytes | None = None, **options: Any) -> Walk:
    body = gzip.compress(table) if packed is None else packed
    return asyncio.run(report(INaturalistSpider, "photo", {TABLE: body}, **options))


def _table(rows: list[str]) -> bytes:
    return "".join(f"{row}\n" for row in (HEADER, *rows)).encode()


def _row(number: int, observer: int = 1) -> str:
    values = {"photo_id": number, "observation_uuid": _uuid(number), "observer_id": observer}
    return "\t".join(map(str, {**RECORD, **values}.values()))


def _uuid(number: int) -> str:
    return f"0b8f6d02-2d3c-4a9b-8f4e-{number:012x}"
