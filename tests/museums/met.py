"""The Metropolitan Museum of Art: a search that gives ids, then an object at a time, some of which are gone."""

import re
from typing import Any

from scrapers.items import Label
from tests.museums.answers import EVERYTHING_ALLOWED, MISSING, Answer, Asked, jpeg_answer, json_answer, text_answer
from tests.museums.collection import Collection, Kind, Piece, spoilt
from tests.museums.jpegs import Format

API, IMAGES = "collectionapi.metmuseum.org", "images.metmuseum.org"
HOSTS = frozenset({API, IMAGES})
FORMAT = Format(896, 5, 8)
LABELS: dict[str, Label] = {"Paintings": "painting", "Photographs": "photo"}
CLASSES = {label: name for name, label in LABELS.items()}
ALL_AT_ONCE, PAGED = "/public/collection/v1/search", "/public/collection/v1.1/search"
OBJECTS = "/public/collection/v1/objects/"
MOST_OF_PAGE, MOST_OF_QUERY = 500, 10_000
GONE_AT, GONE_ID = 11, 9_000_000
"""One id of each block is listed and leads nowhere."""


def answer(asked: Asked, collection: Collection) -> Answer:
    """Answer as its two hosts do."""
    if asked.path == "/robots.txt":
        return text_answer(EVERYTHING_ALLOWED)
    name = asked.path.rpartition("/")[2]
    if asked.host == API and asked.path in (ALL_AT_ONCE, PAGED):
        return _search(asked, collection)
    if asked.host == API and asked.path == OBJECTS + name:
        piece = collection.piece(int(name)) if name.isdecimal() else None
        return json_answer(_listed(piece)) if piece else json_answer({"message": "ObjectID not found"}, 404)
    if asked.host == IMAGES and asked.path == f"/CRDImages/ep/web-large/{name}":
        identity = re.sub(r"\D", "", name.removesuffix("-001.jpg"))
        piece = collection.pictured(int(identity)) if identity.isdecimal() else None
        return jpeg_answer(FORMAT.jpeg(piece, tiny=collection.tiny)) if piece else MISSING
    return MISSING


def _search(asked: Asked, collection: Collection) -> Answer:
    label = LABELS.get(asked.query.get("medium", ""))
    if not label or "q" not in asked.query:
        return json_answer({"total": 0, "objectIDs": None})
    ids = [piece.id for piece, _ in collection.records(label, 0, collection.size(label))]
    ids += [GONE_ID + identity for identity in ids[GONE_AT::20]]
    ids = ids[1::2] + ids[::2]  # in no useful order
    total = len(ids)
    if asked.path == PAGED:
        offset, limit = asked.integer("offset", 0), asked.integer("limit", MOST_OF_PAGE)
        ids = ids[offset : min(offset + min(limit, MOST_OF_PAGE), MOST_OF_QUERY)]
    return json_answer({"total": total, "objectIDs": ids or None})


def _listed(piece: Piece) -> Any:
    record = _record(piece, piece.kind)
    return spoilt(record, piece, identity="objectID") if piece.kind is Kind.MALFORMED else record


def _record(piece: Piece, kind: Kind) -> dict[str, Any]:
    other_class = kind is Kind.NOT_FREE and piece.id % 3 == 0
    is_public = other_class or kind is not Kind.NOT_FREE
    has_image = is_public and kind is not Kind.WITHOUT_IMAGE
    image = (
        f"https://{IMAGES}/CRDImages/ep/{{}}/DP{'-' if piece.id % 13 else ' '}{piece.id}-001.jpg" if has_image else ""
    )
    return {
        "objectID": piece.id,
        "isHighlight": False,
        "accessionNumber": f"{piece.year}.1.{piece.id}",
        "isPublicDomain": is_public,
        "primaryImage": image.format("original"),
        "primaryImageSmall": image.format("web-large"),
        "additionalImages": [],
        "constituents": None,
        "department": "European Paintings" if piece.label == "painting" else "Photographs",
        "objectName": "Painting" if piece.label == "painting" else "Photograph",
        "title": piece.title,
        "artistDisplayName": piece.creator if piece.id % 7 else "",
        "objectDate": f"ca. {piece.year}-{piece.year + 5}",
        "objectBeginDate": piece.year,
        "objectEndDate": piece.year + 5,
        "medium": "Oil on canvas" if piece.label == "painting" else "Albumen silver print from glass negative",
        "classification": "Drawings" if other_class else CLASSES[piece.label],
        "rightsAndReproduction": "",
        "linkResource": "",
        "metadataDate": "2026-10-27T04:54:30.617Z",
        "objectURL": f"https://www.metmuseum.org/art/collection/search/{piece.id}",
        "tags": None,
        "GalleryNumber": "",
    }
