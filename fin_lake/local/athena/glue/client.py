"""The catalog without HTTP in between, in the shape of boto3's client."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Iterator
from typing import Any, Final

from botocore import xform_name
from botocore.errorfactory import ClientExceptionsFactory

from fin_lake.local.athena.errors import ApiError
from fin_lake.local.athena.glue.catalog import GlueCatalog
from fin_lake.local.athena.json_protocol import service_model

_TIMES: Final = ("CreateTime", "UpdateTime", "CreationTime", "LastAccessTime", "LastAnalyzedTime")


@functools.cache
def _operations() -> dict[str, str]:
    return {xform_name(name): name for name in service_model("glue").operation_names}


class GlueClient:
    """A catalog with the methods, answers and exceptions of ``boto3.client("glue")``."""

    def __init__(self, catalog: GlueCatalog) -> None:
        self._catalog = catalog
        self.exceptions = ClientExceptionsFactory().create_client_exceptions(service_model("glue"))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation = _operations().get(name)
        if operation is None:
            raise AttributeError(name)
        return functools.partial(self._call, operation)

    def get_paginator(self, name: str) -> _Paginator:
        """Return a paginator of an operation, by its Python name."""
        return _Paginator(getattr(self, name))

    def _call(self, operation: str, **request: Any) -> Any:
        try:
            return _with_times(self._catalog.call(operation, request))
        except ApiError as error:
            told = {"Error": {"Code": error.code, "Message": str(error)}}
            kind: Any = self.exceptions.from_code(error.code)
            raise kind(told, operation) from None


class _Paginator:
    def __init__(self, call: Callable[..., Any]) -> None:
        self._page = call

    def paginate(self, **request: Any) -> Iterator[Any]:
        """Yield the pages."""
        while True:
            page = self._page(**request)
            yield page
            if not page.get("NextToken"):
                return
            request["NextToken"] = page["NextToken"]


def _with_times(answer: Any) -> Any:
    if isinstance(answer, dict):
        return {
            key: dt.datetime.fromtimestamp(value, dt.UTC)
            if key in _TIMES and isinstance(value, (int, float))
            else _with_times(value)
            for key, value in answer.items()
        }
    if isinstance(answer, list):
        return [_with_times(one) for one in answer]
    return answer
