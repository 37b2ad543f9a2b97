"""A statement word by word, for those of Hive's and Athena's statements that sqlglot leaves as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from sqlglot.dialects import Trino
from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import Token, TokenType

from fin_lake.local.athena.errors import QueryFailed
from fin_lake.local.athena.glue_tables import TableName

_TEXTS: Final = (TokenType.STRING,)
_NUMBERS: Final = (TokenType.NUMBER,)
_OPENING: Final = (TokenType.L_PAREN, TokenType.L_BRACKET)
_CLOSING: Final = (TokenType.R_PAREN, TokenType.R_BRACKET)


class _WordByWord(Trino):  # type: ignore[misc]  # sqlglot's dialects are compiled
    """Athena's words, each by itself: its own dialect takes what follows SHOW or UNLOAD as one text."""

    class Tokenizer(Trino.Tokenizer):  # type: ignore[misc]
        IDENTIFIERS: ClassVar[list[str]] = ['"', "`"]
        COMMANDS: ClassVar[set[TokenType]] = set()
        KEYWORDS: ClassVar[dict[str, TokenType]] = {
            word: kind for word, kind in Trino.Tokenizer.KEYWORDS.items() if " " not in word
        }


_DIALECT: Final = _WordByWord()


class Words:
    """A reader of a statement's words; comments and a semicolon at the end are none.

    Parameters
    ----------
    sql : str
        One statement.

    Raises
    ------
    QueryFailed
        It is empty, not one statement, or a quote in it does not end.
    """

    def __init__(self, sql: str) -> None:
        self.sql = sql
        try:
            tokens = _DIALECT.tokenize(sql)
        except TokenError as error:
            raise QueryFailed(f"line 1:1: {error}") from error
        while tokens and tokens[-1].token_type is TokenType.SEMICOLON:
            tokens.pop()
        if not tokens:
            raise QueryFailed("line 1:1: mismatched input '<EOF>'. Expecting: a statement")
        if any(token.token_type is TokenType.SEMICOLON for token in tokens):
            raise QueryFailed(f"Only one sql statement is allowed. Got: {sql}")
        self._tokens = tokens
        self._at = 0

    @property
    def ended(self) -> bool:
        """Whether no word is left."""
        return self._at >= len(self._tokens)

    @property
    def text(self) -> str:
        """The statement without the comments and the semicolon around it."""
        return self.sql[self._tokens[0].start : self._tokens[-1].end + 1]

    @property
    def rest(self) -> str:
        """What is left of the statement, as it is written."""
        return "" if self.ended else self.sql[self._tokens[self._at].start : self._tokens[-1].end + 1]

    def begins(self, *words: str) -> bool:
        """Return whether the next words are these."""
        following = self._tokens[self._at : self._at + len(words)]
        return len(following) == len(words) and all(
            token.text.upper() == word and token.token_type not in _TEXTS
            for token, word in zip(following, words, strict=True)
        )

    def take(self, *words: str) -> bool:
        """Go past these words, if they are next, and return whether they were."""
        if not self.begins(*words):
            return False
        self._at += len(words)
        return True

    def expect(self, *words: str) -> None:
        """Go past these words.

        Raises
        ------
        QueryFailed
            Others are next.
        """
        if not self.take(*words):
            raise self.mismatch(" ".join(words))

    def expect_end(self) -> None:
        """Return if no word is left.

        Raises
        ------
        QueryFailed
            One is.
        """
        if not self.ended:
            raise self.mismatch("<EOF>")

    def table(self, database: str) -> TableName:
        """Read a table's name; without a database it is in ``database``."""
        first = self.name()
        if not self.take("."):
            return TableName(database, first)
        second = self.name()
        if self.take("."):  # catalog.database.table
            return TableName(second, self.name())
        return TableName(first, second)

    def name(self) -> str:
        """Read one name, quoted or not, in lower case."""
        if self.ended or self._tokens[self._at].token_type in (*_TEXTS, *_NUMBERS, TokenType.L_PAREN):
            raise self.mismatch("identifier")
        return self._next().text.lower()

    def string(self) -> str:
        """Read a text in quotes, or a number, as text."""
        if self.ended or self._tokens[self._at].token_type not in (*_TEXTS, *_NUMBERS):
            raise self.mismatch("string")
        return self._next().text

    def parenthesized(self) -> str:
        """Read a group in parentheses and return what is between them, as it is written."""
        self.expect("(")
        start, depth = self._at, 1
        while depth:
            if self.ended:
                raise self.mismatch(")")
            kind = self._next().token_type
            depth += (kind is TokenType.L_PAREN) - (kind is TokenType.R_PAREN)
        inside = self._tokens[start : self._at - 1]
        return self.sql[inside[0].start : inside[-1].end + 1] if inside else ""

    def listed(self) -> list[str]:
        """Read the rest as a list with commas, and return its parts as they are written."""
        parts, depth, start = [], 0, self._at
        while not self.ended:
            token = self._next()
            depth += (token.token_type in _OPENING) - (token.token_type in _CLOSING)
            last = self.ended
            if last or (token.token_type is TokenType.COMMA and not depth):
                inside = self._tokens[start : self._at if last else self._at - 1]
                parts.append(self.sql[inside[0].start : inside[-1].end + 1] if inside else "")
                start = self._at
        return parts

    def pairs(self) -> dict[str, str]:
        """Read ``(name = value, …)``; names come in lower case."""
        self.expect("(")
        found: dict[str, str] = {}
        while not self.take(")"):
            key = self._next_text().lower()
            if not self.take("=") and not self.take("=="):
                raise self.mismatch("=")
            found[key] = self._next_text()
            self.take(",")
        return found

    def mismatch(self, expected: str) -> QueryFailed:
        """Return the failure of a word that does not belong here."""
        if self.ended:
            return QueryFailed(f"line 1:{len(self.sql)}: mismatched input '<EOF>'. Expecting: {expected}")
        token = self._tokens[self._at]
        return QueryFailed(
            f"line {token.line}:{token.col}: mismatched input '{token.text}'. Expecting: {expected}"
        )

    def _next(self) -> Token:
        token: Token = self._tokens[self._at]
        self._at += 1
        return token

    def _next_text(self) -> str:
        if self.ended:
            raise self.mismatch("identifier")
        return self._next().text


def with_parameters(sql: str, parameters: Sequence[str]) -> str:
    """Return a statement with its question marks replaced.

    Parameters
    ----------
    parameters : sequence of str
        SQL literals, one for each question mark.

    Raises
    ------
    QueryFailed
        They are more or fewer than the question marks.
    """
    marks = [token for token in _DIALECT.tokenize(sql) if token.token_type is TokenType.PLACEHOLDER]
    if len(marks) != len(parameters):
        raise QueryFailed(
            "INVALID_PARAMETER_USAGE: line 1:1: Incorrect number of parameters: "
            f"expected {len(marks)} but found {len(parameters)}"
        )
    parts, at = [], 0
    for mark, parameter in zip(marks, parameters, strict=True):
        parts += [sql[at : mark.start], parameter]
        at = mark.end + 1
    return "".join([*parts, sql[at:]])
