"""Kinds of words on the command line: hours, moments, asset classes."""

from __future__ import annotations

import datetime as dt
from typing import Any

import click

from fin_lake.errors import FinLakeError
from fin_lake.partitions import UTC, parse_hour
from fin_lake.schema import AssetClass


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


def chosen_classes(*, stocks: bool | None, crypto: bool | None) -> list[AssetClass]:
    """Return the asset classes that two flags leave: naming one leaves the other out.

    Raises
    ------
    click.UsageError
        Neither is left.
    """
    chosen: list[AssetClass] = []
    if stocks or (stocks is None and not crypto):
        chosen.append("stocks")
    if crypto or (crypto is None and not stocks):
        chosen.append("crypto")
    if not chosen:
        raise click.UsageError("neither stocks nor crypto: nothing is left")
    return chosen
