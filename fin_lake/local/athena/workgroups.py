"""Workgroups and the statements prepared in them, kept in one file."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any, Final

from fin_lake.local.athena.errors import ApiError
from fin_lake.local.state import write_atomically

PRIMARY: Final = "primary"
ENGINE: Final = {
    "SelectedEngineVersion": "AUTO",
    "EffectiveEngineVersion": "Athena engine version 3",
}
_SMALLEST_LIMIT: Final = 10_000_000


class Workgroups:
    """The workgroups.

    Parameters
    ----------
    path : pathlib.Path
        The file that keeps them.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        held = json.loads(path.read_text()) if path.exists() else {}
        self._groups: dict[str, dict[str, Any]] = held.get("workgroups", {})
        self._prepared: dict[str, dict[str, Any]] = held.get("prepared", {})
        if PRIMARY not in self._groups:
            self._groups[PRIMARY] = _described(PRIMARY, {"Configuration": {}}, enforced=False)

    def get(self, name: str) -> dict[str, Any]:
        """Return a workgroup as Athena describes it.

        Raises
        ------
        ApiError
            There is none of that name.
        """
        if name not in self._groups:
            raise ApiError("InvalidRequestException", f"WorkGroup {name} is not found.")
        return self._groups[name]

    def all(self) -> list[dict[str, Any]]:
        """Return all workgroups, by name."""
        return [self._groups[name] for name in sorted(self._groups)]

    def create(self, request: dict[str, Any]) -> None:
        """Create a workgroup from Athena's request."""
        name = request["Name"]
        if name in self._groups:
            raise ApiError("InvalidRequestException", f"WorkGroup {name} is already created.")
        _check(request.get("Configuration") or {})
        self._groups[name] = _described(name, request, enforced=True)
        self._save()

    def update(self, request: dict[str, Any]) -> None:
        """Change a workgroup as Athena's request says."""
        group = self.get(request["WorkGroup"])
        changes = dict(request.get("ConfigurationUpdates") or {})
        configuration = dict(group["Configuration"])
        if changes.pop("RemoveBytesScannedCutoffPerQuery", False):
            configuration.pop("BytesScannedCutoffPerQuery", None)
        results = dict(changes.pop("ResultConfigurationUpdates", None) or {})
        if results.pop("RemoveOutputLocation", False):
            configuration.pop("ResultConfiguration", None)
        if results:
            configuration["ResultConfiguration"] = {**configuration.get("ResultConfiguration", {}), **results}
        configuration |= changes
        _check(configuration)
        group["Configuration"] = configuration
        group["State"] = request.get("State", group["State"])
        group["Description"] = request.get("Description", group["Description"])
        self._save()

    def delete(self, name: str) -> None:
        """Delete a workgroup with its prepared statements."""
        if name == PRIMARY:
            raise ApiError("InvalidRequestException", "The primary WorkGroup cannot be deleted.")
        self.get(name)
        del self._groups[name]
        self._prepared.pop(name, None)
        self._save()

    def prepare(self, group: str, name: str, sql: str, description: str = "") -> None:
        """Keep a prepared statement; one of that name is replaced."""
        self.get(group)
        self._prepared.setdefault(group, {})[name] = {
            "StatementName": name,
            "QueryStatement": sql,
            "WorkGroupName": group,
            "Description": description,
            "LastModifiedTime": time.time(),
        }
        self._save()

    def prepared(self, group: str, name: str) -> dict[str, Any]:
        """Return a prepared statement as Athena describes it.

        Raises
        ------
        ApiError
            There is none of that name in the workgroup.
        """
        found: dict[str, Any] | None = self._prepared.get(group, {}).get(name)
        if found is None:
            raise ApiError("ResourceNotFoundException", f"PreparedStatement {name} was not found")
        return found

    def all_prepared(self, group: str) -> list[dict[str, Any]]:
        """Return a workgroup's prepared statements, by name."""
        self.get(group)
        return [one for _, one in sorted(self._prepared.get(group, {}).items())]

    def forget(self, group: str, name: str) -> None:
        """Delete a prepared statement."""
        self.prepared(group, name)
        del self._prepared[group][name]
        self._save()

    def _save(self) -> None:
        with self._lock:
            held = {"workgroups": self._groups, "prepared": self._prepared}
            write_atomically(self._path, json.dumps(held, indent=1))


def _described(name: str, request: dict[str, Any], *, enforced: bool) -> dict[str, Any]:
    configuration = {"EnforceWorkGroupConfiguration": enforced, "EngineVersion": ENGINE}
    return {
        "Name": name,
        "State": "ENABLED",
        "Description": request.get("Description", ""),
        "CreationTime": time.time(),
        "Configuration": configuration | (request.get("Configuration") or {}),
    }


def _check(configuration: dict[str, Any]) -> None:
    limit = configuration.get("BytesScannedCutoffPerQuery")
    if limit is not None and limit < _SMALLEST_LIMIT:
        raise ApiError(
            "InvalidRequestException",
            f"BytesScannedCutoffPerQuery is {limit}: it must be at least {_SMALLEST_LIMIT} bytes",
        )
