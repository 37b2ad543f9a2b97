"""Notices as DataDog events, gauges and service checks, by the DogStatsD protocol to an agent.

DogStatsD is UDP: an agent that is down is not noticed, and costs nothing.
"""

from __future__ import annotations

import functools
from typing import Any, Final

from fin_lake.errors import FinLakeError
from fin_lake.notices.notice import RunNotice
from fin_lake.settings import Settings

_LATE_HOURS: Final = 0
_MOST_TEXT: Final = 4_000  # of an event; the agent takes 8 kB with everything about it


class DataDog:
    """Sends notices to the agent that the settings name."""

    name = "DataDog"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @functools.cached_property
    def _statsd(self) -> Any:
        try:
            from datadog.dogstatsd.base import DogStatsd  # noqa: PLC0415 - not everybody has the extra
        except ImportError as error:
            raise FinLakeError(
                f"DD_AGENT_HOST is set, but DataDog's library is not installed: {error}",
                "pip install 'fin_lake[datadog]'",
            ) from None
        return DogStatsd(
            host=self._settings.datadog_host,
            port=self._settings.datadog_port,
            namespace="fin_lake",
            disable_telemetry=True,
            origin_detection_enabled=False,
        )

    def tell(self, notice: RunNotice) -> None:
        """Send a notice: counts and gauges always, an event if it failed or a check did not pass."""
        statsd, tags = self._statsd, [f"job:{notice.job}"]
        statsd.increment("runs.succeeded" if notice.succeeded else "runs.failed", tags=tags)
        statsd.gauge("run.seconds", notice.seconds, tags=tags)
        statsd.gauge("checks.passed", notice.checks_passed, tags=tags)
        statsd.gauge("checks.warned", notice.checks_warned, tags=tags)
        statsd.gauge("checks.failed", notice.checks_failed, tags=tags)
        statsd.service_check(
            "fin_lake.run",
            statsd.OK if notice.succeeded else statsd.CRITICAL,
            tags=tags,
            message=notice.title,
        )
        for asset_class, behind in notice.hours_behind.items():
            of_class = [f"asset_class:{asset_class}"]
            statsd.gauge("hours_behind", behind, tags=of_class)
            late = behind > _LATE_HOURS
            statsd.service_check("fin_lake.freshness", statsd.WARNING if late else statsd.OK, tags=of_class)
        if not notice.succeeded or notice.broken:
            statsd.event(
                notice.title,
                notice.text[:_MOST_TEXT],
                alert_type="warning" if notice.succeeded else "error",
                aggregation_key=f"fin_lake-{notice.job}",
                tags=tags,
            )
