"""The base of every error that fin_lake raises for a person to read.

Here belongs what all floors share: an error that says what was wrong and what to do next. Errors
of one part (a source, the lake, the warehouse) are defined beside that part.
"""

from __future__ import annotations


class FinLakeError(Exception):
    """What went wrong, where, and what to do about it.

    Parameters
    ----------
    what : str
        What was wrong and where: the symbol, hour, object key or variable.
    remedy : str, optional
        What to do next, as a command or an instruction.

    Attributes
    ----------
    heals : bool
        Whether the same thing may succeed if it is merely done again later.
    """

    heals: bool = False

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"{what}\n  → {remedy}" if remedy else what)
        self.what = what
        self.remedy = remedy
