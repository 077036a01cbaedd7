"""Wikimedia: Wikidata's query service, the interface of Commons, and the host of its files."""

import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from tests.museums.answers import MISSING, Answer, Asked, jpeg_answer, json_answer, text_answer
from tests.museums.collection import Collection, Kind, Piece
from tests.museums.jpegs import Format

SPARQL, API, IMAGES = "query.wikidata.org", "commons.wikimedia.org", "upload.wikimedia.org"
HOSTS = frozenset({SPARQL, API, IMAGES})
FORMAT, SMALL = Format(960, 5, 8), Format(800, 4, 7)
"""Of an image that is scaled, and of one that is too small for it."""
STEPS = frozenset({20, 40, 60, 120, 250, 330, 500, 960, 1280, 1920, 3840})
"""Widths in pixels that images are scaled to."""
ROBOTS = {SPARQL: "/sparql", API: "/w/", IMAGES: "/wikipedia/commons/archive/"}
BATCH = 50
WHOLE = 30
"""Of a long batch, now and then, only so many files are described in one answer."""
CATEGORIES = ("CC-Zero", "PD-self")
PAGE_ID = 60_000_000
THUMB = re.compile(r"/wikipedia/commons/thumb/./../[^/]+/(?:lossy-page1-)?(\d+)px-[^/]+")
ORIGINAL = re.compile(r"/wikipedia/commons/./../[^/]+")
PLAIN_PAGE = "<!DOCTYPE html><html><head><title>Wikimedia Error</title></head><body>{}</body></html>"


def answer(asked: Asked, collection: Collection) -> Answer:
    """Answer as its three hosts do, and only to those who say how to reach them."""
    if asked.path == "/robots.txt":
        return text_answer(f"User-agent: *\nDisallow: {ROBOTS[asked.host]}\n")
    if "@" not in asked.user_agent and "://" not in asked.user_agent:
        return Answer(PLAIN_PAGE.format("Please respect our user-agent policy").encode(), status=403)
    if asked.host == SPARQL and asked.path == "/sparql":
        return _table(asked, collection)
    if asked.host == API and asked.path == "/w/api.php" and asked.query.get("action") == "query":
        return _search(asked, collection) if asked.query.get("generator") == "search" else _named(asked, collection)
    return _image(asked, collection) if asked.host == IMAGES else MISSING


def _image(asked: Asked, collection: Collection) -> Answer:
    thumb, identity = THUMB.fullmatch(asked.path), re.search(r"\((\d+)\)", asked.path)
    if thumb and int(thumb[1]) not in STEPS:
        return Answer(PLAIN_PAGE.format("Use thumbnail steps listed on w.wiki/GHai").encode(), status=429)
    piece = collection.pictured(int(identity[1])) if identity else None
    if not piece or not (ORIGINAL if _is_small(piece) else THUMB).fullmatch(asked.path):
        return MISSING
    return jpeg_answer((SMALL if _is_small(piece) else FORMAT).jpeg(piece, tiny=collection.tiny))


def _table(asked: Asked, collection: Collection) -> Answer:
    query = asked.query.get("query", "")
    since, until, *_ = (*re.findall(r'"(\d{4})-01-01T', query), "0", "9999")
    limit, offset = (int(number) for number in re.findall(r"(?:LIMIT|OFFSET) (\d+)", query))
    rows = [
        _row(piece, kind)
        for piece, kind in collection.records("painting", 0, collection.size("painting"))
        if int(since) <= piece.year < int(until)
    ]
    rows.sort(key=lambda row: row["item"]["value"])
    names = re.findall(r"\?(\w+)", query.partition("WHERE")[0])
    bindings = [{name: row[name] for name in names if name in row} for row in rows[offset : offset + limit]]
    return json_answer({"head": {"vars": names}, "results": {"bindings": bindings}})


def _row(piece: Piece, kind: Kind) -> dict[str, dict[str, str]]:
    item = f"Q{piece.id + 2 * (kind is Kind.DOUBLE)}"  # two items may show the same file
    entity = "http://www.wikidata.org/entity/"
    name = ("Old " if piece.id % 13 == 0 else "") + _name(piece)
    integer = "http://www.w3.org/2001/XMLSchema#integer"
    row = {
        "item": {"type": "uri", "value": entity + item},
        "image": {"type": "uri", "value": f"http://commons.wikimedia.org/wiki/Special:FilePath/{quote(name)}"},
        "year": {"type": "literal", "datatype": integer, "value": str(piece.year)},
        "itemLabel": {"type": "literal", "value": item if piece.id % 17 == 0 else piece.title},
    }
    if kind is Kind.MALFORMED and piece.id % 3 == 0:
        del row["image"]
    if piece.id % 29 == 0:  # Wikidata knows that nobody knows
        row["creator"] = {"type": "uri", "value": "http://www.wikidata.org/.well-known/genid/5d4c6a1"}
        row["creatorLabel"] = {"type": "literal", "value": "t5d4c6a1"}
    elif piece.id % 7:
        row["creator"] = {"type": "uri", "value": f"{entity}Q{piece.id % 97 + 1}"}
        row["creatorLabel"] = {"type": "literal", "xml:lang": "en", "value": piece.creator}
    return row


