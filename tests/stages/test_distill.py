import json
import os
import signal
from pathlib import Path

import pytest
import torch

from pipeline import vgg
from pipeline.console import UserError
from pipeline.fast.files import load_fast
from pipeline.fast.training import History
from pipeline.images import open_image
from pipeline.stages.distill import (
    ACCEPTED,
    CLASSIFIER,
    CURVE,
    FOLDER,
    METRICS,
    MODEL,
    SHEET,
    STYLES,
    WEIGHTS,
    main,
)
from pipeline.tables import read_table
from pipeline.vgg import save_tensors
from tests.networks import SMALL, set_params, write_images, write_random_weights
from tests.pictures import scene

SETTINGS = {
    "start": None,
    "fine_channels": 4,
    "coarse_channels": 6,
    "blocks": 1,
    "side_px": 32,
    "style_side_px": 40,
    "steps": 4,
}


def give_styles(*names: str) -> None:
    """Styles in ``params.yaml`` and their pictures."""
    set_params({f"styles.{name}": {"source": f"{name}.png"} for name in names})
    STYLES.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        scene(60, 50, seed=seed).save(STYLES / f"{name}.png")


@pytest.fixture
def trainable(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(vgg, "CHANNELS", SMALL)
    give_styles("expressionist", "wave", "scream")
    values = SETTINGS | {"checkpoint_steps": 2, "styles": ["wave", "scream"]}
    set_params({f"distill.{name}": value for name, value in values.items()})
    network = write_random_weights(WEIGHTS)
    save_tensors(CLASSIFIER, network.trainable(), {})
    write_images(ACCEPTED, {"train": 3, "validation": 2})
    return workspace


def test_network_that_paints_in_the_styles_is_written(trainable: Path) -> None:
    main([])
    network = load_fast(MODEL)
    assert network.names == ("wave", "scream")
    painted = network(torch.rand(1, 3, 36, 64), torch.tensor([[0.5, 0.5]]))
    assert painted.shape == (1, 3, 36, 64)
    metrics = json.loads(METRICS.read_text())
    curve = read_table(CURVE)
    assert [row["step"] for row in curve] == ["2", "4"]
    assert metrics["loss"] == pytest.approx(float(curve[-1]["loss"]), abs=1e-6)
    assert metrics["styles"] == 2
    assert metrics["steps"] == 4
    assert metrics["bytes"] == MODEL.stat().st_size
    assert metrics["multiply_adds_per_pixel"] == round(network.multiply_adds())
    assert open_image(SHEET).width > 2 * 32
    assert sorted(path.name for path in FOLDER.iterdir()) == ["curve.csv", "step-000002.png", "step-000004.png"]


def test_run_that_was_killed_goes_on_and_agrees(trainable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main([])
    undisturbed = load_fast(MODEL).state_dict()
    MODEL.unlink()

    def terminate(self: History, *_: object) -> None:
        if self.rows:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(History, "on_train_batch_end", terminate)
        with pytest.raises(SystemExit) as ended:
            main([])
    assert ended.value.code == 143
    assert (FOLDER / "last.ckpt").exists()
    assert not MODEL.exists()

    started: list[int] = []
    monkeypatch.setattr(History, "on_train_epoch_start", lambda self, trainer, _: started.append(trainer.current_epoch))
    main([])
    assert started == [1]
    resumed = load_fast(MODEL).state_dict()
    for name, values in undisturbed.items():
        torch.testing.assert_close(resumed[name], values, rtol=1e-3, atol=1e-4)


def test_a_style_is_added_and_the_others_stay_as_they_were(trainable: Path) -> None:
    main([])
    before = load_fast(MODEL)
    start = MODEL.rename("trained.safetensors")
    set_params({"distill.start": str(start), "distill.styles": ["scream", "expressionist"]})
    main([])
    after = load_fast(MODEL)
    assert after.names == ("wave", "scream", "expressionist")
    image = torch.rand(1, 3, 40, 40)
    for style in range(2):
        weights = torch.eye(3)[style : style + 1]
        assert torch.equal(after(image, weights), before(image, weights[:, :2]))
    mean = torch.tensor([[0.5, 0.5, 0.0]])
    assert not torch.allclose(after(image, torch.eye(3)[2:]), after(image, mean), atol=1e-4)

    set_params({"distill.start": str(MODEL)})
    with pytest.raises(UserError, match=r"fast\.safetensors has all of distill\.styles and more; name a further one"):
        main([])


def test_a_network_that_lacks_no_style_is_trained_further(trainable: Path) -> None:
    main([])
    before = MODEL.read_bytes()
    set_params({"distill.start": str(MODEL.rename("trained.safetensors")), "distill.learning_rate": 1e-12})
    main([])
    unchanged, trained = load_fast(MODEL), load_fast(Path("trained.safetensors"))
    assert unchanged.names == trained.names
    image, weights = torch.rand(1, 3, 40, 40), torch.tensor([[1.0, 0.0]])
    torch.testing.assert_close(unchanged(image, weights), trained(image, weights), rtol=0, atol=0.005)

    set_params({"distill.learning_rate": 0.003})
    main([])
    further = load_fast(MODEL).state_dict()
    assert all(not torch.equal(further[name], values) for name, values in trained.state_dict().items())
    assert Path("trained.safetensors").read_bytes() == before


@pytest.mark.parametrize("split", ["train", "validation"])
def test_split_without_photographs_is_one_sentence(trainable: Path, split: str) -> None:
    write_images(ACCEPTED, {name: 1 for name in ("train", "validation", "test") if name != split})
    with pytest.raises(UserError, match=rf"accepted\.csv names no photographs of the {split} split"):
        main([])


def test_missing_style_and_start_are_one_sentence(trainable: Path) -> None:
    (STYLES / "wave.png").unlink()
    with pytest.raises(UserError, match=r"wave\.png cannot be read"):
        main([])
    set_params({"distill.start": "none.safetensors"})
    with pytest.raises(UserError, match=r"none\.safetensors cannot be read"):
        main([])
