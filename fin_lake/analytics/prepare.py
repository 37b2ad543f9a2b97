"""``python -m fin_lake.analytics.prepare``: let dbt read its project, for the definitions to load.

To be run after the installation and after every change in ``dbt_project/``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fin_lake.analytics.parsing import parse
from fin_lake.analytics.project import PROJECT
from fin_lake.errors import FinLakeError


def prepare(project: Path = PROJECT) -> None:
    """Write ``target/manifest.json``; nothing is asked of Athena or S3.

    Raises
    ------
    FinLakeError
        dbt is not installed, or finds fault with the project.
    """
    parse(project, project / "target", write_manifest=True)


if __name__ == "__main__":
    try:
        prepare()
    except FinLakeError as error:
        sys.exit(f"error: {error}")
