"""Masks of dates: those of MySQL and of Java, which Athena takes, as strftime's, which DuckDB takes."""

from __future__ import annotations

from typing import Final

from fin_lake.local.athena.errors import QueryFailed, unsupported

_MYSQL: Final = {
    "a": "%a", "b": "%b", "c": "%-m", "d": "%d", "e": "%-d", "f": "%f", "H": "%H", "h": "%I", "I": "%I",
    "i": "%M", "j": "%j", "k": "%-H", "l": "%-I", "M": "%B", "m": "%m", "p": "%p", "r": "%I:%M:%S %p",
    "S": "%S", "s": "%S", "T": "%H:%M:%S", "v": "%V", "W": "%A", "x": "%G", "Y": "%Y", "y": "%y", "%": "%%",
}  # fmt: skip
_MYSQL_REFUSED: Final = "DUuVwX"
_JAVA: Final = (
    ("yyyy", "%Y"), ("YYYY", "%Y"), ("uuuu", "%Y"), ("xxxx", "%G"), ("yy", "%y"), ("y", "%Y"),
    ("MMMM", "%B"), ("MMM", "%b"), ("MM", "%m"), ("M", "%-m"), ("dd", "%d"), ("d", "%-d"),
    ("EEEE", "%A"), ("EEE", "%a"), ("EE", "%a"), ("E", "%a"), ("e", "%u"), ("DDD", "%j"), ("D", "%-j"),
    ("HH", "%H"), ("H", "%-H"), ("hh", "%I"), ("h", "%-I"), ("mm", "%M"), ("m", "%-M"),
    ("ss", "%S"), ("s", "%-S"), ("SSSSSS", "%f"), ("SSS", "%g"), ("ZZ", "%z"), ("Z", "%z"), ("a", "%p"), ("ww", "%V"),
)  # fmt: skip
"""Java's letters, the longer first."""


def mysql_date_mask(mask: str) -> str:
    """Return a mask of ``date_format`` and ``date_parse`` as one of strftime: ``%H:%i`` as ``%H:%M``.

    Raises
    ------
    QueryFailed
        Athena does not support a letter of it either.
    """
    made, at = "", 0
    while at < len(mask):
        if mask[at] != "%" or at + 1 == len(mask):
            made += "%%" if mask[at] == "%" else mask[at]
            at += 1
            continue
        letter = mask[at + 1]
        if letter in _MYSQL_REFUSED:
            raise QueryFailed(
                f"INVALID_FUNCTION_ARGUMENT: %{letter} not currently supported in the date format string"
            )
        made += _MYSQL.get(letter, letter)
        at += 2
    return made


def java_date_mask(mask: str) -> str:
    """Return a mask of Java's as one of strftime: ``yyyy-MM-dd`` as ``%Y-%m-%d``.

    Raises
    ------
    QueryFailed
        A letter of it is not supported, or a quote is not closed.
    """
    made, at = "", 0
    while at < len(mask):
        if mask[at] == "'":
            end = mask.find("'", at + 1)
            if end < 0:
                raise QueryFailed(f"INVALID_FUNCTION_ARGUMENT: Invalid pattern specification: {mask}")
            made += mask[at + 1 : end].replace("%", "%%") or "'"
            at = end + 1
            continue
        letters, code = next(((a, b) for a, b in _JAVA if mask.startswith(a, at)), (mask[at], mask[at]))
        if letters == code and letters.isalpha():
            raise unsupported(f"the letter {letters} of a date mask")
        made += "%%" if code == "%" else code
        at += len(letters)
    return made
