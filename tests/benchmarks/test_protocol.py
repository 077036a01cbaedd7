import pytest
import torch

from benchmarks.protocol import HISTORY, descend, follow_protocol, frame_loss, paint, with_budget
from pipeline.painting.clip import Step
from pipeline.painting.frame import Painter
from tests.painting.test_clip import pan, still


def test_a_quadratic_is_solved() -> None:
    target = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    image, loss, steps = descend(lambda x: (x - target).square().sum(), torch.zeros_like(target), HISTORY)
    torch.testing.assert_close(image, target, atol=1e-5, rtol=0)
    assert loss < 1e-8
    assert steps <= HISTORY


def test_it_stops_as_the_paper_does() -> None:
    target = torch.rand(1, 3, 8, 8)
    _, _, steps = descend(lambda x: (x - target).square().mean() + 1, torch.zeros_like(target), 2000)
    assert 50 < steps < 100


def test_both_sides_are_judged_by_the_loss_that_they_minimise(painter: Painter) -> None:
    """The temporal one included: a second frame, near the first."""
    first = Step(0, still(0), 0, {})
    second = Step(1, still(1), 0, {0: pan(0.5)(1, still(1), 0, still(0))})
    content = torch.from_numpy(still(0)).permute(2, 0, 1) / 255
    paper = follow_protocol(painter, first, {})
    assert paper.loss < 0.1 * float(frame_loss(painter, first, [])(content[None]))
    ours = {0: paint(painter, painter, first, {})}
    expected = float(painter.losses(ours[0].image, painter.content_taps(content)).total(painter.settings))
    assert ours[0].loss == pytest.approx(expected, rel=1e-4)
    few, many = (paint(with_budget(painter, budget), painter, second, ours) for budget in (2, 40))
    assert (few.steps, many.steps) == (2, 40)
    assert many.loss < few.loss
