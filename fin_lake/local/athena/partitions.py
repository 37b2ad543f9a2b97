"""Which partitions a table has, and which of them a query needs.

Partitions are registered in Glue or, with *partition projection*, follow from the table's properties:
ranges of values and a template of the folder. A projected partition exists if its folder holds an
object, so the bucket is listed, only as far as the query's conditions reach.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlglot import exp

from fin_lake.local.athena import translation
from fin_lake.local.athena.date_masks import java_date_mask
from fin_lake.local.athena.errors import QueryFailed, unsupported
from fin_lake.local.athena.glue_tables import NULL_PARTITION, GlueTable, Partition, partition_folder
from fin_lake.local.athena.storage import StoredObject
from fin_lake.local.athena.types import from_hive, quote_name, quote_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    import duckdb

    from fin_lake.local.athena.metastore import Metastore
    from fin_lake.local.athena.storage import Objects

_MOST_LISTINGS: Final = 8
"""Up to so many folders are listed one by one; beyond, a folder above them is listed whole."""
_MOST_VALUES: Final = 2_000_000
_PLACE: Final = re.compile(r"\$\{(\w+)\}")
_TEXT: Final = "__text_"


@dataclass(frozen=True, slots=True)
class PlacedObject:
    """An object of a table, and its partition's folder within the cache."""

    object: StoredObject
    folder: str


class PartitionReader:
    """Finds a table's objects.

    Parameters
    ----------
    metastore : Metastore
        Where partitions are registered.
    objects : Objects
        Where they lie.
    """

    def __init__(self, metastore: Metastore, objects: Objects) -> None:
        self._metastore = metastore
        self._objects = objects

    def objects(
        self, cursor: duckdb.DuckDBPyConnection, table: GlueTable, conditions: Sequence[exp.Expr]
    ) -> list[PlacedObject]:
        """Return a table's objects in the partitions that meet the conditions.

        Parameters
        ----------
        conditions : sequence of sqlglot.exp.Expr
            On the table's columns. Those on partition keys alone choose; the others are left alone.

        Raises
        ------
        QueryFailed
            The table's projection is not one that Athena would take.
        """
        if not table.partition_keys:
            return [PlacedObject(one, _flat(table)) for one in self._objects.list(table.location)]
        usable = _on_keys(table, conditions)
        if projects(table):
            return [
                PlacedObject(one, _folder(table, values))
                for values, one in self._projected(cursor, table, usable)
            ]
        chosen = _keep(cursor, table, self._metastore.partitions(table.name), usable)
        return self._below(table, chosen)

    def partitions(self, cursor: duckdb.DuckDBPyConnection, table: GlueTable) -> list[tuple[str, ...]]:
        """Return the values of all of a table's partitions, sorted."""
        if projects(table):
            return sorted({values for values, _ in self._projected(cursor, table, [])})
        return sorted(one.values for one in self._metastore.partitions(table.name))

    def _below(self, table: GlueTable, partitions: Sequence[Partition]) -> list[PlacedObject]:
        """List the folders of registered partitions, or the folder above if they are many."""
        folders = {one.location: _folder(table, one.values) for one in partitions}
        if len(folders) <= _MOST_LISTINGS:
            return [
                PlacedObject(one, folder)
                for location, folder in folders.items()
                for one in self._objects.list(location)
            ]
        inside = all(location.startswith(table.location + "/") for location in folders)
        found = []
        for one in self._objects.list_many([table.location] if inside else sorted(folders)):
            above = next((folder for folder in _parents(one.url) if folder in folders), None)
            if above is not None:
                found.append(PlacedObject(one, folders[above]))
        return found

    def _projected(
        self, cursor: duckdb.DuckDBPyConnection, table: GlueTable, conditions: Sequence[exp.Expr]
    ) -> list[tuple[tuple[str, ...], StoredObject]]:
        projection = Projection(table)
        listed = self._objects.list_many(projection.prefixes(cursor, conditions))
        placed = [(values, one) for one in listed if (values := projection.values(one.url)) is not None]
        found = dict.fromkeys(values for values, _ in placed)
        kept = _keep(cursor, table, [Partition(values, "") for values in found], conditions)
        chosen = {one.values for one in kept}
        return [(values, one) for values, one in placed if values in chosen]


