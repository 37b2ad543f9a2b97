"""How a dbt node becomes an asset: its key, group and kinds; the rest is dagster-dbt's own.

A model's layer is its folder under ``models/``; its asset is the layer and the model's name
without the layer: ``reports/reports_daily_market_summary.sql`` is ``reports/daily_market_summary``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtProject

from fin_lake.analytics.project import Manifest
from fin_lake.tables import TECHNICAL_ANALYSIS

_SHORT: Final[Mapping[str, str]] = {"staging": "stg"}
"""Layers whose models are named by something shorter than the layer."""
_NO_FOLDER: Final = "analytics"
_LOOKING_BACK: Final = frozenset(table.name for table in TECHNICAL_ANALYSIS.values())
_DEEPEST: Final = 1_000


class LayeredTranslator(DagsterDbtTranslator):
    """Keys and groups by layer; every test a check, those of sources included."""

    def __init__(self) -> None:
        super().__init__(DagsterDbtTranslatorSettings(enable_source_tests_as_checks=True))

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """Return layer and name, unless the node's ``meta`` names an asset, as the sources' does."""
        meta = dbt_resource_props["config"].get("meta") or dbt_resource_props.get("meta") or {}
        if "asset_key" in meta.get("dagster", {}) or dbt_resource_props["resource_type"] == "source":
            return super().get_asset_key(dbt_resource_props)
        layer = _layer(dbt_resource_props)
        name: str = dbt_resource_props["name"]
        return dg.AssetKey([layer, name.removeprefix(f"{_SHORT.get(layer, layer)}_")])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """Return the layer."""
        return _layer(dbt_resource_props)

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> dg.AssetSpec:
        """Return dagster-dbt's spec, to whose kinds is added what the model is kept as."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        config = self.get_resource_props(manifest, unique_id)["config"]
        kept_as = config.get("table_type") or config.get("materialized")
        return spec.merge_attributes(kinds={kept_as}) if kept_as in {"iceberg", "view"} else spec


def with_tests_attached(manifest: Manifest) -> Manifest:
    """Return the manifest in which every test that reads several models is attached to one of them.

    dagster-dbt makes a check of a test only if it knows the asset that it is of. A test written as a
    query over several models is of the last of them, which is built when all others are. In a backfill
    that is a later run than the others' for what stands on indicators: these look back over many hours,
    so Dagster makes them after all of their bars.
    """
    nodes, sources = manifest["nodes"], manifest.get("sources", {})

    def upstream(node: Mapping[str, Any]) -> list[str]:
        return list(node.get("depends_on", {}).get("nodes", []))

    @functools.cache
    def depth(unique_id: str) -> int:
        if unique_id not in nodes:
            return _DEEPEST if _asset_of(sources.get(unique_id, {})) in _LOOKING_BACK else 0
        return 1 + max(map(depth, upstream(nodes[unique_id])), default=0)

    attached = {}
    for unique_id, node in nodes.items():
        read = [parent for parent in upstream(node) if parent in nodes]
        meta = node["config"].get("meta") or node.get("meta") or {}
        of_dagster = meta.get("dagster", {})
        is_tied = node.get("attached_node") or len(upstream(node)) == 1 or "ref" in of_dagster
        if node["resource_type"] == "test" and read and not is_tied:
            last = nodes[max(read, key=lambda parent: (depth(parent), parent))]
            meta = {**meta, "dagster": {**of_dagster, "ref": {"name": last["name"]}}}
            attached[unique_id] = {**node, "config": {**node["config"], "meta": meta}}
    return {**manifest, "nodes": {**nodes, **attached}}


def _asset_of(source: Mapping[str, Any]) -> str:
    meta = source.get("config", {}).get("meta") or source.get("meta") or {}
    return "/".join(meta.get("dagster", {}).get("asset_key", []))


def _layer(node: Mapping[str, Any]) -> str:
    folders = node["fqn"][1:-1]
    return str(folders[0]) if folders else _NO_FOLDER
