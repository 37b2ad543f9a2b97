"""The account as the template says: a change set made, shown, and carried out; then read back.

What is there already and is called as the template calls it, such as a bucket that was made by hand,
is taken into the stack first; nothing that holds data is ever replaced by a new one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from fin_lake.clients import aws_client
from fin_lake.errors import FinLakeError
from fin_lake.lake.catalog import ensure_catalog
from fin_lake.operations.bucket_settings import bucket_settings, covers, put_right
from fin_lake.operations.template import Resolver, Template, body, read_template
from fin_lake.settings import Settings

Report = Callable[[str], None]

_POLL_SECONDS: Final = 1.0
_FIRST_POLLS_SECONDS: Final = 0.05
_LONGEST_SECONDS: Final = 3600
_NO_CHANGES: Final = ("didn't contain changes", "No updates are to be performed")
_HOLDS_DATA: Final = frozenset({"AWS::S3::Bucket", "AWS::KMS::Key", "AWS::SQS::Queue", "AWS::Glue::Database"})
_BUCKETS: Final = ("Bucket", "Logs")
_NAMES: Final = {"AWS::S3::Bucket": "BucketName", "AWS::SQS::Queue": "QueueName"}
_OF_CLOUDFORMATION: Final = "NotificationConfiguration"
_QUEUES: Final = ("Queue", "DeadLetters")


class DeployError(FinLakeError):
    """The stack cannot be made or changed."""


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to a resource: ``Add``, ``Modify``, ``Remove`` or ``Import``, and what of it changes."""

    action: str
    logical_id: str
    kind: str
    replaced: bool = False
    what: tuple[str, ...] = ()


@dataclass(slots=True)
class Deployment:
    """What a deployment did, or, planned only, would do.

    Attributes
    ----------
    stack : str
        The stack's name.
    changes : list of Change
        Empty if the stack is as the template says.
    put_right : list of str
        Settings beside the stack that were not as the template says, and now are.
    not_kept : list of str
        Settings that were put and not kept, as by what stands in for AWS.
    outputs : dict of str to (str, str)
        The stack's outputs: value, and the setting of fin_lake that takes it (may be empty).
    """

    stack: str
    planned: bool
    changes: list[Change] = field(default_factory=list)
    put_right: list[str] = field(default_factory=list)
    not_kept: list[str] = field(default_factory=list)
    outputs: dict[str, tuple[str, str]] = field(default_factory=dict)


def deploy(
    settings: Settings,
    parameters: Mapping[str, str] | None = None,
    *,
    plan: bool = False,
    replace: bool = False,
    report: Report = lambda _doing: None,
) -> Deployment:
    """Make the account as the template says.

    Parameters
    ----------
    settings : Settings
        Names of bucket, queue, database and so on, and where the services are.
    parameters : mapping of str to str, optional
        The template's parameters, before those of ``FIN_LAKE_DEPLOY_PARAMETERS``. What neither names
        stays as it was deployed last.
    plan : bool
        Only say what would change.
    replace : bool
        Let a change replace or remove what holds data.
    report : callable, optional
        Told what is being done.

    Raises
    ------
    DeployError
        A parameter is unknown, AWS refuses, a change fails, or it would replace what holds data.
    """
    template = read_template()
    given = {**_of_settings(settings), **settings.deploy_parameters, **(parameters or {})}
    unknown = sorted(given.keys() - template["Parameters"].keys())
    if unknown:
        known = ", ".join(template["Parameters"])
        raise DeployError(f"the template has no parameter {', '.join(unknown)}", f"there are {known}")
    try:
        return _Stack(settings, template, given, report).deploy(plan=plan, replace=replace)
    except ClientError as error:
        said = error.response["Error"]
        raise DeployError(
            f"AWS refuses {error.operation_name}: {said.get('Message') or said['Code']}",
            "`fin-lake doctor` says who you are and what you may do",
        ) from None
    except BotoCoreError as error:
        raise DeployError(f"AWS does not answer: {error}", "`fin-lake doctor` looks why") from None


