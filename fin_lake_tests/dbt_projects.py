"""A small dbt project for tests: three models on values of their own, prepared in a folder of the test's."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from fin_lake.analytics.prepare import prepare

TINY = Path(__file__).with_name("tiny_project")


def prepared_project(folder: Path, changes: Mapping[str, str] | None = None, like: Path = TINY) -> Path:
    """Copy a project into a folder, with other texts in some of its files, and prepare it."""
    shutil.copytree(like, folder)
    for name, text in (changes or {}).items():
        (folder / name).write_text(text)
    prepare(folder)
    return folder
