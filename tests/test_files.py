from pathlib import Path

import pytest

from pipeline.files import replacing, replacing_folder, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.txt"
    with replacing(target) as temporary:
        temporary.write_text("old")
        assert not target.exists()
    with pytest.raises(RuntimeError), replacing(target) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(target.parent.iterdir()) == [target]


def test_a_failed_folder_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder"
    with replacing_folder(target) as temporary:
        write_text(temporary / "file.txt", "old")
        assert not target.exists()
    with pytest.raises(RuntimeError), replacing_folder(target) as temporary:  # noqa: PT012
        write_text(temporary / "file.txt", "half")
        raise RuntimeError
    assert (target / "file.txt").read_text() == "old"
    assert list(target.parent.iterdir()) == [target]
    with replacing_folder(target) as temporary:
        write_text(temporary / "other.txt", "new")
    assert [path.name for path in target.iterdir()] == ["other.txt"]
    assert list(target.parent.iterdir()) == [target]


def test_json_is_indented_and_ends_its_line(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": [1.5, None]})
    assert (tmp_path / "a.json").read_bytes() == b'{\n  "a": [\n    1.5,\n    null\n  ]\n}\n'
