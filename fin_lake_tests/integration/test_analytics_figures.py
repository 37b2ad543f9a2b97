"""Every figure of the analytics layer, computed a second time by pandas from what the lake holds.

Nothing of dbt's is read but the tables that are compared: bars come from the processed Parquet, the
sources' own answers from the raw objects. Beside the recording there are forty days of random walks,
some of their bars broken, for what needs twenty days or a quarantine.
"""

from __future__ import annotations

import collections
import gzip
import io
import itertools
import json

import empyrical
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
import talib

from fin_lake.analytics.project import PROJECT, load_manifest
from fin_lake.analytics.runner import run_dbt
from fin_lake.assets.analytics import dbt_variables
from fin_lake.clients import aws_client
from fin_lake.lake.catalog import ensure_catalog
from fin_lake.lake.store import Lake
from fin_lake.operations.athena import Athena
from fin_lake.operations.extract import extract
from fin_lake.operations.instance import open_instance
from fin_lake.partitions import HourRange
from fin_lake.schema import ASSET_CLASSES
from fin_lake.settings import Settings
from fin_lake_tests.conftest import hours
from fin_lake_tests.synthetic import fill, synthetic_records

pytestmark = pytest.mark.stack
MINUTES = {"1min": 1, "5min": 5, "15min": 15, "30min": 30, "1h": 60}
DAY = pd.Timedelta(days=1)
WALKS = hours("2022-09-19T00", 40 * 24)
PREVIOUS_CLOSE, ROLLING, REACH = 10 * DAY, 45 * DAY, 14 * DAY
KEYS = {
    "stg_technical_analysis": ["symbol", "hour_start"],
    "aggregations_hourly_ohlcv": ["symbol", "hour_start"],
    "aggregations_daily_ohlcv": ["symbol", "trade_date"],
    "aggregations_weekly_ohlcv": ["symbol", "week_start"],
    "aggregations_daily_returns": ["symbol", "trade_date"],
    "aggregations_volatility": ["symbol", "trade_date"],
    "aggregations_volume_leaders": ["symbol", "trade_date"],
    "aggregations_cross_asset_correlation": ["symbol_a", "symbol_b", "trade_date"],
    "aggregations_cross_source_differences": ["symbol", "bar_interval", "bar_start", "source_a", "source_b"],
    "ml_features_hourly": ["symbol", "hour_start"],
    "ml_features_labels": ["symbol", "hour_start", "horizon_bars"],
    "reports_daily_market_summary": ["trade_date", "asset_class"],
    "reports_data_quality": ["trade_date", "asset_class"],
    "reports_portfolio_performance": ["trade_date", "portfolio"],
    "reports_portfolio_contribution": ["trade_date", "portfolio", "symbol"],
}
WEIGHTS = {"AAPL": 0.35, "MSFT": 0.35, "NVDA": 0.30}  # bought on the first day, kept throughout the month
WORTH = 1_000_000.0
NEVER_THERE = {"var_95", "cvar_95"}  # they need 20 daily returns; the recording has 19


