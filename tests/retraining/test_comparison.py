import json
from pathlib import Path

import pytest

from pipeline.console import UserError
from pipeline.installed import MODEL, WEIGHTS
from pipeline.retraining import comparison, frozen
from pipeline.tables import write_table
from pipeline.vgg import VGG16, save_tensors
from tests.networks import random_network, write_images, write_random_weights

SERVICE = Path("service/current/classifier.safetensors")


@pytest.fixture(autouse=True)
def _project(workspace: Path, network: VGG16) -> None:
    """Frozen images of two sources, and two models; that of the service was trained on larger crops."""
    rows = write_images(Path("data/images.csv"), {"test": 3}, sources=("met", "nga"))
    frozen_rows = [{**row, "id": str(i), "group": f"g/{i}", "phash": ""} for i, row in enumerate(rows)]
    write_table(frozen.TABLE, frozen.COLUMNS, [{name: row[name] for name in frozen.COLUMNS} for row in frozen_rows])
    write_table(frozen.ACCEPTED, ("path", "group", "split", "phash"), [])
    write_random_weights(WEIGHTS)
    for path, seed, crop_px in ((MODEL, 1, "32"), (SERVICE, 2, "64")):
        save_tensors(path, random_network(seed).trainable(), {"crop_px": crop_px})


def test_both_judge_the_same_images_source_by_source() -> None:
    comparison.main(["--output", "out.json", "--service", str(SERVICE)])
    found = json.loads(Path("out.json").read_text())
    for judged in found.values():
        assert judged["all"]["images"] == 12
        assert {name: figures["images"] for name, figures in judged["sources"].items()} == {"met": 6, "nga": 6}
        for figures in (judged["all"], *judged["sources"].values()):
            assert {"balanced_accuracy", "calibration_error", "auroc"} <= figures.keys()
    assert found["new"] != found["service"]


def test_the_first_model_is_judged_alone() -> None:
    comparison.main(["--output", "out.json"])
    assert json.loads(Path("out.json").read_text())["service"] is None


def test_an_image_that_cannot_be_read_is_no_comparison() -> None:
    Path("data/images/met/photo/test-1.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"test-1\.png cannot be used"):
        comparison.main(["--output", "out.json"])
    assert not Path("out.json").exists()
