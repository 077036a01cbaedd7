"""Wikidata's query service: the paintings of a decade, and what is known of each."""

import re
from string import Template
from typing import Any
from urllib.parse import unquote

from scrapers.text import plain

SPARQL = "https://query.wikidata.org/sparql"
TIMEOUT_S = 65
"""A little more than the service gives a query."""
DECADES = range(1400, 1930, 10)

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
_ITEM = re.compile(r"http://www\.wikidata\.org/entity/(Q\d+)")


def paintings_of(decade: int, *, limit: int, offset: int) -> dict[str, object]:
    """The query for some of the paintings of a decade, whose year and image are known."""
    text = PAINTINGS.substitute(since=decade, until=decade + 10, limit=limit, offset=offset)
    return {"query": text, "format": "json"}


def file_title(painting: Any) -> str:
    """The title of the page that Commons has of a painting's image."""
    path: str = painting["image"]["value"]
    return "File:" + unquote(path.rpartition("/")[2]).replace("_", " ")


def describe(painting: Any) -> tuple[str, str, str, int]:
    """Item, title, creator and year of a painting."""
    item = _ITEM.fullmatch(painting["item"]["value"])
    if not item:
        raise ValueError(f"no item: {painting['item']['value']}")
    title = painting["itemLabel"]["value"]  # the item's number where it has no name
    is_known = "creator" in painting and _ITEM.fullmatch(painting["creator"]["value"])  # "somebody" is no item
    creator = painting["creatorLabel"]["value"] if is_known else None
    year = int(painting["year"]["value"], 10)
    return item[1], plain(None if title == item[1] else title, "untitled"), plain(creator, "unknown"), year
