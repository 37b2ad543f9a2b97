"""Where the dbt project is, and its manifest: what dbt found in it when it was last prepared.

Definitions are built from the prepared manifest, so that loading them never waits for dbt. What a
run needs besides, which depends on the environment, the run parses for itself (see ``runner``).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fin_lake.errors import FinLakeError

PROJECT: Final = Path(__file__).resolve().parents[2] / "dbt_project"
PREPARE: Final = "python -m fin_lake.analytics.prepare"
_NOT_SOURCES: Final = frozenset({"target", "logs", "dbt_packages"})

Manifest = Mapping[str, Any]
"""A manifest as in ``manifest.json``: nodes, sources, and what depends on what, by unique id."""
Fingerprint = frozenset[tuple[str, int, int]]


class ProjectError(FinLakeError):
    """The dbt project is not there, or was not prepared."""


def load_manifest(project: Path = PROJECT) -> Manifest:
    """Return the manifest that was prepared last.

    Raises
    ------
    ProjectError
        There is none; the message names the command that makes it.
    """
    path = project / "target" / "manifest.json"
    try:
        return _read(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        raise ProjectError(
            f"the dbt project was not prepared: {path} is not there", f"prepare it with `{PREPARE}`"
        ) from None


@functools.lru_cache(maxsize=4)
def _read(path: Path, _modified: int) -> Manifest:
    manifest: Manifest = json.loads(path.read_bytes())
    return manifest


def fingerprint(project: Path) -> Fingerprint:
    """Return what changes when a file of the project does: path, time of change and size of each."""
    files = (
        path
        for entry in project.iterdir()
        if entry.name not in _NOT_SOURCES and not entry.name.startswith(".")
        for path in ([entry] if entry.is_file() else entry.rglob("*"))
        if path.is_file()
    )
    return frozenset((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files)


def models(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """Return the nodes that are tables or views in the lake, by unique id."""
    return {
        unique_id: node
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] in {"model", "seed", "snapshot"}
        and node["config"].get("materialized") != "ephemeral"
    }