def _parents(url: str) -> Iterable[str]:
    """Yield the folders that hold an object, the innermost first."""
    while "/" in url:
        url = url.rpartition("/")[0]
        yield url


def projects(table: GlueTable) -> bool:
    """Return whether a table's partitions are projected."""
    return bool(table.partition_keys) and table.parameters.get("projection.enabled", "").lower() == "true"


class Projection:
    """A table's partition projection.

    Parameters
    ----------
    table : GlueTable
        With ``projection.…`` among its parameters.

    Raises
    ------
    QueryFailed
        A key has no projection, or one that cannot be read.

    Notes
    -----
    https://docs.aws.amazon.com/athena/latest/ug/partition-projection-supported-types.html
    """

    def __init__(self, table: GlueTable) -> None:
        self._table = table
        self._keys = [name for name, _ in table.partition_keys]
        self._kinds = {name: _Kind(table, name) for name in self._keys}
        hive = table.location + "/" + "/".join(f"{name}=${{{name}}}" for name in self._keys)
        self._template = table.parameters.get("storage.location.template", hive).rstrip("/")
        placed = _PLACE.findall(self._template)
        if unplaced := [name for name in self._keys if name not in placed]:
            raise _wrong(table, f"storage.location.template does not hold ${{{unplaced[0]}}}")
        pieces = _PLACE.split(self._template)
        self._pattern = re.compile(
            "".join(
                f"(?P<{piece}>[^/]+)" if index % 2 else re.escape(piece) for index, piece in enumerate(pieces)
            )
            + "/"
        )

    def values(self, url: str) -> tuple[str, ...] | None:
        """Return the partition of an object, or ``None`` if the projection does not reach it."""
        found = self._pattern.match(url)
        if found is None:
            return None
        values = tuple(found[name] for name in self._keys)
        within = all(kind.holds(value) for kind, value in zip(self._kinds.values(), values, strict=True))
        return values if within else None

    def prefixes(self, cursor: duckdb.DuckDBPyConnection, conditions: Sequence[exp.Expr]) -> list[str]:
        """Return few folders that together hold every partition that meets the conditions."""
        base = self._template.split("${")[0].rpartition("/")[0]
        order = [name for name in _PLACE.findall(self._template) if name in self._kinds]
        if not conditions or any(kind.endless for kind in self._kinds.values()):
            return [self._fixed(conditions, order) or base]
        relation = self._enumerated(conditions)
        for depth in range(len(order), 0, -1):
            names = ", ".join(quote_name(name) for name in order[:depth])
            rows = cursor.execute(
                f"SELECT DISTINCT {names} FROM {relation} LIMIT {_MOST_LISTINGS + 1}"  # noqa: S608
            ).fetchall()
            if len(rows) <= _MOST_LISTINGS:
                return [self._prefix(dict(zip(order[:depth], row, strict=True))) for row in sorted(rows)]
        return [base]

    def _fixed(self, conditions: Sequence[exp.Expr], order: Sequence[str]) -> str | None:
        """Return the folder that equalities alone lead to, for keys whose values cannot be enumerated."""
        equal = {
            one.this.name: one.expression.name
            for one in conditions
            if one.key == "eq" and one.this.key == "column" and one.expression.key == "literal"
        }
        for name, kind in self._kinds.items():
            if kind.injected and name not in equal:
                raise _wrong(self._table, f"the injected partition column {name} needs one value in WHERE")
        known = {}
        for name in order:
            if name not in equal:
                break
            known[name] = equal[name]
        return self._prefix(known) if known else None

    def _prefix(self, known: Mapping[str, str]) -> str:
        filled = _PLACE.sub(lambda place: known.get(place[1], place[0]), self._template)
        return filled if "${" not in filled else filled.split("${")[0].rpartition("/")[0]

    def _enumerated(self, conditions: Sequence[exp.Expr]) -> str:
        total = 1
        for kind in self._kinds.values():
            total *= kind.count
        if total > _MOST_VALUES:
            raise unsupported(f"a projection of {total} partitions")
        sources = ", ".join(
            f"(SELECT unnest({kind.enumeration()}) AS {quote_name(name)})"
            for name, kind in self._kinds.items()
        )
        # conditions compare typed values, but folders are made of the texts: 01 is not 1
        texts = ", ".join(f"{quote_name(name)} AS {quote_name(_TEXT + name)}" for name in self._keys)
        inner = f"SELECT {texts}, {_typed(self._table)} FROM {sources}"  # noqa: S608
        named = ", ".join(f"{quote_name(_TEXT + name)} AS {quote_name(name)}" for name in self._keys)
        return f"(SELECT {named} FROM ({inner}) WHERE {_where(conditions)})"  # noqa: S608


