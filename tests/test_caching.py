import errno
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from pipeline import caching, classification, trunk
from pipeline.augmentation import make_view
from pipeline.caching import cache_features, open_features, verify_features
from pipeline.classification import classify
from pipeline.console import UserError
from pipeline.images import load_rgb
from pipeline.tables import read_table, write_table
from pipeline.trunk import Row, compute_features
from pipeline.vgg import VGG16
from scrapers.items import LABELS
from tests.disks import limited_files
from tests.dying import die_once

FOLDER = Path("cache")
FINISHED = ["features.npy", "fingerprint.txt", "index.csv"]


@pytest.fixture(autouse=True)
def _small_batches_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (classification, trunk):
        monkeypatch.setattr(module, "VIEWS_AT_A_TIME", 4)
    monkeypatch.setattr(classification, "loader_workers", lambda: 0)


@pytest.fixture(autouse=True)
def _no_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar would meet the limits on files too, and then keep the lock that the bars of all processes share."""
    monkeypatch.setattr(caching, "progress", lambda **_: tqdm(disable=True))


@pytest.fixture
def rows(workspace: Path) -> list[Row]:
    """Four images of three views, two of one, and a random view of one."""
    return [
        Row(str(write_noise(f"{image}.png", image)), "museum", LABELS[image % 2], split, view, kind, lender)
        for image, split, views, kind, lender in [
            *((image, "train", range(3), "image", "") for image in range(4)),
            *((4, "validation", range(1), "image", ""), (5, "test", range(1), "image", "")),
            (6, "train", range(1, 2), "styled", "gallery"),
        ]
        for view in views
    ]


def write_noise(name: str, seed: int) -> Path:
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 48, 3), np.uint8)).save(name)
    return Path(name)


def cache(network: VGG16, rows: list[Row], **changes: Any) -> None:
    settings: dict[str, Any] = {"crop_px": 32, "dtype": "float16", "seed": 1}
    cache_features(network, rows, FOLDER, **(settings | changes))


def files() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in FOLDER.iterdir()}


def features() -> NDArray[np.float16]:
    array: NDArray[np.float16] = np.load(open_features(FOLDER).features)
    return array


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """Rows that are computed from here on."""
    found: list[Row] = []

    def counted(network: VGG16, rows: list[Row], **settings: Any) -> Iterator[NDArray[np.float16 | np.float32]]:
        found.extend(rows)
        yield from compute_features(network, rows, **settings)

    monkeypatch.setattr(caching, "compute_features", counted)
    return found


def test_every_row_holds_what_the_index_says(network: VGG16, rows: list[Row]) -> None:
    cache(network, rows)
    found, index = features(), open_features(FOLDER).index
    assert sorted(files()) == FINISHED
    assert found.shape == (15, 8, 2, 2)
    expected = [{name: str(value) for name, value in asdict(row).items()} for row in rows]
    assert [{name: entry[name] for name in Row.__slots__} for entry in index] == expected
    assert [entry["row"] for entry in index] == [str(number) for number in range(15)]
    for row, values in zip(rows, found, strict=True):
        view = make_view(np.array(load_rgb(Path(row.path))), Path(row.path), row.view, crop_px=32, seed=1)
        with torch.no_grad():
            output = network.trunk(torch.from_numpy(view).permute(2, 0, 1)[None] / 255)[0]
        np.testing.assert_allclose(values, output, rtol=2e-3, atol=1e-3)
    verify_features(FOLDER)


def test_workers_compute_the_same_bytes(
    network: VGG16, rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them dies, once; then an image is missing."""
    pytest.importorskip("ray")
    monkeypatch.setattr(trunk, "BATCHES_OF_A_WORKER", 1)  # fewer rows than a batch has there
    cache(network, rows)
    alone = files()
    shutil.rmtree(FOLDER)
    died = tmp_path / "died"
    monkeypatch.setattr(trunk, "_compute_part", partial(die_once, trunk._compute_part, died))
    cache(network, rows, workers=2)
    assert died.exists()
    assert files() == alone


def test_crops_need_not_fit_the_stride(network: VGG16, rows: list[Row]) -> None:
    cache(network, rows[:2], crop_px=150, dtype="float32")
    assert features().shape == (2, 8, 9, 9)
    assert features().dtype == np.float32


