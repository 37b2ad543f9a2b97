"""Glue's calls as they come over HTTP."""

from __future__ import annotations

import json
import traceback

from fin_lake.local.athena.errors import ApiError
from fin_lake.local.athena.glue.catalog import GlueCatalog


def http_answer(catalog: GlueCatalog, operation: str, body: bytes) -> tuple[int, bytes]:
    """Carry out an operation, and return status and body in the JSON protocol."""
    try:
        return 200, json.dumps(catalog.call(operation, json.loads(body or b"{}"))).encode()
    except ApiError as error:
        code, status, what = error.code, 400, str(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, the client must hear of it
        traceback.print_exc()
        code, status, what = "InternalServiceException", 500, f"{type(error).__name__}: {error}"
    return status, json.dumps({"__type": code, "message": what, "Message": what}).encode()
