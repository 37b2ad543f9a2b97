"""S3 Inventory: a bucket's daily or weekly list of its own objects, read in the place of a listing.

A listing of a hundred million objects is a hundred thousand requests; their inventory is a few files.
`Where they lie and what they hold
<https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html>`_: under
``PREFIX/BUCKET/CONFIG-ID/YYYY-MM-DDTHH-MMZ/manifest.json``, which names files of gzipped CSV without a
header (keys URL-encoded) or of Parquet. Versions and delete markers are in it where it was asked for
them.
"""

from __future__ import annotations

import datetime as dt
import io
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote_plus

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from fin_lake.errors import FinLakeError
from fin_lake.lake.storage_metrics import STANDARD, Counting, Progress, StorageMetrics
from fin_lake.lake.store import Lake
from fin_lake.partitions import UTC

_MANIFEST: Final = re.compile(r"(?:^|/)(\d{4}-\d\d-\d\dT\d\d-\d\dZ)/manifest\.json$")
_ADDRESS: Final = re.compile(r"s3://([^/]+)/?(.*)")
_ROWS_AT_ONCE: Final = 100_000
_COLUMNS: Final = ("key", "size", "last_modified_date", "storage_class", "is_latest", "is_delete_marker")
_NEEDED: Final = ("key", "size", "last_modified_date")
_IN_CSV: Final = {
    "Key": "key",
    "Size": "size",
    "LastModifiedDate": "last_modified_date",
    "StorageClass": "storage_class",
    "IsLatest": "is_latest",
    "IsDeleteMarker": "is_delete_marker",
}


class InventoryError(FinLakeError):
    """There is no inventory at an address, or it does not hold what is needed."""


class _File(msgspec.Struct):
    key: str


class _Manifest(msgspec.Struct, rename="camel"):
    source_bucket: str
    destination_bucket: str
    creation_timestamp: str
    file_format: str
    file_schema: str
    files: list[_File]


def inventory_metrics(
    lake: Lake, address: str, *, progress: Progress = lambda _objects: None
) -> StorageMetrics:
    """Count what lay in a bucket when its newest inventory was begun.

    Parameters
    ----------
    lake : Lake
        The bucket that is counted.
    address : str
        ``s3://bucket/prefix`` under which inventories of the bucket lie, or a ``manifest.json`` itself.
    progress : callable, optional
        Told of the objects that were counted.

    Raises
    ------
    InventoryError
        No manifest of this bucket lies there, or it lacks a column, or it is of another format.
    LakeError
        It cannot be read.
    """
    found = _ADDRESS.fullmatch(address)
    if not found:
        raise InventoryError(f"{address!r} is no place in S3", "write it like s3://bucket/prefix")
    store = lake.beside(found[1])
    key, manifest = _newest(store, found[2], lake.bucket)
    begun = dt.datetime.fromtimestamp(int(manifest.creation_timestamp) / 1000, UTC)
    counting = Counting(lake.bucket, begun, store.uri(key))
    files = lake.beside(manifest.destination_bucket.removeprefix("arn:aws:s3:::"))
    for file in manifest.files:
        for rows in _rows(files.get(file.key), manifest, store.uri(file.key)):
            _count(rows, counting)
            progress(rows.height)
    return counting.result()


def _newest(store: Lake, prefix: str, bucket: str) -> tuple[str, _Manifest]:
    """Return the newest manifest of a bucket, with its key; their folders' names sort by time."""
    keys = [info.key for info in store.list_objects([prefix.rstrip("/")]) if _MANIFEST.search(info.key)]
    if prefix.endswith("manifest.json"):
        keys = [prefix]  # obstore lists folders, and this is an object
    others: set[str] = set()
    for key in sorted(keys, key=_written, reverse=True):
        try:
            manifest = msgspec.json.decode(store.get(key), type=_Manifest)
        except msgspec.DecodeError as error:
            raise InventoryError(
                f"{store.uri(key)} is no manifest of an inventory: {error}", "name its folder"
            ) from None
        if manifest.source_bucket == bucket:
            return key, manifest
        others.add(manifest.source_bucket)
    held = f"; it holds those of {', '.join(sorted(others))}" if others else ""
    raise InventoryError(
        f"{store.uri(prefix)} holds no inventory of {bucket}{held}",
        "name the destination of its configuration; the first one comes within 48 hours",
    )


def _written(key: str) -> str:
    found = _MANIFEST.search(key)
    return found[1] if found else ""


def _rows(data: bytes, manifest: _Manifest, uri: str) -> Iterator[pl.DataFrame]:
    if manifest.file_format == "CSV":
        yield from _csv_rows(data, manifest.file_schema, uri)
    elif manifest.file_format == "Parquet":
        yield from _parquet_rows(data, uri)
    else:
        raise InventoryError(
            f"the inventory at {uri} is of the format {manifest.file_format}",
            "configure it to be Parquet, or CSV",
        )


def _csv_rows(data: bytes, schema: str, uri: str) -> Iterator[pl.DataFrame]:
    names = [_IN_CSV.get(name.strip(), name.strip()) for name in schema.split(",")]
    _require_columns(names, uri)
    text = zlib.decompress(data, wbits=47)  # gzip, with or without
    frame = pl.read_csv(text, has_header=False, new_columns=names, infer_schema=False)
    for part in frame.select(name for name in _COLUMNS if name in names).iter_slices(_ROWS_AT_ONCE):
        yield part.with_columns(
            pl.col("key").map_elements(unquote_plus, pl.String),
            pl.col("size").replace("", None).cast(pl.Int64),  # a delete marker has none
            pl.col("last_modified_date").str.to_datetime(time_zone="UTC"),
            *(pl.col(name) == "true" for name in ("is_latest", "is_delete_marker") if name in names),
        )


def _parquet_rows(data: bytes, uri: str) -> Iterator[pl.DataFrame]:
    try:
        file = pq.ParquetFile(io.BytesIO(data))
    except pa.ArrowException as error:
        raise InventoryError(f"{uri} is no Parquet: {error}", "wait for the next inventory") from None
    names = file.schema_arrow.names
    _require_columns(names, uri)
    chosen = [name for name in _COLUMNS if name in names]
    for batch in file.iter_batches(_ROWS_AT_ONCE, columns=chosen, use_threads=False):
        yield pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch])))


def _require_columns(names: list[str], uri: str) -> None:
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise InventoryError(
            f"the inventory at {uri} has no {', '.join(missing)}",
            "add Size, LastModifiedDate and StorageClass to the optional fields of its configuration",
        )


def _count(rows: pl.DataFrame, counting: Counting) -> None:
    def kept(row: Mapping[str, Any]) -> bool:
        if row.get("is_delete_marker"):
            return False
        if row.get("is_latest", True) is False:
            counting.add_noncurrent(row["size"] or 0)
            return False
        return True

    counting.add(
        (
            row["key"],
            row["size"] or 0,
            _aware(row["last_modified_date"]),
            row.get("storage_class") or STANDARD,
        )
        for row in rows.iter_rows(named=True)
        if kept(row)
    )


def _aware(moment: dt.datetime) -> dt.datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
