"""A file that another program or another version made: it is named, and never served."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from flanpy.storeserver.database import Damaged, Database

COLUMNS = ("format", "cluster_id", "member_id", "generation", "revision", "compacted", "seal")


@pytest.mark.parametrize(
    "change",
    [
        *(f"ALTER TABLE state DROP COLUMN {column}" for column in COLUMNS),
        "DROP TABLE state",
        "DELETE FROM state",
        "UPDATE state SET format = format + 1",
        "UPDATE state SET generation = generation + 1",
    ],
)
def test_file_whose_state_is_not_ours_is_named_and_kept(tmp_path: Path, change: str) -> None:
    path = tmp_path / "store.db"
    Database(path, write=True).close()
    with closing(sqlite3.connect(path)) as other, other:
        other.execute(change)
    with closing(Database(path, write=True)) as found, pytest.raises(Damaged, match=r"store\.db' is damaged"):
        found.state()
    assert path.exists()
