"""The local AWS: ministack, on the loopback, with objects and state kept on disk."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fin_lake.local.processes import LOOPBACK, python, service_environment
from fin_lake.local.service import Launch, Service, http_get, package_folder
from fin_lake.local.state import StackError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ACCESS_KEY: Final = "test"
SECRET_KEY: Final = "test"  # noqa: S105 - ministack's own, it checks none
DEFAULT_REGION: Final = "us-east-1"


class LocalAws(Service):
    """S3, SQS, IAM, KMS, CloudWatch and CloudFormation.

    Parameters
    ----------
    home : pathlib.Path
        The stack's folder, absolute.
    bucket : str
        The bucket that is there after every start.
    region : str
        The region that requests without one are taken to mean.
    """

    name = "aws"
    title = "local AWS (ministack)"
    argument = "ministack"

    def __init__(self, home: Path, *, bucket: str, region: str) -> None:
        super().__init__(home)
        self.bucket = bucket
        self.region = region

    @property
    def data(self) -> Path:
        """The folder of objects, and of the other services' state."""
        return self.home / "aws"

    def prepare(self) -> None:
        """Make the folders."""
        package_folder("ministack")
        for folder in ("s3", "state", "tmp"):
            (self.data / folder).mkdir(parents=True, exist_ok=True)

    def launch(self, port: int) -> Launch:
        """Return how to start it on a port."""
        return Launch(
            argv=python("ministack"),
            env=service_environment(
                AWS_ACCESS_KEY_ID=ACCESS_KEY,
                AWS_SECRET_ACCESS_KEY=SECRET_KEY,
                BIND_HOST=LOOPBACK,
                GATEWAY_PORT=str(port),
                MINISTACK_HOST=LOOPBACK,
                MINISTACK_REGION=self.region,
                S3_PERSIST="1",
                S3_DATA_DIR=str(self.data / "s3"),
                PERSIST_STATE="1",
                STATE_DIR=str(self.data / "state"),
                TMPDIR=str(self.data / "tmp"),
                IOT_MTLS_ENABLED="0",  # would listen on all interfaces
                SFTP_ENABLED="0",
                # a Docker daemon would be searched for containers to remove
                DOCKER_HOST=f"unix://{self.data}/no-docker.sock",
                LOG_LEVEL="WARNING",
            ),
            cwd=self.data,
        )

    def answers(self, port: int) -> bool:
        """Return whether it serves requests."""
        answer = http_get(port, "/_ministack/health")
        return answer is not None and answer[0] == HTTPStatus.OK

    def settle(self, port: int) -> None:
        """Make the bucket, which a crash may have lost while it was empty."""
        found = http_get(port, f"/{self.bucket}", method="HEAD")
        if found is None or found[0] != HTTPStatus.OK:
            self._create_bucket(port)

    def _create_bucket(self, port: int) -> None:
        from botocore.exceptions import ClientError  # noqa: PLC0415 - half a second, and seldom

        client = self.client(port)
        try:
            if self.region == DEFAULT_REGION:
                client.create_bucket(Bucket=self.bucket)
            else:
                client.create_bucket(
                    Bucket=self.bucket,
                    CreateBucketConfiguration={"LocationConstraint": self.region},  # type: ignore[typeddict-item]
                )
        except client.exceptions.BucketAlreadyOwnedByYou:
            pass
        except ClientError as error:
            raise StackError(
                f"the bucket {self.bucket} cannot be created: {error}",
                "correct AWS_S3_BUCKET_NAME: 3 to 63 lower-case letters, digits, dots and hyphens",
            ) from error

    def client(self, port: int) -> S3Client:
        """Return an S3 client that neither a proxy nor a profile of the shell leads elsewhere."""
        import boto3  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415

        session = boto3.session.Session(
            aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY, region_name=self.region
        )
        return session.client(
            "s3",
            endpoint_url=f"http://{LOOPBACK}:{port}",
            config=Config(s3={"addressing_style": "path"}, proxies={}),
        )
