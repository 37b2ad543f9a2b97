from __future__ import annotations

import logging
import os

import pytest

from fin_lake.analytics.prepare import prepare
from fin_lake.analytics.project import ProjectError, fingerprint, load_manifest, models
from fin_lake_tests.dbt_projects import TINY, prepared_project


def test_a_manifest_that_is_missing_names_the_command_that_makes_it():
    with pytest.raises(ProjectError, match=r"python -m fin_lake\.analytics\.prepare"):
        load_manifest(TINY)


def test_the_prepared_manifest_holds_the_models_and_what_they_depend_on(tiny_project):
    manifest = load_manifest(tiny_project)
    assert sorted(node["name"] for node in models(manifest).values()) == [
        "aggregations_daily",
        "reports_summary",
        "stg_bars",
    ]
    assert manifest["parent_map"]["model.tiny.stg_bars"] == ["source.tiny.processed.stocks"]


def test_a_manifest_that_was_prepared_anew_is_read_anew(tmp_path):
    project = prepared_project(tmp_path / "project")
    assert "model.tiny.reports_more" not in load_manifest(project)["nodes"]
    (project / "models/reports/reports_more.sql").write_text("select 1 as one")
    prepare(project)
    assert "model.tiny.reports_more" in load_manifest(project)["nodes"]


def test_a_project_with_a_fault_is_refused_with_dbts_words(tmp_path):
    with pytest.raises(ProjectError, match="no_such_model"):
        prepared_project(
            tmp_path / "project",
            {"models/reports/reports_summary.sql": "select * from {{ ref('no_such_model') }}"},
        )


def test_a_folder_without_a_project_is_named(tmp_path):
    with pytest.raises(ProjectError, match=str(tmp_path)):
        prepare(tmp_path)


def test_preparing_leaves_nothing_behind_in_the_process(tiny_project):
    root, before = logging.getLogger(), (list(logging.getLogger().handlers), logging.getLogger().level)
    environment, folder = dict(os.environ), os.getcwd()  # noqa: PTH109 - dbt changes it by os.chdir
    prepare(tiny_project)
    assert (root.handlers, root.level) == before
    assert dict(os.environ) == environment
    assert os.getcwd() == folder  # noqa: PTH109
    assert logging.getLogger("file_log").handlers == []


@pytest.mark.parametrize(
    ("file", "is_source"),
    [("models/reports/reports_summary.sql", True), ("dbt_project.yml", True), ("target/x.json", False)],
)
def test_the_fingerprint_changes_with_the_sources_alone(tmp_path, file, is_source):
    project = prepared_project(tmp_path / "project")
    before = fingerprint(project)
    with (project / file).open("a") as text:
        text.write("\n")
    assert (fingerprint(project) != before) == is_source
