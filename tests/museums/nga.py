"""The National Gallery of Art: two large tables in a repository, and an IIIF server."""

import csv
import io
import re
from collections.abc import Iterable, Iterator

from scrapers.items import LABELS, Label
from tests.museums.answers import EVERYTHING_ALLOWED, MISSING, Answer, Asked, jpeg_answer, text_answer
from tests.museums.collection import Collection, Kind, Piece
from tests.museums.jpegs import Format

TABLES, IMAGES = "raw.githubusercontent.com", "api.nga.gov"
HOSTS = frozenset({TABLES, IMAGES})
FORMAT = Format(843, 4, 6)
"""Wider than high: an image within 843 x 843 is 843 wide."""
CLASSES: dict[Label, str] = {"painting": "Painting", "photo": "Photograph"}
TABLE = re.compile(r"/NationalGalleryOfArt/opendata/[0-9a-f]{40}/data/(objects|published_images)\.csv")
IMAGE = re.compile(r"/iiif/[0-9a-f-]{24}([0-9a-f]{12})/full/!843,843/0/default\.jpg")
OBJECTS = (
    "objectid,uuid,accessioned,accessionnum,locationid,title,displaydate,beginyear,endyear,visualbrowsertimespan,medium,"
    "dimensions,inscription,markings,attributioninverted,attribution,provenancetext,creditline,classification,"
    "subclassification,visualbrowserclassification,parentid,isvirtual,departmentabbr,portfolio,series,volume,"
    "watermarks,lastdetectedmodification,wikidataid,customprinturl"
).split(",")
PUBLISHED = (
    "uuid,iiifurl,iiifthumburl,viewtype,sequence,width,height,maxpixels,openaccess,created,modified,"
    "depictstmsobjectid,assistivetext"
).split(",")
PRINT_ID = 5_000_000
ROWS = 200
"""Sent at a time."""


def answer(asked: Asked, collection: Collection) -> Answer:
    """Answer as its two hosts do."""
    if asked.path == "/robots.txt":
        return text_answer(EVERYTHING_ALLOWED) if asked.host == IMAGES else MISSING
    if asked.host == TABLES and (table := TABLE.fullmatch(asked.path)):
        columns, rows = (OBJECTS, _objects) if table[1] == "objects" else (PUBLISHED, _published)
        return Answer(_csv(columns, rows(collection)), "text/plain; charset=utf-8")
    if asked.host == IMAGES and (image := IMAGE.fullmatch(asked.path)):
        piece = collection.pictured(int(image[1], 16))
        return jpeg_answer(FORMAT.jpeg(piece, tiny=collection.tiny)) if piece else MISSING
    return MISSING


def _csv(columns: list[str], rows: Iterable[dict[str, object]]) -> Iterator[bytes]:
    part = io.StringIO()
    writer = csv.DictWriter(part, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for place, row in enumerate(rows, start=1):
        writer.writerow(row)
        if place % ROWS == 0:
            yield part.getvalue().encode()
            part.seek(0)
            part.truncate()
    yield part.getvalue().encode()


def _records(collection: Collection) -> Iterator[tuple[Piece, Kind]]:
    for label in LABELS:
        yield from collection.records(label, 0, collection.size(label))


def _objects(collection: Collection) -> Iterator[dict[str, object]]:
    """Rows of objects.csv, among them prints."""
    for piece, kind in _records(collection):
        row = _object(piece)
        if kind is Kind.MALFORMED and piece.id % 3 == 0:
            row = {"objectid": "../" + str(row["objectid"]), "title": row["title"]}
        yield row
        if piece.number % 4 == 0:
            yield {**row, "objectid": PRINT_ID + piece.id, "classification": "Print", "medium": "etching"}


def _object(piece: Piece) -> dict[str, object]:
    return {
        "objectid": piece.id,
        "uuid": "a" + piece.uuid[1:],
        "accessioned": 1,
        "accessionnum": f"{piece.year}.7.{piece.id}",
        "locationid": "",
        "title": piece.title,
        "displaydate": f"c. {piece.year}/{piece.year + 5}",
        "beginyear": piece.year if piece.id % 31 else "",
        "endyear": piece.year + 5,
        "medium": "oil on canvas" if piece.label == "painting" else "gelatin silver print",
        "dimensions": "overall: 61 x 74 cm (24 x 29 1/8 in.)\nframed: 81.9 x 95.3 cm (32 1/4 x 37 1/2 in.)",
        "inscription": 'lower right: "J. Doe, pinx."',
        "attributioninverted": piece.creator,
        "attribution": piece.creator if piece.id % 29 else "",
        "provenancetext": "(The dealer, Paris);\nsold to a collector, who gave it to the museum. " * 4,
        "creditline": "Gift of a Collector",
        "classification": CLASSES[piece.label],
        "visualbrowserclassification": CLASSES[piece.label].lower(),
        "isvirtual": 0,
        "departmentabbr": "CIS-R" if piece.label == "painting" else "DPG",
        "lastdetectedmodification": "2026-04-03 22:01:29.297-04",
        "wikidataid": f"Q{piece.id}",
    }


def _published(collection: Collection) -> Iterator[dict[str, object]]:
    """Rows of published_images.csv, in another order than the objects, and with views beside the primary one."""
    for label in LABELS:
        size = collection.size(label)
        for number in range(size - 1, -1, -1):
            for piece, kind in collection.records(label, number, number + 1):
                if kind is not Kind.WITHOUT_IMAGE:
                    yield _image(piece, kind)
                if piece.id % 5 == 0 or kind is Kind.WITHOUT_IMAGE:
                    yield {**_image(piece, kind), "uuid": "f" + piece.uuid[1:], "viewtype": "alternate", "sequence": 1}


def _image(piece: Piece, kind: Kind) -> dict[str, object]:
    host = "evil.example" if kind is Kind.MALFORMED and piece.id % 3 else IMAGES
    address = f"https://{host}/iiif/{piece.uuid}"
    return {
        "uuid": piece.uuid,
        "iiifurl": address,
        "iiifthumburl": f"{address}/full/!200,200/0/default.jpg",
        "viewtype": "primary",
        "sequence": 0,
        "width": 4 * FORMAT.width_px,
        "height": 4 * FORMAT.height_px(piece),
        "maxpixels": 640 if kind is Kind.NOT_FREE else "",
        "openaccess": 0 if kind is Kind.NOT_FREE else 1,
        "created": "2013-07-05 15:41:08-04",
        "modified": "2025-09-22 14:10:53-04",
        "depictstmsobjectid": piece.id,
    }
