"""The training script: what it learns from, what it says of itself, and what it refuses."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from fin_lake.assets.ml import leakage
from fin_lake.engines.sagemaker import requests, train
from fin_lake.reports.model_report import model_report, verdict

HOURS, SYMBOLS = 400, ("AAPL", "BTC-USD", "MSFT")
EMBARGO = dt.timedelta(hours=24)
START = dt.datetime(2023, 1, 2, tzinfo=dt.UTC)


def rows(signal: float, seed: int = 1) -> pa.Table:
    """Hours of symbols whose next return is a share of their last one, and noise."""
    random = np.random.default_rng(seed)
    made = []
    for symbol in SYMBOLS:
        noise = random.normal(0, 0.01, HOURS + 1)
        returns = [noise[0]]
        for one in noise[1:]:
            returns.append(signal * returns[-1] + one)
        for hour in range(HOURS):
            decided = START + dt.timedelta(hours=hour)
            known = decided + dt.timedelta(hours=1)
            features = dict(zip(train.FEATURES, random.normal(0, 1, len(train.FEATURES)), strict=True))
            features |= {"log_return": float(np.log1p(returns[hour])), "volume_zscore_24": None}
            made.append(
                {
                    "symbol": symbol,
                    "decision_at": decided,
                    **features,
                    "forward_return": returns[hour + 1],
                    "label_end_at": known,
                    "embargo_until": known + EMBARGO,
                }
            )
    table = pa.Table.from_pylist(made)
    for name in ("decision_at", "label_end_at", "embargo_until"):
        place = table.column_names.index(name)
        table = table.set_column(place, name, table[name].cast(pa.timestamp("ms", "UTC")))
    return table.set_column(
        table.column_names.index("volume_zscore_24"),
        "volume_zscore_24",
        table["volume_zscore_24"].cast(pa.float64()),
    )


def trained(folder: Path, table: pa.Table, **options: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train on a table; return the description and the metrics."""
    (folder / "data").mkdir(parents=True)
    pq.write_table(table, folder / "data" / "rows")  # as Athena names them: without an ending
    train.train(
        train.parser().parse_args(
            [
                *("--train", str(folder / "data"), "--model-dir", str(folder / "model")),
                *("--output-data-dir", str(folder / "output")),
                *(text for name, value in options.items() for text in (f"--{name}", value)),
            ]
        )
    )
    told = [folder / "model" / "model.json", folder / "output" / "metrics.json"]
    description, metrics = (json.loads(file.read_text()) for file in told)
    return description, metrics


@pytest.mark.parametrize("model", ["ridge", "boosting"])
def test_a_model_that_finds_a_pattern_beats_the_naive_forecasts(model, tmp_path):
    _, metrics = trained(tmp_path, rows(0.4), model=model)
    assert metrics["beats_naive"]
    assert metrics["skill"] > 0.05
    assert verdict(metrics).startswith("It beats the naive forecast:")


def test_a_model_of_noise_is_said_to_be_worth_nothing(tmp_path):
    description, metrics = trained(tmp_path, rows(0.0))
    assert not metrics["beats_naive"]
    report = model_report("one", description, metrics)
    assert "**It does not beat the naive forecast" in report
    assert description["data"]["sha256"] in report


def test_nothing_is_learned_from_what_was_not_known_when_a_forecast_began(tmp_path):
    read = read_rows(tmp_path, rows(0.2))
    folds = train.walk_forward(read, 5)
    assert len(folds) == 5
    for fold in folds:
        assert read.embargo_until[fold.train].max() <= read.decided[fold.test].min()
    tests = np.sum([fold.test for fold in folds], axis=0)
    assert tests.max() == 1
    assert tests.sum() == HOURS // 2 * len(SYMBOLS)


def read_rows(folder: Path, table: pa.Table) -> train.Rows:
    folder.mkdir(exist_ok=True)
    pq.write_table(table, folder / "rows")
    return train.read_rows(folder)


def test_what_comes_later_changes_no_forecast_before_it(tmp_path):
    table = rows(0.2)
    _, metrics = trained(tmp_path / "as it was", table)
    begins = dt.datetime.fromisoformat(metrics["folds"][1]["test_begins"])
    late = pa.compute.greater_equal(table["label_end_at"], pa.scalar(begins, table["label_end_at"].type))
    other = pa.compute.if_else(late, 1.0, table["forward_return"])
    changed = table.set_column(table.column_names.index("forward_return"), "forward_return", other)
    trained(tmp_path / "otherwise", changed)
    before, after = (
        pq.read_table(tmp_path / name / "output" / "walk_forward.parquet", filters=[("fold", "<=", 2)])
        for name in ("as it was", "otherwise")
    )
    assert before["model"].equals(after["model"])


