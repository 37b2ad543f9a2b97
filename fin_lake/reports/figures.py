"""The market report's figures: frames in, Vega-Lite specifications out, by altair.

Every specification holds its own data. Bars stand side by side without the nights and weekends between.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

import polars as pl

from fin_lake.errors import FinLakeError
from fin_lake.reports.coverage import Coverage

try:
    import altair as alt
except ImportError as error:
    raise FinLakeError(
        f"the market report needs altair, which is not installed: {error}", "pip install 'fin_lake[reports]'"
    ) from None

Spec = dict[str, Any]

MOST_CANDLES: Final = 300
"""Bars above which candles would be thinner than a line."""
_WIDTH: Final = 940
_BLUE, _ORANGE, _GREEN, _RED, _GREY = "#2f6db3", "#e8812b", "#3f9b5f", "#c8372d", "#9aa0a6"
_COVERAGE_COLOURS: Final = {
    Coverage.STORED: "#2f6db3",
    Coverage.PARTIAL: "#f2c14e",
    Coverage.CLOSED: "#e6e8eb",
    Coverage.GAP: "#111111",
    Coverage.MISSING: "#e4572e",
}
_DIGITS: Final = 7
_NO_ZERO: Final = alt.Scale(zero=False)
_OVERLAYS: Final = {
    "SMA 20": ("sma_20", _ORANGE),
    "SMA 50": ("sma_50", "#8a5a9e"),
    "EMA 12": ("ema_12", _GREEN),
}


def prices(rows: pl.DataFrame) -> Spec:
    """Return a symbol's prices with averages and bands, and its RSI below.

    Parameters
    ----------
    rows : polars.DataFrame
        Hourly bars of one symbol with the columns of its technical analysis, by ``timestamp``.
    """
    data, x = _numbered(rows)
    tips = [alt.Tooltip("time:N"), *(alt.Tooltip(f"{name}_price:Q", title=name) for name in _OHLC)]
    base = alt.Chart().encode(x=x)
    band = base.mark_area(color=_GREY, opacity=0.18).encode(
        y=alt.Y("bollinger_lower:Q", scale=_NO_ZERO), y2="bollinger_upper:Q"
    )
    overlays = base.transform_fold(
        [name for name, _ in _OVERLAYS.values()], as_=["which", "value"]
    ).mark_line(strokeWidth=1.3)
    coloured = overlays.encode(
        y=alt.Y("value:Q", scale=_NO_ZERO),
        color=alt.Color(
            "which:N",
            scale=alt.Scale(
                domain=[name for name, _ in _OVERLAYS.values()],
                range=[colour for _, colour in _OVERLAYS.values()],
            ),
            legend=alt.Legend(
                title=None,
                orient="top",
                labelExpr="upper(replace(datum.label, '_', ' '))",
            ),
        ),
    )
    above = alt.layer(band, *_bars(base, rows.height, tips), coloured).properties(width=_WIDTH, height=230)
    rsi = base.mark_line(color=_BLUE, strokeWidth=1.3).encode(
        y=alt.Y(
            "rsi_14:Q",
            title="RSI 14",
            scale=alt.Scale(domain=[0, 100]),
            axis=alt.Axis(values=[0, 30, 70, 100]),
        ),
        tooltip=[alt.Tooltip("time:N"), alt.Tooltip("rsi_14:Q", format=".1f")],
    )
    return _spec(alt.vconcat(above, rsi.properties(width=_WIDTH, height=70), data=data, spacing=6))


_OHLC: Final = ("open", "high", "low", "close")


def _bars(base: alt.Chart, count: int, tips: list[alt.Tooltip]) -> list[alt.Chart]:
    if count > MOST_CANDLES:
        close = alt.Y("close_price:Q", title="US dollars", scale=_NO_ZERO)
        return [base.mark_line(color=_BLUE, strokeWidth=1.4).encode(y=close, tooltip=tips)]
    colour = alt.condition("datum.open_price <= datum.close_price", alt.value(_GREEN), alt.value(_RED))
    wick = base.mark_rule().encode(
        y=alt.Y("low_price:Q", title="US dollars", scale=_NO_ZERO), y2="high_price:Q", color=colour
    )
    body = base.mark_bar(size=max(1.5, min(7.0, 0.65 * _WIDTH / max(count, 1)))).encode(
        y="open_price:Q", y2="close_price:Q", color=colour, tooltip=tips
    )
    return [wick, body]


def portfolio(rows: pl.DataFrame) -> Spec:
    """Return a portfolio's value, its return against the benchmark's, and its drawdown.

    Parameters
    ----------
    rows : polars.DataFrame
        Valuations of one portfolio, by ``timestamp``, with a column ``drawdown``.
    """
    data, x = _numbered(rows)
    base, tip = alt.Chart().encode(x=x), alt.Tooltip("time:N")
    value = base.mark_line(color=_BLUE).encode(
        y=alt.Y("market_value:Q", title="US dollars", scale=_NO_ZERO, axis=alt.Axis(format="~s")),
        tooltip=[tip, alt.Tooltip("market_value:Q", format=",.2f")],
    )
    names = {"cumulative_return": "portfolio", "benchmark_return": "benchmark"}
    returns = (
        base.transform_fold(list(names), as_=["which", "return"])
        .mark_line()
        .encode(
            y=alt.Y("return:Q", title="return since the start", axis=alt.Axis(format=".1%")),
            color=alt.Color(
                "which:N",
                scale=alt.Scale(domain=list(names), range=[_BLUE, _ORANGE]),
                legend=alt.Legend(
                    title=None,
                    orient="top",
                    labelExpr="datum.label == 'cumulative_return' ? 'portfolio' : 'benchmark'",
                ),
            ),
            tooltip=[tip, alt.Tooltip("return:Q", format=".2%")],
        )
    )
    fall = base.mark_area(color=_RED, opacity=0.45, line={"color": _RED, "strokeWidth": 1}).encode(
        y=alt.Y("drawdown:Q", title="drawdown", axis=alt.Axis(format=".1%", tickCount=4)),
        tooltip=[tip, alt.Tooltip("drawdown:Q", format=".2%")],
    )
    parts = [value.properties(height=120), returns.properties(height=150), fall.properties(height=70)]
    return _spec(alt.vconcat(*(part.properties(width=_WIDTH) for part in parts), data=data, spacing=8))


def contributions(rows: pl.DataFrame) -> Spec:
    """Return what each holding has added to the portfolio's return since its start.

    Parameters
    ----------
    rows : polars.DataFrame
        Holdings of one portfolio at one hour: ``symbol`` and ``cumulative_contribution``.
    """
    chart = (
        alt.Chart(_data(rows.select("symbol", "cumulative_contribution")))
        .mark_bar()
        .encode(
            x=alt.X("cumulative_contribution:Q", title="part of the return", axis=alt.Axis(format=".1%")),
            y=alt.Y("symbol:N", title=None, sort="-x"),
            color=alt.condition("datum.cumulative_contribution < 0", alt.value(_RED), alt.value(_BLUE)),
            tooltip=["symbol:N", alt.Tooltip("cumulative_contribution:Q", format=".3%")],
        )
    )
    return _spec(chart.properties(width=_WIDTH - 60))


def coverage_map(rows: pl.DataFrame) -> Spec:
    """Return a map of hours by day in which each state of :class:`Coverage` has its colour.

    Parameters
    ----------
    rows : polars.DataFrame
        As :func:`fin_lake.reports.coverage.coverage` returns.
    """
    cells = rows.select(
        "rows",
        "symbols",
        "state",
        day=pl.col("hour").dt.strftime("%Y-%m-%d %a"),
        hour=pl.col("hour").dt.hour(),
    )
    order = [state.value for state in Coverage]
    scale = alt.Scale(domain=order, range=[_COVERAGE_COLOURS[state] for state in Coverage])
    chart = (
        alt.Chart(_data(cells))
        .mark_rect(stroke="white", strokeWidth=1)
        .encode(
            x=alt.X("hour:O", title="hour, UTC", axis=alt.Axis(labelAngle=0, orient="top")),
            y=alt.Y("day:O", title=None),
            color=alt.Color(
                "state:N", scale=scale, legend=alt.Legend(title=None, orient="bottom", columns=5)
            ),
            tooltip=["day:N", "hour:Q", "state:N", "rows:Q", "symbols:Q"],
        )
    )
    return _spec(chart.properties(width=alt.Step(30), height=alt.Step(16)))


def quarantined(rows: pl.DataFrame) -> Spec:
    """Return how many records broke which rule: ``asset_class``, ``rule`` and ``rows``."""
    chart = (
        alt.Chart(_data(rows))
        .mark_bar()
        .encode(
            x=alt.X("rows:Q", title="records", axis=alt.Axis(tickMinStep=1, format="d")),
            y=alt.Y("rule:N", title=None, sort="-x"),
            color=alt.Color(
                "asset_class:N",
                scale=alt.Scale(domain=["stocks", "crypto"], range=[_BLUE, _ORANGE]),
                legend=alt.Legend(title=None, orient="top"),
            ),
            tooltip=["asset_class:N", "rule:N", "rows:Q"],
        )
    )
    return _spec(chart.properties(width=_WIDTH - 160))


def stored_bytes(rows: pl.DataFrame) -> Spec:
    """Return how many bytes lie in which dataset: ``dataset``, ``storage_class`` and ``bytes``."""
    chart = (
        alt.Chart(_data(rows))
        .mark_bar()
        .encode(
            x=alt.X("bytes:Q", title="bytes", axis=alt.Axis(format="~s")),
            y=alt.Y("dataset:N", title=None, sort="-x", axis=alt.Axis(labelLimit=420)),
            color=alt.Color("storage_class:N", legend=alt.Legend(title=None, orient="top")),
            tooltip=["dataset:N", "storage_class:N", alt.Tooltip("bytes:Q", format=",")],
        )
    )
    return _spec(chart.properties(width=_WIDTH - 420))


def storage_costs(rows: pl.DataFrame) -> Spec:
    """Return what storage will cost, month by month: ``month``, ``policy`` and ``dollars``."""
    chart = (
        alt.Chart(_data(rows))
        .mark_line(point=True)
        .encode(
            x=alt.X("month:O", title="month from now", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("dollars:Q", title="US dollars a month"),
            color=alt.Color("policy:N", legend=alt.Legend(title=None, orient="top")),
            tooltip=["month:O", "policy:N", alt.Tooltip("dollars:Q", format=".5f")],
        )
    )
    return _spec(chart.properties(width=_WIDTH - 60, height=220))


def _numbered(rows: pl.DataFrame) -> tuple[alt.InlineData, alt.X]:
    """Return the data with bars numbered, and the axis on which they stand, labelled by day."""
    days = rows["timestamp"].dt.date().to_list()
    firsts = [i for i, day in enumerate(days) if i == 0 or day != days[i - 1]]
    every = -(-len(firsts) // 14)
    shown = firsts[::every]
    labels = [_day(days[i]) for i in shown]
    expression = f"{labels!r}[indexof({shown!r}, datum.value)]"
    numbered = rows.with_columns(
        n=pl.int_range(pl.len()), time=pl.col("timestamp").dt.strftime("%Y-%m-%d %H:%M UTC")
    ).drop("timestamp")
    axis = alt.Axis(values=shown, labelExpr=expression, title=None, labelOverlap=False, grid=True)
    scale = alt.Scale(domain=[-0.5, max(rows.height, 1) - 0.5], nice=False, zero=False, padding=0)
    return _data(numbered), alt.X("n:Q", axis=axis, scale=scale)


def _day(day: dt.date) -> str:
    return f"{day:%b} {day.day}"


def _data(rows: pl.DataFrame) -> alt.InlineData:
    floats = pl.selectors.float()
    sound = rows.with_columns(pl.when(floats.is_finite()).then(floats.round_sig_figs(_DIGITS)).name.keep())
    return alt.InlineData(values=sound.to_dicts())


def _spec(chart: alt.TopLevelMixin) -> Spec:
    configured = (
        chart.configure_view(stroke=None)
        .configure_axis(labelFontSize=11, titleFontSize=11, titleFontWeight="normal", gridColor="#eee")
        .configure_legend(labelFontSize=11, labelLimit=300)
        .configure(font="system-ui, sans-serif")
    )
    made: Spec = configured.to_dict()
    return made


def bundle() -> str:
    """Return the JavaScript that draws the specifications; it is whole, and calls on nothing."""
    import vl_convert  # noqa: PLC0415 - only the page needs it

    made: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub knows no default
    return made.replace("</script", "<\\/script")


def by_symbol(bars: pl.DataFrame, analysis: pl.DataFrame, most: int) -> Sequence[tuple[str, pl.DataFrame]]:
    """Return the first symbols in their order, each with the rows that :func:`prices` draws."""
    names = bars["symbol"].unique().sort().head(most)
    wanted = ["symbol", "timestamp", "bollinger_upper", "bollinger_lower", "rsi_14"]
    wanted += [column for column, _ in _OVERLAYS.values()]
    joined = bars.filter(pl.col("symbol").is_in(names.implode())).join(
        analysis.select(wanted), on=("symbol", "timestamp"), how="left"
    )
    columns = ["timestamp", *(f"{name}_price" for name in _OHLC), *wanted[2:]]
    ordered = joined.sort("symbol", "timestamp").group_by("symbol", maintain_order=True)
    return [(str(key[0]), own.select(columns)) for key, own in ordered]