class Expected:
    """The tables as pandas makes them."""

    def __init__(self, settings: Settings) -> None:
        self._lake = Lake(settings)
        self.hourly = self._hourly()
        self.daily = self._daily()
        self.returns = self._returns()
        self.volatility = self._volatility()
        self.leaders = self._leaders()
        self.raw = self._raw()
        self.differences = self._differences()

    def _parquet(self, prefix: str) -> pd.DataFrame:
        keys = [one.key for one in self._lake.list_objects([prefix])]
        tables = [pq.ParquetFile(io.BytesIO(data)).read() for data in self._lake.get_many(keys).values()]
        frames = [table.to_pandas() for table in tables if table.num_rows]
        return pd.concat(frames or [tables[0].to_pandas()], ignore_index=True)

    def _bars(self, asset_class: str) -> pd.DataFrame:
        frame = self._parquet(f"processed/{asset_class}/parquet/")
        frame["timestamp"] = frame["timestamp"].dt.tz_localize(None)
        return frame.assign(asset_class=asset_class, is_sampled=frame.get("sampled", False))

    def _hourly(self) -> pd.DataFrame:
        bars = pd.concat([self._bars(one) for one in ASSET_CLASSES], ignore_index=True)
        bars["volume"] = bars["volume"].astype(float)
        bars["hour_start"] = bars["timestamp"].dt.floor("h")
        bars["minutes"] = bars["interval"].map(MINUTES)
        bars["end"] = bars["timestamp"] + pd.to_timedelta(bars["minutes"], unit="min")
        typical = (bars["high_price"] + bars["low_price"] + bars["close_price"]) / 3
        bars["turnover"] = typical * bars["volume"]
        bars = bars.sort_values("timestamp")
        made = (
            bars.groupby(["symbol", "asset_class", "hour_start", "interval"])
            .agg(
                open_price=("open_price", "first"),
                high_price=("high_price", "max"),
                low_price=("low_price", "min"),
                close_price=("close_price", "last"),
                volume=("volume", lambda values: values.sum(min_count=1)),
                turnover=("turnover", lambda values: values.sum(min_count=1)),
                bar_count=("timestamp", "size"),
                covered_minutes=("minutes", "sum"),
                minutes=("minutes", "max"),
                is_sampled=("is_sampled", "all"),
                source=("source", "last"),
                first_bar_at=("timestamp", "min"),
                last_bar_at=("timestamp", "max"),
                end=("end", "max"),
            )
            .reset_index()
            .rename(columns={"interval": "bar_interval"})
        )
        # an hour in two intervals counts once: trades before samples, fuller before emptier, finer first
        made = made.sort_values(["is_sampled", "covered_minutes", "minutes"], ascending=[True, False, True])
        made = made.drop_duplicates(["symbol", "hour_start"]).sort_values(["symbol", "hour_start"])
        made["trade_date"] = made["hour_start"].dt.normalize()
        made["vwap"] = made["turnover"] / made["volume"]
        hour_end = made["hour_start"] + pd.Timedelta(hours=1)
        made["available_at"] = made["end"].where(made["end"] > hour_end, hour_end)
        return made.drop(columns=["minutes", "end"]).reset_index(drop=True)

    def _daily(self) -> pd.DataFrame:
        made = (
            self.hourly.groupby(["symbol", "asset_class", "trade_date"])
            .agg(
                open_price=("open_price", "first"),
                high_price=("high_price", "max"),
                low_price=("low_price", "min"),
                close_price=("close_price", "last"),
                volume=("volume", lambda values: values.sum(min_count=1)),
                turnover=("turnover", lambda values: values.sum(min_count=1)),
                hour_count=("hour_start", "size"),
                bar_count=("bar_count", "sum"),
                sampled_hour_count=("is_sampled", "sum"),
                first_bar_at=("first_bar_at", "min"),
                last_bar_at=("last_bar_at", "max"),
                available_at=("available_at", "max"),
            )
            .reset_index()
        )
        return made.assign(vwap=made["turnover"] / made["volume"])

    def _weekly(self) -> pd.DataFrame:
        daily = self.daily
        weeks = daily.assign(
            week_start=daily["trade_date"] - pd.to_timedelta(daily["trade_date"].dt.day_of_week, unit="D")
        )
        made = (
            weeks.groupby(["symbol", "asset_class", "week_start"])
            .agg(
                open_price=("open_price", "first"),
                high_price=("high_price", "max"),
                low_price=("low_price", "min"),
                close_price=("close_price", "last"),
                volume=("volume", lambda values: values.sum(min_count=1)),
                turnover=("turnover", lambda values: values.sum(min_count=1)),
                day_count=("trade_date", "size"),
                bar_count=("bar_count", "sum"),
                first_trade_date=("trade_date", "min"),
                last_trade_date=("trade_date", "max"),
            )
            .reset_index()
        )
        calendar = made["week_start"].dt.isocalendar()
        return made.assign(
            vwap=made["turnover"] / made["volume"], iso_year=calendar["year"], iso_week=calendar["week"]
        )

    def _returns(self) -> pd.DataFrame:
        made = self.daily[["symbol", "asset_class", "trade_date", "close_price"]].copy()
        before = made.groupby("symbol")[["trade_date", "close_price"]].shift(1)
        near = before["trade_date"] >= made["trade_date"] - PREVIOUS_CLOSE
        made["previous_trade_date"] = before["trade_date"].where(near)
        made["previous_close_price"] = before["close_price"].where(near)
        made["simple_return"] = made["close_price"] / made["previous_close_price"] - 1
        made["log_return"] = np.log(made["close_price"] / made["previous_close_price"])
        return made

    def _volatility(self) -> pd.DataFrame:
        made = self.returns[["symbol", "asset_class", "trade_date", "log_return"]].copy()
        year = np.where(made["asset_class"] == "crypto", 365, 252)
        for days in (5, 20):
            of_symbol = made.groupby("symbol")
            deviation = of_symbol["log_return"].transform(lambda move, n=days: move.rolling(n).std(ddof=1))
            near = of_symbol["trade_date"].shift(days - 1) >= made["trade_date"] - ROLLING
            made[f"volatility_{days}d"] = (deviation * np.sqrt(year)).where(near)
        return made

    def _leaders(self) -> pd.DataFrame:
        columns = ["symbol", "asset_class", "trade_date", "volume", "turnover"]
        made = self.daily.dropna(subset="volume")[columns].sort_values("symbol")
        of_class = made.groupby(["trade_date", "asset_class"])
        for name in ("volume", "turnover"):
            # method first: of equals the one whose symbol comes first
            made[f"{name}_rank"] = of_class[name].rank(method="first", ascending=False).astype(int)
            made[f"{name}_share"] = made[name] / of_class[name].transform("sum")
        return made

    def _correlation(self) -> pd.DataFrame:
        classes = self.returns.drop_duplicates("symbol").set_index("symbol")["asset_class"]
        wide = self.returns.pivot_table(index="trade_date", columns="symbol", values="log_return")
        found = []
        for a, b in itertools.combinations(sorted(wide.columns), 2):
            common = wide[[a, b]].dropna()
            days = common.index.to_series()
            near = days.shift(19) >= days - ROLLING
            found.append(
                pd.DataFrame(
                    {
                        "symbol_a": a,
                        "symbol_b": b,
                        "asset_class_a": classes[a],
                        "asset_class_b": classes[b],
                        "trade_date": days,
                        "correlation_20d": common[a].rolling(20).corr(common[b]).where(near),
                    }
                )
            )
        return pd.concat(found, ignore_index=True)

    def _raw(self) -> pd.DataFrame:
        records = []
        for asset_class in ASSET_CLASSES:
            keys = [one.key for one in self._lake.list_objects([f"raw/{asset_class}/"])]
            for key, data in self._lake.get_many(keys).items():
                parts = dict(part.split("=") for part in key.split("/") if "=" in part)
                hour = pd.Timestamp("{year}-{month}-{day} {hour}:00".format(**parts))
                lines = gzip.decompress(data).splitlines()
                records += [
                    {**json.loads(line), "asset_class": asset_class, "raw_hour": hour} for line in lines
                ]
        raw = pd.DataFrame(records)
        for name in ("timestamp", "fetched_at"):
            raw[name] = pd.to_datetime(raw[name], format="ISO8601").dt.tz_localize(None)
        return raw

    def _differences(self) -> pd.DataFrame:
        raw = self.raw
        wanted = raw[
            (raw["kind"] == "bar")
            & (raw[["open_price", "low_price", "close_price"]] > 0).all(axis=1)
            & (raw["high_price"] >= raw[["open_price", "close_price"]].max(axis=1))
            & (raw["low_price"] <= raw[["open_price", "close_price"]].min(axis=1))
            & raw["finished"].fillna(value=True).astype(bool)
            & (raw["timestamp"].dt.floor("h") == raw["raw_hour"])
        ].assign(price=lambda rows: rows["close_price"] * rows["split_factor"].fillna(1))
        key = ["symbol", "asset_class", "interval", "timestamp"]
        latest = wanted.sort_values(["fetched_at", "price"]).drop_duplicates([*key, "source"], keep="last")
        pairs = latest.merge(latest, on=key, suffixes=("_a", "_b"))
        pairs = pairs[pairs["source_a"] < pairs["source_b"]]
        relative = pairs["price_b"] / pairs["price_a"] - 1
        return pd.DataFrame(
            {
                "symbol": pairs["symbol"],
                "asset_class": pairs["asset_class"],
                "trade_date": pairs["timestamp"].dt.normalize(),
                "bar_interval": pairs["interval"],
                "bar_start": pairs["timestamp"],
                "source_a": pairs["source_a"],
                "source_b": pairs["source_b"],
                "close_price_a": pairs["price_a"],
                "close_price_b": pairs["price_b"],
                "difference_bps": relative * 10_000,
                "is_flagged": relative.abs() * 10_000 > 10,
            }
        )

    def _analysis(self) -> pd.DataFrame:
        recorded = self.hourly[self.hourly["hour_start"] > WALKS.end.replace(tzinfo=None)]
        made = pd.concat([_indicators_of(bars) for _, bars in recorded.groupby("symbol")], ignore_index=True)
        for name, form in {"year": "%Y", "month": "%m", "day": "%d", "hour": "%H"}.items():
            made[name] = made["hour_start"].dt.strftime(form)
        return made

    def _features(self) -> pd.DataFrame:
        made = pd.concat([_features_of(bars) for _, bars in self.hourly.groupby("symbol")], ignore_index=True)
        analysis = self._analysis()
        width = analysis["bollinger_upper"] - analysis["bollinger_lower"]
        close = analysis["close_price"]
        ratios = analysis.assign(
            macd_histogram_ratio=analysis["macd_histogram"] / close,
            bollinger_position=(close - analysis["bollinger_lower"]) / width,
            atr_ratio=analysis["atr_14"] / close,
            distance_from_sma_50=close / analysis["sma_50"] - 1,
            distance_from_vwap=close / analysis["vwap"] - 1,
        )
        names = ["rsi_14", "stochastic_k", "stochastic_d", "adx_14", *ratios.columns[-5:]]
        return made.merge(ratios[["symbol", "hour_start", *names]], on=["symbol", "hour_start"], how="left")

    def _labels(self) -> pd.DataFrame:
        return pd.concat([_labels_of(bars) for _, bars in self.hourly.groupby("symbol")], ignore_index=True)

    def _summary(self) -> pd.DataFrame:
        moves = self.returns[["symbol", "trade_date", "simple_return"]]
        risk = self.volatility[["symbol", "trade_date", "volatility_20d"]]
        joined = self.daily.merge(moves, on=["symbol", "trade_date"]).merge(risk, on=["symbol", "trade_date"])
        rows = [_summary_of(*group) for group in joined.groupby(["trade_date", "asset_class"])]
        leading = self.leaders[self.leaders["turnover_rank"] == 1].rename(
            columns={"symbol": "most_traded_symbol"}
        )[["trade_date", "asset_class", "most_traded_symbol"]]
        return pd.DataFrame(rows).merge(leading, on=["trade_date", "asset_class"], how="left")

    def _quality(self) -> pd.DataFrame:
        by = ["trade_date", "asset_class"]
        raw = self.raw[self.raw["kind"].fillna("bar") == "bar"]
        raw = raw.assign(trade_date=raw["raw_hour"].dt.normalize())
        bars = raw.drop_duplicates([*by, "symbol", "interval", "timestamp"])
        broken = pd.concat(
            [self._parquet(f"processed/_quarantine/{one}/").assign(asset_class=one) for one in ASSET_CLASSES]
        )
        broken["trade_date"] = broken["raw_hour"].dt.tz_localize(None).dt.normalize()
        made = pd.DataFrame(
            {
                "raw_records": raw.groupby(by).size(),
                "raw_bars": bars.groupby(by).size(),
                "sources": raw.groupby(by)["source"].agg(lambda values: ", ".join(sorted(set(values)))),
                "quarantined_rows": broken.groupby(by).size(),
                "quarantined_by_rule": broken.groupby(by)["rule"].agg(
                    lambda rules: json.dumps(dict(sorted(collections.Counter(rules).items())))
                ),
                "processed_rows": self.hourly.groupby(by)["bar_count"].sum(),
                "symbol_count": self.hourly.groupby(by)["symbol"].nunique(),
                "compared_bars": self.differences.groupby(by).size(),
                "flagged_bars": self.differences.groupby(by)["is_flagged"].sum(),
                "largest_difference_bps": self.differences.groupby(by)["difference_bps"].agg(
                    lambda values: values.abs().max()
                ),
                "hours_with_data": self.hourly.groupby(by)["hour_start"].nunique(),
                "last_bar_at": self.hourly.groupby(by)["last_bar_at"].max(),
            }
        )
        counts = [name for name in made if name.endswith(("_records", "_bars", "_rows", "_count", "_data"))]
        made[counts] = made[counts].fillna(0).astype(int)
        return made.reset_index()

    def _closes(self) -> pd.DataFrame:
        stocks = self.hourly[
            (self.hourly["asset_class"] == "stocks")
            & (self.hourly["hour_start"] > WALKS.end.replace(tzinfo=None))
        ]
        return stocks.pivot_table(index="hour_start", columns="symbol", values="close_price").ffill()

    def _performance(self) -> pd.DataFrame:
        closes = self._closes()
        units = pd.Series(WEIGHTS) * WORTH / closes.iloc[0]
        hourly = (closes * units).sum(axis=1)
        day = hourly.index.normalize()
        worth, index = hourly.groupby(day).last(), closes["IBM"].groupby(day).last()
        moves = worth / worth.shift(1, fill_value=WORTH) - 1
        market = index / index.shift(1, fill_value=closes["IBM"].iloc[0]) - 1
        rows = []
        for place, date in enumerate(worth.index, start=1):
            known, of_market = moves.iloc[:place].to_numpy(), market.iloc[:place].to_numpy()
            rows.append(
                {
                    "trade_date": date,
                    "volatility": empyrical.annual_volatility(known),
                    "sharpe": empyrical.sharpe_ratio(known) if place > 1 else np.nan,
                    "sortino": empyrical.sortino_ratio(known) if place > 1 else np.nan,
                    "max_drawdown": empyrical.max_drawdown(known),
                    "beta": empyrical.beta(known, of_market) if place > 1 else np.nan,
                }
            )
        made = pd.DataFrame(rows).replace([np.inf, -np.inf], np.nan)
        return made.assign(
            portfolio="tech_growth",
            market_value=worth.to_numpy(),
            cash=0.0,
            daily_return=moves.to_numpy(),
            cumulative_return=worth.to_numpy() / WORTH - 1,
            benchmark_return=index.to_numpy() / closes["IBM"].iloc[0] - 1,
            var_95=np.nan,
            cvar_95=np.nan,
            holding_count=len(WEIGHTS),
            oldest_price_age_hours=0,
            last_valued_hour=hourly.index.to_series().groupby(day).last().to_numpy(),
        )

    def _contribution(self) -> pd.DataFrame:
        closes = self._closes()
        units = pd.Series(WEIGHTS) * WORTH / closes[list(WEIGHTS)].iloc[0]
        worth = closes[list(WEIGHTS)] * units[list(WEIGHTS)]
        day = worth.index.normalize()
        ends = worth[list(WEIGHTS)].groupby(day).last().assign(CASH=0.0)
        bought = pd.Series(WEIGHTS | {"CASH": 0.0}) * WORTH
        gains = ends.diff().fillna(ends.iloc[:1] - bought)
        total = ends.sum(axis=1)
        long = {
            "units": ends / ends * pd.Series({**units[list(WEIGHTS)], "CASH": 0.0}),
            "market_value": ends,
            "weight": ends.div(total, axis=0),
            "gain": gains,
            "contribution": gains.div(total.shift(1, fill_value=WORTH), axis=0),
            "cumulative_contribution": gains.cumsum() / WORTH,
        }
        made = pd.concat({name: wide[list(bought.index)].stack() for name, wide in long.items()}, axis=1)
        made.index.names = ["trade_date", "symbol"]
        return made.fillna({"units": 0.0}).reset_index().assign(portfolio="tech_growth")

    def table(self, name: str) -> pd.DataFrame:
        """Return a table by its name in Athena."""
        if name.startswith("aggregations_cross_asset"):
            return self._correlation()
        made = {
            "aggregations_hourly_ohlcv": lambda: self.hourly,
            "aggregations_daily_ohlcv": lambda: self.daily,
            "aggregations_weekly_ohlcv": self._weekly,
            "aggregations_daily_returns": lambda: self.returns,
            "aggregations_volatility": lambda: self.volatility,
            "aggregations_volume_leaders": lambda: self.leaders,
            "aggregations_cross_source_differences": lambda: self.differences,
            "stg_technical_analysis": self._analysis,
            "ml_features_hourly": self._features,
            "ml_features_labels": self._labels,
            "reports_daily_market_summary": self._summary,
            "reports_data_quality": self._quality,
            "reports_portfolio_performance": self._performance,
            "reports_portfolio_contribution": self._contribution,
        }
        return made[name]()


