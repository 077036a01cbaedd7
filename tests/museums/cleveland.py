"""The Cleveland Museum of Art: one list of works, and widths that are text."""

from typing import Any

from scrapers.items import Label
from tests.museums.answers import EVERYTHING_ALLOWED, MISSING, Answer, Asked, jpeg_answer, json_answer, text_answer
from tests.museums.collection import Collection, Kind, Piece, spoilt
from tests.museums.jpegs import Format

API, IMAGES = "openaccess-api.clevelandart.org", "openaccess-cdn.clevelandart.org"
HOSTS = frozenset({API, IMAGES})
FORMAT = Format(896, 5, 8)
LABELS: dict[str, Label] = {"Painting": "painting", "Photograph": "photo"}
TYPES = {label: name for name, label in LABELS.items()}
MOST = 1000
"""Records of a page."""


def answer(asked: Asked, collection: Collection) -> Answer:
    """Answer as its two hosts do."""
    if asked.path == "/robots.txt":
        return text_answer(EVERYTHING_ALLOWED)
    if asked.host == API and asked.path == "/api/artworks/":
        return _page(asked, collection)
    if asked.host == IMAGES and asked.path.endswith("_web.jpg"):
        identity = asked.path.split("/")[1].partition(".")[2]
        piece = collection.pictured(int(identity)) if identity.isdecimal() else None
        return jpeg_answer(FORMAT.jpeg(piece, tiny=collection.tiny)) if piece else MISSING
    return MISSING


def _page(asked: Asked, collection: Collection) -> Answer:
    label = LABELS.get(asked.query.get("type", ""))
    if not label:
        return json_answer({"info": {"total": 0, "parameters": asked.query}, "data": []})
    skip, limit = asked.integer("skip", 0), min(asked.integer("limit", MOST), MOST)
    page = [_listed(piece, kind) for piece, kind in collection.records(label, skip, skip + limit)]
    return json_answer({"info": {"total": collection.size(label), "parameters": asked.query}, "data": page})


def _listed(piece: Piece, kind: Kind) -> Any:
    record = _record(piece, kind)
    return spoilt(record, piece) if kind is Kind.MALFORMED else record


def _record(piece: Piece, kind: Kind) -> dict[str, Any]:
    accession = f"{piece.year % 100 + 1900}.{piece.id}"
    width_px, height_px = FORMAT.width_px, FORMAT.height_px(piece)
    images = {
        name: {
            "url": f"https://{IMAGES}/{accession}/{accession}_{name}.{'tif' if name == 'full' else 'jpg'}",
            "width": str(width_px * factor),
            "height": str(height_px * factor),
            "filesize": str(150_000 * factor**2),
            "filename": f"{accession}_{name}.jpg",
        }
        for name, factor in (("web", 1), ("print", 4), ("full", 6))
    }
    return {
        "id": piece.id,
        "accession_number": accession,
        "share_license_status": "Copyrighted" if kind is Kind.NOT_FREE else "CC0",
        "tombstone": f"{piece.title}, {piece.year}. {piece.creator}",
        "title": piece.title,
        "creation_date": f"c. {piece.year}-{piece.year + 3}",
        "creation_date_earliest": piece.year,
        "creation_date_latest": piece.year + 3,
        "type": TYPES[piece.label],
        "technique": "oil on canvas" if piece.label == "painting" else "albumen print from wet collodion negative",
        "creators": [{"id": piece.id % 971, "description": piece.creator, "role": "artist"}] if piece.id % 7 else [],
        "url": f"https://clevelandart.org/art/{accession}",
        "images": None if kind is Kind.WITHOUT_IMAGE else images,
        "alternate_images": [],
        "updated_at": "2026-11-02 04:10:11.000000",
    }
