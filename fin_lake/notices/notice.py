"""What a run was, in the few words and numbers that a listener needs; and what a listener is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RunNotice:
    """A run that has ended.

    Parameters
    ----------
    run_id, job : str
        The job by its own name; ``backfill`` and ``assets`` for runs of assets without one.
    succeeded : bool
        Whether it did what it was for.
    ended_at : datetime
        UTC.
    seconds : float
        From its start to its end.
    hours : str
        The partitions that it was for, as a person writes them; empty if it had none.
    failures : tuple of str
        Each failed step, or the run itself, with its cause. No secret is in them.
    checks_passed, checks_warned, checks_failed : int
        Evaluations of checks: what warns stops nothing, what fails did or should have.
    broken : tuple of str
        The checks that warned or failed, as ``asset: check``.
    hours_behind : mapping of str to float
        Of each asset class whose freshness was looked at: hours of trading that are not stored yet.
    """

    run_id: str
    job: str
    succeeded: bool
    ended_at: dt.datetime
    seconds: float
    hours: str = ""
    failures: tuple[str, ...] = ()
    checks_passed: int = 0
    checks_warned: int = 0
    checks_failed: int = 0
    broken: tuple[str, ...] = ()
    hours_behind: Mapping[str, float] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """One line: what ended, and how."""
        of = f" of {self.hours}" if self.hours else ""
        return f"fin_lake: {self.job}{of} {'succeeded' if self.succeeded else 'failed'}"

    @property
    def text(self) -> str:
        """What is wrong, a line each."""
        lines = [*self.failures, *(f"check not passed: {name}" for name in self.broken), f"run {self.run_id}"]
        return "\n".join(lines)


class Listener(Protocol):
    """Whom notices go to."""

    @property
    def name(self) -> str:
        """As it is called in logs."""

    def tell(self, notice: RunNotice) -> None:
        """Pass a notice on; raise what prevents it."""
