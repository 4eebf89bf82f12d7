"""A table of results in several files: of an audit by many machines each has written what it has judged.

``flows.parquet`` is always there; ``flows.00001.parquet`` and those behind it have further rows, in the order of their numbers.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.border import gate

if TYPE_CHECKING:
    import pyarrow as pa

PART = re.compile(r"([a-z]+)\.\d{5}\.parquet")


def name_of(table: str, number: int) -> str:
    """What a further file of a table is called; they are numbered from 1 on."""
    return f"{table}.{number:05}.parquet"


def is_part(name: str) -> bool:
    """Whether it is the name of a further file of a table."""
    found = PART.fullmatch(name)
    if found is None:
        return False
    from auditor.tables.schema import TABLES  # what loads Arrow, for the few folders that have such files

    return found[1] in TABLES


def there(folder: Path) -> list[str]:
    """The further files of all tables in a folder, in order."""
    return sorted(path.name for path in folder.glob("*.*.parquet") if is_part(path.name))


def files_of(folder: Path, table: str) -> list[Path]:
    """The files that a table consists of, in the order of its rows."""
    return [folder / f"{table}.parquet", *(folder / name for name in there(folder) if name.startswith(f"{table}."))]


@dataclass(eq=False, repr=False)
class Partitions:
    """The open files of one table, read as one."""

    files: Sequence[gate.Parquet]

    @property
    def schema(self) -> "pa.Schema":
        return self.files[0].schema

    @property
    def rows(self) -> int:
        return sum(one.rows for one in self.files)

    def read(self, columns: list[str] | None = None) -> "pa.Table":
        """Some columns, or all, checked down to the last value. Raises RefusedError."""
        import pyarrow as pa

        tables = [one.read(columns) for one in self.files]
        return tables[0] if len(tables) == 1 else pa.concat_tables(tables)

    def batches(self, columns: list[str]) -> "Iterator[pa.RecordBatch]":
        """Some columns, a part of the rows at a time. Raises RefusedError."""
        return (batch for one in self.files for batch in one.batches(columns))
