from pathlib import Path

import pytest
import yaml

from pipeline.console import UserError
from pipeline.stages import mixes


@pytest.fixture
def styles(workspace: Path) -> Path:
    """Three styles, of which a job goes over from one to another."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["styles"] = {name: {"source": f"{name}.png"} for name in ("muse", "scream", "wave")}
    job = {"clip": "street", "styles": {"scream": 1}, "styles_at_end": {"muse": 2}}
    params["stylize"]["jobs"] = {"over": job}
    params["distill"]["styles"] = ["wave"]
    Path("params.yaml").write_text(yaml.safe_dump(params))
    folder = workspace / "data/styles"
    folder.mkdir(parents=True)
    for name in params["styles"]:
        (folder / f"{name}.png").write_text(name)
    return folder


def test_a_job_gets_its_own_styles_and_no_others(styles: Path) -> None:
    mixes.main(["over"])
    found = {path.name: path.read_text() for path in Path("data/mixes/over").iterdir()}
    assert found == {"muse.png": "muse", "scream.png": "scream"}


def test_a_style_that_a_job_no_longer_has_goes(styles: Path) -> None:
    Path("data/mixes/over").mkdir(parents=True)
    Path("data/mixes/over/wave.png").write_text("wave")
    mixes.main(["over"])
    assert not Path("data/mixes/over/wave.png").exists()


def test_mistakes_are_named(styles: Path) -> None:
    with pytest.raises(UserError, match="no job 'other'"):
        mixes.main(["other"])
    (styles / "muse.png").unlink()
    with pytest.raises(UserError, match=r"muse\.png is missing; `dvc repro styles@muse` makes it"):
        mixes.main(["over"])
    assert not Path("data/mixes/over").exists()
