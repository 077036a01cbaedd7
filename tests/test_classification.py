from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline import classification, vgg
from pipeline.classification import (
    VIEWS_AT_A_TIME,
    CropDataset,
    Crops,
    ViewsOfImage,
    classify,
    load_classifier,
    load_crops,
)
from pipeline.console import UserError
from pipeline.images import load_rgb
from pipeline.vgg import save_tensors
from tests.networks import SMALL, random_network, write_random_weights


@pytest.fixture(autouse=True)
def _small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vgg, "CHANNELS", SMALL)


def write_noise(path: Path, width_px: int, height_px: int, seed: int = 0) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def batches(images: Sequence[ViewsOfImage], crop_px: int = 32, seed: int = 0) -> list[Crops]:
    dataset = CropDataset(images, crop_px, seed)
    return [dataset[number] for number in range(len(dataset))]


def test_first_view_is_the_centre(tmp_path: Path) -> None:
    path = write_noise(tmp_path / "wide.png", 96, 32)
    [batch] = batches([(path, [0])])
    assert batch.pixels.dtype == torch.uint8
    assert np.array_equal(batch.pixels[0].permute(1, 2, 0).numpy(), np.asarray(load_rgb(path))[:, 32:64])


def test_views_are_those_that_were_asked_for(tmp_path: Path) -> None:
    path = write_noise(tmp_path / "1.png", 64, 48)
    [batch] = batches([(path, [0, 1, 2, 3])], seed=1)
    [others] = batches([(path, [3, 1])], seed=1)
    assert torch.equal(others.pixels, batch.pixels[[3, 1]])
    assert len({crop.numpy().tobytes() for crop in batch.pixels}) == 4


@given(views=st.lists(st.integers(1, 70), max_size=30))
def test_no_image_is_split_and_no_batch_is_large(views: list[int]) -> None:
    images = [(Path(f"{number}.png"), range(count)) for number, count in enumerate(views)]
    together = [batch.paths for batch in batches(images)]  # though none can be read
    assert [path for paths in together for path in paths] == [path for path, _ in images]
    sizes = [sum(views[int(path.stem)] for path in paths) for paths in together]
    assert all(size <= VIEWS_AT_A_TIME or len(paths) == 1 for size, paths in zip(sizes, together, strict=True))
    assert all(one + other > VIEWS_AT_A_TIME for one, other in pairwise(sizes))


def test_probabilities_come_in_order_and_errors_in_their_place(tmp_path: Path) -> None:
    network = random_network()
    paths = [write_noise(tmp_path / f"{i}.png", 40, 50, seed=i) for i in range(5)]
    paths.insert(2, tmp_path / "nowhere.png")
    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    paths.append(tmp_path / "page.jpg")

    answers = list(classify(network, paths, 32))

    assert [path for path, _ in answers] == paths
    for path, answer in answers:
        if path.name in ("nowhere.png", "page.jpg"):
            assert isinstance(answer, UserError)
            assert str(path) in str(answer)
            continue
        [batch] = batches([(path, [0])])
        with torch.no_grad():
            expected = float(network(batch.pixels / 255).sigmoid())
        assert answer == pytest.approx(expected, rel=1e-4)


def test_batches_made_by_other_processes_are_the_same(tmp_path: Path) -> None:
    images = [(write_noise(tmp_path / f"{i}.png", 40, 40, seed=i), range(9 + i % 2)) for i in range(9)]
    images.insert(4, (tmp_path / "nowhere.png", range(1)))
    loader = load_crops(images, 32, seed=3)
    assert loader.num_workers > 0
    found = list(loader)
    for batch, expected in zip(found, batches(images, seed=3), strict=True):
        assert batch.paths == expected.paths
        assert [str(error) for error in batch.errors] == [str(error) for error in expected.errors]
        assert torch.equal(batch.pixels, expected.pixels)
    assert [str(path) for batch in found for path, error in zip(batch.paths, batch.errors, strict=True) if error] == [
        str(tmp_path / "nowhere.png")
    ]


def test_thousands_are_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not more than a few batches are ahead of the answers, however many images there are."""
    path = write_noise(tmp_path / "1.png", 40, 40)
    decoded: list[Path] = []

    def counted(path: Path) -> Image.Image:
        decoded.append(path)
        return load_rgb(path)

    monkeypatch.setattr(classification, "load_rgb", counted)
    monkeypatch.setattr(classification, "loader_workers", lambda: 0)
    answers = classify(random_network(), [path] * 5000, 32)
    first = next(answers)
    assert first[0] == path
    assert len(decoded) <= 2 * VIEWS_AT_A_TIME


def test_nothing_to_classify_is_nothing() -> None:
    assert list(classify(random_network(), [], 32)) == []


def test_unreadable_images_alone_are_answered(tmp_path: Path) -> None:
    [(_, answer)] = classify(random_network(), [tmp_path / "nowhere.png"], 32)
    assert isinstance(answer, UserError)


def test_classifier_without_crop_px_is_refused(tmp_path: Path) -> None:
    weights, model = tmp_path / "vgg16.safetensors", tmp_path / "model.safetensors"
    network = write_random_weights(weights)
    save_tensors(model, network.trainable(), {"crop_px": "64"})
    assert load_classifier(weights, model)[1] == 64
    for metadata in ({}, {"crop_px": "large"}, {"crop_px": "1000000"}, {"crop_px": "-64"}):
        save_tensors(model, network.trainable(), metadata)
        with pytest.raises(UserError, match="does not say its crop_px"):
            load_classifier(weights, model)
