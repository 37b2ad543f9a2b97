"""Which conditions of a query hold for every row that it can use of a table.

A table's files are chosen by these conditions before DuckDB sees them, as Athena does: a query of one
hour of a table of years reads one hour's files. Conditions are followed through subqueries, common
table expressions and views, as far as that cannot change an answer; what is not understood is left
out, which costs time and nothing else.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

_STRICT: Final = (
    exp.Column,
    exp.Identifier,
    exp.Literal,
    exp.Paren,
    exp.And,
    exp.Or,
    exp.Not,
    exp.EQ,
    exp.NEQ,
    exp.GT,
    exp.GTE,
    exp.LT,
    exp.LTE,
    exp.Between,
    exp.In,
    exp.Like,
    exp.DPipe,
    exp.Concat,
    exp.Cast,
    exp.DataType,
    exp.DataTypeParam,
    exp.Add,
    exp.Sub,
    exp.Neg,
    exp.Substring,
    exp.Lower,
    exp.Upper,
)
"""Of these alone a condition is made: no row passes it because a value in it is null."""


def conditions(tree: exp.Expr) -> dict[int, list[exp.Expr]]:
    """Return for each table in a query the conditions that its rows must meet to count.

    Parameters
    ----------
    tree : sqlglot.exp.Expr
        A query. It is not changed.

    Returns
    -------
    dict
        By ``id`` of the ``exp.Table`` in the tree: conditions, to be joined by AND, whose columns
        carry the table's own names without a qualifier.
    """
    scopes = traverse_scope(tree)
    found: dict[int, list[exp.Expr]] = {}
    if scopes:
        _Walk(scopes, found).visit(scopes[-1], [])
    return found


class _Walk:
    """From the outermost query inwards, with the conditions that hold there."""

    def __init__(self, scopes: Sequence[Scope], found: dict[int, list[exp.Expr]]) -> None:
        self._found = found
        self._uses = Counter(
            id(source)
            for scope in scopes
            for _, source in scope.selected_sources.values()
            if isinstance(source, Scope)
        )

    def visit(self, scope: Scope, given: list[exp.Expr]) -> None:
        """Note the conditions of a scope's tables, and go on to the scopes within it.

        Parameters
        ----------
        given : list of sqlglot.exp.Expr
            Conditions on the scope's own output columns.
        """
        query = scope.expression
        if isinstance(query, exp.SetOperation):
            self._visit_branches(scope, query, given)
        elif isinstance(query, exp.Select):
            self._visit_select(scope, query, given)
        for inner in scope.subquery_scopes:
            self.visit(inner, [])

    def _visit_branches(self, scope: Scope, operation: exp.SetOperation, given: list[exp.Expr]) -> None:
        names = operation.named_selects
        for branch in scope.set_operation_scopes:
            query = branch.expression
            own = query.named_selects if isinstance(query, exp.Query) else []
            usable: list[exp.Expr] = []
            if not _cuts(operation) and "*" not in (*names, *own) and len(own) == len(names):
                renamed = {a.lower(): exp.column(b) for a, b in zip(names, own, strict=True)}
                usable = _mapped(given, renamed)
            self.visit(branch, usable)

    def _visit_select(self, scope: Scope, query: exp.Select, given: list[exp.Expr]) -> None:
        sources = scope.selected_sources
        holding = [*_of_where(query), *_of_inner_joins(query), *_through(query, given)]
        for alias, (_, source) in sources.items():
            only = len(sources) == 1
            usable = [
                unqualified(one)
                for one in (*holding, *_of_left_join(query, alias))
                if _is_about(one, alias, alone=only)
            ]
            if isinstance(source, exp.Table):
                self._found[id(source)] = usable
            elif isinstance(source, Scope):
                self.visit(source, usable if self._uses[id(source)] == 1 else [])


def _of_where(query: exp.Select) -> Iterator[exp.Expr]:
    where = query.args.get("where")
    if where is not None:
        yield from strict_parts(where.this)


def _of_inner_joins(query: exp.Select) -> Iterator[exp.Expr]:
    for join in query.args.get("joins") or ():
        condition = join.args.get("on")
        if condition is not None and not join.side and join.kind in ("", "INNER"):
            yield from strict_parts(condition)


def _of_left_join(query: exp.Select, alias: str) -> Iterator[exp.Expr]:
    """Yield what a left join asks of the table on its right: rows that fail it match nothing."""
    for join in query.args.get("joins") or ():
        condition = join.args.get("on")
        if condition is not None and join.side == "LEFT" and join.this.alias_or_name == alias:
            yield from strict_parts(condition)


def strict_parts(condition: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the parts of a condition, joined by AND, that no row passes because a value is null."""
    inner = condition.unnest()
    if isinstance(inner, exp.And):
        yield from itertools.chain.from_iterable(strict_parts(one) for one in inner.flatten())
    elif all(isinstance(node, _STRICT) for node in inner.walk()) and inner.find(exp.Column):
        yield inner


