"""One boto3 client for each service, instead of one for each question.

dbt-athena makes a client for every look at the catalog, some hundred in a build, and boto3 makes
them one at a time, under a lock: two thirds of a build's time. A client may be used from many
threads, so those that would be the same are one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

from boto3.session import Session
from botocore.config import Config


@contextmanager
def shared_clients() -> Iterator[None]:
    """Let equal clients of all boto3 sessions be one, until the context ends.

    Clients are equal if they are for the same service, in the same region, at the same endpoint,
    with the same credentials and the same configuration. The environment, from which boto3 takes
    what it is not told, must not change within the context.
    """
    sessions: dict[Hashable, Session] = {}
    made: dict[Hashable, Any] = {}
    making = threading.Lock()
    create: Callable[..., Any] = Session.client

    def client(session: Session, service_name: str, *args: Any, **options: Any) -> Any:
        identity = _identity(session)
        key = (identity, service_name, _text(args), _text(sorted(options.items())))
        with making:
            if key not in made:
                # of one session, which reads boto3's own descriptions of AWS once for all services
                equal = sessions.setdefault(identity, session)
                made[key] = create(equal, service_name, *args, **options)
            return made[key]

    Session.client = client  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Session.client = create  # type: ignore[method-assign]


def _identity(session: Session) -> Hashable:
    credentials = session.get_credentials()
    return (
        session.region_name,
        session.profile_name,
        credentials.get_frozen_credentials() if credentials else None,
    )


def _text(value: Any) -> str:
    """Return a text that is equal for equal options: botocore's ``Config`` compares by identity."""
    if isinstance(value, (list, tuple)):
        return repr([_text(each) for each in value])
    return repr(sorted(vars(value).items()) if isinstance(value, Config) else value)
