"""Who runs the job: spark-submit here or on a cluster, EMR, EMR Serverless or Glue, by the settings alone."""

from __future__ import annotations

import json
import os
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import dagster as dg

from fin_lake.clients import aws_client
from fin_lake.engines.spark.errors import SparkError
from fin_lake.errors import FinLakeError
from fin_lake.lake.store import Lake, MissingObjectError
from fin_lake.settings import Settings, SettingsError, environment

if TYPE_CHECKING:
    from dagster_aws.pipes import PipesS3MessageReader

JOB: Final = Path(__file__).with_name("job.py")
JOB_KEY: Final = "jobs/spark/job.py"
MESSAGES_PREFIX: Final = "jobs/told/messages/"
RESULTS_PREFIX: Final = "jobs/told/results/"
"""Where jobs tell what they made, and messages lie that come by S3: what expires after some days."""
_TOLD: Final = (
    "profile",
    "start",
    "now",
    "stock_symbols",
    "crypto_coins",
    "stock_interval",
    "aws_region",
    "aws_endpoint_url",
    "bucket",
    "encryption",
    "kms_key",
    "storage_class",
    "accelerate",
)
"""The settings that a job needs and that are no secrets."""
_HERE: Final[Mapping[str, str]] = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
}
_S3A: Final = ("hadoop-aws-*.jar", "aws-java-sdk-bundle-*.jar")
_SECRET: Final = ("secret", "password", "token", "access.key")


