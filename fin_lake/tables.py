"""One description of every table: its columns, key, and places.

A column is described once; a table's places differ, its columns do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fin_lake.schema import ASSET_CLASSES, AssetClass, Column, ColumnType, Table

RAW_SCHEMA_VERSION: Final = 1
INTERVAL_MINUTES: Final[Mapping[str, int]] = {"1min": 1, "5min": 5, "15min": 15, "30min": 30, "1h": 60}
"""The lengths that a bar may have, by the text in the column ``interval``."""
SYMBOL_PATTERN: Final = r"[A-Za-z0-9^][A-Za-z0-9.\-=^]{0,19}"
"""What a symbol looks like: AAPL, BRK.B, ^GSPC, BTC-USD, INR=X."""


def _column(name: str, type_: ColumnType, description: str, *, nullable: bool = True) -> Column:
    return Column(name, type_, description, nullable)


def _required(name: str, type_: ColumnType, description: str) -> Column:
    return _column(name, type_, description, nullable=False)


_SYMBOL = _column("symbol", ColumnType.STRING, "Ticker, or coin and currency: AAPL, BTC-USD", nullable=False)
_TIMESTAMP = _column("timestamp", ColumnType.TIMESTAMP, "Start of the bar, UTC", nullable=False)
_INTERVAL = _column("interval", ColumnType.STRING, "Length of the bar: 30min, 1h", nullable=False)
_SOURCE = _column("source", ColumnType.STRING, "The API that the bar comes from", nullable=False)

_PRICES = tuple(
    _column(f"{which}_price", ColumnType.DOUBLE, f"{meaning} of the bar, in the quote currency, as traded")
    for which, meaning in (
        ("open", "First price"),
        ("high", "Highest price"),
        ("low", "Lowest price"),
        ("close", "Last price"),
    )
)
_REQUIRED_PRICES = tuple(Column(c.name, c.type, c.description, nullable=False) for c in _PRICES)
_VOLUME_24H = _column(
    "volume_24h", ColumnType.DOUBLE, "Value traded in the 24 hours before, in the quote currency, rolling"
)
_SAMPLED = _column(
    "sampled",
    ColumnType.BOOLEAN,
    "Whether the bar is made of price samples, not of trades",
    nullable=False,
)

_RAW_COLUMNS: Final = (
    _column("kind", ColumnType.STRING, "What the record is: bar, split or dividend", nullable=False),
    _column("symbol", ColumnType.STRING, "Ticker, or coin and currency"),
    _column("timestamp", ColumnType.TIMESTAMP, "Start of the bar, or time of the event, UTC"),
    _column("interval", ColumnType.STRING, "Length of the bar; null for an event"),
    *(_column(c.name, c.type, c.description.replace("as traded", "as the source sent it")) for c in _PRICES),
    _column("volume", ColumnType.DOUBLE, "Units traded in the bar, as the source sent it"),
    _VOLUME_24H,
    _column("source", ColumnType.STRING, "The API that answered: alpha_vantage, yahoo, coingecko"),
    _column("fetched_at", ColumnType.TIMESTAMP, "When the answer arrived, UTC"),
    _column("finished", ColumnType.BOOLEAN, "Whether the bar had ended when it was fetched"),
    _column("sampled", ColumnType.BOOLEAN, _SAMPLED.description),
    _column(
        "split_factor",
        ColumnType.DOUBLE,
        "What the source had divided prices by, for splits since the bar: price as traded = price × factor",
    ),
    _column("payload", ColumnType.STRING, "The source's own fragment, verbatim, as JSON text"),
    _column("schema_version", ColumnType.BIGINT, "Version of this record's layout"),
)

_QUARANTINE_COLUMNS: Final = (
    _column("rule", ColumnType.STRING, "The rule that the record broke", nullable=False),
    _column("detail", ColumnType.STRING, "What was found, in words"),
    _column("raw_key", ColumnType.STRING, "The raw object that holds the record", nullable=False),
    _column("raw_hour", ColumnType.TIMESTAMP, "The hour that the raw object belongs to, UTC", nullable=False),
    *(
        Column(c.name, c.type, c.description, nullable=True)
        for c in _RAW_COLUMNS
        if c.name not in ("kind", "schema_version")
    ),
)

RAW: Final[Mapping[AssetClass, Table]] = {
    "stocks": Table(
        name="raw/stocks",
        description="Stock bars and corporate actions as Alpha Vantage and Yahoo Finance sent them",
        columns=_RAW_COLUMNS,
        asset_class="stocks",
        lake_prefix="raw/stocks",
        file_stem="stock_data",
        formats=("json",),
    ),
    "crypto": Table(
        name="raw/crypto",
        description="Crypto bars as CoinGecko sent them",
        columns=_RAW_COLUMNS,
        asset_class="crypto",
        lake_prefix="raw/crypto",
        file_stem="crypto_data",
        formats=("json",),
    ),
}

PROCESSED: Final[Mapping[AssetClass, Table]] = {
    "stocks": Table(
        name="processed/stocks",
        description="Clean stock bars: one per symbol, interval and start",
        columns=(
            _SYMBOL,
            _TIMESTAMP,
            _INTERVAL,
            *_REQUIRED_PRICES,
            _column("volume", ColumnType.BIGINT, "Shares traded in the bar, as traded", nullable=False),
            _SOURCE,
        ),
        key=("symbol", "interval", "timestamp"),
        asset_class="stocks",
        lake_prefix="processed/stocks",
        file_stem="stock_data",
        formats=("json", "parquet"),
        postgres="stocks",
    ),
    "crypto": Table(
        name="processed/crypto",
        description="Clean crypto bars: one per symbol, interval and start",
        columns=(
            _SYMBOL,
            _TIMESTAMP,
            _INTERVAL,
            *_REQUIRED_PRICES,
            _column(
                "volume",
                ColumnType.DOUBLE,
                "Coins traded in the bar; null, since CoinGecko does not send it",
            ),
            _VOLUME_24H,
            _SAMPLED,
            _SOURCE,
        ),
        key=("symbol", "interval", "timestamp"),
        asset_class="crypto",
        lake_prefix="processed/crypto",
        file_stem="crypto_data",
        formats=("json", "parquet"),
        postgres="crypto",
    ),
}

QUARANTINE: Final[Mapping[AssetClass, Table]] = {
    asset_class: Table(
        name=f"quarantine/{asset_class}",
        description=f"Raw {asset_class} records that broke a rule of cleaning",
        columns=_QUARANTINE_COLUMNS,
        asset_class=asset_class,
        lake_prefix=f"processed/_quarantine/{asset_class}",
        file_stem=RAW[asset_class].file_stem,
        hour_column="raw_hour",
    )
    for asset_class in ASSET_CLASSES
}

CORPORATE_ACTIONS: Final = Table(
    name="processed/corporate_actions",
    description="Splits and cash dividends of stocks, by the start of trading on the ex-date",
    columns=(
        _SYMBOL,
        _column("timestamp", ColumnType.TIMESTAMP, "Start of trading on the ex-date, UTC", nullable=False),
        _column("kind", ColumnType.STRING, "What it is: split or dividend", nullable=False),
        _column("ratio", ColumnType.DOUBLE, "New shares for each old one; null for a dividend"),
        _column(
            "amount",
            ColumnType.DOUBLE,
            "Cash per share as it traded on the ex-date, in the quote currency; null for a split",
        ),
        _column("source", ColumnType.STRING, "The API that tells of it", nullable=False),
    ),
    key=("symbol", "timestamp", "kind"),
    asset_class="stocks",
    lake_prefix="processed/corporate_actions",
    file_stem="corporate_actions",
    postgres="corporate_actions",
)

_INDICATORS: Final = (
    ("sma_20", "Simple moving average of the close over 20 bars, in the quote currency"),
    ("sma_50", "Simple moving average of the close over 50 bars, in the quote currency"),
    ("ema_12", "Exponential moving average of the close, 12 bars, in the quote currency"),
    ("ema_26", "Exponential moving average of the close, 26 bars, in the quote currency"),
    ("rsi_14", "Relative strength index of the close, 14 bars, 0 to 100"),
    ("macd", "Moving average convergence divergence: ema_12 less ema_26, in the quote currency"),
    ("macd_signal", "Exponential moving average of macd, 9 bars, in the quote currency"),
    ("macd_histogram", "macd less macd_signal, in the quote currency"),
    ("bollinger_upper", "bollinger_middle and 2 standard deviations of the close over 20 bars"),
    ("bollinger_middle", "Simple moving average of the close over 20 bars, in the quote currency"),
    ("bollinger_lower", "bollinger_middle less 2 standard deviations of the close over 20 bars"),
    ("atr_14", "Average true range, 14 bars, in the quote currency"),
    ("vwap", "Average price of the UTC day so far, weighted by volume; null without volume"),
    ("obv", "On-balance volume of the UTC day so far, in units; null without volume"),
    ("stochastic_k", "Stochastic oscillator over 14 bars, smoothed over 3, 0 to 100"),
    ("stochastic_d", "Simple moving average of stochastic_k over 3 bars, 0 to 100"),
    ("adx_14", "Average directional index, 14 bars, 0 to 100"),
    ("volatility_24", "Standard deviation of the hourly log returns of 24 bars, not annualised"),
)

TECHNICAL_ANALYSIS: Final[Mapping[AssetClass, Table]] = {
    asset_class: Table(
        name=f"technical_analysis/{asset_class}",
        description=f"Technical indicators of hourly {asset_class} bars: one row per symbol and hour",
        columns=(
            _SYMBOL,
            _column("timestamp", ColumnType.TIMESTAMP, "Start of the hour, UTC", nullable=False),
            _column("asset_class", ColumnType.STRING, "What trades: stocks or crypto", nullable=False),
            _column("close_price", ColumnType.DOUBLE, "Last price of the hour, in the quote currency"),
            *(_column(name, ColumnType.DOUBLE, description) for name, description in _INDICATORS),
            _column(
                "history_bars",
                ColumnType.BIGINT,
                "Bars of the look-back, this one included, that the values are computed from at least",
            ),
        ),
        key=("asset_class", "symbol", "timestamp"),
        asset_class=asset_class,
        lake_prefix=f"processed/technical_analysis/{asset_class}",
        file_stem="technical_analysis",
        postgres="technical_analysis",
        postgres_part=("asset_class", asset_class),
    )
    for asset_class in ASSET_CLASSES
}

_PORTFOLIO: Final = _required("portfolio", ColumnType.STRING, "The portfolio's name")
_VALUED_HOUR: Final = _required(
    "timestamp", ColumnType.TIMESTAMP, "Start of the hour whose closing prices count, UTC"
)

VALUATION_COLUMNS: Final = (
    _PORTFOLIO,
    _VALUED_HOUR,
    _required("market_value", ColumnType.DOUBLE, "Value of all holdings and the cash, in US dollars"),
    _required("cash", ColumnType.DOUBLE, "Cash, in US dollars"),
    _required("invested_value", ColumnType.DOUBLE, "Value of all holdings without the cash, in US dollars"),
    _required(
        "hourly_return", ColumnType.DOUBLE, "Return since the valuation before, or the start, as a fraction"
    ),
    _required(
        "daily_return",
        ColumnType.DOUBLE,
        "Return since the last valuation of an earlier UTC day, or the start, as a fraction",
    ),
    _required("cumulative_return", ColumnType.DOUBLE, "Return since the start, as a fraction"),
    _required("holding_count", ColumnType.BIGINT, "Symbols of which units are held"),
    Column(
        "oldest_price_age_hours",
        ColumnType.BIGINT,
        "Hours since the oldest of the prices that holdings are valued at; null if only cash is held",
    ),
    _required(
        "rebalanced",
        ColumnType.BOOLEAN,
        "Whether an allocation took effect or was restored at this hour's closes",
    ),
    Column(
        "benchmark_return",
        ColumnType.DOUBLE,
        "Return of the benchmark since its price at the first valuation at which it had one, as a fraction",
    ),
    Column(
        "volatility",
        ColumnType.DOUBLE,
        "Sample deviation of the daily returns, a year, as a fraction; null below 2 daily returns",
    ),
    Column(
        "sharpe",
        ColumnType.DOUBLE,
        "Mean daily return above the risk-free rate by its deviation, a year; null below 2 daily returns",
    ),
    Column(
        "sortino",
        ColumnType.DOUBLE,
        "Mean daily return above the risk-free rate by its deviation downwards, a year; null below 2 daily "
        "returns and where none is below the rate",
    ),
    _required(
        "max_drawdown",
        ColumnType.DOUBLE,
        "Deepest fall of a day's last value from an earlier one's, as a fraction, at most 0",
    ),
    Column(
        "var_95",
        ColumnType.DOUBLE,
        "Daily return that 5 % of the daily returns fall below, as a fraction; null below 20 daily returns",
    ),
    Column(
        "cvar_95",
        ColumnType.DOUBLE,
        "Mean of the worst 5 % of the daily returns, as a fraction; null below 20 daily returns",
    ),
    Column(
        "beta",
        ColumnType.DOUBLE,
        "Covariance of the daily returns with the benchmark's, by its variance, over the days on which the "
        "benchmark has a bar; null below 2 of them",
    ),
)
"""A row is a portfolio at an hour; key: portfolio, timestamp.

