"""What a portfolio is defined to hold, and the YAML file that says so.

Nothing here knows a price. Times are UTC, weights are fractions, money is in the base currency.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from fin_lake.errors import FinLakeError
from fin_lake.partitions import UTC, HourError, floor_hour, hour_key, parse_hour
from fin_lake.tables import SYMBOL_PATTERN

SHIPPED: Final = Path(__file__).with_name("portfolios.yaml")
CASH: Final = "CASH"
WEIGHT_TOLERANCE: Final = 1e-9

Rebalancing = Literal["none", "daily", "weekly", "monthly", "quarterly"]


class PortfolioError(FinLakeError):
    """A portfolio that is defined wrongly, or that cannot be held as it is defined."""


def _hour(value: object) -> object:
    if isinstance(value, dt.datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        if moment != floor_hour(moment):
            raise ValueError(f"{value} is not the start of a UTC hour; write it like 2023-01-03T14")
        return floor_hour(moment)
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a date; write it like 2023-01-03 or 2023-01-03T14 (UTC)")  # noqa: TRY004 - pydantic reports it
    try:
        return parse_hour(value)
    except HourError as error:
        raise ValueError(f"{error.what}; {error.remedy}") from error


Hour = Annotated[dt.datetime, BeforeValidator(_hour)]
Symbol = Annotated[str, StringConstraints(strict=True, pattern=f"^{SYMBOL_PATTERN}$")]
Amount = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Allocation(_Model):
    """What is held from a date on: target weights, or fixed units."""

    effective: Hour = Field(description="From when on it holds, the start of a UTC hour")
    weights: dict[Symbol, Amount] | None = Field(
        None, description="Fraction of the portfolio's value per symbol; what is left of 1 is cash"
    )
    units: dict[Symbol, Amount] | None = Field(
        None, description="Units held per symbol; what they cost is taken from the cash"
    )

    @field_validator("weights", "units", mode="after")
    @classmethod
    def _holds_no_cash(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        if value and CASH in value:
            raise ValueError(f"{CASH} is the name of the cash row; leave it out, what is not held is cash")
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> Allocation:
        if (self.weights is None) == (self.units is None):
            found = "neither" if self.weights is None else "both"
            raise ValueError(f"has {found} of weights and units; give exactly one of them")
        total = sum((self.weights or {}).values())
        if total > 1 + WEIGHT_TOLERANCE:
            raise ValueError(f"weights sum to {total:.10g}; lower them to 1 or less, the rest is cash")
        return self

    @property
    def symbols(self) -> tuple[str, ...]:
        """What it holds more than nothing of, sorted."""
        held = self.weights if self.weights is not None else self.units or {}
        return tuple(sorted(symbol for symbol, amount in held.items() if amount > 0))


class Portfolio(_Model):
    """A portfolio: its start, its rules, and what it holds from when on."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$", description="Its name, also in object keys")
    description: str = Field(min_length=1, description="What it is, for people")
    base_currency: Literal["USD"] = Field("USD", description="The currency of all prices and values")
    initial_cash: float = Field(strict=True, gt=0, allow_inf_nan=False, description="Its value at the start")
    start: Hour = Field(description="Its first hour, UTC")
    benchmark: Symbol = Field(description="The symbol that its returns are compared with")
    risk_free_rate: float = Field(
        0.0, strict=True, gt=-1, lt=1, description="Risk-free rate a year, as a fraction"
    )
    rebalancing: Rebalancing = Field("none", description="How often the weights are restored")
    allocations: tuple[Allocation, ...] = Field(description="What it holds, by effective date")

    @field_validator("allocations", mode="after")
    @classmethod
    def _by_date(cls, allocations: tuple[Allocation, ...]) -> tuple[Allocation, ...]:
        ordered = tuple(sorted(allocations, key=lambda allocation: allocation.effective))
        for earlier, later in itertools.pairwise(ordered):
            if earlier.effective == later.effective:
                raise ValueError(
                    f"two take effect at {hour_key(later.effective)}; merge them, or change a date"
                )
        return ordered

    @model_validator(mode="after")
    def _allocated_from_the_start(self) -> Portfolio:
        first = self.allocations[0].effective if self.allocations else None
        if first != self.start:
            found = f"the first takes effect at {hour_key(first)}" if first else "there are none"
            raise ValueError(
                f"no allocation takes effect at the start, {hour_key(self.start)}: {found}; "
                "give the first the effective date of the start"
            )
        if not self.symbols:
            raise ValueError("holds nothing but cash, ever; give an allocation a symbol")
        return self

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every symbol that it ever holds, sorted; the benchmark only if it is held."""
        return tuple(sorted({symbol for allocation in self.allocations for symbol in allocation.symbols}))

    @property
    def periods_a_year(self) -> int:
        """Days by which measures are annualised: 365 if it holds nothing but crypto, 252 otherwise."""
        symbols = self.symbols
        return 365 if symbols and all("-USD" in symbol for symbol in symbols) else 252


class _File(_Model):
    portfolios: tuple[Portfolio, ...] = Field(min_length=1)


def load_portfolios(path: Path | None = None) -> dict[str, Portfolio]:
    """Read the definitions of portfolios.

    Parameters
    ----------
    path : pathlib.Path, optional
        The YAML file; the one that ships with the package if omitted.

    Returns
    -------
    dict of str to Portfolio
        By name, in the file's order.

    Raises
    ------
    PortfolioError
        The file cannot be read, is not YAML, or defines a portfolio wrongly. The message names the
        file, and every portfolio and field that is wrong.
    """
    path = path or SHIPPED
    document = _read(path)
    try:
        portfolios = _File.model_validate(document).portfolios
    except ValidationError as error:
        lines = [_line(document, problem) for problem in error.errors()]
        raise PortfolioError(
            f"{path} defines portfolios wrongly\n  " + "\n  ".join(lines),
            f"correct the fields that are named; {SHIPPED} explains them all",
        ) from None
    by_name: dict[str, Portfolio] = {}
    for portfolio in portfolios:
        if portfolio.name in by_name:
            raise PortfolioError(
                f"{path} defines portfolio {portfolio.name!r} twice",
                "give one of them another name, or remove it",
            )
        by_name[portfolio.name] = portfolio
    return by_name


class _Loader(yaml.SafeLoader):
    """YAML without surprises: a key comes once, and ``ON`` and dates stay the texts that they are."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own class attribute
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":timestamp"))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - PyYAML's signature
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


