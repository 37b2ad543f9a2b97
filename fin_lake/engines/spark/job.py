"""The file that Spark runs, on a laptop, a cluster, EMR, EMR Serverless and Glue alike.

Arguments say what is to be done, and hold the settings that are no secrets; credentials come from the
environment or the role. What was made is told in one object of the lake, for the run that asked; Dagster
Pipes, whose messages are short, carries the log and what failed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from dagster_pipes import (
    PipesCliArgsParamsLoader,
    PipesContext,
    PipesEnvVarParamsLoader,
    PipesS3MessageWriter,
    open_dagster_pipes,
)
from pyspark.sql import SparkSession

from fin_lake.engines.spark.averages import average_close
from fin_lake.engines.spark.tasks import carry_out, plain, tasks_of
from fin_lake.errors import FinLakeError
from fin_lake.lake.store import Lake
from fin_lake.partitions import HourRange
from fin_lake.settings import Settings, load_settings

if TYPE_CHECKING:
    from fin_lake.engines.spark.tasks import Work

WORKS: Final = ("reprocess", "indicators", "average_close")


def main(arguments: Sequence[str]) -> None:
    """Do what the arguments say, and report it through Pipes.

    Glue adds arguments of its own, and Pipes its own too: what is not known here is left alone.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", choices=WORKS, required=True)
    parser.add_argument("--settings", required=True, help="fields of the settings, as JSON; no secrets")
    parser.add_argument("--request", default="{}", help="hours and the like, as JSON")
    given, _ = parser.parse_known_args(arguments)
    with _pipes() as pipes:
        try:
            settings = load_settings(**json.loads(given.settings))
            request = json.loads(given.request)
            session = _session(settings, given.work)
            try:
                master = session.sparkContext.master
                pipes.log.info("Spark %s on %s: %s", session.version, master, given.work)
                told = _WORK[given.work](session, settings, given.work, request)
                spark = {"master": master, "spark": session.version}
                Lake(settings).put(request["results"], msgspec.json.encode({"spark": spark, **told}))
            finally:
                session.stop()
        except FinLakeError as error:
            pipes.report_custom_message({"what": error.what, "remedy": error.remedy})


def _pipes() -> PipesContext:
    by_arguments = any(one.startswith("--dagster-pipes-context") for one in sys.argv)
    loader = (PipesCliArgsParamsLoader if by_arguments else PipesEnvVarParamsLoader)()
    writer = None
    if loader.is_dagster_pipes_process() and "bucket" in loader.load_messages_params():
        import boto3  # noqa: PLC0415 - only where messages go by S3

        writer = PipesS3MessageWriter(client=boto3.client("s3"), interval=2)
    return open_dagster_pipes(params_loader=loader, message_writer=writer)


def _session(settings: Settings, work: str) -> SparkSession:
    """Return a session that reads the lake where the settings say it is.

    Keys are put into the session's configuration here: on a command line others would read them, and
    Spark redacts what is named so wherever it shows its configuration.
    """
    builder = SparkSession.builder.appName(f"fin_lake {work}").config("spark.sql.session.timeZone", "UTC")
    if settings.aws_endpoint_url:
        s3a = {
            "endpoint": settings.aws_endpoint_url,
            "endpoint.region": settings.aws_region,
            "path.style.access": "true",
            "connection.ssl.enabled": str(settings.aws_endpoint_url.startswith("https")).lower(),
        }
        for name, key in (
            ("access.key", settings.aws_access_key_id),
            ("secret.key", settings.aws_secret_access_key),
        ):
            if key is not None:
                s3a[name] = key.get_secret_value()
        builder = builder.config("spark.hadoop.fs.s3.impl", "org.apache.hadoop.fs.s3a.S3AFileSystem")
        for name, value in s3a.items():
            builder = builder.config(f"spark.hadoop.fs.s3a.{name}", value)
    return builder.getOrCreate()


def _hours(
    session: SparkSession, settings: Settings, work: Work, request: Mapping[str, Any]
) -> dict[str, Any]:
    hours = HourRange.between_keys(request["first"], request["last"])
    context = session.sparkContext
    tasks = tasks_of(work, request["asset_class"], hours, context.defaultParallelism)
    results = context.parallelize(tasks, len(tasks)).map(lambda task: plain(carry_out(task, settings)))
    return {"results": results.collect(), "tasks": len(tasks)}


def _averages(
    session: SparkSession, settings: Settings, _work: Work, request: Mapping[str, Any]
) -> dict[str, Any]:
    return {"averages": average_close(session, settings, request["minimum_volume"])}


_WORK: Final[Mapping[str, Callable[..., dict[str, Any]]]] = {
    "reprocess": _hours,
    "indicators": _hours,
    "average_close": _averages,
}

if __name__ == "__main__":
    main(sys.argv[1:])
