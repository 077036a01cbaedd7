from collections import Counter
from pathlib import Path

import pytest

from pipeline import vgg
from pipeline.caching import open_features, verify_features
from pipeline.console import UserError
from pipeline.stages.features import ACCEPTED, FOLDER, IMITATIONS, WEIGHTS, main
from pipeline.tables import read_table, write_table
from pipeline.vgg import VGG16
from tests.networks import SMALL, set_params, write_images, write_random_weights

COLUMNS = ("path", "source", "photo", "manner", "lender")
NAMES = ("path", "split", "label", "view", "kind", "lender")


@pytest.fixture
def network(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> VGG16:
    monkeypatch.setattr(vgg, "CHANNELS", SMALL)
    set_params({"features.crop_px": 32, "features.views": 3})
    images = write_images(ACCEPTED, {"train": 2, "validation": 1, "test": 1})
    photos = [image["path"] for image in images if (image["label"], image["split"]) == ("photo", "train")]
    imitations = [
        {"path": photo, "source": "sample", "photo": photo, "manner": manner, "lender": lender}
        for photo, manner, lender in zip(photos, ("kuwahara", "styled"), ("", "louvre"), strict=True)
    ]
    write_table(IMITATIONS, COLUMNS, imitations)
    return write_random_weights(WEIGHTS)


def test_every_image_and_imitation_has_its_rows(network: VGG16) -> None:
    main([])
    verify_features(FOLDER)
    found = [tuple(entry[name] for name in NAMES) for entry in open_features(FOLDER).index]
    expected = [
        (image["path"], image["split"], image["label"], str(view), "image", "")
        for image in read_table(ACCEPTED)
        for view in range(3 if image["split"] == "train" else 1)
    ]
    filtered, styled = (imitation["path"] for imitation in read_table(IMITATIONS))
    assert found == [
        *expected,
        (filtered, "train", "painting", "1", "filtered", ""),
        *((styled, "train", "painting", view, "styled", "louvre") for view in "01"),
    ]
    assert Counter(split for _, split, *_ in found) == {"train": 15, "validation": 2, "test": 2}
    assert {entry["source"] for entry in open_features(FOLDER).index} == {"sample"}


def test_second_run_gives_the_same_bytes(network: VGG16) -> None:
    def run() -> dict[str, bytes]:
        main([])
        return {path.name: path.read_bytes() for path in FOLDER.iterdir()}

    first = run()
    assert run() == first
    (FOLDER / "features.npy").unlink()
    (FOLDER / ".features.0badcafe.npy").write_bytes(b"left by an older version")
    (FOLDER / "fingerprint.txt").write_text("another")
    assert run() == first


def test_no_imitations_are_nothing_to_worry_about(network: VGG16) -> None:
    write_table(IMITATIONS, COLUMNS, [])
    main([])
    assert {entry["kind"] for entry in open_features(FOLDER).index} == {"image"}


def test_settings_arrive(network: VGG16) -> None:
    set_params({"features.crop_px": 64, "features.views": 1, "features.dtype": "float32"})
    main([])
    assert (FOLDER / "features.npy").stat().st_size == 128 + 11 * 8 * 4 * 4 * 4


def test_nothing_to_train_on_is_one_sentence(network: VGG16) -> None:
    write_images(ACCEPTED, {"test": 1})
    with pytest.raises(UserError, match="has no image to train on"):
        main([])


def test_table_that_is_missing_is_one_sentence(network: VGG16) -> None:
    IMITATIONS.unlink()
    with pytest.raises(UserError, match=r"imitations\.csv is missing; `dvc repro` makes it"):
        main([])
