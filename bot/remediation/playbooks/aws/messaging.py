"""SQS, SNS and Secrets Manager: resource policies that are open to everyone."""

from __future__ import annotations

import re

from bot.domain.plans import Call, Reversibility, Risk, Target
from bot.ports import CloudReader, PlaybookInfo, State

from . import policies
from .base import AwsPlaybook, call

_DANGER = "Whoever used it anonymously is refused. Statements with a Condition (S3, SNS and the like as sender) stay."
_UNDO = "Puts the public statements back."


class QueuePrivate(policies.PublicStatements):
    info = PlaybookInfo(
        id="sqs-remove-public-policy",
        version=1,
        title="Remove public statements from a queue's policy",
        provider="aws",
        target_kind="sqs_queue",
        rules=frozenset({"sqs_queues_not_publicly_accessible", "security_hub:SQS.3"}),
        risk=Risk.MEDIUM,
        reversibility=Reversibility.EXACT,
        danger=_DANGER,
        undo_note=_UNDO,
        undo_exposes=True,
        checks=("sqs_queues_not_publicly_accessible",),
    )
    arn_service = "sqs"
    resource = re.compile(r"([A-Za-z0-9_\-]{1,80}(?:\.fifo)?)", re.ASCII)
    noun = "queue"
    writes = frozenset({"sqs.set_queue_attributes"})

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        """The URL is part of the state: every call needs it and only the service knows it."""
        where = await cloud.read(
            call(target, "sqs", "get_queue_url", QueueName=target.name, QueueOwnerAWSAccountId=target.account)
        )
        url = where["QueueUrl"]
        answer = await cloud.read(call(target, "sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["Policy"]))
        text = answer.get("Attributes", {}).get("Policy")
        return {"url": url, "policy": policies.parse(text) if text else None}

    def _call(self, target: Target, policy: policies.Policy | None, state: State) -> Call:
        text = "" if policy is None else policies.text(policy)
        return call(target, "sqs", "set_queue_attributes", QueueUrl=state["url"], Attributes={"Policy": text})


class TopicPrivate(policies.PublicStatements):
    info = PlaybookInfo(
        id="sns-remove-public-policy",
        version=1,
        title="Remove public statements from a topic's policy",
        provider="aws",
        target_kind="sns_topic",
        rules=frozenset({"sns_topics_not_publicly_accessible", "security_hub:SNS.4"}),
        risk=Risk.MEDIUM,
        reversibility=Reversibility.EXACT,
        danger=_DANGER,
        undo_note=_UNDO,
        undo_exposes=True,
        checks=("sns_topics_not_publicly_accessible",),
    )
    arn_service = "sns"
    resource = re.compile(r"([A-Za-z0-9_\-]{1,256}(?:\.fifo)?)", re.ASCII)
    noun = "topic"
    writes = frozenset({"sns.set_topic_attributes"})

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        answer = await cloud.read(call(target, "sns", "get_topic_attributes", TopicArn=target.uid))
        text = answer["Attributes"].get("Policy")
        return {"policy": policies.parse(text) if text else None}

    def _private(self, target: Target, policy: policies.Policy) -> policies.Policy:
        left = policies.private(policy)
        if left is not None:
            return left
        # A topic always has a policy: with nothing left, its owner keeps it.
        owner = {
            "Sid": "GatehouseOwnerOnly",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:{target.uid.split(':')[1]}:iam::{target.account}:root"},
            "Action": "sns:Publish",
            "Resource": target.uid,
        }
        return {**policy, "Statement": [owner]}

    def _call(self, target: Target, policy: policies.Policy | None, state: State) -> Call:
        text = "" if policy is None else policies.text(policy)
        return call(
            target,
            "sns",
            "set_topic_attributes",
            TopicArn=target.uid,
            AttributeName="Policy",
            AttributeValue=text,
        )


class SecretPrivate(policies.PublicStatements):
    info = PlaybookInfo(
        id="secret-remove-public-policy",
        version=1,
        title="Remove public statements from a secret's policy",
        provider="aws",
        target_kind="secret",
        rules=frozenset({"secretsmanager_not_publicly_accessible"}),
        risk=Risk.MEDIUM,
        reversibility=Reversibility.EXACT,
        danger="Other accounts that read the secret by that statement are refused.",
        undo_note=_UNDO,
        undo_exposes=True,
        checks=("secretsmanager_not_publicly_accessible",),
    )
    arn_service = "secretsmanager"
    resource = re.compile(r"secret:([\w/+=.@\-]{1,519})", re.ASCII)
    noun = "secret"
    writes = frozenset({"secretsmanager.put_resource_policy", "secretsmanager.delete_resource_policy"})

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        answer = await cloud.read(call(target, "secretsmanager", "get_resource_policy", SecretId=target.uid))
        text = answer.get("ResourcePolicy")
        return {"policy": policies.parse(text) if text else None}

    def _call(self, target: Target, policy: policies.Policy | None, state: State) -> Call:
        if policy is None:
            return call(target, "secretsmanager", "delete_resource_policy", SecretId=target.uid)
        text = policies.text(policy)
        return call(target, "secretsmanager", "put_resource_policy", SecretId=target.uid, ResourcePolicy=text)


PLAYBOOKS: tuple[AwsPlaybook, ...] = (QueuePrivate(), TopicPrivate(), SecretPrivate())
