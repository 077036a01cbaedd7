import asyncio
import csv
import gzip
import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO, StringIO
from itertools import combinations
from typing import Any
from urllib.parse import quote, urlsplit

import imagehash
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scrapers.items import LABELS, Label
from scrapers.spiders.aic import AicSpider
from scrapers.spiders.cleveland import ClevelandSpider
from scrapers.spiders.commons import CommonsSpider
from scrapers.spiders.inaturalist import INaturalistSpider
from scrapers.spiders.met import MetSpider
from scrapers.spiders.museum import MuseumSpider
from scrapers.spiders.nga import NgaSpider
from tests.museums import aic
from tests.museums.answers import Asked
from tests.museums.collection import Collection, Piece, Sizes
from tests.museums.faults import MIXTURE, PRIVATE, Broken, Fault
from tests.museums.jpegs import Format
from tests.museums.server import SOURCES, Museums, open_museums
from tests.scrapers.spiders.answering import report

AGENT = "tests/1 (+https://example.org)"
SPIDERS: dict[str, type[MuseumSpider]] = {
    spider.name: spider
    for spider in (ClevelandSpider, NgaSpider, MetSpider, AicSpider, CommonsSpider, INaturalistSpider)
}
SIZES = Sizes(**{source: (0 if source == "inaturalist" else 120, 120) for source in SOURCES})
CLASSES = [(source, label) for source in SOURCES for label in LABELS if SIZES.of(source, label)]
CDN = "openaccess-cdn.clevelandart.org"
IMAGE = f"http://{CDN}/1900.10000/1900.10000_web.jpg"
AIC = "http://api.artic.edu/api/v1/artworks/search"
COMMONS = "http://commons.wikimedia.org/w/api.php?action=query&format=json&formatversion=2&prop=imageinfo"
THUMBS = "http://upload.wikimedia.org/wikipedia/commons/thumb/a/ab"
SHORT = 0.05


def reply(source: str, url: str, *, tiny: bool = True, seed: int = 1, agent: str = AGENT) -> tuple[int, bytes]:
    """What a source answers, without a server."""
    _, answering = SOURCES[source]
    answer = answering(Asked.of(url, agent), Collection(source, SIZES, seed, tiny))
    return answer.status, answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)


def answer(source: str, url: str) -> bytes | int:
    """The body of what a source answers, or the status of what is none."""
    status, body = reply(source, url)
    return body if status == 200 else status


def json_reply(source: str, url: str) -> Any:
    return json.loads(reply(source, url)[1])


@contextmanager
def asking(
    museums: Museums, url: str, agent: str = AGENT, span: str | None = None
) -> Iterator[http.client.HTTPResponse]:
    """Ask as a crawler with a proxy does, patient for a moment only."""
    connection = http.client.HTTPConnection(urlsplit(museums.address).netloc, timeout=SHORT * 4)
    try:
        connection.request("GET", url, headers={"User-Agent": agent} | ({"Range": f"bytes={span}"} if span else {}))
        yield connection.getresponse()
    finally:
        connection.close()


def get(museums: Museums, url: str) -> tuple[int, bytes]:
    with asking(museums, url) as response:
        return response.status, response.read()


@pytest.mark.parametrize(("source", "label"), CLASSES)
def test_spider_finds_all_that_is_free_and_each_image_is_there(source: str, label: Label) -> None:
    licences = ("CC0-1.0", "CC-PDM-1.0")
    walked = asyncio.run(report(SPIDERS[source], label, partial(answer, source), licences=licences))
    assert len(walked.works) == SIZES.expected(source, label) == 96
    assert walked.counts[f"{label}/exhausted"] == 1
    images = {}
    for work in walked.works:
        status, images[work.id] = reply(source, work.image_url)
        assert status == 200
        Image.open(BytesIO(images[work.id])).load()
    assert len(set(images.values())) == 96


def test_no_host_is_asked_by_two_spiders() -> None:
    """What a host is promised, each spider keeps for itself."""
    hosts: dict[str, set[str | None]] = {source: set(spider.image_hosts) for source, spider in SPIDERS.items()}
    for source, label in CLASSES:
        walked = asyncio.run(report(SPIDERS[source], label, partial(answer, source)))
        hosts[source].update(urlsplit(request.url).hostname for request in walked.asked)
    assert set().union(*hosts.values()) >= {
        "collectionapi.metmuseum.org",
        "query.wikidata.org",
        "raw.githubusercontent.com",
    }
    for one, other in combinations(hosts, 2):
        assert hosts[one].isdisjoint(hosts[other]), f"{one} and {other}"


