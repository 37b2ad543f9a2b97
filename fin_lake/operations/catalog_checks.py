"""Checks of Glue and Athena: whether the tables are as the code has them, and whether a query comes back."""

from __future__ import annotations

from typing import Any

from fin_lake.lake.catalog import due_changes
from fin_lake.operations.athena import Athena
from fin_lake.operations.aws_failures import AwsErrors, error_code, explained
from fin_lake.operations.findings import DEPLOY, Finding, failed, ok, warning
from fin_lake.portfolios.definitions import load_portfolios
from fin_lake.settings import Settings


def glue_tables(settings: Settings, glue: Any) -> Finding:
    """Compare Glue's tables with those that the code describes."""
    database = settings.glue_database
    cure = "`fin-lake up`" if settings.profile == "local" else DEPLOY
    try:
        due = due_changes(
            glue,
            database=database,
            bucket=settings.bucket,
            portfolios=load_portfolios(settings.portfolios_file),
        )
    except AwsErrors as error:
        if error_code(error) == "EntityNotFoundException":
            return failed(f"the Glue database {database} does not exist", "it was never made", cure)
        return explained(settings, error, f"asked Glue for {database}", "glue:GetDatabase and glue:GetTable")
    if due.created or due.updated:
        missing = f"; missing: {', '.join(due.created)}" if due.created else ""
        old = f"; of another version: {', '.join(due.updated)}" if due.updated else ""
        return warning(
            f"{len(due.unchanged)} tables of {database} are as the code has them{missing}{old}",
            "the package, the bucket's name or the portfolios have changed since they were made",
            cure,
        )
    return ok(f"all {len(due.unchanged)} tables of {database} are as the code has them")


def workgroup(settings: Settings, athena: Any) -> Finding:
    """Look whether the workgroup is there and takes queries."""
    name = settings.athena_workgroup
    try:
        group = athena.get_work_group(WorkGroup=name)["WorkGroup"]
    except AwsErrors as error:
        if error_code(error) == "InvalidRequestException":
            return failed(
                f"the workgroup {name} does not exist",
                "it was never made, or is another region's",
                f"{DEPLOY}, or correct FIN_LAKE_ATHENA_WORKGROUP",
            )
        return explained(settings, error, f"asked Athena for the workgroup {name}", "athena:GetWorkGroup")
    if group.get("State", "ENABLED") != "ENABLED":
        return failed(
            f"the workgroup {name} is disabled",
            "somebody switched it off",
            f"`aws athena update-work-group --work-group {name} --state ENABLED`",
        )
    return ok(f"the workgroup {name} is there")


def query(settings: Settings) -> Finding:
    """Run `select 1`, results and all."""
    answer = Athena(settings).run("select 1")
    rows = list(answer.rows())
    if rows != [("1",)]:
        return failed(f"`select 1` gave {rows}")
    return ok(f"`select 1` took {answer.seconds:.1f} s")
