import re
from pathlib import Path

import pytest
import yaml

from pipeline.console import UserError
from pipeline.params import default_params, load_params, names_contact
from tests.conftest import ROOT


def edit(workspace: Path, section: str, key: str, value: object) -> None:
    path = workspace / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params[section][key] = value
    path.write_text(yaml.safe_dump(params))


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("finetune", "learning_rate", -1, "finetune.learning_rate: Input should be greater than 0"),
        ("finetune", "learning_rate", float("nan"), "finetune.learning_rate"),
        ("finetune", "learnin_rate", 1, "finetune.learnin_rate"),
        ("crawl", "snapshot", "yesterday", "crawl.snapshot"),
        ("crawl", "min_per_class", 10**6, "crawl: min_per_class is larger than per_class"),
        ("crawl", "exclude", ["clevland/10000"], "crawl.exclude.0: String should match pattern '^(sample|cleveland|"),
        ("crawl", "sources", ["met"], "user_agent names nobody to turn to"),
        ("prepare", "min_side_px", 31, "prepare.min_side_px: Input should be greater than or equal to 32"),
        ("prepare", "short_side_px", 31, "prepare.short_side_px: Input should be greater than or equal to 32"),
        ("imitations", "transferred", 1.5, "imitations.transferred: Input should be less than or equal to 1"),
        ("imitations", "transferred", -0.1, "imitations.transferred: Input should be greater than or equal to 0"),
        ("imitations", "styles", "", "imitations.styles: String should have at least 1 character"),
        ("features", "crop_px", 100, "features.crop_px"),
        ("stylize", "content_layers", ["relu9_9"], "stylize.content_layers.0"),
        (
            "stylize",
            "jobs",
            {"a": {"clip": "none", "styles": {"expressionist": 1}}},
            "stylize.jobs.a names the clip 'none'",
        ),
        ("stylize", "jobs", {"../a": {"clip": "street", "styles": {"expressionist": 1}}}, "stylize.jobs"),
        ("stylize", "jobs", {"a": {"clip": "street", "styles": {"none": 1}}}, "stylize.jobs.a names the style 'none'"),
        ("stylize", "jobs", {"a": {"clip": "street", "styles": {}}}, "stylize.jobs.a.styles"),
        ("stylize", "temporal_intervals", [2, 10], "temporal_intervals should begin with 1 and grow"),
        ("stylize", "temporal_intervals", [1, 1], "temporal_intervals should begin with 1 and grow"),
        ("distill", "styles", ["none"], "distill.styles names the style 'none', which is not under styles"),
        ("distill", "styles", [], "distill.styles"),
        ("distill", "styles", ["expressionist", "expressionist"], "distill: styles names one twice"),
        ("distill", "steps", 50, "distill: steps should be a multiple of checkpoint_steps"),
        ("distill", "fine_channels", 15, "distill.fine_channels: Input should be a multiple of 2"),
        ("distill", "coarse_channels", 10_000, "distill.coarse_channels: Input should be less than or equal to 512"),
        ("distill", "side_px", 36, "distill.side_px: Input should be a multiple of 8"),
        ("clips", "street", {"source": "a.mp4", "frames": "1-2", "width_px": 100}, "clips.street.frames"),
    ],
)
def test_a_mistake_is_named(workspace: Path, section: str, key: str, value: object, message: str) -> None:
    edit(workspace, section, key, value)
    with pytest.raises(UserError) as error:
        load_params()
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("user_agent", "named"),
    [
        ("crawler/1 (me@museum-lovers.net)", True),
        ("crawler/1 (+https://museum-lovers.net/crawler)", True),
        ("crawler/1 (https://user@museum-lovers.net)", True),
        ("crawler/1 (you@example.org; ME@Museum-Lovers.NET.)", True),
        ("crawler/1 (me@my-example.org)", True),
        ("crawler/1", False),
        ("crawler/1 (museum-lovers.net)", False),
        ("crawler/1 (you@example.org)", False),
        ("crawler/1 (me@EXAMPLE.org)", False),
        ("crawler/1 (+HTTPS://www.Example.com/contact)", False),
        ("crawler/1 (https://foo.example.org)", False),
        ("crawler/1 (me@mail.foo.example.net.)", False),
        ("crawler/1 (you@your-domain.org)", False),
        ("crawler/1 (https://museum.test)", False),
        ("crawler/1 (http://127.0.0.1:8000)", False),
        ("crawler/1 (http://[::1]/)", False),
        ("crawler/1 (http://localhost/)", False),
        ("crawler/1 (root@localhost)", False),
        ("crawler/1 (me@box.localhost)", False),
    ],
)
def test_contact_is_one_where_somebody_can_be_found(user_agent: str, named: bool) -> None:
    assert names_contact(user_agent) == named


def test_no_crawl_of_live_museums_with_the_contact_of_the_documents(workspace: Path) -> None:
    user_agent = re.search(r"^  user_agent: (.*)$", (ROOT / "docs/crawling.md").read_text(), re.MULTILINE)
    assert user_agent
    edit(workspace, "crawl", "user_agent", user_agent[1])
    assert load_params().crawl.sources == ("sample",)
    edit(workspace, "crawl", "sources", ["sample", "met"])
    with pytest.raises(UserError, match="user_agent names nobody to turn to"):
        load_params()


def test_what_is_not_yaml_is_named(workspace: Path) -> None:
    (workspace / "params.yaml").write_text("crawl: [")
    with pytest.raises(UserError, match=r"params\.yaml is not YAML"):
        load_params()


def test_elsewhere_the_settings_are_those_of_the_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="run this in the root of the project"):
        load_params()
    assert default_params().stylize.style_layers
