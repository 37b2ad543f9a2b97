"""How often each API may be asked, by plan, and whether it is asked too often.

How an API says so belongs to its module.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

PREMIUM: Final = "premium"
INVALID: Final = "invalid"
SECOND: Final = 1.0
MINUTE: Final = 60.0
DAY: Final = 86400.0

# Requests that are sent evenly do not arrive evenly: a window a little shorter than the limit's
# own refuses who hurries, and not who keeps the pace.
_LENIENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Plans:
    """What each plan allows. A key that begins with ``premium`` is on the paid plan.

    Parameters
    ----------
    alpha_vantage_free_per_second, alpha_vantage_free_per_day, alpha_vantage_premium_per_minute : int
        Requests per key.
    alpha_vantage_intraday_is_premium : bool
        Whether a free key is refused intraday bars, as the real API does now.
    yahoo_per_minute : int
        Requests of all together: Yahoo knows no keys.
    coingecko_demo_per_minute, coingecko_premium_per_minute : int
        Requests per key.
    coingecko_demo_days : int
        How far back a demo key reaches.
    """

    alpha_vantage_free_per_second: int = 1
    alpha_vantage_free_per_day: int = 25
    alpha_vantage_premium_per_minute: int = 1200
    alpha_vantage_intraday_is_premium: bool = False
    yahoo_per_minute: int = 2000
    coingecko_demo_per_minute: int = 30
    coingecko_premium_per_minute: int = 500
    coingecko_demo_days: int = 365

    def as_dict(self) -> dict[str, Any]:
        """Return the plans by name."""
        return asdict(self)


def is_premium(key: str) -> bool:
    """Return whether a key is on the paid plan."""
    return key.startswith(PREMIUM)


def is_invalid(key: str) -> bool:
    """Return whether a key is one that no service ever gave out, for trying out what follows."""
    return key.startswith(INVALID)


class Rule(NamedTuple):
    """So many requests in so many seconds."""

    requests: int
    seconds: float


class Refusal(NamedTuple):
    """The rule that a request would break, and in how many seconds it no longer would."""

    rule: Rule
    wait: float


class Limits:
    """When each key was last answered.

    Parameters
    ----------
    clock : callable
        Seconds that go forward. They are real ones, whatever the recorded market's time.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answered: dict[tuple[str, Rule], deque[float]] = {}

    def refuse(self, key: str, *rules: Rule) -> Refusal | None:
        """Count a request of ``key``, unless it breaks a rule: then return the one that bars it longest."""
        now = self._clock()
        refusals = []
        for rule in rules:
            answered = self._answered.setdefault((key, rule), deque(maxlen=rule.requests))
            if len(answered) == rule.requests:
                wait = answered[0] + rule.seconds * _LENIENCE - now
                if wait > 0:
                    refusals.append(Refusal(rule, wait))
        if refusals:
            return max(refusals, key=lambda refusal: refusal.wait)
        for rule in rules:
            self._answered[key, rule].append(now)
        return None
