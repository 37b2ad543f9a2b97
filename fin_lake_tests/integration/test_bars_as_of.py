"""The macro ``bars_as_of``: what each source had sent by a moment, asked of Athena."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from fin_lake.analytics.project import PROJECT, load_manifest
from fin_lake.analytics.runner import run_dbt
from fin_lake.clients import aws_client
from fin_lake.lake.catalog import ensure_catalog
from fin_lake.lake.raw import RawAttempt, write_attempt
from fin_lake.lake.store import Lake
from fin_lake.operations.athena import Athena
from fin_lake.partitions import HOUR, parse_hour
from fin_lake.settings import Settings
from fin_lake.tables import RAW
from fin_lake_tests.dbt_projects import prepared_project
from fin_lake_tests.frames import raw_bar

pytestmark = pytest.mark.stack
AT = parse_hour("2023-01-03T15")
FIRST = dt.datetime(2023, 1, 5, tzinfo=dt.UTC)
MODELS = {
    "early": "2023-01-04 23:59:59",
    "between": "2023-01-05 00:30:00",
    "after": "2023-01-05 01:00:00",
    "late": "2023-01-06 00:00:00",
}
ADJUSTED = {
    "source": "yahoo",
    "open_price": 5.0,
    "high_price": 5.5,
    "low_price": 4.5,
    "close_price": 5.25,
    "split_factor": 2.0,
}
ATTEMPTS = [  # hours after the first, and the bars
    (0, [{}, ADJUSTED]),
    (1, [{"close_price": 10.7}]),
    (2, [{"close_price": -1.0}, {"open_price": 12.0}, {"finished": False}]),
]


@pytest.fixture(scope="module")
def known(module_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake of three attempts, the last of them broken, with a view for each moment."""
    settings = module_settings
    glue = aws_client(settings, "glue", settings.glue_endpoint_url)
    ensure_catalog(glue, database=settings.glue_database, bucket=settings.bucket)
    for number, bars in ATTEMPTS:
        fetched_at = FIRST + number * HOUR
        records = [raw_bar("AAPL", AT, **{"fetched_at": fetched_at, **bar}) for bar in bars]
        frame = pl.DataFrame(
            [{name: record.get(name) for name in RAW["stocks"].column_names} for record in records],
            schema=RAW["stocks"].polars_schema(),
        )
        write_attempt(Lake(settings), RAW["stocks"], RawAttempt(frame, frozenset([AT]), fetched_at))
    views = {
        f"models/staging/stg_known_{name}.sql": "select * from ("
        f"{{{{ bars_as_of('stocks', '{moment}', days_between('2023-01-03', '2023-01-04')) }}}})"
        for name, moment in MODELS.items()
    }
    project: Path = prepared_project(tmp_path_factory.mktemp("as_of") / "project", views, like=PROJECT)
    selection = ["--select", "stg_raw_bars", *(f"stg_known_{name}" for name in MODELS)]
    for event in run_dbt(settings, project, ["run", *selection], known=load_manifest(project)["nodes"]):
        assert event.raw["info"]["level"] != "error", event.raw["info"]["msg"]
    return settings


@pytest.mark.parametrize(
    ("moment", "rows"),
    [
        ("early", []),
        ("between", [("alpha_vantage", 10.5, 100.0), ("yahoo", 10.5, 50.0)]),
        ("after", [("alpha_vantage", 10.7, 100.0), ("yahoo", 10.5, 50.0)]),
        ("late", [("alpha_vantage", 10.7, 100.0), ("yahoo", 10.5, 50.0)]),
    ],
)
def test_each_sources_latest_sound_attempt_by_the_moment(known: Settings, moment: str, rows) -> None:
    sql = f"select source, close_price, volume from stg_known_{moment} where year = '2023' order by source"
    found = [(source, float(close), float(volume)) for source, close, volume in Athena(known).run(sql).rows()]
    assert found == rows