def _through(query: exp.Select, given: list[exp.Expr]) -> list[exp.Expr]:
    """Return the conditions on a select's output as conditions on its input."""
    if not given or _cuts(query) or ((distinct := query.args.get("distinct")) and distinct.args.get("on")):
        return []
    outputs = {one.alias_or_name.lower(): one.unalias() for one in query.expressions}
    passing = _mapped(given, outputs, star=any(one.is_star for one in query.expressions))
    fixed = _fixed_within_groups(query)
    return [
        one
        for one in passing
        if all(_columns(one) <= columns for columns in fixed) and next(strict_parts(one), None) is not None
    ]


def _fixed_within_groups(query: exp.Select) -> list[set[str]]:
    """Return, for each window and the grouping, the columns that a filter may pass through it by."""
    windows = [node for one in query.expressions for node in one.find_all(exp.Window)]
    if qualify := query.args.get("qualify"):
        windows += qualify.find_all(exp.Window)
    found = [_plain(window.args.get("partition_by") or ()) for window in windows]
    group = query.args.get("group")
    if group is not None:
        plain = not any(group.args.get(kind) for kind in ("grouping_sets", "cube", "rollup"))
        found.append(_plain(_grouped(query, group)) if plain else set())
    elif any(one.find(exp.AggFunc) and not one.find(exp.Window) for one in query.expressions):
        found.append(set())
    if query.args.get("windows"):  # named: their partitions would have to be looked up
        found.append(set())
    return found


def _grouped(query: exp.Select, group: exp.Group) -> Iterator[exp.Expr]:
    for one in group.expressions:
        if isinstance(one, exp.Literal) and not one.is_string and int(one.name) <= len(query.expressions):
            yield query.expressions[int(one.name) - 1].unalias()
        else:
            yield one


def _plain(expressions: Iterable[exp.Expr]) -> set[str]:
    return {one.name.lower() for one in expressions if isinstance(one, exp.Column)}


def _columns(condition: exp.Expr) -> set[str]:
    return {column.name.lower() for column in condition.find_all(exp.Column)}


def _cuts(query: exp.Expr) -> bool:
    return any(query.args.get(clause) for clause in ("limit", "offset", "fetch", "sample"))


def _mapped(given: list[exp.Expr], outputs: Mapping[str, exp.Expr], *, star: bool = False) -> list[exp.Expr]:
    """Return the conditions with each column replaced by the expression that it names."""
    found = []
    for condition in given:
        names = _columns(condition)
        if not (names <= outputs.keys() or star):
            continue

        def replaced(node: exp.Expr) -> Any:
            if isinstance(node, exp.Column) and node.name.lower() in outputs:
                return outputs[node.name.lower()].copy()
            return node

        found.append(condition.copy().transform(replaced))
    return found


def _is_about(condition: exp.Expr, alias: str, *, alone: bool) -> bool:
    return all(
        column.table.lower() == alias.lower() or (alone and not column.table)
        for column in condition.find_all(exp.Column)
    )


def unqualified(condition: exp.Expr) -> exp.Expr:
    """Return a copy of a condition whose columns are named in lower case, without their table."""

    def replaced(node: exp.Expr) -> Any:
        if isinstance(node, exp.Column):
            return exp.column(exp.to_identifier(node.name.lower(), quoted=True))
        return node

    changed: exp.Expr = condition.copy().transform(replaced)
    return changed
