"""SageMaker for the tests: moto keeps the states, and jobs really run, training under Amazon's toolkit."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fin_lake.engines.sagemaker import requests
from fin_lake.engines.sagemaker.runner import unpacked
from fin_lake.lake.store import Lake
from fin_lake.settings import Settings, environment

TOOLKIT = "sagemaker-training==5.1.4"
_SAME = ("numpy", "scipy", "scikit-learn", "pyarrow", "joblib")
_UNDER_THE_TOOLKIT = """
import sagemaker_training.environment as environment
import sagemaker_training.entry_point as entry_point
found = environment.Environment()
entry_point.run(
    uri=found.module_dir, user_entry_point=found.user_entry_point,
    args=found.to_cmd_args(), env_vars=found.to_env_vars(),
)
"""


class Container:
    """boto3's client of moto, but for jobs, which are run before moto calls them completed."""

    def __init__(self, client: Any, settings: Settings, uv: Path) -> None:
        self._client, self._settings, self._uv = client, settings, uv
        self._lake = Lake(settings)
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.asked.append(name)
        return getattr(self._client, name)

    def create_training_job(self, **request: Any) -> Any:
        answer = self._client.create_training_job(**request)  # boto3 looks at it first
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for part in ("input/config", "input/data/train", "model", "output/data"):
                (folder / part).mkdir(parents=True)
            config = folder / "input/config"
            (config / "hyperparameters.json").write_text(json.dumps(request["HyperParameters"]))
            channels = {"train": {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated"}}
            (config / "inputdataconfig.json").write_text(json.dumps(channels))
            hosts = {"current_host": "localhost", "hosts": ["localhost"], "network_interface_name": "lo"}
            (config / "resourceconfig.json").write_text(json.dumps(hosts))
            (channel,) = request["InputDataConfig"]
            self._download(channel["DataSource"]["S3DataSource"]["S3Uri"], folder / "input/data/train")
            self._run(["-c", _UNDER_THE_TOOLKIT], SAGEMAKER_BASE_DIR=str(folder))
            output = f"{request['OutputDataConfig']['S3OutputPath']}/{request['TrainingJobName']}/output"
            self._pack(folder / "model", f"{output}/model.tar.gz")
            self._pack(folder / "output/data", f"{output}/output.tar.gz")
        return answer

    def create_transform_job(self, **request: Any) -> Any:
        answer = self._client.create_transform_job(**request)
        (container,) = [self._client.describe_model(ModelName=request["ModelName"])["PrimaryContainer"]]
        with tempfile.TemporaryDirectory() as name:
            rows, model, scored = (Path(name, part) for part in ("rows", "model", "scored"))
            rows.mkdir()
            model.mkdir()
            self._download(request["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"], rows)
            for file, data in unpacked(self._lake.get(self._key(container["ModelDataUrl"]))).items():
                (model / file).write_bytes(data)
            code = unpacked(self._lake.get(self._key(container["Environment"]["SAGEMAKER_SUBMIT_DIRECTORY"])))
            script = Path(name, container["Environment"]["SAGEMAKER_PROGRAM"])
            script.write_bytes(code[script.name])
            places = ["--model-dir", str(model), "--input", str(rows), "--output", str(scored)]
            self._run([str(script), "score", *places])
            for file in scored.iterdir():
                key = self._key(request["TransformOutput"]["S3OutputPath"])
                self._lake.put(f"{key.rstrip('/')}/{file.name}", file.read_bytes())
        return answer

    def _run(self, arguments: list[str], **more: str) -> None:
        packages = [TOOLKIT, *(f"{name}=={version(name)}" for name in _SAME)]
        alone = [str(self._uv), "run", "--quiet", "--isolated", "--no-project", "--python", "3.11"]
        within = [text for package in packages for text in ("--with", package)]
        env = {**os.environ, **environment(self._settings), **more}
        done = subprocess.run(
            [*alone, *within, "python", *arguments], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-4_000:]

    def _key(self, uri: str) -> str:
        prefix = f"s3://{self._settings.bucket}/"
        assert uri.startswith(prefix), uri
        return uri.removeprefix(prefix)

    def _download(self, uri: str, folder: Path) -> None:
        for info in self._lake.list_objects([self._key(uri)]):
            (folder / info.key.rpartition("/")[2]).write_bytes(self._lake.get(info.key))

    def _pack(self, folder: Path, uri: str) -> None:
        files = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
        self._lake.put(self._key(uri), requests.archive(files))
