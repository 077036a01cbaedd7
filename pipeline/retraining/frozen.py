"""The frozen test images: those of the first model's test split, on which every later model is compared with its elder.

``data/frozen.csv`` lists them, under git; ``data/frozen/`` has them, under DVC. `prepare` puts whatever is like one of
them into the test split (see :class:`pipeline.splits.Frozen`), so that no model learns from them, whatever is crawled
later; and a museum that takes one down does not change the test.
"""

import os
import shutil
from collections.abc import Collection
from pathlib import Path

from pipeline.console import UserError
from pipeline.files import replacing_folder
from pipeline.manifest import load_manifest
from pipeline.splits import Frozen
from pipeline.tables import read_table, write_table

TABLE = Path("data/frozen.csv")
FOLDER = Path("data/frozen")
TRACKED = FOLDER.with_suffix(".dvc")
COLUMNS = ("path", "source", "label", "id", "group", "phash")
ACCEPTED = Path("data/prepare/accepted.csv")
MANIFEST = Path("data/index/manifest.jsonl")


def freeze() -> bool:
    """Copy the images of the test split, if none are frozen yet; whether that was so."""
    if read_table(TABLE):
        return False
    groups = {work.key: f"{work.source}/{work.group}" for work in load_manifest(MANIFEST)}
    rows = []
    with replacing_folder(FOLDER) as new:
        for image in read_table(ACCEPTED):
            if image["split"] != "test":
                continue
            source, label, name = image["source"], image["label"], image["id"]
            copied = Path(source, label, f"{name}{Path(image['path']).suffix}")
            (new / copied).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(image["path"], new / copied)
            group = groups[source, label, name]
            rows.append({**image, "path": str(FOLDER / copied), "group": group})
        os.sync()  # the table is the word that they are there
    write_table(TABLE, COLUMNS, ({name: row[name] for name in COLUMNS} for row in rows))
    return True


def missing() -> bool:
    """Whether the table lists an image that is not there, as in a new clone."""
    return not all(Path(row["path"]).is_file() for row in read_table(TABLE))


def remove(excluded: Collection[str]) -> None:
    """Remove the images of ``excluded``, as source/id: their authors want them removed."""
    rows = read_table(TABLE)
    unwanted = [row for row in rows if f"{row['source']}/{row['id']}" in excluded]
    for row in unwanted:
        Path(row["path"]).unlink(missing_ok=True)
    if unwanted:
        write_table(TABLE, COLUMNS, [row for row in rows if row not in unwanted])


def check_unseen(max_bits: int) -> None:
    """Raise :class:`UserError` if a model was trained on, or chosen by, an image that is like a frozen one."""
    frozen = Frozen.of(read_table(TABLE))
    for image in read_table(ACCEPTED):
        if image["split"] != "test" and frozen.holds(image["group"], image["phash"], max_bits):
            raise UserError(
                f"{image['path']} was trained on, though {TABLE} has one like it; run `dvc repro -sf prepare` and "
                "`dvc repro`"
            )
