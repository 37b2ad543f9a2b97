"""What the modules of the three APIs share: an answer, and a request's parameters."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from fin_lake.local.replay.limits import Plans
from fin_lake.local.replay.market import Market

Alter = Callable[[pl.DataFrame], pl.DataFrame]
"""Spoils bars on their way into an answer; the identity unless a fault says otherwise."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: the path behind the API's prefix, its parameters and headers, and the market."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    market: Market
    alter: Alter = lambda bars: bars
    plans: Plans = field(default_factory=Plans)


def as_json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Return a JSON answer; NaN goes out as the bare token that careless servers send."""
    return Answer(json.dumps(value, separators=(",", ":")).encode(), status, headers=headers or {})


def as_text(text: str, status: int) -> Answer:
    """Return an answer in plain text."""
    return Answer(text.encode(), status, "text/plain")
