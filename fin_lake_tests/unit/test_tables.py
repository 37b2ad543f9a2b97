from __future__ import annotations

import pyarrow as pa
import pytest

from fin_lake.tables import PROCESSED, TABLES_BY_ASSET


@pytest.mark.parametrize("table", TABLES_BY_ASSET.values(), ids=TABLES_BY_ASSET)
def test_every_schema_tells_the_same_columns(table):
    arrow = table.arrow_schema()
    assert arrow.names == list(table.column_names) == table.polars_schema().names()
    assert [c.name for c in table.dagster_schema().columns] == arrow.names
    assert table.empty().to_arrow().cast(arrow).num_rows == 0
    assert set(table.key) <= set(arrow.names)
    assert table.hour_column in arrow.names
    assert all(column.description for column in table.columns)


def test_times_are_utc_microseconds_everywhere():
    assert PROCESSED["stocks"].arrow_schema().field("timestamp").type == pa.timestamp("us", tz="UTC")
    assert '"timestamp" timestamptz not null' in PROCESSED["stocks"].postgres_ddl("market")[0]


def test_descriptions_are_quoted_for_sql():
    statements = PROCESSED["crypto"].postgres_ddl("market")
    assert any("comment on column" in statement for statement in statements)
    assert all(statement.count("'") % 2 == 0 for statement in statements)
