from __future__ import annotations

import logging
import os
import threading

import pytest
from dbt.adapters.factory import FACTORY
from dbt_common.events.event_manager_client import get_event_manager

from fin_lake.analytics.events import reason_of
from fin_lake.analytics.invocation import DbtError
from fin_lake.analytics.parsing import parsed, target_of
from fin_lake.analytics.project import ProjectError, load_manifest
from fin_lake.analytics.runner import DbtEvent, run_dbt
from fin_lake.settings import SettingsError


def run(settings, project, command=("build",)) -> list[DbtEvent]:
    return list(run_dbt(settings, project, command, known=load_manifest(project)["nodes"]))


def statuses(events: list[DbtEvent]) -> dict[str, str]:
    return {
        event.node.name: event.raw["data"]["run_result"]["status"]
        for event in events
        if event.name == "NodeFinished"
    }


def test_a_catalog_that_does_not_answer_is_one_error(away, tiny_project):
    with pytest.raises(DbtError, match="Could not connect"):
        run(away, tiny_project)


def test_nodes_that_fail_are_told_of_and_what_depends_on_them_is_skipped(mute, tiny_project):
    found = statuses(run(mute, tiny_project))
    assert (found.pop("stg_bars"), found.pop("one_is_two")) == ("error", "error")
    assert set(found.values()) == {"skipped"}


def test_a_run_leaves_nothing_behind_in_the_process(mute, tiny_project):
    def state():
        manager = get_event_manager()
        return (
            dict(os.environ),
            list(logging.getLogger().handlers),
            {name: list(logging.getLogger(name).handlers) for name in ("file_log", "stdout_log")},
            dict(FACTORY.adapters),
            (list(manager.callbacks), list(manager.loggers)),
            [thread.name for thread in threading.enumerate() if thread.name == "dbt"],
        )

    before = state()
    run(mute, tiny_project)
    assert state() == before
    assert before[3:] == ({}, ([], []), [])


def test_dbt_sees_the_settings_environment_and_not_the_shells(mute, tiny_project, monkeypatch):
    monkeypatch.setenv("AWS_S3_BUCKET_NAME", "the-shells-bucket")
    seen = {}
    for event in run_dbt(mute, tiny_project, ["build"], known=load_manifest(tiny_project)["nodes"]):
        seen[os.environ["AWS_S3_BUCKET_NAME"]] = event
    assert set(seen) == {mute.bucket}
    assert os.environ["AWS_S3_BUCKET_NAME"] == "the-shells-bucket"


def test_two_environments_in_one_process_do_not_mix(mute, tiny_project):
    other = mute.model_copy(update={"glue_database": "another_database"})
    databases = []
    for settings in (mute, other, mute):
        events = run(settings, tiny_project)
        models = [event.node for event in events if event.name == "SkippingDetails"]
        databases.append({node.schema for node in models if node.resource_type == "model"})
    assert databases == [{"a_database"}, {"another_database"}, {"a_database"}]


def test_the_project_is_parsed_once_and_again_when_a_file_changes(mute, tiny_project, monkeypatch):
    parses = []
    target = target_of(mute, tiny_project)
    monkeypatch.setattr("fin_lake.analytics.parsing.parse", lambda *_: parses.append(1) or _Copied())
    parsed(tiny_project, target)
    parsed(tiny_project, target)
    assert len(parses) == 1
    (tiny_project / "dbt_project.yml").touch()
    parsed(tiny_project, target)
    assert len(parses) == 2


class _Copied:
    def deepcopy(self):
        return self


def test_a_project_that_was_changed_since_it_was_prepared_is_refused(mute, tiny_project):
    known = [*load_manifest(tiny_project)["nodes"], "model.tiny.reports_gone"]
    with pytest.raises(ProjectError, match="changed since it was prepared"):
        list(run_dbt(mute, tiny_project, ["build"], known=known))


def test_a_command_that_dbt_refuses_is_an_error(mute, tiny_project):
    with pytest.raises(DbtError, match="--no-such-option"):
        run(mute, tiny_project, ["build", "--no-such-option"])


def test_a_run_that_is_given_up_ends_dbt_and_frees_the_way_for_the_next(mute, tiny_project):
    events = run_dbt(mute, tiny_project, ["build"], known=load_manifest(tiny_project)["nodes"])
    next(events)
    events.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "dbt"]
    assert statuses(run(mute, tiny_project))["stg_bars"] == "error"


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ({"aws_endpoint_url": None}, "has not been started"),
        ({"athena_endpoint_url": None}, "AWS_ENDPOINT_URL_ATHENA"),
        ({"glue_endpoint_url": None}, "AWS_ENDPOINT_URL_GLUE"),
    ],
)
def test_a_local_stack_without_athena_never_means_the_real_one(mute, tiny_project, missing, words):
    with pytest.raises((DbtError, SettingsError), match=words):
        run(mute.model_copy(update=missing), tiny_project)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            "Runtime Error in model x (models/x.sql)\n  Runtime Error\n    COLUMN_NOT_FOUND: no such",
            "COLUMN_NOT_FOUND: no such",
        ),
        ("Got 3 results, configured to fail if != 0", "Got 3 results, configured to fail if != 0"),
        ("", "error"),
        (None, "error"),
    ],
)
def test_the_reason_of_a_failure_is_in_the_engines_words(message, reason):
    assert reason_of({"status": "error", "message": message}) == reason
