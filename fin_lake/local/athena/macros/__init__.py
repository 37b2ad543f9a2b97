"""DuckDB macros that compute as Athena does.

A macro asks for the type of its argument by ``typeof``, which DuckDB answers while it plans: of the
branches one is left. Every branch must be well-typed for every argument, hence the ``TRY_CAST`` in
those that are left out, and ``cast_to_type`` where the result's type follows an argument's. Macros with
an overload for each type are no way out: DuckDB does not resolve them over aggregates and windows.
"""

from __future__ import annotations

from typing import Final

from fin_lake.local.athena.macros import collections, conversions, numbers, texts

SQL: Final = numbers.SQL + conversions.SQL + texts.SQL + collections.SQL
"""The statements that create them; each uses only those before it, and functions of :mod:`udfs`."""