def _indicators_of(bars: pd.DataFrame) -> pd.DataFrame:
    """Return the indicators of a symbol, which TA-Lib makes of all its bars at once."""
    bars = bars.sort_values("hour_start")
    high, low, close = (bars[f"{name}_price"].to_numpy() for name in ("high", "low", "close"))
    made = bars[["symbol", "asset_class", "hour_start", "close_price"]].copy()
    made["sma_20"], made["sma_50"] = talib.SMA(close, 20), talib.SMA(close, 50)
    made["ema_12"], made["ema_26"] = talib.EMA(close, 12), talib.EMA(close, 26)
    made["rsi_14"] = talib.RSI(close, 14)
    made["macd"], made["macd_signal"], made["macd_histogram"] = talib.MACD(close, 12, 26, 9)
    bands = talib.BBANDS(close, 20, 2.0, 2.0)
    made["bollinger_upper"], made["bollinger_middle"], made["bollinger_lower"] = bands
    made["atr_14"], made["adx_14"] = talib.ATR(high, low, close, 14), talib.ADX(high, low, close, 14)
    made["stochastic_k"], made["stochastic_d"] = talib.STOCH(high, low, close, 14, 3, 0, 3, 0)
    made["volatility_24"] = np.log(bars["close_price"]).diff().rolling(24).std(ddof=1)
    of_day = bars.groupby("trade_date")
    made["vwap"] = of_day["turnover"].cumsum() / of_day["volume"].cumsum()
    made["obv"] = np.concatenate(
        [talib.OBV(day["close_price"].to_numpy(), day["volume"].to_numpy()) for _, day in of_day]
    )
    back = pd.Timedelta(days=70 if bars["asset_class"].iloc[0] == "stocks" else 14)
    hours = bars["hour_start"].to_numpy()
    made["history_bars"] = np.arange(1, hours.size + 1) - np.searchsorted(hours, hours - back.to_numpy())
    return made


