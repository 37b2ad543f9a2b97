"""What checks find, and how checks are run: side by side, each for so long and no longer.

A check looks at one thing and says what it found. What it looks at is written elsewhere; here it is
decided when it is run, when it is given up, and when it is left out because what it needs has failed.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from fin_lake.errors import FinLakeError
from fin_lake.sources.redaction import SHORT, Redactor

SECONDS: Final = 10.0
"""How long a check is waited for."""
DEPLOY: Final = "`fin-lake deploy`"
"""The cure of whatever the account lacks."""
NEEDS: Final = "needs "
"""With this begins why a check was skipped that has nothing to look at, before the name of another."""


class Outcome(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes
    ----------
    outcome : Outcome
    found : str
        What was tried and what came of it, in one line.
    cause : str
        What is likely behind it.
    cure : str
        The command, or the change, that mends it.
    """

    outcome: Outcome
    found: str
    cause: str = ""
    cure: str = ""


def ok(found: str) -> Finding:
    """Return that all is well."""
    return Finding(Outcome.OK, found)


def warning(found: str, cause: str = "", cure: str = "") -> Finding:
    """Return what works, but not as it should."""
    return Finding(Outcome.WARNING, found, cause, cure)


def failed(found: str, cause: str = "", cure: str = "") -> Finding:
    """Return what does not work."""
    return Finding(Outcome.FAILED, found, cause, cure)


def skipped(why: str) -> Finding:
    """Return that there was nothing to look at."""
    return Finding(Outcome.SKIPPED, why)


@dataclass(frozen=True)
class Check:
    """One thing to look at.

    Attributes
    ----------
    name : str
        What it is called in the output, and in others' ``needs``.
    look : callable
        Looks, and returns what it found. It runs in a thread of its own. An error of fin_lake's is a
        failure; so is any other, since a check must never break the others.
    needs : tuple of str
        Checks without whose success this one has nothing to look at.
    after : tuple of str
        Checks that are to have ended before, however they ended.
    seconds : float
        How long it is waited for.
    """

    name: str
    look: Callable[[], Finding]
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    seconds: float = SECONDS


def run_checks(
    checks: Sequence[Check], secrets: Iterable[str] = ()
) -> Iterator[tuple[str, Finding, Sequence[str]]]:
    """Run checks as soon as what they need is known, and yield each when it has ended.

    Parameters
    ----------
    secrets : iterable of str
        Taken out of every text. A short one, such as the local stack's, is none, and is a part of words.

    Yields
    ------
    tuple of str, Finding, sequence of str
        The check's name, what it found, and the names of those that are still at work.
    """
    redact = Redactor(secret for secret in secrets if len(secret) >= SHORT)
    waiting = {check.name: check for check in checks}
    running: dict[str, tuple[Check, float]] = {}
    found: dict[str, Finding] = {}
    ended: queue.SimpleQueue[tuple[str, Finding]] = queue.SimpleQueue()
    while waiting or running:
        for check in list(waiting.values()):
            if any(name in waiting or name in running for name in (*check.needs, *check.after)):
                continue
            del waiting[check.name]
            missing = next((name for name in check.needs if not _is_useful(found.get(name))), None)
            if missing is None:
                running[check.name] = (check, time.monotonic() + check.seconds)
                # a thread that hangs must not keep the program from ending
                threading.Thread(target=_look, args=(check, ended), daemon=True).start()
            else:
                ended.put((check.name, skipped(_missing(missing, found[missing]))))
                running[check.name] = (check, time.monotonic() + check.seconds)
        for name, finding in _next(ended, running):
            del running[name]
            found[name] = replace(
                finding, found=redact(finding.found), cause=redact(finding.cause), cure=redact(finding.cure)
            )
            yield name, found[name], tuple(running)


def _is_useful(finding: Finding | None) -> bool:
    return finding is not None and finding.outcome in (Outcome.OK, Outcome.WARNING)


def _missing(name: str, finding: Finding) -> str:
    """Say what is missing: the check that was needed, or what that one needed in its turn."""
    return finding.found if finding.found.startswith(NEEDS) else f"{NEEDS}{name}"


def _look(check: Check, ended: queue.SimpleQueue[tuple[str, Finding]]) -> None:
    try:
        finding = check.look()
    except FinLakeError as error:
        finding = failed(_one_line(error.what), cure=_one_line(error.remedy))
    except Exception as error:  # noqa: BLE001 - the other checks go on, and this one is told as failed
        said = _one_line(str(error))
        finding = failed(f"{type(error).__name__}: {said}" if said else type(error).__name__)
    ended.put((check.name, finding))


def _one_line(text: str) -> str:
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())


def _next(
    ended: queue.SimpleQueue[tuple[str, Finding]], running: dict[str, tuple[Check, float]]
) -> Iterable[tuple[str, Finding]]:
    """Wait for the next check to end or to run out of time."""
    first_over = min(until for _, until in running.values())
    try:
        name, finding = ended.get(timeout=max(0.0, first_over - time.monotonic()))
    except queue.Empty:
        now = time.monotonic()
        return [
            (
                check.name,
                failed(
                    f"no answer in {check.seconds:g} s",
                    "the host is slow, or a firewall drops what is sent to it",
                ),
            )
            for check, until in list(running.values())
            if until <= now
        ]
    return [(name, finding)] if name in running else []  # else it was given up before


def in_order(checks: Sequence[Check], found: Iterable[tuple[str, Finding]]) -> list[tuple[str, Finding]]:
    """Return findings in the order of the checks."""
    by_name = dict(found)
    return [(check.name, by_name[check.name]) for check in checks if check.name in by_name]
