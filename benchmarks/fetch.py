"""The stage ``fetch`` beside img2dataset: the same images, from the same server on this machine, in turn.

    python -m benchmarks.fetch --images 20000

Both store every file with its SHA-256 and can be continued; img2dataset neither resizes nor encodes anew. It is
installed into an environment of its own in a temporary folder, unless ``--img2dataset`` names its command. Prints
images a second, processor time and peak memory of both, and their ratio. A run counts from the start of the command to
its exit; the server, which shares the machine with both, is not counted.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

import yaml

from benchmarks.usage import ROOT, Usage, run_measured
from benchmarks.works import made_up
from scrapers.items import write_manifest
from scrapers.sample import HOST
from tests.museums.collection import Sizes
from tests.museums.server import open_museums

IMG2DATASET = "img2dataset==1.47.0"
ROUNDS = 3
CONCURRENCY = 16
THREADS = 32
"""Of each process of img2dataset; more or fewer make it no faster here."""


def main() -> None:
    """Compare the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--img2dataset", type=Path, metavar="PATH", help="its command, if it is installed")
    arguments = parser.parse_args()
    images = arguments.images
    with tempfile.TemporaryDirectory() as name, open_museums(Sizes(), process=True) as museums:
        folder = Path(name)
        write_project(folder, images)
        (folder / "list.txt").write_text("\n".join(museums.image_list(images)))
        other = arguments.img2dataset.absolute() if arguments.img2dataset else install(folder / "environment")
        rounds = [
            (run_fetch(folder, museums.address, images), run_img2dataset(folder, other, images)) for _ in range(ROUNDS)
        ]
    print(f"{images} images, {os.cpu_count()} cores, {ROUNDS} rounds in turn (medians)")
    ours, theirs = ([pair[side] for pair in rounds] for side in (0, 1))
    for title, usages in (("fetch", ours), ("img2dataset", theirs)):
        print(
            f"{title:12} {images / middle(usages, 'seconds'):6.0f} images/s, "
            f"{middle(usages, 'cpu_s') / images * 1e3:.2f} ms of processor an image, "
            f"{middle(usages, 'memory_mb'):.0f} MB at the peak"
        )
    print(f"fetch is {middle(theirs, 'seconds') / middle(ours, 'seconds'):.2f} times as fast")


def write_project(folder: Path, images: int) -> None:
    """Write the settings and the manifest of a crawl whose only host allows everything."""
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    settings["crawl"] |= {"per_class": images, "min_per_class": 1}
    settings["crawl"]["hosts"][HOST] = {"delay_s": 0.0, "concurrency": CONCURRENCY}
    (folder / "params.yaml").write_text(yaml.safe_dump(settings))
    manifest = folder / "data/index/manifest.jsonl"
    manifest.parent.mkdir(parents=True)
    addresses = (f"http://{HOST}/bench/{number}.jpg" for number in range(images))
    works = (made_up(number, source="sample", image_url=address) for number, address in enumerate(addresses))
    write_manifest(works, manifest)


def install(environment: Path) -> Path:
    """Make an environment with img2dataset, and return its command."""
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    pip = [str(environment / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, IMG2DATASET], check=True)
    return environment / "bin/img2dataset"


def run_fetch(folder: Path, address: str, images: int) -> Usage:
    """Run the stage from nothing."""
    shutil.rmtree(folder / "data/raw", ignore_errors=True)
    command = [sys.executable, "-m", "pipeline.stages.fetch", "--stand-in", address]
    usage = run_measured(command, folder)
    check_count((folder / "data/raw").rglob("*.jpg"), images)
    return usage


def run_img2dataset(folder: Path, command: Path, images: int) -> Usage:
    """Run img2dataset from nothing."""
    output = folder / "img2dataset"
    shutil.rmtree(output, ignore_errors=True)
    options = {
        "url_list": folder / "list.txt",
        "output_folder": output,
        "output_format": "files",
        "resize_mode": "no",
        "disable_all_reencoding": True,
        "compute_hash": "sha256",
        "processes_count": os.cpu_count(),
        "thread_count": THREADS,
        "number_sample_per_shard": 1000,
        "enable_wandb": False,
    }
    usage = run_measured([str(command), *(f"--{name}={value}" for name, value in options.items())], folder)
    check_count(output.rglob("*.jpg"), images)
    return usage


def check_count(files: Iterable[Path], images: int) -> None:
    """See that nothing is missing: who downloads less is no faster."""
    found = sum(1 for _ in files)
    if found != images:
        raise SystemExit(f"{found} of {images} images are there")


def middle(usages: Sequence[Usage], name: str) -> float:
    """The median of one figure."""
    return float(median(getattr(usage, name) for usage in usages))


if __name__ == "__main__":
    main()
