"""Wikimedia Commons: paintings that Wikidata knows the year of, and photographs that Commons has judged to be good."""

import re
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from string import Template
from typing import Any
from urllib.parse import quote, unquote

from scrapers.items import Label, Work
from scrapers.licences import URLS, identify
from scrapers.spiders.museum import BADLY_SHAPED, MuseumSpider
from scrapers.spiders.paging import spread
from scrapers.text import plain

API = "https://commons.wikimedia.org/w/api.php"
SPARQL = "https://query.wikidata.org/sparql"
TIMEOUT_S = 65
"""A little more than the service gives a query."""
DECADES = range(1400, 1930, 10)
PAGE_SIZE = 50
"""As many images as one request may ask to have scaled."""
LONGEST_TITLES = 6000
"""In characters of an address; one of more than 8000 might be refused."""
IMAGES = {
    **{"action": "query", "format": "json", "formatversion": 2, "prop": "imageinfo"},
    **{"iiprop": "url|size|mime|extmetadata", "iiurlwidth": 960},  # one of the widths there are; others are refused
    "iiextmetadatafilter": "LicenseShortName|Artist|DateTimeOriginal|Categories",
}
CATEGORIES = {"CC0-1.0": "CC-Zero", "CC-PDM-1.0": "PD-self"}
"""Of the files under a licence, where the category is not called as SPDX calls the licence."""
TYPES = frozenset({"image/jpeg", "image/png", "image/tiff"})

# By decade: a range of dates is found at once, while sorting all paintings might take longer than the 60 s it has.
# A precision of 9 or more: the year is known, not just the century.
PAINTINGS = Template("""
SELECT ?item ?image ?year ?creator ?itemLabel ?creatorLabel WHERE {
  {
    SELECT ?item (SAMPLE(?file) AS ?image) (MIN(YEAR(?inception)) AS ?year) (SAMPLE(?painter) AS ?creator) WHERE {
      ?item wdt:P571 ?inception . hint:Prior hint:rangeSafe true .
      FILTER("$since-01-01T00:00:00Z"^^xsd:dateTime <= ?inception)
      FILTER(?inception < "$until-01-01T00:00:00Z"^^xsd:dateTime)
      ?item wdt:P31 wd:Q3305213 ; wdt:P18 ?file ; p:P571/psv:P571/wikibase:timePrecision ?precision .
      FILTER(?precision >= 9)
      OPTIONAL { ?item wdt:P170 ?painter . }
    }
    GROUP BY ?item ORDER BY ?item LIMIT $limit OFFSET $offset
  }
  SERVICE wikibase:label { bd:serviceParam wikibase:language "en,mul,fr,de,nl,it,es" . }
}
ORDER BY ?item
""")
Described = tuple[str, str, str, int | None]
"""Group, title, creator and year."""
_ITEM = re.compile(r"http://www\.wikidata\.org/entity/(Q\d+)")
_YEAR = re.compile(r"\b(1[89]\d\d|20\d\d)\b")
_PAINTED = re.compile(r"painting|fresco|mural|mosaic|icons\b|drawing|engraving|stained[ -]glass", re.IGNORECASE)


