"""The upkeep of the models' Iceberg tables: small files joined, old snapshots and orphans removed.

Every merge adds small files and a snapshot; nothing but this ever removes any.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from fin_lake.analytics.project import Manifest, models
from fin_lake.analytics.tables import IcebergState, LakeTables, MissingTableError
from fin_lake.operations.athena import Athena, AthenaError
from fin_lake.settings import Settings
from fin_lake.warehouse.locks import tables_to_itself

_STATEMENTS: Final = ("optimize {} rewrite data using bin_pack", "vacuum {}")
_MORE_RUNS: Final = "MORE_RUNS_NEEDED"  # Athena's, of a statement that did only a part in its time
_MOST_RUNS: Final = 20
_LONGEST_BUILD: Final = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What upkeep did to a table."""

    table: str
    before: IcebergState
    after: IcebergState


def iceberg_tables(manifest: Manifest) -> list[str]:
    """Return the names, in Glue, of the models that are Iceberg tables."""
    return sorted(
        node["alias"] for node in models(manifest).values() if node["config"].get("table_type") == "iceberg"
    )


def maintain(settings: Settings, tables: list[str], log: Callable[[str], None]) -> Iterator[Upkeep]:
    """Compact each table, and remove old snapshots and the files that only they need.

    Tables that were not built yet are left out. What builds that were killed have left goes first.

    Raises
    ------
    AthenaError
        A statement failed; the tables before it are done.
    TableError
        Glue does not answer.
    """
    athena, lake = Athena(settings), LakeTables(settings)
    with tables_to_itself(settings, log):
        for left in lake.leftovers(tables, dt.datetime.now(dt.UTC) - _LONGEST_BUILD):
            athena.run(f"drop table if exists {left}")
            log(f"{left} dropped: a build that did not end had left it")
        for table in tables:
            try:
                before = lake.facts(table).iceberg
            except MissingTableError:
                log(f"{table} was not built yet")
                continue
            if before is None:
                continue
            for statement in _STATEMENTS:
                _run(athena, statement.format(table))
            after = lake.facts(table).iceberg or before
            log(f"{table}: {before.files} files before, {after.files} after")
            yield Upkeep(table, before, after)


def _run(athena: Athena, statement: str) -> None:
    for _ in range(_MOST_RUNS):
        try:
            athena.run(statement)
        except AthenaError as error:
            if _MORE_RUNS not in str(error):
                raise
        else:
            return
    raise AthenaError(f"{statement}: not done after {_MOST_RUNS} runs", "run the maintenance again")