def test_image_is_decoded_once_for_all_its_views(
    network: VGG16, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[Path] = []

    def counted(path: Path) -> Image.Image:
        decoded.append(path)
        return load_rgb(path)

    monkeypatch.setattr(classification, "load_rgb", counted)
    many = [replace(rows[0], view=view) for view in range(9)]  # more than the network is given at once
    cache(network, [*many, *rows[3:]])
    assert decoded == [Path(f"{number}.png") for number in range(7)]
    assert len(features()) == 21


def test_finished_cache_is_kept(network: VGG16, rows: list[Row], computed: list[Row]) -> None:
    cache(network, rows)
    before = files(), (FOLDER / "features.npy").stat().st_ino
    computed.clear()
    (FOLDER / "checksums.partial").write_text("of a run that was killed before it had removed this")
    cache(network, rows)
    assert (files(), (FOLDER / "features.npy").stat().st_ino) == before
    assert not computed


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_killed_run_goes_on_after_its_last_whole_row(
    network: VGG16, rows: list[Row], computed: list[Row], data: st.DataObject
) -> None:
    cache(network, rows)
    finished = files()
    written = data.draw(st.integers(0, len(finished["features.npy"])), "bytes of features")
    checksums = "".join(f"{entry['crc32']}\n" for entry in open_features(FOLDER).index).encode()
    confirmed = data.draw(st.integers(0, len(checksums)), "bytes of checksums")
    header_bytes = len(finished["features.npy"]) - 15 * 64
    whole = max(0, min((written - header_bytes) // 64, confirmed // 9))
    partial = bytearray(finished["features.npy"][:written])
    if whole and data.draw(st.booleans(), "damaged"):
        whole = data.draw(st.integers(0, whole - 1), "damaged row")
        partial[header_bytes + 64 * whole + 5] ^= 1
    for name in ("features.npy", *(["index.csv"] if data.draw(st.booleans(), "killed before the index") else [])):
        (FOLDER / name).unlink()
    (FOLDER / "features.npy.partial").write_bytes(partial)
    (FOLDER / "checksums.partial").write_bytes(checksums[:confirmed])
    with pytest.raises(UserError, match=r"`dvc repro`"):
        open_features(FOLDER)

    computed.clear()
    cache(network, rows)
    assert computed == rows[whole:]
    assert files() == finished


def test_checksum_without_the_end_of_its_line_is_not_whole(network: VGG16, rows: list[Row]) -> None:
    cache(network, rows)
    finished = files()
    checksums = "".join(f"{entry['crc32']}\n" for entry in open_features(FOLDER).index)
    (FOLDER / "features.npy").rename(FOLDER / "features.npy.partial")
    (FOLDER / "checksums.partial").write_text(checksums[: 5 * 9 - 1])
    cache(network, rows)
    assert files() == finished


def test_sigkill_costs_no_whole_batch(network: VGG16, rows: list[Row], computed: list[Row]) -> None:
    cache(network, rows)
    finished = files()
    shutil.rmtree(FOLDER)

    def killed() -> None:
        trunk, calls = VGG16.trunk, []

        def die(self: VGG16, images: Tensor) -> Tensor:
            calls.append(images)
            if len(calls) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return trunk(self, images)

        VGG16.trunk = die  # type: ignore[method-assign]
        cache(network, rows)

    process = multiprocessing.get_context("fork").Process(target=killed)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert sorted(files()) == ["checksums.partial", "features.npy.partial", "fingerprint.txt"]
    computed.clear()
    cache(network, rows)
    assert computed == rows[6:]  # two batches of an image each, as two images are more than four views
    assert files() == finished


def test_cache_of_anything_else_is_begun_anew(network: VGG16, rows: list[Row], computed: list[Row]) -> None:
    cache(network, rows)

    def recomputed(count: int, **changes: Any) -> None:
        computed.clear()
        cache(network, rows, **changes)
        assert len(computed) == count
        assert sorted(files()) == FINISHED

    recomputed(15, seed=2)
    recomputed(15, crop_px=48)
    recomputed(15, dtype="float32")
    recomputed(15)
    recomputed(0)
    write_noise("3.png", 99)
    recomputed(15)
    rows[2:3] = []
    recomputed(14)
    rows[0] = replace(rows[0], label="photo")
    recomputed(14)
    rows[-1] = replace(rows[-1], lender="museum")
    recomputed(14)
    network.get_parameter("conv4_3.bias").data += 1
    recomputed(14)
    network.head.bias.data += 1  # no part of the trunk
    recomputed(0)
    network.cast_trunk(torch.bfloat16)
    recomputed(14)
    (FOLDER / "fingerprint.txt").unlink()
    recomputed(14)


def test_folder_may_be_a_link_to_a_larger_disk(network: VGG16, rows: list[Row], tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    FOLDER.symlink_to(tmp_path / "large")
    cache(network, rows)
    cache(network, rows, seed=2)
    assert FOLDER.is_symlink()
    assert sorted(files()) == FINISHED


def test_other_code_computes_anew(
    network: VGG16, rows: list[Row], computed: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caching, "CODE", [write_noise("code.png", 0)])
    cache(network, rows)
    write_noise("code.png", 1)
    cache(network, rows)
    assert len(computed) == 30


def cut(name: str, count: int) -> None:
    path = FOLDER / name
    path.write_bytes(path.read_bytes()[:-count])


def test_damaged_cache_is_found_and_computed_anew(network: VGG16, rows: list[Row], computed: list[Row]) -> None:
    cache(network, rows)
    finished = files()
    damages: dict[str, list[Callable[[], object]]] = {
        "features.npy does not hold the 15 rows": [
            lambda: (FOLDER / "features.npy").unlink(),
            lambda: cut("features.npy", 1),
            lambda: (FOLDER / "features.npy").write_bytes(finished["features.npy"] + b"0"),
            lambda: (FOLDER / "features.npy").write_bytes(b""),
            lambda: (FOLDER / "features.npy").write_bytes(b"<html>not found</html>"),
            lambda: (FOLDER / "features.npy").write_bytes(finished["features.npy"][:-64] + bytes(64)),
            lambda: (FOLDER / "fingerprint.txt").unlink(),
            lambda: cut("index.csv", 2),
        ],
        "features.npy does not hold the 14 rows": [
            lambda: (FOLDER / "index.csv").write_bytes(b"\n".join(finished["index.csv"].splitlines()[:-1]))
        ],
        "index.csv is not the index": [
            lambda: write_table(FOLDER / "index.csv", ["row"], [{"row": 0}]),
        ],
        "index.csv is not a whole table": [lambda: (FOLDER / "index.csv").write_text("")],
        "index.csv is missing": [lambda: (FOLDER / "index.csv").unlink()],
    }
    for sentence, ways in damages.items():
        for damage in ways:
            damage()
            with pytest.raises(UserError, match=sentence):
                open_features(FOLDER)
            cache(network, rows)
            assert files() == finished

    middle = bytearray(finished["features.npy"])
    middle[-64 * 10] ^= 1
    (FOLDER / "features.npy").write_bytes(middle)
    assert len(features()) == 15
    with pytest.raises(UserError, match=r"row 5 of cache/features\.npy is not what was written; delete cache and run"):
        verify_features(FOLDER)
    computed.clear()
    cache(network, rows)
    assert len(computed) == 15
    assert files() == finished


def test_disk_without_room_is_refused_at_once(
    network: VGG16, rows: list[Row], computed: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = 15 * 8 * 2 * 2 * 2
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=missing - 1))
    with pytest.raises(UserError, match=r"cache/features\.npy needs 0 MB more.*lower features\.views"):
        cache(network, rows)
    assert not computed
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=missing))
    cache(network, rows)


def test_rows_that_are_there_need_no_room(
    network: VGG16, rows: list[Row], computed: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_disk_after(rows, network, file_bytes=128 + 10 * 64)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=6 * 64))
    cache(network, rows)
    assert len(computed) == 15 + 6


