"""What museums answer, in the place of each answer that a walk of any spider asks for."""

import asyncio
import gzip
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from scrapers.items import Label
from scrapers.spiders.aic import AicSpider
from scrapers.spiders.cleveland import ClevelandSpider
from scrapers.spiders.commons import CommonsSpider
from scrapers.spiders.inaturalist import INaturalistSpider
from scrapers.spiders.met import MetSpider
from scrapers.spiders.museum import MuseumSpider
from scrapers.spiders.nga import NgaSpider
from tests.scrapers.spiders.answering import SHAPES, read_shape, walk

OBJECTS = read_shape("met-objects.json")


def _shape(name: str) -> bytes:
    return (SHAPES / name).read_bytes()


WALKS: list[tuple[type[MuseumSpider], Label, list[bytes]]] = [
    (AicSpider, "painting", [_shape("aic-paintings.json")]),
    (ClevelandSpider, "painting", [_shape("cleveland-paintings.json")]),
    (CommonsSpider, "painting", [_shape("commons-items.json"), _shape("commons-files.json")]),
    (CommonsSpider, "photo", [_shape("commons-search.json")]),
    (INaturalistSpider, "photo", [gzip.compress(_shape("inaturalist-photos.csv"), mtime=0)]),
    (
        MetSpider,
        "painting",
        [
            json.dumps({"total": len(OBJECTS), "objectIDs": [each["objectID"] for each in OBJECTS]}).encode(),
            *(json.dumps(each).encode() for each in OBJECTS[:2]),
        ],
    ),
    (NgaSpider, "painting", [_shape("nga-objects.csv"), _shape("nga-published_images.csv")]),
]


def originals(_: Path) -> list[bytes]:
    return [answer for _, _, answers in WALKS for answer in answers]


def read(path: Path) -> None:
    answer = path.read_bytes()
    for spider, label, answers in WALKS:
        for place in range(len(answers)):
            asked = _one_after_the_other([*answers[:place], answer, *answers[place + 1 :]])
            for work in asyncio.run(walk(spider, label, asked)):
                assert Path(work.path).parent == Path(spider.name, label)
                json.dumps(asdict(work), ensure_ascii=False).encode()


def _one_after_the_other(answers: list[bytes]) -> Callable[[str], object]:
    rest = iter(answers)
    return lambda _: next(rest, 404)