class _Kind:
    """The projection of one partition key."""

    def __init__(self, table: GlueTable, name: str) -> None:
        self._table, self._name = table, name
        self._properties = {
            key.removeprefix(f"projection.{name}."): value
            for key, value in table.parameters.items()
            if key.startswith(f"projection.{name}.")
        }
        self._type = self._properties.get("type", "")
        if self._type not in ("enum", "integer", "date", "injected"):
            raise _wrong(table, f"projection.{name}.type is {self._type!r}")
        self._set: frozenset[str] | None = None

    @property
    def injected(self) -> bool:
        """Whether the query must name the value."""
        return self._type == "injected"

    @property
    def endless(self) -> bool:
        """Whether the values cannot be enumerated."""
        return self.injected or (self._type == "date" and self._step() is None)

    @property
    def count(self) -> int:
        """How many values there are."""
        return len(self._all())

    def holds(self, value: str) -> bool:
        """Return whether a value is among the projected ones."""
        return self.endless or value in self._all()

    def enumeration(self) -> str:
        """Return the values as a list in DuckDB's SQL."""
        return "[" + ", ".join(quote_text(value) for value in sorted(self._all())) + "]"

    def _all(self) -> frozenset[str]:
        if self._set is None:
            self._set = frozenset(self._values())
        return self._set

    def _values(self) -> Iterable[str]:
        if self._type == "enum":
            return [value.strip() for value in self._property("values").split(",")]
        first, _, last = self._property("range").partition(",")
        try:
            if self._type == "integer":
                digits = int(self._properties.get("digits", 1))
                step = int(self._properties.get("interval", 1))
                return [f"{value:0{digits}d}" for value in range(int(first), int(last) + 1, step)]
            return self._dates(first.strip(), last.strip())
        except ValueError as error:
            raise _wrong(self._table, f"projection.{self._name}.range: {error}") from error

    def _dates(self, first: str, last: str) -> list[str]:
        mask = java_date_mask(self._property("format"))
        now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
        moment, end, step = _moment(first, mask, now), _moment(last, mask, now), self._step()
        found = []
        while step and moment <= end:
            found.append(moment.strftime(mask))
            moment += step
        return found

    def _step(self) -> dt.timedelta | None:
        """Return the distance between two values; ``None`` for months and years, which vary."""
        unit = self._properties.get("interval.unit", "").lower().rstrip("s")
        if not unit:
            mask = self._properties.get("format", "")
            unit = "day" if "d" in mask and "H" not in mask else ""
        size = int(self._properties.get("interval", 1))
        steps = {"week": 7, "day": 1, "hour": 1 / 24, "minute": 1 / 1440, "second": 1 / 86400}
        return dt.timedelta(days=steps[unit]) * size if unit in steps else None

    def _property(self, name: str) -> str:
        if name not in self._properties:
            raise _wrong(self._table, f"projection.{self._name}.{name} is missing")
        return self._properties[name]


