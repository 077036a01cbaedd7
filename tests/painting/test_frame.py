import copy
import dataclasses

import pytest
import torch

from pipeline.console import UserError
from pipeline.painting.colour import luminance
from pipeline.painting.frame import Painter
from pipeline.painting.losses import Neighbour
from pipeline.params import Stylize
from pipeline.vgg import VGG16
from tests.pictures import picture

CPU = torch.device("cpu")


def painter(network: VGG16, settings: Stylize) -> Painter:
    return Painter(network, [picture(1, 64)], settings, first=picture(0), device=CPU)


def test_painting_lowers_the_loss(network: VGG16, settings: Stylize) -> None:
    content = picture(0)
    paint = painter(network, settings)
    targets = paint.content_taps(content)
    before = paint.losses(content, targets)
    painted = paint.paint(content, start=content, iterations=8)
    after = paint.losses(painted.image, targets)
    assert float(after.total(settings)) < 0.7 * float(before.total(settings))
    assert painted.iterations == 8
    assert painted.image.shape == content.shape


def test_another_block_5_gives_another_picture(network: VGG16, settings: Stylize) -> None:
    other = copy.deepcopy(network)
    other.conv5_1.weight.data.mul_(-1)  # type: ignore[union-attr, operator]
    content = picture(0)
    first, again, changed = (
        painter(each, settings).paint(content, start=content, iterations=8).image for each in (network, network, other)
    )
    assert torch.equal(first, again)
    assert (first - changed).abs().mean() > 1e-3


def test_the_neighbour_holds_where_it_can_be_relied_on(network: VGG16, settings: Stylize) -> None:
    content, neighbour = picture(0), picture(2)
    reliability = torch.zeros(48, 48)
    reliability[:, :24] = 1
    strict = dataclasses.replace(settings, temporal_weight=1e6)
    image = (
        painter(network, strict)
        .paint(content, start=content, neighbours=[Neighbour(neighbour[None], reliability)], iterations=40)
        .image
    )
    difference = (image - neighbour).abs().mean(dim=0)
    assert difference[:, :20].mean() < 0.02
    assert difference[:, 28:].mean() > 0.1


def test_the_style_is_resized_to_the_area_of_the_content(network: VGG16, settings: Stylize) -> None:
    tile = picture(1, 48)
    small, large = (
        Painter(network, [style], settings, first=picture(0), device=CPU).grams[0]["relu1_1"]
        for style in (tile, torch.nn.functional.interpolate(tile[None], scale_factor=3, mode="bilinear")[0])
    )
    torch.testing.assert_close(small, large, rtol=0.1, atol=float(small.abs().max()) * 0.1)


def test_weights_too_large_are_named(network: VGG16, settings: Stylize) -> None:
    wild = dataclasses.replace(settings, style_weight=1e300)
    with pytest.raises(UserError, match="lower the weights under stylize"):
        painter(network, wild).paint(picture(0), start=picture(0), iterations=3)


def test_a_tiny_picture_is_refused(network: VGG16, settings: Stylize) -> None:
    with pytest.raises(UserError, match="each side needs 32"):
        Painter(network, [picture(1)], settings, first=torch.zeros(3, 20, 64), device=CPU)


def test_a_mixture_lies_between_its_styles(network: VGG16, settings: Stylize) -> None:
    styles = [picture(1, 64), picture(3, 64)]
    mixed = Painter(network, styles, settings, first=picture(0), device=CPU)
    content = picture(0)
    first, alone, last, both = (
        paint.paint(content, start=content, weights=weights, iterations=6).image
        for paint, weights in (
            (mixed, [2.0, 0.0]),
            (painter(network, settings), [1.0]),
            (mixed, [0.0, 1.0]),
            (mixed, [1.0, 1.0]),
        )
    )
    torch.testing.assert_close(first, alone, atol=1e-4, rtol=0)
    between = max((both - first).abs().mean(), (both - last).abs().mean())
    assert 0 < between < (first - last).abs().mean()


def test_without_strength_the_picture_stays_as_it_is(network: VGG16, settings: Stylize) -> None:
    weak = dataclasses.replace(settings, strength=0, tv_weight=0)
    content = picture(0)
    image = painter(network, weak).paint(content, start=content, iterations=5).image
    assert (image - content).abs().max() < 0.01


def test_the_colours_of_the_content_are_kept(network: VGG16, settings: Stylize) -> None:
    paint = painter(network, dataclasses.replace(settings, colours="content"))
    content = 0.3 + 0.4 * picture(0)
    painted = paint.paint(content, start=content, iterations=5).image
    seen = paint.finish(painted, content)
    assert (seen - content).abs().mean() > 0.005
    inside = ((seen > 0) & (seen < 1)).all(dim=0)
    difference = seen - content
    torch.testing.assert_close(
        difference[:, inside], luminance(difference)[:, inside], atol=1e-5, rtol=0, msg="the chroma changed"
    )


def test_coarse_scales_come_first(network: VGG16, settings: Stylize) -> None:
    """With as many steps at full size, what began at half the size is nearer to its targets."""
    content = picture(0, 128)
    paint = Painter(network, [picture(1, 128)], dataclasses.replace(settings, scales=2), first=content, device=CPU)
    assert paint.coarser is not None
    assert paint.coarser.size == (64, 64)
    assert paint.coarser.coarser is None
    start = paint.start_coarse(content, content, [1.0], 10)
    targets = paint.content_taps(content)
    ours, single = (
        float(paint.losses(paint.paint(content, start=each, iterations=3).image, targets).total(settings))
        for each in (start, content)
    )
    assert ours < single
