"""The connection to Snowflake, by dagster-snowflake's resource, and what its failures mean.

The resource is made when a connection is wanted: Dagster's UI shows the configuration of a resource that
stands in the definitions, and a password is no configuration to show.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from fin_lake.engines.snowflake.sql import SnowflakeError
from fin_lake.settings import Settings, SettingsError
from fin_lake.sources.redaction import Redactor

if TYPE_CHECKING:
    from dagster_snowflake import SnowflakeResource

_LOGIN_SECONDS: Final = 30


class SnowflakeUnavailableError(SnowflakeError):
    """Snowflake does not answer, or not now."""

    heals = True


class Snowflake:
    """Connects to the account of the settings.

    Parameters
    ----------
    settings : Settings
        Account, user, password or key, database, schema, role and warehouse.
    **arguments
        Further ones of the connector, as for a proxy.
    """

    def __init__(self, settings: Settings, **arguments: Any) -> None:
        self.settings = settings
        self._arguments = arguments
        self._redact = Redactor(settings.secrets)

    @contextmanager
    def connect(self) -> Iterator[Any]:
        """Yield a connection of the connector, in whose session it is UTC; close it in any case.

        Raises
        ------
        SnowflakeError
            The extra is not installed, or Snowflake refuses something.
        SnowflakeUnavailableError
            Snowflake does not answer.
        SettingsError
            An account, a user, or a password or key is missing.
        """
        resource = self._resource()
        from snowflake.connector.errors import Error  # noqa: PLC0415 - of the extra

        try:
            with resource.get_connection() as connection:
                try:
                    yield connection
                finally:  # what the resource leaves open after an error, with its transaction
                    connection.close()
        except Error as error:
            raise self._explained(error) from None

    def _resource(self) -> SnowflakeResource:
        """Return dagster-snowflake's resource."""
        try:
            from dagster_snowflake import SnowflakeResource  # noqa: PLC0415 - not everybody has the extra
        except ImportError as error:
            raise SnowflakeError(
                f"Snowflake's connector is not installed: {error}", "pip install 'fin_lake[snowflake]'"
            ) from None
        settings, key = self.settings, self.settings.snowflake_private_key_file
        password, passphrase = settings.snowflake_password, settings.snowflake_private_key_passphrase
        for variable, value in (
            ("SNOWFLAKE_ACCOUNT", settings.snowflake_account),
            ("SNOWFLAKE_USER", settings.snowflake_user),
            ("SNOWFLAKE_PASSWORD, or SNOWFLAKE_PRIVATE_KEY_FILE,", password or key),
        ):
            if not value:
                raise SettingsError(f"{variable} is not set", "set it in the environment or in .env")
        given: dict[str, Any] = {
            "password": password.get_secret_value() if password and not key else None,
            "private_key_path": str(key) if key else None,
            "private_key_password": passphrase.get_secret_value() if key and passphrase else None,
            "role": settings.snowflake_role or None,
            "warehouse": settings.snowflake_warehouse or None,
        }
        return SnowflakeResource(
            account=settings.snowflake_account,
            user=settings.snowflake_user,
            database=settings.snowflake_database,
            schema=settings.snowflake_schema,
            timezone="UTC",
            autocommit=True,  # what is one transaction says so itself
            login_timeout=_LOGIN_SECONDS,
            additional_snowflake_connection_args=self._arguments,
            **{name: value for name, value in given.items() if value is not None},
        )

    def _explained(self, error: Exception) -> SnowflakeError:
        from snowflake.connector import errors  # noqa: PLC0415 - of the extra

        said = " ".join(self._redact(str(error)).split())[:300]
        passing = (
            errors.OperationalError,
            errors.ServiceUnavailableError,
            errors.GatewayTimeoutError,
            errors.BadGatewayError,
            errors.InternalServerError,
            errors.TooManyRequests,
        )
        if isinstance(error, passing):
            return SnowflakeUnavailableError(
                f"Snowflake's account {self.settings.snowflake_account} does not answer: {said}",
                "check SNOWFLAKE_ACCOUNT and the network",
            )
        remedy = (
            "make its objects with `fin-lake snowflake ddl --apply`, or let their owner grant them"
            if "does not exist" in said
            else "check SNOWFLAKE_USER, its password or key, and what its role may do"
        )
        return SnowflakeError(f"Snowflake refuses: {said}", remedy)
