"""The AWS playbooks, grouped by service."""

from __future__ import annotations

from . import data, ec2, iam, kms, messaging, rds, s3, security_groups
from .base import AwsPlaybook

PLAYBOOKS: tuple[AwsPlaybook, ...] = (
    *s3.PLAYBOOKS,
    *security_groups.PLAYBOOKS,
    *ec2.PLAYBOOKS,
    *iam.PLAYBOOKS,
    *kms.PLAYBOOKS,
    *rds.PLAYBOOKS,
    *messaging.PLAYBOOKS,
    *data.PLAYBOOKS,
)
