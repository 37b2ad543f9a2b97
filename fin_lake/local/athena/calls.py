"""A call of a function of Athena's, and how one is written for DuckDB."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from sqlglot import exp

from fin_lake.local.athena import sql_nodes as sql
from fin_lake.local.athena.errors import QueryFailed, unsupported

WRAPPERS: Final = (exp.Filter, exp.Window, exp.IgnoreNulls, exp.RespectNulls)
"""What may stand around a call: ``f(x) FILTER (…)``, ``f(x) OVER (…)``."""
MANY: Final = 100
_SKIPPING: Final[Mapping[str, type[exp.Expr]]] = {
    "first_value": exp.FirstValue,
    "lag": exp.Lag,
    "last_value": exp.LastValue,
    "lead": exp.Lead,
    "nth_value": exp.NthValue,
}
"""Functions that may pass over nulls."""


@dataclass(frozen=True)
class Call:
    """One call; its arguments are in DuckDB's SQL already.

    Parameters
    ----------
    name : str
        In lower case.
    arguments : sequence of sqlglot.exp.Expr
        Without ``DISTINCT`` and ``ORDER BY``.
    distinct : bool
        ``f(DISTINCT x)``.
    order : sqlglot.exp.Order, optional
        ``f(x ORDER BY y)``.
    wrappers : sequence of sqlglot.exp.Expr
        ``FILTER`` and ``OVER`` around it, from the inside.
    """

    name: str
    arguments: Sequence[exp.Expr]
    distinct: bool = False
    order: exp.Order | None = None
    wrappers: Sequence[exp.Expr] = field(default=())

    @classmethod
    def of(cls, node: exp.Expr) -> Call:
        """Return the call in a node: an ``exp.Anonymous``, perhaps within :data:`WRAPPERS`."""
        wrappers: list[exp.Expr] = []
        inner = node
        while isinstance(inner, WRAPPERS):
            wrappers.insert(0, inner)
            inner = inner.this
        arguments = list(inner.expressions)
        order: exp.Order | None = None
        distinct = False
        if arguments and isinstance(arguments[-1], exp.Order):
            order = arguments[-1]
            arguments[-1] = order.this
        if arguments and isinstance(arguments[0], exp.Distinct):
            distinct = True
            arguments = [*arguments[0].expressions, *arguments[1:]]
        return cls(inner.name, arguments, distinct, order, tuple(wrappers))

    def __getitem__(self, at: int) -> exp.Expr:
        return self.arguments[at]

    def __len__(self) -> int:
        return len(self.arguments)

    @property
    def is_window(self) -> bool:
        """Whether it is computed over a window."""
        return any(isinstance(one, exp.Window) for one in self.wrappers)

    def scalar(self, name: str, *arguments: exp.Expr) -> exp.Expr:
        """Return the call of a function of DuckDB's of values; by default with all arguments."""
        self.refuse_wrappers()
        return sql.call(name, *(arguments or self.arguments))

    def aggregate(self, name: str, *arguments: exp.Expr) -> exp.Expr:
        """Return the call of an aggregate or window function of DuckDB's, with what stands around this."""
        values = [one.copy() for one in arguments or self.arguments]
        if self.order is not None and values:
            values[-1] = exp.Order(
                this=values[-1], expressions=[one.copy() for one in self.order.expressions]
            )
        if self.distinct:
            values = [exp.Distinct(expressions=values)]
        made: exp.Expr = sql.call(name, *values)
        if any(isinstance(one, exp.IgnoreNulls) for one in self.wrappers):
            made = exp.IgnoreNulls(this=self._typed(values))
        for wrapper in self.wrappers:
            if not isinstance(wrapper, (exp.IgnoreNulls, exp.RespectNulls)):
                outer = wrapper.copy()
                outer.set("this", made)
                made = outer
        return made

    def _typed(self, values: Sequence[exp.Expr]) -> exp.Expr:
        """Return a node of sqlglot's, which writes ``IGNORE NULLS`` for those alone."""
        type_ = _SKIPPING.get(self.name)
        if type_ is None:
            raise QueryFailed(f"line 1:1: Cannot specify null treatment clause for {self.name} function")
        return type_(**dict(zip(type_.arg_types, values, strict=False)))

    def text(self, at: int) -> str:
        """Return an argument that must be a literal text.

        Raises
        ------
        QueryFailed
            It is computed.
        """
        value = self.arguments[at].unnest()
        if not (isinstance(value, exp.Literal) and value.is_string):
            raise unsupported(f"{self.name} with an argument {at + 1} that is not a literal text")
        return value.name

    def unexpected(self) -> QueryFailed:
        """Return the failure of a call whose arguments are too few or too many."""
        return QueryFailed(
            f"FUNCTION_NOT_FOUND: line 1:1: Unexpected parameters ({len(self)}) for function {self.name}"
        )

    def refuse_wrappers(self) -> None:
        """Raise ``QueryFailed`` if it stands where only an aggregate may."""
        if self.wrappers:
            what = "window function" if self.is_window else "aggregation"
            raise QueryFailed(f"FUNCTION_NOT_AGGREGATE: line 1:1: {self.name} is not a {what} function")


Builder: TypeAlias = Callable[[Call], exp.Expr]


def arity(least: int, most: int | None = None) -> Callable[[Builder], Builder]:
    """Return a decorator of a builder that checks how many arguments there are."""

    def decorate(build: Builder) -> Builder:
        def checked(call: Call) -> exp.Expr:
            if not least <= len(call) <= (least if most is None else most):
                raise call.unexpected()
            return build(call)

        return checked

    return decorate


def scalar(name: str, least: int, most: int | None = None) -> Builder:
    """Return a builder of a function of values that DuckDB has, under a name."""
    return arity(least, most)(lambda call: call.scalar(name))


def aggregate(name: str, least: int, most: int | None = None) -> Builder:
    """Return a builder of an aggregate or window function that DuckDB has, under a name."""
    return arity(least, most)(lambda call: call.aggregate(name))


def by_count(**builders: Builder) -> Builder:
    """Return a builder that goes by the number of arguments: ``by_count(one=…, two=…)``."""
    numbers = {"none": 0, "one": 1, "two": 2, "three": 3, "four": 4}
    chosen: Mapping[int, Builder] = {numbers[name]: builder for name, builder in builders.items()}

    def build(call: Call) -> exp.Expr:
        if len(call) not in chosen:
            raise call.unexpected()
        return chosen[len(call)](call)

    return build


def named(name: str) -> Builder:
    """Return a builder of a function of values, whatever the number of its arguments."""
    return lambda call: call.scalar(name)


def filled(template: str, least: int, most: int | None = None) -> Builder:
    """Return a builder from an expression of DuckDB's: ``@1`` stands for the first argument."""
    fill = sql.template(template)

    def build(call: Call) -> exp.Expr:
        call.refuse_wrappers()
        return fill(*call.arguments)

    return arity(least, most)(build)
