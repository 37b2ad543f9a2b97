"""The dbt project as dbt has parsed it, for one environment, kept while its files stay the same.

Database, bucket and workgroup come from the environment into the parsed nodes. What was parsed is
kept twice: in this process, and by dbt itself in a folder for each environment, of which a new
process parses again only what has changed.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from fin_lake.analytics.invocation import call_dbt
from fin_lake.analytics.project import Fingerprint, ProjectError, fingerprint
from fin_lake.settings import Settings

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest
    from dbt_common.events.base_types import EventMsg

_PARTIAL: Final = "partial_parse.msgpack"
_kept: dict[tuple[Path, Path], tuple[Fingerprint, Manifest]] = {}


def target_of(settings: Settings, project: Path) -> Path:
    """Return the folder for what dbt writes, one for each project and environment."""
    parsed_into_nodes = (
        settings.bucket,
        settings.aws_region,
        settings.glue_database,
        settings.athena_workgroup,
    )
    digest = hashlib.sha256("\n".join((str(project), *parsed_into_nodes)).encode()).hexdigest()
    return settings.home.resolve() / "dbt" / digest[:12]


def parsed(project: Path, target: Path) -> Manifest:
    """Return the parsed project, a copy of the caller's own: dbt writes into it while it runs.

    The environment must be that of the target's settings.

    Raises
    ------
    ProjectError
        As :func:`parse`.
    """
    current = fingerprint(project)
    found = _kept.get((project, target))
    if found is None or found[0] != current:
        found = _kept[project, target] = (current, parse(project, target))
    copy: Manifest = found[1].deepcopy()  # type: ignore[no-untyped-call]
    return copy


def parse(project: Path, target: Path, *, write_manifest: bool = False) -> Manifest:
    """Let dbt parse its project.

    Parameters
    ----------
    project, target : Path
        The project's folder, and that for what dbt keeps.
    write_manifest : bool
        Whether to write ``manifest.json`` there.

    Raises
    ------
    ProjectError
        There is no project, or dbt finds fault with it.
    DbtError
        dbt is not installed.
    """
    if not (project / "dbt_project.yml").exists():
        raise ProjectError(f"there is no dbt project in {project}", "install fin_lake from its repository")
    prepared, own = project / "target" / _PARTIAL, target / _PARTIAL
    if prepared.exists() and not own.exists():
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(prepared, own)  # two seconds less, where the environment makes no difference
    said: list[str] = []

    def listen(event: EventMsg) -> None:
        info: Any = event.info
        if info.level == "error":
            said.append(info.msg)

    write = "--write-json" if write_manifest else "--no-write-json"
    done = call_dbt(["parse", write], project=project, target=target, listen=listen)
    if not done.success:
        raise ProjectError(f"dbt finds fault with {project}: {done.exception or ' '.join(said)}")
    return cast("Manifest", done.result)
