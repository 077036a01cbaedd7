"""An epoch of training from cached features beside one with the full forward pass, on the same images.

    python -m benchmarks.epoch --images 512

Makes images in a temporary folder and trains block 5 and the head for two epochs on each side: the same start, rows,
order, batches, precision and optimiser. The one reads the trunk's output, as the stage ``finetune`` does; the other
decodes the images in processes of their own, makes their views and runs the trunk. Prints seconds of the faster epoch
of each (its validation included), their ratio, and both validation losses, which should be the same within noise.

The limit is the ratio of bare steps on a batch that is in memory already: no cache can save block 5 its own work.
Weights are those of the project if they are there, else random ones, which cost the same.
"""

import argparse
import logging
import tempfile
import warnings
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image, ImageFilter
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from benchmarks.features import write_picture
from benchmarks.jobs import WEIGHTS
from benchmarks.step import timed
from pipeline.augmentation import make_view
from pipeline.caching import cache_features, open_features
from pipeline.classification import NEGATIVE, POSITIVE
from pipeline.device import loader_workers, network_dtype, pick_device
from pipeline.finetuning import Finetuner, History, RandomRows, Rows, load_rows
from pipeline.images import load_rgb
from pipeline.params import Features, Finetune, default_params
from pipeline.tensors import to_unit_range
from pipeline.trunk import Row
from pipeline.vgg import VGG16, load_network

EPOCHS = 2
ROUNDS = 3
VALIDATION_SHARE = 0.2


class Views(Dataset[tuple[Tensor, Tensor]]):
    """Pixels (3, crop_px, crop_px) in uint8 and target of each row, from its file."""

    def __init__(self, rows: Sequence[Row], settings: Features) -> None:
        self._rows = rows
        self._settings = settings

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        row, path = self._rows[index], Path(self._rows[index].path)
        pixels = np.array(load_rgb(path))
        view = make_view(pixels, path, row.view, crop_px=self._settings.crop_px, seed=self._settings.seed)
        return torch.from_numpy(view.copy()).permute(2, 0, 1), torch.tensor(float(row.label == POSITIVE))


class Whole(nn.Module):
    """Block 5 and head ``top`` on the trunk of ``network``, whose output has the precision of the cache."""

    def __init__(self, network: VGG16, top: VGG16, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.top = top
        self._dtype = dtype

    def classify(self, pixels: Tensor) -> Tensor:
        """Pixels (N, 3, H, W) in uint8 to logits (N,)."""
        with torch.no_grad():
            features = self.network.trunk(to_unit_range(pixels)).to(self._dtype)
        return self.top.classify(features)


def main() -> None:
    """Compare the two."""
    params = default_params()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256, help="to train on, and a fifth as many to validate on")
    parser.add_argument("--crop", type=int, default=params.features.crop_px, help="side of a view, in pixels")
    parser.add_argument("--batch", type=int, default=params.finetune.batch_size, help="rows a step")
    arguments = parser.parse_args()
    features = replace(params.features, crop_px=arguments.crop)
    settings = replace(params.finetune, max_epochs=EPOCHS, batch_size=arguments.batch)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    device = pick_device()
    network = make_network().to(device).cast_trunk(network_dtype(device))
    top = VGG16(first_block=5).to(memory_format=torch.channels_last)
    top.load_state_dict(network.trainable())
    with tempfile.TemporaryDirectory() as name:
        rows = make_images(Path(name), arguments.images, features.views)
        cache_s = timed(lambda: cache_features(network, rows, Path(name) / "cache", **cache_settings(features)))
        cached = train(deepcopy(top), load_cached(Path(name) / "cache", settings), settings, Path(name))
        whole = Whole(network, deepcopy(top), getattr(torch, features.dtype))
        full = train(whole, load_images(rows, features, settings), settings, Path(name))
    trunk_s, step_s = bare(whole, arguments.batch, arguments.crop)
    print(f"{arguments.images} images of {arguments.crop} px, {arguments.batch} a step")
    print(f"{str(network_dtype(device)).removeprefix('torch.')} on {device}, {torch.get_num_threads()} threads")
    print(f"cache         {cache_s:.1f} s, once, for {features.views} views")
    for title, epochs in (("full forward", full), ("from cache", cached)):
        losses = ", ".join(f"{epoch['validation_loss']:.4f}" for epoch in epochs)
        print(f"{title:12}  {seconds(epochs):.2f} s an epoch, validation loss {losses}")
    print(f"ratio         {seconds(full) / seconds(cached):.1f}")
    print(f"bare steps    trunk {trunk_s:.3f} s, block 5 {step_s:.3f} s: limit {(trunk_s + step_s) / step_s:.1f}")


