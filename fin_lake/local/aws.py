"""The local AWS: ministack, on the loopback, with objects and state kept on disk."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import quote

from fin_lake.lake.notifications import ensure_notifications
from fin_lake.local.processes import LOOPBACK, python, service_environment
from fin_lake.local.service import Launch, Service, http_call, package_folder
from fin_lake.local.state import StackError, write_atomically
from fin_lake.notices.cloudwatch import ensure_alarms
from fin_lake.settings import load_settings

ACCESS_KEY: Final = "test"
SECRET_KEY: Final = "test"  # noqa: S105 - ministack's own, it checks none
DEFAULT_REGION: Final = "us-east-1"
QUEUE: Final = "fin-lake-raw-objects"
NAMESPACE: Final = "FinLake"
# of the template's resources: what another service here serves, and what ministack does not
ELSEWHERE: Final = "GlueAndAthena=no;TlsOnly=no;EmrServerless=no;MonthlyBudget=0"
_S3: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
_META: Final = ".meta.json"


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
    title = "AWS (ministack)"
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
        """Make the folders, and mend what a killed server has left half done."""
        package_folder("ministack")
        for folder in ("s3", "state", "tmp"):
            (self.data / folder).mkdir(parents=True, exist_ok=True)
        killed = list((self.data / "tmp").glob("ministack-*.pid"))  # removed when it ends in order
        if killed:
            mend_objects(self.data / "s3")
        for leftover in killed:
            leftover.unlink()

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
        answer = http_call(port, "/_ministack/health")
        return answer is not None and answer[0] == HTTPStatus.OK

    def settle(self, port: int) -> None:
        """Make what the infrastructure's template makes in AWS; a crash may have lost it."""
        self._make_bucket(port)
        endpoint = f"http://{LOOPBACK}:{port}"
        settings = load_settings(
            profile="local",
            home=self.home,
            aws_endpoint_url=endpoint,
            sqs_endpoint_url=endpoint,
            cloudwatch_endpoint_url=endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            aws_region=self.region,
            bucket=self.bucket,
            notifications_queue=QUEUE,
            cloudwatch_namespace=NAMESPACE,
        )
        ensure_notifications(settings)
        ensure_alarms(settings)

    def _make_bucket(self, port: int) -> None:
        # plain HTTP: the server asks for no signature, and boto3 would heed a shell's AWS_PROFILE
        path = f"/{quote(self.bucket)}"
        found = http_call(port, path, method="HEAD")
        if found is not None and found[0] == HTTPStatus.OK:
            return
        elsewhere = f"<LocationConstraint>{self.region}</LocationConstraint>"
        wanted = "" if self.region == DEFAULT_REGION else elsewhere
        body = f'<CreateBucketConfiguration xmlns="{_S3}">{wanted}</CreateBucketConfiguration>'
        made = http_call(port, path, method="PUT", body=body)
        if made is None or made[0] != HTTPStatus.OK:
            said = re.search("<Message>(.*)</Message>", made[1].decode()) if made else None
            raise StackError(
                f"the bucket {self.bucket} cannot be created: {said[1] if said else made or 'no answer'}",
                "correct AWS_S3_BUCKET_NAME: 3 to 63 lower-case letters, digits, dots and hyphens",
            )

    def environment(self, port: int) -> dict[str, str]:
        """Return the settings with which any AWS client reaches it."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{port}",
            "FIN_LAKE_NOTIFICATIONS_QUEUE": QUEUE,
            "FIN_LAKE_CLOUDWATCH_NAMESPACE": NAMESPACE,
            "FIN_LAKE_DEPLOY_PARAMETERS": ELSEWHERE,
        }


def mend_objects(folder: Path) -> int:
    """Make the descriptions of objects agree with their contents, and return how many did not.

    ministack replaces an object's file and then, in a second step, ``<file>.meta.json``, which tells
    its size and ETag. Killed in between, it would serve the new content with the old length, which
    no client can read. Both contents are whole; the new one stays, as if its PUT had been answered.
    """
    mended = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if name.endswith(".tmp"):
                path.unlink()  # never visible: objects whose keys end so are stored by another name
            elif name.endswith(_META) and _is_outdated(path, path.with_name(name.removesuffix(_META))):
                _describe_again(path, path.with_name(name.removesuffix(_META)))
                mended += 1
    return mended


def _is_outdated(meta: Path, content: Path) -> bool:
    return content.is_file() and content.stat().st_mtime_ns > meta.stat().st_mtime_ns


def _describe_again(meta: Path, content: Path) -> None:
    with content.open("rb") as file:
        digest = hashlib.file_digest(file, "md5").hexdigest()
        size = file.tell()
        modified = dt.datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, dt.UTC)
    told = json.loads(meta.read_text())
    told |= {
        "size": size,
        "etag": f'"{digest}"',
        "checksums": {},
        "last_modified": modified.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
    }
    write_atomically(meta, json.dumps(told))
