from __future__ import annotations

import dagster as dg
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from fin_lake.io_managers.hours import preview
from fin_lake.io_managers.s3_processed import S3ProcessedIOManager
from fin_lake.io_managers.s3_raw import S3RawIOManager
from fin_lake.lake.frames import FrameError, fitting
from fin_lake.lake.layout import hour_object
from fin_lake.lake.raw import RawAttempt
from fin_lake.partitions import HOUR, UTC, hour_key, hourly_partitions, parse_hour
from fin_lake.tables import PROCESSED, RAW
from fin_lake_tests.conftest import hours
from fin_lake_tests.frames import raw_bar, raw_frame, stock_bars

STOCKS = PROCESSED["stocks"]
AT = parse_hour("2023-01-03T15")
PARTITIONS = hourly_partitions(parse_hour("2023-01-01"), parse_hour("2023-02-01"))
RANGE = {
    "dagster/asset_partition_range_start": hour_key(AT),
    "dagster/asset_partition_range_end": hour_key(AT + 2 * HOUR),
}


def run_range(io_manager, key, make, *, reader=None, tags=RANGE):
    """Run an asset over a range of hours in one run, as a backfill does."""

    @dg.asset(
        key=key,
        partitions_def=PARTITIONS,
        io_manager_key="io",
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def made():
        return make()

    assets = [made, *([reader] if reader else [])]
    job = dg.Definitions(
        assets=assets, jobs=[dg.define_asset_job("j", dg.AssetSelection.all())], resources={"io": io_manager}
    ).resolve_job_def("j")
    return job.execute_in_process(instance=dg.DagsterInstance.ephemeral(), tags=tags)


def reading(annotation, seen, key=("processed", "stocks")):
    """Return an asset that loads the range as the annotated type."""

    def reader(bars) -> None:
        seen.append(bars)

    reader.__annotations__["bars"] = annotation
    return dg.asset(
        ins={"bars": dg.AssetIn(key=list(key))},
        partitions_def=PARTITIONS,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )(reader)


def context_of(hour, key):
    return dg.build_output_context(
        asset_key=dg.AssetKey(key), partition_key=hour_key(hour), asset_partitions_def=PARTITIONS
    )


def test_one_hour_goes_in_and_comes_out(lake):
    manager = S3ProcessedIOManager(lake)
    output = context_of(AT, ["processed", "stocks"])
    manager.handle_output(output, stock_bars("AAPL", AT, 2))
    source = dg.build_input_context(
        asset_key=dg.AssetKey(["processed", "stocks"]),
        partition_key=hour_key(AT),
        asset_partitions_def=PARTITIONS,
        upstream_output=output,
        dagster_type=dg.PythonObjectDagsterType(pl.DataFrame),
    )
    assert manager.load_input(source).equals(stock_bars("AAPL", AT, 2))


def test_a_range_is_one_object_an_hour_and_format_with_metadata_of_its_own(lake):
    result = run_range(S3ProcessedIOManager(lake), ["processed", "stocks"], lambda: stock_bars("AAPL", AT, 4))
    assert len(lake.list_objects(["processed/stocks/parquet/"])) == 3
    assert len(lake.list_objects(["processed/stocks/json/"])) == 3
    made = {m.partition: m.metadata for m in result.asset_materializations_for_node("processed__stocks")}
    rows = {key: metadata["dagster/partition_row_count"].value for key, metadata in made.items()}
    assert rows == {hour_key(AT): 2, hour_key(AT + HOUR): 2, hour_key(AT + 2 * HOUR): 0}
    first = made[hour_key(AT)]
    assert [uri.rpartition("/")[2] for uri in first["objects"].value] == [
        "stock_data_20230103_150000.json.gz",
        "stock_data.parquet",
    ]
    assert first["bytes"].value > 0
    assert "| AAPL |" in first["preview"].value
    assert first["open parquet"].value == lake.link(hour_object(STOCKS, "parquet", AT))


@pytest.mark.parametrize("annotation", [pl.DataFrame, pd.DataFrame, pa.Table])
def test_a_range_loads_as_the_annotated_type(lake, annotation):
    seen = []
    run_range(
        S3ProcessedIOManager(lake),
        ["processed", "stocks"],
        lambda: stock_bars("AAPL", AT, 4).to_pandas(),
        reader=reading(annotation, seen),
    )
    assert isinstance(seen[0], annotation)
    assert pl.DataFrame(seen[0]).select(STOCKS.column_names)["close_price"].to_list() == [11, 12, 13, 14]


def test_written_twice_is_written_once(lake):
    for _ in range(2):
        run_range(S3ProcessedIOManager(lake), ["processed", "stocks"], lambda: stock_bars("AAPL", AT, 4))
    assert len(lake.list_objects(["processed/"])) == 6


def test_raw_keeps_both_attempts_and_reads_both(lake):
    records = raw_frame(raw_bar("AAPL", AT)).select(RAW["stocks"].column_names)
    attempt = RawAttempt(records, frozenset({AT}), AT.replace(year=2026))
    manager = S3RawIOManager(lake)
    for _ in range(2):
        result = run_range(manager, ["raw", "stocks"], lambda: attempt)
    assert len(lake.list_objects(["raw/"])) == 2
    made = {m.partition: m.metadata for m in result.asset_materializations_for_node("raw__stocks")}
    assert made[hour_key(AT)]["dagster/partition_row_count"].value == 1
    assert "objects" not in made[hour_key(AT + HOUR)], "an hour that was not asked for has no object"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.drop("volume"), r"missing columns \['volume'\]"),
        (lambda f: f.with_columns(extra=1), r"unknown columns \['extra'\]"),
        (lambda f: f.with_columns(close_price=pl.lit("dear")), "another type"),
        (lambda f: f.with_columns(close_price=pl.lit(None)), "close_price is null in 2 rows"),
        (lambda f: pl.concat([f, f]), "repeated keys, such as .*AAPL"),
        (lambda f: f.with_columns(pl.col("timestamp") + HOUR), "2 rows lie outside"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused_and_nothing_is_written(lake, change, words):
    with pytest.raises(FrameError, match=words):
        S3ProcessedIOManager(lake).handle_output(
            context_of(AT, ["processed", "stocks"]), change(stock_bars("AAPL", AT, 2))
        )
    assert lake.list_objects(["processed/"]) == []


def test_columns_may_come_in_any_order_and_rows_too():
    bars = stock_bars("AAPL", AT, 2)
    shuffled = bars.select(reversed(bars.columns)).reverse()
    assert fitting(shuffled, STOCKS, hours(hour_key(AT))).equals(bars)
    assert bars["timestamp"].dtype.time_zone == str(UTC)


def test_a_preview_shows_a_sources_text_as_it_is():
    shown = preview(
        pl.DataFrame({"symbol": ["![x](http://a/b)", "<b>|"], "close": [1.23456789012, None]})
    ).value
    assert shown.splitlines() == [
        "| symbol | close |",
        "| --- | ---: |",
        r"| !\[x\](http://a/b) | 1.2345679 |",
        r"| \<b>\| |  |",
    ]


def test_a_wide_preview_has_a_line_for_each_column():
    rows = pl.DataFrame({f"c{i}": [i, i + 1] for i in range(20)})
    assert preview(rows).value.splitlines()[2:4] == ["| c1 | 1 | 2 |", "| c2 | 2 | 3 |"]
