"""The sample museum: its collection, its web site and its process."""

import itertools
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
from pydantic import TypeAdapter

from scrapers.items import Name
from scrapers.sample import MuseumError, museum, photographs
from scrapers.sample.works import JPEG_QUALITY, MEAN_SIDE_PX, collect
from tests.conftest import ROOT
from tests.scrapers.small_museum import NAMES, photograph, small_museum

PHOTOGRAPHS = [photograph(name, 420, 300) for name in NAMES]


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
    _pretend_downloads(tmp_path / photographs.DOWNLOADS)
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


def _pretend_downloads(folder: Path) -> None:
    """Generated files under the names that the museum looks for, so that it downloads nothing."""
    folder.mkdir(parents=True)
    for index, name in enumerate(photographs.STILLS):
        cv2.imwrite(str(folder / name), photograph(f"still {index}", 160, 140).pixels)
    for clip in {clip for clip, *_ in photographs.FRAMES}:
        with av.open(folder / clip, "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            pixels = photograph(clip, 64, 48).pixels
            for _ in range(1 + max(number for name, number, *_ in photographs.FRAMES if name == clip)):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode())


def _decode(image: bytes) -> npt.NDArray[np.uint8]:
    picture = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(picture, np.uint8)


def _get(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url) as response:
        answer: dict[str, Any] = json.load(response)
    return answer