def test_the_check_names_the_fold_that_looked_ahead(tmp_path):
    _, metrics = trained(tmp_path, rows(0.2))
    assert leakage(metrics) == []
    metrics["folds"][2]["train_labels_known_until"] = "2023-02-01T00:00:00Z"
    (told,) = leakage(metrics)
    assert told.startswith("fold 3 forecasts from ")
    assert "labels of 2023-02-01T00:00:00Z" in told


def test_the_same_data_in_other_files_is_the_same_model(tmp_path):
    table = rows(0.2)
    one, metrics = trained(tmp_path / "one", table)
    backwards = table.take(list(range(table.num_rows))[::-1])
    two, same = trained(tmp_path / "two", backwards)
    assert metrics == same
    assert one == two


def test_the_test_of_luck_is_the_t_test_for_one_hour_ahead(tmp_path):
    read = read_rows(tmp_path, rows(0.3))
    said = {"model": 0.1 * np.expm1(read.features[:, 0]), **train.naive_forecasts(read, read)}
    told = train._test(read, said, 1)
    best = min(train.BASELINES, key=lambda name: np.mean((read.labels - said[name]) ** 2))
    gains = (read.labels - said[best]) ** 2 - (read.labels - said["model"]) ** 2
    means = gains.reshape(HOURS, len(SYMBOLS)).mean(axis=1)
    expected = stats.ttest_1samp(means, 0, alternative="greater")
    assert told["statistic"] == pytest.approx(expected.statistic)
    assert told["p_value"] == pytest.approx(expected.pvalue)


def test_scoring_gives_what_the_model_says(tmp_path):
    table = rows(0.3)
    trained(tmp_path, table)
    unlabelled = table.select([*train.KEYS, *train.FEATURES])
    (tmp_path / "rows").mkdir()
    some = unlabelled.slice(0, 50)
    pq.write_table(some.take(list(range(50))[::-1]), tmp_path / "rows" / "a")
    places = {"model_dir": tmp_path / "model", "input": tmp_path / "rows", "output": tmp_path / "out"}
    train.score(argparse.Namespace(**places))
    scored = pq.read_table(tmp_path / "out" / "a.out")
    model, _ = train.model_fn(str(tmp_path / "model"))
    expected = model.predict(train.matrix(some))
    assert scored.column_names == ["symbol", "decision_at", "predicted_return"]
    np.testing.assert_array_equal(scored["predicted_return"].to_numpy(), expected)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": {"file": "model.joblib", "sha256": "0"}}, "is not the model that model.json describes"),
        ({"features_sha256": "0"}, "other features"),
        ({"versions": {"scikit-learn": "0.1"}}, "stored by scikit-learn 0.1"),
    ],
)
def test_a_model_that_is_not_what_it_says_is_refused(change, told, tmp_path):
    description, _ = trained(tmp_path, rows(0.3))
    (tmp_path / "model" / "model.json").write_text(json.dumps(description | change))
    with pytest.raises(train.TrainingError, match=told):
        train.model_fn(str(tmp_path / "model"))


@pytest.mark.parametrize(
    ("table", "options", "told"),
    [
        (rows(0.1).drop_columns(["rsi_14"]), (), "no column rsi_14"),
        (rows(0.1).slice(0, 100), (), "fold 1 has 26 rows to learn from, and needs 100"),
        (rows(0.1).slice(0, 5), (), "5 moments of decision do not make 5 folds"),
        (rows(0.1).slice(0, 0), (), "no labelled row"),
        (rows(0.1), ("--folds", "1"), "1 folds: at least 2 are needed"),
    ],
)
def test_data_that_cannot_be_learned_from_ends_the_script_with_a_sentence(table, options, told, tmp_path):
    (tmp_path / "data").mkdir()
    pq.write_table(table, tmp_path / "data" / "rows")
    places = ("--train", "data", "--model-dir", "model", "--output-data-dir", "output")
    done = subprocess.run(
        [sys.executable, requests.SCRIPT, *places, *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_hooks_and_requests_speak_of_one_content_type():
    assert requests.PARQUET == train.PARQUET