def _features_of(bars: pd.DataFrame) -> pd.DataFrame:
    bars = bars.sort_values("hour_start")
    made = bars[["symbol", "asset_class", "trade_date", "hour_start", "available_at", "close_price"]].copy()
    close, volume = bars["close_price"], bars["volume"]

    def reaches(count: int) -> pd.Series:
        return bars["hour_start"].shift(count) >= bars["hour_start"] - REACH

    move = np.log(close / close.shift(1)).where(reaches(1))
    made["log_return"] = move
    for lag in (1, 2, 3):
        made[f"log_return_lag_{lag}"] = move.shift(lag).where(reaches(lag + 1))
    for count in (6, 24):
        window, full = move.rolling(count), reaches(count)
        made[f"return_mean_{count}"] = window.mean().where(full)
        made[f"return_std_{count}"] = window.std(ddof=1).where(full)
        made[f"return_min_{count}"] = window.min().where(full)
        made[f"return_max_{count}"] = window.max().where(full)
        distance = close / close.rolling(count).mean() - 1
        made[f"distance_from_mean_{count}"] = distance.where(reaches(count - 1))
    score = (volume - volume.rolling(24).mean()) / volume.rolling(24).std(ddof=1)
    made["volume_zscore_24"] = score.where(reaches(23))
    of_day = bars.groupby("trade_date")
    made["hour_of_session"] = of_day.cumcount() + 1
    opened = of_day["first_bar_at"].cummin()
    made["minutes_since_open"] = (bars["available_at"] - opened) // pd.Timedelta(minutes=1)
    made["day_of_week"] = bars["trade_date"].dt.day_of_week + 1
    in_new_york = bars["available_at"].dt.tz_localize("UTC").dt.tz_convert("America/New_York").dt.hour
    is_stock = bars["asset_class"] == "stocks"
    made["is_last_hour"] = np.where(is_stock, in_new_york == 16, bars["hour_start"].dt.hour == 23)
    return made


