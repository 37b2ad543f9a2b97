"""What Tableau is handed: extracts (``.hyper``) of the reports, and data sources (``.tds``).

Rows come from Athena, as text; nothing here knows of partitions or of Dagster.
"""

from __future__ import annotations

import datetime as dt
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from fin_lake.errors import FinLakeError

if TYPE_CHECKING:
    from fin_lake.engines.live import AthenaPlace, PostgresPlace
    from fin_lake.operations.athena import Athena, Column

EXTRACTS: Final = "analytics/deliveries/tableau"
REPORTS: Final = (
    "daily_market_summary",
    "data_quality",
    "portfolio_contribution",
    "portfolio_performance",
)
"""The reports that there are extracts of, as their assets are called."""
TDS_VERSION: Final = "18.1"
"""The format that Tableau has written since 2018, and reads today."""
_TYPES: Final[Mapping[str, pa.DataType]] = {
    "boolean": pa.bool_(),
    "tinyint": pa.int16(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float64(),
    "real": pa.float64(),
    "double": pa.float64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "varchar": pa.string(),
    "char": pa.string(),
    "string": pa.string(),
}


class TableauError(FinLakeError):
    """An extract that cannot be made."""


def require_pantab() -> Any:
    """Return pantab.

    Raises
    ------
    TableauError
        It is not installed.
    """
    try:
        import pantab  # noqa: PLC0415 - not everybody has the extra
    except ImportError as error:
        raise TableauError(
            f"Tableau's extracts need pantab, which is not installed: {error}",
            "pip install 'fin_lake[tableau]'",
        ) from None
    return pantab


def extract_object(report: str, month: dt.date) -> str:
    """Return the key of a month's extract of a report."""
    return f"{EXTRACTS}/{report}/year={month:%Y}/month={month:%m}/{report}.hyper"


def next_month(month: dt.date) -> dt.date:
    """Return the first day of the month after."""
    return (month.replace(day=28) + dt.timedelta(days=4)).replace(day=1)


def read_month(athena: Athena, report: str, month: dt.date) -> pa.Table:
    """Return a month's rows of a report as Athena has them, sorted by day and the columns after it.

    Raises
    ------
    AthenaError
        The report is not there, or Athena cannot be asked.
    TableauError
        A column is of a type that extracts do not hold.
    """
    answer = athena.run(
        f"select * from reports_{report} where trade_date >= ? and trade_date < ? order by trade_date",  # noqa: S608 - a name of REPORTS
        [f"date '{month:%Y-%m-%d}'", f"date '{next_month(month):%Y-%m-%d}'"],
    )
    return typed(answer.columns, answer.rows())


def typed(columns: Sequence[Column], rows: Iterable[tuple[str | None, ...]]) -> pa.Table:
    """Return Athena's rows, which are text, in the types of their columns.

    Raises
    ------
    TableauError
        A column is of a type that extracts do not hold.
    """
    by_column = list(zip(*rows, strict=True)) or [()] * len(columns)
    return pa.table(
        {
            column.name: pc.cast(pa.array(values, pa.string()), _type_of(column))
            for column, values in zip(columns, by_column, strict=True)
        }
    )


def _type_of(column: Column) -> pa.DataType:
    found = _TYPES.get(column.type)
    if found is None:
        raise TableauError(
            f"column {column.name} is of type {column.type}, which an extract does not hold",
            "let the report cast it to text or to a number",
        )
    return found


def extract_of(report: str, rows: pa.Table) -> bytes:
    """Return the bytes of an extract, whose one table is called as the report is.

    Raises
    ------
    TableauError
        pantab is not installed.
    """
    pantab = require_pantab()
    with tempfile.TemporaryDirectory(prefix="fin_lake_hyper_") as folder:
        path = Path(folder) / "extract.hyper"
        pantab.frame_to_hyper(
            rows,
            path,
            table=report,
            process_params={"log_dir": folder},  # its log would lie in the working folder
        )
        return path.read_bytes()


@dataclass(frozen=True, slots=True)
class _Live:
    """A live connection as Tableau writes it: its class and attributes, and the tables' schema."""

    kind: str
    caption: str
    attributes: Mapping[str, str]
    schema: str


def postgres_data_source(place: PostgresPlace, tables: Collection[str]) -> bytes:
    """Return a ``.tds`` of a live connection to PostgreSQL; Tableau asks for the password."""
    attributes = {
        "authentication": "username-password",
        "dbname": place.database,
        "port": str(place.port),
        "server": place.host,
        "sslmode": "require" if place.encrypted else "",
        "username": place.user,
    }
    return _data_source(_Live("postgres", place.host, attributes, place.schema), tables)


def athena_data_source(place: AthenaPlace, tables: Collection[str]) -> bytes:
    """Return a ``.tds`` of a live connection to Athena; Tableau asks for the access key."""
    attributes = {
        "dbname": place.catalog,
        "port": "443",
        "s3-staging-dir": place.results,
        "schema": place.database,
        "server": place.server,
    }
    return _data_source(_Live("athena", place.server, attributes, place.database), tables)


def athena_properties(place: AthenaPlace) -> bytes:
    """Return ``athena.properties``, by which Tableau's driver learns the workgroup.

    Tableau hands the file of the connection's class that lies beside its data sources to the driver.
    """
    return f"Workgroup={place.workgroup}\nS3OutputLocation={place.results}\n".encode()


def _data_source(live: _Live, tables: Collection[str]) -> bytes:
    """Return the document: a federated source over one named connection, as Tableau writes since 10.0.

    Several tables stand side by side as a collection; relations between them are drawn in Tableau.
    """
    name = f"{live.kind}.fin_lake"
    source = ET.Element(
        "datasource", {"formatted-name": f"fin_lake.{live.kind}", "inline": "true", "version": TDS_VERSION}
    )
    federated = ET.SubElement(source, "connection", {"class": "federated"})
    named = ET.SubElement(
        ET.SubElement(federated, "named-connections"),
        "named-connection",
        {"caption": live.caption, "name": name},
    )
    ET.SubElement(named, "connection", {"class": live.kind, **live.attributes})
    single = len(tables) == 1
    parent = federated if single else ET.SubElement(federated, "relation", {"type": "collection"})
    for table in tables:
        ET.SubElement(
            parent,
            "relation",
            {
                "connection": name,
                "name": table,
                "table": f"[{live.schema}].[{table}]",
                "type": "table",
            },
        )
    ET.indent(source)
    document: bytes = ET.tostring(source, encoding="utf-8", xml_declaration=True)
    return document + b"\n"
