"""``dbt build`` for a step of Dagster's: what was selected, for the hours of the run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import dagster as dg
from dagster_dbt import DagsterDbtTranslator
from dagster_dbt.asset_utils import (
    get_checks_on_sources_upstream_of_selected_assets,
    get_dbt_resource_names_for_asset_keys,
    get_dbt_test_names_for_check_keys,
)

from fin_lake.analytics.events import DagsterEvent, EventTranslation
from fin_lake.analytics.project import Manifest
from fin_lake.analytics.runner import run_dbt
from fin_lake.analytics.tables import LakeTables
from fin_lake.settings import Settings
from fin_lake.warehouse.locks import tables_to_itself

_EVERYTHING: Final = "fqn:*"


def build(
    context: dg.AssetExecutionContext,
    settings: Settings,
    project: Path,
    manifest: Manifest,
    translator: DagsterDbtTranslator,
    variables: Mapping[str, str],
) -> Iterator[DagsterEvent]:
    """Build the models that a step is for, in one invocation of dbt; yield what was built and tested.

    Parameters
    ----------
    manifest, translator
        Those from which the step's assets were made.
    variables : mapping
        dbt's ``--vars``.

    Raises
    ------
    dagster.Failure
        A model or a test failed; what depends on it was skipped.
    FinLakeError
        dbt could not run at all: see :func:`fin_lake.analytics.runner.run_dbt`.
    """
    translation = EventTranslation(context, manifest, translator, LakeTables(settings))
    command = [
        "build",
        *_selection(context, manifest, translator),
        *_exclusion(manifest),
        *("--vars", json.dumps(dict(variables))),
    ]
    context.log.info("dbt %s", " ".join(command))
    with tables_to_itself(settings, context.log.info):
        for event in run_dbt(settings, project, command, known=manifest["nodes"]):
            yield from translation.of(event)
    translation.raise_failures()


def _selection(
    context: dg.AssetExecutionContext, manifest: Manifest, translator: DagsterDbtTranslator
) -> list[str]:
    """Select what Dagster has selected, and no test besides: one may read a model that is not built now."""
    assets = context.assets_def
    if not assets.is_subset:
        return ["--select", _EVERYTHING]
    keys = context.selected_asset_keys
    of_sources = get_checks_on_sources_upstream_of_selected_assets(assets, keys)
    checks = {*context.selected_asset_check_keys, *of_sources}
    chosen = [
        *get_dbt_resource_names_for_asset_keys(translator, manifest, assets, keys),
        *get_dbt_test_names_for_check_keys(translator, manifest, assets, checks),
    ]
    return ["--select", " ".join(sorted(chosen)), "--indirect-selection", "empty"]


def _exclusion(manifest: Manifest) -> list[str]:
    """Leave out what tests the project, not its data: unit tests, and tests that read no table."""
    dataless = [
        ".".join(node["fqn"])
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test" and not node["depends_on"]["nodes"]
    ]
    return ["--exclude-resource-type", "unit_test", *(["--exclude", " ".join(dataless)] if dataless else [])]
