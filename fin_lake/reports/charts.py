"""The charts beside a run's hours in the UI: a frame in, the bytes of an SVG out.

They are drawn with nothing but text, in a millisecond: Vega, which draws the market report, takes most of
a second to start, and a run of one hour would pay it for every hour. What they show is a glance: lines over
time, at most ``MOST_LINES`` of them, thinned to ``MOST_POINTS``, so that a chart stays under 20 KB.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

import polars as pl

from fin_lake.tables import INTERVAL_MINUTES

MOST_LINES: Final = 8
MOST_POINTS: Final = 850
"""Points over all lines of a chart: a dozen bytes each, and a third more in base64."""

_COLOURS: Final = ("#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#9d755d", "#bab0ac")
_WIDTH: Final = 680
_LEFT, _RIGHT, _TOP, _BELOW = 58, 30, 30, 26
_PLOT: Final = 120
_FEW: Final = 3
"""Points of a line up to which each is marked."""
_MOST_TICKS: Final = 4
_MOST_TIMES: Final = 7
_MINUTE: Final = 60.0
_STEPS: Final = tuple(_MINUTE * m for m in (10, 30, 60, 120, 240, 360, 720, 1440, 2880, 7200, 14400, 43200))
_DAY: Final = 86400.0


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    points: tuple[tuple[float, float], ...]
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class _Panel:
    title: str
    lines: tuple[_Line, ...]
    unit: str = ""
    guides: tuple[float, ...] = ()


def chart_of_bars(bars: pl.DataFrame) -> bytes | None:
    """Return the closes of each symbol, in per cent above its first open; nothing of no bars.

    Parameters
    ----------
    bars : polars.DataFrame
        Rows of a processed table; a bar counts when it ends, the first open when it begins.
    """
    first = pl.col("open_price").first().over("symbol")
    lines = []
    for name, own in _by(bars, "symbol"):
        begin = own.head(1).select("timestamp", value=pl.lit(0.0))
        ends = own.select(
            pl.col("timestamp") + pl.duration(minutes=pl.col("interval").replace_strict(INTERVAL_MINUTES)),
            value=(pl.col("close_price") / first - 1) * 100,
        )
        lines.append((name, pl.concat([begin, ends])))
    return _chart([_panel("Close against the first open", lines, unit="%", guides=(0.0,))])


def chart_of_indicators(rows: pl.DataFrame) -> bytes | None:
    """Return each symbol's RSI, and where its close stands between the Bollinger bands; nothing of no rows.

    Parameters
    ----------
    rows : polars.DataFrame
        Rows of a table of technical analysis.
    """
    width = pl.col("bollinger_upper") - pl.col("bollinger_lower")
    place = pl.when(width > 0).then((pl.col("close_price") - pl.col("bollinger_lower")) / width * 100)
    symbols = _by(rows, "symbol")
    rsi = [(name, own.select("timestamp", value="rsi_14")) for name, own in symbols]
    bands = [(name, own.select("timestamp", value=place)) for name, own in symbols]
    return _chart(
        [
            _panel("RSI, 14 hours", rsi, guides=(30.0, 70.0), panels=2),
            _panel("Close between the Bollinger bands", bands, unit="%", guides=(0.0, 100.0), panels=2),
        ]
    )


def chart_of_portfolios(valuations: pl.DataFrame) -> bytes | None:
    """Return the return of each portfolio since its start, its benchmark's dashed; nothing of no rows.

    Parameters
    ----------
    valuations : polars.DataFrame
        Rows of the table of valuations.
    """
    lines = []
    for name, own in _by(valuations, "portfolio", at_most=MOST_LINES // 2):
        for column, label in (("cumulative_return", name), ("benchmark_return", f"benchmark of {name}")):
            lines.append((label, own.select("timestamp", value=pl.col(column) * 100)))
    return _chart([_panel("Return since the start", lines, unit="%", guides=(0.0,), dashed="benchmark of ")])


def _by(rows: pl.DataFrame, column: str, at_most: int = MOST_LINES) -> list[tuple[str, pl.DataFrame]]:
    names = rows[column].unique().sort().head(at_most).to_list()
    chosen = rows.filter(pl.col(column).is_in(names)).sort(column, "timestamp")
    return [(str(key[0]), own) for key, own in chosen.group_by(column, maintain_order=True)]


def _panel(
    title: str,
    frames: Sequence[tuple[str, pl.DataFrame]],
    *,
    unit: str = "",
    guides: tuple[float, ...] = (),
    panels: int = 1,
    dashed: str = "\0",
) -> _Panel:
    lines = []
    for name, frame in frames:
        sound = frame.filter(pl.col("value").is_finite())
        every = max(1, math.ceil(sound.height * len(frames) * panels / MOST_POINTS))
        thinned = pl.concat([sound.gather_every(every), sound.tail(1)]).unique(maintain_order=True)
        seconds = thinned["timestamp"].dt.epoch("ms").cast(pl.Float64) / 1000
        points = tuple(zip(seconds.to_list(), thinned["value"].to_list(), strict=True))
        if points:
            lines.append(_Line(name, points, dashed=name.startswith(dashed)))
    return _Panel(title, tuple(lines), unit, guides)


def _chart(panels: Sequence[_Panel]) -> bytes | None:
    shown = [panel for panel in panels if panel.lines]
    if not shown:
        return None
    times = [x for panel in shown for line in panel.lines for x, _ in line.points]
    span = (min(times), max(times))
    each = _TOP + _PLOT + _BELOW
    height = each * len(shown)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}"',
        f' height="{height}" font-family="sans-serif" font-size="11" fill="#444">',
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for number, panel in enumerate(shown):
        parts.append(f'<g transform="translate(0 {number * each})">')
        parts += _drawn(panel, span)
        parts.append("</g>")
    return "".join([*parts, "</svg>"]).encode()


def _drawn(panel: _Panel, span: tuple[float, float]) -> Iterator[str]:
    values = [y for line in panel.lines for _, y in line.points] + list(panel.guides)
    ticks = _ticks(min(values), max(values))
    low, high = min(ticks[0], *values), max(ticks[-1], *values)

    def across(x: float) -> float:
        part = (x - span[0]) / (span[1] - span[0]) if span[1] > span[0] else 0.5
        return round(_LEFT + part * (_WIDTH - _LEFT - _RIGHT), 1)

    def down(y: float) -> float:
        return round(_TOP + (high - y) / (high - low) * _PLOT, 1)

    yield f'<text x="{_LEFT}" y="17" font-weight="bold">{escape(panel.title)}</text>'
    yield from _legend(panel)
    for tick in ticks:
        y = down(tick)
        yield f'<path d="M{_LEFT} {y}H{_WIDTH - _RIGHT}" stroke="#e4e4e4"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{tick:g}{panel.unit}</text>'
    for guide in panel.guides:
        yield f'<path d="M{_LEFT} {down(guide)}H{_WIDTH - _RIGHT}" stroke="#999" stroke-dasharray="3 3"/>'
    yield f'<text x="{_LEFT - 6}" y="{_TOP + _PLOT + 17}" text-anchor="end" fill="#999">UTC</text>'
    for at, label in _times(*span):
        x = across(at)
        yield f'<path d="M{x} {_TOP + _PLOT}v4" stroke="#999"/>'
        yield f'<text x="{x}" y="{_TOP + _PLOT + 17}" text-anchor="middle">{label}</text>'
    for number, line in enumerate(panel.lines):
        colour = _COLOURS[number % len(_COLOURS)]
        dash = ' stroke-dasharray="5 3"' if line.dashed else ""
        points = [(across(x), down(y)) for x, y in line.points]
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"{dash}/>'
        if len(points) <= _FEW:
            yield from (f'<circle cx="{x:g}" cy="{y:g}" r="2.5" fill="{colour}"/>' for x, y in points)


def _legend(panel: _Panel) -> Iterator[str]:
    """Yield the names, from the right edge on to the left."""
    x = float(_WIDTH - _RIGHT)
    for number, line in reversed(list(enumerate(panel.lines))):
        name = line.name if len(line.name) <= 26 else line.name[:25] + "…"  # noqa: PLR2004 - letters
        x -= 6.2 * len(name) + 8
        colour = _COLOURS[number % len(_COLOURS)]
        yield f'<text x="{x:g}" y="17" fill="{colour}" font-weight="bold">{escape(name)}</text>'


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers that span the values."""
    if high - low < 1e-9:  # noqa: PLR2004 - per cent: what is shown has no such digits
        low, high = low - 1, high + 1
    rough = (high - low) / _MOST_TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * n for n in (1, 2, 5, 10) if power * n >= rough)
    return [round(step * i, 10) for i in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _times(start: float, end: float) -> Iterator[tuple[float, str]]:
    """Yield round times with their labels: UTC hours within days, days beyond."""
    step = next((one for one in _STEPS if (end - start) / one <= _MOST_TIMES), _STEPS[-1])
    at = math.ceil(start / step) * step
    first = True
    while at <= end:
        moment = dt.datetime.fromtimestamp(at, dt.UTC)
        is_day = step >= _DAY or at % _DAY == 0
        yield at, f"{moment:%-d %b}" if is_day else f"{moment:%-d %b %H:%M}" if first else f"{moment:%H:%M}"
        first = False
        at += step
