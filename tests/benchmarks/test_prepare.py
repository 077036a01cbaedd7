import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import prepare
from benchmarks.prepare import decode_and_reduce, main, make_crawl, run_stage
from pipeline.images import open_image, resize_short_side
from pipeline.tables import read_table


@pytest.fixture
def crawl(tmp_path: Path) -> list[Path]:
    return make_crawl(tmp_path, 44)


def test_the_floor_makes_the_pixels_of_the_stage(crawl: list[Path]) -> None:
    for path in crawl[8:12]:  # the third is a PNG
        ours = resize_short_side(open_image(path), prepare.SHORT_SIDE_PX)
        assert np.array_equal(np.asarray(decode_and_reduce(path)), np.asarray(ours))


def test_the_crawl_is_like_a_museums_with_one_copy_in_forty(crawl: list[Path], tmp_path: Path) -> None:
    run_stage(tmp_path)
    (repeat,) = read_table(tmp_path / "data/prepare/rejected.csv")
    assert repeat["reason"] == "near-duplicate"
    assert {re.sub(r".*/", "", name) for name in (repeat["path"], repeat["detail"])} == {"00037.jpg", "00039.jpg"}
    assert json.loads((tmp_path / "data/metrics/prepare.json").read_text())["accepted"] == len(crawl) - 1
    sizes = [path.stat().st_size for path in crawl if path.suffix == ".jpg"]
    assert min(sizes) > 90e3
    assert max(sizes) < 300e3
    assert {max(open_image(path).size) // 100 for path in crawl[:8]} <= {8, 9, 10}


def test_both_sides_are_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(prepare, "ROUNDS", 1)
    monkeypatch.setattr(sys, "argv", ["prepare", "--images", "44"])
    main()
    told = capsys.readouterr().out
    assert re.search(r"bare Pillow +[\d.]+ images/s\nprepare +[\d.]+ images/s, [\d.]+ of bare Pillow\n", told)