def _labels_of(bars: pd.DataFrame) -> pd.DataFrame:
    bars = bars.sort_values("hour_start")
    found = []
    for count in (1, 4, 24):
        near = bars["hour_start"].shift(-count) <= bars["hour_start"] + REACH
        made = bars[["symbol", "asset_class", "trade_date", "hour_start"]].copy()
        made["horizon_bars"] = count
        made["decision_at"] = bars["available_at"]
        made["forward_return"] = (bars["close_price"].shift(-count) / bars["close_price"] - 1).where(near)
        made["direction"] = np.sign(made["forward_return"])
        made["label_end_at"] = bars["available_at"].shift(-count).where(near)
        found.append(made)
    labels = pd.concat(found, ignore_index=True)
    labels["purge_until"] = labels.groupby("hour_start")["label_end_at"].transform("max")
    return labels.assign(embargo_until=labels["purge_until"] + DAY)


def _summary_of(key: tuple[pd.Timestamp, str], day: pd.DataFrame) -> dict[str, object]:
    day = day.sort_values("symbol")
    moves = day.set_index("symbol")["simple_return"].dropna()
    return {
        "trade_date": key[0],
        "asset_class": key[1],
        "symbol_count": len(day),
        "bar_count": day["bar_count"].sum(),
        "advancers": (moves > 0).sum(),
        "decliners": (moves < 0).sum(),
        "unchanged": (moves == 0).sum(),
        "mean_return": moves.mean(),
        "best_symbol": moves.idxmax() if len(moves) else None,
        "best_return": moves.max(),
        "worst_symbol": moves.idxmin() if len(moves) else None,
        "worst_return": moves.min(),
        "volume": day["volume"].sum(min_count=1),
        "turnover": day["turnover"].sum(min_count=1),
        "mean_volatility_20d": day["volatility_20d"].mean(),
        "first_bar_at": day["first_bar_at"].min(),
        "last_bar_at": day["last_bar_at"].max(),
    }


