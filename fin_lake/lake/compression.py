"""How much smaller the formats make the rows: measured on a sample of each dataset's own objects.

Gzipped JSON is compared with the same JSON; Parquet with its own rows as JSON, one object a line, which
is what they would be without it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from fin_lake.lake.formats import FormatError, decompressed, parquet_bytes
from fin_lake.lake.store import Lake, MissingObjectError, each

_KINDS: Final = {".json.gz": "json.gz", ".parquet": "parquet"}
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Compression:
    """What a sample of a dataset's objects showed.

    Attributes
    ----------
    file_format : {'json.gz', 'parquet'}
    objects : int
        Objects in the sample, those without a row included.
    empty : int
        Those without a row: all of their bytes are format.
    rows : int
    stored, as_json : int
        Bytes as stored, and as JSON lines that are not compressed.
    together : int
        Bytes that the rows of all of these objects would take in one; of Parquet alone.
    """

    file_format: str
    objects: int
    empty: int
    rows: int
    stored: int
    as_json: int
    together: int = 0

    @property
    def compacted(self) -> float:
        """What is left of the bytes if the objects are made one, as a part of what they take now."""
        return self.together / self.stored if self.together else 1.0

    @property
    def saved(self) -> float | None:
        """The part of the JSON that is saved; below zero where the format makes it longer."""
        return 1 - self.stored / self.as_json if self.as_json else None

    def as_json_object(self) -> dict[str, Any]:
        """Return what ``json.dumps`` takes."""
        return {**asdict(self), "saved": self.saved}


@dataclass(frozen=True, slots=True)
class _One:
    file_format: str
    rows: int
    stored: int
    as_json: int
    table: pa.Table | None = None


def compression(lake: Lake, samples: Mapping[str, Iterable[str]]) -> dict[str, Compression]:
    """Return what a sample of each dataset shows; datasets of other formats are left out.

    Parameters
    ----------
    samples : mapping of str to iterable of str
        Keys by dataset, as in ``StorageMetrics.samples``. An object that has gone meanwhile is left out.

    Raises
    ------
    LakeError
        An object cannot be read.
    FormatError
        An object is not what its name says.
    """
    wanted = [
        (dataset, key, kind)
        for dataset, keys in samples.items()
        for key in keys
        for ending, kind in _KINDS.items()
        if key.endswith(ending)
    ]
    measured = each(wanted, lambda one: (one[0], _measure(lake, one[1], one[2])))
    by_dataset: dict[str, list[_One]] = {}
    for dataset, one in measured:
        if one is not None:
            by_dataset.setdefault(dataset, []).append(one)
    return {dataset: _sum(ones) for dataset, ones in by_dataset.items()}


def _measure(lake: Lake, key: str, kind: str) -> _One | None:
    try:
        data = lake.get(key)
    except MissingObjectError:
        return None
    if kind == "json.gz":
        text, problem = decompressed(data)
        if problem:
            raise FormatError(f"object {lake.uri(key)} is not gzipped JSON: {problem[1]}")
        return _One(kind, text.count(b"\n"), len(data), len(text))
    try:
        table = pq.ParquetFile(io.BytesIO(data)).read(use_threads=False)
        rows = pl.DataFrame(pl.from_arrow(table))
    except (pa.ArrowException, ValueError) as error:
        raise FormatError(f"object {lake.uri(key)} is not Parquet: {error}") from None
    times = [name for name, type_ in rows.schema.items() if isinstance(type_, pl.Datetime)]
    # as our JSON writes them: without that, times would count for more than they would be
    text_rows = rows.with_columns(pl.col(times).dt.strftime(_TIME))
    as_json = len(text_rows.write_ndjson().encode()) if rows.height else 0
    return _One(kind, rows.height, len(data), as_json, table)


def _sum(ones: list[_One]) -> Compression:
    return Compression(
        file_format=ones[0].file_format,
        objects=len(ones),
        empty=sum(not one.rows for one in ones),
        rows=sum(one.rows for one in ones),
        stored=sum(one.stored for one in ones),
        as_json=sum(one.as_json for one in ones),
        together=_together([one.table for one in ones if one.table is not None]),
    )


def _together(tables: list[pa.Table]) -> int:
    """Return the bytes that the rows of all would take in one object; in one for each set of columns."""
    alike: dict[str, list[pa.Table]] = {}
    for table in tables:
        alike.setdefault(str(table.schema.remove_metadata()), []).append(table)
    return sum(len(parquet_bytes(pa.concat_tables(ones))) for ones in alike.values())