def _moment(text: str, mask: str, now: dt.datetime) -> dt.datetime:
    """Return a bound of a date range: a date in the mask, or NOW with additions, ``NOW-3YEARS``."""
    if not text.upper().startswith("NOW"):
        return dt.datetime.strptime(text, mask)  # noqa: DTZ007 - partitions carry no zone
    days = {"YEAR": 365, "MONTH": 31, "WEEK": 7, "DAY": 1, "HOUR": 1 / 24, "MINUTE": 1 / 1440}
    for sign, count, unit in re.findall(r"([+-])\s*(\d+)\s*([A-Z]+?)S?(?=[+-]|\s*$)", text.upper()[3:]):
        if unit not in days:
            raise ValueError(f"{text!r} has the unknown unit {unit}")
        now += dt.timedelta(days=days[unit] * int(count)) * (1 if sign == "+" else -1)
    return now


def values_relation(rows: Sequence[Sequence[str | None]], columns: Sequence[tuple[str, str]]) -> str:
    """Return a select in DuckDB's SQL over texts, cast to the columns' DuckDB types."""
    casts = ", ".join(f"CAST({quote_name(name)} AS {type_}) AS {quote_name(name)}" for name, type_ in columns)
    if not rows:
        empty = ", ".join(f"CAST(NULL AS {type_}) AS {quote_name(name)}" for name, type_ in columns)
        return f"SELECT {empty} WHERE false"
    names = ", ".join(quote_name(name) for name, _ in columns)
    texts = ", ".join(
        "(" + ", ".join("NULL" if value is None else quote_text(value) for value in row) + ")" for row in rows
    )
    return f"SELECT {casts} FROM (VALUES {texts}) AS v({names})"  # noqa: S608


def _keep(
    cursor: duckdb.DuckDBPyConnection,
    table: GlueTable,
    partitions: Sequence[Partition],
    conditions: Sequence[exp.Expr],
) -> list[Partition]:
    if not conditions or not partitions:
        return list(partitions)
    keys = [(name, str(from_hive(type_))) for name, type_ in table.partition_keys]
    rows = [
        [*(None if value == NULL_PARTITION else value for value in one.values), str(index)]
        for index, one in enumerate(partitions)
    ]
    relation = values_relation(rows, [*keys, ("__index", "BIGINT")])
    found = cursor.execute(
        f"SELECT __index FROM ({relation}) WHERE {_where(conditions)} ORDER BY 1"  # noqa: S608
    ).fetchall()
    return [partitions[index] for (index,) in found]


def _on_keys(table: GlueTable, conditions: Sequence[exp.Expr]) -> list[exp.Expr]:
    keys = {name for name, _ in table.partition_keys}
    return [one for one in conditions if {column.name for column in one.find_all(exp.Column)} <= keys]


def _where(conditions: Sequence[exp.Expr]) -> str:
    return " AND ".join(f"({translation.to_duckdb(one)})" for one in conditions) or "true"


def _typed(table: GlueTable) -> str:
    return ", ".join(
        f"CAST({quote_name(name)} AS {from_hive(type_)}) AS {quote_name(name)}"
        for name, type_ in table.partition_keys
    )


def _folder(table: GlueTable, values: Sequence[str]) -> str:
    keys = [name for name, _ in table.partition_keys]
    shown = [None if value == NULL_PARTITION else value for value in values]
    return f"{_flat(table)}/{partition_folder(keys, shown)}"


def _flat(table: GlueTable) -> str:
    return f"{table.name.database}/{table.name.name}"


def _wrong(table: GlueTable, what: str) -> QueryFailed:
    return QueryFailed(f"INVALID_TABLE_PROPERTY: {table.name}: {what}")
