"""What Lacework's API sends that is no finding, by its members. Said in the report, never stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.text import obj, text

# All of the first must be there; of the second at least one, if any are given. The first that fits counts.
_NAMES: tuple[tuple[frozenset[str], frozenset[str], str], ...] = tuple(
    (frozenset(needed.split()), frozenset(any_.split()), name)
    for needed, any_, name in (
        ("token expiresAt", "", "login answer"),
        ("token expires_at", "", "login answer"),
        ("keyId secret", "", "access key (not stored)"),
        ("keyId expiryTime", "", "login request"),
        ("question answer", "", "investigation answer of an alert"),
        ("entryType", "alertId message entryAuthorType", "entry of an alert's timeline"),
        ("awsRegion", "eventName eventSource eventTime", "audit event of an alert"),
        ("eventName eventSource eventTime", "", "audit event of an alert"),
        ("alertChannel", "alertIntegrationId integrationType", "integration of an alert"),
        ("alertIntegrationId", "", "integration of an alert"),
        ("observationType", "entities startEpoch recordUuid", "observation of an alert"),
        ("alertProfileId", "fields extends alerts descriptionKeys", "alert profile"),
        ("evaluatorId policyId", "", "policy"),
        ("policyId", "policyType queryId evalFrequency remediation title alertProfile", "policy"),
        ("policyIds", "", "policy list"),
        ("exceptionId", "constraints description", "policy exception"),
        ("policyId constraints", "", "policy exception"),
        ("exceptionName", "exceptionGuid exceptionType vulnerabilityCriteria", "vulnerability exception"),
        ("recommendationExceptions", "", "list of suppressions"),
        ("queryId", "queryText queryName", "query"),
        ("resultSchema", "", "data source"),
        ("intgGuid", "", "integration (cloud account, registry or channel)"),
        ("INTG_GUID", "", "integration (cloud account, registry or channel)"),
        ("mcGuid", "", "alert or report rule"),
        ("reportDefinitionGuid", "", "report definition"),
        ("reportDefinition", "reportName reportType", "report definition"),
        ("reportDistributionGuid", "", "report distribution"),
        ("resourceGroupGuid", "", "resource group"),
        ("resourceGuid", "resourceName resourceType props", "resource group"),
        ("vulnCountCritical", "", "image with counts only"),
        ("containerCount scanStatus", "", "image with counts only"),
        ("resourceConfig", "", "inventory record"),
        ("resourceType resourceId", "csp cloudDetails urn service", "inventory record"),
        ("urn", "csp apiKey cloudDetails resourceRegion", "inventory record"),
        ("LwTokenShort", "", "machine tags"),
        ("VmProvider", "InstanceId Hostname VmInstanceType Zone", "machine tags"),
        ("agentVersion", "mid mode ipAddr", "agent"),
        ("AGENT_VERSION", "", "agent"),
        ("kernelRelease", "", "machine"),
        ("awsInstanceId", "", "machine"),
        ("machineTags mid", "", "machine"),
        ("mid hostname", "", "machine"),
        ("MID HOSTNAME", "", "machine"),
        ("imageId containerType", "", "container image"),
        ("mid imageId", "", "container or image"),
        ("MID IMAGE_ID", "", "container or image"),
        ("podName", "mid containerName", "container"),
        ("uid username", "mid primaryGroupName", "user of a machine"),
        ("mid", "username pidHash pid_hash processStartTime filePath cmdlineHash interfaceName packageName", "entity"),
        ("MID", "USERNAME PID_HASH FILE_PATH CMDLINE_HASH PACKAGE_NAME FILEDATA_HASH TAGS", "entity of an export"),
        ("CMDLINE_HASH", "", "entity of an export"),
        ("SRC_ENTITY_TYPE", "DST_ENTITY_TYPE", "entity of an export"),
        ("FILEDATA_HASH", "", "entity of an export"),
        ("userGuid", "", "user of Lacework"),
        ("custGuid", "", "account of Lacework"),
        ("username accounts", "", "user of Lacework"),
        ("orgAccount", "", "account of Lacework"),
        ("accountName accountId", "userCount numberOfUsers", "account of Lacework"),
        ("tokenAlias", "accessToken", "agent token (not stored)"),
        ("accessToken", "tokenEnabled props", "agent token (not stored)"),
        ("serverToken", "", "registry token (not stored)"),
        ("uploadMethods", "", "upload reply"),
        ("flags", "", "feature flags"),
        ("components", "", "component list"),
        ("artifact_url", "", "component"),
        ("tenant subscriptions", "", "list of Azure subscriptions"),
        ("organization projects", "", "list of GCP projects"),
        ("aws_accounts", "", "list of accounts"),
        ("azure_subscriptions", "", "list of accounts"),
        ("gcp_projects", "", "list of accounts"),
        ("requestId", "status scanStatus", "scan reply"),
        ("evalRequestId", "", "scan reply"),
        ("contractId", "", "contract information"),
        ("NUM_RECOMMENDATIONS", "", "summary of a report"),
        ("entity_type", "entity_key entity_uuid", "entity"),
        ("reason comment", "", "request to close an alert"),
        ("timeFilter", "filters returns dataset", "search request"),
        ("osPkgInfoList", "", "scan request"),
        ("alertProfiles", "", "alert profile"),
        ("auditLogId", "", "audit log record"),
        ("createdTime userName", "eventName eventDescription", "audit log record"),
        ("CREATED_TIME EVENT_NAME", "USER_NAME EVENT_DESCRIPTION", "audit log record"),
    )
)
_ERRORS = (
    "ErrorMsg",
    "errorMsg",
    "error",
    "Message",
    "message",
    "statusMessage",
    "MessageError",
    "YetAnotherErrorField",
)


# Members that many products use: believed only within an answer.
_GENERIC = frozenset(
    {"feature flags", "component list", "component", "scan reply", "upload reply", "contract information",
     "list of GCP projects", "list of Azure subscriptions", "agent token (not stored)", "entity", "user of a machine"}
)  # fmt: skip


def name_of(raw: Mapping[str, Any], *, inside: bool = True) -> str:
    """The name of an object that is Lacework's and no finding; "" when it is none known. ``inside`` an answer."""
    keys = raw.keys()
    for needed, any_, name in _NAMES:
        if needed <= keys and (not any_ or any_ & keys) and (inside or name not in _GENERIC):
            return name
    if (
        inside
        and raw
        and len(raw) >= 1
        and all(isinstance(v, dict) and set(v) <= {"enabled"} and v for v in raw.values())
    ):
        return "list of recommendations"
    return ""


def of_envelope(raw: Mapping[str, Any]) -> str:
    """A whole answer that holds no rows: an error, a status, a reply to a write."""
    data = raw.get("data")
    if isinstance(data, dict):
        said = next((text(data.get(n), 500) for n in _ERRORS if isinstance(data.get(n), str) and data.get(n)), "")
        if said and "entryType" not in data and "alertId" not in data:
            return f"error answer: {said[:200]}"
        if set(data) <= {"status", "details", "statusMessage", "guid", "requestId", "message", "Status"} and data:
            return "status reply"
        return ""
    if data is None or data == "":
        error = obj(raw.get("error"))
        message = text(raw.get("message"), 500) or text(error.get("message"), 500) or text(raw.get("error"), 500)
        few = set(raw) <= {"message", "ok", "data", "error", "errors", "code", "status", "statusCode", "timestamp",
                           "path", "requestId", "details"}  # fmt: skip
        if few and raw.get("ok") is True and (not message or message == "SUCCESS"):
            return "status reply"
        if few and message and ("ok" in raw or len(raw) <= 4):
            return f"error answer: {message[:200]}"
        if few and text(raw.get("status"), 100) and "details" in raw:
            return "status reply"
    return ""
