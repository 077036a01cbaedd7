import json
from pathlib import Path

import pytest

from pipeline.console import UserError
from pipeline.fast.exported import style_names, write_float
from pipeline.fast.files import save_fast
from pipeline.fast.network import FastNetwork, Widths, relax
from pipeline.stages import export as stage
from pipeline.stages.export import ACCEPTED, FLOAT, INT8, METRICS, MODEL, main
from tests.fast.test_network import tiny_network
from tests.networks import write_images


@pytest.fixture
def exportable(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(stage, "SIDE_PX", 32)
    save_fast(MODEL, relax(tiny_network()).eval())
    write_images(ACCEPTED, {"train": 1, "validation": 6})
    return workspace


def test_both_files_and_what_8_bits_change_are_written(exportable: Path) -> None:
    main([])
    assert style_names(FLOAT) == style_names(INT8) == ["a", "b"]
    metrics = json.loads(METRICS.read_text())
    assert metrics["float_bytes"] == FLOAT.stat().st_size
    assert metrics["int8_bytes"] == INT8.stat().st_size
    assert 0 < metrics["int8_mean_levels"] < metrics["int8_largest_levels"] < 255
    assert metrics["int8_psnr_db"] > 30


def test_one_photograph_is_enough(exportable: Path) -> None:
    write_images(ACCEPTED, {"validation": 1})
    main([])
    assert INT8.exists()


def test_network_that_paints_everything_alike_has_figures_too(exportable: Path) -> None:
    network = FastNetwork(Widths(fine=4, coarse=6, blocks=1), ["a"]).requires_grad_(False)
    for parameter in network.parameters():
        parameter.zero_()
    save_fast(MODEL, network)
    main([])
    assert json.loads(METRICS.read_text())["int8_psnr_db"] > 100


def test_file_that_paints_otherwise_than_the_network_is_refused(
    exportable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "write_float", lambda path, _: write_float(path, relax(tiny_network(seed=3)).eval()))
    with pytest.raises(UserError, match=r"fast\.onnx does not paint as .*fast\.safetensors does; install"):
        main([])
    assert not METRICS.exists()


def test_missing_network_and_photographs_are_one_sentence(exportable: Path) -> None:
    write_images(ACCEPTED, {"train": 1})
    with pytest.raises(UserError, match=r"accepted\.csv names no photographs of the validation split"):
        main([])
    MODEL.unlink()
    with pytest.raises(UserError, match=r"fast\.safetensors cannot be read; `dvc repro distill`"):
        main([])
