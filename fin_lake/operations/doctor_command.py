"""`fin-lake doctor`: what is wrong with this installation, why, and what mends it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console

if TYPE_CHECKING:
    from fin_lake.operations.doctor import LookAtServices

_SHOWN: Final = 4


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON: what each check found.")
@click.pass_obj
def doctor(services: LookAtServices | None, *, as_json: bool) -> None:
    """Look at settings, AWS, bucket, PostgreSQL, Dagster and the APIs; say what is wrong and what mends it.

    Nothing is changed: one scratch object is written under _doctor/ and deleted again. A check that needs
    what another found missing is skipped. Exit status 1 if a check failed.

    \b
    Examples:
      fin-lake doctor
      fin-lake doctor --json
    """  # noqa: D301 - click's mark of a block is a backspace character
    from fin_lake.operations.doctor import Doctor
    from fin_lake.operations.findings import Outcome, in_order, run_checks
    from fin_lake.operations.printing import finding_as_json, findings_table

    patient = Doctor(services=services)
    checks = patient.checks()
    found = []
    with Console(stderr=True).status("looking") as spinner:
        for name, finding, at_work in run_checks(checks, patient.secrets):
            found.append((name, finding))
            spinner.update(f"waiting for {', '.join(at_work[:_SHOWN])}")
    found = in_order(checks, found)
    count = {outcome: sum(finding.outcome is outcome for _, finding in found) for outcome in Outcome}
    if as_json:
        told = [finding_as_json(name, finding) for name, finding in found]
        click.echo(json.dumps({"healthy": not count[Outcome.FAILED], "checks": told}, indent=2))
    else:
        console = Console(highlight=False)
        console.print(findings_table(found))
        console.print(", ".join(f"{number} {outcome}" for outcome, number in count.items() if number))
    if count[Outcome.FAILED]:
        sys.exit(1)
