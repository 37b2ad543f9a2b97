"""A test over several models is of the one that is built last, also where a backfill takes several runs."""

from __future__ import annotations

from fin_lake.analytics.project import load_manifest
from fin_lake.analytics.translator import with_tests_attached


def test_what_compares_features_with_other_models_is_of_the_features():
    nodes = with_tests_attached(load_manifest())["nodes"].values()
    of = {
        node["name"]: node["config"]["meta"]["dagster"]["ref"]["name"]
        for node in nodes
        if "ref" in (node["config"].get("meta") or {}).get("dagster", {})
    }
    # features stand on indicators, which a backfill makes after all bars of its hours
    for test in ("labels_are_kept_apart", "no_feature_looks_ahead", "tables_hold_the_same_days"):
        assert of[test] == "ml_features_hourly"
