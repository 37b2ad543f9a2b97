"""A local AWS that asks who one is, and lets nobody do what no policy allows."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from fin_lake.clients import aws_client
from fin_lake.local.aws import ACCESS_KEY, DEFAULT_REGION, ELSEWHERE, SECRET_KEY, LocalAws
from fin_lake.local.processes import LOOPBACK, free_port
from fin_lake.settings import Settings, load_settings
from fin_lake_tests.ui import wait_for


class EnforcedAws:
    """A running ministack that enforces IAM. Its root's key is the local stack's.

    Attributes
    ----------
    root : Settings
        Those of the account's owner; Glue and Athena are ministack's own here.
    """

    def __init__(self, endpoint: str, home: Path) -> None:
        self.endpoint = endpoint
        self.root = load_settings(
            home=home,  # not the one of the checkout, whose stack may be running
            aws_endpoint_url=endpoint,
            sqs_endpoint_url=endpoint,
            cloudwatch_endpoint_url=endpoint,
            cloudformation_endpoint_url=endpoint,
            athena_endpoint_url=endpoint,
            glue_endpoint_url=endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            deploy_parameters=ELSEWHERE,
        )
        self._numbers = itertools.count(1)
        self._clients: dict[tuple[str, str], Any] = {}

    def client(self, service: str, settings: Settings | None = None) -> Any:
        """Return a client of the owner's, or of whose settings are given."""
        who = settings or self.root
        key = (service, str(who.aws_access_key_id and who.aws_access_key_id.get_secret_value()))
        if key not in self._clients:  # making one takes longer than a hundred of its calls
            self._clients[key] = aws_client(who, service, self.endpoint)
        return self._clients[key]

    def user(self, *policy_arns: str, document: str = "") -> Settings:
        """Return the settings of a new user who has these managed policies, and one of its own."""
        iam, name = self.client("iam"), f"user-{next(self._numbers)}"
        iam.create_user(UserName=name)
        for arn in policy_arns:
            iam.attach_user_policy(UserName=name, PolicyArn=arn)
        if document:
            iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return self.root.model_copy(
            update={
                "aws_access_key_id": SecretStr(key["AccessKeyId"]),
                "aws_secret_access_key": SecretStr(key["SecretAccessKey"]),
            }
        )


@contextmanager
def enforced_aws(home: Path) -> Iterator[EnforcedAws]:
    """Start a ministack under a folder, and end it."""
    service = LocalAws(home, bucket="of-nobody", region=DEFAULT_REGION)
    service.prepare()
    port = free_port([])
    launch = service.launch(port)
    with (home / "aws.log").open("w") as log:
        process = subprocess.Popen(
            launch.argv, env={**launch.env, "AUTH": "true"}, cwd=launch.cwd, stdout=log, stderr=log
        )
        try:
            wait_for("the AWS that enforces", lambda: service.answers(port), seconds=60)
            yield EnforcedAws(f"http://{LOOPBACK}:{port}", home)
        finally:
            process.terminate()
            process.wait(30)