def _read(path: Path) -> object:
    try:
        document = _Loader(path.read_text("utf-8")).get_single_data()
    except OSError as error:
        raise PortfolioError(
            f"{path} cannot be read: {error.strerror}", "check the path and who may read it"
        ) from error
    except UnicodeDecodeError as error:
        raise PortfolioError(f"{path} is not UTF-8 text: {error.reason}", "save it as UTF-8") from error
    except yaml.YAMLError as error:
        raise PortfolioError(f"{path} {_place(error)}", "correct the YAML at that line") from error
    if document is None:
        raise PortfolioError(f"{path} is empty", f"define a portfolio in it, as {SHIPPED} does")
    if not isinstance(document, Mapping):
        raise PortfolioError(
            f"{path} holds a {type(document).__name__} where portfolios are expected",
            "begin it with `portfolios:` and a list below",
        )
    return document


def _place(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else f"is not YAML: {problem}"


def _line(document: object, problem: Any) -> str:
    location = tuple(part for part in problem["loc"] if part != "[key]")
    where, field = _whose(document, location)
    return f"{where}{field}{': ' if field else ''}{_reason(problem)}"


def _whose(document: Any, location: tuple[int | str, ...]) -> tuple[str, str]:
    """Return the portfolio that a location lies in, and the field within it."""
    if len(location) < 2:  # noqa: PLR2004 - ("portfolios", index)
        return "", ".".join(map(str, location))
    try:
        name = document["portfolios"][location[1]]["name"]
    except (KeyError, TypeError, IndexError):
        name = None
    number = location[1] + 1 if isinstance(location[1], int) else location[1]
    whose = f"portfolio {name!r}: " if isinstance(name, str) else f"portfolio number {number}: "
    return whose, "".join(_steps(location[2:]))


def _steps(location: tuple[int | str, ...]) -> Iterator[str]:
    before: int | str | None = None
    for step in location:
        in_list = before == "allocations"
        yield f"[{step}]" if in_list else str(step) if before is None else f".{step}"
        before = step


def _reason(problem: Any) -> str:
    kind = problem["type"]
    if kind == "extra_forbidden":
        return "is not a field of this; remove it, or correct its spelling"
    if kind == "missing":
        return "is missing; add it"
    if kind == "string_type":
        return f"{problem['input']!r} is not text; write it in quotes"
    if kind == "string_pattern_mismatch":
        pattern = problem["ctx"]["pattern"]
        example = "tech_growth" if pattern.startswith("^[a-z]") else "AAPL, BRK.B or BTC-USD"
        return f"{problem['input']!r} does not look like {example}"
    if kind == "float_type":
        return f"{problem['input']!r} is not a number; write one, with a dot before an exponent (1.0e+6)"
    text = str(problem["msg"]).removeprefix("Value error, ")
    return f"{text[0].lower()}{text[1:]}, and is {problem['input']!r}" if _is_bound(kind) else text


def _is_bound(kind: str) -> bool:
    return kind.startswith(("greater_than", "less_than", "finite", "literal", "tuple_type", "dict_type"))
