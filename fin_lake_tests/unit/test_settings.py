from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from fin_lake.lake.store import Lake
from fin_lake.settings import SettingsError, environment, load_settings


def test_defaults_need_no_environment():
    settings = load_settings()
    assert settings.bucket == "financial-trading-data-lake"
    assert settings.profile == "local"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FIN_LAKE_NOW", "soon"),
        ("FIN_LAKE_START", "2023-13-01"),
        ("FIN_LAKE_CRYPTO_COINS", "bitcoin"),
        ("AWS_S3_BUCKET_NAME", "s3://lake/raw"),
        ("FIN_LAKE_PROFILE", "azure"),
        ("FIN_LAKE_STOCK_INTERVAL", "7min"),
        ("ALPHA_VANTAGE_REQUESTS_PER_MINUTE", "-1"),
        ("FIN_LAKE_OWNERS", "data"),
        ("FIN_LAKE_REPORT_DAYS", "0"),
    ],
)
def test_a_wrong_setting_is_named_by_its_variable(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=variable):
        load_settings()


def test_every_wrong_setting_is_named_at_once_and_no_secret_is_shown(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "half-a-key-7777")
    monkeypatch.setenv("FIN_LAKE_START", "never")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "FIN_LAKE_START" in str(caught.value)
    assert "7777" not in str(caught.value)


def test_half_a_key_pair_names_the_missing_half(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    with pytest.raises(SettingsError, match="AWS_SECRET_ACCESS_KEY is missing"):
        load_settings()


def test_secrets_stay_out_of_the_repr():
    settings = load_settings(
        aws_access_key_id="AKIA-visible",
        aws_secret_access_key="hidden-1",
        alpha_vantage_api_key="hidden-2",
        database_url="postgresql://u:hidden-3@h/db",
    )
    assert "hidden" not in repr(settings)
    assert {"hidden-1", "hidden-2"} <= set(settings.secrets)


def test_the_stack_speaks_last_and_only_in_the_local_profile(monkeypatch, tmp_path: Path):
    (tmp_path / "stack.env").write_text(
        "FIN_LAKE_NOW=2023-01-30T21:05:00Z\nAWS_S3_BUCKET_NAME=of-the-stack\n"
    )
    monkeypatch.setenv("FIN_LAKE_HOME", str(tmp_path))
    monkeypatch.setenv("AWS_S3_BUCKET_NAME", "of-the-shell")
    local = load_settings()
    assert local.bucket == "of-the-shell"
    assert local.latest_closed_hour == dt.datetime(2023, 1, 30, 20, tzinfo=dt.UTC)
    monkeypatch.setenv("FIN_LAKE_PROFILE", "aws")
    assert load_settings().now is None


def test_a_missing_database_says_how_to_get_one():
    with pytest.raises(SettingsError, match="fin-lake up"):
        load_settings().database()


def test_environment_hands_on_what_other_programs_need():
    settings = load_settings(aws_access_key_id="a", aws_secret_access_key="b", aws_endpoint_url="http://x")
    shown = environment(settings)
    assert shown["AWS_SECRET_ACCESS_KEY"] == "b"
    assert shown["AWS_ENDPOINT_URL"] == "http://x"
    assert Path(shown["FIN_LAKE_HOME"]).is_absolute()


def test_the_local_profile_never_falls_through_to_the_real_services():
    with pytest.raises(SettingsError, match="fin-lake up"):
        load_settings().require_services()
    with pytest.raises(SettingsError, match="fin-lake up"):
        Lake(load_settings()).list_objects(["raw/"])
    load_settings(profile="aws").require_services()