def _of_settings(settings: Settings) -> dict[str, str]:
    wanted = {
        "BucketName": settings.bucket,
        "Encryption": settings.encryption,
        "GlueDatabaseName": settings.glue_database,
        # the group of this name is in every account, and is not the stack's
        "WorkGroupName": settings.athena_workgroup.replace("primary", ""),
        "QueueName": settings.notifications_queue,
        "MetricsNamespace": settings.cloudwatch_namespace,
    }
    return {name: value for name, value in wanted.items() if value}


class _Stack:
    """One deployment of the stack."""

    def __init__(
        self, settings: Settings, template: Template, given: Mapping[str, str], report: Report
    ) -> None:
        self._settings = settings
        self._template = template
        self._given = given
        self._report = report
        self._name = settings.stack_name
        self._cloudformation = aws_client(settings, "cloudformation", settings.cloudformation_endpoint_url)

    def deploy(self, *, plan: bool, replace: bool) -> Deployment:
        there = self._describe()
        adopted: list[Change] = []
        if there is None:
            found = list(self._already_there())
            adopted = [Change("Import", logical_id, kind) for logical_id, kind, _ in found]
            if found and not plan:
                self._report(f"taking {', '.join(logical_id for logical_id, *_ in found)} into the stack")
                self._adopt(found)
                there = self._describe()
        done = Deployment(self._name, planned=plan, changes=adopted)
        name = self._change_set("CREATE" if there is None else "UPDATE", self._template, there)
        if name is None:
            self._report("the stack is as the template says")
        else:
            found_there = {change.logical_id for change in adopted}
            changes = [
                one for one in self._changes(name) if plan is False or one.logical_id not in found_there
            ]
            done.changes += changes
            if not plan:
                self._refuse_replacements(name, changes, allowed=replace)
                self._execute(name, len(changes))
        if plan:
            self._forget(name, is_new=there is None)
            return done
        done.outputs = self._outputs()
        self._finish(done)
        return done

    # --- the stack ---

    def _describe(self) -> dict[str, Any] | None:
        """Return the stack, None if there is none; what is left of a failed creation is removed."""
        try:
            (stack,) = self._cloudformation.describe_stacks(StackName=self._name)["Stacks"]
        except ClientError as error:
            if "does not exist" in error.response["Error"].get("Message", ""):
                return None
            raise
        status = stack["StackStatus"]
        if status in ("REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "DELETE_COMPLETE"):
            # it holds no resource: a change set that was never carried out, or a creation undone
            if status != "DELETE_COMPLETE":
                self._delete_empty()
            return None
        if status.endswith("_IN_PROGRESS"):
            raise DeployError(
                f"the stack {self._name} is being changed: {status}", "wait until that is over, then deploy"
            )
        if status.endswith("_FAILED"):
            raise DeployError(
                f"the stack {self._name} is {status}: {stack.get('StackStatusReason', '')}",
                f"aws cloudformation describe-stack-events --stack-name {self._name}",
            )
        found: dict[str, Any] = stack
        return found

    def _delete_empty(self) -> None:
        self._cloudformation.delete_stack(StackName=self._name)
        waiter = self._cloudformation.get_waiter("stack_delete_complete")
        waiter.wait(StackName=self._name, WaiterConfig={"Delay": 1})

    def _change_set(
        self,
        kind: str,
        template: Template,
        there: Mapping[str, Any] | None,
        resources: Sequence[Mapping[str, Any]] = (),
    ) -> str | None:
        """Make a change set and return its name; None if nothing would change."""
        name = f"fin-lake-{time.time_ns()}"
        # an import takes nothing but what it imports
        more: dict[str, Any] = {"ResourcesToImport": list(resources)} if resources else {"Tags": self._tags()}
        self._cloudformation.create_change_set(
            StackName=self._name,
            ChangeSetName=name,
            ChangeSetType=kind,
            TemplateBody=body(template),
            Parameters=self._parameters(template, there),
            Capabilities=["CAPABILITY_NAMED_IAM"],
            **more,
        )
        asked = {"StackName": self._name, "ChangeSetName": name}
        for _ in _polls():
            answer = self._cloudformation.describe_change_set(**asked)
            if answer["Status"] == "CREATE_COMPLETE":
                return name
            if answer["Status"] == "FAILED":
                break
        reason = answer.get("StatusReason", answer["Status"])
        self._cloudformation.delete_change_set(**asked)
        if any(words in reason for words in _NO_CHANGES):
            return None
        raise DeployError(f"CloudFormation does not take the template: {reason}", "correct the parameters")

    def _parameters(self, template: Template, there: Mapping[str, Any] | None) -> list[dict[str, Any]]:
        before = {one["ParameterKey"] for one in (there or {}).get("Parameters", [])}
        return [
            {"ParameterKey": name, "ParameterValue": self._given[name]}
            if name in self._given
            else {"ParameterKey": name, "UsePreviousValue": True}
            for name in template.get("Parameters", {})
            if name in self._given or name in before
        ]

    def _tags(self) -> list[dict[str, str]]:
        """Return the stack's tags, which its resources inherit: by them the bill is split."""
        cost_center = str(self._resolver().value({"Ref": "CostCenter"}))
        return [{"Key": "project", "Value": "fin-lake"}, {"Key": "cost-center", "Value": cost_center}]

    def _changes(self, change_set: str) -> list[Change]:
        pages = self._cloudformation.get_paginator("describe_change_set").paginate(
            StackName=self._name, ChangeSetName=change_set
        )
        found = [one["ResourceChange"] for page in pages for one in page.get("Changes", [])]
        resolver = self._resolver()
        resources = self._template["Resources"]
        return [
            Change(
                one["Action"],
                one["LogicalResourceId"],
                one["ResourceType"],
                one.get("Replacement") == "True" or self._is_renamed(one),
                tuple(sorted({name for detail in one.get("Details", []) if (name := _property(detail))})),
            )
            for one in found
            # what stands in for CloudFormation lists what its condition leaves out, too
            if "PhysicalResourceId" in one or _is_wanted(resources[one["LogicalResourceId"]], resolver)
        ]

    def _is_renamed(self, change: Mapping[str, Any]) -> bool:
        """Return whether a bucket or queue would get another name, which CloudFormation may only suspect."""
        logical_id, there = change["LogicalResourceId"], change.get("PhysicalResourceId")
        named = _NAMES.get(change["ResourceType"])
        if there is None or named is None or change["Action"] != "Modify":
            return False
        return str(there).rpartition("/")[2] != self._name_of(logical_id, named)

    def _refuse_replacements(self, change_set: str, changes: Sequence[Change], *, allowed: bool) -> None:
        lost = [
            one.logical_id
            for one in changes
            if one.kind in _HOLDS_DATA and (one.replaced or one.action == "Remove")
        ]
        if lost and not allowed:
            self._cloudformation.delete_change_set(StackName=self._name, ChangeSetName=change_set)
            raise DeployError(
                f"this would replace or remove what holds data: {', '.join(lost)}",
                "look at `fin-lake deploy --plan`; if it is meant so: `fin-lake deploy --replace`",
            )

    def _execute(self, change_set: str, count: int) -> None:
        started = self._last_event()
        self._cloudformation.execute_change_set(StackName=self._name, ChangeSetName=change_set)
        for _ in _polls():
            (stack,) = self._cloudformation.describe_stacks(StackName=self._name)["Stacks"]
            status = stack["StackStatus"]
            if not status.endswith("_IN_PROGRESS"):
                break
            events = self._events_since(started)
            made = {one["LogicalResourceId"] for one in events if one["ResourceStatus"].endswith("_COMPLETE")}
            self._report(f"{len(made)} of {count} resources")
        if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"):
            reasons = [
                f"{one['LogicalResourceId']}: {one.get('ResourceStatusReason', one['ResourceStatus'])}"
                for one in self._events_since(started)
                if one["ResourceStatus"].endswith("_FAILED")
            ]
            raise DeployError(
                f"the stack {self._name} is {status}: everything is as it was before. "
                + "; ".join(reversed(reasons)),
                "mend the cause and deploy again",
            )

    def _last_event(self) -> str:
        return next((one["EventId"] for one in self._events()), "")

    def _events_since(self, event_id: str) -> list[dict[str, Any]]:
        found = []
        for one in self._events():
            if one["EventId"] == event_id:
                break
            found.append(one)
        return found

    def _events(self) -> Iterator[dict[str, Any]]:
        """Yield the stack's events, newest first."""
        pages = self._cloudformation.get_paginator("describe_stack_events").paginate(StackName=self._name)
        for page in pages:
            yield from page["StackEvents"]

    def _forget(self, change_set: str | None, *, is_new: bool) -> None:
        """Leave nothing of a plan."""
        if change_set is not None:
            self._cloudformation.delete_change_set(StackName=self._name, ChangeSetName=change_set)
        if is_new:  # a stack without resources, in review
            self._delete_empty()

    def _outputs(self) -> dict[str, tuple[str, str]]:
        (stack,) = self._cloudformation.describe_stacks(StackName=self._name)["Stacks"]
        return {
            one["OutputKey"]: (one["OutputValue"], one.get("Description") or "")
            for one in stack.get("Outputs", [])
        }

    # --- what was there before the stack ---

    def _already_there(self) -> Iterator[tuple[str, str, dict[str, str]]]:
        """Yield what exists under a name of the template's.

        Yields
        ------
        (str, str, dict)
            Logical id, type, and what CloudFormation knows it by.
        """
        s3 = aws_client(self._settings, "s3", self._settings.aws_endpoint_url)
        for logical_id in _BUCKETS:
            name = self._name_of(logical_id, "BucketName")
            try:
                s3.head_bucket(Bucket=name)
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] != HTTPStatus.NOT_FOUND:
                    raise DeployError(
                        f"there is a bucket {name} that is not yours",
                        "buckets' names are the whole world's: set AWS_S3_BUCKET_NAME to another",
                    ) from None
                continue
            yield logical_id, "AWS::S3::Bucket", {"BucketName": name}
        sqs = aws_client(self._settings, "sqs", self._settings.sqs_endpoint_url)
        for logical_id in _QUEUES:
            with suppress(sqs.exceptions.QueueDoesNotExist):
                url = sqs.get_queue_url(QueueName=self._name_of(logical_id, "QueueName"))["QueueUrl"]
                yield logical_id, "AWS::SQS::Queue", {"QueueUrl": url}

    def _name_of(self, logical_id: str, name: str) -> str:
        return str(self._resolver().value(self._template["Resources"][logical_id]["Properties"][name]))

    def _adopt(self, found: Sequence[tuple[str, str, dict[str, str]]]) -> None:
        """Take resources into a new stack that holds nothing else, as CloudFormation asks."""
        resources = {}
        for logical_id, kind, _ in found:
            named = _NAMES[kind]
            resources[logical_id] = {
                "Type": kind,
                "DeletionPolicy": "Retain",
                "UpdateReplacePolicy": "Retain",
                "Properties": {named: self._template["Resources"][logical_id]["Properties"][named]},
            }
        alone = {
            "AWSTemplateFormatVersion": self._template["AWSTemplateFormatVersion"],
            # a name that were a literal now would be another name afterwards
            "Parameters": {name: self._template["Parameters"][name] for name in _NAMES.values()},
            "Resources": resources,
        }
        imports = [
            {"ResourceType": kind, "LogicalResourceId": logical_id, "ResourceIdentifier": identifier}
            for logical_id, kind, identifier in found
        ]
        name = self._change_set("IMPORT", alone, None, imports)
        assert name is not None  # noqa: S101 - an import is a change
        self._execute(name, len(found))

    # --- what is not the stack's to do, or was left out ---

    def _finish(self, done: Deployment) -> None:
        resolver = self._resolver(self._physical_ids(), self._attributes(done))
        self._report("reading the buckets' settings back")
        s3 = aws_client(self._settings, "s3", self._settings.aws_endpoint_url)
        for logical_id in _BUCKETS:
            resource = self._template["Resources"][logical_id]["Properties"]
            # the queue's address is CloudFormation's to know, and to put there
            properties = resolver.value({k: v for k, v in resource.items() if k != _OF_CLOUDFORMATION})
            bucket = properties["BucketName"]
            for setting in bucket_settings(properties):
                state = put_right(s3, bucket, setting)
                if state == "put right":
                    done.put_right.append(f"{bucket}: {setting.name}")
                elif state == "not kept":
                    done.not_kept.append(f"{bucket}: {setting.name}")
        if not resolver.holds("WithGlueAndAthena"):
            self._ensure_workgroup(resolver, done)
        self._report("bringing the tables of Glue up to date")
        database = str(resolver.value({"Ref": "GlueDatabaseName"}))
        glue = aws_client(self._settings, "glue", self._settings.glue_endpoint_url)
        changes = ensure_catalog(glue, database=database, bucket=self._settings.bucket)
        done.put_right += [f"{database}: table {name}" for name in (*changes.created, *changes.updated)]

    def _ensure_workgroup(self, resolver: Resolver, done: Deployment) -> None:
        wanted = resolver.value(self._template["Resources"]["WorkGroup"]["Properties"])
        configuration = dict(wanted["WorkGroupConfiguration"])
        configuration["BytesScannedCutoffPerQuery"] = int(configuration["BytesScannedCutoffPerQuery"])
        athena = aws_client(self._settings, "athena", self._settings.athena_endpoint_url)
        name = wanted["Name"]
        try:
            found = athena.get_work_group(WorkGroup=name)["WorkGroup"]["Configuration"]
        except athena.exceptions.InvalidRequestException:  # Athena's word for: there is none
            found = None
        if found is None:
            athena.create_work_group(
                Name=name, Description=wanted["Description"], Configuration=configuration
            )
        elif covers(found, _as_read(configuration)):
            return
        else:
            updates = dict(configuration)
            updates["ResultConfigurationUpdates"] = updates.pop("ResultConfiguration")
            athena.update_work_group(WorkGroup=name, ConfigurationUpdates=updates)
        done.put_right.append(f"Athena: workgroup {name}")

    def _physical_ids(self) -> dict[str, str]:
        pages = self._cloudformation.get_paginator("list_stack_resources").paginate(StackName=self._name)
        return {
            one["LogicalResourceId"]: one["PhysicalResourceId"]
            for page in pages
            for one in page["StackResourceSummaries"]
            if "PhysicalResourceId" in one
        }

    def _resolver(
        self,
        resources: Mapping[str, str] | None = None,
        attributes: Mapping[tuple[str, str], str] | None = None,
    ) -> Resolver:
        stack = self._describe_quietly()
        deployed = {one["ParameterKey"]: one["ParameterValue"] for one in stack.get("Parameters", [])}
        account = stack.get("StackId", "arn:aws:cloudformation:::").split(":")[4]
        names = {
            "AWS::Partition": "aws",
            "AWS::Region": self._settings.aws_region,
            "AWS::AccountId": account,
            "AWS::StackName": self._name,
            **(resources or {}),
        }
        return Resolver(self._template, {**deployed, **self._given}, names, attributes or {})

    def _describe_quietly(self) -> dict[str, Any]:
        try:
            (stack,) = self._cloudformation.describe_stacks(StackName=self._name)["Stacks"]
        except ClientError:
            return {}
        found: dict[str, Any] = stack
        return found

    @staticmethod
    def _attributes(done: Deployment) -> dict[tuple[str, str], str]:
        return {
            (name.removesuffix("Arn"), "Arn"): value
            for name, (value, _) in done.outputs.items()
            if name.endswith("Arn")
        }


def _as_read(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Athena gives back of a workgroup's configuration: the engine it may choose itself."""
    return {name: value for name, value in configuration.items() if name != "EngineVersion"}


def _property(detail: Mapping[str, Any]) -> str:
    target = detail.get("Target", {})
    return str(target.get("Name") or target.get("Attribute") or "")


def _is_wanted(resource: Mapping[str, Any], resolver: Resolver) -> bool:
    return "Condition" not in resource or resolver.holds(resource["Condition"])


def _polls() -> Iterator[None]:
    """Yield, ever more slowly, until an hour is over."""
    deadline, pause = time.monotonic() + _LONGEST_SECONDS, _FIRST_POLLS_SECONDS
    while time.monotonic() < deadline:
        yield
        time.sleep(pause)
        pause = min(_POLL_SECONDS, pause * 2)
    raise DeployError("CloudFormation has not come to an end within an hour", "look at the stack's events")
