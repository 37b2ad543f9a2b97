"""Training and scoring, in SageMaker if it has a role, else in processes of this machine.

Both leave the same objects at the same places: SageMaker's own layout.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fin_lake.clients import aws_client
from fin_lake.engines.sagemaker import requests
from fin_lake.engines.sagemaker.errors import ModelError
from fin_lake.engines.sagemaker.places import model_archive, output_archive
from fin_lake.lake.store import Lake

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fin_lake.settings import Settings

_TOLD_LINES: Final = 15
_POLL_SECONDS: Final = 15
_NEWEST: Final = 100
_UNKNOWN: Final = ("ResourceNotFound", "ValidationException", "ValidationError")
"""How SageMaker says that there is nothing of a name, each of its parts in its own way."""


class SageMaker:
    """Runs the script where the settings say.

    Parameters
    ----------
    settings : Settings
        With ``FIN_LAKE_SAGEMAKER_ROLE`` in SageMaker, without it here.
    client : optional
        In the place of boto3's client.
    poll_seconds : float
        Between two looks at a job.
    """

    def __init__(
        self, settings: Settings, client: Any = None, *, poll_seconds: float = _POLL_SECONDS
    ) -> None:
        self.settings = settings
        self._given = client
        self._poll_seconds = poll_seconds

    @property
    def is_here(self) -> bool:
        """Whether jobs are processes of this machine."""
        return not self.settings.sagemaker_role

    @property
    def client(self) -> Any:
        """boto3's client of SageMaker."""
        if self._given is None:
            self._given = aws_client(self.settings, "sagemaker", self.settings.sagemaker_endpoint_url)
        return self._given

    def train(
        self, name: str, prefix: str, hyperparameters: Mapping[str, str], log: Callable[[str], None]
    ) -> None:
        """Train on the files under a prefix, and leave ``model_archive(name)`` and ``output_archive(name)``.

        Raises
        ------
        ModelError
            The job failed; the error has what it said.
        """
        if self.is_here:
            self._train_here(name, prefix, hyperparameters, log)
            return
        self.upload_source()
        data = Lake(self.settings).uri(prefix)
        request = requests.training(self.settings, data, hyperparameters)
        self._in_sagemaker("training", name, {"TrainingJobName": name, **request}, log)

    def score(self, name: str, model: str, prefix: str, output: str, log: Callable[[str], None]) -> None:
        """Forecast the rows of the files under a prefix, an object ``….out`` a file under ``output``.

        Raises
        ------
        ModelError
            The job failed; the error has what it said.
        """
        if self.is_here:
            self._score_here(model, prefix, output, log)
            return
        self.upload_source()
        lake = Lake(self.settings)
        archive = requests.model(self.settings, lake.uri(model_archive(model)))
        self._asked(self.client.create_model, ModelName=name, **archive)
        request = requests.transform(self.settings, name, lake.uri(prefix), lake.uri(output))
        try:
            self._in_sagemaker("transform", name, {"TransformJobName": name, **request}, log)
        finally:
            self._cleared(self.client.delete_model, log, ModelName=name)

    def register(self, request: Mapping[str, Any]) -> str:
        """Register a version for approval, in its group; return its ARN. The same version registers once.

        Raises
        ------
        ModelError
            SageMaker refuses.
        """
        name = request["ModelPackageGroupName"]
        if self._found(self.client.describe_model_package_group, ModelPackageGroupName=name) is None:
            self._asked(self.client.create_model_package_group, ModelPackageGroupName=name)
        newest = self._asked(  # the same version comes again when a run is tried again: it is among these
            self.client.list_model_packages,
            ModelPackageGroupName=name,
            SortBy="CreationTime",
            SortOrder="Descending",
            MaxResults=_NEWEST,
        )
        for one in newest["ModelPackageSummaryList"]:
            if one.get("ModelPackageDescription") == request["ModelPackageDescription"]:
                return str(one["ModelPackageArn"])
        return str(self._asked(self.client.create_model_package, **request)["ModelPackageArn"])

    def apply_pipeline(self, definition: Mapping[str, Any]) -> str:
        """Make the Pipeline as it is defined, or change it so; return its ARN.

        Raises
        ------
        ModelError
            SageMaker refuses.
        """
        self.upload_source()
        wanted = {
            "PipelineName": requests.group(self.settings),
            "PipelineDefinition": json.dumps(definition),
            "RoleArn": self.settings.sagemaker_role,
        }
        if self._found(self.client.describe_pipeline, PipelineName=wanted["PipelineName"]) is not None:
            return str(self._asked(self.client.update_pipeline, **wanted)["PipelineArn"])
        wanted["ClientRequestToken"] = uuid.uuid4().hex
        return str(self._asked(self.client.create_pipeline, **wanted)["PipelineArn"])

    def upload_source(self) -> None:
        """Put the script where SageMaker's container finds it."""
        Lake(self.settings).put(requests.source_object(), requests.source())

    # --- here ---

    def _train_here(
        self, name: str, prefix: str, hyperparameters: Mapping[str, str], log: Callable[[str], None]
    ) -> None:
        lake = Lake(self.settings)
        with tempfile.TemporaryDirectory(prefix="fin_lake_train_") as folder:
            data, model, output = (Path(folder, one) for one in ("data", "model", "output"))
            _download(lake, prefix, data)
            options = [text for pair in hyperparameters.items() for text in (f"--{pair[0]}", pair[1])]
            env = {
                "SM_CHANNEL_TRAIN": str(data),
                "SM_MODEL_DIR": str(model),
                "SM_OUTPUT_DATA_DIR": str(output),
            }
            _run(["train", *options], env, log)
            lake.put(output_archive(name), requests.archive(_contents(output)))
            lake.put(model_archive(name), requests.archive(_contents(model)))

    def _score_here(self, model: str, prefix: str, output: str, log: Callable[[str], None]) -> None:
        lake = Lake(self.settings)
        with tempfile.TemporaryDirectory(prefix="fin_lake_score_") as folder:
            rows, files, scored = (Path(folder, one) for one in ("rows", "model", "scored"))
            _download(lake, prefix, rows)
            files.mkdir()
            for name, data in unpacked(lake.get(model_archive(model))).items():
                (files / name).write_bytes(data)
            places = ["--model-dir", str(files), "--input", str(rows), "--output", str(scored)]
            _run(["score", *places], {}, log)
            for name, data in _contents(scored).items():
                lake.put(output + name, data)

    # --- in SageMaker ---

    def _in_sagemaker(
        self, kind: str, name: str, request: Mapping[str, Any], log: Callable[[str], None]
    ) -> None:
        """Start a job and wait for its end; stop it when the waiting is stopped."""
        title = f"{kind.title()}Job"
        call = {f"{title}Name": name}
        self._asked(getattr(self.client, f"create_{kind}_job"), **request)
        log(f"SageMaker runs the {kind} job {name}; its log is in CloudWatch, /aws/sagemaker/{title}s")
        delays = {"Delay": self._poll_seconds, "MaxAttempts": 100_000}  # the job has its own limit of time
        try:
            waiter = self.client.get_waiter(f"{kind}_job_completed_or_stopped")
            waiter.wait(**call, WaiterConfig=delays)
        except BaseException as error:
            from botocore.exceptions import WaiterError  # noqa: PLC0415 - definitions load without it

            if not isinstance(error, WaiterError):
                self._cleared(getattr(self.client, f"stop_{kind}_job"), log, **call)
                raise
        told = self._asked(getattr(self.client, f"describe_{kind}_job"), **call)
        status = told[f"{title}Status"]
        if status != "Completed":
            raise ModelError(
                f"SageMaker's {kind} job {name} is {status}: {told.get('FailureReason', 'no reason given')}",
                f"its log is in CloudWatch, /aws/sagemaker/{title}s, streams {name}/…",
            )

    def _cleared(self, call: Callable[..., Any], log: Callable[[str], None], **parameters: str) -> None:
        """Clear up after a job; what fails here is told and hides nothing that failed before."""
        try:
            self._asked(call, **parameters)
        except ModelError as error:
            log(f"{' '.join(parameters.values())} could not be cleared up: {error}")

    def _found(self, call: Callable[..., Any], **parameters: Any) -> Any | None:
        """Return what describes a thing, or None if there is none; lists of all would need a right to all."""
        from botocore.exceptions import ClientError  # noqa: PLC0415

        def asked(**parameters: Any) -> Any:
            try:
                return call(**parameters)
            except ClientError as error:
                if error.response["Error"]["Code"] in _UNKNOWN:
                    return None
                raise

        return self._asked(asked, **parameters)

    def _asked(self, call: Callable[..., Any], **parameters: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        try:
            return call(**parameters)
        except ClientError as error:
            told = error.response["Error"]
            raise ModelError(
                f"SageMaker refuses: {told['Code']}: {told['Message']}",
                "docs/sagemaker.md has the rights that are needed",
            ) from None
        except BotoCoreError as error:
            raise ModelError(f"SageMaker cannot be asked: {error}") from None


def unpacked(data: bytes) -> dict[str, bytes]:
    """Return the files of a ``.tar.gz``, by the names of their last parts."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as packed:
        return {
            Path(member.name).name: content.read()
            for member in packed
            if member.isfile() and (content := packed.extractfile(member)) is not None
        }


def _download(lake: Lake, prefix: str, folder: Path) -> None:
    folder.mkdir()
    keys = [info.key for info in lake.list_objects([prefix]) if info.size]
    for number, (_, data) in enumerate(lake.get_many(keys).items()):
        (folder / f"{number:05d}.parquet").write_bytes(data)


def _contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()}


def _run(arguments: list[str], env: Mapping[str, str], log: Callable[[str], None]) -> None:
    """Run the script to its end.

    Raises
    ------
    ModelError
        It failed, or what it needs is not installed.
    """
    told: list[str] = []
    with subprocess.Popen(  # noqa: S603 - this interpreter and our own script
        [sys.executable, str(requests.SCRIPT), *arguments],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            for line in process.stdout or ():
                told.append(line.rstrip())
                log(told[-1])
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        said = "\n".join(told[-_TOLD_LINES:])
        remedy = "pip install 'fin_lake[ml]'" if "No module named" in said else "the run's log has the rest"
        raise ModelError(f"{requests.SCRIPT.name} {arguments[0]} failed: {said}", remedy)
