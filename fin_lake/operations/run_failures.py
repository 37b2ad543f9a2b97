"""Why runs failed, in the words of the errors that they failed with."""

from __future__ import annotations

import re
from typing import Any, Final

import dagster as dg

_CLASS: Final = re.compile(r"^(?:[a-z_]\w*\.)+\w+: ")  # fin_lake.lake.store.LakeError: …
_MOST: Final = 100


def failures_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[str]:
    """Return each failed step of a run with its cause; where no step failed, what ended the run."""
    steps = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE, limit=_MOST)
    said = []
    for record in steps.records:
        event = record.event_log_entry.get_dagster_event()
        said.append(f"{step_name(event.step_key)}: {cause(event.step_failure_data.error)}")
    if said:
        return said
    ends = {dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED}
    records = instance.get_records_for_run(run.run_id, of_type=ends, limit=1).records
    for record in records:
        event = record.event_log_entry.get_dagster_event()
        error = event.job_failure_data.error if event.is_job_failure else None
        said.append(cause(error) if error else event.message or run.status.value.lower())
    return said or [run.status.value.lower()]


def step_name(step_key: str | None) -> str:
    """Return a step as its assets are called: ``raw/stocks``."""
    return str(step_key).replace("__", "/")


def cause(error: Any) -> str:
    """Return the innermost error's own words, without Dagster's frame around them."""
    while error is not None and error.cause is not None:
        error = error.cause
    text = str(error.message).strip() if error is not None else "failed without saying why"
    return _CLASS.sub("", text)
