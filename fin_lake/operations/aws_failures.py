"""What AWS says when it refuses, and what the client says when AWS cannot be reached: cause and cure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    InvalidRegionError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
)
from botocore.exceptions import ConnectionError as NotConnectedError

from fin_lake.operations.findings import Finding, failed
from fin_lake.settings import Settings

DENIED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "UnauthorizedOperation",
        "Forbidden",
        "403",
    }
)
NOT_THERE: Final = frozenset({"NoSuchKey", "404", "NotFound"})


@dataclass(frozen=True, slots=True)
class _Why:
    codes: frozenset[str]
    kinds: tuple[type[Exception], ...]
    cause: str
    cure: str


_CLOCK: Final = "`sudo timedatectl set-ntp true`"
_WHY: Final = (
    _Why(
        frozenset({"InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException"}),
        (),
        "the access key is mistyped, deleted, or of another partition",
        "correct AWS_ACCESS_KEY_ID, or make a new key in the console",
    ),
    _Why(
        frozenset({"SignatureDoesNotMatch"}),
        (),
        "the secret is not that of this access key",
        "correct AWS_SECRET_ACCESS_KEY; it is shown once, when the key is made",
    ),
    _Why(
        frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken"}),
        (SSOError,),
        "the session has expired",
        "`aws sso login`, or a new AWS_SESSION_TOKEN with its key",
    ),
    _Why(
        frozenset({"RequestTimeTooSkewed", "RequestExpired", "InvalidSignatureException"}),
        (),
        "this machine's clock is wrong",
        _CLOCK,
    ),
    _Why(
        frozenset(),
        (NoCredentialsError, PartialCredentialsError),
        "neither keys nor a profile, SSO session or role were found",
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in .env, or run `aws configure`",
    ),
    _Why(
        frozenset({"InvalidBucketName"}),
        (ParamValidationError,),
        "AWS_S3_BUCKET_NAME cannot be a bucket's name",
        "correct it: 3 to 63 small letters, digits, dots and hyphens",
    ),
    _Why(
        frozenset(),
        (InvalidRegionError,),
        "AWS_DEFAULT_REGION cannot be a region's name",
        "correct it, as in us-east-1",
    ),
    _Why(
        frozenset(),
        (ValueError,),  # the only thing that botocore says so
        "the endpoint that is set is no URL",
        "correct AWS_ENDPOINT_URL, or unset it: AWS itself needs none",
    ),
    _Why(
        frozenset(),
        (ProfileNotFound,),
        "AWS_PROFILE names what ~/.aws/config has not",
        "`aws configure list-profiles`",
    ),
    _Why(
        frozenset(),
        (CredentialRetrievalError,),
        "what gives out the credentials has failed",
        "`aws sts get-caller-identity`",
    ),
)


def explained(settings: Settings, error: Exception, tried: str, action: str = "") -> Finding:
    """Return a failure that says what was tried, what AWS or the network said, and what mends it.

    Parameters
    ----------
    error : Exception
        boto3's.
    tried : str
        What was being done, as in ``asked STS who this is``.
    action : str
        The permission that it takes, as IAM calls it.
    """
    found = f"{tried}: {error_text(error)}"
    for why in _WHY:
        if error_code(error) in why.codes or isinstance(error, why.kinds):
            return failed(found, why.cause, why.cure)
    if error_code(error) in DENIED:
        return failed(found, f"the policy of this identity lacks {action}", f"allow {action}")
    if not is_unreachable(error):
        return failed(found)
    if settings.profile == "local":
        return failed(found, "the local stack does not run", "`fin-lake up`")
    if settings.aws_endpoint_url:
        return failed(
            found,
            "the endpoint that is set does not answer",
            "correct AWS_ENDPOINT_URL, or unset it: AWS itself needs none",
        )
    return failed(
        found,
        "no network, a firewall or proxy in between, or a region that does not exist",
        "`curl -sI https://s3.amazonaws.com`; see AWS_DEFAULT_REGION and HTTPS_PROXY",
    )


def is_unreachable(error: Exception) -> bool:
    """Return whether there was no answer at all."""
    return isinstance(error, NotConnectedError | HTTPClientError)


def error_code(error: Exception) -> str:
    """Return AWS's code of an error; of a HEAD it is the status."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def http_status(error: Exception) -> int:
    """Return the HTTP status of an answer, 0 if there was none."""
    if not isinstance(error, ClientError):
        return 0
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def http_headers(error: Exception) -> dict[str, str]:
    """Return the headers of an answer, in small letters."""
    if not isinstance(error, ClientError):
        return {}
    return dict(error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}))


def error_text(error: Exception) -> str:
    """Return AWS's code and message, or the client's own words, in one line."""
    if isinstance(error, ClientError):
        told = error.response.get("Error", {})
        return f"{told.get('Code', '')}: {told.get('Message', '')}".strip(": ")
    return " ".join(str(error).split()) or type(error).__name__


AwsErrors: Final = (BotoCoreError, ClientError, ValueError)
