"""Kinds of words on the command line: hours and moments."""

from __future__ import annotations

import datetime as dt
from typing import Any

import click

from fin_lake.errors import FinLakeError
from fin_lake.partitions import UTC, parse_hour


class Hour(click.ParamType["dt.datetime"]):
    """The start of a UTC hour, as in 2023-01-03T14."""

    name = "hour"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.datetime:
        """Return the hour; complain of what is none as of wrong usage."""
        try:
            return parse_hour(value)
        except FinLakeError as error:
            self.fail(str(error), param, ctx)


class Moment(click.ParamType["dt.datetime"]):
    """An ISO 8601 time, UTC where it names no zone."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.datetime:
        """Return the moment in UTC; complain of what is none as of wrong usage."""
        try:
            moment = dt.datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a time; write it like 2023-01-03T14:05:00Z", param, ctx)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
