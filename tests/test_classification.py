from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from pipeline import vgg
from pipeline.classification import CropDataset, classify, load_classifier, load_crops
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


def views_of(dataset: CropDataset, index: int) -> Tensor:
    _, crops = dataset[index]
    assert isinstance(crops, Tensor)
    return crops


def test_first_view_is_the_centre(tmp_path: Path) -> None:
    path = write_noise(tmp_path / "wide.png", 96, 32)
    crops = views_of(CropDataset([(path, 1)], 32, seed=0), 0)
    expected = np.asarray(load_rgb(path))[:, 32:64]
    assert crops.dtype == torch.uint8
    assert np.array_equal(crops[0].permute(1, 2, 0).numpy(), expected)


@settings(max_examples=20, deadline=None)
@given(width_px=st.integers(32, 300), height_px=st.integers(32, 300), views=st.integers(1, 4))
def test_every_shape_gives_square_crops(
    tmp_path_factory: pytest.TempPathFactory, width_px: int, height_px: int, views: int
) -> None:
    path = write_noise(tmp_path_factory.getbasetemp() / "shape.png", width_px, height_px)
    assert views_of(CropDataset([(path, views)], 32, seed=0), 0).shape == (views, 3, 32, 32)


def test_random_views_depend_on_seed_and_path_alone(tmp_path: Path) -> None:
    paths = [write_noise(tmp_path / f"{i}.png", 64, 48) for i in range(2)]  # the same pixels under two names
    one, two = (views_of(CropDataset([(paths[0], 4), (paths[1], 4)], 32, seed=1), i) for i in range(2))
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert torch.equal(views_of(CropDataset([(paths[1], 4), (paths[0], 4)], 32, seed=1), 1), one)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one[0], two[0])
    assert not torch.equal(one[1:], two[1:])
    assert not torch.equal(views_of(CropDataset([(paths[0], 4)], 32, seed=2), 0)[1:], one[1:])
    assert len({crop.numpy().tobytes() for crop in one}) == 4


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
        crop = views_of(CropDataset([(path, 1)], 32, seed=0), 0)
        with torch.no_grad():
            expected = float(network(crop / 255).sigmoid())
        assert answer == pytest.approx(expected, rel=1e-4)


def test_batches_read_by_other_processes_are_the_same(tmp_path: Path) -> None:
    images = [(write_noise(tmp_path / f"{i}.png", 40, 40, seed=i), 1 + i % 2) for i in range(9)]
    images.append((tmp_path / "nowhere.png", 1))
    loader = load_crops(images, 32, seed=3, batch_size=4)
    assert loader.num_workers > 0
    found = [item for batch in loader for item in batch]
    assert [path for path, _ in found] == [path for path, _ in images]
    assert isinstance(found[-1][1], UserError)
    dataset = CropDataset(images, 32, seed=3)
    assert all(torch.equal(crops, views_of(dataset, i)) for i, (_, crops) in enumerate(found[:-1]))


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
    for metadata in ({}, {"crop_px": "large"}):
        save_tensors(model, network.trainable(), metadata)
        with pytest.raises(UserError, match="does not say its crop_px"):
            load_classifier(weights, model)
