"""What a trained model is worth, in words and figures: the verdict first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def verdict(metrics: Mapping[str, Any]) -> str:
    """Return whether the model beats the best naive forecast, in a sentence that does not flatter."""
    skill, p_value = metrics["skill"], metrics["p_value"]
    errors = (
        f"root mean squared error {metrics['rmse']:.6f} against "
        f"{metrics['baselines'][metrics['best_baseline']]:.6f} of {_named(metrics['best_baseline'])}"
    )
    chance = "too few moments to tell luck from skill" if p_value is None else f"p = {p_value:.3f}"
    if metrics["beats_naive"]:
        return f"It beats the naive forecast: {errors}, skill {skill:+.2%}, {chance}."
    if skill > 0:
        return (
            f"It does not beat the naive forecast by more than luck: {errors}, skill {skill:+.2%}, {chance}."
        )
    return f"It does not beat the naive forecast: {errors}, skill {skill:+.2%}, {chance}. Do not trade on it."


def model_report(name: str, description: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Return the report in Markdown.

    Parameters
    ----------
    description : mapping
        ``model.json``.
    metrics : mapping
        ``metrics.json``: pooled figures, and ``folds``.
    """
    data, model = description["data"], description["model"]
    how = (
        f"Forecast of the return over {description['horizon_bars']} hourly bars, walk-forward: each stretch "
        "by a model of what was known before it, with purge and embargo."
    )
    directions = (
        f"Right direction in {_share(metrics['hit_rate'])} of {metrics['rows']} forecasts; rank correlation "
        f"{_number(metrics['rank_correlation'])}."
    )
    learned = (
        f"The model that is kept learned from {data['rows']} rows of {', '.join(data['symbols'])}, decided "
        f"{data['first_decision_at']} – {data['last_decision_at']}."
    )
    lines = [
        f"# {name}",
        "",
        f"**{verdict(metrics)}**",
        "",
        how,
        "",
        "| | root mean squared error |",
        "| --- | ---: |",
        f"| the model ({model['kind']}) | {metrics['rmse']:.6f} |",
        *(f"| {_named(one)} | {error:.6f} |" for one, error in metrics["baselines"].items()),
        "",
        directions,
        "",
        "| fold | forecast | learned from | labels known until | skill | direction |",
        "| ---: | --- | ---: | --- | ---: | ---: |",
        *(
            f"| {fold['fold']} | {fold['test_begins']} – {fold['test_ends']} ({fold['test_rows']} rows) "
            f"| {fold['train_rows']} rows | {fold['train_labels_known_until']} | {fold['skill']:+.2%} "
            f"| {_share(fold['hit_rate'])} |"
            for fold in metrics["folds"]
        ),
        "",
        learned,
        "",
        "| | SHA-256 |",
        "| --- | --- |",
        f"| model | `{model['sha256']}` |",
        f"| data | `{data['sha256']}` |",
        f"| list of {len(description['features'])} features | `{description['features_sha256']}` |",
        f"| script | `{description['script_sha256']}` |",
        "",
        ", ".join(f"{what} {version}" for what, version in description["versions"].items()),
        "",
    ]
    return "\n".join(lines)


def _named(baseline: str) -> str:
    return {
        "zero": "“no change”",
        "last_return": "“as the last hour”",
        "train_mean": "“the mean so far”",
    }[baseline]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}"
