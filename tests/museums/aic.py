"""The Art Institute of Chicago: a search that takes its question as JSON and has an end, and an IIIF server."""

import json
import re
from typing import Any

from scrapers.items import Label
from tests.museums.answers import EVERYTHING_ALLOWED, MISSING, Answer, Asked, jpeg_answer, json_answer, text_answer
from tests.museums.collection import FIRST_ID, Collection, Kind, Piece, kind_of, spoilt
from tests.museums.jpegs import Format

API, IMAGES = "api.artic.edu", "www.artic.edu"
HOSTS = frozenset({API, IMAGES})
FORMAT = Format(843, 4, 8)
LABELS: dict[str, Label] = {"Painting": "painting", "Photograph": "photo"}
TYPES = {label: name for name, label in LABELS.items()}
IMAGE = re.compile(r"/iiif/2/[0-9a-f-]{24}([0-9a-f]{12})/full/843,/0/default\.jpg")
ID_ABOVE = re.compile(r'"range": ?\{"id": ?\{"(gte?)": ?(\d+)\}')
MOST_OF_PAGE, MOST_OF_QUERY = 100, 1000
"""The documentation says 10,000; without a key it is less."""


def answer(asked: Asked, collection: Collection) -> Answer:
    """Answer as its two hosts do."""
    if asked.path == "/robots.txt":
        return text_answer(EVERYTHING_ALLOWED)
    if asked.host == API and asked.path == "/api/v1/artworks/search":
        return _search(asked, collection)
    if asked.host == IMAGES and (image := IMAGE.fullmatch(asked.path)):
        piece = collection.pictured(int(image[1], 16))
        return jpeg_answer(FORMAT.jpeg(piece, tiny=collection.tiny)) if piece else MISSING
    return MISSING


def _search(asked: Asked, collection: Collection) -> Answer:
    question = {**json.loads(asked.query.get("params", "{}")), **asked.query}
    limit, page = int(question.get("limit", 12)), int(question.get("page", 1))
    if limit > MOST_OF_PAGE:
        return _refusal("Invalid limit", "You have requested too many resources per page. Please set a smaller limit.")
    if limit * page > MOST_OF_QUERY:
        return _refusal(
            "Invalid number of results", "You have requested too many results. Please refine your parameters."
        )
    text = json.dumps(question.get("query"))
    label = next((label for name, label in LABELS.items() if f'"{name}"' in text), None)
    first, total = (_first(text, label), collection.size(label)) if label else (0, 0)
    start = first + limit * (page - 1)
    records = collection.records(label, start, start + limit) if label else ()
    return json_answer(
        {
            "preference": None,
            "pagination": {
                "total": total - first,
                "limit": limit,
                "offset": limit * (page - 1),
                "total_pages": -(-(total - first) // limit) if limit else 0,
                "current_page": page,
            },
            "data": [_listed(piece, kind, question.get("fields")) for piece, kind in records],
            "info": {"license_text": "All other data is CC0 1.0.", "version": "1.13"},
            "config": {"iiif_url": f"https://{IMAGES}/iiif/2", "website_url": f"https://{IMAGES}"},
        }
    )


def _refusal(error: str, detail: str) -> Answer:
    return json_answer({"status": 403, "error": error, "detail": detail}, 403)


def _first(query: str, label: Label) -> int:
    """The place of the first record whose id is above the one that the query names."""
    above = ID_ABOVE.search(query)
    if not above:
        return 0
    least = int(above[2]) + (above[1] == "gt")
    first = max(0, -(-(least - FIRST_ID - list(TYPES).index(label)) // 2))
    return first + (kind_of(first) is Kind.DOUBLE)  # which has the id before it


def _listed(piece: Piece, kind: Kind, fields: str | list[str] | None) -> Any:
    record = _record(piece, kind)
    if fields:
        wanted = fields.split(",") if isinstance(fields, str) else fields
        record = {"_score": None} | {name: record[name] for name in record if name in wanted}
    return spoilt(record, piece) if kind is Kind.MALFORMED else record


def _record(piece: Piece, kind: Kind) -> dict[str, Any]:
    thumbnail = {
        "lqip": "data:image/gif;base64,R0lGODlhBAAFAPQAADU4",
        "width": 4 * FORMAT.width_px,
        "height": 4 * FORMAT.height_px(piece),
        "alt_text": "A work made of materials.",
    }
    return {
        "id": piece.id,
        "api_model": "artworks",
        "title": piece.title,
        "date_start": piece.year,
        "date_end": piece.year + 5,
        "date_display": f"{piece.year}-{(piece.year + 5) % 100:02}",
        "artist_display": f"{piece.creator}\nAmerican, 1859-1937",
        "artist_title": piece.creator if piece.id % 7 else None,
        "artist_titles": [piece.creator] if piece.id % 7 else [],
        "is_public_domain": kind is not Kind.NOT_FREE,
        "copyright_notice": None,
        "artwork_type_title": TYPES[piece.label],
        "artwork_type_id": 1 if piece.label == "painting" else 2,
        "medium_display": "Oil on canvas",
        "main_reference_number": f"{piece.year}.{piece.id}",
        "image_id": None if kind is Kind.WITHOUT_IMAGE else piece.uuid,
        "thumbnail": thumbnail if piece.id % 17 else None,
    }
