"""The Cleveland Museum of Art: the paged interface of its open collection."""

from collections.abc import AsyncIterator
from typing import Any

from scrapers.items import Label, Work
from scrapers.licences import URLS, identify
from scrapers.spiders.museum import MuseumSpider
from scrapers.spiders.paging import pages
from scrapers.text import plain

WORKS = "https://openaccess-api.clevelandart.org/api/artworks/"
TYPES: dict[Label, str] = {"painting": "Painting", "photo": "Photograph"}
PAGE_SIZE = 100


class ClevelandSpider(MuseumSpider):
    """Images of about 900 pixels, CC0."""

    name = "cleveland"
    image_hosts = frozenset({"openaccess-cdn.clevelandart.org"})

    def records(self, label: Label) -> AsyncIterator[Any]:
        """Yield the records of page after page."""
        query = {"type": TYPES[label], "cc0": 1, "has_image": 1, "limit": PAGE_SIZE}
        return pages(lambda skip: self.get_json(WORKS, {**query, "skip": skip}, key="data"))

    def work(self, record: Any, label: Label) -> Work | None:
        """Read a record."""
        image = (record["images"] or {}).get("web")
        licence = identify(record["share_license_status"])
        if not image or licence not in URLS:
            return None
        if record["type"] != TYPES[label]:
            raise ValueError(f"{record['id']} is no {TYPES[label]}")
        identifier = f"{record['id']:d}"
        creators = record["creators"]
        return Work(
            source=self.name,
            id=identifier,
            label=label,
            group=identifier,
            title=plain(record["title"], "untitled"),
            creator=plain(creators[0]["description"] if creators else None, "unknown"),
            year=record["creation_date_earliest"],
            licence=licence,
            licence_url=URLS[licence],
            page_url=record["url"],
            image_url=image["url"],
            # Sizes come as text; with a base, int() takes nothing else.
            width_px=int(image["width"], 10),
            height_px=int(image["height"], 10),
        )