@pytest.mark.parametrize(("source", "label"), CLASSES)
def test_images_have_the_sizes_that_the_source_tells(source: str, label: Label) -> None:
    works = asyncio.run(report(SPIDERS[source], label, partial(answer, source), wanted=8)).works
    for work in works:
        image = reply(source, work.image_url, tiny=False)[1]
        width_px, height_px = Image.open(BytesIO(image)).size
        assert max(width_px, height_px) <= 1024
        assert 50_000 < len(image) < 250_000
        if work.width_px:
            assert (work.width_px, work.height_px) == (width_px, height_px)


@pytest.mark.parametrize("tiny", [True, False])
def test_images_look_different(tiny: bool) -> None:
    pieces = [Piece("bench", label, number, 1) for label in LABELS for number in range(25)]
    images = [Format(896, 5, 8).jpeg(piece, tiny=tiny) for piece in pieces]
    hashes = [imagehash.phash(Image.open(BytesIO(image)).convert("L")) for image in images]
    assert min(one - other for one, other in combinations(hashes, 2)) > 8


def test_seed_changes_works_and_nothing_else_does() -> None:
    page = "http://openaccess-api.clevelandart.org/api/artworks/?type=Painting&limit=50"
    assert reply("cleveland", page) == reply("cleveland", page) != reply("cleveland", page, seed=2)
    assert reply("cleveland", IMAGE) == reply("cleveland", IMAGE) != reply("cleveland", IMAGE, seed=2)


@given(works=st.integers(1, 40_000))
def test_sizes_offer_what_is_asked_for(works: int) -> None:
    sizes = Sizes.offering(works)
    for label in LABELS:
        offered = sum(sizes.expected(source, label) for source in SOURCES)
        assert works / 2 <= offered <= works / 2 * 1.2 + 96


def test_met_names_all_ids_and_some_are_gone() -> None:
    search = "http://collectionapi.metmuseum.org/public/collection/v1/search?q=*&medium="
    objects = "http://collectionapi.metmuseum.org/public/collection/v1/objects"
    found = json_reply("met", search + "Paintings")
    statuses = [reply("met", f"{objects}/{identity}")[0] for identity in found["objectIDs"]]
    assert found["total"] == len(statuses) == 126
    assert statuses.count(404) == 6
    assert found["objectIDs"] != sorted(found["objectIDs"])
    assert json_reply("met", search + "Harps") == {"total": 0, "objectIDs": None}


def test_aic_refuses_what_is_too_far() -> None:
    query = quote(json.dumps({"query": {"term": {"artwork_type_title.keyword": "Painting"}}, "limit": 100}))
    assert len(json_reply("aic", f"{AIC}?params={query}&page=2")["data"]) == 20
    assert reply("aic", f"{AIC}?params={query}&page={aic.MOST_OF_QUERY // 100}")[0] == 200
    for more in (f"page={aic.MOST_OF_QUERY // 100 + 1}", "limit=101"):
        status, refusal = reply("aic", f"{AIC}?params={query}&{more}")
        assert (status, json.loads(refusal)["status"]) == (403, 403)


def test_nga_has_tables_at_a_commit_alone() -> None:
    tables = "http://raw.githubusercontent.com/NationalGalleryOfArt/opendata"
    status, table = reply("nga", f"{tables}/{'0' * 40}/data/objects.csv")
    rows = list(csv.DictReader(StringIO(table.decode())))
    assert status == 200
    assert {row["classification"] for row in rows} >= {"Painting", "Photograph", "Print"}
    assert reply("nga", f"{tables}/main/data/objects.csv")[0] == 404


def test_wikimedia_wants_a_contact_and_one_of_its_widths() -> None:
    titles = f"{COMMONS}&titles=File:Nothing.jpg"
    assert reply("commons", titles)[0] == 200
    assert reply("commons", titles, agent="python-requests/2")[0] == 403
    page = json_reply("commons", f"{COMMONS}&generator=search&gsrsearch=CC-Zero")["query"]["pages"][0]
    thumb = page["imageinfo"][0]["thumburl"]
    assert [reply("commons", thumb.replace("960px", width))[0] for width in ("960px", "843px")] == [200, 429]


def test_commons_answers_with_no_query_where_nothing_is_found() -> None:
    assert json_reply("commons", f"{COMMONS}&generator=search&gsrsearch=CC-BY-4.0") == {"batchcomplete": True}


