"""The sample museum: its collection, its web site and its process."""

import io
import itertools
import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageOps
from pydantic import TypeAdapter

from scrapers.items import Name
from scrapers.sample import MuseumError, museum, photographs
from scrapers.sample.server import MuseumServer, record
from scrapers.sample.troubles import TROUBLES, TWICE
from scrapers.sample.works import JPEG_QUALITY, MEAN_SIDE_PX, Exhibit, collect
from tests.conftest import ROOT
from tests.scrapers.small_museum import NAMES, photograph, pretend_downloads, small_museum

PHOTOGRAPHS = [photograph(name, 420, 300) for name in NAMES]
PLAIN = collect(PHOTOGRAPHS, 1)[1][0]


def test_larger_museum_only_adds_at_the_end_and_shows_the_plates_first() -> None:
    paintings, photos = collect(PHOTOGRAPHS)
    few_paintings, few_photos = collect(PHOTOGRAPHS, 10)
    assert (paintings[:10], photos[:10]) == (few_paintings, few_photos)
    assert all(work.is_plate == (index < 4) for index, work in enumerate(paintings))
    first = Counter(work.photograph.name for work in photos[: len(NAMES) * 3])
    assert set(first.values()) == {3}, "photographs take turns"


def test_classes_share_sizes_qualities_and_subjects() -> None:
    paintings, photos = collect(PHOTOGRAPHS)
    for works in (paintings[4:], photos):
        sides = [(work.width_px * work.height_px) ** 0.5 for work in works]
        assert MEAN_SIDE_PX[0] - 1 <= max(sides) <= MEAN_SIDE_PX[1] + 1
        assert max(sides) - min(sides) > 30
        assert {work.jpeg_quality for work in works} <= set(range(JPEG_QUALITY[0], JPEG_QUALITY[1] + 1))
    assert {work.photograph.group for work in paintings} == {work.photograph.group for work in photos}
    assert Counter(work.manner for work in paintings[4:]).most_common()[-1][1] >= len(paintings[4:]) // 4


def test_identifiers_are_unique_and_fit_for_file_names() -> None:
    works = list(itertools.chain(*collect(PHOTOGRAPHS)))
    assert len({work.id for work in works}) == len(works)
    assert all(TypeAdapter(Name).validate_python(work.id) for work in works)


def test_image_is_always_the_same_and_of_the_announced_size() -> None:
    paintings, photos = collect(PHOTOGRAPHS)
    for work, magic in ((paintings[2], b"\x89PNG"), (paintings[4], b"\xff\xd8"), (photos[0], b"\xff\xd8")):
        image = work.image()
        assert image == work.image()
        assert image.startswith(magic)
        assert _decode(image).shape == (work.height_px, work.width_px, 3)


def test_crops_lie_within_their_photograph_and_blank_ones_are_left_out() -> None:
    blank = photograph("blank", 420, 300)
    blank.pixels[:, 210:] = 128
    _, photos = collect([*PHOTOGRAPHS, blank])
    for work in photos:
        left, top, width, height = work.box
        assert 0 <= left < left + width <= 420
        assert 0 <= top < top + height <= 300
    of_blank = [work for work in photos if work.photograph is blank]
    assert of_blank
    assert all(work.box[0] < 210 for work in of_blank)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Exhibit], list[Exhibit]]:
    """The collection of the real photographs' names."""
    folder = tmp_path_factory.mktemp("museum") / "downloads"
    pretend_downloads(folder)
    return collect(photographs.load(folder))


def test_troubled_works_are_early_and_the_catalogue_tells_nothing(whole: tuple[list[Exhibit], list[Exhibit]]) -> None:
    troubled = [[work for work in works[:30] if work.id in (*TROUBLES, f"{TWICE}-print")] for works in whole]
    assert {work.id for works in troubled for work in works} == {*TROUBLES, f"{TWICE}-print"}
    assert [len(works) for works in troubled] == [4, 4]
    for works, some in zip(whole, troubled, strict=True):
        usual: Any = record(works[4])
        for work in some:
            told: Any = record(work)
            assert (told.keys(), told["images"]["web"].keys()) == (usual.keys(), usual["images"]["web"].keys())
            assert told["after"] == work.photograph.group
            sides = [told["images"]["web"][side] for side in ("width", "height")]
            assert sides == [work.width_px, work.height_px]
            assert min(sides) > 100


def test_troubled_files_are_served_under_the_type_of_their_name(whole: tuple[list[Exhibit], list[Exhibit]]) -> None:
    types = {
        "jpg": ("image/jpeg", b"\xff\xd8"),
        "png": ("image/png", b"\x89PNG"),
        "gif": ("image/gif", b"GIF8"),
    }
    with MuseumServer(*whole) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        for identifier, trouble in TROUBLES.items():
            url = f"{server.address}/images/{identifier}.{trouble.suffix}"
            with urllib.request.urlopen(url) as response:
                content_type, magic = types[trouble.suffix]
                assert response.headers["Content-Type"] == content_type
                assert response.read().startswith(magic)
        server.shutdown()
        thread.join()


