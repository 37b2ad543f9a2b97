"""Notices as CloudWatch metrics, and the alarms on them.

Dimensions are few, since CloudWatch charges for each combination: metrics of runs have ``Job`` and are
also sent without, so that one alarm sees all jobs; freshness has ``AssetClass``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from fin_lake.clients import aws_client
from fin_lake.errors import FinLakeError
from fin_lake.notices.notice import RunNotice
from fin_lake.schema import ASSET_CLASSES
from fin_lake.settings import Settings
from fin_lake.traffic import COUNTED

if TYPE_CHECKING:
    import datetime as dt

    from fin_lake.lake.storage_metrics import Count, StorageMetrics
    from fin_lake.operations.measured_run import MeasuredRun

_CONFIG: Final = Config(retries={"mode": "standard", "max_attempts": 4}, connect_timeout=5, read_timeout=10)
_HOUR: Final = 3600
_LATE_HOURS: Final = 3
_DATA_A_REQUEST: Final = 1_000


class CloudWatchError(FinLakeError):
    """CloudWatch refuses, or does not answer."""


class CloudWatch:
    """Sends metrics of runs to the namespace that the settings name."""

    name = "CloudWatch"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @functools.cached_property
    def _client(self) -> Any:
        return aws_client(self._settings, "cloudwatch", self._settings.cloudwatch_endpoint_url, _CONFIG)

    def tell(self, notice: RunNotice) -> None:
        """Send a notice's metrics in one request.

        Raises
        ------
        CloudWatchError
            They were not taken.
        """
        self.put(metrics(notice), f"run {notice.run_id}")

    def put(self, data: list[dict[str, Any]], of: str) -> None:
        """Send data of ``PutMetricData``, a thousand a request.

        Parameters
        ----------
        of : str
            What they are metrics of, for an error to say.

        Raises
        ------
        CloudWatchError
            They were not taken.
        """
        try:
            for start in range(0, len(data), _DATA_A_REQUEST):
                self._client.put_metric_data(
                    Namespace=self._settings.cloudwatch_namespace,
                    MetricData=data[start : start + _DATA_A_REQUEST],
                )
        except (BotoCoreError, ClientError) as error:
            raise CloudWatchError(
                f"CloudWatch does not take the metrics of {of}: {error}",
                "allow cloudwatch:PutMetricData, or correct AWS_ENDPOINT_URL_CLOUDWATCH",
            ) from None


def metrics(notice: RunNotice) -> list[dict[str, Any]]:
    """Return a notice as data of ``PutMetricData``."""
    counts = {
        "RunsSucceeded": float(notice.succeeded),
        "RunsFailed": float(not notice.succeeded),
        "ChecksFailed": float(notice.checks_failed),
        "ChecksWarned": float(notice.checks_warned),
    }
    data = [
        _datum(notice.ended_at, name, value, "Count", dimensions)
        for dimensions in ({}, {"Job": notice.job})
        for name, value in counts.items()
    ]
    data.append(_datum(notice.ended_at, "RunSeconds", notice.seconds, "Seconds", {"Job": notice.job}))
    data += [
        _datum(notice.ended_at, "HoursBehind", behind, "None", {"AssetClass": asset_class})
        for asset_class, behind in notice.hours_behind.items()
    ]
    return data


def metric_count(jobs: int, layers: int) -> int:
    """Return how many metrics CloudWatch bills: each name with each combination of dimensions."""
    of_runs = 4 * (1 + jobs) + jobs + len(ASSET_CLASSES)
    of_storage = 2 * (1 + layers) + 1
    return of_runs + of_storage + len(COUNTED) + 1  # and what Athena scanned


def storage_data(counted: StorageMetrics, run: MeasuredRun | None = None) -> list[dict[str, Any]]:
    """Return what a bucket holds, and what the last run has moved, as data of ``PutMetricData``.

    Bytes and objects are sent by ``Layer`` and without it. Those by storage class S3 tells by itself and
    for nothing, as ``BucketSizeBytes`` in the namespace ``AWS/S3``.
    """
    at = counted.at
    cuts: list[tuple[dict[str, str], Count]] = [({}, counted.total)]
    cuts += [({"Layer": name}, one) for name, one in counted.by(lambda group: group.layer).items()]
    data = [
        _datum(at, name, value, unit, dimensions)
        for dimensions, one in cuts
        for name, value, unit in (
            ("StorageBytes", float(one.size), "Bytes"),
            ("StorageObjects", float(one.objects), "Count"),
        )
    ]
    data.append(_datum(at, "SmallObjects", float(counted.total.small_objects), "Count", {}))
    if run is not None:
        moved = {**run.counts, "athena_bytes_scanned": sum(run.statements)}
        data += [
            _datum(run.ended, _camel(name), float(value), "Bytes" if "bytes" in name else "Count", {})
            for name, value in moved.items()
        ]
    return data


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _datum(
    at: dt.datetime, name: str, value: float, unit: str, dimensions: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "MetricName": name,
        "Timestamp": at,
        "Value": value,
        "Unit": unit,
        "Dimensions": [{"Name": key, "Value": of} for key, of in dimensions.items()],
    }


def ensure_alarms(settings: Settings) -> list[str]:
    """Make the alarms on the metrics, or set them right; return their names.

    In AWS the infrastructure's template does this.

    Raises
    ------
    CloudWatchError
        CloudWatch refuses.
    """
    client = aws_client(settings, "cloudwatch", settings.cloudwatch_endpoint_url, _CONFIG)
    wanted = alarms(settings.cloudwatch_namespace)
    try:
        for alarm in wanted:
            client.put_metric_alarm(**alarm)
    except (BotoCoreError, ClientError) as error:
        raise CloudWatchError(
            f"the alarms cannot be set: {error}", "allow cloudwatch:PutMetricAlarm, or deploy the template"
        ) from None
    return [alarm["AlarmName"] for alarm in wanted]


def alarms(namespace: str) -> list[dict[str, Any]]:
    """Return the alarms as arguments of ``PutMetricAlarm``."""
    common = {"Namespace": namespace, "EvaluationPeriods": 1, "ActionsEnabled": True}
    at_all = {
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 0.0,
        "TreatMissingData": "notBreaching",
    }
    return [
        {
            **common,
            **at_all,
            "AlarmName": "fin-lake-run-failed",
            "AlarmDescription": "A run has failed within five minutes",
            "MetricName": "RunsFailed",
            "Statistic": "Sum",
            "Period": 300,
        },
        {
            **common,
            **at_all,
            "AlarmName": "fin-lake-check-failed",
            "AlarmDescription": "A table breaks a law, or its stores disagree",
            "MetricName": "ChecksFailed",
            "Statistic": "Sum",
            "Period": 300,
        },
        {
            **common,
            "AlarmName": "fin-lake-nothing-succeeded",
            "AlarmDescription": "No run has succeeded for three hours: schedule or daemon may be down",
            "MetricName": "RunsSucceeded",
            "Statistic": "Sum",
            "Period": _HOUR,
            "EvaluationPeriods": 3,
            "ComparisonOperator": "LessThanThreshold",
            "Threshold": 1.0,
            "TreatMissingData": "breaching",
        },
        *(
            {
                **common,
                "AlarmName": f"fin-lake-{asset_class}-late",
                "AlarmDescription": f"{asset_class} are more than {_LATE_HOURS} hours of trading behind",
                "MetricName": "HoursBehind",
                "Dimensions": [{"Name": "AssetClass", "Value": asset_class}],
                "Statistic": "Maximum",
                "Period": _HOUR,
                "ComparisonOperator": "GreaterThanThreshold",
                "Threshold": float(_LATE_HOURS),
                "TreatMissingData": "missing",
            }
            for asset_class in ASSET_CLASSES
        ),
    ]
