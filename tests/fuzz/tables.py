"""Tables that stages hand on to each other."""

from pathlib import Path

from pipeline.predictions import read_finetuned
from pipeline.tables import read_table, write_table

ACCEPTED = [
    {"path": f"{source}/{split}-{label}.jpg", "source": source, "label": label, "split": split}
    for source in "ab"
    for split in ("validation", "test")
    for label in ("painting", "photo")
]


def originals(folder: Path) -> list[bytes]:
    rows = [{"path": row["path"], "split": row["split"], "probability": "0.5"} for row in ACCEPTED]
    write_table(folder / "predictions.csv", rows[0], rows)
    return [(folder / "predictions.csv").read_bytes()]


def read(path: Path) -> None:
    for row in read_table(path):
        assert all(isinstance(row[column], str) for column in ("path", "split", "probability"))
    read_finetuned(path, ACCEPTED)