class Spark:
    """Runs jobs where ``FIN_LAKE_SPARK_MASTER`` says.

    Parameters
    ----------
    settings : Settings
        Master, role and configuration, and what the job is told of the lake.
    clients : mapping of str to object, optional
        AWS clients in the place of boto3's own, by service: ``emr``, ``emr-serverless``, ``glue``.
    poll_seconds : float
        Between two looks at a job in AWS.
    """

    def __init__(
        self, settings: Settings, clients: Mapping[str, Any] | None = None, *, poll_seconds: float = 10
    ) -> None:
        self.settings = settings
        self._clients = clients or {}
        self._poll_seconds = poll_seconds

    def takes(self, asset: dg.AssetKey, hours: int) -> bool:
        """Return whether Spark is to make so many hours of an asset in a run, or the run's own process."""
        least = self.settings.spark_from_hours.get(asset.to_user_string())
        return bool(self.settings.spark_master) and least is not None and hours >= least

    def run(self, context: dg.AssetExecutionContext, work: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Run a job to its end, and return what it told; its log goes to the run's.

        Raises
        ------
        SettingsError
            A setting that the master needs is missing.
        SparkError
            Spark is not there, or the job failed.
        """
        settings, lake = self.settings, Lake(self.settings)
        results = f"{RESULTS_PREFIX}{context.run_id}/{work}-{_unique()}.json"
        master, _, name = settings.spark_master.partition(":")
        arguments = arguments_of(settings, work, {**request, "results": results})
        try:
            if master == "emr-serverless":
                done = self._on_emr_serverless(context, name, arguments)
            elif master == "emr":
                done = self._on_emr(context, Path(name), arguments)
            elif master == "glue":
                done = self._on_glue(context, name, arguments)
            else:
                done = self._here(context, arguments)
        except ImportError as error:
            raise SparkError(f"Spark is not installed: {error}", "pip install 'fin_lake[spark]'") from None
        except FinLakeError:
            raise
        except Exception as error:  # noqa: BLE001 - Pipes has no base of what its clients raise
            raise SparkError(
                f"the Spark job {work} on {settings.spark_master or 'no master'} failed: {error}",
                "its own log is in the run's stdout and stderr; what it had not written is as it was before",
            ) from None
        for message in done.get_custom_messages():
            raise SparkError(message["what"], message["remedy"])
        try:
            answer: dict[str, Any] = json.loads(lake.get(results))
        except MissingObjectError:  # EMR's client of Pipes takes a cluster that failed for one that is done
            raise SparkError(
                f"the Spark job {work} on {settings.spark_master or 'no master'} ended and told no result",
                "look at the cluster's or job's own state and log; what was not written is as before",
            ) from None
        context.log.info("Spark %(spark)s on %(master)s did it", answer["spark"])
        return answer

    def _here(self, context: dg.AssetExecutionContext, arguments: list[str]) -> Any:
        command, env = self.submission(arguments)
        return dg.PipesSubprocessClient(env=env).run(context=context, command=command)

    def submission(self, arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """Return the command that submits a job from this machine, and its environment.

        Raises
        ------
        ImportError
            Spark is not installed.
        SparkError
            There is no Java.
        """
        import pyspark  # noqa: PLC0415 - not everybody has the extra

        if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
            raise SparkError("Spark needs Java, and there is none", "apt-get install openjdk-17-jre-headless")
        home, master = Path(pyspark.__file__).parent, self.settings.spark_master or "local[*]"
        is_here = master.startswith("local") or urlsplit(master).hostname in ("127.0.0.1", "localhost")
        conf = {**(_HERE if is_here else {}), **_s3a_jars(), **self._configuration()}
        command = [
            str(home / "bin" / "spark-submit"),
            "--master",
            master,
            *(text for name, value in conf.items() for text in ("--conf", f"{name}={value}")),
            str(JOB),
            *arguments,
        ]
        env = {
            **os.environ,
            **environment(self.settings),
            "SPARK_HOME": str(home),
            "PYSPARK_PYTHON": sys.executable,
        }
        if self.settings.aws_access_key_id:  # who has a key need not wait for an instance's role
            env["AWS_EC2_METADATA_DISABLED"] = "true"
        if is_here:
            env["SPARK_LOCAL_IP"] = "127.0.0.1"
        return command, env

    def _on_emr_serverless(
        self, context: dg.AssetExecutionContext, application: str, arguments: list[str]
    ) -> Any:
        from dagster_aws.pipes import PipesEMRServerlessClient  # noqa: PLC0415 - of the extra

        if not self.settings.spark_role:
            raise SettingsError(
                "FIN_LAKE_SPARK_ROLE is not set", "set it to the role that EMR Serverless runs the job with"
            )
        client = PipesEMRServerlessClient(
            client=self._client("emr-serverless"),
            message_reader=self._reader(),
            poll_interval=self._poll_seconds,
        )
        parameters = " ".join(f"--conf {name}={value}" for name, value in self._configuration().items())
        return client.run(
            context=context,
            start_job_run_params={
                "applicationId": application,
                "executionRoleArn": self.settings.spark_role,
                "jobDriver": {
                    "sparkSubmit": {
                        "entryPoint": self._uploaded(),
                        "entryPointArguments": arguments,
                        "sparkSubmitParameters": parameters,
                    }
                },
            },
        )

    def _on_emr(self, context: dg.AssetExecutionContext, cluster: Path, arguments: list[str]) -> Any:
        from dagster_aws.pipes import PipesEMRClient  # noqa: PLC0415 - of the extra

        try:
            parameters = json.loads(cluster.read_text())
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"FIN_LAKE_SPARK_MASTER=emr:{cluster}: {error}",
                "name a JSON file with the parameters of EMR's RunJobFlow",
            ) from None
        conf = [text for pair in self._configuration().items() for text in ("--conf", "=".join(pair))]
        parameters["Steps"] = [
            {
                "Name": "fin_lake",
                "ActionOnFailure": "TERMINATE_CLUSTER",
                "HadoopJarStep": {
                    "Jar": "command-runner.jar",
                    "Args": ["spark-submit", *conf, self._uploaded(), *arguments],
                },
            }
        ]
        client = PipesEMRClient(
            client=self._client("emr"), message_reader=self._reader(), wait_for_s3_logs_seconds=0
        )
        return client.run(context=context, run_job_flow_params=parameters)

    def _on_glue(self, context: dg.AssetExecutionContext, job: str, arguments: list[str]) -> Any:
        from dagster_aws.pipes import PipesGlueClient  # noqa: PLC0415 - of the extra

        self._uploaded()  # the job's own definition names the place
        client = PipesGlueClient(
            context_injector=dg.PipesEnvContextInjector(),  # Glue takes arguments: the context is one
            message_reader=self._reader(),
            client=self._client("glue"),
        )
        pairs = dict(zip(arguments[::2], arguments[1::2], strict=True))
        conf = self._configuration()
        if conf:
            pairs["--conf"] = " --conf ".join(f"{name}={value}" for name, value in conf.items())
        return client.run(context=context, start_job_run_params={"JobName": job, "Arguments": pairs})

    def _configuration(self) -> dict[str, str]:
        """Return the configuration of the settings.

        Raises
        ------
        SettingsError
            It holds a secret: on a command line and in AWS's consoles anybody would read it.
        """
        for name in self.settings.spark_conf:
            if any(word in name.lower() for word in _SECRET):
                raise SettingsError(
                    f"FIN_LAKE_SPARK_CONF: {name} would stand on a command line",
                    "give keys by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or by a role",
                )
        return dict(self.settings.spark_conf)

    def _uploaded(self) -> str:
        """Put the job's file where AWS finds it, and return its address."""
        lake = Lake(self.settings)
        lake.put(JOB_KEY, JOB.read_bytes())
        return lake.uri(JOB_KEY)

    def _reader(self) -> PipesS3MessageReader:
        from dagster_aws.pipes import PipesS3MessageReader  # noqa: PLC0415 - of the extra

        class Reader(PipesS3MessageReader):
            """Reads messages under a prefix that roles may be allowed to write to."""

            @contextmanager
            def get_params(self) -> Iterator[dict[str, Any]]:
                yield {"bucket": self.bucket, "key_prefix": MESSAGES_PREFIX + _unique()}

        lake = Lake(self.settings)
        return Reader(bucket=lake.bucket, client=lake.boto3_client, interval=min(self._poll_seconds, 2))

    def _client(self, service: str) -> Any:
        if service in self._clients:
            return self._clients[service]
        return aws_client(self.settings, service, None)


def arguments_of(settings: Settings, work: str, request: Mapping[str, Any]) -> list[str]:
    """Return the arguments of the job: what to do, and the settings that are no secrets."""
    told = settings.model_dump(mode="json", include=set(_TOLD), exclude_none=True)
    return ["--work", work, "--settings", json.dumps(told), "--request", json.dumps(dict(request))]


def _unique() -> str:
    return uuid.uuid4().hex


def _s3a_jars() -> dict[str, str]:
    """Return the configuration that gives Spark the S3A file system, where a package has brought its jars."""
    try:
        import sagemaker_pyspark  # noqa: PLC0415 - only a laptop's Spark needs it
    except ImportError:
        return {}
    folder = Path(sagemaker_pyspark.__file__).parent / "jars"
    jars = [
        str(one) for name in ("hadoop-aws-*.jar", "aws-java-sdk-bundle-*.jar") for one in folder.glob(name)
    ]
    path = os.pathsep.join(jars)
    return {"spark.driver.extraClassPath": path, "spark.executor.extraClassPath": path} if jars else {}
