"""What the definition of a table says: columns, properties, format. Read from parsed statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlglot import exp

from fin_lake.local.athena import types
from fin_lake.local.athena.errors import QueryFailed, unsupported
from fin_lake.local.athena.glue_tables import CLASSES, Columns, Format

Properties = Mapping[str, str | list[str]]

_STORED_AS: Final = ("parquet", "textfile", "orc", "avro")
_RESERVED: Final = frozenset(
    """all alter and array as authorization between bigint binary boolean both by case cashe cast char column
    conf constraint commit create cross cube current current_date current_timestamp cursor database date
    dayofweek decimal delete describe distinct div double drop else end exchange exists extended external
    extract false fetch float floor following for foreign from full function grant group grouping having if
    import in inner insert int integer intersect interval into is join lateral left less like local macro map
    more none not null numeric of on only or order out outer over partialscan partition percent preceding
    precision preserve primary procedure range reads reduce regexp references revoke right rlike rollback
    rollup row rows select set smallint start table tablesample then time timestamp to transform trigger true
    truncate unbounded union uniquejoin update user using utc_timestamp values varchar views when where
    window with""".split()  # noqa: SIM905 - a list of a hundred lines reads no better
)
"""Words that Hive's DDL takes as names in backticks only.

https://docs.aws.amazon.com/athena/latest/ug/reserved-words.html
"""


@dataclass(frozen=True, slots=True)
class Definition:
    """A table as CREATE TABLE defines it.

    Parameters
    ----------
    columns, partition_keys : sequence of pairs
        Names in lower case and Hive types.
    partitioning : sequence of str
        For Iceberg, the partition transforms: ``day(ts)``.
    """

    columns: Columns
    partition_keys: Columns
    partitioning: Sequence[str]
    location: str
    format: Format
    parameters: dict[str, str]
    serde_parameters: dict[str, str]
    comment: str = ""
    comments: dict[str, str] = field(default_factory=dict)

    @property
    def is_iceberg(self) -> bool:
        """Whether it is an Iceberg table."""
        return self.parameters.get("table_type", "").lower() == "iceberg"


def properties(tree: exp.Create) -> dict[str, str | list[str]]:
    """Return what stands in ``WITH (…)`` of CREATE TABLE AS, with names in lower case."""
    found: dict[str, str | list[str]] = {}
    holder = tree.args.get("properties")
    for one in holder.expressions if holder else ():
        if isinstance(one, exp.LocationProperty):
            found["location"] = one.name
        elif isinstance(one, exp.FileFormatProperty):
            found["format"] = one.name
        elif isinstance(one, exp.PartitionedByProperty):
            found["partitioned_by"] = _texts(one.this)
        elif isinstance(one, exp.Property) and one.args.get("value") is not None:
            value = one.args["value"]
            found[one.name.lower()] = _texts(value) if isinstance(value, exp.Array) else _text(value)
    return found


def with_no_data(tree: exp.Create) -> bool:
    """Return whether CREATE TABLE AS is to write no row."""
    return any(one.args.get("no") for one in tree.find_all(exp.WithDataProperty))


def column_definitions(definitions: Sequence[exp.Expr]) -> tuple[Columns, dict[str, str]]:
    """Return names and Hive types, and comments, of column definitions in Hive's DDL.

    Raises
    ------
    QueryFailed
        A reserved word is used as a name without backticks; a type is unknown.
    """
    columns, comments = [], {}
    for one in definitions:
        if not isinstance(one, exp.ColumnDef) or one.args.get("kind") is None:
            raise QueryFailed(f"FAILED: ParseException: missing type of column {one.sql('athena')!r}")
        name = one.this.name.lower()
        if name in _RESERVED and not one.this.args.get("quoted"):
            raise QueryFailed(
                f"FAILED: ParseException line 1:1 cannot recognize input near '{one.this.name}' in column"
                f" specification: it is a reserved word, put it in backticks: `{one.this.name}`"
            )
        columns.append((name, _hive_type(one.args["kind"])))
        for constraint in one.args.get("constraints") or ():
            if isinstance(constraint.kind, exp.CommentColumnConstraint):
                comments[name] = constraint.kind.this.name
    return tuple(columns), comments


def definition(tree: exp.Create) -> Definition:
    """Return what a CREATE TABLE in Hive's DDL defines.

    Raises
    ------
    QueryFailed
        A clause that Athena refuses, or that is not supported.
    """
    columns, comments = column_definitions(tree.this.expressions)
    reader = _Clauses()
    for clause in tree.args["properties"].expressions if tree.args.get("properties") else ():
        reader.read(clause)
    keys: Columns = ()
    key_comments: dict[str, str] = {}
    iceberg = reader.parameters.get("table_type", "").lower() == "iceberg"
    if not iceberg:
        keys, key_comments = column_definitions(reader.partitioned)
    if not reader.location:
        raise QueryFailed("FAILED: SemanticException: CREATE TABLE needs a LOCATION 's3://…'")
    return Definition(
        columns=columns,
        partition_keys=keys,
        partitioning=[_transform(one) for one in reader.partitioned] if iceberg else [],
        location=reader.location,
        format=reader.format,
        parameters=reader.parameters,
        serde_parameters=reader.serde_parameters,
        comment=reader.comment,
        comments=comments | key_comments,
    )


class _Clauses:
    """The clauses behind the columns of CREATE TABLE."""

    def __init__(self) -> None:
        self.format = Format.TEXTFILE
        self.location = ""
        self.comment = ""
        self.partitioned: Sequence[exp.Expr] = ()
        self.parameters: dict[str, str] = {}
        self.serde_parameters: dict[str, str] = {}
        self._serde: Format | None = None

    def read(self, clause: exp.Expr) -> None:
        """Take up a clause."""
        match clause:
            case exp.ExternalProperty():
                pass
            case exp.SchemaCommentProperty():
                self.comment = clause.name
            case exp.LocationProperty():
                self.location = clause.name
            case exp.PartitionedByProperty():
                self.partitioned = clause.this.expressions
            case exp.RowFormatSerdeProperty():
                self._read_serde(clause)
            case exp.RowFormatDelimitedProperty():
                self._read_delimited(clause)
            case exp.FileFormatProperty():
                self._read_format(clause)
            case exp.Property() if clause.args.get("value") is not None:
                self.parameters[clause.name] = _text(clause.args["value"])
            case _:
                raise unsupported(f"CREATE TABLE … {clause.sql('athena')}")

    def _read_serde(self, clause: exp.RowFormatSerdeProperty) -> None:
        wanted = clause.name
        known = {classes.serde.lower(): one for one, classes in CLASSES.items()} | {
            "org.apache.hive.hcatalog.data.jsonserde": Format.JSON
        }
        if wanted.lower() not in known:
            raise QueryFailed(
                f"FAILED: SemanticException: Cannot validate serde: {wanted}. Known are: "
                + ", ".join(sorted(classes.serde for classes in CLASSES.values()))
            )
        self.format = self._serde = known[wanted.lower()]
        given = clause.args.get("serde_properties")
        for one in given.expressions if given else ():
            self.serde_parameters[one.name] = _text(one.args["value"])

    def _read_delimited(self, clause: exp.RowFormatDelimitedProperty) -> None:
        names = {"fields": "field.delim", "escaped": "escape.delim", "null": "serialization.null.format"}
        for part, name in names.items():
            if clause.args.get(part) is not None:
                self.serde_parameters[name] = clause.args[part].name
        if clause.args.get("lines") is not None and clause.args["lines"].name != "\n":
            raise unsupported("LINES TERMINATED BY other than '\\n'")

    def _read_format(self, clause: exp.FileFormatProperty) -> None:
        if isinstance(clause.this, exp.InputOutputFormat):
            if self._serde is None:
                raise unsupported("STORED AS INPUTFORMAT without ROW FORMAT SERDE")
            return
        wanted = clause.name.lower()
        if wanted not in _STORED_AS:
            raise QueryFailed(
                f"FAILED: SemanticException Unrecognized file format in STORED AS clause: '{clause.name}'."
                " For JSON write ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'"
            )
        if self._serde is None:
            self.format = Format(wanted)


def _transform(one: exp.Expr) -> str:
    """Return a partition transform as it is written: ``day(ts)``."""
    match one:
        case exp.PartitionedByBucket() | exp.PartitionByTruncate():
            kind = "bucket" if isinstance(one, exp.PartitionedByBucket) else "truncate"
            return f"{kind}({one.expression.name}, {one.this.name})"
        case exp.Year() | exp.Month() | exp.Day() | exp.Hour():
            column = one.find(exp.Column)
            return f"{type(one).__name__.lower()}({column.name if column else ''})"
        case _:
            return one.sql("athena").replace("`", "").replace('"', "").lower()


def _hive_type(kind: exp.Expr) -> str:
    text = "".join(kind.sql("hive").lower().split())
    types.from_hive(text)  # fails by name
    return text


def _texts(array: exp.Expr) -> list[str]:
    return [_text(one).lower() for one in array.expressions]


def _text(value: exp.Expr) -> str:
    if isinstance(value, exp.Boolean):
        return "true" if value.this else "false"
    return value.name if isinstance(value, exp.Literal) else value.sql("athena")
