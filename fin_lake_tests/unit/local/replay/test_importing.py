"""Bars of one's own: what is understood, what is left out, and what is refused with which words."""

from __future__ import annotations

import datetime as dt
import gzip
import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from fin_lake.local.replay.bar_files import UnreadableBarsError
from fin_lake.local.replay.importing import (
    ImportedSymbol,
    Options,
    best_shift,
    import_recording,
    parse_interval,
)
from fin_lake.local.replay.market import Market
from fin_lake.local.replay.recording import (
    PACK,
    Recording,
    RecordingError,
    active_recording,
    recordings_folder,
)
from fin_lake_tests.unit.local.replay.conftest import bars, every, utc

HEAD = "timestamp,open,high,low,close,volume"
STOCK_HOURS = [f"{time}+00:00" for time in every(60, "2023-01-03T14:30:00", 6)]
COIN_HOURS = [f"{time}Z" for time in every(60, "2021-11-29T00:00:00", 24 * 9)]


def csv(times: list[str], head: str = HEAD) -> str:
    rows = [f"{time},{100 + i},{101 + i},{99 + i},{100.5 + i},{1000 + i}" for i, time in enumerate(times)]
    return "\n".join([head, *rows]) + "\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for somebody's files."""
    place = tmp_path / "bars"
    place.mkdir()
    return place


Import = Callable[..., dict[str, ImportedSymbol]]


@pytest.fixture
def take(home: Path, folder: Path) -> Import:
    """Import the folder."""

    def run(name: str = "mine", **options: object) -> dict[str, ImportedSymbol]:
        symbols = import_recording(home, folder, name, Options(**options))  # type: ignore[arg-type]
        return {one.entry.symbol: one for one in symbols}

    return run


def refused(take: Import, **options: object) -> UnreadableBarsError:
    with pytest.raises(UnreadableBarsError) as caught:
        take(**options)
    assert caught.value.remedy
    return caught.value


def test_csv_gzip_and_parquet_are_taken_and_other_files_are_not(take: Import, folder: Path, home: Path):
    (folder / "AAPL_1h.csv").write_text(csv(STOCK_HOURS))
    (folder / "MSFT_1h.csv.gz").write_bytes(gzip.compress(csv(STOCK_HOURS).encode()))
    pl.read_parquet(PACK / "IBM.parquet").write_parquet(folder / "IBM_1min.parquet")
    (folder / "btc-eur_1h.csv").write_text(csv(COIN_HOURS))
    (folder / "README.txt").write_text("not bars")
    (folder / "._AAPL.csv").write_text("not bars either")
    found = take()
    assert {
        name: (one.entry.asset_class, one.entry.minutes, one.entry.coin) for name, one in found.items()
    } == {
        "AAPL": ("stocks", 60, ""),
        "MSFT": ("stocks", 60, ""),
        "IBM": ("stocks", 1, ""),
        "BTC-EUR": ("crypto", 60, "bitcoin"),
    }
    active = active_recording(home)
    assert active.folder == recordings_folder(home) / "mine"
    assert active.bars("IBM").equals(Recording(PACK).bars("IBM"))
    assert active.bars("AAPL").equals(active.bars("MSFT"))


def test_an_imported_recording_is_served(take: Import, folder: Path, home: Path):
    (folder / "AAPL_1h.csv").write_text(csv(STOCK_HOURS))
    take()
    recording = active_recording(home)
    hours = Market(recording, recording.now).bars("AAPL", 60, regular=True, from_open=True)
    assert hours["timestamp"].to_list() == [dt.datetime.fromisoformat(time) for time in STOCK_HOURS]
    assert hours["volume"].to_list() == [1000, 1001, 1002, 1003, 1004, 1005]


@pytest.mark.parametrize(
    "head",
    [
        "Time,Open,High,Low,Close,Volume",
        "timestamps,OPEN,HIGH,LOW,CLOSE,VOLUME",
        "Datetime,open,high,low,close,volume",
        "date, open, high, low, close, volume",
        "time,o,h,l,c,v",
    ],
)
def test_columns_go_by_several_names(take: Import, folder: Path, head: str):
    (folder / "AAPL.csv").write_text(csv(STOCK_HOURS, head))
    bars = take()["AAPL"].bars
    assert bars["open"].to_list() == [100, 101, 102, 103, 104, 105]
    assert bars["close"][0] == 100.5


