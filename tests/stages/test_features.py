import shutil
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline import vgg
from pipeline.classification import CropDataset
from pipeline.console import UserError
from pipeline.stages import features
from pipeline.stages.features import ACCEPTED, FEATURES, FOLDER, INDEX, WEIGHTS, main
from pipeline.tables import read_table
from pipeline.vgg import VGG16
from tests.networks import SMALL, set_params, write_images, write_random_weights


@pytest.fixture
def network(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> VGG16:
    monkeypatch.setattr(vgg, "CHANNELS", SMALL)
    monkeypatch.setattr(features, "CHANNELS", SMALL)
    set_params({"features.crop_px": 32, "features.views": 3})
    write_images(ACCEPTED, {"train": 2, "validation": 1, "test": 1})
    return write_random_weights(WEIGHTS)


def test_every_view_has_the_row_that_the_index_says(network: VGG16) -> None:
    main([])
    index, array = read_table(INDEX), np.load(FEATURES, mmap_mode="r")
    training = [image["path"] for image in read_table(ACCEPTED) if image["split"] == "train"]
    validation = [image["path"] for image in read_table(ACCEPTED) if image["split"] == "validation"]
    assert [(e["path"], int(e["view"])) for e in index if e["split"] == "train"] == [
        (path, view) for path in training for view in range(3)
    ]
    assert [(e["path"], e["view"]) for e in index if e["split"] == "validation"] == [(p, "0") for p in validation]
    assert {e["split"] for e in index} == {"train", "validation"}
    assert array.shape == (len(index), 8, 2, 2)
    assert array.dtype == np.float16

    for row, entry in enumerate(index):
        assert entry["row"] == str(row)
        _, crops = CropDataset([(Path(entry["path"]), 3)], 32, seed=1)[0]
        assert isinstance(crops, Tensor)
        with torch.no_grad():
            expected = network.trunk(crops[int(entry["view"]), None] / 255)[0]
        found = torch.from_numpy(array[row].astype(np.float32))
        assert float((found - expected).norm() / expected.norm()) < 0.03  # bfloat16 on machines that have it
        assert int(entry["crc32"], 16) == zlib.crc32(array[row].tobytes())


def test_second_run_gives_the_same_bytes(network: VGG16) -> None:
    main([])
    first = FEATURES.read_bytes(), INDEX.read_bytes()
    (FOLDER / ".features.0badcafe.npy").write_bytes(b"left by a killed run")
    main([])
    assert (FEATURES.read_bytes(), INDEX.read_bytes()) == first
    assert sorted(path.name for path in FOLDER.iterdir()) == ["features.npy", "index.csv"]


def test_full_disk_is_refused_before_anything_is_computed(network: VGG16, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = 14 * 8 * 2 * 2 * 2
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed - 1))
    monkeypatch.setattr(features, "load_crops", lambda *_, **__: pytest.fail("computed"))
    with pytest.raises(UserError, match=r"features\.npy needs 0 MB.*lower features\.views"):
        main([])


def test_interrupted_run_leaves_nothing_that_is_trusted(network: VGG16, monkeypatch: pytest.MonkeyPatch) -> None:
    main([])

    def stop(*_: object) -> Tensor:
        raise KeyboardInterrupt

    monkeypatch.setattr(VGG16, "trunk", stop)
    with pytest.raises(KeyboardInterrupt):
        main([])
    assert not FEATURES.exists()
    assert not INDEX.exists()


def test_features_out_of_range_are_refused(network: VGG16, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VGG16, "trunk", lambda self, images: torch.full((len(images), 8, 2, 2), 1e5))
    with pytest.raises(UserError, match="too large for float16"):
        main([])
    assert not FEATURES.exists()
    set_params({"features.dtype": "float32"})
    main([])
    assert np.load(FEATURES).max() == 1e5


def test_image_that_vanished_is_one_sentence(network: VGG16) -> None:
    gone = Path(read_table(ACCEPTED)[0]["path"])
    gone.unlink()
    with pytest.raises(UserError, match=f"{gone} cannot be read"):
        main([])


def test_nothing_to_train_on_is_one_sentence(network: VGG16) -> None:
    write_images(ACCEPTED, {"test": 1})
    with pytest.raises(UserError, match="has no image to train on"):
        main([])
