"""Every setting, typed, from the environment and ``.env``.

Nothing else in the package reads the environment, and this module reads it only when
:func:`load_settings` is called. Precedence: the environment, then ``.env``, then what the running
local stack left in ``<home>/stack.env`` (local profile only).
"""

from __future__ import annotations

import datetime as dt
import difflib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from dotenv import dotenv_values
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from fin_lake.errors import FinLakeError
from fin_lake.partitions import HourError, floor_hour, parse_hour

if TYPE_CHECKING:
    from fin_lake.schema import AssetClass

_OURS: Final = ("FIN_LAKE_", "AWS_S3_", "ALPHA_VANTAGE_", "COINGECKO_", "YAHOO_")
_PLACEHOLDER: Final = re.compile(r"your_\w+_here|.*//user:password@host:.*")
STACK_ENV: Final = "stack.env"
_OWNER: Final = re.compile(r"team:[A-Za-z0-9_]+|[^@\s,]+@[^@\s,]+\.[^@\s,.]{2,}")
_SNOWFLAKE_NAME: Final = r"^(|[A-Za-z_][A-Za-z0-9_$]{0,254})$"
SPARK_ASSETS: Final = (
    "processed/stocks",
    "processed/crypto",
    "technical_analysis/stocks",
    "technical_analysis/crypto",
)
"""What Spark can make in the place of a run's own process."""
StorageClass = Literal["STANDARD", "INTELLIGENT_TIERING", "STANDARD_IA", "ONEZONE_IA", "GLACIER_IR"]
"""Classes whose objects are read at once; the archives are the lifecycle's affair, or nobody's."""
StockInterval = Literal["1min", "5min", "15min", "30min", "60min"]


class SettingsError(FinLakeError):
    """A setting that is missing or wrong. The message names its variable, never a secret's value."""


