"""The resource an object of Orca is about, under the provider's own id where it can be told.

Orca's ids: ``asset_vendor_id`` is the provider's (sometimes with ``<account>_`` before it), ``asset_unique_id`` is
Orca's own ``<type>_<account>_<rest>``, whose rest is the provider's id for the older types and a UUID for the newer.
An ARN is made only when every part of it is told.
"""

from __future__ import annotations

import re
from typing import Any

from bot.domain.findings import Account, Resource
from connectors.orca.shapes import View, listed
from connectors.orca.words import filled
from connectors.text import obj, seq, tags_of, text, texts

PROVIDERS = {
    "amazon": "aws",
    "aws": "aws",
    "microsoft": "azure",
    "azure": "azure",
    "azr": "azure",
    "google": "gcp",
    "gcp": "gcp",
    "oci": "oci",
    "oracle": "oci",
    "alicloud": "alibaba",
    "alibaba": "alibaba",
    "alibaba_cloud": "alibaba",
    "alibaba-cloud": "alibaba",
    "k8s": "kubernetes",
}
CODE_TYPES = frozenset({"cisource", "coderepository"})
_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
_FULL = re.compile(r"arn:aws[a-z-]*:\S+|/subscriptions/\S+|//[a-z0-9.-]+\.googleapis\.com/\S+|projects/\S+/\S+", re.I)
_ORCAS_OWN = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{40,64}", re.I)
_UNIQUE = re.compile(r"([A-Za-z0-9]+)_([^_]+)_(.+)")
_EC2 = {
    "i": "instance",
    "sg": "security-group",
    "vol": "volume",
    "snap": "snapshot",
    "ami": "image",
    "acl": "network-acl",
    "vpc": "vpc",
    "subnet": "subnet",
    "rtb": "route-table",
    "igw": "internet-gateway",
    "eni": "network-interface",
    "vpce": "vpc-endpoint",
    "eipalloc": "elastic-ip",
    "nat": "natgateway",
    "lt": "launch-template",
}
_EC2_ID = re.compile(r"([a-z]{1,8})-[0-9a-f]{8,17}")
# Types whose ARN is made of account, region and the name alone.
_NAMED = {
    "awslambdafunction": "arn:{p}:lambda:{r}:{a}:function:{n}",
    "awsrdsdbinstance": "arn:{p}:rds:{r}:{a}:db:{n}",
    "awsrdsdbcluster": "arn:{p}:rds:{r}:{a}:cluster:{n}",
    "awssqsqueue": "arn:{p}:sqs:{r}:{a}:{n}",
    "awssnstopic": "arn:{p}:sns:{r}:{a}:{n}",
    "awsdynamodbtable": "arn:{p}:dynamodb:{r}:{a}:table/{n}",
    "awskmskey": "arn:{p}:kms:{r}:{a}:key/{n}",
    "awsekscluster": "arn:{p}:eks:{r}:{a}:cluster/{n}",
}
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,256}")


def account_of(view: View, full: str = "") -> Account:
    """``cloud_account_id`` is Orca's own UUID; the provider's is ``cloud_vendor_id``."""
    outer = obj(view.get("account"))
    cloud = obj(view.get("cloudaccount")) or obj(view.asset("cloudaccount"))
    uid = _number(view.get("cloudvendorid")) or _number(view.get("cloudproviderid")) or _number(outer.get("cloud_id"))
    uid = uid or _number(view.asset("cloudvendorid", "cloudproviderid", "accountid"))
    uid = uid or _number(cloud.get("CloudVendorId"))
    unique = _UNIQUE.fullmatch(text(_unique(view), 500))
    if not uid and unique and _ACCOUNT.fullmatch(unique[2]):
        uid = unique[2]
    if not uid and full.startswith("arn:"):
        uid = [*full.split(":"), "", "", "", ""][4]
    if not uid and full.startswith("/subscriptions/"):
        uid = full.split("/")[2]
    name = text(view.get("accountname"), 512) or text(outer.get("name"), 512)
    name = name or text(cloud.get("name") or cloud.get("Name"), 512)
    return Account(uid=uid, name=name, provider=provider_of(view, full))


def provider_of(view: View, full: str = "") -> str:
    cloud = obj(view.get("cloudaccount")) or obj(view.asset("cloudaccount"))
    said = text(view.get("cloudprovider"), 64) or text(view.asset("cloudprovider"), 64)
    said = said or text(cloud.get("CloudProvider"), 64) or text(obj(view.get("account")).get("type"), 64)
    if said:
        return PROVIDERS.get(said.lower(), said.lower())
    if full.startswith("arn:"):
        return "aws"
    if full.startswith("/subscriptions/"):
        return "azure"
    parts = _UNIQUE.fullmatch(text(_unique(view), 500))
    if parts and _ACCOUNT.fullmatch(parts[2]) and (found := _EC2_ID.fullmatch(parts[3])) and found[1] in _EC2:
        return "aws"
    kind = text(view.get("assettype", "subjecttype") or view.asset("type"), 64)
    return next((name for mark, name in (("Aws", "aws"), ("Az", "azure"), ("Gcp", "gcp")) if kind.startswith(mark)), "")


