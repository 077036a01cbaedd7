"""What works on this machine, what does not, and what to do about it."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
import torch

from pipeline.console import UserError
from pipeline.device import network_dtype, pick_device
from pipeline.vgg import load_network

NEEDED_DISK_GB = 2
INDEX_COMMAND = (sys.executable, "-m", "pip", "index", "versions", "--disable-pip-version-check", "pip")
INDEX_TIMEOUT_S = 20
CODECS: tuple[tuple[str, Literal["r", "w"]], ...] = (("h264", "r"), ("libx264", "w"))


@dataclass(frozen=True)
class Check:
    """One finding: ``missing`` keeps painting from working, ``limited`` makes it slower or lesser."""

    state: Literal["ok", "limited", "missing"]
    name: str
    finding: str


def check_machine(weights: Path | None, model: Path) -> Iterator[Check]:
    """Look at device, disk, codecs, weights, model and network, one after another."""
    yield _device()
    yield _disk()
    yield _codecs()
    yield _weights(weights)
    yield _model(weights, model)
    yield _network()


def _device() -> Check:
    device = pick_device()
    precision = str(network_dtype(device)).removeprefix("torch.")
    if device.type == "cuda":
        memory_gb = torch.cuda.get_device_properties(device).total_memory / 1e9
        return Check("ok", "device", f"{torch.cuda.get_device_name(device)}, {memory_gb:.0f} GB, {precision}")
    threads = torch.get_num_threads()
    return Check(
        "limited", "device", f"no GPU; CPU with {threads} threads, {precision}: seconds a frame, keep it small"
    )


def _disk() -> Check:
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    if free_gb < NEEDED_DISK_GB:
        return Check("limited", "disk", f"{free_gb:.1f} GB free; the sample run needs {NEEDED_DISK_GB}: make room")
    return Check("ok", "disk", f"{free_gb:.0f} GB free")


def _codecs() -> Check:
    for codec, mode in CODECS:
        try:
            av.Codec(codec, mode)
        except av.codec.codec.UnknownCodecError:
            return Check("missing", "codecs", f"no {codec}; install PyAV from its wheel: pip install av")
    return Check("ok", "codecs", "H.264 in and out, sound copied")


def _weights(weights: Path | None) -> Check:
    if weights is None:
        return Check("limited", "weights", "not here yet; `dvc repro weights` or the first painting fetches them")
    try:
        load_network(weights)
    except UserError as error:
        return Check("missing", "weights", str(error))
    return Check("ok", "weights", str(weights))


def _model(weights: Path | None, model: Path) -> Check:
    try:
        if weights is not None:
            load_network(weights, model)
    except UserError as error:
        return Check("missing", "model", str(error))
    return Check("ok", "model", str(model))


def _network() -> Check:
    try:
        subprocess.run(INDEX_COMMAND, check=True, capture_output=True, timeout=INDEX_TIMEOUT_S)
    except (subprocess.SubprocessError, OSError):
        return Check("limited", "network", "no package index in reach; weights and samples cannot be fetched")
    return Check("ok", "network", "the package index answers")
