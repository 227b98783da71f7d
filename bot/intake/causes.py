"""Which findings one change would fix: the key of a cause, readable and the same on every poll.

The key holds the owner that tags and rules name, never one a person chose, so that passing a cause on keeps its card.
"""

from __future__ import annotations

from collections.abc import Mapping

from bot.domain.findings import Finding
from bot.domain.ids import canonical, short_hash
from bot.intake.cleaning import clean

# Tags that name the template a resource was made from, in order of how exactly they name it.
TEMPLATE_TAGS = (
    "aws:cloudformation:stack-name",
    "terraform:module",
    "terraform_module",
    "terraform-module",
    "tf_module",
    "aws:servicecatalog:provisioningArtifactIdentifier",
    "helm.sh/chart",
)
_PART = 120
_KEY_BYTES = 1800  # fits a unique index of PostgreSQL


def template_of(tags: Mapping[str, str]) -> str:
    """``tag=value`` of the template a resource comes from, "" when no tag says it."""
    return next((f"{tag}={tags[tag]}" for tag in TEMPLATE_TAGS if tags.get(tag)), "")


def cause_key(
    finding: Finding, *, playbook: str, environment: str, owner: str, template: str = "", topic: str = ""
) -> str:
    """Same fix (playbook, else topic over all sources, else rule), account, environment, owner and template."""
    if playbook:
        fix = f"fix:{playbook}"
    else:
        fix = f"topic:{topic}" if topic else f"{finding.source}:{finding.rule_uid or finding.title}"
    parts = (fix, f"{finding.account.provider}:{finding.account.uid}", environment, owner, template)
    key = canonical([clean(part, _PART) for part in parts]).decode()
    return key if len(key.encode()) <= _KEY_BYTES else short_hash(key, prefix="long-")


def cause_id(key: str) -> str:
    return short_hash(key, prefix="c-")
