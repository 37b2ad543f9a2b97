"""How a dbt node becomes an asset: its key, group and kinds; the rest is dagster-dbt's own.

A model's layer is its folder under ``models/``; its asset is the layer and the model's name
without the layer: ``reports/reports_daily_market_summary.sql`` is ``reports/daily_market_summary``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtProject

_SHORT: Final[Mapping[str, str]] = {"staging": "stg"}
"""Layers whose models are named by something shorter than the layer."""
_NO_FOLDER: Final = "analytics"


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


def _layer(node: Mapping[str, Any]) -> str:
    folders = node["fqn"][1:-1]
    return str(folders[0]) if folders else _NO_FOLDER