def test_commons_describes_the_rest_of_a_batch_in_a_second_answer() -> None:
    search = f"{COMMONS}&generator=search&gsrsearch=CC-Zero|PD-self&gsrlimit=50"
    for offset in range(4):
        first = json_reply("commons", f"{search}&gsroffset={offset}")
        if "iicontinue" in first["continue"]:
            break
    second = json_reply("commons", f"{search}&gsroffset={offset}&iicontinue={quote(first['continue']['iicontinue'])}")
    described = [["imageinfo" in page for page in answer["query"]["pages"]] for answer in (first, second)]
    assert described == [[True] * 30 + [False] * 20, [False] * 30 + [True] * 20]
    assert second["continue"]["gsroffset"] == offset + 50


def test_inaturalist_sends_the_part_of_its_table_that_is_asked_for() -> None:
    url = "http://inaturalist-open-data.s3.amazonaws.com/photos.csv.gz"
    with open_museums(SIZES, tiny=True) as museums:
        whole = get(museums, url)
        parts = []
        for span in ("0-99", "100-", "0-999999"):
            with asking(museums, url, span=span) as response:
                parts.append((response.status, response.headers["Content-Range"], response.read()))
    status, table = whole
    last = len(table) - 1
    assert status == 200
    assert gzip.decompress(table).startswith(b"photo_uuid\tphoto_id\t")
    assert parts == [
        (206, f"bytes 0-99/{last + 1}", table[:100]),
        (206, f"bytes 100-{last}/{last + 1}", table[100:]),
        (206, f"bytes 0-{last}/{last + 1}", table),
    ]


@pytest.mark.parametrize("process", [False, True])
def test_server_takes_notes(process: bool) -> None:
    faults = [Fault("late", path="*/late", seconds=SHORT)]
    with open_museums(SIZES, faults, tiny=True, process=process) as museums:
        assert get(museums, IMAGE) == reply("cleveland", IMAGE)
        status, image = get(museums, urlsplit(next(museums.image_list())).path)
        assert (status, image[:2]) == (200, b"\xff\xd8")
        assert get(museums, "http://evil.example/")[0] == 404
        assert [(visit.host, visit.path) for visit in museums.visits] == [
            (CDN, "/1900.10000/1900.10000_web.jpg"),
            ("", "/bench/0.jpg"),
            ("evil.example", "/"),
        ]
        assert museums.visits[0].user_agent == AGENT
        assert museums.requests == {CDN: 1, "": 1, "evil.example": 1}
        address = urlsplit(museums.address)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.hostname, address.port or 0), timeout=1)


def test_requests_that_are_open_at_the_same_time_are_counted() -> None:
    with open_museums(SIZES, [Fault("late", host=CDN, seconds=SHORT * 2)], tiny=True) as museums:
        connections = [http.client.HTTPConnection(urlsplit(museums.address).netloc) for _ in range(3)]
        for connection in connections:
            connection.request("GET", IMAGE)
        for connection in connections:
            connection.getresponse().read()
            connection.close()
        assert museums.open_most[CDN] == 3


@pytest.mark.parametrize(
    ("fault", "status", "header", "value"),
    [
        (Fault("retry-after-seconds", seconds=7), 429, "Retry-After", "7"),
        (Fault("forbidden"), 403, "Content-Type", "text/html; charset=utf-8"),
        (Fault("server-error"), 500, "Content-Type", "text/html; charset=utf-8"),
        (Fault("gone"), 404, "Content-Type", "text/html; charset=utf-8"),
        (Fault("html"), 200, "Content-Type", "text/html; charset=utf-8"),
        (Fault("pdf"), 200, "Content-Type", "application/pdf"),
        (Fault("empty"), 200, "Content-Length", "0"),
        (Fault("redirect-loop"), 302, "Location", IMAGE.replace("http", "https")),
        (Fault("redirect-within"), 302, "Location", IMAGE.replace("http", "https") + "?again=1"),
        (Fault("redirect-elsewhere"), 302, "Location", "http://evil.example/1900.10000/1900.10000_web.jpg"),
        (Fault("noai"), 200, "X-Robots-Tag", "noai, noimageai"),
        (Fault("googlebot-noindex"), 200, "X-Robots-Tag", "googlebot: noindex"),
    ],
)
def test_fault_answers(fault: Fault, status: int, header: str, value: str) -> None:
    with open_museums(SIZES, [fault], tiny=True) as museums:
        with asking(museums, IMAGE) as response:
            assert (response.status, response.headers[header]) == (status, value)
        if fault.trouble == "redirect-within":
            assert get(museums, f"{IMAGE}?again=1") == reply("cleveland", IMAGE)
        assert museums.troubles == {fault.trouble: 1}


