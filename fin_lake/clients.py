"""boto3's clients with the credentials and the region of the settings.

For what has no faster way: objects' bytes go through ``lake.store``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boto3 import Session
    from botocore.config import Config
    from botocore.session import Session as BotocoreSession

    from fin_lake.settings import Settings


def aws_client(
    settings: Settings, service: str, endpoint_url: str | None, config: Config | None = None
) -> Any:
    """Return a client of an AWS service.

    Parameters
    ----------
    service : str
        As boto3 calls it: ``athena``, ``glue``, ``sqs``.
    endpoint_url : str or None
        Where it answers, if that is not AWS.
    config : Config, optional
        Timeouts and retries other than botocore's own.
    """
    client: Any = aws_session(settings).client(service, endpoint_url=endpoint_url, config=config)  # type: ignore[call-overload]
    return client


def aws_session(settings: Settings) -> Session:
    """Return boto3's session with the key of the settings, or with what the standard chain finds."""
    import boto3  # noqa: PLC0415 - definitions load without it

    secret, token = settings.aws_secret_access_key, settings.aws_session_token
    key = settings.aws_access_key_id
    return boto3.Session(
        # whoever names a key means it, and not the profile that a shell happens to name
        botocore_session=session_without_profile() if key else None,
        aws_access_key_id=key.get_secret_value() if key else None,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        aws_session_token=token.get_secret_value() if token else None,
        region_name=settings.aws_region,
    )


def session_without_profile() -> BotocoreSession:
    """Return botocore's session of no profile, whatever the shell's ``AWS_PROFILE`` names."""
    from botocore.session import Session  # noqa: PLC0415 - definitions load without it

    return Session(session_vars={"profile": (None, None, None, None)})