def resource_of(view: View, fallback: str) -> tuple[Resource, Account]:
    """The resource and its account. ``fallback`` is the uid where the object tells of no resource at all."""
    kind, full = type_of(view), full_id(view)
    account, region = account_of(view, full), region_of(view, full)
    name = text(view.get("assetname"), 1000) or text(view.asset("name"), 1000) or text(view.get("groupname"), 1000)
    vendor = text(view.get("assetvendorid"), 2000)
    if account.uid and vendor.startswith(f"{account.uid}_"):
        vendor = vendor[len(account.uid) + 1 :]
    unique = text(_unique(view), 1000)
    parts = _UNIQUE.fullmatch(unique)
    told = parts[3] if parts and not _ORCAS_OWN.fullmatch(parts[3]) else ""
    code = kind.lower() in CODE_TYPES or text(view.get("cloudprovider"), 32).lower() == "shiftleft"
    own = vendor or text(view.get("vmid") or view.asset("instanceid"), 500)
    own = own or text(view.asset("uiuniquefield"), 500) or told
    if code and not own:
        own = name
    uid = full or arn_of(own or name, kind, _kind_words(view), account, region) or own or unique or name
    if not uid:
        # Only the texts tell it: what stands in them where the template has {AwsEc2Elb}.
        templates = obj(view.raw.get("data"))
        subject = text(view.get("subjecttype"), 100)
        for which in ("details", "recommendation"):
            uid = uid or filled(templates.get(which), view.raw.get(which), subject)
        name = uid
    return (
        Resource(uid=uid or fallback, name=name or uid or fallback, type=kind, region=region, tags=asset_tags(view)),
        account,
    )


def type_of(view: View) -> str:
    said = text(view.get("assettype"), 256) or text(obj(view.get("model")).get("type"), 256)
    if not said:
        said = text(view.asset("type"), 256)
    if not said:
        subject = text(view.get("subjecttype"), 256)
        said = subject if subject and "_" not in subject else ""
    return said


def region_of(view: View, full: str = "") -> str:
    regions = listed(view.get("assetregions")) or listed(view.asset("regions"))
    said = text(next(iter(regions), ""), 128) or text(view.asset("region"), 128) or text(view.get("region"), 128)
    if not said:
        finding = obj(next(iter(seq(view.get("findings"))), None))
        said = text(finding.get("Region"), 128)
    if not said:
        inside = obj(obj(obj(view.get("riskfindings")).get("data")).get("Region"))
        said = text(inside.get("value"), 128)
    if not said:
        zone = text(next(iter(listed(view.get("assetavailabilityzones"))), ""), 128)
        said = re.sub(r"-?[a-z]$", "", zone) if zone[-1:].isalpha() else zone
    if not said and full.startswith("arn:"):
        said = [*full.split(":"), "", "", ""][3]
    return said


def asset_tags(view: View) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in ("tagsinfolist", "customtagsinfolist", "assettagsinfolist"):
        for one in listed(view.get(name)):
            key, _, value = text(one, 2000).partition("|")
            if key:
                found[key[:256]] = value[:1024]
    if not found:
        for tags in (view.get("tagslist"), view.asset("tags"), view.get("assettags")):
            found |= tags_of(tags)
    return found


def arn_of(own: str, kind: str, words: str, account: Account, region: str) -> str:
    if account.provider != "aws" or not own:
        return ""
    partition = "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
    if (kind == "AwsS3Bucket" or "s3 bucket" in words) and _BUCKET.fullmatch(own):
        return f"arn:{partition}:s3:::{own}"
    if not _ACCOUNT.fullmatch(account.uid) or not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", region):
        return ""
    if (found := _EC2_ID.fullmatch(own)) and found[1] in _EC2:
        return f"arn:{partition}:ec2:{region}:{account.uid}:{_EC2[found[1]]}/{own}"
    shape = _NAMED.get(kind.lower())
    return shape.format(p=partition, r=region, a=account.uid, n=own) if shape and _NAME.fullmatch(own) else ""


def _kind_words(view: View) -> str:
    return text(view.get("assettypestring"), 128).lower()


def _unique(view: View) -> Any:
    own = view.get("assetuniqueid") or view.asset("assetuniqueid")
    return own or obj(view.get("riskfindings")).get("asset_unique_id") or view.get("groupuniqueid", "clusteruniqueid")


def full_id(view: View) -> str:
    """An id that says everything: an ARN, an Azure id, a GCP name."""
    finding = obj(next(iter(seq(view.get("findings"))), None))
    said = (
        view.get("assetvendorid"),
        view.get("arn", "assetarn"),
        view.asset("arn", "resourceid", "azureid", "selflink", "fullname"),
        finding.get("ARN"),
        finding.get("Arn"),
    )
    return next((one for value in said if _FULL.fullmatch(one := text(value, 2000))), "")


def _number(value: Any) -> str:
    """Account numbers come as text, as a number, and (through SIEMs) as 1.1e11."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return text(value, 256)


def owners(view: View) -> list[tuple[str, str]]:
    """(kind, value) of what says who is responsible, besides tags."""
    found = [("business_unit", said) for said in _names(view.get("businessunits", "businessunit"))]
    found += [("business_unit", said) for said in _names(view.asset("businessunits"))]
    found += [("code_owner", said) for said in _names(view.get("codeowners"))]
    return found


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(said for one in value[:50] if (said := text(one, 256) or text(obj(one).get("name"), 256)))
    return texts(value) if isinstance(value, str) else ()