The daily returns behind the measures are those of the UTC days that were over, from their last
valuations, and of the day under way until this hour.
"""

HOLDING_COLUMNS: Final = (
    _PORTFOLIO,
    _VALUED_HOUR,
    _required("symbol", ColumnType.STRING, "What is held, or has been; CASH for the cash"),
    _required("units", ColumnType.DOUBLE, "Units held after this hour's transactions; dollars of cash"),
    Column("price", ColumnType.DOUBLE, "Last closing price, in US dollars a unit; null before the first"),
    Column("price_at", ColumnType.TIMESTAMP, "Start of the hour that the price is from, UTC"),
    Column("price_age_hours", ColumnType.BIGINT, "Hours from that hour to this one; 0 is a price of now"),
    Column("market_value", ColumnType.DOUBLE, "Units times price, in US dollars; null without a price"),
    Column("weight", ColumnType.DOUBLE, "Fraction of the portfolio's value; null without a price"),
    _required(
        "contribution",
        ColumnType.DOUBLE,
        "Part of the portfolio's hourly return: gain since the valuation before by the value then",
    ),
    _required(
        "cumulative_contribution",
        ColumnType.DOUBLE,
        "Part of the portfolio's return since the start: all gains by the value at the start",
    ),
)
"""A row is a symbol, or the cash, at an hour; key: portfolio, timestamp, symbol.

