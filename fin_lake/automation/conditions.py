"""When what stands on raw is made again: as soon as something below it is newer.

Raw itself is fetched by the schedule. Everything above has the condition :data:`BEHIND`: an input was
updated after the hour was last made or asked for, and nothing is at work on either. A run that makes
an input and the hour on it leaves nothing to do, whoever started it; an hour whose run failed halfway
is asked for once more.

Hours of indicators depend on weeks of bars before them. An old bar that changes has them made again,
as far as they were made before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import dagster as dg

from fin_lake.assets.analytics import MAINTENANCE
from fin_lake.schema import ASSET_CLASSES

BEHIND: Final = (
    # Dagster's own any_deps_updated leaves out inputs made by a run that also made the asset, be it
    # another hour of it: hours that look back would be forgotten
    dg.AutomationCondition.any_deps_match(
        dg.AutomationCondition.newly_updated() | dg.AutomationCondition.will_be_requested()
    ).since_last_handled()
    & ~dg.AutomationCondition.in_progress()
    & ~dg.AutomationCondition.any_deps_in_progress()
).with_label("behind its inputs")

SENSOR: Final = "rebuild"
_TICK_SECONDS: Final = 30
_LOOKING_BACK: Final = {
    dg.AssetKey(["technical_analysis", asset_class]): dg.AssetKey(["processed", asset_class])
    for asset_class in ASSET_CLASSES
}


def automated(assets: Iterable[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """Return the assets, those above raw with the condition under which they are made again."""
    return list(dg.map_asset_specs(_automated, assets))


def _automated(spec: dg.AssetSpec) -> dg.AssetSpec:
    if spec.partitions_def is None or not spec.deps or spec.key == MAINTENANCE:
        return spec
    return spec.replace_attributes(automation_condition=_condition(spec.key))


def _condition(key: dg.AssetKey) -> dg.AutomationCondition[Any]:
    if key not in _LOOKING_BACK:
        return BEHIND
    # the look-back reaches far beyond the hours that were ever made
    has_bars = dg.AutomationCondition.asset_matches(_LOOKING_BACK[key], ~dg.AutomationCondition.missing())
    return (BEHIND & has_bars).with_label("behind its inputs, with bars of its own")


def build_automation() -> dg.AutomationConditionSensorDefinition:
    """Return the sensor that evaluates the conditions."""
    return dg.AutomationConditionSensorDefinition(
        SENSOR,
        target=dg.AssetSelection.all(include_sources=False),
        minimum_interval_seconds=_TICK_SECONDS,
        description="Makes again whatever is behind its inputs",
    )
