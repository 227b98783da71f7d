"""What Compute saw at run time -> detection findings: audits (container, host, function, firewall, Kubernetes,
admission, file integrity), incidents, deliveries of alert profiles, and registries or clusters found unprotected.

Identity is the record's own id; an event without one is told by its time, place and words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bot.domain.findings import (
    Account,
    Finding,
    FindingClass,
    OwnerHint,
    Resource,
    Severity,
    Sighting,
    SourceStatus,
)
from connectors.console import console_url
from connectors.prisma_cloud.alerts import SOURCE
from connectors.prisma_cloud.words import (
    Folded,
    cloud_of,
    first,
    fold,
    key,
    link,
    listed,
    moment,
    plain,
    provider_id,
    said,
    severity_of,
    tags_in,
    yes,
)
from connectors.text import content_hash, environment_of, integer, owner_pairs, seq

_TYPES = {
    "hostruntime": "Host runtime",
    "containerruntime": "Container runtime",
    "serverlessruntime": "Function runtime",
    "appembeddedruntime": "App-embedded runtime",
    "incident": "Incident",
    "kubernetesaudit": "Kubernetes audit",
    "admission": "Admission audit",
    "containerappfirewall": "Web firewall",
    "hostappfirewall": "Web firewall",
    "containernetworkfirewall": "Network firewall",
    "hostnetworkfirewall": "Network firewall",
    "docker": "Docker access",
    "defender": "Defender health",
}
_TELLING = (
    "time", "type", "category", "hostname", "host", "containername", "container", "function", "rulename", "rule", "msg",
    "message", "description", "path",
)  # fmt: skip
_NOT_HASHED = frozenset({"audits", "labels", "time", "count", "collections", "serialnum", "rawevent"})


def sight(raw: Mapping[str, Any]) -> Sighting:
    event = fold(raw)
    said_ = ({k: v for k, v in event.items() if k not in _NOT_HASHED}, tags_in(event.get("labels")), _texts(event))
    return Sighting(uid=identity(event), content=content_hash(said_), closed=_closed(event))


def _texts(event: Folded) -> list[str]:
    """Of the audits of an incident, what the finding shows."""
    return [
        f"{first(a, 'msg', 'message')}|{said(a.get('severity'), 32)}" for a in map(fold, seq(event.get("audits"))[:20])
    ]


def identity(event: Folded) -> str:
    own = first(event, "_id", "id", "prismaid", "auditid", "incidentid", limit=512)
    if own and own != "string":
        return f"event|{own}"
    return f"event|{content_hash([said(event.get(name), 300) for name in _TELLING])}"


def _closed(event: Folded) -> bool:
    return yes(event.get("acknowledged")) is True


def to_finding(raw: Mapping[str, Any]) -> Finding:
    event = fold(raw)
    audits = [fold(a) for a in seq(event.get("audits"))[:20]]
    kind = first(event, "type", "eventtype", "kind", limit=64)
    category = first(event, "category", "attacktype", limit=128)
    message = plain(event.get("message") or event.get("msg") or event.get("description"), 16_000)
    lines = dict.fromkeys(w for a in audits if (w := plain(a.get("msg") or a.get("message"), 2000)))
    desc = message or "\n".join(lines)
    severity, word = _severity(event, audits)
    where, account = _where(event, audits)
    label = _TYPES.get(key(kind), "Incident" if audits or "acknowledged" in event else kind)
    head = next((line.strip() for line in desc.splitlines() if line.strip()), "") or category
    effect = ", ".join(listed(event.get("effect")))
    return Finding(
        source=SOURCE,
        uid=identity(event),
        product="Prisma Cloud Compute",
        class_uid=FindingClass.DETECTION,
        title=(f"{label}: {head}" if label and head else label or head or "Compute event")[:300],
        desc=desc,
        rule_uid=category or first(event, "rulename", "rule", "customrulename", limit=500) or kind or "event",
        types=tuple(t for t in dict.fromkeys((kind, category)) if t),
        severity=severity,
        severity_word=word,
        result=SourceStatus.ARCHIVED if _closed(event) else SourceStatus.NEW,
        result_word="acknowledged" if _closed(event) else effect,
        first_seen=moment(event.get("time")),
        modified=moment(event.get("time")),
        resource=where,
        account=account,
        environment_hint=environment_of(where.tags),
        owner_hints=tuple(OwnerHint(kind=k, value=v) for k, v in dict.fromkeys(owner_pairs(where.tags, "tag"))),
        url=link(event.get("forensiclink")),
        console_url=console_url(where.uid),
        extra={
            k: v
            for k, v in {
                "scope": "prisma_cloud:compute:events",
                "rule": first(event, "rulename", "rule", "customrulename", limit=500),
                "effect": effect,
                "user": first(event, "user", limit=256),
                "command": first(event, "command", limit=2000),
                "process": first(event, "processpath", "processname", limit=1000),
                "path": first(event, "filepath", "path", limit=1000),
                "techniques": list(listed(event.get("attacktechniques")))[:20],
                "namespace": said(event.get("namespace") or event.get("ns"), 256),
                "cluster": first(event, "cluster", limit=256),
                "image": first(event, "imagename", "image", limit=1000),
                "host": first(event, "hostname", "host", "fqdn", limit=512),
            }.items()
            if v not in ("", [], None)
        },
    )


def _severity(event: Folded, audits: list[Folded]) -> tuple[Severity, str]:
    found = severity_of(event.get("severity"))
    if found[1]:
        return found
    every = [severity_of(a.get("severity")) for a in audits]
    return max(every, key=lambda s: 0 if s[0] is Severity.OTHER else int(s[0]), default=(Severity.UNKNOWN, ""))


def _where(event: Folded, audits: list[Folded]) -> tuple[Resource, Account]:
    deep = audits[0] if audits else {}

    def of(*names: str) -> str:
        return first(event, *names, limit=1000) or first(deep, *names, limit=1000)

    account = Account(
        uid=of("accountid"), provider=cloud_of(of("provider", "cloudprovider")),
    )  # fmt: skip
    region = of("region")
    container = of("containername", "container")
    host = of("hostname", "host", "fqdn")
    function, image, cloud_id = of("functionid", "function"), of("imagename", "image"), of("resourceid", "vmid")
    if container and container not in ("true", "false"):
        kind, uid, name = "container", of("containerid") or container, container.lstrip("/")
    elif function:
        kind, uid, name = "function", function, of("function") or function
    elif host and host not in ("true", "false"):
        kind, uid, name = "host", cloud_id or host, host
    else:
        cluster = of("cluster")
        kind = "image" if image else "cluster" if cluster and not cloud_id else ""
        uid, name = image or cloud_id or cluster or of("app", "appid"), image or cluster
    if kind in ("host", "function"):
        uid = provider_id(uid, name, cloud=account.provider, account=account.uid, region=region,
                          api="aws-lambda-list-functions" if kind == "function" else "")  # fmt: skip
    return (
        Resource(
            uid=uid or account.uid or "unknown", name=name or uid, type=kind, region=region,
            tags=tags_in(event.get("labels")),
        ),
        account,
    )  # fmt: skip


# --- cloud discovery -------------------------------------------------------------------------------------------------


def discovered(raw: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One item an entity (registry, cluster, function …) that Compute found; the protected ones resolve."""
    event = fold(raw)
    at = {
        k: raw[k] for k in raw if isinstance(k, str) and key(k) not in ("entities", "protected", "total", "_id", "id")
    }
    entities = [e for e in seq(event.get("entities")) if isinstance(e, dict)]
    for one in entities:
        yield {"discovery": at, "entity": dict(one)}
    if not entities:
        total, protected = integer(event.get("total")), integer(event.get("protected"))
        safe = total is not None and protected is not None and 0 < total <= protected
        name = first(event, "registry", "servicetype", limit=500)
        yield {"discovery": at, "entity": {"name": name, "total": total, "protected": safe}}


