import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pipeline import vgg
from pipeline.classification import load_classifier
from pipeline.console import UserError
from pipeline.files import write_json, write_text
from pipeline.finetuning import Rows
from pipeline.predictions import unseen_temperature
from pipeline.stages import publish
from pipeline.stages.publish import CARD, COMPARED, FOLDER, METRICS, WEIGHTS, WORK, main
from pipeline.tables import write_table
from pipeline.training import Task, finetune
from tests.networks import SMALL, set_params, write_features, write_images, write_random_weights

ABOUT = Path("about.md")
COLUMNS = ("method", "left_out", "path", "source", "label", "split", "probability")


@pytest.fixture
def pretrained(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the model goes; a full run, whose predictions on sources left out were twice as sure as they should be."""
    monkeypatch.setattr(vgg, "CHANNELS", SMALL)
    monkeypatch.setattr(publish, "PRETRAINED", workspace / "pretrained")
    set_params({"finetune.batch_size": 4, "finetune.max_epochs": 9, "features.crop_px": 32})
    write_random_weights(WEIGHTS)
    write_features(FOLDER, write_images(Path("accepted.csv"), {"train": 3, "validation": 1, "test": 2}))
    write_json(METRICS, {"temperature": 1.5, "best_epoch": 2})
    write_compared("prado")
    write_text(CARD, "# Model\n\n## Model details\n\nA network.\n\n## Training data\n\nPictures.\n\n## Evaluation\n")
    ABOUT.write_text("Public-domain pictures of the Prado.\n")
    return workspace / "pretrained"


def write_compared(left_out: str) -> None:
    """A table of 4000 images, of which 3000 are judged rightly with a logit of 2 log(3): log(3) would be right."""
    labels = np.array(["painting", "photo"] * 2000)
    judged_painting = (labels == "painting") == (np.arange(4000) % 8 < 6)
    probability = np.where(judged_painting, 0.9, 0.1)
    images = [{"path": f"{number}.jpg", "source": "prado", "label": label} for number, label in enumerate(labels)]
    write_table(
        COMPARED,
        COLUMNS,
        [
            image | {"method": method, "left_out": left_out, "probability": value if method == "ours" else 0.5}
            for method in ("original", "ours")
            for image, value in zip(images, probability, strict=True)
        ],
    )


def test_model_is_trained_on_everything_and_calibrated_for_anywhere(
    pretrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks: list[Task] = []
    trained: list[dict[str, torch.Tensor]] = []

    def noted(network: vgg.VGG16, task: Task, *rest: object) -> object:
        tasks.append(task)
        curve = finetune(network, task, *rest)  # type: ignore[arg-type]
        trained.append({name: value.clone() for name, value in network.state_dict().items()})
        assert len(curve) == 2
        return curve

    monkeypatch.setattr(publish, "finetune", noted)
    main(["--about", str(ABOUT)])
    rows: Rows = tasks[0].rows
    assert tasks[0].train.all()
    assert set(rows.splits[tasks[0].validation]) == {"train", "validation", "test"}

    tensors = load_file(pretrained / "classifier.safetensors")
    assert {values.dtype for values in tensors.values()} == {torch.float16}
    for name, values in tensors.items():
        divisor = 1.5 * 2 if name.startswith("head.") else 1
        torch.testing.assert_close(values.float(), trained[0][name] / divisor, rtol=2e-3, atol=1e-4)
    network, crop_px = load_classifier(WEIGHTS, pretrained / "classifier.safetensors")
    assert crop_px == 32
    assert network.head.weight.dtype == torch.float32
    assert sorted(path.name for path in pretrained.iterdir()) == ["classifier.safetensors", "model_card.md"]
    assert not WORK.exists()

    card = (pretrained / "model_card.md").read_text()
    assert card.index("(2)") < card.index("divided by 3.00") < card.index("A network.")
    assert card.index("## Training data") < card.index("pictures of the Prado") < card.index("Pictures.")


def test_run_without_a_source_left_out_is_refused(pretrained: Path) -> None:
    write_compared("")
    with pytest.raises(UserError, match="has no source that was left out; a model for any picture needs at least two"):
        main(["--about", str(ABOUT)])
    assert not pretrained.exists()


@pytest.mark.parametrize("missing", [ABOUT, CARD, METRICS])
def test_missing_file_is_named_before_training(pretrained: Path, missing: Path) -> None:
    missing.unlink()
    with pytest.raises(UserError, match=f"^{missing} is missing; this takes a full run"):
        main(["--about", str(ABOUT)])
    assert not WORK.exists()


def test_numbers_are_read_as_the_stage_finetune_writes_them(pretrained: Path) -> None:
    temperature = json.loads(METRICS.read_text())["temperature"] * unseen_temperature(publish.read_left_out())
    assert temperature == pytest.approx(3, rel=1e-3)


def test_only_our_models_on_sources_left_out_count(pretrained: Path) -> None:
    images = [
        ("ours", "prado", "1.jpg", "prado", "painting", "train", "0.900000"),
        ("linear-probe", "", "2.jpg", "prado", "photo", "test", "0.800000"),
        ("ours", "louvre", "3.jpg", "louvre", "photo", "test", "0.000000"),
        ("linear-probe", "prado", "1.jpg", "prado", "painting", "train", "0.700000"),
    ]
    write_table(COMPARED, COLUMNS, [dict(zip(COLUMNS, image, strict=True)) for image in images])
    found = publish.read_left_out()
    assert found.paths.tolist() == ["1.jpg", "3.jpg"]
    assert found.sources.tolist() == ["prado", "louvre"]
    assert found.labels.tolist() == ["painting", "photo"]
    assert found.probabilities.tolist() == [0.9, 0.0]
