"""What the UI's catalog says of a table's asset: owners, tags, columns, where they come from, its place.

All of it stands on the definition, so that it is not written again with every hour.
"""

from __future__ import annotations

from typing import Any, TypedDict

import dagster as dg

from fin_lake.lineage import column_lineage, dagster_lineage
from fin_lake.settings import Settings
from fin_lake.tables import TABLES_BY_ASSET
from fin_lake.warehouse.market import SCHEMA


class Entry(TypedDict):
    """What ``dg.asset`` and ``dg.AssetOut`` take."""

    owners: list[str]
    tags: dict[str, str]
    metadata: dict[str, Any]


def entry(key: dg.AssetKey, settings: Settings) -> Entry:
    """Return a table's owners, tags and metadata."""
    name = key.to_user_string()
    table = TABLES_BY_ASSET[name]
    metadata: dict[str, Any] = {"dagster/column_schema": column_schema(name)}
    if column_lineage(name):
        metadata["dagster/column_lineage"] = dagster_lineage(name)
    if name.startswith("market/"):
        metadata["dagster/table_name"] = f"{SCHEMA}.{table.postgres}"
    else:
        metadata["dagster/uri"] = f"s3://{settings.bucket}/{table.lake_prefix}/"
    tags = {"layer": key.path[0]}
    if table.asset_class is not None:
        tags["asset_class"] = table.asset_class
    return {"owners": list(settings.owners), "tags": tags, "metadata": metadata}


def column_schema(name: str) -> dg.TableSchema:
    """Return the columns of an asset's table; each description ends with the columns that it comes from.

    The open-source UI keeps the lineage of columns but does not draw it: there it is read here.
    """
    lineage = column_lineage(name)
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                column.type,
                f"{column.description} ← {_said(lineage[column.name])}"
                if column.name in lineage
                else column.description,
                column.constraints,
            )
            for column in TABLES_BY_ASSET[name].dagster_schema().columns
        ]
    )


def _said(origins: tuple[tuple[str, str], ...]) -> str:
    by_asset: dict[str, list[str]] = {}
    for asset, column in origins:
        by_asset.setdefault(asset, []).append(column)
    return "; ".join(f"{asset}: {', '.join(columns)}" for asset, columns in by_asset.items())