@pytest.fixture(scope="module")
def built(module_settings: Settings) -> Settings:
    """The whole recording and some walks, with the models built on them."""
    settings = module_settings
    glue = aws_client(settings, "glue", settings.glue_endpoint_url)
    ensure_catalog(glue, database=settings.glue_database, bucket=settings.bucket)
    walk(Lake(settings))
    variables = json.dumps(dbt_variables(WALKS))
    for _ in run_dbt(settings, PROJECT, ["run", "--vars", variables], known=load_manifest()["nodes"]):
        pass
    recorded = HourRange(settings.start, HourRange.of(settings.latest_closed_hour).end)
    with open_instance(settings) as instance:
        report = extract(settings, recorded, ASSET_CLASSES, instance=instance)
    assert report.succeeded, report.failures
    return settings


def walk(lake: Lake) -> None:
    """Put bars of two hours a day into the lake, one in forty of them broken in one of two ways."""
    kept = [hour for hour in WALKS if hour.hour in (15, 16)]
    for asset_class, symbols in (("stocks", ("WALKA", "WALKB")), ("crypto", ("WALK-USD", "STEP-USD"))):
        records = synthetic_records(asset_class, WALKS, symbols).with_row_index("row")
        broken = pl.when(pl.col("row") % 80 == 31)
        records = records.with_columns(
            high_price=broken.then(pl.col("low_price") / 2).otherwise("high_price"),
            close_price=pl.when(pl.col("row") % 80 == 65).then(-1.0).otherwise("close_price"),
        )
        fill(lake, asset_class, records.drop("row"), kept)