def _named(asked: Asked, collection: Collection) -> Answer:
    """Describe the files of these titles."""
    steps: dict[str, list[dict[str, str]]] = {"normalized": [], "redirects": []}
    pages = []
    for title in asked.query.get("titles", "").split("|")[:BATCH]:
        spaced = title.replace("_", " ")
        if spaced != title:
            steps["normalized"].append({"fromencoded": "", "from": title, "to": spaced})
        final = spaced.replace("File:Old ", "File:", 1) if "redirects" in asked.query else spaced
        if final != spaced:
            steps["redirects"].append({"from": spaced, "to": final})
        identity = re.search(r"\((\d+)\)", final)
        piece = collection.piece(int(identity[1])) if identity else None
        exists = piece and final == f"File:{_name(piece)}" and piece.kind is not Kind.WITHOUT_IMAGE
        pages.append(_page(piece) if piece and exists else {"ns": 6, "title": final, "missing": True})
    return _batch(asked, pages, {name: list_ for name, list_ in steps.items() if list_}, {})


def _search(asked: Asked, collection: Collection) -> Answer:
    """Describe the photographs of the categories that the search names."""
    search = asked.query.get("gsrsearch", "")
    wanted = [category in search for category in CATEGORIES]
    offset, limit = asked.integer("gsroffset", 0), min(asked.integer("gsrlimit", 10), BATCH)
    numbers = [number for number in range(collection.size("photo")) if wanted[number % len(CATEGORIES)]]
    pages = list(_photographs(collection, numbers[offset : offset + limit]))
    if not pages:
        return json_answer({"batchcomplete": True})
    more = {"gsroffset": offset + limit, "continue": "gsroffset||"} if offset + limit < len(numbers) else {}
    return _batch(asked, pages, {}, more)


def _photographs(collection: Collection, numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
    for place, number in enumerate(numbers, start=1):
        for piece, _ in collection.records("photo", number, number + 1):
            yield {**_page(piece), "index": place}


def _batch(asked: Asked, pages: list[dict[str, Any]], steps: dict[str, Any], more: dict[str, Any]) -> Answer:
    """Answer with all pages; where they are many, what some of them show may come with a second answer."""
    rest = "iicontinue" in asked.query
    if rest or (len(pages) > WHOLE and pages[0].get("pageid", 2) // 2 % 4 == 0):
        for page in pages[:WHOLE] if rest else pages[WHOLE:]:
            page.pop("imageinfo", None)
        if not rest:
            place = {"gsroffset": asked.query["gsroffset"]} if "gsroffset" in asked.query else {}
            more = {**place, "iicontinue": "Next.jpg|20140503123011", "continue": "||"}
    complete = {} if "iicontinue" in more else {"batchcomplete": True}
    return json_answer({**complete, **({"continue": more} if more else {}), "query": {**steps, "pages": pages}})


def _page(piece: Piece) -> dict[str, Any]:
    kind = piece.kind
    page = {"pageid": PAGE_ID + piece.id, "ns": 6, "title": f"File:{_name(piece)}", "imagerepository": "local"}
    if kind is Kind.WITHOUT_IMAGE:
        return {**page, "imageinfo": [{"filemissing": True}]}
    image = _described(piece, "GFDL" if kind is Kind.NOT_FREE else None)
    if kind is Kind.MALFORMED and piece.id % 4 < 2:  # what is empty is written as a list
        image["extmetadata"] = []
    elif kind is Kind.MALFORMED:
        page["pageid"] = str(page["pageid"])
    return {**page, "imageinfo": [image]}


def _described(piece: Piece, other_licence: str | None) -> dict[str, Any]:
    licence = "CC0" if piece.label == "photo" and piece.number % 2 == 0 else "Public domain"
    user = f'<a href="//commons.wikimedia.org/wiki/User:{piece.id % 97}" title="User">{piece.creator}</a>'
    facts = {
        "DateTime": f"{piece.year + 100}-01-02 03:04:05",
        "ObjectName": piece.title,
        "Categories": f"Quality images|{CATEGORIES[piece.number % 2]}|Taken with a camera",
        "ImageDescription": f"<i>{piece.title}</i>",
        "DateTimeOriginal": f"{piece.year}-06-0{piece.id % 9 + 1}",
        "Artist": user,
        "LicenseShortName": other_licence or licence,
        "Restrictions": "",
    }
    if piece.id % 19 == 0:
        del facts["Artist"]
    name = quote(_name(piece).replace(" ", "_"), safe="(),!")
    hashed = f"{piece.draw('path') % 256:02x}"
    folder = f"{hashed[0]}/{hashed}/{name}"
    original = f"https://{IMAGES}/wikipedia/commons/{folder}"
    page = f"{'lossy-page1-' if name.endswith('.tif') else ''}960px-{name}{'.jpg' if name.endswith('.tif') else ''}"
    form, factor = (SMALL, 1) if _is_small(piece) else (FORMAT, 4)
    width_px, height_px = form.width_px, form.height_px(piece)
    return {
        "size": 150_000 * factor**2,
        "width": factor * width_px,
        "height": factor * height_px,
        "thumburl": original if factor == 1 else f"https://{IMAGES}/wikipedia/commons/thumb/{folder}/{page}",
        "thumbwidth": width_px,
        "thumbheight": height_px,
        "url": original,
        "descriptionurl": f"https://{API}/wiki/File:{name}",
        "descriptionshorturl": f"https://{API}/w/index.php?curid={PAGE_ID + piece.id}",
        "mime": "image/tiff" if name.endswith(".tif") else "image/jpeg",
        "extmetadata": {name: {"value": value, "source": "commons-desc-page"} for name, value in facts.items()},
    }


def _name(piece: Piece) -> str:
    is_tiff = piece.label == "painting" and piece.id % 11 == 0 and not _is_small(piece)
    return f"{piece.title} ({piece.id}).{'tif' if is_tiff else 'jpg'}"


def _is_small(piece: Piece) -> bool:
    return piece.id % 7 == 0
