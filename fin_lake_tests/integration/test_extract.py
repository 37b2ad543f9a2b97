"""The main job on the recorded market, with a real PostgreSQL, S3 and HTTP server."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pandas as pd
import polars as pl
import psycopg
import pytest
from pydantic import SecretStr

from fin_lake.lake.raw import list_attempts
from fin_lake.lake.store import Lake
from fin_lake.local.replay.recording import PACK
from fin_lake.operations.event_log import BatchedEventLogStorage
from fin_lake.operations.extract import ExtractError, ExtractReport, closed_hours, extract
from fin_lake.operations.instance import open_instance
from fin_lake.partitions import HOUR, HourRange, hour_key, parse_hour
from fin_lake.schema import ASSET_CLASSES
from fin_lake.settings import Settings
from fin_lake.tables import CORPORATE_ACTIONS, PROCESSED, QUARANTINE, RAW
from fin_lake.warehouse.market import connect, ensure_schema, read_hours, replace_hours
from fin_lake_tests.conftest import hours

pytestmark = pytest.mark.stack
AT = parse_hour("2023-01-03T15")
SESSION_DAY = hours("2023-01-04T00", 24)


def run(settings: Settings, span: HourRange, asset_classes=ASSET_CLASSES) -> ExtractReport:
    with open_instance(settings) as instance:
        return extract(settings, span, asset_classes, instance=instance, analytics=False)


def query(settings: Settings, sql: str, *parameters):
    with psycopg.connect(settings.database()) as connection:
        return connection.execute(sql, parameters).fetchall()


def stored(settings: Settings, prefix: str) -> dict[str, str]:
    """Return ETags by key."""
    return {info.key: info.etag for info in Lake(settings).list_objects([prefix])}


def parquet(settings: Settings, table, hour) -> pl.DataFrame:
    lake = Lake(settings)
    found = lake.list_objects([f"{table.lake_prefix}/"])
    keys = [i.key for i in found if i.key.endswith(".parquet") and f"day={hour:%d}/hour={hour:%H}" in i.key]
    return pl.read_parquet(lake.get(keys[0]))


@pytest.fixture
def fault(stack: Settings) -> Iterator:
    """Make the replay misbehave, until the test is over."""
    url = stack.yahoo_base_url.removesuffix("/yahoo") + "/_replay/faults"

    def add(source: str, kind: str, **more) -> None:
        body = json.dumps({"source": source, "kind": kind, **more}).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request).close()

    yield add
    urllib.request.urlopen(urllib.request.Request(url, method="DELETE")).close()


def recorded_hourly_volume() -> pd.Series:
    """Return what pandas makes of the recorded minutes: volume by symbol and hour, auction excluded."""
    frames = []
    for symbol in ("AAPL", "MSFT", "NVDA", "IBM"):
        bars = pd.read_parquet(PACK / f"{symbol}.parquet")
        local = bars.timestamp.dt.tz_convert("America/New_York")
        frames.append(bars[local.dt.strftime("%H:%M") != "16:00"].assign(symbol=symbol))
    bars = pd.concat(frames)
    return bars.groupby(["symbol", bars.timestamp.dt.floor("h")]).volume.sum()


def test_a_day_twice_same_rows_same_objects_twice_the_raw(stack_settings: Settings):
    rows = "select * from market.stocks where timestamp >= %s and timestamp < %s order by 1, 2, 3"
    span = (SESSION_DAY.start, SESSION_DAY.end)
    first = run(stack_settings, SESSION_DAY)
    assert first.failures == []
    table, processed = query(stack_settings, rows, *span), stored(stack_settings, "processed/")
    raw = stored(stack_settings, "raw/")
    assert len(table) == 4 * 13
    second = run(stack_settings, SESSION_DAY)
    assert second.failures == []
    assert query(stack_settings, rows, *span) == table
    assert stored(stack_settings, "processed/") == processed, "the same keys and the same bytes"
    again = stored(stack_settings, "raw/")
    assert len(again) == 2 * len(raw)
    assert raw.items() <= again.items(), "what an attempt wrote is never touched"


def test_hourly_volumes_equal_those_of_the_recorded_minutes(stack_settings: Settings):
    run(stack_settings, SESSION_DAY, ["stocks"])
    recorded = recorded_hourly_volume()
    sums = (
        "select symbol, date_trunc('hour', timestamp), sum(volume)::bigint from market.stocks "
        "where timestamp >= %s and timestamp < %s group by 1, 2"
    )
    found = query(stack_settings, sums, SESSION_DAY.start, SESSION_DAY.end)
    assert len(found) == 4 * 7
    assert {(symbol, hour): volume for symbol, hour, volume in found} == {
        key: int(volume) for key, volume in recorded.items() if key[1] in SESSION_DAY
    }


def test_postgres_parquet_and_json_hold_the_same_rows(stack_settings: Settings):
    span = HourRange(AT, AT + HOUR)
    run(stack_settings, span)
    for asset_class, table in PROCESSED.items():
        in_parquet = parquet(stack_settings, table, AT).to_dicts()
        lake = Lake(stack_settings)
        (key,) = [i.key for i in lake.list_objects([f"{table.lake_prefix}/json/"])]
        lines = gzip.decompress(lake.get(key)).decode().splitlines()
        in_json = [json.loads(line) for line in lines]
        columns = ", ".join(table.column_names)
        place = f"market.{table.postgres} where timestamp >= %s and timestamp < %s"
        sql = f"select {columns} from {place} order by 1, 2"
        in_postgres = [
            dict(zip(table.column_names, row, strict=True))
            for row in query(stack_settings, sql, span.start, span.end)
        ]
        assert in_parquet == in_postgres, asset_class
        as_json = [{**row, "timestamp": f"{row['timestamp']:%Y-%m-%dT%H:%M:%SZ}"} for row in in_parquet]
        assert in_json == as_json


def test_a_closed_exchange_costs_no_request_and_says_so(stack_settings: Settings):
    night = hours("2023-01-05T03", 2)
    with open_instance(stack_settings) as instance:
        report = extract(stack_settings, night, ["stocks"], instance=instance, analytics=False)
        event = instance.get_latest_materialization_event(_key("processed", "stocks"))
    assert report.failures == []
    assert stored(stack_settings, "raw/") == {}
    assert len(stored(stack_settings, "processed/stocks/")) == 4, "an empty hour has its objects"
    metadata = event.asset_materialization.metadata
    assert metadata["state"].value == "market_closed"
    assert metadata["dagster/partition_row_count"].value == 0


def _key(*parts: str) -> dg.AssetKey:
    return dg.AssetKey(list(parts))


def test_materializations_carry_counts_objects_links_preview_and_chart(stack_settings: Settings):
    with open_instance(stack_settings) as instance:
        extract(stack_settings, HourRange.of(AT), ["stocks"], instance=instance, analytics=False)
        event = instance.get_latest_materialization_event(_key("processed", "stocks"))
    made = event.asset_materialization
    assert made.partition == hour_key(AT)
    assert made.metadata["dagster/partition_row_count"].value == 8
    assert made.metadata["raw_rows"].value == 16
    assert made.metadata["superseded"].value == 8
    assert len(made.metadata["objects"].value) == 2
    assert "AAPL" in made.metadata["preview"].value
    with urllib.request.urlopen(made.metadata["open parquet"].value) as answer:  # as a browser opens it
        assert pl.read_parquet(answer.read()).height == 8
    assert made.metadata["chart"].value.startswith("![2023-01-03-15:00](data:image/svg+xml;base64,")


def test_a_run_of_many_hours_has_one_chart(stack_settings: Settings):
    day = hours("2023-01-04T14", 6)
    with open_instance(stack_settings) as instance:
        extract(stack_settings, day, ["stocks"], instance=instance, analytics=False)
        made = instance.fetch_materializations(_key("processed", "stocks"), limit=len(day)).records
    charted = [one.partition_key for one in made if "chart" in one.asset_materialization.metadata]
    assert charted == [day.last_key]


def test_a_month_costs_one_request_a_symbol(stack_settings: Settings):
    with open_instance(stack_settings) as instance:
        extract(stack_settings, hours("2023-01-10T00", 48), ["stocks"], instance=instance, analytics=False)
        event = instance.get_latest_materialization_event(_key("raw", "stocks"))
    assert event.asset_materialization.metadata["requests"].value == {"alpha_vantage": 4, "yahoo": 4}


@pytest.mark.parametrize("kind", ["premium", "quota"])
def test_alpha_vantages_refusal_does_not_fail_an_hour_that_yahoo_serves(stack_settings, fault, kind):
    fault("alpha_vantage", kind, times=0)
    with open_instance(stack_settings) as instance:
        report = extract(stack_settings, HourRange.of(AT), ["stocks"], instance=instance, analytics=False)
        event = instance.get_latest_materialization_event(_key("raw", "stocks"))
    assert report.failures == []
    assert parquet(stack_settings, PROCESSED["stocks"], AT)["source"].unique().to_list() == ["yahoo"]
    said = event.asset_materialization.metadata["failures"].value
    assert said
    assert "premium-replay" not in str(said), "the key is in no metadata, though the answer repeats it"


@pytest.mark.parametrize("kind", ["server_error", "rate_limit", "reset"])
def test_what_can_heal_is_retried_and_heals(stack_settings, fault, kind):
    fault("yahoo", kind, times=1)
    fault("alpha_vantage", kind if kind != "rate_limit" else "pacing", times=1)
    report = run(stack_settings, HourRange.of(AT), ["stocks"])
    assert report.failures == []
    assert report.tables["raw/stocks"].rows == 16


@pytest.mark.parametrize("kind", ["truncated", "malformed", "html"])
def test_a_garbled_answer_fails_one_symbol_and_a_second_run_mends_it(stack_settings, fault, kind):
    for source in ("yahoo", "alpha_vantage"):
        fault(source, kind, symbol="MSFT")
    report = run(stack_settings, HourRange.of(AT), ["stocks"])
    assert not report.succeeded
    assert "MSFT was not served" in "\n".join(report.failures)
    assert report.tables["processed/stocks"].rows == 6, "the other symbols go on"
    assert run(stack_settings, HourRange.of(AT), ["stocks"]).succeeded
    assert parquet(stack_settings, PROCESSED["stocks"], AT).height == 8


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("null_bar", "missing_price"),
        ("nan", "missing_price"),
        ("negative_price", "not_positive"),
        ("zero_price", "not_positive"),
        ("high_below_low", "high_below_low"),
        ("unaligned_bar", "unaligned"),
    ],
)
def test_a_broken_bar_is_quarantined_with_its_payload_and_the_other_source_serves(
    stack_settings, fault, kind, rule
):
    day = hours("2023-01-03T14")
    fault("alpha_vantage", kind, symbol="IBM")
    report = run(stack_settings, day, ["stocks"])
    assert report.succeeded
    bad = parquet(stack_settings, QUARANTINE["stocks"], day.start)
    assert bad.select("rule", "symbol", "source").rows() == [(rule, "IBM", "alpha_vantage")]
    assert "open" in bad["payload"][0]
    assert bad["raw_key"][0] in stored(stack_settings, "raw/")
    kept = parquet(stack_settings, PROCESSED["stocks"], day.start)
    assert kept.filter(symbol="IBM")["source"].to_list() == ["yahoo"]


def test_unknown_and_impossible_symbols_are_named_and_the_others_go_on(stack_settings: Settings):
    odd = ("AAPL", "ZZZZ", "../etc", "BTC/USD", "O'Neil\"")
    report = run(stack_settings.model_copy(update={"stock_symbols": odd}), HourRange.of(AT), ["stocks"])
    text = "\n".join(report.failures)
    assert all(f"{symbol} was not served" in text for symbol in odd[1:])
    assert parquet(stack_settings, PROCESSED["stocks"], AT)["symbol"].unique().to_list() == ["AAPL"]


def test_files_dropped_under_raw_are_read_and_bad_ones_quarantined(stack_settings: Settings):
    run(stack_settings, HourRange.of(AT), ["stocks"])
    lake = Lake(stack_settings)
    first = list_attempts(lake, RAW["stocks"], HourRange.of(AT))[0].key
    good = gzip.decompress(lake.get(first)).splitlines()[0].replace(b"AAPL", b"TSLA")
    folder = first.rpartition("/")[0]
    lake.put(f"{folder}/dropped.json", good + b"\n{nonsense\n")
    lake.put(f"{folder}/cut.json.gz", lake.get(first)[:-30])
    report = run(stack_settings, HourRange.of(AT), ["stocks"])
    assert report.succeeded
    assert "TSLA" in parquet(stack_settings, PROCESSED["stocks"], AT)["symbol"]
    bad = parquet(stack_settings, QUARANTINE["stocks"], AT)
    assert sorted(bad["rule"]) == ["unreadable", "unreadable"]
    assert sorted(key.rpartition("/")[2] for key in bad["raw_key"]) == ["cut.json.gz", "dropped.json"]


def test_splits_and_dividends_reach_the_lake_and_postgres_and_broken_ones_the_quarantine(
    stack_settings: Settings,
):
    hour = hours("2023-01-11T14")
    events = [
        {"kind": "split", "payload": '{"numerator": 4, "denominator": 1}'},
        {"kind": "dividend", "payload": '{"amount": 0.05}', "split_factor": 4.0},
        {"kind": "split", "payload": '{"numerator": 0, "denominator": 1}', "symbol": "IBM"},
    ]
    told = {"symbol": "AAPL", "timestamp": "2023-01-11T14:30:00Z", "source": "yahoo"}
    lines = "\n".join(json.dumps({**told, "fetched_at": "2023-02-01T00:00:00Z", **event}) for event in events)
    folder = "raw/stocks/year=2023/month=01/day=11/hour=14"
    Lake(stack_settings).put(f"{folder}/dropped.json", lines.encode())
    with open_instance(stack_settings) as instance:
        report = extract(stack_settings, hour, ["stocks"], instance=instance, analytics=False)
        event = instance.get_latest_materialization_event(_key("processed", "corporate_actions"))
    assert report.failures == []
    opens = hour.start + HOUR / 2
    wanted = [
        ("AAPL", opens, "dividend", None, 0.2, "yahoo"),
        ("AAPL", opens, "split", 4.0, None, "yahoo"),
    ]
    assert parquet(stack_settings, CORPORATE_ACTIONS, hour.start).rows() == wanted
    assert (
        query(
            stack_settings, "select * from market.corporate_actions where timestamp = %s order by kind", opens
        )
        == wanted
    )
    assert event.asset_materialization.metadata["broken"].value == 1
    bad = parquet(stack_settings, QUARANTINE["stocks"], hour.start)
    assert bad.select("rule", "symbol").rows() == [("bad_action", "IBM")]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bucket": "no-such-bucket"}, "bucket no-such-bucket does not exist"),
        ({"aws_endpoint_url": "http://127.0.0.1:1"}, "connection refused"),
    ],
)
def test_a_lake_that_cannot_be_written_gives_one_clear_error(stack_settings, change, words):
    report = run(stack_settings.model_copy(update=change), HourRange.of(AT), ["crypto"])
    assert len(report.failures) == 1
    assert words in report.failures[0]
    assert "Traceback" not in report.failures[0]


def test_postgres_down_costs_its_tables_alone_and_a_second_run_mends_it(stack_settings: Settings):
    down = {"database_url": SecretStr("postgresql://someone:hidden-7@127.0.0.1:1/market")}
    at = parse_hour("2023-01-12T15")
    report = run(stack_settings.model_copy(update=down), HourRange.of(at), ["stocks"])
    assert len(report.failures) == 2, "market/stocks and market/corporate_actions"
    for failure in report.failures:
        assert "PostgreSQL at 127.0.0.1:1/market cannot be reached" in failure
        assert "hidden-7" not in failure
    assert parquet(stack_settings, PROCESSED["stocks"], at).height == 8
    assert run(stack_settings, HourRange.of(at), ["stocks"]).succeeded
    count = "select count(*) from market.stocks where timestamp >= %s and timestamp < %s"
    assert query(stack_settings, count, at, at + HOUR) == [(8,)]


def test_a_failed_crypto_source_is_a_failed_hour_not_a_gap(stack_settings, fault):
    fault("coingecko", "server_error", times=0)
    quick = stack_settings.model_copy(update={"http_attempts": 1})
    report = run(quick, HourRange.of(AT), ["crypto"])
    assert "no source answered for any symbol" in report.failures[0]
    assert stored(stack_settings, "raw/") == {}
    assert stored(stack_settings, "processed/") == {}


def test_a_failure_outside_of_every_step_is_told(stack_settings: Settings, monkeypatch):
    def broken(*_arguments: object) -> None:
        raise RuntimeError("the event log is full")

    monkeypatch.setattr(BatchedEventLogStorage, "claim_concurrency_slot", broken)
    report = run(stack_settings, HourRange.of(AT), ["crypto"])
    assert report.failures == ["RuntimeError: the event log is full"]


def test_hours_that_are_not_over_are_refused_or_cut_off(stack: Settings):
    latest = stack.latest_closed_hour
    assert closed_hours(stack, HourRange(latest, latest + 5 * HOUR)) == HourRange.of(latest)
    with pytest.raises(ExtractError, match="is not over yet"):
        closed_hours(stack, HourRange.of(latest + HOUR))
    with pytest.raises(ExtractError, match="FIN_LAKE_START"):
        closed_hours(stack, HourRange.of(stack.start - HOUR))


def test_readers_see_all_of_an_hour_or_nothing_while_it_is_replaced(stack_settings: Settings):
    """A writer replaces the same hour again and again; a reader must never count anything but 8."""
    at = parse_hour("2023-01-13T15")
    run(stack_settings, HourRange.of(at), ["stocks"])
    table, hour = PROCESSED["stocks"], HourRange.of(at)
    seen = set()
    with (
        connect(stack_settings.database()) as writer,
        psycopg.connect(stack_settings.database(), autocommit=True) as reader,
    ):
        ensure_schema(writer)
        rows = read_hours(writer, table, hour)
        writer.commit()
        for _ in range(20):
            with writer.transaction():
                replace_hours(writer, table, hour, rows)
                seen.add(read_hours(reader, table, hour).height)
            seen.add(read_hours(reader, table, hour).height)
    assert seen == {8}


def test_plain_programs_read_what_is_stored(stack: Settings):
    run(stack, HourRange.of(AT))
    env = {"FIN_LAKE_HOME": str(stack.home), "PATH": "/usr/bin:/bin"}
    fin_lake = Path(sys.executable).with_name("fin-lake")
    script = (
        f'eval "$({fin_lake} env)" && aws s3 ls --recursive s3://$AWS_S3_BUCKET_NAME/ '
        "&& psql -Atc 'select symbol, count(*) from market.stocks group by 1 order by 1'"
    )
    done = subprocess.run(
        ["bash", "-c", script], env=env, cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "raw/stocks/year=2023/month=01/day=03/hour=15/stock_data_" in done.stdout
    assert "processed/stocks/parquet/year=2023/month=01/day=03/hour=15/stock_data.parquet" in done.stdout
    assert "AAPL|" in done.stdout
