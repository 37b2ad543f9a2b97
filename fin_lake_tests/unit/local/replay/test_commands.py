"""`fin-lake replay …`, as a person types it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fin_lake.cli import cli
from fin_lake.errors import FinLakeError
from fin_lake.local.replay.faults import APIS, KINDS
from fin_lake.local.replay.recording import PACK, active_recording
from fin_lake.local.state import ServiceRecord, StackState
from fin_lake_tests.unit.local.replay.conftest import StartReplay
from fin_lake_tests.unit.local.replay.test_importing import STOCK_HOURS, csv

COMMANDS = ("import", "use", "list", "fault", "faults")
Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "home"
    place.mkdir()
    monkeypatch.setenv("FIN_LAKE_HOME", str(place))
    monkeypatch.setenv("COLUMNS", "200")
    return place


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "My Bars"
    place.mkdir()
    (place / "AAPL_1h.csv").write_text(csv([*STOCK_HOURS, STOCK_HOURS[0]]))
    return place


def run(*words: object) -> str:
    """Run a command that succeeds, and return what it says."""
    result = CliRunner().invoke(cli, ["replay", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_shows_an_example(command: str):
    assert f"fin-lake replay {command}" in run(command, "--help")


def test_the_help_names_every_fault_and_api():
    said = run("fault", "--help").replace("\n", "").replace(" ", "")
    assert all(name in said for name in (*KINDS, *APIS))


def test_import_says_what_it_took_and_what_is_next(home: Path, folder: Path):
    said = run("import", folder)
    assert "AAPL" in said
    assert "60 min" in said
    assert "1 repeated bar" in said
    assert "2023-01-03" in said
    assert "fin-lake up" in said
    assert active_recording(home).name == "my-bars"


def test_import_replaces_nothing_unasked(home: Path, folder: Path):
    run("import", folder, "--name", "mine")
    with pytest.raises(FinLakeError, match="already"):
        run("import", folder, "--name", "mine")
    run("import", folder, "--name", "mine", "--replace")


def test_a_coin_that_names_no_id_is_a_usage_error(home: Path, folder: Path):
    result = CliRunner().invoke(cli, ["replay", "import", str(folder), "--coin", "BTC-USD"])
    assert result.exit_code == 2
    assert "SYMBOL=ID" in result.output


def test_one_goes_back_and_forth_between_recordings(home: Path, folder: Path):
    run("import", folder, "--name", "mine")
    run("use", "pack")
    assert active_recording(home).folder == PACK
    run("use", "mine")
    rows = {row["name"]: row for row in json.loads(run("list", "--json"))}
    assert {name: row["active"] for name, row in rows.items()} == {"pack": False, "mine": True}
    assert rows["mine"]["stock_symbols"] == ["AAPL"]
    assert "mine" in run("list")


def test_a_recording_that_is_not_there_is_not_chosen(home: Path):
    with pytest.raises(FinLakeError, match="choose one of: pack"):
        run("use", "nope")


def test_a_damaged_recording_is_listed_and_not_chosen(home: Path, folder: Path):
    run("import", folder, "--name", "mine")
    run("use", "pack")
    (home / "recordings" / "mine" / "manifest.json").write_text("{")
    assert "cannot be read" in run("list", "--json")
    with pytest.raises(FinLakeError, match="cannot be read"):
        run("use", "mine")
    assert active_recording(home).folder == PACK


@pytest.mark.parametrize("words", [("faults",), ("fault", "html", "--source", "yahoo")])
def test_without_a_stack_there_is_nobody_to_misbehave(home: Path, words: tuple[str, ...]):
    with pytest.raises(FinLakeError, match="no market replay runs") as caught:
        run(*words)
    assert "fin-lake up" in caught.value.remedy


async def test_faults_are_ordered_shown_and_cleared(home: Path, start: StartReplay):
    client = await start()
    StackState(home, {"replay": ServiceRecord(client.port)}).save()
    words = ("rate_limit", "--source", "yahoo", "--symbol", "AAPL", "--times", 3, "--retry-after", 5)
    ordered = await asyncio.to_thread(run, "fault", *words)
    assert all(word in ordered for word in ("rate_limit", "yahoo", "AAPL", "3", "retry_after 5"))
    (waiting,) = json.loads(await asyncio.to_thread(run, "faults", "--json"))
    assert (waiting["kind"], waiting["symbol"], waiting["times"]) == ("rate_limit", "AAPL", 3)
    assert "no faults" in await asyncio.to_thread(run, "faults", "--clear")
    assert await (await client.get("/_replay/faults")).json() == []


async def test_a_fault_that_an_api_does_not_have_is_refused(home: Path, start: StartReplay):
    client = await start()
    StackState(home, {"replay": ServiceRecord(client.port)}).save()
    with pytest.raises(FinLakeError, match=r"refuses the fault.*alpha_vantage"):
        await asyncio.to_thread(run, "fault", "quota", "--source", "yahoo")
