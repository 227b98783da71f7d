"""What an object is about: the provider's own id of the resource, and its account.

Lacework names machines by its own number; the provider's id is built from the machine's tags. Alerts have no resource
in the list: it stands in the entity map of their details, else only in their text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.domain.findings import Account, Resource
from connectors.lacework.words import pick, plain, squeezed
from connectors.text import obj, seq, tags_of, text

_PROVIDERS = {
    "aws": "aws",
    "amazon": "aws",
    "ec2": "aws",
    "azure": "azure",
    "microsoft": "azure",
    "gcp": "gcp",
    "gce": "gcp",
    "google": "gcp",
    "oci": "oci",
    "oracle": "oci",
    "k8s": "kubernetes",
    "kubernetes": "kubernetes",
    "gke": "gcp",
    "eks": "aws",
    "aks": "azure",
}
_ARN = re.compile(r"arn:(?:[a-z-]+:)?[a-z0-9-]*:[a-z0-9-]*:(?:\d{4,12})?:[^\s,;\"'()]+")
_NO_PARTITION = re.compile(r"arn:(?!aws)([a-z0-9-]+):")
_AWS_ID = re.compile(
    r"\b(?:sg|i|vpc|subnet|vol|snap|ami|igw|rtb|acl|eni|nat|vgw|eipalloc|lt|tgw)-[0-9a-f]{4,17}\b", re.IGNORECASE
)
_AWS_KINDS = {"sg": "security-group", "i": "instance", "vpc": "vpc", "subnet": "subnet", "vol": "volume",
              "snap": "snapshot", "ami": "image", "igw": "internet-gateway", "rtb": "route-table",
              "acl": "network-acl", "eni": "network-interface", "nat": "natgateway"}  # fmt: skip
_ACCOUNT = re.compile(r"\baccount:?\s+`?(\d{4,14})`?(?:\s*\(\s*`?([^()`]+?)`?\s*\))?", re.IGNORECASE)
_PROJECT = re.compile(r"\bproject:?\s+`?([a-z0-9][\w:.-]+)`?(?:\s*\(\s*`?([^()`]+?)`?\s*\))?", re.IGNORECASE)
_SUBSCRIPTION = re.compile(r"\bsubscription:?\s+`?([0-9a-f-]{36})`?(?:\s*\(\s*`?([^()`]+?)`?\s*\))?", re.IGNORECASE)
_NAMED_ACCOUNT = re.compile(r"^(AWS|Azure|GCP|Google)\s+(?:Account|Subscription|Project)\s+(.+?):\s", re.IGNORECASE)
_USERS = (
    re.compile(r"\bby user\s+`?([^\s`)]+)", re.IGNORECASE),
    re.compile(r"\bA?\s?user\s+\(([^\s()]+)\)", re.IGNORECASE),
    re.compile(r"\buser\s+`?([\w.+-]+@[\w.-]+|[\w/]+/\d{4,}:[^\s`]+)", re.IGNORECASE),
    re.compile(r"\b((?:\w+/)?\d{4,}:\S+@\S+)"),
    re.compile(r"(?:^|[\s:(])([\w.+-]+@[\w-]+\.[\w.-]+)"),
)
_HOST = re.compile(r"\bhost(?:\(s\))?\s+`?([a-z0-9][\w.-]+)", re.IGNORECASE)
_INTEGRATION = re.compile(r"failure detected for\s+`?([\w.:/@-]+)", re.IGNORECASE)
_ZONE = re.compile(r"([a-z]{2}(?:-[a-z]+)+-?\d)(?:-?[a-z])?")


def provider_of(*words: Any) -> str:
    """The first word that names a cloud; other words are no provider (``Agent``, ``Platform``)."""
    for word in words:
        said = squeezed(text(word, 128))
        if not said:
            continue
        if said in _PROVIDERS:
            return _PROVIDERS[said]
        for start in ("aws", "azure", "gcp", "google", "oci", "k8s", "kubernetes"):
            if said.startswith(start):
                return _PROVIDERS[start]
    return ""


def provider_of_resource(uid: str) -> str:
    low = uid.lower()
    if low.startswith("arn:"):
        return "aws"
    if low.startswith(("/subscriptions/", "/providers/microsoft")):
        return "azure"
    if "googleapis.com" in low or re.match(r"/{0,2}(projects|organizations|folders)/", low):
        return "gcp"
    return "oci" if low.startswith("ocid1.") else ""


def partition_of(region: str) -> str:
    if region.startswith("us-gov-"):
        return "aws-us-gov"
    return "aws-cn" if region.startswith("cn-") else "aws"


def region_of_zone(zone: str) -> str:
    """``us-west-2a`` and ``us-central1-a`` without their last letter."""
    found = _ZONE.fullmatch(zone)
    return found[1] if found else zone


def whole_arn(uid: str) -> str:
    """Older events leave the partition out (``arn:iam::1234…``)."""
    return _NO_PARTITION.sub(r"arn:aws:\1:", uid, count=1) if uid.startswith("arn:") else uid


def region_of_uid(uid: str) -> str:
    parts = uid.split(":", 5)
    return parts[3] if uid.startswith("arn:") and len(parts) > 4 else ""


def account_of_uid(uid: str) -> str:
    parts = uid.split(":", 5)
    if uid.startswith("arn:") and len(parts) > 5 and parts[4].isdigit():
        return parts[4]
    found = re.search(r"/subscriptions/([^/]+)", uid, re.IGNORECASE) or re.search(r"(?:^|/)projects/([^/]+)", uid)
    return found[1] if found else ""


def type_of_uid(uid: str) -> str:
    """``s3:bucket`` style where an ARN or an Azure id tells it."""
    if uid.startswith("arn:"):
        parts = uid.split(":", 5)
        if len(parts) < 6:
            return ""
        service, rest = parts[2], parts[5]
        kind = "" if service in ("s3", "sqs", "sns") else re.split(r"[/:]", rest, maxsplit=1)[0]
        kind = {"s3": "bucket", "sqs": "queue", "sns": "topic"}.get(service, kind if re.search(r"[/:]", rest) else "")
        return f"{service}:{kind}" if kind else service
    found = re.search(r"/providers/([^/]+/[^/]+)/", uid, re.IGNORECASE)
    return found[1] if found else ""


def name_of_uid(uid: str) -> str:
    """The last part of an id."""
    if uid.startswith("arn:") and uid.count(":") >= 5:
        return re.split(r"[/:]", uid.split(":", 5)[5])[-1] or uid
    return uid.rstrip("/").rpartition("/")[2] if uid.startswith("/") or "googleapis" in uid else uid


def resource_of_uid(uid: str, kind: str = "", region: str = "", name: str = "") -> Resource:
    uid = whole_arn(text(uid, 2000))
    return Resource(
        uid=uid, name=name or name_of_uid(uid), type=kind or type_of_uid(uid), region=region or region_of_uid(uid)
    )


# --- machines ---------------------------------------------------------------------------------------------------------

# Of Lacework and the agent, not tags that people set.
_MACHINE_FACTS = frozenset(
    {"account", "amiid", "externalip", "hostname", "instanceid", "internalip", "lwtokenshort", "subnetid",
     "vminstancetype", "vmprovider", "vpcid", "zone", "arch", "os", "lwinternetexposure", "lwkubernetescluster",
     "numericprojectid", "projectid", "instancename", "subscriptionid", "resourcegroup", "region", "vmid",
     "resourcegroupname", "instanceidentifier"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """A resource and its account."""

    resource: Resource
    account: Account = field(default_factory=Account)
    others: tuple[Resource, ...] = ()


def machine(raw_tags: Any, mid: Any, hostname: Any) -> Place:
    """From a row's ``machineTags``; ``mid`` is Lacework's number of the machine."""
    tags = obj(raw_tags)
    low = {squeezed(str(key)): value for key, value in list(tags.items())[:500]}
    instance = text(low.get("instanceid"), 512)
    provider = provider_of(low.get("vmprovider"))
    zone = text(low.get("zone"), 128)
    region = text(low.get("region"), 128) or region_of_zone(zone)
    project = text(low.get("projectid"), 256)
    account = text(low.get("account"), 256) or text(low.get("subscriptionid"), 256) or project
    if not provider:
        provider = "aws" if instance.startswith("i-") else "gcp" if project else ""
    host = text(low.get("hostname"), 512) or text(hostname, 512)
    own = text(low.get("instancename"), 512)
    uid, kind = _machine_uid(provider, account, region, zone, instance, own, low)
    number = text(mid, 64)
    set_by_people = {k: v for k, v in tags_of(dict(tags)).items() if squeezed(k) not in _MACHINE_FACTS}
    name = set_by_people.get("Name") or own or host or instance or number
    if not uid:
        uid = f"lacework:machine:{number}" if number else host or "unknown machine"
    return Place(
        Resource(uid=uid, name=name, type=kind or "Machine", region=region, tags=set_by_people),
        Account(uid=account, provider=provider),
    )


def _machine_uid(
    provider: str, account: str, region: str, zone: str, instance: str, name: str, low: Mapping[str, Any]
) -> tuple[str, str]:
    if instance.startswith(("arn:", "/subscriptions/")):
        return instance, "ec2:instance" if instance.startswith("arn:") else "Microsoft.Compute/virtualMachines"
    if provider == "aws" and instance.startswith("i-"):
        if account and region:
            return f"arn:{partition_of(region)}:ec2:{region}:{account}:instance/{instance}", "ec2:instance"
        return instance, "ec2:instance"
    if provider == "gcp" and account and zone and (name or instance):
        path = f"projects/{account}/zones/{zone}/instances/{name or instance}"
        return f"//compute.googleapis.com/{path}", "compute.googleapis.com/Instance"
    group = text(low.get("resourcegroup"), 256) or text(low.get("resourcegroupname"), 256)
    if provider == "azure" and account and group and (name or instance):
        path = f"/subscriptions/{account}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachines"
        return f"{path}/{name or instance}", "Microsoft.Compute/virtualMachines"
    return instance, {"azure": "Microsoft.Compute/virtualMachines", "gcp": "compute.googleapis.com/Instance"}.get(
        provider, ""
    ) if instance else ""


_ECR = re.compile(r"(\d{12})\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com")
_GOOGLE = re.compile(r"(?:[a-z]+\.)?gcr\.io|([a-z0-9-]+)-docker\.pkg\.dev")


def image(info: Mapping[str, Any], image_id: Any) -> Place:
    """A container image: ``registry/repo@digest``; its account where the registry's name tells it."""
    registry, repo = text(info.get("registry"), 512), text(info.get("repo") or info.get("repository"), 1000)
    uid_ = text(image_id, 512) or text(info.get("id"), 512) or text(info.get("imageId"), 512)
    digest = text(info.get("digest") or info.get("image_digest"), 512) or uid_
    tags = [text(one, 256) for one in seq(info.get("tags"))] or [text(info.get("tag"), 256)]
    where = (
        repo if registry and repo.startswith(f"{registry}/") else "/".join(part for part in (registry, repo) if part)
    )
    account, region, provider = "", "", ""
    if found := _ECR.fullmatch(registry):
        account, region, provider = found[1], found[2], "aws"
    elif google := _GOOGLE.fullmatch(registry):
        account, region, provider = repo.partition("/")[0], google[1] or "", "gcp"
    elif registry.endswith(".azurecr.io"):
        provider = "azure"
    name = f"{where}:{tags[0]}" if where and tags[0] else where or uid_
    return Place(
        Resource(uid=f"{where}@{digest}" if where and digest else where or digest or "unknown image", name=name,
                 type="ContainerImage", region=region),
        Account(uid=account, provider=provider),
    )  # fmt: skip