def test_columns_that_are_not_needed_are_not_looked_at(take: Import, folder: Path):
    lines = csv(STOCK_HOURS).splitlines()
    (folder / "AAPL.csv").write_text(
        "\n".join([lines[0] + ",amount", *(f"{line},n/a" for line in lines[1:])])
    )
    assert take()["AAPL"].bars.height == 6


@pytest.mark.parametrize("column", ["symbol", "Ticker"])
def test_a_column_names_the_symbols_of_a_file(take: Import, folder: Path, column: str):
    lines = csv(STOCK_HOURS).splitlines()
    rows = [f"{line},{symbol}" for symbol in ("AAPL", "msft") for line in lines[1:]]
    (folder / "everything.csv").write_text("\n".join([f"{lines[0]},{column}", *rows]))
    found = take()
    assert {name: one.bars.height for name, one in found.items()} == {"AAPL": 6, "MSFT": 6}


@pytest.mark.parametrize(
    ("written", "zone"),
    [
        ("2023-01-03T14:30:00+00:00", None),
        ("2023-01-03 14:30:00Z", None),
        ("2023-01-03 14:30:00 UTC", None),
        ("2023-01-03T09:30:00.000-0500", "Asia/Tokyo"),
        ("2023-01-03 09:30", "America/New_York"),
        ("2023-01-03 14:30:00", "UTC"),
        ("1672756200", None),
        ("1672756200000", None),
    ],
)
def test_times_end_up_in_utc_however_they_are_written(take: Import, folder: Path, written: str, zone: str):
    (folder / "AAPL.csv").write_text(csv([written]))
    bars = take(zone=zone, minutes=60)["AAPL"].bars
    assert bars["timestamp"].to_list() == [utc("2023-01-03T14:30:00")]


def test_the_commonest_step_is_the_interval_and_a_given_one_goes_before(take: Import, folder: Path):
    times = every(15, "2023-01-03T14:30:00", 4) + every(15, "2023-01-04T14:30:00", 4)
    (folder / "AAPL.csv").write_text(csv([f"{time}Z" for time in times]))
    assert take()["AAPL"].entry.minutes == 15
    assert take("given", minutes=5)["AAPL"].entry.minutes == 5


@pytest.mark.parametrize(
    ("text", "minutes"), [("1h", 60), ("30min", 30), ("5m", 5), ("60", 60), (" 15 MIN ", 15)]
)
def test_intervals_are_read_as_people_write_them(text: str, minutes: int):
    assert parse_interval(text) == minutes


@pytest.mark.parametrize("text", ["", "h", "0min", "2h", "1d", "half an hour"])
def test_an_interval_of_no_bar_is_refused(text: str):
    with pytest.raises(UnreadableBarsError, match="no interval"):
        parse_interval(text)


def test_of_repeated_times_the_first_is_kept_and_the_rest_counted(take: Import, folder: Path, home: Path):
    lines = csv(STOCK_HOURS).splitlines()
    again = [lines[2].replace(",101,", ",1,"), lines[3]]
    (folder / "AAPL.csv").write_text("\n".join([*lines, *again]))
    one = take()["AAPL"]
    assert (one.bars.height, one.repeated) == (6, 2)
    assert one.bars["open"][1] == 101
    assert any("2 repeated bars" in note for note in active_recording(home).notes)


def test_a_bar_off_the_grid_is_left_out_and_said(take: Import, folder: Path, home: Path):
    times = [f"{time}Z" for time in every(60, "2023-01-03T14:30:00", 20)]
    (folder / "BTC-USD.csv").write_text(csv([*times, "2023-01-04T11:07:00Z"]))
    one = take()["BTC-USD"]
    assert (one.bars.height, one.off_grid) == (20, 1)
    assert any("1 bars off the 60-minute grid" in note for note in active_recording(home).notes)