def make_network() -> VGG16:
    """The project's, or one whose activations neither vanish nor explode."""
    if WEIGHTS.exists():
        return load_network(WEIGHTS)
    torch.manual_seed(0)
    network = VGG16()
    for parameter in network.parameters():
        if parameter.ndim == 4:
            nn.init.kaiming_normal_(parameter)
    return network.freeze_trunk().eval()


def make_images(folder: Path, count: int, views: int) -> list[Row]:
    """Sharp paintings and blurred photographs, with ``views`` of those to train on; the rest validate."""
    rows = []
    for number in range(count + round(count * VALIDATION_SHARE)):
        path = write_picture(folder / f"{number}.jpg", number)
        label, split = (POSITIVE, NEGATIVE)[number % 2], "train" if number < count else "validation"
        if label == NEGATIVE:
            Image.open(path).filter(ImageFilter.GaussianBlur(2)).save(path, quality=95, subsampling="4:4:4")
        shown = range(views if split == "train" else 1)
        rows += [Row(str(path), "made up", label, split, view, "image") for view in shown]
    return rows


def cache_settings(features: Features) -> dict[str, Any]:
    """What decides the values of a cache."""
    return {"crop_px": features.crop_px, "dtype": features.dtype, "seed": features.seed}


def load_cached(folder: Path, settings: Finetune) -> "list[DataLoader[tuple[Tensor, Tensor]]]":
    """The rows to train and to validate on, as features."""
    cache = open_features(folder)
    rows = Rows.of(cache)
    train, validation = (np.flatnonzero(rows.splits == split) for split in ("train", "validation"))
    return [
        load_rows(cache.features, chosen, rows.targets[chosen], settings.batch_size, sampler)
        for chosen, sampler in ((train, draw(len(train), int((rows.plain[train]).sum()), settings)), (validation, None))
    ]


def load_images(rows: Sequence[Row], features: Features, settings: Finetune) -> "list[DataLoader[Any]]":
    """The same rows in the same order, as pixels."""
    train, validation = ([row for row in rows if row.split == split] for split in ("train", "validation"))
    images = sum(row.view == 0 for row in train)
    return [
        DataLoader(
            Views(chosen, features),
            settings.batch_size,
            sampler=sampler,
            num_workers=loader_workers(),
            persistent_workers=True,
        )
        for chosen, sampler in ((train, draw(len(train), images, settings)), (validation, None))
    ]


def draw(rows: int, images: int, settings: Finetune) -> RandomRows:
    """As many of the rows as there are images, each as often as the others."""
    return RandomRows(np.full(rows, 1 / rows), images, settings.seed)


def train(
    network: nn.Module, loaders: "Sequence[DataLoader[Any]]", settings: Finetune, folder: Path
) -> list[dict[str, float]]:
    """The curve of so many epochs."""
    with tqdm(disable=True) as bar, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice on numbers of processes
        history = History("", folder / "training.csv", bar)
        device = pick_device()
        trainer = pl.Trainer(
            accelerator=device.type,
            devices=1,
            precision="bf16-mixed" if network_dtype(device) == torch.bfloat16 else "32-true",
            max_epochs=settings.max_epochs,
            callbacks=[history],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        module = Finetuner(network, settings, len(loaders[0].batch_sampler.sampler))  # type: ignore[arg-type, union-attr]
        trainer.fit(module, loaders[0], loaders[1])
    return history.rows


def seconds(epochs: Sequence[dict[str, float]]) -> float:
    """Of the fastest."""
    return min(epoch["seconds"] for epoch in epochs)


def bare(whole: Whole, batch: int, crop_px: int) -> tuple[float, float]:
    """Seconds of the trunk, and of block 5 and head forward and backward, on one batch that is in memory."""
    device = pick_device()
    whole.to(device)
    pixels = torch.randint(256, (batch, 3, crop_px, crop_px), dtype=torch.uint8, device=device)
    with torch.no_grad():
        features = whole.network.trunk(to_unit_range(pixels))

    def trunk() -> None:
        with torch.no_grad():
            whole.network.trunk(to_unit_range(pixels)).sum().item()

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=network_dtype(device) == torch.bfloat16):
            loss = whole.top.classify(features).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        whole.zero_grad()
        loss.item()

    trunk_s, step_s = zip(*((timed(trunk), timed(step)) for _ in range(ROUNDS)), strict=True)
    return median(trunk_s), median(step_s)


if __name__ == "__main__":
    main()
