import errno
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.checkpoints import load_checkpoint
from pipeline.console import UserError
from pipeline.fast.judge import Judge
from pipeline.fast.network import FastNetwork, constrain, relax
from pipeline.fast.pairs import Pair, Pairs
from pipeline.fast.training import (
    STYLE_RATE,
    Distiller,
    History,
    Run,
    distill,
    fingerprint,
    write_sheet,
)
from pipeline.images import open_image
from pipeline.tables import read_table
from pipeline.vgg import VGG16
from tests.disks import limited_files
from tests.fast.conftest import SETTINGS
from tests.fast.test_network import TINY, tiny_network
from tests.fast.test_pairs import pair, write_photographs
from tests.pictures import picture


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(folder=tmp_path / "distill", samples=torch.stack([picture(3), picture(4)]), fingerprint="a")


@pytest.fixture
def pairs(tmp_path: Path) -> Pairs:
    (tmp_path / "photographs").mkdir()
    return Pairs(write_photographs(tmp_path / "photographs"), 2, SETTINGS.side_px, SETTINGS.seed)


def new_network(names: tuple[str, ...] = SETTINGS.styles) -> FastNetwork:
    torch.manual_seed(0)
    return constrain(FastNetwork(TINY, names))


def batch(*made: Pair) -> Pair:
    return Pair(*(torch.stack(parts) for parts in zip(*made, strict=True)))


def state(network: FastNetwork) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.allclose(one[n], other[n], rtol=1e-5, atol=1e-7) for n in one)


class Through(FastNetwork):
    """Paints nothing."""

    def forward(self, images: Tensor, weights: Tensor) -> Tensor:
        return images


def test_temporal_error_is_nothing_for_what_follows_the_motion(judge: Judge) -> None:
    module = Distiller(Through(TINY, SETTINGS.styles), judge, SETTINGS)
    made = batch(*(pair(seed, seed % 2) for seed in range(4)))
    still = torch.zeros_like(made.flow)
    everywhere = torch.ones_like(made.visible)

    lit = made._replace(moved=made.frame + 0.1, flow=still, visible=everywhere)
    assert float(module.terms(lit)["temporal"]) == pytest.approx((0.1 * 255) ** 2, rel=1e-4)
    half = lit._replace(visible=everywhere * (torch.arange(everywhere.shape[3]) % 2))
    assert float(module.terms(half)["temporal"]) == pytest.approx((0.1 * 255) ** 2 / 2, rel=1e-4)

    ramp = torch.linspace(0, 1, 48).expand(4, 3, 48, 48)
    step = torch.tensor([1.0, 0.0]).expand_as(made.flow)
    shifted = Pair(ramp, ramp + 1 / 47, step, everywhere, made.style)
    shifted.visible[..., -1] = 0
    assert float(module.terms(shifted)["temporal"]) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(("step", "share"), [(0, 0.0), (3, 0.5), (6, 1.0), (15, 1.0)])
