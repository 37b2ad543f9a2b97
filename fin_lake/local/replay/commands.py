"""`fin-lake replay …`: bring bars of your own, choose between recordings, make the APIs misbehave."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click
from rich import box
from rich.console import Console
from rich.table import Table

from fin_lake.errors import FinLakeError
from fin_lake.local.replay.faults import APIS, KINDS
from fin_lake.local.replay.importing import (
    PACK_NAME,
    ImportedSymbol,
    Options,
    import_recording,
    parse_interval,
)
from fin_lake.local.replay.recording import (
    ACTIVE,
    PACK,
    Recording,
    RecordingError,
    activate,
    active_recording,
    recordings_folder,
)
from fin_lake.settings import load_settings

if TYPE_CHECKING:
    from fin_lake.schema import AssetClass

_STACK_STATE: Final = "stack.json"
_FAULTS: Final = "/_replay/faults"
_SECONDS: Final = 5
_HTTP_OK: Final = 200


class ReplayError(FinLakeError):
    """The running replay cannot be reached, or refuses."""


@click.group(
    epilog="\b\nExamples:\n"
    "  fin-lake replay import ~/bars --align\n"
    "  fin-lake replay use pack\n"
    "  fin-lake replay fault rate_limit --source yahoo --times 3\n",
)
def replay() -> None:
    """Choose the market that the local stack replays, and make it misbehave."""


@replay.command(
    "import",
    epilog="\b\nExamples:\n"
    "  fin-lake replay import ~/bars\n"
    "  fin-lake replay import ~/bars --align --coin PEPE-USD=pepe\n"
    "  fin-lake replay import AAPL_5min.csv --zone America/New_York --name aapl\n",
)
@click.argument("place", type=click.Path(path_type=Path))
@click.option("--name", help="What to call the recording; the folder's name if not given.")
@click.option("--interval", help="Length of a bar, as in 30min or 1h; the commonest step if not given.")
@click.option("--zone", help="Zone of times that name none, as in UTC or America/New_York.")
@click.option(
    "--crypto/--stocks",
    "is_crypto",
    default=None,
    help="What all of it is; if not given, symbols like BTC-USD are coins.",
)
@click.option("--coin", "coins", multiple=True, metavar="SYMBOL=ID", help="CoinGecko's id of a symbol.")
@click.option(
    "--volume-in",
    type=click.Choice(["units", "money"]),
    default="units",
    show_default=True,
    help="Whether a coin's volume counts coins or their worth.",
)
@click.option("--align", is_flag=True, help="Lay coins onto the stocks' weeks, by whole weeks.")
@click.option("--replace", "may_replace", is_flag=True, help="Let an earlier recording of that name go.")
def import_(
    place: Path,
    name: str | None,
    interval: str | None,
    zone: str | None,
    is_crypto: bool | None,  # noqa: FBT001 - click passes options so
    coins: tuple[str, ...],
    volume_in: Literal["units", "money"],
    align: bool,  # noqa: FBT001
    may_replace: bool,  # noqa: FBT001
) -> None:
    """Make a recording of the bars in PLACE, a file or a folder of CSV, CSV.gz or Parquet.

    Columns: a time, open, high, low, close and volume, in any order and case. The symbol is a column
    (symbol or ticker) or the beginning of the file's name: AAPL_1h.csv.gz. The new recording becomes
    the active one.
    """
    asset_class: AssetClass | None = None if is_crypto is None else "crypto" if is_crypto else "stocks"
    options = Options(
        minutes=parse_interval(interval) if interval else None,
        zone=zone,
        asset_class=asset_class,
        coins=dict(_coin(text) for text in coins),
        volume_in=volume_in,
        align=align,
        replace=may_replace,
    )
    home = load_settings().home
    chosen = name or _name_of(place)
    symbols = import_recording(home, place, chosen, options)
    console = Console()
    console.print(_imported_table(symbols))
    _tell(console, active_recording(home))


def _coin(text: str) -> tuple[str, str]:
    symbol, _, coin = text.partition("=")
    if not symbol or not coin:
        raise click.BadParameter(f"{text!r} is not SYMBOL=ID, as in BTC-USD=bitcoin", param_hint="--coin")
    return symbol.upper(), coin


def _name_of(place: Path) -> str:
    name = place.resolve().name.lower()
    return "".join(letter if letter.isalnum() or letter in ".-_" else "-" for letter in name).strip("-._")


def _imported_table(symbols: list[ImportedSymbol]) -> Table:
    table = Table(box=box.SIMPLE)
    for heading in ("symbol", "coin", "every", "from", "to"):
        table.add_column(heading, no_wrap=True)
    table.add_column("bars", justify="right", no_wrap=True)
    for one in symbols:
        entry, times = one.entry, one.bars["timestamp"]
        table.add_row(
            entry.symbol,
            entry.coin,
            f"{entry.minutes} min",
            f"{times[0]:%Y-%m-%d}",
            f"{times[-1]:%Y-%m-%d}",
            f"{one.bars.height:,}",
        )
    return table


def _tell(console: Console, recording: Recording) -> None:
    for line in (*recording.notes, "next: `fin-lake down` and `fin-lake up`, and the stack replays it"):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@replay.command(
    epilog="\b\nExamples:\n  fin-lake replay use summer-2023\n  fin-lake replay use pack\n",
)
@click.argument("name")
def use(name: str) -> None:
    """Choose the recording NAME, or the one that is shipped: pack."""
    home = load_settings().home
    folder = recordings_folder(home)
    if name != PACK_NAME:
        if name not in _imported_names(folder):
            known = ", ".join([PACK_NAME, *_imported_names(folder)])
            raise RecordingError(
                f"there is no recording {name!r}", f"choose one of: {known}; or `fin-lake replay import`"
            )
        Recording(folder / name)  # refused here rather than by the stack
    activate(home, None if name == PACK_NAME else name)
    _tell(Console(), active_recording(home))


def _imported_names(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(one.name for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))


@replay.command(
    "list",
    epilog="\b\nExample:\n  fin-lake replay list\n",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:  # noqa: FBT001
    """List the recordings."""
    home = load_settings().home
    folder = recordings_folder(home)
    try:
        active = (folder / ACTIVE).read_text().strip()
    except FileNotFoundError:
        active = PACK_NAME
    rows = [_row(PACK_NAME, PACK, active)]
    rows += [_row(name, folder / name, active) for name in _imported_names(folder)]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table("", "name", "stocks", "crypto", "start", "now (UTC)", box=box.SIMPLE)
    for row in rows:
        table.add_row(
            "→" if row["active"] else "",
            row["name"],
            row.get("error") or ", ".join(row["stock_symbols"]),
            ", ".join(row.get("crypto_coins", {}).values()),
            row.get("start", "")[:16].replace("T", " "),
            row.get("now", "")[:16].replace("T", " "),
        )
    Console().print(table)


def _row(name: str, folder: Path, active: str) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "active": name == active}
    try:
        recording = Recording(folder)
        return row | {
            "stock_symbols": recording.stock_symbols,
            "crypto_coins": recording.crypto_coins,
            "stock_interval": recording.stock_interval,
            "start": recording.start.isoformat(),
            "now": recording.now.isoformat(),
        }
    except RecordingError as error:
        return row | {"error": error.what}


@replay.command(
    epilog="\b\nExamples:\n"
    "  fin-lake replay fault rate_limit --source coingecko --retry-after 5 --times 3\n"
    "  fin-lake replay fault truncated --source yahoo --symbol MSFT\n"
    "  fin-lake replay fault negative_price --source alpha_vantage --at 2023-01-03T15:00 --times 0\n",
)
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--source", type=click.Choice(APIS), required=True, help="The API that misbehaves.")
@click.option("--symbol", help="For one symbol or coin; for any if not given.")
@click.option("--times", type=click.IntRange(min=0), default=1, show_default=True, help="0: until cleared.")
@click.option("--retry-after", type=click.FloatRange(min=0), help="Seconds that a refusal asks to wait.")
@click.option("--seconds", type=click.FloatRange(min=0), help="How late `slow` is, how silent `timeout`.")
@click.option("--at", help="Spoil the first bar from this time on, as in 2023-01-03T15:00 (UTC).")
def fault(kind: str, source: str, **options: Any) -> None:
    """Make an API of the running stack misbehave."""
    given = {name: value for name, value in options.items() if value is not None}
    waiting = _ask("POST", {"source": source, "kind": kind, **given})
    Console().print(_faults_table(waiting))


@replay.command(
    epilog="\b\nExamples:\n  fin-lake replay faults\n  fin-lake replay faults --clear\n",
)
@click.option("--clear", is_flag=True, help="Forget them: all APIs behave again.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def faults(clear: bool, as_json: bool) -> None:  # noqa: FBT001
    """Show the faults that wait for a request of the running stack, or clear them."""
    waiting = _ask("DELETE" if clear else "GET")
    if as_json:
        click.echo(json.dumps(waiting, indent=2))
    elif waiting:
        Console().print(_faults_table(waiting))
    else:
        click.echo("no faults: all three APIs behave")


def _faults_table(waiting: list[dict[str, Any]]) -> Table:
    table = Table("source", "kind", "symbol", "times left", "more", box=box.SIMPLE)
    for one in waiting:
        more = (f"{name} {one[name]}" for name in ("retry_after", "seconds", "at") if one[name])
        left = str(one["times"]) if one["times"] else "until cleared"
        table.add_row(one["source"], one["kind"], one["symbol"] or "any", left, ", ".join(more))
    return table


def _ask(method: str, body: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Ask the running replay about its faults.

    Raises
    ------
    ReplayError
        The stack is down, or the fault is refused.
    """
    home = load_settings().home
    try:
        state = json.loads((home / _STACK_STATE).read_text())
        port = int(state["services"]["replay"]["port"])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
        try:
            connection.request(method, _FAULTS, json.dumps(body) if body else None)
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException) as error:
        raise ReplayError(
            f"no market replay runs for {home.resolve()} ({type(error).__name__})",
            "start the local stack with `fin-lake up`",
        ) from error
    if response.status != _HTTP_OK:
        raise ReplayError(f"the replay refuses the fault: {answer.get('error', answer)}")
    found: list[dict[str, Any]] = answer
    return found