def test_fault_leads_to_private_addresses_and_names_a_date() -> None:
    faults = [Fault("redirect-private", path="*_web.jpg"), Fault("retry-after-date", seconds=60)]
    with open_museums(SIZES, faults, tiny=True) as museums:
        urls = [IMAGE.replace("10000", str(10_000 + number)) for number in range(30)]
        places = set()
        for url in urls:
            with asking(museums, url) as response:
                places.add(response.headers["Location"])
        assert places == set(PRIVATE)
        with asking(museums, f"http://{CDN}/elsewhere") as response:
            assert response.headers["Retry-After"].endswith("GMT")


@pytest.mark.parametrize(
    ("fault", "text"), [(Fault("robots-forbid"), "Disallow: /\n"), (Fault("robots-delay", seconds=2.5), "delay: 2.5\n")]
)
def test_fault_speaks_through_robots_txt(fault: Fault, text: str) -> None:
    with open_museums(SIZES, [fault], tiny=True) as museums:
        assert text in get(museums, f"http://{CDN}/robots.txt")[1].decode()


def test_broken_answers() -> None:
    broken: tuple[Broken, ...] = ("reset", "truncated", "stall", "drip", "endless")
    faults = [Fault(trouble, path=f"/1900.{10_000 + 2 * place}/*") for place, trouble in enumerate(broken)]
    addresses = {trouble: IMAGE.replace("10000", str(10_000 + 2 * place)) for place, trouble in enumerate(broken)}
    with open_museums(SIZES, faults, tiny=True) as museums:
        with pytest.raises(ConnectionResetError):
            get(museums, addresses["reset"])
        with pytest.raises(http.client.IncompleteRead) as short:
            get(museums, addresses["truncated"])
        assert 0 < len(short.value.partial) <= (short.value.expected or 0)
        with pytest.raises(TimeoutError):
            get(museums, addresses["stall"])
        with asking(museums, addresses["drip"]) as response:
            assert response.read(1) == b"\xff"
            with pytest.raises(TimeoutError):
                response.read(1)
        with asking(museums, addresses["endless"]) as response:
            assert not response.headers["Content-Length"]
            assert len(response.read(1_000_000)) == 1_000_000
        assert set(museums.troubles) == set(broken)
        assert get(museums, IMAGE.replace("10000", "10010"))[0] == 200


def test_fault_meets_the_first_requests_of_each_address() -> None:
    with open_museums(SIZES, [Fault("server-error", host=CDN, first=2)], tiny=True) as museums:
        urls = [IMAGE, IMAGE.replace("10000", "10002")]
        assert [get(museums, url)[0] for url in urls * 3] == [500] * 4 + [200] * 2
        assert get(museums, "http://images.metmuseum.org/robots.txt")[0] == 200


def test_fault_meets_a_burst() -> None:
    with open_museums(SIZES, [Fault("forbidden", host=CDN, burst=3)], tiny=True) as museums:
        assert [get(museums, IMAGE)[0] for _ in range(5)] == [200] * 3 + [403] * 2


@given(share=st.floats(0, 1))
def test_fault_concerns_a_share_of_the_addresses(share: float) -> None:
    fault = Fault("gone", share=share)
    concerned = [fault.concerns("host", f"/{number}") for number in range(400)]
    assert abs(sum(concerned) / 400 - share) < 0.1


def test_mixture_meets_few_images_and_nothing_else() -> None:
    paths = [urlsplit(IMAGE.replace("10000", str(number))).path for number in range(2000)]
    met = sum(any(fault.concerns(CDN, path) for fault in MIXTURE) for path in paths) / len(paths)
    assert 0.05 < met < 0.15
    assert not any(fault.concerns("api.artic.edu", "/api/v1/artworks/search") for fault in MIXTURE)


def test_server_closes_in_spite_of_open_requests() -> None:
    with open_museums(SIZES, [Fault("stall")], tiny=True) as museums:
        connection = http.client.HTTPConnection(urlsplit(museums.address).netloc)
        connection.request("GET", IMAGE)
        while not museums.visits:
            time.sleep(SHORT)
        start = time.monotonic()
    assert time.monotonic() - start < 5
    connection.close()