def test_a_stocks_dash_does_not_make_it_a_coin(take: Import, folder: Path):
    (folder / "BRK-B_1h.csv").write_text(csv(STOCK_HOURS))
    (folder / "PEPE-USD.csv").write_text(csv(STOCK_HOURS))
    found = take(coins={"PEPE-USD": "pepe"})
    assert {name: one.entry.coin for name, one in found.items()} == {"BRK-B": "", "PEPE-USD": "pepe"}


def test_what_all_of_it_is_can_be_told(take: Import, folder: Path):
    (folder / "BTC-USD.csv").write_text(csv(STOCK_HOURS))
    assert take(asset_class="stocks")["BTC-USD"].entry.asset_class == "stocks"
    assert take("told", asset_class="crypto")["BTC-USD"].entry.asset_class == "crypto"


def test_aligned_coins_keep_weekday_and_time_and_cover_the_stocks(take: Import, folder: Path, home: Path):
    (folder / "AAPL.csv").write_text(csv(STOCK_HOURS))
    (folder / "BTC-USD.csv").write_text(csv(COIN_HOURS))
    (folder / "ETH-USD.csv").write_text(csv(COIN_HOURS))
    found = take(align=True)
    weeks = {one.entry.shift_weeks for one in found.values() if one.entry.coin}
    assert len(weeks) == 1
    recording = active_recording(home)
    served, own = recording.bars("BTC-USD")["timestamp"], found["BTC-USD"].bars["timestamp"]
    assert (served - own).unique().to_list() == [dt.timedelta(weeks=weeks.pop())]
    assert served[0] <= utc("2023-01-03T14:30:00")
    assert served[-1] >= utc("2023-01-03T19:30:00")
    assert any("BTC-USD" in note and "whole weeks" in note for note in recording.notes)


def test_of_several_weeks_as_good_the_nearest_is_taken():
    stocks = bars(every(30, "2023-01-03T14:30:00", 13))["timestamp"]
    coins = bars(every(60, "2023-02-01T00:00:00", 24 * 70))["timestamp"]
    assert best_shift([stocks], [coins]) == -5
    assert best_shift([stocks], [coins.dt.offset_by("-9w")]) == 0


def test_coins_of_other_years_are_said_to_be_so(take: Import, folder: Path, home: Path):
    (folder / "AAPL.csv").write_text(csv(STOCK_HOURS))
    (folder / "BTC-USD.csv").write_text(csv(COIN_HOURS))
    take()
    assert any("--align" in note for note in active_recording(home).notes)


def test_bars_that_are_too_long_for_an_answer_are_said_to_be(take: Import, folder: Path, home: Path):
    (folder / "AAPL.csv").write_text(csv(STOCK_HOURS))
    (folder / "BTC-USD.csv").write_text(csv(COIN_HOURS))
    take()
    notes = "\n".join(active_recording(home).notes)
    assert re.search(r"AAPL: .*Alpha Vantage.*none", notes)
    assert re.search(r"BTC-USD: .*candles", notes)


def test_an_error_leaves_the_earlier_recording_and_no_rest(take: Import, folder: Path, home: Path):
    (folder / "AAPL.csv").write_text(csv(STOCK_HOURS))
    take("first")
    (folder / "AAPL.csv").write_text(csv(STOCK_HOURS).replace("103,104,", "103,oops,"))
    refused(take)
    assert active_recording(home).bars("AAPL").height == 6
    assert {one.name for one in recordings_folder(home).iterdir()} == {"first", "active"}


@pytest.mark.parametrize(
    ("wrong", "row", "column", "said"),
    [
        ("2023-01-03T15:30:00Z,101,nan,99,100,1", 3, "high", "finite"),
        ("2023-01-03T15:30:00Z,101,,99,100,1", 3, "high", "number"),
        ("2023-01-03T15:30:00Z,101,102,99,-100,1", 3, "close", "price"),
        ("2023-01-03T15:30:00Z,0,102,99,100,1", 3, "open", "price"),
        ("2023-01-03T15:30:00Z,101,102,99,100,-1", 3, "volume", "volume"),
        ("2023-01-03T15:30:00Z,101,102,n/a,100,1", 3, "low", "number"),
        ("yesterday,101,102,99,100,1", 3, "timestamp", "time"),
    ],
)
def test_a_wrong_value_is_named_with_file_line_and_column(
    take: Import, folder: Path, wrong: str, row: int, column: str, said: str
):
    lines = csv(STOCK_HOURS).splitlines()
    (folder / "AAPL_1h.csv").write_text("\n".join([*lines[:2], wrong, *lines[3:]]))
    error = refused(take)
    assert f"AAPL_1h.csv, line {row}, column {column}" in error.what
    assert said in error.what


