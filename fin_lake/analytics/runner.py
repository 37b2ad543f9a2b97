"""dbt while it runs: its nodes' events, one by one, as they come.

A dbt process costs four to nine seconds of imports and parsing before its first statement. Here dbt
is imported once, the parsed project is kept, and an invocation costs what its statements cost.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Collection, Generator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fin_lake.analytics.clients import shared_clients
from fin_lake.analytics.invocation import DbtError, call_dbt, process_environment
from fin_lake.analytics.parsing import parsed, target_of
from fin_lake.analytics.project import PREPARE, ProjectError
from fin_lake.settings import Settings, environment

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest
    from dbt_common.events.base_types import EventMsg

_CANCEL_SECONDS: Final = 30
_START: Final = "LogStartLine"
_TOLD: Final = frozenset(
    {
        "FinishedRunningStats",
        "LogModelResult",
        "LogSeedResult",
        "LogSnapshotResult",
        "LogTestResult",
        "NodeFinished",
        "SkippingDetails",
        "StatsLine",
    }
)
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True)
class DbtEvent:
    """An event, and the node that it is of.

    ``raw`` is as ``--log-format json`` prints it: ``info`` (name, level, msg …) and ``data``.
    ``node`` is dbt's own, with the compiled SQL once it was compiled.
    """

    raw: dict[str, Any]
    node: Any

    @property
    def name(self) -> str:
        """The event's name: LogModelResult, NodeFinished and so on."""
        return str(self.raw["info"]["name"])


def run_dbt(
    settings: Settings, project: Path, command: Sequence[str], *, known: Collection[str]
) -> Generator[DbtEvent, None, None]:
    """Let dbt run a command; yield results, warnings and errors while it runs.

    An iteration that is given up before its end stops the statements that are running.

    Parameters
    ----------
    settings : Settings
        Where Athena, Glue and S3 are, and who asks.
    project : Path
        The dbt project's folder.
    command : sequence of str
        As after ``dbt`` in a shell: ``["build", "--select", …]``.
    known : collection of str
        The unique ids of the nodes that the caller knows what to do with.

    Raises
    ------
    ProjectError
        The project holds other nodes, or dbt finds fault with it.
    DbtError
        dbt is not installed, or failed beside its nodes. Nodes that fail do not raise: their events
        say so.
    """
    _require_athena(settings)
    project = project.resolve()
    target = target_of(settings, project)
    with ExitStack() as stack:
        stack.enter_context(_one_at_a_time)
        stack.enter_context(process_environment(environment(settings)))
        stack.enter_context(shared_clients())
        manifest = parsed(project, target)
        if manifest.nodes.keys() != set(known):
            raise ProjectError("the dbt project was changed since it was prepared", f"run `{PREPARE}`")
        running = _Running([*command, "--no-write-json"], project, target, manifest)
        yield from stack.enter_context(closing(running.events()))


def _require_athena(settings: Settings) -> None:
    settings.require_services()
    if settings.profile == "local" and not (settings.athena_endpoint_url and settings.glue_endpoint_url):
        raise DbtError(
            "the local stack has no Athena: AWS_ENDPOINT_URL_ATHENA or AWS_ENDPOINT_URL_GLUE is not set",
            "start it again with `fin-lake up`, or set FIN_LAKE_PROFILE=aws to work in AWS",
        )


@dataclass(frozen=True, slots=True)
class _End:
    """The end of an invocation, with the error that ended it, if one did."""

    error: BaseException | None


class _Running:
    """One call of dbt, in a thread of its own; its events come out of a queue."""

    def __init__(self, command: list[str], project: Path, target: Path, manifest: Manifest) -> None:
        self._command = command
        self._project = project
        self._target = target
        self._manifest = manifest
        self._queue: queue.SimpleQueue[EventMsg | _End] = queue.SimpleQueue()
        self._given_up = False

    def events(self) -> Generator[DbtEvent, None, None]:
        """Start dbt; yield its events until it ends."""
        thread = threading.Thread(target=self._run, name="dbt", daemon=True)
        thread.start()
        try:
            while not isinstance(message := self._queue.get(), _End):
                yield self._event(message)
        except BaseException:
            self._give_up(thread)
            raise
        thread.join()
        if message.error is not None:
            # the chain ends here: its innermost error is what a reader would be shown otherwise
            log = self._target / "logs" / "dbt.log"
            raise DbtError(f"dbt failed: {message.error}", f"dbt's own log is {log}") from None

    def _event(self, message: EventMsg) -> DbtEvent:
        from dbt_common.events.functions import msg_to_dict  # noqa: PLC0415 - only where dbt was called

        raw = msg_to_dict(message)
        unique_id = raw["data"].get("node_info", {}).get("unique_id", "")
        return DbtEvent(raw, self._manifest.nodes.get(unique_id))

    def _run(self) -> None:
        end = _End(None)
        try:
            done = call_dbt(
                self._command,
                project=self._project,
                target=self._target,
                listen=self._listen,
                manifest=self._manifest,
            )
            end = _End(done.exception)
        except BaseException as error:  # noqa: BLE001 - raised again where the events are read
            end = _End(error)
        finally:
            self._queue.put(end)

    def _listen(self, event: EventMsg) -> None:
        info: Any = event.info
        if self._given_up and info.name == _START:
            raise DbtError("dbt was interrupted")  # within the node, which fails by it
        if info.name in _TOLD or info.level in {"warn", "error"}:
            self._queue.put(event)

    def _give_up(self, thread: threading.Thread) -> None:
        """Start no other node, stop the statements that run, and wait for dbt to notice."""
        from dbt.adapters.factory import FACTORY  # noqa: PLC0415 - only where dbt was called

        self._given_up = True
        for _ in range(_CANCEL_SECONDS):  # again and again: a statement may be about to start
            for adapter in list(FACTORY.adapters.values()):
                with suppress(Exception):  # a statement that cannot be stopped ends by itself
                    adapter.connections.cancel_open()
            thread.join(1)
            if not thread.is_alive():
                return
