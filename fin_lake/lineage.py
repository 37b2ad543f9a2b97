"""Which columns each table's columns are made of, from raw to PostgreSQL.

One description of each step, in terms of columns; how a value is computed is for ``transforms`` to say.
The models' lineage is dbt's affair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from fin_lake.schema import ASSET_CLASSES
from fin_lake.tables import TABLES_BY_ASSET

if TYPE_CHECKING:
    import dagster as dg

Origins: TypeAlias = tuple[tuple[str, str], ...]
"""Upstream columns, each as asset key and column name."""

_PRICES: Final = ("open_price", "high_price", "low_price", "close_price")
_RANGE: Final = ("high_price", "low_price", "close_price")
_BY_ANOTHER_NAME: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "processed/stocks": {
        **{name: (name, "split_factor") for name in (*_PRICES, "volume")},
    },
    "processed/corporate_actions": {
        "ratio": ("payload",),
        "amount": ("payload", "split_factor"),
    },
    "technical_analysis": {
        "atr_14": _RANGE,
        "adx_14": _RANGE,
        "stochastic_k": _RANGE,
        "stochastic_d": _RANGE,
        "vwap": (*_RANGE, "volume"),
        "obv": ("close_price", "volume"),
        "history_bars": ("timestamp",),
    },
}
"""The columns that are made of others than the one of their name; of all other indicators, the close."""
_NOT_OF_A_COLUMN: Final = frozenset({"rule", "detail", "raw_key", "raw_hour", "asset_class", "portfolio"})
"""Columns that hold what the step itself knows: a rule's name, a place, a definition."""
_OF_PORTFOLIOS: Final[Origins] = (
    *((f"market/{asset_class}", "close_price") for asset_class in ASSET_CLASSES),
    ("market/corporate_actions", "ratio"),
)


def column_lineage(asset: str) -> dict[str, Origins]:
    """Return the upstream columns of each column of a table that has any.

    Parameters
    ----------
    asset : str
        The asset's key, one of ``TABLES_BY_ASSET``; raw tables have no upstream column.
    """
    return {
        column: origins
        for column in TABLES_BY_ASSET[asset].column_names
        if (origins := tuple(_origins(asset, column)))
    }


def dagster_lineage(asset: str) -> dg.TableColumnLineage:
    """Return the same as Dagster's metadata holds it."""
    import dagster as dg  # noqa: PLC0415 - a second and a half, and the stack's commands do without

    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(dg.AssetKey.from_user_string(key), name) for key, name in origins]
            for column, origins in column_lineage(asset).items()
        }
    )


def _origins(asset: str, column: str) -> Iterator[tuple[str, str]]:
    layer, _, name = asset.partition("/")
    if layer == "raw":
        return
    if layer == "market":
        yield (name if "/" in name else f"processed/{name}", column)
    elif column in _NOT_OF_A_COLUMN:
        return
    elif layer == "portfolios":
        yield from _of_portfolio(column)
    elif layer == "technical_analysis":
        same = column in ("symbol", "timestamp", "close_price")
        others = (column,) if same else _BY_ANOTHER_NAME[layer].get(column, ("close_price",))
        yield from ((f"market/{name}", other) for other in others)
    else:
        source = "raw/stocks" if name == "corporate_actions" else f"raw/{name}"
        others = _BY_ANOTHER_NAME.get(asset, {}).get(column, (column,))
        yield from ((source, other) for other in others)


def _of_portfolio(column: str) -> Iterator[tuple[str, str]]:
    if column in ("symbol", "timestamp", "price_at"):
        name = "symbol" if column == "symbol" else "timestamp"
        yield from ((f"market/{asset_class}", name) for asset_class in ASSET_CLASSES)
    elif column in ("price_age_hours", "oldest_price_age_hours"):
        yield from ((f"market/{asset_class}", "timestamp") for asset_class in ASSET_CLASSES)
    else:
        yield from _OF_PORTFOLIOS