def test_a_time_that_new_york_skips_is_no_time(take: Import, folder: Path):
    (folder / "AAPL.csv").write_text(csv(["2023-03-12 01:30", "2023-03-12 02:30"]))
    assert "line 3, column timestamp" in refused(take, zone="America/New_York").what


def test_a_stocks_time_without_a_zone_is_not_guessed(take: Import, folder: Path):
    (folder / "AAPL.csv").write_text(csv(["2023-01-03 09:30", "2023-01-03 10:30"]))
    assert "--zone America/New_York" in refused(take).remedy


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "holds no file"),
        ({"AAPL.txt": "x"}, "holds no file"),
        ({"AAPL.csv": ""}, "AAPL.csv is empty"),
        ({"AAPL.csv": HEAD + "\n"}, "no rows"),
        ({"AAPL.parquet": "not parquet"}, "cannot be read"),
        ({"AAPL.csv": "when,price\n1,2\n"}, "no column for the timestamp, only: when, price"),
        ({"AAPL.csv": csv(STOCK_HOURS, "time,open,high,low,close,amount")}, "no column for the volume"),
        ({"AAPL.csv": csv(STOCK_HOURS), "AAPL_1h.csv": csv(STOCK_HOURS)}, "AAPL is in two files"),
        ({"a b c$.csv": csv(STOCK_HOURS), "!.csv": csv(STOCK_HOURS)}, "'!', which is no symbol"),
        ({"AAPL.csv": csv(STOCK_HOURS[:1])}, "a single bar"),
        ({"AAPL.csv": csv(["2023-01-03T00:00Z", "2023-01-04T00:00Z"])}, "86400 s apart"),
        ({"NEWCOIN-USD.csv": csv(COIN_HOURS)}, "id of NEWCOIN-USD is not known"),
        ({"BTC-USD.csv": csv(COIN_HOURS), "BTC-EUR.csv": csv(COIN_HOURS)}, "the same coin, bitcoin"),
    ],
)
def test_a_folder_that_makes_no_recording_is_refused(
    take: Import, folder: Path, home: Path, files: dict[str, str], said: str
):
    for name, text in files.items():
        (folder / name).write_text(text)
    assert said in refused(take).what
    assert active_recording(home).folder == PACK


@pytest.mark.parametrize("name", ["pack", "active", "", "../up", "Big Name", ".hidden"])
def test_a_name_that_would_be_in_the_way_is_refused(take: Import, folder: Path, name: str):
    (folder / "AAPL.csv").write_text(csv(STOCK_HOURS))
    assert "cannot be a recording's name" in refused(take, name=name).what


def test_a_zone_that_is_none_is_refused(take: Import, folder: Path):
    (folder / "AAPL.csv").write_text(csv(["2023-01-03 09:30", "2023-01-03 10:30"]))
    assert "is no time zone" in refused(take, zone="Mars/Olympus").what


def test_an_earlier_recording_goes_only_if_it_may(take: Import, folder: Path, home: Path):
    (folder / "AAPL.csv").write_text(csv(STOCK_HOURS))
    take()
    (folder / "AAPL.csv").rename(folder / "MSFT.csv")
    with pytest.raises(RecordingError, match="already") as caught:
        take()
    assert "--replace" in caught.value.remedy
    assert active_recording(home).stock_symbols == ["AAPL"]
    take(replace=True)
    assert active_recording(home).stock_symbols == ["MSFT"]
    assert {one.name for one in recordings_folder(home).iterdir()} == {"mine", "active"}


def test_aligning_needs_stocks_and_coins(take: Import, folder: Path):
    (folder / "AAPL.csv").write_text(csv(STOCK_HOURS))
    assert "--align needs stocks and coins" in refused(take, align=True).what
