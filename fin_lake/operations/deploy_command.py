"""`fin-lake deploy`: the account as the template says."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table as RichTable

from fin_lake.settings import load_settings

if TYPE_CHECKING:
    from fin_lake.operations.deploy import Deployment


def _pairs(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = dict(value.partition("=")[::2] for value in values)
    wrong = [value for value in values if "=" not in value]
    if wrong:
        raise click.BadParameter(f"{wrong[0]!r} is not NAME=VALUE, as in MonthlyBudget=50")
    return pairs


@click.command()
@click.option("--plan", is_flag=True, help="Say what would change, and change nothing.")
@click.option(
    "--set",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_pairs,
    help="A parameter of infrastructure/lake.yaml; it stays so until it is set again.",
)
@click.option("--replace", is_flag=True, help="Let it replace or remove what holds data.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def deploy(
    plan: bool,  # noqa: FBT001 - click passes options so
    parameters: dict[str, str],
    replace: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> None:
    """Make the AWS account as infrastructure/lake.yaml says, or change what differs.

    Bucket, queue, roles, workgroup, alarms and what computes are one CloudFormation stack. A bucket
    that is there already is taken into it. Afterwards every setting of the bucket is read back. As often
    as you like: what is as it should be is left alone. The exit status is 0 if everything is.

    \b
    Examples:
      fin-lake deploy --plan
      fin-lake deploy
      fin-lake deploy --set Encryption=aws:kms --set AlarmEmail=you@example.com --set MonthlyBudget=50
    """  # noqa: D301 - click's mark of a block is a backspace character
    settings = load_settings()
    settings.require_services()
    console = Console(stderr=as_json)

    from fin_lake.operations.deploy import deploy as make

    with console.status("asking CloudFormation") as status:
        done = make(settings, parameters, plan=plan, replace=replace, report=status.update)
    if as_json:
        click.echo(json.dumps(asdict(done), indent=2))
    else:
        _show(console, done)
    if done.not_kept and not settings.aws_endpoint_url:
        sys.exit(1)


def _show(console: Console, done: Deployment) -> None:
    if done.changes:
        title = f"{done.stack}: would change" if done.planned else f"{done.stack}: changed"
        table = RichTable("", "resource", "type", "what", title=title)
        for one in done.changes:
            what = ("REPLACED " if one.replaced else "") + ", ".join(one.what)
            table.add_row(one.action.lower(), one.logical_id, one.kind.removeprefix("AWS::"), what)
        console.print(table)
    else:
        console.print(f"{done.stack}: no change")
    for name in done.put_right:
        console.print(f"put right:  {name}", highlight=False)
    for name in done.not_kept:
        console.print(f"not kept by this endpoint:  {name}", style="yellow", highlight=False, soft_wrap=True)
    settings = {setting: value for value, setting in done.outputs.values() if setting}
    if settings:
        console.print("for .env:", *(f"  {name}={value}" for name, value in settings.items()), sep="\n")
