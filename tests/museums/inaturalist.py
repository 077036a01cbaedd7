"""iNaturalist: observations by their ids, and the bucket of its open data."""

import re
from typing import Any

from tests.museums.answers import EVERYTHING_ALLOWED, MISSING, Answer, Asked, jpeg_answer, json_answer, text_answer
from tests.museums.collection import Collection, Kind, Piece
from tests.museums.jpegs import Format

API, IMAGES = "api.inaturalist.org", "inaturalist-open-data.s3.amazonaws.com"
ELSEWHERE = "static.inaturalist.org"
HOSTS = frozenset({API, IMAGES})
FORMAT = Format(1024, 5, 8)
IMAGE = re.compile(r"/photos/(\d+)/large\.jpe?g")
LATEST_ID = 300_000_000
"""The observations lie evenly below this one."""
SECOND_ID = 1_000_000
"""Of further photographs, which are not open."""
MOST_OF_PAGE, MOST_OF_QUERY = 200, 10_000
NO_SUCH_KEY = Answer(b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", "application/xml", 404)


def answer(asked: Asked, collection: Collection) -> Answer:
    """Answer as its two hosts do."""
    if asked.host == API and asked.path == "/robots.txt":
        return text_answer(EVERYTHING_ALLOWED)
    if asked.host == API:
        return _page(asked, collection) if asked.path == "/v1/observations" else MISSING
    image = IMAGE.fullmatch(asked.path)
    piece = collection.pictured(int(image[1])) if image else None
    return jpeg_answer(FORMAT.jpeg(piece, tiny=collection.tiny)) if piece else NO_SUCH_KEY


def _page(asked: Asked, collection: Collection) -> Answer:
    page, per_page = asked.integer("page", 1), min(asked.integer("per_page", 30), MOST_OF_PAGE)
    if page * per_page > MOST_OF_QUERY:
        return json_answer({"error": "Result window is too large", "status": 403}, 403)
    step = LATEST_ID // (collection.size("photo") + 1)
    first = asked.integer("id_above", 0) // step
    end = min(-(-asked.integer("id_below", LATEST_ID) // step) - 1, collection.size("photo"))
    if "cc0" not in asked.query.get("photo_license", "cc0").split(","):
        end = first
    skip, ascending = (page - 1) * per_page, asked.query.get("order") == "asc"
    start, stop = (first + skip, first + skip + per_page) if ascending else (end - skip - per_page, end - skip)
    start, stop = max(first, start), min(end, stop)
    found = collection.records("photo", start, stop)
    results = [_listed(piece, kind, step * number) for number, (piece, kind) in enumerate(found, start=start + 1)]
    return json_answer(
        {
            "total_results": max(end - first, 0),
            "page": page,
            "per_page": per_page,
            "results": results if ascending else results[::-1],
        }
    )


def _listed(piece: Piece, kind: Kind, observation: int) -> Any:
    record = _record(piece, kind, observation)
    if kind is not Kind.MALFORMED:
        return record
    photos = ([{**photo, "id": str(photo["id"])} for photo in record["photos"]], {"0": record["photos"]}, None)
    return {**record, "photos": photos[piece.id % 3]}


def _record(piece: Piece, kind: Kind, observation: int) -> dict[str, Any]:
    licence = "cc-by-nc" if kind is Kind.NOT_FREE else "cc0"
    host = ELSEWHERE if kind is Kind.WITHOUT_IMAGE else IMAGES
    photo = _photo(piece.id, licence, host, piece)
    second = _photo(piece.id + SECOND_ID, None, ELSEWHERE, piece)
    year = piece.year + 100
    return {
        "id": observation,
        "uuid": piece.uuid,
        "quality_grade": "research",
        "license_code": "cc-by",
        "observed_on": f"{year}-06-07",
        "observed_on_details": {"date": f"{year}-06-07", "day": 7, "month": 6, "year": year, "week": 23, "hour": 9},
        "species_guess": "wild carrot",
        "taxon": {"id": 76610, "name": "Daucus carota", "rank": "species"}
        | ({"preferred_common_name": "wild carrot"} if piece.id % 5 else {}),
        "user": {"id": piece.id % 97, "login": f"user{piece.id % 97}", "name": piece.creator if piece.id % 3 else None},
        "uri": f"https://www.inaturalist.org/observations/{observation}",
        "place_guess": "A meadow",
        "photos": [photo, second] if piece.id % 4 else [second, photo],
    }


def _photo(identity: int, licence: str | None, host: str, piece: Piece) -> dict[str, Any]:
    size = {"width": 2 * FORMAT.width_px, "height": 2 * FORMAT.height_px(piece)}
    return {
        "id": identity,
        "license_code": licence,
        "original_dimensions": size if piece.id % 23 else None,
        "url": f"https://{host}/photos/{identity}/square.{'jpg' if identity % 5 else 'jpeg'}",
        "attribution": "(c) somebody, some rights reserved",
        "flags": [],
        "hidden": False,
    }
