"""Athena's SQL to a syntax tree.

Calls of functions stay as they were written: ``exp.Anonymous`` with the name in lower case. sqlglot
would turn many into nodes of its own, whose meaning is that of several databases at once, and would
take functions that Athena does not have. Left to sqlglot are those that it keeps whole and that
:mod:`fin_lake.local.athena.pruning` understands, and those with a syntax of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlglot import exp
from sqlglot.dialects.athena import Athena
from sqlglot.dialects.trino import Trino
from sqlglot.errors import ErrorLevel, ParseError, TokenError
from sqlglot.parsers.athena import AthenaTrinoParser
from sqlglot.tokenizer_core import Token, TokenType

from fin_lake.local.athena.errors import QueryFailed

_MARK: Final = "athena\u00b7"
"""Put before a function's name while parsing, so that sqlglot does not know it."""
_PARAMETER: Final = "p"
_KEPT: Final = frozenset(
    [
        "CAST",
        "TRY_CAST",
        "EXTRACT",
        "TRIM",
        "POSITION",
        "LISTAGG",
        "NORMALIZE",
        "JSON_VALUE",
        "JSON_QUERY",
        "JSON_EXISTS",
        "JSON_OBJECT",
        "JSON_ARRAY",
        "JSON_TABLE",
        "SUBSTR",
        "SUBSTRING",
        "LOWER",
        "UPPER",
        "CONCAT",
    ]
)
_MARKED: Final = (
    frozenset(AthenaTrinoParser.FUNCTIONS) | frozenset(AthenaTrinoParser.FUNCTION_PARSERS)
) - _KEPT
_NAME_TOKENS: Final = frozenset(
    {
        TokenType.VAR,
        TokenType.DATE,
        TokenType.FILTER,
        TokenType.FIRST,
        TokenType.FORMAT,
        TokenType.GLOB,
        TokenType.LEFT,
        TokenType.LIST,
        TokenType.REPLACE,
        TokenType.RIGHT,
        TokenType.SEQUENCE,
        TokenType.TRUNCATE,
        TokenType.UUID,
        TokenType.XOR,
    }
)


class _Trino(Trino):
    """Trino's dialect, but subscripts stay as written: sqlglot would count them from 0."""

    INDEX_OFFSET = 0


def parse(sql: str) -> exp.Expr:
    """Return the tree of one statement.

    Parameters
    ----------
    sql : str
        In Athena's dialect: Trino's, or Hive's for the statements that Athena gives to Hive. A
        semicolon may follow.

    Raises
    ------
    QueryFailed
        The statement breaks the grammar; there is none, or more than one.
    """
    dialect = Athena()
    try:
        tokens = dialect.tokenize(sql)
        if tokens and tokens[0].token_type == TokenType.HIVE_TOKEN_STREAM:
            trees = dialect.parser(error_level=ErrorLevel.RAISE).parse(tokens, sql)
        else:
            parser = AthenaTrinoParser(error_level=ErrorLevel.RAISE, dialect=_Trino())
            trees = parser.parse(_prepared(tokens), sql)
    except ParseError as error:
        raise _syntax_error(error) from error
    except TokenError as error:
        raise QueryFailed(f"line 1:1: {error}") from error
    statements = [tree for tree in trees if tree is not None and not isinstance(tree, exp.Semicolon)]
    if len(statements) != 1:
        got = "Query is empty" if not statements else f"Only one sql statement is allowed. Got: {sql}"
        raise QueryFailed(f"line 1:1: {got}")
    tree = _unmarked(statements[0])
    if isinstance(tree, exp.Command) or (
        isinstance(tree, (exp.Condition, exp.Alias)) and not isinstance(tree, exp.Query)
    ):
        raise QueryFailed(f"line 1:1: mismatched input '{(sql.split() or [''])[0][:40]}'")
    return tree


def bind_parameters(tree: exp.Expr, parameters: Sequence[str]) -> exp.Expr:
    """Return the statement with each ``?`` replaced.

    Parameters
    ----------
    tree : sqlglot.exp.Expr
        From :func:`parse`. It is not changed.
    parameters : sequence of str
        In the order of the question marks, each an expression in SQL: ``'text'``, ``1``, ``date '…'``.

    Raises
    ------
    QueryFailed
        There are more or fewer of them than question marks, or one is not an expression.
    """
    marks = [node for node in tree.find_all(exp.Placeholder) if _number(node)]
    if len(marks) != len(parameters):
        raise QueryFailed(
            "INVALID_PARAMETER_USAGE: line 1:1: Incorrect number of parameters: "
            f"expected {len(marks)} but found {len(parameters)}"
        )
    if not marks:
        return tree
    values = [_expression(one) for one in parameters]
    bound = tree.copy()
    for node in list(bound.find_all(exp.Placeholder)):
        if number := _number(node):
            node.replace(values[number - 1].copy())
    return bound