@pytest.fixture(scope="module")
def expected(built: Settings) -> Expected:
    return Expected(built)


def _read(settings: Settings, table: str) -> pd.DataFrame:
    """Return a table as Athena gives it, with pandas' types."""
    answer = Athena(settings).run(f"select * from {table}")
    frame = pd.DataFrame(list(answer.rows()), columns=[column.name for column in answer.columns])
    for column in answer.columns:
        values = frame[column.name]
        if column.type == "boolean":
            frame[column.name] = values.map({"true": True, "false": False})
        elif column.type in ("integer", "bigint", "double"):
            frame[column.name] = pd.to_numeric(values)
        elif column.type.startswith(("date", "timestamp")):
            frame[column.name] = pd.to_datetime(values)
    return frame


@pytest.mark.parametrize("table", KEYS)
def test_every_row_and_column_is_what_pandas_makes(table: str, built: Settings, expected: Expected) -> None:
    key = KEYS[table]
    got = _read(built, table).sort_values(key).reset_index(drop=True)
    wanted = expected.table(table).sort_values(key).reset_index(drop=True)
    assert sorted(got.columns) == sorted(wanted.columns)
    assert len(got) == len(wanted) > 0
    for name in wanted.columns:
        found, made = got[name], wanted[name]
        if pd.api.types.is_float_dtype(made):
            np.testing.assert_allclose(
                found.astype(float), made, rtol=1e-9, atol=1e-12, equal_nan=True, err_msg=name
            )
            assert made.notna().any() or name in NEVER_THERE, f"{name} is never there"
        else:
            assert made.notna().any(), f"{name} is never there"
            same = (found == made) | (found.isna() & made.isna())
            assert same.all(), f"{name}:\n{pd.DataFrame({'got': found, 'expected': made})[~same].head()}"
