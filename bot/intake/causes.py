"""Which findings one change would fix: the key of a cause, readable and the same on every poll.

What one change is, the most exact first
- vulnerabilities of container images: a new build of the base image, else of the image itself, fixes all its CVEs;
- the module or template a resource was made from, as its tags name it;
- an organisation policy, for rules that gatehouse.yml names (``causes.organisation_rules``) and no playbook fixes:
  one cause over all accounts of an environment and owner;
- else the same fix (playbook, topic over all sources, or rule) in one account.

The key holds the owner that tags and rules name, never one a person chose, so that passing a cause on keeps its card.
Sources: annotations of the OCI image specification (org.opencontainers.image.base.*), the form of image references in
the distribution project's grammar, ECR's ARNs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from bot.domain.findings import Finding, FindingClass
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
    "pulumi:stack",
    "aws:ec2launchtemplate:id",
    "aws:autoscaling:groupName",
)
BASE_TAGS = ("org.opencontainers.image.base.name", "org.opencontainers.image.base.digest", "base-image", "base_image")
IMAGE, ORGANISATION = "image=", "organisation="
_DIGEST = re.compile(r"@?sha256:[0-9a-f]{64}$")
_ECR = re.compile(r"^arn:aws[a-z-]*:ecr:([a-z0-9-]+):(\d{12}):repository/([^:@]+?)(?:/sha256:[0-9a-f]{64})?$")
# registry/path:tag, with or without a digest; a registry has a dot, a port, or is localhost.
_REFERENCE = re.compile(
    r"^(?P<name>(?:(?:[a-z0-9-]+\.)+[a-z0-9-]+(?::\d+)?/|localhost(?::\d+)?/)?[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
    r"(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*)(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$"
)
_IMAGE_TYPES = frozenset(
    {"container_image", "containerimage", "container image", "image", "container-image", "awsecrcontainerimage",
     "ecr image", "docker image", "containerimagerepository", "registry image", "host_container_image"}
)  # fmt: skip
_PART = 120
_KEY_BYTES = 1800  # fits a unique index of PostgreSQL


def template_of(tags: Mapping[str, str], more: Sequence[str] = ()) -> str:
    """``tag=value`` of the template a resource comes from, "" when no tag says it."""
    return next((f"{tag}={tags[tag]}" for tag in (*more, *TEMPLATE_TAGS) if tags.get(tag)), "")


def image_of(finding: Finding) -> str:
    """``image=NAME`` of what has to be built anew for a vulnerability of a container image; "" for anything else.

    The base image where tags name it, else the image's repository: every tag of it is built by the same file.
    """
    if finding.class_uid is not FindingClass.VULNERABILITY:
        return ""
    resource = finding.resource
    tags = {key.lower(): value for key, value in resource.tags.items()} if resource.tags else {}
    base = next((tags[tag] for tag in BASE_TAGS if tags.get(tag)), "")
    if base:
        return IMAGE + (base if base.startswith("sha256:") else _DIGEST.sub("", base))
    if resource.type.lower() not in _IMAGE_TYPES and not resource.type.lower().endswith("image"):
        return ""
    for said in (resource.uid, resource.name):
        if found := _ECR.match(said):
            return f"{IMAGE}{found[2]}.dkr.ecr.{found[1]}.amazonaws.com/{found[3]}"
        if said.startswith(("sha256:", "ami-")) or " " in said:
            continue
        if (found := _REFERENCE.match(said)) and ("/" in said or ":" in said):
            return IMAGE + found["name"]
    return ""


def organisation_wide(rule: str, patterns: Sequence[str]) -> bool:
    """One policy of the organisation fixes ``rule`` in all accounts, as gatehouse.yml says."""
    return any(fnmatchcase(rule, pattern) for pattern in patterns)


def cause_key(
    finding: Finding,
    *,
    playbook: str,
    environment: str,
    owner: str,
    template: str = "",
    topic: str = "",
    organisation: Sequence[str] = (),
) -> str:
    """Same fix (image, playbook, else topic over all sources, else rule), account, environment, owner and template."""
    account = f"{finding.account.provider}:{finding.account.uid}"
    if template.startswith(IMAGE):
        fix, account = "image", finding.account.provider  # the build is one, wherever it runs
    elif playbook:
        fix = f"fix:{playbook}"
    else:
        fix = f"topic:{topic}" if topic else f"{finding.source}:{finding.rule_uid or finding.title}"
        if organisation and organisation_wide(finding.rule_uid, organisation):
            account, template = finding.account.provider, f"{ORGANISATION}{topic or finding.rule_uid}"
    parts = (fix, account, environment, owner, template)
    key = canonical([clean(part, _PART) for part in parts]).decode()
    return key if len(key.encode()) <= _KEY_BYTES else short_hash(key, prefix="long-")


def cause_id(key: str) -> str:
    return short_hash(key, prefix="c-")


def spans_accounts(key: str) -> bool:
    """Its findings may be in any account: an image, or an organisation policy."""
    return '"image=' in key or f'"{ORGANISATION}' in key


def one_change(key: str) -> str:
    """In words what one change of ``key`` is about: "module vpc", "image acme/api"; "" where it is only alike."""
    try:
        parts = json.loads(key)
    except ValueError:
        return ""
    template = str(parts[-1]) if isinstance(parts, list) and len(parts) == 5 else ""
    if not template:
        return ""
    if template.startswith(IMAGE):
        return f"image {template.removeprefix(IMAGE)}"
    if template.startswith(ORGANISATION):
        return "an organisation policy"
    tag, _, value = template.partition("=")
    return f"{_WORDS.get(tag, tag)} {value}"


_WORDS = {
    "aws:cloudformation:stack-name": "stack", "terraform:module": "module", "terraform_module": "module",
    "terraform-module": "module", "tf_module": "module", "helm.sh/chart": "chart", "pulumi:stack": "stack",
    "aws:ec2launchtemplate:id": "launch template", "aws:autoscaling:groupName": "auto scaling group",
    "aws:servicecatalog:provisioningArtifactIdentifier": "product version",
}  # fmt: skip