def _expression(sql: str) -> exp.Expr:
    """Return the tree of one expression, in parentheses unless it is a literal."""
    query = parse(f"SELECT {sql}")
    if not isinstance(query, exp.Select) or len(query.selects) != 1 or len(_present(query)) != 1:
        raise QueryFailed(f"INVALID_PARAMETER_USAGE: line 1:1: Invalid parameter: {sql}")
    value = query.selects[0].unalias()
    return value if isinstance(value, (exp.Literal, exp.Null, exp.Boolean)) else exp.Paren(this=value)


def _present(node: exp.Expr) -> list[str]:
    return [key for key, value in node.args.items() if value]


def _number(node: exp.Placeholder) -> int:
    """Return which question mark a placeholder is, from 1; 0 if none."""
    number = node.name.removeprefix(_PARAMETER)
    return int(number) if number.isdigit() else 0


def _prepared(tokens: list[Token]) -> list[Token]:
    """Mark the names of functions, and number the question marks."""
    prepared: list[Token] = []
    marks = 0
    for index, token in enumerate(tokens):
        if token.token_type == TokenType.DCOLON:
            raise QueryFailed(f"line {token.line}:{token.col - 1}: mismatched input '::'")
        if token.token_type == TokenType.PLACEHOLDER:
            # the tree does not keep the order of the text: each mark carries its number, as in :p1
            marks += 1
            prepared.append(_token(TokenType.COLON, ":", token))
            prepared.append(_token(TokenType.VAR, f"{_PARAMETER}{marks}", token))
            continue
        if token.token_type == TokenType.STRING and prepared and prepared[-1].token_type == TokenType.DECIMAL:
            prepared[-1:] = _decimal(token)
            continue
        if (
            index + 1 < len(tokens)
            and tokens[index + 1].token_type == TokenType.L_PAREN
            and _is_call(token, tokens[index - 1] if index else None)
        ):
            token.text = _MARK + token.text
            token.token_type = TokenType.VAR
        prepared.append(token)
    return prepared


def _token(kind: TokenType, text: str, like: Token) -> Token:
    return Token(kind, text, like.line, like.col, like.start, like.end)


def _decimal(token: Token) -> list[Token]:
    """Return ``decimal '-1.10'`` as ``(-1.10)``, for sqlglot takes it for a cast to DECIMAL(38, 0)."""
    sign = [_token(TokenType.DASH, "-", token)] if token.text.startswith("-") else []
    digits = token.text.lstrip("+-")
    number = _token(TokenType.NUMBER, digits if "." in digits else f"{digits}.", token)
    return [_token(TokenType.L_PAREN, "(", token), *sign, number, _token(TokenType.R_PAREN, ")", token)]


def _is_call(token: Token, before: Token | None) -> bool:
    if token.token_type not in _NAME_TOKENS or token.text.upper() not in _MARKED:
        return False
    # sum(x) FILTER (WHERE …) is no call of filter()
    return not (token.token_type == TokenType.FILTER and before and before.token_type == TokenType.R_PAREN)


def _unmarked(tree: exp.Expr) -> exp.Expr:
    for node in tree.find_all(exp.Anonymous, exp.Identifier, exp.Bracket):
        if isinstance(node, exp.Bracket):
            node.set("offset", 1)
            continue
        name = node.this
        if isinstance(name, str):
            plain = name.removeprefix(_MARK)
            if isinstance(node, exp.Anonymous):
                node.set("this", plain.lower())
            elif plain != name:
                node.set("this", plain)
    return tree


def _syntax_error(error: ParseError) -> QueryFailed:
    found = error.errors[0] if error.errors else {}
    text = str(found.get("highlight", "")).removeprefix(_MARK)
    line, end = found.get("line", 1), found.get("col", 1)
    column = max(int(end) - len(text) + 1, 1)
    return QueryFailed(
        f"line {line}:{column}: mismatched input '{text or '<EOF>'}'. {found.get('description', '')}"
    )