def fill_disk_after(rows: list[Row], network: VGG16, file_bytes: int) -> None:
    """Run into a limit, in the midst of a row or a batch, as a full disk would be."""
    with limited_files(file_bytes), pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        cache(network, rows)


@pytest.mark.parametrize("file_bytes", [1, 128, 128 + 64 * 7 + 5])
def test_full_disk_leaves_what_can_be_gone_on_from(network: VGG16, rows: list[Row], file_bytes: int) -> None:
    cache(network, rows)
    finished = files()
    shutil.rmtree(FOLDER)
    fill_disk_after(rows, network, file_bytes)
    assert "features.npy" not in files()
    cache(network, rows)
    assert files() == finished


def test_features_out_of_range_are_refused(network: VGG16, rows: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VGG16, "trunk", lambda self, images: torch.full((len(images), 8, 2, 2), 1e5))
    with pytest.raises(UserError, match=r"too large for float16; set features\.dtype to float32"):
        cache(network, rows)
    assert "features.npy" not in files()
    cache(network, rows, dtype="float32")
    assert features().max() == 1e5


def test_image_that_vanished_is_one_sentence(network: VGG16, rows: list[Row]) -> None:
    Path("5.png").unlink()
    with pytest.raises(UserError, match=r"^5\.png cannot be read"):
        cache(network, rows)
    Path("5.png").write_text("<html>not found</html>")
    with pytest.raises(UserError, match=r"^5\.png cannot be used"):
        cache(network, rows)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cached_picture_is_as_probable_as_the_file(network: VGG16, rows: list[Row], dtype: torch.dtype) -> None:
    network.cast_trunk(dtype)
    plain = [row for row in rows if row.view == 0]
    cache(network, plain)
    with torch.no_grad():
        cached = network.classify(torch.from_numpy(features())).double().sigmoid()
    asked = dict(classify(network, [Path(row.path) for row in plain], 32))
    assert list(asked.values()) == pytest.approx(cached.tolist(), abs=2e-3)
    assert len(set(asked.values())) == 6


def test_index_names_rows_as_the_table_on_disk_does(network: VGG16, rows: list[Row]) -> None:
    cache(network, rows)
    assert open_features(FOLDER).index == read_table(FOLDER / "index.csv")
    assert open_features(FOLDER).fingerprint == (FOLDER / "fingerprint.txt").read_text()
