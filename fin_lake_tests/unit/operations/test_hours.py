"""What an hour's state is, from real materializations in a real event log (Dagster's, in memory)."""

from __future__ import annotations

import io

import dagster as dg
import polars as pl
import pytest
from rich.console import Console

from fin_lake.operations.hours import LAYERS, State, hour_states, ranges, to_mend
from fin_lake.operations.hours_calendar import in_markdown, on_terminal, stretches, totals
from fin_lake.partitions import HourRange, hour_key, parse_hour
from fin_lake.settings import load_settings
from fin_lake_tests.conftest import hours

AT = parse_hour("2023-01-03T15")


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


class Recorder:
    """Writes into the event log what a run of the platform writes."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance

    def plan(self, *layers: str, status=dg.DagsterRunStatus.FAILURE, hour=AT) -> dg.DagsterRun:
        """Plan an attempt, which ends (or not) as told."""
        run = self._instance.create_run_for_job(job(), status=dg.DagsterRunStatus.STARTED)
        for layer in layers:
            data = dg._core.events.AssetMaterializationPlannedData(
                dg.AssetKey([layer, "stocks"]), partition=hour_key(hour)
            )
            planned = dg.DagsterEvent.build_asset_materialization_planned_event("job", "step", data)
            self._instance.report_dagster_event(planned, run.run_id)
        if status is dg.DagsterRunStatus.FAILURE:
            self._instance.report_run_failed(run)
        elif status is dg.DagsterRunStatus.CANCELED:
            self._instance.report_run_canceled(run)
        return run

    def make(self, raw="stored", processed="stored", layers=LAYERS, hour=AT) -> None:
        """Materialize layers of an hour, in their order."""
        states = {"raw": raw, "processed": processed, "market": None}
        for layer in layers:
            metadata = {"state": states[layer]} if states[layer] else {}
            self._instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    dg.AssetKey([layer, "stocks"]), partition=hour_key(hour), metadata=metadata
                )
            )


def job() -> dg.JobDefinition:
    @dg.op
    def nothing() -> None: ...

    return dg.JobDefinition(name="job", graph_def=dg.GraphDefinition("job", node_defs=[nothing]))


@pytest.fixture
def recorder(instance) -> Recorder:
    return Recorder(instance)


@pytest.fixture
def settings():
    return load_settings(start=parse_hour("2023-01-03"), now=parse_hour("2023-01-04T01"))


@pytest.fixture
def state_at(instance, settings):
    def look(hour=AT) -> str:
        return hour_states(instance, settings, HourRange.of(hour), ["stocks"])["state"].item()

    return look


@pytest.mark.parametrize(
    ("raw", "processed", "state"),
    [
        ("stored", "stored", State.DONE),
        ("market_closed", "market_closed", State.EMPTY),
        ("gap", "gap", State.GAP),
        ("stored", "gap", State.GAP),  # everything that was fetched is in the quarantine
        ("partial", "stored", State.PARTIAL),
        ("failed", "gap", State.FAILED),
    ],
)
def test_an_hour_that_went_all_the_way_is_as_its_materializations_say(
    recorder, state_at, raw, processed, state
):
    recorder.make(raw, processed)
    assert state_at() == state


@pytest.mark.parametrize("layers", [(), ("raw",), ("raw", "processed")])
def test_an_hour_that_did_not_get_to_postgresql_is_missing(recorder, state_at, layers):
    recorder.make(layers=layers)
    assert state_at() == State.MISSING


@pytest.mark.parametrize("again", [("raw",), ("processed",)])
def test_what_was_fetched_or_cleaned_since_it_was_stored_is_missing_again(recorder, state_at, again):
    recorder.make()
    recorder.make(layers=again)
    assert state_at() == State.MISSING


def test_the_last_attempt_counts(recorder, state_at):
    recorder.make()
    recorder.plan("raw", "processed", "market")
    assert state_at() == State.FAILED
    recorder.make()
    assert state_at() == State.DONE


def test_an_attempt_that_broke_off_half_way_is_failed(recorder, state_at):
    recorder.plan("raw", "processed", "market", status=None)
    recorder.make(layers=["raw"])
    assert state_at() == State.RUNNING


def test_a_cancelled_attempt_leaves_an_hour_as_it_was(recorder, state_at):
    recorder.make()
    recorder.plan("raw", "processed", "market", status=dg.DagsterRunStatus.CANCELED)
    assert state_at() == State.DONE


def test_every_hour_of_both_classes_is_told_in_order(instance, recorder, settings):
    recorder.make(hour=AT)
    states = hour_states(instance, settings)
    assert states.height == 2 * 25
    assert states["hour"].to_list() == [*hours("2023-01-03", 25), *hours("2023-01-03", 25)]
    assert totals(states) == {
        **dict.fromkeys(State, 0),
        State.DONE: 1,
        State.MISSING: 49,
    }


def test_hours_to_mend_are_told_in_ranges(instance, recorder, settings):
    for hour in hours("2023-01-03", 25):
        if hour.hour not in {3, 4, 9}:
            recorder.make(hour=hour)
    recorder.plan("raw", hour=parse_hour("2023-01-03T09"))
    states = hour_states(instance, settings, asset_classes=["stocks"])
    assert ranges(to_mend(states, "stocks")) == [hours("2023-01-03T03", 2), hours("2023-01-03T09")]
    assert [(one.state, one.hours) for one in stretches(states)] == [
        (State.MISSING, hours("2023-01-03T03", 2)),
        (State.FAILED, hours("2023-01-03T09")),
    ]


@pytest.fixture
def one_of_each() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "asset_class": ["stocks"] * len(State),
            "hour": list(hours("2023-01-03T00", len(State))),
            "state": [state.value for state in State],
        }
    )


def test_on_a_terminal_without_colours_states_are_told_apart_by_their_signs(one_of_each):
    console = Console(width=80, no_color=True, record=True, file=io.StringIO())
    console.print(on_terminal(one_of_each))
    drawn = console.export_text()
    assert "2023-01-03 Tue  ■·gPFr?" in drawn
    assert all(state.value in drawn for state in State)


def test_in_markdown_a_day_is_a_row_of_24_hours(one_of_each):
    drawn = in_markdown(one_of_each)
    row = next(line for line in drawn.splitlines() if "2023-01-03" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == 25
    assert cells[1:8] == ["■", "·", "**g**", "**P**", "**F**", "**r**", "**?**"]
    assert set(cells[8:]) == {""}
