"""Frames to bytes and back: JSON lines under gzip, and Parquet.

The same rows always give the same bytes (no clock in the gzip header, one fixed order), so an
unchanged hour keeps its ETag. Nothing here knows where bytes go.
"""

from __future__ import annotations

import io
import json
import zlib

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from zlib_ng import gzip_ng

from fin_lake.errors import FinLakeError
from fin_lake.schema import ColumnType, Table

_ISO = "%Y-%m-%dT%H:%M:%S%.fZ"  # ISO 8601 in UTC; microseconds only where there are any
_GZIP_LEVEL = 2  # 21 bytes a bar at five times the speed of zlib's level 6, which gives 18


class FormatError(FinLakeError):
    """Bytes that are not what their key says they are."""


def json_ready(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Return the frame with times as ISO 8601 text, once for all the hours that it holds."""
    times = [c.name for c in table.columns if c.type is ColumnType.TIMESTAMP and c.name in frame.columns]
    return frame.with_columns(pl.col(times).dt.strftime(_ISO))


def encode_json(ready: pl.DataFrame) -> bytes:
    """Return rows that :func:`json_ready` has prepared as gzipped JSON, one object a line."""
    lines = ready.write_ndjson() if ready.height else ""
    data: bytes = gzip_ng.compress(lines.encode(), _GZIP_LEVEL, mtime=0)  # type: ignore[no-untyped-call]
    return data


def encode_parquet(frame: pl.DataFrame, table: Table) -> bytes:
    """Return the rows as Parquet: zstd, dictionaries, statistics, in the order they come."""
    return parquet_bytes(frame.to_arrow().cast(table.arrow_schema()))


def parquet_bytes(arrow: pa.Table) -> bytes:
    """Return a table as we write Parquet."""
    sink = io.BytesIO()
    pq.write_table(arrow, sink, compression="zstd", compression_level=3, store_schema=False)
    return sink.getvalue()


def decode_parquet(data: bytes, table: Table, key: str) -> pl.DataFrame:
    """Return the rows of a Parquet object.

    Raises
    ------
    FormatError
        The bytes are not Parquet, or not of the table's schema.
    """
    try:
        # without pyarrow's thread pool: an hour is small, and pyarrow 26 can abort a process that
        # ends right after the pool was used
        arrow = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
        return pl.DataFrame(pl.from_arrow(arrow.cast(table.arrow_schema())))
    except (pa.ArrowException, ValueError) as error:
        raise FormatError(f"object {key} is not Parquet of {table.name}: {error}") from error


def decode_json_lines(data: bytes, table: Table) -> tuple[pl.DataFrame, list[tuple[str, str]]]:
    """Return the records of gzipped JSON lines, and the lines that are none.

    Anybody may put a file under ``raw/``, so nothing is assumed: a broken line costs that line
    alone, a broken gzip stream what follows the break. Unknown fields are ignored, missing ones
    are null.

    Returns
    -------
    records : polars.DataFrame
        In the table's schema.
    problems : list of (text, reason)
        The start of each bad line, and what is wrong with it.
    """
    text, problem = decompressed(data)
    problems = [problem] if problem else []
    schema = table.polars_schema()
    wire = pl.Schema({name: pl.String() if _is_time(kind) else kind for name, kind in schema.items()})
    if not text.strip():
        return pl.DataFrame(schema=schema), problems
    try:
        frame = pl.read_ndjson(io.BytesIO(text), schema=wire)
    except (pl.exceptions.PolarsError, ValueError):
        frame, bad = _decode_each_line(text, wire)
        problems += bad
    times = [name for name, kind in schema.items() if _is_time(kind)]
    return frame.with_columns(_parse_times(times)), problems


def _is_time(kind: pl.DataType | type[pl.DataType]) -> bool:
    return isinstance(kind, pl.Datetime)


def _parse_times(names: list[str]) -> pl.Expr:
    """Read ISO 8601 with or without a fraction; a time without a zone is UTC; nonsense is null."""
    text = pl.col(names).str.replace(r"(Z|\+00:?00)$", "").str.replace(" ", "T", literal=True)
    return text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False).dt.replace_time_zone(
        "UTC"
    )


def decompressed(data: bytes) -> tuple[bytes, tuple[str, str] | None]:
    """Return what a gzip holds, and what is wrong with it: the start of a bad line, and the reason."""
    if data[:2] != b"\x1f\x8b":
        return data, None  # a dropped file may be plain JSON whatever its name says
    stream = zlib.decompressobj(wbits=31)
    text = bytearray()
    try:
        while data:
            text += stream.decompress(data)
            if not stream.eof:
                break
            data, stream = stream.unused_data, zlib.decompressobj(wbits=31)
        else:
            return bytes(text), None
    except zlib.error as error:
        return _whole_lines(text), ("", f"broken gzip: {error}")
    return _whole_lines(text), ("", "truncated gzip: the object ends in the middle")


def _whole_lines(text: bytearray) -> bytes:
    return bytes(text[: text.rfind(b"\n") + 1])


def _decode_each_line(text: bytes, wire: pl.Schema) -> tuple[pl.DataFrame, list[tuple[str, str]]]:
    rows: list[dict[str, object]] = []
    problems: list[tuple[str, str]] = []
    for line in text.splitlines():
        if not line.strip():
            continue
        try:
            record = json.loads(line)  # unlike stricter parsers it reads NaN, which pandas writes
        except ValueError as error:
            problems.append((line[:200].decode(errors="replace"), f"not JSON: {error}"))
            continue
        if not isinstance(record, dict):
            problems.append((line[:200].decode(errors="replace"), "a JSON line that is no object"))
            continue
        rows.append({name: _fitting(record.get(name), kind) for name, kind in wire.items()})
    return pl.DataFrame(rows, schema=wire), problems


def _fitting(value: object, kind: pl.DataType) -> object:
    """Return the value if it is of the column's type, else null (text for text)."""
    if value is None:
        return None
    if isinstance(kind, pl.String):
        return value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if isinstance(kind, pl.Boolean):
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(kind, pl.Int64):
        return int(value) if float(value).is_integer() else None
    return float(value)
