"""The uploader: other programs' data into the lake, from lists, pandas, polars or Arrow.

What is uploaded as stock or crypto data becomes an attempt of the raw layer, as if a source had sent
it: the sensors record it, and what stands on it is made. Anything else is put where it is asked for.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

import polars as pl
import pyarrow.parquet as pq

from fin_lake.errors import FinLakeError
from fin_lake.lake.formats import encode_json
from fin_lake.lake.raw import RawAttempt, write_attempt
from fin_lake.lake.storage_metrics import storage_metrics
from fin_lake.lake.store import Lake, LakeError, LakeUnavailableError, MissingObjectError
from fin_lake.partitions import UTC, floor_hour
from fin_lake.schema import AssetClass
from fin_lake.settings import Settings, load_settings
from fin_lake.tables import RAW, RAW_SCHEMA_VERSION

Data: TypeAlias = Any
"""Rows: a list of dicts, one dict, or a frame of pandas, polars (lazy ones too) or Arrow."""

PART_BYTES: Final = 8 * 1024 * 1024
_MOST_PARTS: Final = 10_000  # of one object, S3's rule
_ATTEMPTS: Final = 3
_KEPT_TO_ITSELF: Final = "raw/"
_NO_KEY: Final = re.compile(r"^/|//|^s3:|(^|/)\.\.?(/|$)|[\x00-\x1f\x7f\\]")
_LONGEST_KEY: Final = 1024
_TIMES: Final = ("timestamp", "datetime", "date", "time")
_ALSO_CALLED: Final = {
    "open": "open_price",
    "high": "high_price",
    "low": "low_price",
    "close": "close_price",
    "price": "close_price",
    "ticker": "symbol",
}
_NUMBERS: Final = ("open_price", "high_price", "low_price", "close_price", "volume", "volume_24h")


class UploadError(FinLakeError):
    """What was given cannot be uploaded, or did not arrive whole."""


class S3Uploader:
    """Uploads to the lake's bucket, with the encryption and the storage class that are set.

    Parameters
    ----------
    settings : Settings
        Bucket, credentials, region, encryption, storage class, acceleration.
    part_bytes : int
        Objects beyond this length are sent in parts of it.
    concurrency : int
        How many parts are under way at a time; memory is about ``part_bytes`` times this.
    """

    def __init__(self, settings: Settings, *, part_bytes: int = PART_BYTES, concurrency: int = 8) -> None:
        self._settings = settings
        self._lake = Lake(settings)
        self._part_bytes = part_bytes
        self._concurrency = concurrency

    def __repr__(self) -> str:
        return f"S3Uploader(s3://{self._lake.bucket})"

    # --- bars: the raw layer ---

    def upload_stock_data(self, data: Data) -> str:
        """Put stock bars into the raw layer; see :meth:`upload_bars`.

        Returns
        -------
        str
            The object's address; of bars of several hours, which are as many objects, the folder's.
        """
        return self._one_address("stocks", self.upload_bars("stocks", data))

    def upload_crypto_data(self, data: Data) -> str:
        """Put crypto bars into the raw layer; as :meth:`upload_stock_data`."""
        return self._one_address("crypto", self.upload_bars("crypto", data))

    def upload_bars(self, asset_class: AssetClass, data: Data) -> list[str]:
        """Put bars into the raw layer, one object for each hour that they start in.

        Nothing is ever overwritten: the same data again is another attempt.

        Parameters
        ----------
        asset_class : {'stocks', 'crypto'}
            Of what.
        data : list of dict, pandas.DataFrame, polars.DataFrame or LazyFrame, pyarrow.Table
            Rows, with columns as in ``raw``: ``symbol``, ``timestamp`` (start of the bar; UTC, if it
            names no zone), ``open_price`` or ``open`` and so on, ``price`` for a closing price alone,
            ``volume``, ``interval`` (by default 30min for stocks, 1h for crypto), ``source`` (by default
            ``upload``). A row without a time is of now. Other columns are kept in ``payload``, which
            holds every row as it was given. What is no whole bar is kept too, and quarantined with the
            reason when its hour is cleaned.

        Returns
        -------
        list of str
            The objects' addresses, by hour.

        Raises
        ------
        UploadError
            There is no row, a row has no symbol, or a time cannot be read.
        LakeError
            S3 refuses, or does not answer.
        """
        rows = _rows(data)
        if not rows:
            raise UploadError("there is no row to upload", "a list of dicts or a frame with at least one row")
        now = dt.datetime.now(UTC)
        records = [self._record(asset_class, row, number, now) for number, row in enumerate(rows)]
        frame = pl.DataFrame(records, schema=RAW[asset_class].polars_schema(), strict=True)
        hours = frozenset(frame["timestamp"].dt.truncate("1h").unique().to_list())
        written = write_attempt(self._lake, RAW[asset_class], RawAttempt(frame, hours, now))
        return [self._lake.uri(key) for hour in sorted(written) for key in written[hour].keys]

    def _record(
        self, asset_class: AssetClass, row: Mapping[str, Any], number: int, now: dt.datetime
    ) -> dict[str, Any]:
        named = {_ALSO_CALLED.get(str(name).lower(), str(name).lower()): value for name, value in row.items()}
        symbol = named.get("symbol")
        if not isinstance(symbol, str) or not symbol.strip():
            raise UploadError(f"row {number} has no symbol: {_short(row)}", "give each row a symbol")
        given = next((named[name] for name in _TIMES if named.get(name) is not None), None)
        own = {
            "symbol": symbol,
            "timestamp": self._settings.clock if given is None else _moment(given, number),
            "interval": named.get("interval") or self._interval(asset_class),
            "source": str(named.get("source") or "upload"),
            "kind": "bar",
            "fetched_at": now,
            "split_factor": 1.0,
            "schema_version": RAW_SCHEMA_VERSION,
            "payload": json.dumps(row, default=str, allow_nan=True),
        }
        own |= {name: _number(named.get(name), name, number) for name in _NUMBERS}
        return {name: own.get(name) for name in RAW[asset_class].column_names}

    def _interval(self, asset_class: AssetClass) -> str:
        return self._settings.stock_interval if asset_class == "stocks" else "1h"

    def _one_address(self, asset_class: AssetClass, addresses: Sequence[str]) -> str:
        return addresses[0] if len(addresses) == 1 else self._lake.uri(f"raw/{asset_class}/")

    # --- anything, anywhere ---

    def upload_json_data(self, data: Data, path: str) -> str:
        """Put rows as gzipped JSON, an object a line; return the address.

        Parameters
        ----------
        data : see :meth:`upload_bars`
            Rows; times are written as ISO 8601.
        path : str
            The key in the bucket; ``.json.gz`` is added where it is missing.
        """
        key = _key(path, ".json.gz")
        frame = _frame(data)
        return self._put(key, encode_json(_as_text(frame)), "application/gzip")

    def upload_parquet_data(self, df: Data, path: str) -> str:
        """Put rows as Parquet, zstd with statistics; return the address.

        Parameters
        ----------
        df : see :meth:`upload_bars`
            Rows; their types are kept.
        path : str
            The key in the bucket; ``.parquet`` is added where it is missing.
        """
        key = _key(path, ".parquet")
        sink = io.BytesIO()
        try:
            pq.write_table(_frame(df).to_arrow(), sink, compression="zstd", compression_level=3)
        except (pl.exceptions.PolarsError, ValueError, TypeError, NotImplementedError) as error:
            raise UploadError(f"{key}: the rows do not fit into Parquet: {error}") from None
        return self._put(key, sink.getvalue(), "application/vnd.apache.parquet")

    def upload_file(self, file: Path | str | BinaryIO, path: str) -> str:
        """Put a file of any length, in parts; return the address.

        Raises
        ------
        UploadError
            The file cannot be read, is too long for its parts, or what S3 holds is not what was sent.
        """
        key = _key(path, "")
        if not isinstance(file, (str, Path)):
            return self._put_parts(key, file)
        try:
            with Path(file).open("rb") as opened:
                return self._put_parts(key, opened)
        except OSError as error:
            raise UploadError(f"{file} cannot be read: {error.strerror or error}") from None

    def _put(self, key: str, data: bytes, content_type: str) -> str:
        if len(data) > self._part_bytes:
            return self._put_parts(key, io.BytesIO(data), content_type)
        if key.startswith(_KEPT_TO_ITSELF):
            if self._lake.put_new(key, data) is None:
                raise UploadError(f"{self._lake.uri(key)} is there already", "raw is never overwritten")
        else:
            # the signature holds the body's SHA-256: S3 itself refuses what arrives otherwise
            self._lake.put(key, data, content_type)
        return self._lake.uri(key)

    def _put_parts(self, key: str, file: BinaryIO, content_type: str | None = None) -> str:
        if key.startswith(_KEPT_TO_ITSELF):
            raise UploadError(
                f"{key}: raw is never overwritten, and S3 cannot promise that of parts",
                "upload bars with upload_stock_data or upload_crypto_data",
            )
        start = file.tell()
        part = self._part_length(file, start, key)
        for attempt in range(1, _ATTEMPTS + 1):
            file.seek(start)
            sent = _Counted(file, part)
            try:
                etag = self._lake.put_parts(
                    key, sent, concurrency=self._concurrency, content_type=content_type
                )
            except (LakeUnavailableError, MissingObjectError):
                # an answer that was lost after S3 had put the parts together: asked again, it knows no
                # such upload
                if self._there(key, sent):
                    return self._lake.uri(key)
                if attempt == _ATTEMPTS:
                    raise
                continue
            if self._arrived(key, etag, sent):
                return self._lake.uri(key)
        raise UploadError(
            f"{self._lake.uri(key)}: {_ATTEMPTS} times what S3 holds was not what was sent",
            "do not use the object; check what stands between here and S3",
        )

    def _part_length(self, file: BinaryIO, start: int, key: str) -> int:
        size = file.seek(0, io.SEEK_END) - start
        part = max(self._part_bytes, -(-size // _MOST_PARTS))
        if size > 5 * 1024**4:
            raise UploadError(f"{key}: {size:,} bytes are more than S3 keeps in an object (5 TiB)")
        return part

    def _arrived(self, key: str, etag: str, sent: _Counted) -> bool:
        """Compare length and, where S3's own keys encrypt, the ETag: the MD5 of the parts' MD5s.

        With a KMS key the ETag is no digest; there each part's SHA-256, in its signature, must do.
        """
        if self._lake.head(key).size != sent.size:
            return False
        return self._settings.encryption == "aws:kms" or etag == sent.etag or not _is_digest(etag)

    def _there(self, key: str, sent: _Counted) -> bool:
        """Say whether the object is certainly what was sent, though S3 did not say so."""
        try:
            return self._lake.head(key).etag == sent.etag
        except LakeError:
            return False

    # --- what is there ---

    def get_storage_metrics(self) -> dict[str, Any]:
        """Return what the bucket holds.

        Returns
        -------
        dict
            ``total_objects``, ``total_bytes``, ``total_size_mb`` (of 1024 * 1024 bytes), ``by_layer``
            (``objects`` and ``bytes`` of each of the bucket's first folders), and ``groups``: the same by
            layer, dataset, storage class and age.
        """
        metrics = storage_metrics(self._lake)
        layers = metrics.by(lambda group: group.layer)
        by_layer = {name: {"objects": of.objects, "bytes": of.size} for name, of in layers.items()}
        return {**metrics.as_json(), "by_layer": by_layer}


def create_s3_uploader_from_env() -> S3Uploader:
    """Return an uploader with the settings of the environment, ``.env`` and the running local stack.

    Raises
    ------
    SettingsError
        A setting is wrong, or it is not settled where S3 is.
    """
    settings = load_settings()
    settings.require_services()
    return S3Uploader(settings)


class _Counted:
    """A file's parts, with what S3 should say of them when they are there."""

    def __init__(self, file: BinaryIO, part: int) -> None:
        self._file = file
        self._part = part
        self._digests: list[bytes] = []
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        data = self._file.read(self._part)
        while data or not self._digests:  # of nothing, S3 makes one part
            self._digests.append(hashlib.md5(data, usedforsecurity=False).digest())
            self.size += len(data)
            yield data
            data = self._file.read(self._part)

    @property
    def etag(self) -> str:
        """The ETag of an object of several parts."""
        whole = hashlib.md5(b"".join(self._digests), usedforsecurity=False).hexdigest()
        return f"{whole}-{len(self._digests)}"


def _is_digest(etag: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{32}-\d+", etag) is not None


def _key(path: str, suffix: str) -> str:
    if not isinstance(path, str) or not path.strip() or path.endswith("/"):
        raise UploadError(
            f"{path!r} names no object", "a key in the bucket: processed/stocks/parquet/aapl_data"
        )
    key = path if path.endswith(suffix) else path + suffix
    if _NO_KEY.search(path) or len(key.encode()) > _LONGEST_KEY:
        raise UploadError(
            f"{path!r} is no key of the lake",
            "a path in the bucket, without s3://, a leading slash, // or ..",
        )
    return key


def _frame(data: Data) -> pl.DataFrame:
    """Return the data as a polars frame.

    Raises
    ------
    UploadError
        It is of no known kind, or its rows are of different types.
    """
    try:
        if isinstance(data, pl.LazyFrame):
            return data.collect()
        if isinstance(data, pl.DataFrame):
            return data
        if hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__"):
            return pl.DataFrame(data)
        if isinstance(data, Mapping):
            data = [data]
        if isinstance(data, Iterable) and not isinstance(data, str | bytes):
            rows = list(data)
            if all(isinstance(row, Mapping) for row in rows):
                return pl.from_dicts([dict(row) for row in rows], infer_schema_length=None)
    except (pl.exceptions.PolarsError, ValueError, TypeError, OverflowError) as error:
        raise UploadError(f"the rows do not make a table: {str(error).splitlines()[0]}") from None
    raise UploadError(
        f"{type(data).__name__} is nothing that can be uploaded",
        "a list of dicts, or a frame of pandas, polars or Arrow",
    )


def _rows(data: Data) -> list[dict[str, Any]]:
    """Return the data as dicts; of a frame of pandas its index, if it has a name, is a column."""
    if isinstance(data, Mapping):
        return [dict(data)]
    if isinstance(data, Sequence) and all(isinstance(row, Mapping) for row in data):
        return [dict(row) for row in data]
    index = getattr(data, "index", None)
    if index is not None and getattr(index, "name", None) is not None:
        data = data.reset_index()
    return _frame(data).to_dicts()


def _moment(value: Any, row: int) -> dt.datetime:
    """Read a time: a datetime or date, ISO 8601 text, or seconds or milliseconds since 1970."""
    try:
        if isinstance(value, dt.datetime):
            moment = value
        elif isinstance(value, dt.date):
            moment = dt.datetime(value.year, value.month, value.day)  # noqa: DTZ001 - its zone is given below
        elif isinstance(value, str):
            moment = dt.datetime.fromisoformat(value.strip())
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            seconds = value / 1000 if abs(value) > 1e11 else value  # noqa: PLR2004 - the year 5138
            moment = dt.datetime.fromtimestamp(seconds, UTC)
        else:
            raise ValueError(type(value).__name__)  # noqa: TRY301 - told below like the others
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        floor_hour(moment)
    except (ValueError, OverflowError, OSError):
        raise UploadError(
            f"row {row}: {_short(value)} is not a time",
            "ISO 8601, as in 2023-01-03T14:30:00Z, or seconds since 1970",
        ) from None
    return moment


def _number(value: Any, name: str, row: int) -> float | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        raise UploadError(f"row {row}: {name} is {value}", "a number")
    try:
        return float(value)  # NaN and infinity are kept, and quarantined
    except (TypeError, ValueError, OverflowError):
        raise UploadError(f"row {row}: {name} is {_short(value)}", "a number") from None


def _as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with times as ISO 8601."""
    times = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime | pl.Date)]
    return frame.with_columns(pl.col(name).dt.to_string("iso:strict") for name in times)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."  # noqa: PLR2004 - a line
