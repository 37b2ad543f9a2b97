"""The service as a process: ``python -m fin_lake.local.athena --home … --port …``.

The endpoint of S3 and the credentials come from the environment, as for any AWS client.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from fin_lake.local.athena.service import Place, serve


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m fin_lake.local.athena", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder of catalog, workgroups and cache")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    given = parser.parse_args()
    place = Place(
        home=given.home,
        s3_endpoint=os.environ["AWS_ENDPOINT_URL_S3"],
        access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
        secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        region=os.environ["AWS_DEFAULT_REGION"],
    )
    serve(place, given.port)


if __name__ == "__main__":
    main()