class Settings(BaseSettings):
    """What differs between one installation and another.

    Each field's environment variable is its ``validation_alias``. Secrets are ``SecretStr``.
    """

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    profile: Literal["local", "aws"] = Field("local", validation_alias="FIN_LAKE_PROFILE")
    home: Path = Field(Path(".fin_lake"), validation_alias="FIN_LAKE_HOME")
    now: dt.datetime | None = Field(None, validation_alias="FIN_LAKE_NOW")
    start: dt.datetime = Field(dt.datetime(2024, 1, 1, tzinfo=dt.UTC), validation_alias="FIN_LAKE_START")

    stock_symbols: Annotated[tuple[str, ...], NoDecode] = Field(
        ("AAPL", "MSFT", "NVDA", "IBM"), validation_alias="FIN_LAKE_STOCK_SYMBOLS"
    )
    crypto_coins: Annotated[dict[str, str], NoDecode] = Field(
        {"bitcoin": "BTC-USD"}, validation_alias="FIN_LAKE_CRYPTO_COINS"
    )
    stock_interval: StockInterval = Field("30min", validation_alias="FIN_LAKE_STOCK_INTERVAL")
    portfolios_file: Path | None = Field(None, validation_alias="FIN_LAKE_PORTFOLIOS")
    owners: Annotated[tuple[str, ...], NoDecode] = Field(("team:data",), validation_alias="FIN_LAKE_OWNERS")
    report_days: int = Field(28, ge=1, le=366, validation_alias="FIN_LAKE_REPORT_DAYS")
    hours_per_run: int = Field(744, ge=1, le=744, validation_alias="FIN_LAKE_HOURS_PER_RUN")
    schedule_minute: int = Field(5, ge=0, le=59, validation_alias="FIN_LAKE_SCHEDULE_MINUTE")
    reread_hours: int = Field(3, ge=0, le=168, validation_alias="FIN_LAKE_REREAD_HOURS")
    step_retries: int = Field(2, ge=0, le=10, validation_alias="FIN_LAKE_STEP_RETRIES")
    step_retry_seconds: float = Field(10, ge=0, validation_alias="FIN_LAKE_STEP_RETRY_SECONDS")

    aws_access_key_id: SecretStr | None = Field(None, validation_alias="AWS_ACCESS_KEY_ID")
    aws_secret_access_key: SecretStr | None = Field(None, validation_alias="AWS_SECRET_ACCESS_KEY")
    aws_session_token: SecretStr | None = Field(None, validation_alias="AWS_SESSION_TOKEN")
    aws_region: str = Field("us-east-1", validation_alias=AliasChoices("AWS_DEFAULT_REGION", "AWS_REGION"))
    aws_endpoint_url: str | None = Field(
        None, validation_alias=AliasChoices("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    )
    bucket: str = Field("financial-trading-data-lake", validation_alias="AWS_S3_BUCKET_NAME")
    encryption: Literal["AES256", "aws:kms"] = Field("AES256", validation_alias="FIN_LAKE_ENCRYPTION")
    kms_key: str = Field(
        "",
        pattern=r"^(|arn:[a-z-]+:kms:\S+|alias/[A-Za-z0-9/_-]+|(mrk-)?[0-9a-f-]{32,36})$",
        validation_alias="FIN_LAKE_KMS_KEY",
    )
    storage_class: StorageClass = Field("STANDARD", validation_alias="FIN_LAKE_STORAGE_CLASS")
    accelerate: bool = Field(False, validation_alias="FIN_LAKE_S3_ACCELERATE")
    athena_endpoint_url: str | None = Field(None, validation_alias="AWS_ENDPOINT_URL_ATHENA")
    athena_workgroup: str = Field("primary", validation_alias="FIN_LAKE_ATHENA_WORKGROUP")
    glue_endpoint_url: str | None = Field(None, validation_alias="AWS_ENDPOINT_URL_GLUE")
    sts_endpoint_url: str | None = Field(
        None, validation_alias=AliasChoices("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL")
    )
    kms_endpoint_url: str | None = Field(
        None, validation_alias=AliasChoices("AWS_ENDPOINT_URL_KMS", "AWS_ENDPOINT_URL")
    )
    sqs_endpoint_url: str | None = Field(
        None, validation_alias=AliasChoices("AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL")
    )
    cloudwatch_endpoint_url: str | None = Field(
        None, validation_alias=AliasChoices("AWS_ENDPOINT_URL_CLOUDWATCH", "AWS_ENDPOINT_URL")
    )
    cloudformation_endpoint_url: str | None = Field(
        None, validation_alias=AliasChoices("AWS_ENDPOINT_URL_CLOUDFORMATION", "AWS_ENDPOINT_URL")
    )
    stack_name: str = Field("fin-lake", pattern=r"^[a-z][a-z0-9-]{0,40}$", validation_alias="FIN_LAKE_STACK")
    deploy_parameters: Annotated[dict[str, str], NoDecode] = Field(
        {}, validation_alias="FIN_LAKE_DEPLOY_PARAMETERS"
    )
    cloudwatch_namespace: str = Field(
        "", pattern=r"^[A-Za-z0-9_./#-]{0,255}$", validation_alias="FIN_LAKE_CLOUDWATCH_NAMESPACE"
    )
    datadog_host: str = Field("", validation_alias="DD_AGENT_HOST")
    datadog_port: int = Field(8125, ge=1, le=65535, validation_alias="DD_DOGSTATSD_PORT")
    notifications_queue: str = Field(
        "", pattern=r"^[A-Za-z0-9_-]{0,75}$", validation_alias="FIN_LAKE_NOTIFICATIONS_QUEUE"
    )
    glue_database: str = Field(
        "fin_lake", pattern=r"^[a-z0-9_]{1,128}$", validation_alias="FIN_LAKE_GLUE_DATABASE"
    )

    snowflake_account: str = Field("", validation_alias="SNOWFLAKE_ACCOUNT")
    snowflake_user: str = Field("", validation_alias="SNOWFLAKE_USER")
    snowflake_password: SecretStr | None = Field(None, validation_alias="SNOWFLAKE_PASSWORD")
    snowflake_private_key_file: Path | None = Field(None, validation_alias="SNOWFLAKE_PRIVATE_KEY_FILE")
    snowflake_private_key_passphrase: SecretStr | None = Field(
        None, validation_alias="SNOWFLAKE_PRIVATE_KEY_PASSPHRASE"
    )
    snowflake_role: str = Field("", pattern=_SNOWFLAKE_NAME, validation_alias="SNOWFLAKE_ROLE")
    snowflake_warehouse: str = Field("", pattern=_SNOWFLAKE_NAME, validation_alias="SNOWFLAKE_WAREHOUSE")
    snowflake_database: str = Field(
        "FIN_LAKE", min_length=1, pattern=_SNOWFLAKE_NAME, validation_alias="SNOWFLAKE_DATABASE"
    )
    snowflake_schema: str = Field(
        "MARKET", min_length=1, pattern=_SNOWFLAKE_NAME, validation_alias="SNOWFLAKE_SCHEMA"
    )
    snowflake_stage: str = Field(
        "FINANCIAL_S3_STAGE", min_length=1, pattern=_SNOWFLAKE_NAME, validation_alias="SNOWFLAKE_STAGE"
    )
    snowflake_integration: str = Field(
        "FIN_LAKE_S3",
        min_length=1,
        pattern=_SNOWFLAKE_NAME,
        validation_alias="SNOWFLAKE_STORAGE_INTEGRATION",
    )
    snowflake_storage_role: str = Field(
        "",
        pattern=r"^(|arn:[a-z-]+:iam::\d{12}:role/[\w+=,.@/-]+)$",
        validation_alias="SNOWFLAKE_STORAGE_ROLE_ARN",
    )

    spark_master: str = Field(
        "",
        pattern=r"^(|local(\[[\d*]+(,\d+)?\])?|spark://\S+|emr-serverless:\w+|emr:\S+|glue:\S+)$",
        validation_alias="FIN_LAKE_SPARK_MASTER",
    )
    spark_from_hours: Annotated[dict[str, int], NoDecode] = Field(
        {}, validation_alias="FIN_LAKE_SPARK_FROM_HOURS"
    )
    spark_conf: Annotated[dict[str, str], NoDecode] = Field({}, validation_alias="FIN_LAKE_SPARK_CONF")
    spark_role: str = Field(
        "",
        pattern=r"^(|arn:[a-z-]+:iam::\d{12}:role/[\w+=,.@/-]+)$",
        validation_alias="FIN_LAKE_SPARK_ROLE",
    )

    sagemaker_role: str = Field(
        "",
        pattern=r"^(|arn:[a-z-]+:iam::\d{12}:role/[\w+=,.@/-]+)$",
        validation_alias="FIN_LAKE_SAGEMAKER_ROLE",
    )
    sagemaker_image: str = Field("", validation_alias="FIN_LAKE_SAGEMAKER_IMAGE")
    sagemaker_instance: str = Field(
        "ml.m5.large", pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$", validation_alias="FIN_LAKE_SAGEMAKER_INSTANCE"
    )
    sagemaker_endpoint_url: str | None = Field(
        None, validation_alias=AliasChoices("AWS_ENDPOINT_URL_SAGEMAKER", "AWS_ENDPOINT_URL")
    )

    database_url: SecretStr | None = Field(None, validation_alias="FIN_LAKE_DATABASE_URL")
    dagster_database_url: SecretStr | None = Field(None, validation_alias="FIN_LAKE_DAGSTER_DATABASE_URL")

    reader_password: SecretStr | None = Field(None, validation_alias="FIN_LAKE_READER_PASSWORD")

    dagster_home: Path | None = Field(None, validation_alias="DAGSTER_HOME")

    alpha_vantage_api_key: SecretStr | None = Field(None, validation_alias="ALPHA_VANTAGE_API_KEY")
    alpha_vantage_base_url: str = Field(
        "https://www.alphavantage.co", validation_alias="ALPHA_VANTAGE_BASE_URL"
    )
    alpha_vantage_per_minute: float = Field(60, gt=0, validation_alias="ALPHA_VANTAGE_REQUESTS_PER_MINUTE")
    alpha_vantage_per_day: int = Field(25, ge=0, validation_alias="ALPHA_VANTAGE_REQUESTS_PER_DAY")
    yahoo_base_url: str = Field("https://query2.finance.yahoo.com", validation_alias="YAHOO_BASE_URL")
    yahoo_per_minute: float = Field(60, gt=0, validation_alias="YAHOO_REQUESTS_PER_MINUTE")
    coingecko_api_key: SecretStr | None = Field(None, validation_alias="COINGECKO_API_KEY")
    coingecko_plan: Literal["demo", "pro"] = Field("demo", validation_alias="COINGECKO_PLAN")
    coingecko_base_url: str = Field("", validation_alias="COINGECKO_BASE_URL")
    coingecko_per_minute: float = Field(30, gt=0, validation_alias="COINGECKO_REQUESTS_PER_MINUTE")
    coingecko_per_day: int = Field(330, ge=0, validation_alias="COINGECKO_REQUESTS_PER_DAY")
    http_timeout_seconds: float = Field(20, gt=0, validation_alias="FIN_LAKE_HTTP_TIMEOUT_SECONDS")
    http_attempts: int = Field(4, ge=1, le=10, validation_alias="FIN_LAKE_HTTP_ATTEMPTS")

    @field_validator("now", mode="after")
    @classmethod
    def _in_utc(cls, moment: dt.datetime | None) -> dt.datetime | None:
        if moment is None:
            return None
        return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)

    @field_validator("start", mode="before")
    @classmethod
    def _whole_hour(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return parse_hour(value)
        except HourError as error:
            raise ValueError(error.what) from error

    @field_validator("stock_symbols", "owners", mode="before")
    @classmethod
    def _split_symbols(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
        return value

    @field_validator("owners", mode="after")
    @classmethod
    def _owners_are_people_or_teams(cls, owners: tuple[str, ...]) -> tuple[str, ...]:
        for owner in owners:
            if not _OWNER.fullmatch(owner):
                raise ValueError(f"{owner!r} is neither an e-mail address nor team:NAME")
        return owners

    @field_validator("crypto_coins", mode="before")
    @classmethod
    def _split_coins(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        coins: dict[str, str] = {}
        for part in filter(None, (part.strip() for part in value.split(","))):
            coin, _, symbol = part.partition("=")
            if not coin or not symbol:
                raise ValueError(f"{part!r} is not COIN=SYMBOL, as in bitcoin=BTC-USD")
            coins[coin.strip()] = symbol.strip()
        return coins

    @field_validator("deploy_parameters", mode="before")
    @classmethod
    def _split_parameters(cls, value: object) -> object:
        return _pairs(value, "MonthlyBudget=50;CloudFront=yes")

    @field_validator("spark_conf", mode="before")
    @classmethod
    def _split_configuration(cls, value: object) -> object:
        return _pairs(value, "spark.executor.memory=4g;spark.executor.cores=2")

    @field_validator("spark_from_hours", mode="before")
    @classmethod
    def _split_from_hours(cls, value: object) -> object:
        return _pairs(value, "processed/stocks=720;technical_analysis/stocks=2160")

    @field_validator("spark_from_hours", mode="after")
    @classmethod
    def _spark_makes_these(cls, value: dict[str, int]) -> dict[str, int]:
        for name, count in value.items():
            if name not in SPARK_ASSETS:
                raise ValueError(f"Spark does not make {name!r}; it makes {', '.join(SPARK_ASSETS)}")
            if count < 1:
                raise ValueError(f"{name}={count}: from how many hours of a run on, at least 1")
        return value

    @field_validator("bucket", mode="after")
    @classmethod
    def _bucket_is_a_name(cls, value: str) -> str:
        if "/" in value or ":" in value:
            raise ValueError("is a bucket's name alone, without s3:// and without a path")
        return value

    @model_validator(mode="after")
    def _key_pair_is_whole(self) -> Settings:
        if (self.aws_access_key_id is None) != (self.aws_secret_access_key is None):
            missing = "AWS_SECRET_ACCESS_KEY" if self.aws_access_key_id else "AWS_ACCESS_KEY_ID"
            raise ValueError(f"{missing} is missing: the two halves of a key are set together or not at all")
        return self

    @model_validator(mode="after")
    def _key_is_for_kms(self) -> Settings:
        if self.kms_key and self.encryption != "aws:kms":
            raise ValueError("FIN_LAKE_KMS_KEY is set, and FIN_LAKE_ENCRYPTION is not aws:kms")
        return self

    def symbols(self, asset_class: AssetClass) -> tuple[str, ...]:
        """Return the symbols of an asset class that the lake is to have."""
        return self.stock_symbols if asset_class == "stocks" else tuple(self.crypto_coins.values())

    @property
    def clock(self) -> dt.datetime:
        """The moment that counts as now (UTC): the recording's, or the wall clock's."""
        return self.now or dt.datetime.now(dt.UTC)

    @property
    def latest_closed_hour(self) -> dt.datetime:
        """The start of the last hour that is over."""
        return floor_hour(self.clock) - dt.timedelta(hours=1)

    def database(self) -> str:
        """Return the URL of the market data's PostgreSQL, password included.

        Raises
        ------
        SettingsError
            No database is set, and no local stack has left its own.
        """
        return self._url(self.database_url, "FIN_LAKE_DATABASE_URL")

    def dagster_database(self) -> str:
        """Return the URL of Dagster's own PostgreSQL database, password included.

        Raises
        ------
        SettingsError
            No database is set, and no local stack has left its own.
        """
        return self._url(self.dagster_database_url, "FIN_LAKE_DAGSTER_DATABASE_URL")

    def _url(self, url: SecretStr | None, variable: str) -> str:
        if url is not None:
            return url.get_secret_value()
        if self.profile == "local":
            remedy = "start the local stack with `fin-lake up`, or set the variable"
        else:
            remedy = "set it in the environment or in .env"
        raise SettingsError(f"{variable} is not set", remedy)

    def require_services(self) -> None:
        """Return if it is settled where S3 and the APIs are.

        Raises
        ------
        SettingsError
            The local profile has no local stack yet. Without this its first run would go to the real
            bucket of that name and to the real APIs.
        """
        if self.profile == "local" and self.aws_endpoint_url is None:
            raise SettingsError(
                "the local stack has not been started: AWS_ENDPOINT_URL is not set",
                "start it with `fin-lake up`, or set FIN_LAKE_PROFILE=aws to work in AWS",
            )

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret's text, to be removed from whatever is shown."""
        return tuple(
            value.get_secret_value()
            for value in (getattr(self, name) for name in type(self).model_fields)
            if isinstance(value, SecretStr) and value.get_secret_value()
        )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic passes it by name
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the stack's file behind the environment and ``.env``, for the local profile alone."""
        chosen: list[PydanticBaseSettingsSource] = [init_settings, env_settings, dotenv_settings]
        profile = _first(chosen, "FIN_LAKE_PROFILE") or "local"
        home = Path(_first(chosen, "FIN_LAKE_HOME") or ".fin_lake")
        if profile == "local":
            chosen.append(DotEnvSettingsSource(settings_cls, env_file=home / STACK_ENV))
        return tuple(chosen)


def _pairs(value: object, example: str) -> object:
    """Return ``NAME=VALUE;…`` as a mapping; a mapping as it is."""
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(";") if part.strip()]
    for name, equals, _ in pairs:
        if not equals:
            raise ValueError(f"{name!r} is not NAME=VALUE, as in {example}")
    return {name.strip(): given.strip() for name, _, given in pairs}


def _first(sources: list[PydanticBaseSettingsSource], name: str) -> Any:
    return next((value for source in sources if (value := source().get(name))), None)


def load_settings(**overrides: Any) -> Settings:
    """Read the settings.

    Parameters
    ----------
    **overrides
        Fields to set whatever the environment says.

    Raises
    ------
    SettingsError
        One message that names every variable that is wrong and why; values are not repeated.
    """
    try:
        return Settings(**{_variable((name,)): value for name, value in overrides.items()})
    except OSError as error:
        raise SettingsError(
            f"settings cannot be read from {error.filename}: {error.strerror}",
            "run as the user whose file it is, or set FIN_LAKE_HOME to a folder of your own",
        ) from None
    except UnicodeDecodeError as error:
        raise SettingsError(f".env is no text in UTF-8: {error.reason}", "save it as UTF-8") from None
    except ValidationError as error:
        lines = [f"{_variable(problem['loc'])}: {_reason(problem)}" for problem in error.errors()]
        source = "the environment or .env" if Path(".env").exists() else "the environment"
        raise SettingsError(
            "wrong settings\n  " + "\n  ".join(lines),
            f"correct them in {source}; .env.example lists them all",
        ) from None


def _variable(location: tuple[int | str, ...]) -> str:
    if not location:
        return "AWS credentials"
    name = str(location[0])
    known = Settings.model_fields.get(name)
    alias = known.validation_alias if known else name
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return str(alias or name)


def _reason(problem: Any) -> str:
    text = str(problem["msg"]).removeprefix("Value error, ")
    return text[0].lower() + text[1:] if text[:2] != text[:2].upper() else text


def origin(settings: Settings, name: str) -> str:
    """Return where a field's value comes from: ``the environment``, a file's path, or ``the default``."""
    alias = Settings.model_fields[name].validation_alias
    variables = [str(one) for one in getattr(alias, "choices", [alias])]
    if any(os.environ.get(one) for one in variables):
        return "the environment"
    files = [env_file()]
    if settings.profile == "local":
        files.append(settings.home / STACK_ENV)
    for file in files:
        held = dotenv_values(file) if file else {}
        if any(held.get(one) for one in variables):
            return str(file)
    return "the default"


def env_file() -> Path | None:
    """Return the ``.env`` that is read here, None if there is none."""
    file = Settings.model_config.get("env_file")
    return Path(str(file)) if file is not None and Path(str(file)).exists() else None


def unknown_variables() -> dict[str, str]:
    """Return the variables of ``.env`` that look like ours and are not, with the known one that is nearest.

    A name that is mistyped is otherwise ignored, as every other program's is.
    """
    file = env_file()
    known = [
        str(one)
        for field in Settings.model_fields.values()
        for one in getattr(field.validation_alias, "choices", [field.validation_alias])
    ]
    return {
        name: next(iter(difflib.get_close_matches(name, known, 1)), "")
        for name in (dotenv_values(file) if file else {})
        if name.startswith(_OURS) and name not in known
    }


def placeholders(settings: Settings) -> list[str]:
    """Return the variables that still hold what stands for a value in ``.env.example``."""
    return [
        _variable((name,))
        for name in type(settings).model_fields
        if isinstance(value := getattr(settings, name), SecretStr)
        and _PLACEHOLDER.fullmatch(value.get_secret_value())
    ]


def environment(settings: Settings) -> dict[str, str]:
    """Return the variables with which other programs (aws, psql, boto3, Dagster) see what we see."""
    shown = {
        "FIN_LAKE_PROFILE": settings.profile,
        "FIN_LAKE_HOME": os.fspath(settings.home.resolve()),
        "AWS_DEFAULT_REGION": settings.aws_region,
        "AWS_S3_BUCKET_NAME": settings.bucket,
        "FIN_LAKE_ATHENA_WORKGROUP": settings.athena_workgroup,
        "FIN_LAKE_GLUE_DATABASE": settings.glue_database,
    }
    if settings.notifications_queue:
        shown["FIN_LAKE_NOTIFICATIONS_QUEUE"] = settings.notifications_queue
    if settings.cloudwatch_namespace:
        shown["FIN_LAKE_CLOUDWATCH_NAMESPACE"] = settings.cloudwatch_namespace
    if settings.encryption != "AES256":
        shown["FIN_LAKE_ENCRYPTION"] = settings.encryption
    if settings.kms_key:
        shown["FIN_LAKE_KMS_KEY"] = settings.kms_key
    if settings.storage_class != "STANDARD":
        shown["FIN_LAKE_STORAGE_CLASS"] = settings.storage_class
    if settings.accelerate:
        shown["FIN_LAKE_S3_ACCELERATE"] = "true"
    if settings.portfolios_file is not None:
        shown["FIN_LAKE_PORTFOLIOS"] = os.fspath(settings.portfolios_file.resolve())
    optional = {
        "AWS_ACCESS_KEY_ID": settings.aws_access_key_id,
        "AWS_SECRET_ACCESS_KEY": settings.aws_secret_access_key,
        "AWS_SESSION_TOKEN": settings.aws_session_token,
        "AWS_ENDPOINT_URL": settings.aws_endpoint_url,
        "AWS_ENDPOINT_URL_ATHENA": settings.athena_endpoint_url,
        "AWS_ENDPOINT_URL_GLUE": settings.glue_endpoint_url,
        "FIN_LAKE_DATABASE_URL": settings.database_url,
        "FIN_LAKE_DAGSTER_DATABASE_URL": settings.dagster_database_url,
    }
    for name, value in optional.items():
        if value is not None:
            shown[name] = value.get_secret_value() if isinstance(value, SecretStr) else value
    return shown
