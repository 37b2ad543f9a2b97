"""Python's garbage collector, told to look less often, in processes that make many objects that stay."""

from __future__ import annotations

import gc
from typing import Final

_THRESHOLDS: Final = (50_000, 20, 20)  # Python's own are (700, 10, 10)


def collect_seldom() -> None:
    """Leave out what was imported, and collect what is new after 50,000 objects, not after 700.

    dbt's project and parsed SQL are hundreds of thousands of objects in cycles; a fifth of a build went
    into searching them for garbage, over and over.
    """
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
