"""The Art Institute of Chicago: a search whose answers say all that is needed."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from scrapers.items import Label, Work
from scrapers.licences import URLS
from scrapers.spiders.museum import MuseumSpider
from scrapers.spiders.paging import last_id
from scrapers.spiders.sizes import fit_within
from scrapers.text import plain

SEARCH = "https://api.artic.edu/api/v1/artworks/search"
TYPES: dict[Label, str] = {"painting": "Painting", "photo": "Photograph"}
FIELDS = "id,title,artist_title,date_start,artwork_type_title,is_public_domain,image_id,thumbnail".split(",")
PAGE_SIZE = 100
WIDTH_PX = 843
"""The width that the museum asks for: its own website uses it, so that it is cached."""


class AicSpider(MuseumSpider):
    """The works in the public domain, which the museum gives away under CC0."""

    name = "aic"
    image_hosts = frozenset({"www.artic.edu"})

    async def records(self, label: Label) -> AsyncIterator[Any]:
        """Yield the artworks by number, each with the address of the image server."""
        last = 0
        while True:
            answer = await self.get_json(SEARCH, {"params": _search(label, last)}, key="data")
            for artwork in answer["data"]:
                yield {"artwork": artwork, "iiif_url": answer["config"]["iiif_url"]}
            if not answer["data"] or last_id(answer["data"]) <= last:
                return
            last = last_id(answer["data"])

    def work(self, record: Any, label: Label) -> Work | None:
        """Read an artwork."""
        artwork = record["artwork"]
        if artwork["is_public_domain"] is not True or artwork["image_id"] is None:
            return None
        if artwork["artwork_type_title"] != TYPES[label]:
            raise ValueError(f"{artwork['id']} is no {TYPES[label]}")
        identifier = f"{artwork['id']:d}"
        width_px, height_px = _size(artwork["thumbnail"])
        return Work(
            source=self.name,
            id=identifier,
            label=label,
            group=identifier,
            title=plain(artwork["title"], "untitled"),
            creator=plain(artwork["artist_title"], "unknown"),
            year=artwork["date_start"],
            licence="CC0-1.0",
            licence_url=URLS["CC0-1.0"],
            page_url=f"https://www.artic.edu/artworks/{identifier}",
            image_url=f"{record['iiif_url']}/{UUID(artwork['image_id'])}/full/{width_px or WIDTH_PX},/0/default.jpg",
            width_px=width_px,
            height_px=height_px,
        )


def _size(original: Any) -> tuple[int, int] | tuple[None, None]:
    # What is called the thumbnail describes the original. A small one is asked for as it is, not enlarged.
    if original is None or original["width"] is None or original["height"] is None:
        return None, None
    return fit_within(original["width"], original["height"], WIDTH_PX, original["height"])


def _search(label: Label, last: int) -> str:
    # By number and not by page: pages end at 1,000 results for those without a key, whatever the documentation says.
    conditions = [
        {"term": {"is_public_domain": True}},
        {"term": {"artwork_type_title.keyword": TYPES[label]}},
        {"exists": {"field": "image_id"}},
        {"range": {"id": {"gt": last}}},
    ]
    search = {"query": {"bool": {"filter": conditions}}, "sort": [{"id": "asc"}], "fields": FIELDS, "limit": PAGE_SIZE}
    return json.dumps(search, separators=(",", ":"))