A symbol has rows from the first allocation on that holds it, also after it was sold.
"""

PORTFOLIOS: Final[Mapping[str, Table]] = {
    "valuations": Table(
        name="portfolios/valuations",
        description="Value, return and risk of portfolios: one row per portfolio and hour that has a price",
        columns=VALUATION_COLUMNS,
        key=("portfolio", "timestamp"),
        asset_class=None,
        lake_prefix="processed/portfolios/{portfolio}",
        file_stem="valuation",
        postgres="portfolios",
    ),
    "holdings": Table(
        name="portfolios/holdings",
        description="What portfolios hold: one row per portfolio, hour and symbol, and one for the cash",
        columns=HOLDING_COLUMNS,
        key=("portfolio", "symbol", "timestamp"),
        asset_class=None,
        lake_prefix="processed/portfolios/{portfolio}/holdings",
        file_stem="holdings",
        postgres="portfolio_holdings",
    ),
}

_OF_CLASSES: Final[Mapping[str, Table]] = {
    f"{layer}/{asset_class}": table
    for layer, tables in (
        ("raw", RAW),
        ("processed", PROCESSED),
        ("quarantine", QUARANTINE),
        ("market", PROCESSED),
        ("technical_analysis", TECHNICAL_ANALYSIS),
        ("market/technical_analysis", TECHNICAL_ANALYSIS),
    )
    for asset_class, table in tables.items()
}
TABLES_BY_ASSET: Final[Mapping[str, Table]] = {
    **_OF_CLASSES,
    "processed/corporate_actions": CORPORATE_ACTIONS,
    "market/corporate_actions": CORPORATE_ACTIONS,
    **{
        f"{layer}/{name}": table
        for layer in ("portfolios", "market/portfolios")
        for name, table in PORTFOLIOS.items()
    },
}
"""The table behind each asset, by the asset's key; ``market/…`` are those in PostgreSQL."""

POSTGRES_TABLES: Final[tuple[Table, ...]] = tuple(
    {table.postgres: table for table in TABLES_BY_ASSET.values() if table.postgres}.values()
)
"""The tables of the schema ``market``."""
