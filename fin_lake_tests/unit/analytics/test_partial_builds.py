from __future__ import annotations

from fin_lake.analytics.build import _answerable


def node(name: str, *reads: str) -> dict[str, object]:
    return {"fqn": ["p", name], "depends_on": {"nodes": list(reads)}}


MANIFEST = {
    "nodes": {
        "model.bars": node("bars", "source.raw"),
        "model.features": node("features", "model.bars"),
        "model.labels": node("labels", "model.bars"),
        "test.of_bars": node("of_bars", "model.bars", "source.raw"),
        "test.of_labels": node("of_labels", "model.labels", "model.bars"),
        "test.of_both": node("of_both", "model.labels", "model.features"),
    }
}
TESTS = ["p.of_bars", "p.of_labels", "p.of_both"]


def test_a_test_of_several_models_waits_for_a_build_of_all_of_them():
    assert list(_answerable(MANIFEST, ["p.labels"], TESTS)) == ["p.of_bars", "p.of_labels"]
    assert list(_answerable(MANIFEST, ["p.labels", "p.features"], TESTS)) == TESTS
