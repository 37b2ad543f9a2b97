"""A local AWS that enforces policies: users and roles may do what their policy says, and nothing else."""

from __future__ import annotations

import itertools
import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fin_lake.clients import aws_client
from fin_lake.local import processes
from fin_lake.local.aws import ACCESS_KEY, DEFAULT_REGION, SECRET_KEY, LocalAws
from fin_lake.settings import Settings, load_settings

ACCOUNT = "000000000000"
ROOT = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}
Statement = dict[str, Any]
_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class EnforcedAws:
    """The server, and who may do what on it.

    Attributes
    ----------
    endpoint : str
        Where every service answers.
    root : dict
        Credentials, as `load_settings` takes them, that may do everything.
    """

    endpoint: str
    root: dict[str, str] = field(default_factory=lambda: dict(ROOT))

    def settings(self, **changes: Any) -> Settings:
        """Return settings of this server, in the profile of AWS: root's, unless credentials are given."""
        return load_settings(
            **{
                "profile": "aws",
                "aws_endpoint_url": self.endpoint,
                "sqs_endpoint_url": self.endpoint,
                "cloudwatch_endpoint_url": self.endpoint,
                **self.root,
                **changes,
            }
        )

    def client(self, service: str, **credentials: str) -> Any:
        """Return a client of a service: root's, unless credentials are given."""
        return aws_client(self.settings(**credentials), service, self.endpoint)

    def user(self, *statements: Statement) -> dict[str, str]:
        """Make a user with a policy of these statements, and return the credentials of a key."""
        name = f"user-{next(_NUMBERS)}"
        iam = self.client("iam")
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=_policy(statements))
        made = iam.create_access_key(UserName=name)["AccessKey"]
        return {
            "aws_access_key_id": made["AccessKeyId"],
            "aws_secret_access_key": made["SecretAccessKey"],
        }

    def role(self, *statements: Statement) -> dict[str, str]:
        """Make a role with a policy of these statements, assume it, and return its session's credentials."""
        name = f"role-{next(_NUMBERS)}"
        iam = self.client("iam")
        anybody = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy([anybody]))["Role"]["Arn"]
        iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=_policy(statements))
        made = self.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        return {
            "aws_access_key_id": made["AccessKeyId"],
            "aws_secret_access_key": made["SecretAccessKey"],
            "aws_session_token": made["SessionToken"],
        }


def allow(*actions: str, on: str | Sequence[str] = "*", **more: Any) -> Statement:
    """Return a statement that allows actions on resources."""
    return {"Effect": "Allow", "Action": list(actions), "Resource": on, **more}


def deny(*actions: str, on: str | Sequence[str] = "*", **more: Any) -> Statement:
    """Return a statement that denies actions on resources."""
    return {**allow(*actions, on=on, **more), "Effect": "Deny"}


@contextmanager
def serve_enforced_aws(home: Path) -> Iterator[EnforcedAws]:
    """Run a server of its own that checks every request, with what it keeps under ``home``."""
    service = LocalAws(home, bucket="unused", region=DEFAULT_REGION)
    service.prepare()
    port = processes.free_port([])
    launch = service.launch(port)
    env = {**launch.env, "AUTH": "true", "S3_PERSIST": "0", "PERSIST_STATE": "0"}
    process = processes.start(launch.argv, env=env, log=service.log, cwd=launch.cwd, mark=service.mark)
    try:
        if not processes.wait_until(lambda: service.answers(port), seconds=service.start_seconds):
            raise RuntimeError(f"ministack did not start: {processes.log_tail(service.log)}")
        yield EnforcedAws(f"http://{processes.LOOPBACK}:{port}")
    finally:
        processes.stop({process: signal.SIGTERM})


def _policy(statements: Sequence[Statement]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