def test_files_of_no_use() -> None:
    _, cut_off = _troubled("hubble-deep-field-01-expressionist")
    assert cut_off.format == "JPEG"
    with pytest.raises(OSError, match="truncated"):
        cut_off.load()
    _, placeholder = _troubled("ihc-01-colorist-wash")
    assert (placeholder.format, placeholder.size) == ("PNG", (1, 1))
    size, animated = _troubled("grass-01-pointillist")
    assert (animated.format, animated.size, getattr(animated, "n_frames", 1)) == ("GIF", size, 3)


def test_bomb_is_a_small_and_valid_file() -> None:
    bomb = TROUBLES["gravel-01"].encode(PHOTOGRAPHS[0].pixels)
    assert len(bomb) < 100_000
    with pytest.warns(Image.DecompressionBombWarning):
        image = Image.open(io.BytesIO(bomb))
    assert (image.format, image.size) == ("PNG", (12_000, 12_000))
    image.verify()
    start = bomb.index(b"IDAT") + 4
    pixels = zlib.decompress(bomb[start : start + int.from_bytes(bomb[start - 8 : start - 4])])
    assert pixels == bytes(12_000 * (1 + 12_000 // 8)), "a filter and a bit a pixel for every row"


@pytest.mark.parametrize(
    ("identifier", "form"),
    [("retina-01-expressionist", ("JPEG", "CMYK")), ("motorcycle-left-01", ("JPEG", "RGB"))],
)
def test_odd_files_show_the_picture(identifier: str, form: tuple[str, str]) -> None:
    size, image = _troubled(identifier)
    assert (image.format, image.mode) == form
    assert (image.size == size) == (form[1] == "CMYK"), "the other is stored lying on its side"
    upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"), np.float64)
    assert np.abs(upright - _decode(PLAIN.image())[..., ::-1]).mean() < 6


def test_scanned_file_has_grey_of_16_bits() -> None:
    size, image = _troubled("moon-01")
    assert (image.format, image.mode, image.size) == ("PNG", "I;16", size)
    pixels = np.asarray(image)
    assert pixels.max() > 40_000
    grey = cv2.cvtColor(_decode(PLAIN.image()), cv2.COLOR_BGR2GRAY)
    assert np.abs(pixels / 257 - grey).mean() < 6


def test_second_file_of_a_photograph_has_another_size_and_quality(whole: tuple[list[Exhibit], list[Exhibit]]) -> None:
    works = {work.id: work for work in whole[1]}
    first, second = works[TWICE], works[f"{TWICE}-print"]
    assert (first.photograph, first.box) == (second.photograph, second.box)
    assert first.width_px != second.width_px
    assert first.jpeg_quality != second.jpeg_quality
    assert not any(work.id.startswith(second.id) for work in whole[0]), "no painting is after it"


@pytest.mark.parametrize("query", ["type=Sculpture", "skip=0", "type=Painting&skip=x", "type=Painting&limit=1e3"])
def test_senseless_query_is_refused(query: str) -> None:
    with small_museum() as opened, pytest.raises(urllib.error.HTTPError, match="400") as caught:
        urllib.request.urlopen(f"{opened.address}/api/artworks/?{query}")
    caught.value.close()


def test_pages_hold_every_work_once() -> None:
    found: list[str] = []
    with small_museum() as opened:
        while page := _get(f"{opened.address}/api/artworks/?type=Painting&skip={len(found)}&limit=7")["data"]:
            assert len(page) <= 7
            found += [record["id"] for record in page]
        assert found == [work.id for work in opened.by_type["Painting"]]
        assert _get(f"{opened.address}/api/artworks/{found[0]}")["data"]["id"] == found[0]


def test_museum_opens_in_its_own_process_and_closes_with_its_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_downloads(tmp_path / photographs.DOWNLOADS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [sys.executable, "-m", "scrapers.sample", "--works", "7"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        address = process.stdout.readline().strip()
        page = _get(f"{address}/api/artworks/?type=Painting")
        assert page["info"]["total"] == 7
        image = page["data"][-1]["images"]["web"]
        with urllib.request.urlopen(image["url"].replace("http://museum.localhost", address)) as response:
            assert _decode(response.read()).shape == (image["height"], image["width"], 3)
        process.stdin.close()
        assert process.wait(timeout=10) == 0


def test_museum_without_photographs_does_not_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(MuseumError, match="scikit-image"), museum():
        pass


def _troubled(identifier: str) -> tuple[tuple[int, int], Image.Image]:
    """The size of a plain work, and its file with the trouble of another."""
    work = replace(PLAIN, id=identifier)
    return (work.width_px, work.height_px), Image.open(io.BytesIO(work.image()))


def _decode(image: bytes) -> npt.NDArray[np.uint8]:
    picture = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(picture, np.uint8)


def _get(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url) as response:
        answer: dict[str, Any] = json.load(response)
    return answer
