"""The market report's page: what it says, put into one HTML file that asks no network for anything."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from fin_lake.errors import FinLakeError
from fin_lake.partitions import HourRange
from fin_lake.portfolios.definitions import CASH
from fin_lake.reports.coverage import Coverage
from fin_lake.schema import AssetClass

if TYPE_CHECKING:
    import jinja2

TEMPLATE: Final = Path(__file__).with_name("market_report.html")
MOST_SYMBOLS: Final = 12
"""Symbols that get a figure of their own; a page of hundreds would not open."""
_MEASURES: Final[Mapping[str, tuple[str, str]]] = {
    "market_value": ("Value, US dollars", "{:,.2f}"),
    "cash": ("Cash, US dollars", "{:,.2f}"),
    "cumulative_return": ("Return since the start", "{:+.2%}"),
    "benchmark_return": ("Benchmark's return", "{:+.2%}"),
    "volatility": ("Volatility, a year", "{:.2%}"),
    "sharpe": ("Sharpe ratio", "{:.2f}"),
    "sortino": ("Sortino ratio", "{:.2f}"),
    "max_drawdown": ("Maximal drawdown, by days", "{:.2%}"),
    "var_95": ("Value at risk, 95 %, a day", "{:.2%}"),
    "cvar_95": ("Conditional value at risk", "{:.2%}"),
    "beta": ("Beta", "{:.2f}"),
}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The latest result of a check: of which asset, which check, what it said, and how bad it is."""

    asset: str
    check: str
    passed: bool
    is_warning: bool
    said: str


@dataclass(frozen=True, slots=True)
class MarketData:
    """What the report tells of: some hours of all tables, and what is known of their making.

    Parameters
    ----------
    hours : HourRange
        Those of the report.
    bars, analysis : mapping of {'stocks', 'crypto'} to polars.DataFrame
        Hourly bars, and the rows of technical analysis.
    coverage : mapping of {'stocks', 'crypto'} to polars.DataFrame
        As :func:`fin_lake.reports.coverage.coverage` returns.
    valuations, holdings : polars.DataFrame
        Of all portfolios.
    quarantined : polars.DataFrame
        ``asset_class``, ``rule`` and ``rows``.
    books : mapping of {'stocks', 'crypto'} to mapping of str to int
        Sums of what cleaning counted: records, revisions and so on.
    checks : sequence of CheckResult
        The latest result of each check.
    """

    hours: HourRange
    bars: Mapping[AssetClass, pl.DataFrame]
    analysis: Mapping[AssetClass, pl.DataFrame]
    coverage: Mapping[AssetClass, pl.DataFrame]
    valuations: pl.DataFrame
    holdings: pl.DataFrame
    quarantined: pl.DataFrame
    books: Mapping[AssetClass, Mapping[str, int]] = field(default_factory=dict)
    checks: Sequence[CheckResult] = ()


def market_report(data: MarketData, made_at: dt.datetime) -> str:
    """Return the page.

    Raises
    ------
    FinLakeError
        The extra ``reports`` is not installed.
    """
    template = page_template(TEMPLATE)
    from fin_lake.reports import figures  # noqa: PLC0415 - imports altair, which not everybody has

    specs: dict[str, figures.Spec] = {}

    def drawn(spec: figures.Spec) -> str:
        name = f"figure-{len(specs) + 1}"
        specs[name] = spec
        return name

    markets = [_market(data, asset_class, drawn) for asset_class in data.bars]
    portfolios = [
        _portfolio(str(key[0]), own, data.holdings, drawn)
        for key, own in data.valuations.sort("portfolio", "timestamp").group_by(
            "portfolio", maintain_order=True
        )
    ]
    broken = data.quarantined
    stored = any(not bars.is_empty() for bars in data.bars.values())
    return template.render(
        hours=data.hours,
        made_at=made_at,
        is_empty=not stored and data.valuations.is_empty(),
        markets=markets,
        portfolios=portfolios,
        most_symbols=MOST_SYMBOLS,
        broken=broken.to_dicts(),
        broken_figure=None if broken.is_empty() else drawn(figures.quarantined(broken)),
        books=data.books,
        checks_failed=[one for one in data.checks if not one.passed],
        checks_passed=sum(one.passed for one in data.checks),
        specs=specs,
        bundle=figures.bundle(),
    )


def page_template(file: Path) -> jinja2.Template:
    """Return a page's template.

    Raises
    ------
    FinLakeError
        The extra ``reports`` is not installed.
    """
    try:
        import jinja2  # noqa: PLC0415 - not everybody has the extra
    except ImportError as error:
        raise FinLakeError(
            f"a report needs jinja2, which is not installed: {error}",
            "pip install 'fin_lake[reports]'",
        ) from None
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(file.read_text(encoding="utf-8"))


def _market(data: MarketData, asset_class: AssetClass, drawn: Any) -> dict[str, Any]:
    from fin_lake.reports import figures  # noqa: PLC0415 - imports altair, which not everybody has

    bars, hours = data.bars[asset_class], data.coverage[asset_class]
    counted = dict(hours["state"].value_counts().iter_rows())
    symbols = []
    for name, rows in figures.by_symbol(bars, data.analysis[asset_class], MOST_SYMBOLS):
        first, last = rows.row(0, named=True), rows.row(-1, named=True)
        symbols.append(
            {
                "name": name,
                "bars": rows.height,
                "close": f"{last['close_price']:,.2f}",
                "change": f"{last['close_price'] / first['open_price'] - 1:+.2%}",
                "low": _shown(rows["low_price"].to_numpy().min(), "{:,.2f}"),
                "high": _shown(rows["high_price"].to_numpy().max(), "{:,.2f}"),
                "rsi": "–" if last["rsi_14"] is None else f"{last['rsi_14']:.0f}",
                "until": last["timestamp"],
                "figure": drawn(figures.prices(rows)),
            }
        )
    return {
        "name": asset_class,
        "symbols": symbols,
        "symbol_count": bars["symbol"].n_unique(),
        "states": {state.value: counted[state] for state in Coverage if state in counted},
        "coverage": drawn(figures.coverage_map(hours)),
    }


def _portfolio(name: str, valuations: pl.DataFrame, holdings: pl.DataFrame, drawn: Any) -> dict[str, Any]:
    from fin_lake.reports import figures  # noqa: PLC0415 - imports altair, which not everybody has

    value = pl.col("market_value")
    shown = valuations.select(
        "timestamp",
        "market_value",
        "cumulative_return",
        "benchmark_return",
        drawdown=value / value.cum_max() - 1,
    )
    last = valuations.row(-1, named=True)
    held = holdings.filter(
        pl.col("portfolio") == name, pl.col("timestamp") == last["timestamp"], pl.col("symbol") != CASH
    ).sort("cumulative_contribution", descending=True)
    return {
        "name": name,
        "at": last["timestamp"],
        "figure": drawn(figures.portfolio(shown)),
        "measures": [(label, _shown(last[column], form)) for column, (label, form) in _MEASURES.items()],
        "holdings": [
            {
                "symbol": row["symbol"],
                "units": _shown(row["units"], "{:,.4g}"),
                "price": _shown(row["price"], "{:,.2f}"),
                "value": _shown(row["market_value"], "{:,.2f}"),
                "weight": _shown(row["weight"], "{:.1%}"),
                "contribution": _shown(row["cumulative_contribution"], "{:+.2%}"),
            }
            for row in held.iter_rows(named=True)
        ],
        "contributions": drawn(figures.contributions(held)) if held.height else None,
    }


def _shown(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)
