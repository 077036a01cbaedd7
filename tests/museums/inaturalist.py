"""iNaturalist: the bucket of its open data, with the table of the photographs and the photographs."""

import gzip
import re
from collections.abc import Iterator

from tests.museums.answers import Answer, Asked, jpeg_answer
from tests.museums.collection import Collection, Kind, Piece
from tests.museums.jpegs import Format

HOSTS = frozenset({"inaturalist-open-data.s3.amazonaws.com"})
FORMAT = Format(1024, 5, 8)
IMAGE = re.compile(r"/photos/(\d+)/large\.jpe?g")
COLUMNS = (
    *("photo_uuid", "photo_id", "observation_uuid", "observer_id", "extension"),
    *("license", "width", "height", "position"),
)
SECOND_ID = 1_000_000
"""Of further photographs of an observation."""
NO_SUCH_KEY = Answer(b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", "application/xml", 404)


def answer(asked: Asked, collection: Collection) -> Answer:
    """Answer as the bucket does."""
    if asked.path == "/photos.csv.gz":
        return Answer(_table(collection), "text/csv", headers={"Content-Encoding": "gzip"})
    image = IMAGE.fullmatch(asked.path)
    piece = collection.pictured(int(image[1])) if image else None
    return jpeg_answer(FORMAT.jpeg(piece, tiny=collection.tiny)) if piece else NO_SUCH_KEY


def _table(collection: Collection) -> bytes:
    rows = ("\t".join(map(str, row)) + "\n" for row in (COLUMNS, *_rows(collection)))
    return gzip.compress("".join(rows).encode(), mtime=0)


def _rows(collection: Collection) -> Iterator[tuple[object, ...]]:
    for piece, kind in collection.records("photo", 0, collection.size("photo")):
        row = _row(piece, kind)
        yield _spoilt(row, piece) if kind is Kind.MALFORMED else row
        if piece.id % 4 == 0:
            yield _row(piece, kind, identity=piece.id + SECOND_ID, position=1)


def _row(piece: Piece, kind: Kind, identity: int | None = None, position: int = 0) -> tuple[object, ...]:
    """A photograph; the first of an observation without an image is not open."""
    return (
        "f" + piece.uuid[1:],
        identity or piece.id,
        piece.uuid,
        piece.id % 97,
        "jpg" if piece.id % 5 else "jpeg",
        "CC-BY-NC" if kind is Kind.NOT_FREE else "CC0",
        2 * FORMAT.width_px if piece.id % 23 else "",
        2 * FORMAT.height_px(piece) if piece.id % 23 else "",
        2 if kind is Kind.WITHOUT_IMAGE else position,
    )


def _spoilt(row: tuple[object, ...], piece: Piece) -> tuple[object, ...]:
    return (row[:5], (*row[:6], "wide", *row[7:]), (row[0], "../1", *row[2:]))[piece.id % 3]