def _entity_uid(at: Folded, entity: Folded) -> str:
    own = first(entity, "arn", "id", "resourceid", "name", limit=1000)
    return "|".join(
        ("discovery", first(at, "provider", limit=32), first(at, "accountid", limit=256), first(at, "region", limit=64),
         first(at, "servicetype", limit=64), own)
    )  # fmt: skip


def sight_entity(item: Mapping[str, Any]) -> Sighting:
    at, entity = fold(item.get("discovery")), fold(item.get("entity"))
    content = content_hash(({k: v for k, v in at.items() if k != "time"}, entity))
    return Sighting(uid=_entity_uid(at, entity), content=content, closed=yes(entity.get("protected")) is True)


def entity_finding(item: Mapping[str, Any]) -> Finding:
    at, entity = fold(item.get("discovery")), fold(item.get("entity"))
    service = first(at, "servicetype", limit=64)
    protected = yes(entity.get("protected")) is True
    arn, name = first(entity, "arn", "id", limit=1000), first(entity, "name", limit=1000)
    account = Account(uid=first(at, "accountid", limit=512), provider=cloud_of(at.get("provider")))
    uid = arn or name or first(at, "registry", limit=1000) or "unknown"
    tags = tags_in(entity.get("tags"), entity.get("labels"))
    return Finding(
        source=SOURCE,
        uid=_entity_uid(at, entity),
        product="Prisma Cloud Compute",
        class_uid=FindingClass.COMPLIANCE,
        title=f"Not protected by a Defender or scan: {service or 'cloud service'} {name or uid}"[:500],
        rule_uid=f"cloudDiscovery:{service}" if service else "cloudDiscovery",
        types=("cloudDiscovery",),
        result=SourceStatus.RESOLVED if protected else SourceStatus.NEW,
        result_word="protected" if protected else "unprotected",
        first_seen=moment(entity.get("createdat")) or moment(at.get("time")),
        modified=moment(at.get("time")),
        resource=Resource(uid=uid, name=name or uid, type=service, region=first(at, "region", limit=64), tags=tags),
        account=account,
        environment_hint=environment_of(tags),
        owner_hints=tuple(OwnerHint(kind=k, value=v) for k, v in dict.fromkeys(owner_pairs(tags, "tag"))),
        console_url=console_url(uid),
        extra={"scope": "prisma_cloud:compute:discovery", "credential": first(at, "credentialid", limit=128),
               "registry": first(at, "registry", limit=500), "entity": name},
    )  # fmt: skip