class CommonsSpider(MuseumSpider):
    """Images 960 pixels wide, under the licence that each file's page names."""

    name = "commons"
    image_hosts = frozenset({"upload.wikimedia.org", "thumb.wikimedia.org"})

    def records(self, label: Label) -> AsyncIterator[Any]:
        """Yield pages of files, those of paintings with what Wikidata knows."""
        return self._paintings() if label == "painting" else self._photographs()

    def work(self, record: Any, label: Label) -> Work | None:
        """Read the page of a file. The categories of photographs also have photographs of paintings."""
        page = record["page"]
        if "imageinfo" not in page:  # deleted, or described in the next answer
            return None
        (image,) = page["imageinfo"]
        facts = image["extmetadata"]
        licence = identify(facts["LicenseShortName"]["value"])
        if licence not in URLS or image["mime"] not in TYPES:
            return None
        if label == "photo" and _PAINTED.search(facts["Categories"]["value"]):
            return None
        group, title, creator, year = (
            _painting(record["paintings"][page["title"]]) if label == "painting" else _photograph(page, facts)
        )
        scaled = "thumb" if "thumburl" in image else ""
        return Work(
            source=self.name,
            id=f"{page['pageid']:d}",
            label=label,
            group=group,
            title=title,
            creator=creator,
            year=year,
            licence=licence,
            licence_url=URLS[licence],
            page_url=image["descriptionurl"],
            image_url=image[f"{scaled}url"],
            width_px=image[f"{scaled}width"],
            height_px=image[f"{scaled}height"],
        )

    async def _paintings(self) -> AsyncIterator[Any]:
        places = deque((DECADES[number], 0) for number in spread(len(DECADES)))
        while places:
            decade, offset = places.popleft()
            query = PAINTINGS.substitute(since=decade, until=decade + 10, limit=PAGE_SIZE, offset=offset)
            answer = await self._ask(SPARQL, {"query": query, "format": "json"}, "results", download_timeout=TIMEOUT_S)
            rows = answer["results"]["bindings"]
            paintings = {}
            for row in rows:
                try:
                    paintings[_file(row)] = row
                except BADLY_SHAPED:
                    yield row  # no page, so that it is dropped and counted
            for titles in _batches(paintings):
                async for part in self._answers({"titles": "|".join(titles), "redirects": 1}):
                    found = {_final(title, part): paintings[title] for title in titles}
                    for page in part["pages"]:
                        yield {"page": page, "paintings": found}
            if len(rows) == PAGE_SIZE:
                places.append((decade, offset + PAGE_SIZE))

    async def _photographs(self) -> AsyncIterator[Any]:
        licences = sorted(CATEGORIES.get(licence, licence) for licence in self.licences if licence in URLS)
        if not licences:
            return
        search = f'incategory:"Quality images" incategory:"{"|".join(licences)}" filemime:image/jpeg'
        query = {"generator": "search", "gsrsearch": search, "gsrnamespace": 6, "gsrlimit": PAGE_SIZE}
        async for answer in self._answers({**query, "gsrsort": "create_timestamp_asc"}):
            for page in answer["pages"]:
                yield {"page": page}

    async def _answers(self, query: Mapping[str, object]) -> AsyncIterator[Any]:
        """Yield the answers to a query until it is answered in full."""
        more: Mapping[str, object] = {}
        while True:
            answer = await self._ask(API, {**IMAGES, **query, **more}, "query", or_key="batchcomplete")
            found = answer.get("query", {"pages": []})  # it is not there where nothing is found
            yield found
            if "continue" not in answer or not found["pages"]:
                return
            more = answer["continue"]

    async def _ask(self, url: str, query: Mapping[str, object], key: str, **meta: Any) -> Any:
        # Wikimedia's robots.txt keeps crawlers of pages away from both interfaces. They are there for programs, which
        # its user agent policy and API etiquette ask for a contact, few requests at a time and patience.
        return await self.get_json(url, query, key=key, dont_obey_robotstxt=True, **meta)


def _file(painting: Any) -> str:
    path: str = painting["image"]["value"]
    return "File:" + unquote(path.rpartition("/")[2]).replace("_", " ")


def _batches(titles: Iterable[str]) -> Iterator[list[str]]:
    """Yield as many titles at a time as fit into an address."""
    batch: list[str] = []
    for title in titles:
        if len(quote("|".join([*batch, title]))) > LONGEST_TITLES:
            yield batch
            batch = []
        batch.append(title)
    if batch:
        yield batch


def _final(title: str, answer: Any) -> str:
    """The title of the page that is answered for ``title``."""
    for steps in ("normalized", "redirects"):
        title = {step["from"]: step["to"] for step in answer.get(steps, [])}.get(title, title)
    return title


def _painting(row: Any) -> Described:
    item = _ITEM.fullmatch(row["item"]["value"])
    if not item:
        raise ValueError(f"no item: {row['item']['value']}")
    title = row["itemLabel"]["value"]  # the item's number where it has no name
    is_known = "creator" in row and _ITEM.fullmatch(row["creator"]["value"])  # "somebody" is no item
    creator = row["creatorLabel"]["value"] if is_known else None
    year = int(row["year"]["value"], 10)
    return item[1], plain(None if title == item[1] else title, "untitled"), plain(creator, "unknown"), year


def _photograph(page: Any, facts: Any) -> Described:
    title = plain(page["title"].removeprefix("File:").rpartition(".")[0], "untitled")
    creator = plain(facts.get("Artist", {}).get("value"), "unknown")
    year = _YEAR.search(plain(facts.get("DateTimeOriginal", {}).get("value"), ""))
    # Some names are followed by a note that is hidden on the page.
    return f"{page['pageid']:d}", title, creator.partition(" creator QS:")[0], int(year[1]) if year else None
