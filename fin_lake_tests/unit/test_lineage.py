"""The lineage of columns: every origin exists, and every column that comes from another says so."""

from __future__ import annotations

import dagster as dg
import pytest

from fin_lake.definitions import build_definitions
from fin_lake.lineage import column_lineage
from fin_lake.partitions import parse_hour
from fin_lake.settings import load_settings
from fin_lake.tables import TABLES_BY_ASSET

OF_THE_STEP_ITSELF = {"rule", "detail", "raw_key", "raw_hour", "asset_class", "portfolio"}


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    settings = load_settings(
        now=parse_hour("2023-01-30T21"), start=parse_hour("2023-01-03"), owners=("team:desk", "a@b.org")
    )
    return build_definitions(settings)


@pytest.mark.parametrize("asset", TABLES_BY_ASSET)
def test_each_column_comes_from_columns_that_there_are(asset: str):
    lineage = column_lineage(asset)
    for column, origins in lineage.items():
        assert column in TABLES_BY_ASSET[asset].column_names
        for upstream, name in origins:
            assert name in TABLES_BY_ASSET[upstream].column_names, (asset, column, upstream)
    without = set(TABLES_BY_ASSET[asset].column_names) - set(lineage)
    if asset.startswith("raw/"):
        assert not lineage
    elif asset.startswith("market/"):
        assert without == set(), "PostgreSQL holds what the lake holds"
    else:
        assert without <= OF_THE_STEP_ITSELF


def test_origins_are_upstream_in_the_graph(definitions: dg.Definitions):
    graph = definitions.resolve_asset_graph()
    for asset in TABLES_BY_ASSET:
        parents = {key.to_user_string() for key in graph.get(dg.AssetKey.from_user_string(asset)).parent_keys}
        upstream = {origin for origins in column_lineage(asset).values() for origin, _ in origins}
        assert upstream <= parents, asset


def test_what_an_indicator_is_computed_from():
    assert column_lineage("technical_analysis/stocks")["vwap"] == tuple(
        ("market/stocks", name) for name in ("high_price", "low_price", "close_price", "volume")
    )


def test_every_table_has_owners_columns_and_lineage_in_the_ui(definitions: dg.Definitions):
    graph = definitions.resolve_asset_graph()
    for asset in TABLES_BY_ASSET:
        node = graph.get(dg.AssetKey.from_user_string(asset))
        assert node.owners == ["team:desk", "a@b.org"]
        assert node.kinds
        assert node.description
        assert node.tags["layer"] == asset.partition("/")[0]
        columns = node.metadata["dagster/column_schema"].columns
        assert tuple(column.name for column in columns) == TABLES_BY_ASSET[asset].column_names
        assert ("dagster/column_lineage" in node.metadata) == (not asset.startswith("raw/"))
    bars = graph.get(dg.AssetKey(["processed", "stocks"])).metadata["dagster/column_schema"].columns
    assert "← raw/stocks: close_price, split_factor" in next(
        column.description for column in bars if column.name == "close_price"
    )