# --- alerts -----------------------------------------------------------------------------------------------------------


def entities(raw: Any) -> dict[str, list[dict[str, Any]]]:
    """An entity map as type -> entities with lower-case members. ``KEY`` and ``PROPS`` of the API are laid together;
    events of channels are flat already. What is no list of objects (``"{object}"``) is left out."""
    found: dict[str, list[dict[str, Any]]] = {}
    for kind, members in list(obj(raw).items())[:100]:
        many = members if isinstance(members, list) else [members]
        flat = [merged for one in many[:200] if isinstance(one, dict) and (merged := _flat(one))]
        if flat:
            found[squeezed(str(kind))] = flat
    return found


def _flat(one: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for key, value in list(one.items())[:200]:
        if str(key).upper() in ("KEY", "PROPS") and isinstance(value, dict):
            merged |= {str(k).lower(): v for k, v in list(value.items())[:200]}
        else:
            merged[str(key).lower()] = value
    return {key: value.strip("'") if isinstance(value, str) else value for key, value in merged.items()}


def place_of_alert(map_: Any, said: str, words: Sequence[Any], events: Any = None) -> Place:
    """``words``: what may name the provider; ``events``: the alert's audit events, where they were read."""
    known = entities(map_)
    candidates = list(_of_entities(known))
    account, name, provider = _account(known, said, words, events)
    texts_ = list(_of_text(said, account)) if not candidates else []
    found = [*candidates, *texts_]
    provider = provider or next((p for one in found if (p := provider_of_resource(one.uid))), "")
    account = account or next((a for one in found if (a := account_of_uid(one.uid))), "")
    if not found and (account or name):
        found = [_account_resource(provider, account, name)]
    if not found:
        found = [Resource(uid="unknown", name=name)]
    first = found[0]
    region = first.region or _region(known, events)
    if region != first.region:
        first = first.model_copy(update={"region": region})
    first = _with_arn(first, account, region, provider)
    others = tuple({one.uid: one for one in found[1:50] if one.uid != first.uid}.values())
    return Place(first, Account(uid=account, name=name, provider=provider), others)


def _of_entities(known: Mapping[str, list[dict[str, Any]]]) -> Iterator[Resource]:
    for one in known.get("newviolation", ()):
        if uid := text(one.get("resource"), 2000):
            kinds = {text(r.get("value"), 2000): text(r.get("name"), 256) for r in known.get("resource", ())}
            yield resource_of_uid(uid, kinds.get(uid, ""), text(one.get("region"), 128))
    for one in (*known.get("resource", ()), *known.get("cloudresource", ()), *known.get("awsresource", ())):
        uid = text(
            pick(one, "value", "arn", "urn", "resource_arn", "resource_id", "resourceid", "id", "resource"), 2000
        )
        if uid:
            kind = text(pick(one, "resource_type", "resourcetype", "type", "name"), 256)
            yield resource_of_uid(uid, kind if kind != uid else "", text(one.get("region"), 128))
    for one in known.get("machine", ()):
        yield machine(
            {"InstanceId": one.get("instance_id"), "Account": one.get("account_id") or one.get("account"),
             "Zone": one.get("zone"), "Region": one.get("region"), "VmProvider": one.get("vm_provider"),
             "InstanceName": one.get("instance_name"), **obj(one.get("tags") or one.get("machine_tags"))},
            one.get("mid"), one.get("hostname"),
        ).resource  # fmt: skip
    for one in known.get("imageid", ()):
        tag = one.get("image_tag")
        yield image({"repo": one.get("image_repo") or one.get("repo"), "tags": tag if isinstance(tag, list) else [tag]},
                    one.get("image_id")).resource  # fmt: skip
    for one in known.get("container", ()):
        repo, tag = text(one.get("image_repo"), 1000), text(one.get("image_tag"), 256)
        if uid := ":".join(part for part in (repo, tag) if part) or text(one.get("container_name"), 512):
            yield Resource(uid=uid, name=text(one.get("container_name"), 512) or uid, type="Container")
    for one in known.get("k8pod", ()):
        if pod := _first(one, "pod", "pod_name"):
            space = _first(one, "namespace", "pod_namespace")
            yield Resource(uid="/".join(p for p in (_first(one, "cluster", "cluster_name"), space, pod) if p),
                           name=pod, type="Pod", region=space)  # fmt: skip
    for one in (*known.get("k8cluster", ()), *known.get("k8scluster", ())):
        if cluster := _first(one, "cluster name", "cluster_name", "cluster_id", "cluster"):
            yield Resource(uid=cluster, name=cluster, type="Cluster")
    for one in (*known.get("ctuser", ()), *known.get("gcpuser", ()), *known.get("user", ())):
        user, principal = text(one.get("username"), 1000), text(pick(one, "principal_id", "principal", "email"), 1000)
        if user or principal:
            yield Resource(uid=principal or user, name=user or principal, type="User")
    for one in (*known.get("azureidentity", ()), *known.get("azureuser", ())):
        if principal := text(pick(one, "principal_id", "user_principal_name", "principal_name", "username"), 1000):
            yield Resource(uid=principal, name=text(one.get("principal_name"), 512) or principal, type="User")


def _first(one: Mapping[str, Any], *names: str) -> str:
    value = pick(one, *names)
    return text(next(iter(seq(value)), "") if isinstance(value, list) else value, 1000)


def _of_text(said: str, account: str) -> Iterator[Resource]:
    said = plain(said, 20_000)
    for arn in dict.fromkeys(m.rstrip(".") for m in _ARN.findall(said)):
        yield resource_of_uid(arn)
    for short in dict.fromkeys(_AWS_ID.findall(said)):
        yield Resource(uid=short, name=short, type=f"ec2:{_AWS_KINDS.get(short.split('-')[0].lower(), 'resource')}")
    for host in dict.fromkeys(_HOST.findall(said)):
        yield Resource(uid=host, name=host, type="Machine")
    if found := _INTEGRATION.search(said):
        yield Resource(uid=found[1], name=found[1], type="Integration")
    for shape in _USERS:
        users = [u.strip("()`.,") for u in shape.findall(said)]
        named = [u for u in dict.fromkeys(users) if u and u != account and u.lower() not in ("using", "has", "is")]
        if named:
            yield from (Resource(uid=user, name=user, type="User") for user in named)
            return


def _account(
    known: Mapping[str, list[dict[str, Any]]], said: str, words: Sequence[Any], events: Any
) -> tuple[str, str, str]:
    provider = provider_of(*words)
    for kind, own in (("recid", ""), ("recidazure", "azure"), ("recidgcp", "gcp"), ("ctuser", "aws"),
                      ("resource", ""), ("machine", "")):  # fmt: skip
        for one in known.get(kind, ()):
            uid = text(pick(one, "account_id", "subscription_id", "project_id", "account", "tenant_id"), 256)
            if uid and not isinstance(pick(one, "account_id", "account"), (dict, list)):
                name = text(pick(one, "account_alias", "subscription_name", "project_name"), 512)
                return uid, name, provider or own
    for one in known.get("azureidentity", ()):
        first = obj(next(iter(seq(one.get("subscription_list"))), None))
        if uid := text(pick(first, "subscription_id"), 256) or text(one.get("tenant_id"), 256):
            return uid, text(first.get("subscription_name"), 512), "azure"
    for one in (*known.get("gcpproject", ()), *known.get("project", ())):
        if uid := text(pick(one, "project_id", "project"), 256):
            return uid, text(one.get("project_name"), 512), "gcp"
    for one in known.get("region", ()):
        if uid := text(next(iter(seq(one.get("account_list"))), ""), 256):
            return uid, "", provider or "aws"
    for one in seq(events):
        if uid := text(obj(one).get("recipientAccountId"), 64):
            return uid, "", "aws"
    said = plain(said, 20_000)
    for shape, own in ((_ACCOUNT, "aws"), (_SUBSCRIPTION, "azure"), (_PROJECT, "gcp")):
        if shape is _PROJECT and provider not in ("gcp", ""):
            continue
        if found := shape.search(said):
            return found[1], (found[2] or "").strip(), provider or own
    if found := _NAMED_ACCOUNT.search(said):
        return "", found[2].strip(), provider or provider_of(found[1])
    return "", "", provider


def _region(known: Mapping[str, list[dict[str, Any]]], events: Any) -> str:
    for one in known.get("region", ()):
        if said := text(one.get("region"), 64):
            return said
    for one in known.get("ctuser", ()):
        if said := text(next(iter(seq(one.get("region_list"))), ""), 64):
            return said
    return next((said for one in seq(events) if (said := text(obj(one).get("awsRegion"), 64))), "")


def _account_resource(provider: str, account: str, name: str) -> Resource:
    if not account:
        return Resource(uid=name, name=name, type="Account")
    if provider == "gcp":
        uid, kind = f"//cloudresourcemanager.googleapis.com/projects/{account}", "cloudresourcemanager/Project"
    elif provider == "azure":
        uid, kind = f"/subscriptions/{account}", "Subscription"
    else:
        uid, kind = (
            f"AWS::::Account:{account}" if provider == "aws" else account,
            "AwsAccount" if provider else "Account",
        )
    return Resource(uid=uid, name=name or account, type=kind)


def _with_arn(one: Resource, account: str, region: str, provider: str) -> Resource:
    """An AWS id such as ``sg-…`` becomes its ARN once account and region are known."""
    if provider not in ("aws", "") or not account or not region or not _AWS_ID.fullmatch(one.uid):
        return one
    kind = _AWS_KINDS.get(one.uid.split("-")[0].lower())
    if not kind:
        return one
    arn = f"arn:{partition_of(region)}:ec2:{region}:{account}:{kind}/{one.uid}"
    return one.model_copy(update={"uid": arn, "region": region})