def test_loss_is_the_weighted_sum(judge: Judge, step: int, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The temporal term comes in over the first 30% of the steps."""
    monkeypatch.setattr(Distiller, "global_step", step)
    module = Distiller(new_network(), judge, replace(SETTINGS, steps=20))
    logged: dict[str, Tensor] = {}
    monkeypatch.setattr(module, "log_dict", lambda values, **_: logged.update(values))
    made = batch(pair(0), pair(1, 1))
    loss = module.training_step(made)
    terms = {name: float(value.detach()) for name, value in module.terms(made).items()}
    expected = 0.5 * terms["content"] + terms["style"] + share * 0.002 * terms["temporal"] + 0.00001 * terms["tv"]
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    assert {name: float(value) for name, value in logged.items()} == pytest.approx({"loss": expected, **terms})


def test_weights_of_the_judge_are_neither_trained_nor_kept(judge: Judge, network: VGG16) -> None:
    module = Distiller(new_network(), judge, SETTINGS)
    assert {name.split(".")[0] for name in module.state_dict()} == {"network"}
    loss = torch.stack(list(module.terms(batch(pair(0))).values())).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(parameter.grad is not None for parameter in module.network.parameters())


def test_styles_learn_faster_and_rates_fall(judge: Judge) -> None:
    module = Distiller(new_network(), judge, replace(SETTINGS, steps=20, checkpoint_steps=20))
    configured: Any = module.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    styles, shared = optimizer.param_groups
    assert {id(each) for each in styles["params"]} == {id(each) for each in module.network.styles.parameters()}
    assert len(styles["params"]) + len(shared["params"]) == len(list(module.network.parameters()))
    rates = []
    for _ in range(20):
        rates.append(shared["lr"])
        assert styles["lr"] == pytest.approx(STYLE_RATE * shared["lr"])
        optimizer.step()
        schedule.step()
    assert max(rates) == pytest.approx(SETTINGS.learning_rate, rel=0.05)
    assert rates[0] < max(rates) / 10
    assert rates[-1] < max(rates) / 50


def test_undisturbed_killed_and_resumed_runs_agree(
    judge: Judge, pairs: Pairs, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = new_network()
    before = state(network)
    curve = distill(network, judge, pairs, run, SETTINGS)
    undisturbed = state(network)
    assert not same(undisturbed, before)
    assert [row["step"] for row in curve] == [2, 4, 6]
    assert [float(row["loss"]) for row in read_table(run.folder / "curve.csv")] == [row["loss"] for row in curve]
    assert sorted(path.name for path in run.folder.glob("*.png")) == [f"step-00000{n}.png" for n in (2, 4, 6)]
    load_checkpoint(run.last)

    again = new_network()
    distill(again, judge, pairs, replace(run, fingerprint="b"), SETTINGS)
    assert same(state(again), undisturbed)

    shutil.rmtree(run.folder)

    def die(self: History, *_: object) -> None:
        if self.rows:
            raise KeyboardInterrupt

    killed = new_network()
    with monkeypatch.context() as patch:
        patch.setattr(History, "on_train_batch_end", die)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            distill(killed, judge, pairs, run, SETTINGS)
    assert not same(state(killed), undisturbed)

    steps: list[int] = []
    terms = Distiller.terms

    def note(self: Distiller, made: Pair) -> dict[str, Tensor]:
        steps.append(self.global_step)
        return terms(self, made)

    monkeypatch.setattr(Distiller, "terms", note)
    resumed = new_network()
    resumed_curve = distill(resumed, judge, pairs, run, SETTINGS)
    assert steps == [2, 3, 4, 5]
    assert same(state(resumed), undisturbed)
    assert [row["loss"] for row in resumed_curve] == pytest.approx([row["loss"] for row in curve], rel=1e-4)


def test_learning_lowers_the_loss(judge: Judge, pairs: Pairs, run: Run) -> None:
    """A network starts from the image itself, which has no fault but its style."""
    longer = replace(
        SETTINGS, content_weight=0.0, temporal_weight=0.0, learning_rate=0.01, steps=90, checkpoint_steps=30
    )
    curve = distill(new_network(), judge, pairs, run, longer)
    assert curve[-1]["loss"] < 0.9 * curve[0]["loss"]


def test_only_the_new_style_learns(judge: Judge, network: VGG16, pairs: Pairs, run: Run) -> None:
    trained = relax(tiny_network())
    before = state(trained)
    trained.add_style("c")
    one = Judge(network, [picture(9, 64)], SETTINGS, torch.device("cpu"))
    start = state(trained)
    distill(trained, one, Pairs(pairs._photographs, 1, 32, seed=1), run, SETTINGS)
    after = state(trained)
    assert {name for name in after if not torch.equal(after[name], start[name])} == {"styles.2"}
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_loss_that_is_not_a_number_is_one_sentence(judge: Judge, pairs: Pairs, run: Run) -> None:
    network = new_network()
    with torch.no_grad():
        network.styles[0].fill_(math.nan)
    with pytest.raises(UserError, match=r"the loss before step 2 is not a number; lower distill\.learning_rate"):
        distill(network, judge, pairs, run, SETTINGS)
    assert not run.last.exists()


def test_full_disk_ends_with_what_can_be_gone_on_from(judge: Judge, pairs: Pairs, run: Run) -> None:
    with limited_files(1000), pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        distill(new_network(), judge, pairs, run, SETTINGS)
    assert not run.last.exists()


def test_sheet_has_the_photographs_above_each_style(tmp_path: Path) -> None:
    samples = torch.stack([picture(1), picture(2), picture(3)])
    write_sheet(tmp_path / "sheet.png", tiny_network(), samples)
    sheet = open_image(tmp_path / "sheet.png")
    assert sheet.width > 3 * 48
    assert sheet.height > 3 * 48


def test_fingerprint_changes_with_settings_files_and_their_names(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("a")
    other.write_text("a")
    found = [fingerprint(SETTINGS, [one]), fingerprint(SETTINGS, [other])]
    found.append(fingerprint(replace(SETTINGS, seed=2), [one]))
    assert fingerprint(SETTINGS, [one]) == found[0]
    one.write_text("b")
    assert len({*found, fingerprint(SETTINGS, [one])}) == 4
