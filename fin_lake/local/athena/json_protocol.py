"""AWS's JSON protocol, as far as Athena and Glue share it."""

from __future__ import annotations

import functools
import json
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Final

import botocore.session
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from fin_lake.local.athena.errors import ApiError

Request = dict[str, Any]
Answer = dict[str, Any]
_validator: Final = ParamValidator()


@functools.cache
def service_model(service: str) -> ServiceModel:
    """Return botocore's description of a service: ``athena``, ``glue``."""
    return botocore.session.get_session().get_service_model(service)


def require_valid(service: str, operation: str, request: Request, *, code: str) -> None:
    """Check a request against botocore's description of the operation.

    Raises
    ------
    ApiError
        With the code, if a member is missing, unknown or of another type.
    """
    shape = service_model(service).operation_model(operation).input_shape
    problems = _validator.validate(request, shape) if shape is not None else None
    if problems is not None and problems.has_errors():
        raise ApiError(code, problems.generate_report())


def http_answer(
    call: Callable[[str, Request], Answer], operation: str, body: bytes, *, internal: str
) -> tuple[int, bytes]:
    """Carry out an operation as it comes over HTTP, and return status and body.

    Parameters
    ----------
    internal : str
        The service's name for a fault of its own.
    """
    try:
        return 200, json.dumps(call(operation, _request(body))).encode()
    except ApiError as error:
        status, answer = 400, {"__type": error.code, "message": str(error)}
        if error.code == "InvalidRequestException":  # only Athena has it
            answer["AthenaErrorCode"] = "INVALID_INPUT"
    except Exception as error:  # noqa: BLE001 - whatever it is, the client must hear of it
        traceback.print_exc()
        status, answer = 500, {"__type": internal, "message": f"{type(error).__name__}: {error}"}
    return status, json.dumps({**answer, "Message": answer["message"]}).encode()


def page(asked: Request, name: str, items: Sequence[Any], largest: int, *, code: str) -> Answer:
    """Return the page of a list that a request asks for.

    Raises
    ------
    ApiError
        As ``position``.
    """
    start, size = position(asked, code=code), min(asked.get("MaxResults") or largest, largest)
    answer: Answer = {name: items[start : start + size]}
    if start + size < len(items):
        answer["NextToken"] = str(start + size)
    return answer


def position(asked: Request, *, code: str) -> int:
    """Return where the page begins that a request asks for.

    Raises
    ------
    ApiError
        With the code, if its token is not one that was given out.
    """
    token = str(asked.get("NextToken") or "0")
    if not token.isdigit():
        raise ApiError(code, f"NextToken {token!r} is not one that was given out")
    return int(token)


def _request(body: bytes) -> Request:
    try:
        request = json.loads(body or b"{}")
    except ValueError as error:
        raise ApiError("SerializationException", f"the request is no JSON: {error}") from error
    if not isinstance(request, dict):
        raise ApiError("SerializationException", f"the request is a JSON {type(request).__name__}, no object")
    return request
