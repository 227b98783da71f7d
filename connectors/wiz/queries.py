"""The GraphQL texts. ``description`` of a rule is aliased by its type: the members of the union differ in it."""

from __future__ import annotations

import re
from collections.abc import Collection

_CATEGORIES = "securitySubCategories { title category { name framework { name } } }"
_PROJECT = (
    "projects { id name slug businessUnit riskProfile { businessImpact } projectOwners { id name email } "
    "securityChampions { id name email } }"
)
OWNERS = frozenset({"projectOwners", "securityChampions"})
_RULE = f"""
      __typename
      ... on Control {{ id name controlDescription: description resolutionRecommendation risks {_CATEGORIES} }}
      ... on CloudEventRule {{ id name cloudEventRuleDescription: description sourceType type risks {_CATEGORIES} }}
      ... on CloudConfigurationRule {{ id name cloudConfigurationRuleDescription: description
        remediationInstructions serviceType risks {_CATEGORIES} }}"""
_ISSUE = f"""
      id type status severity createdAt updatedAt statusChangedAt dueAt resolvedAt resolutionReason rejectionExpiredAt
      %s {{ {_RULE} }}
      {_PROJECT}
      entitySnapshot {{ id type nativeType name status cloudPlatform cloudProviderURL providerId externalId region
        resourceGroupExternalId subscriptionExternalId subscriptionName subscriptionTags tags }}
      serviceTickets {{ externalId name url }}
      notes {{ id createdAt updatedAt text user {{ name email }} serviceAccount {{ name }} }}"""
_CONFIGURATION = """
      id name targetExternalId targetObjectProviderUniqueId deleted firstSeenAt analyzedAt updatedAt severity result
      status remediation
      resource { id providerId name nativeType type region cloudPlatform
        subscription { id name externalId cloudProvider }
        projects { id name riskProfile { businessImpact } } tags { key value } }
      rule { id shortId graphId name description remediationInstructions functionAsControl }
      securitySubCategories { id title category { id name framework { id name } } }
      ignoreRules { id name enabled expiredAt }"""
_VULNERABILITY = f"""
      id portalUrl name CVEDescription description detailedName version fixedVersion detectionMethod locationPath link
      remediation severity vendorSeverity CVSSSeverity score cnaScore hasExploit hasCisaKevExploit epssPercentile
      epssProbability validatedInRuntime status resolutionReason firstDetectedAt lastDetectedAt resolvedAt
      {_PROJECT}
      ignoreRules {{ id name enabled expiredAt }}
      vulnerableAsset {{
        ... on VulnerableAssetBase {{ id type name region providerUniqueId cloudProviderURL cloudPlatform status
          subscriptionName subscriptionExternalId subscriptionId tags
          hasLimitedInternetExposure hasWideInternetExposure }}
        ... on VulnerableAssetVirtualMachine {{ operatingSystem nativeType
          computeInstanceGroup {{ id externalId name tags }} }}
      }}"""
_DETECTION = """
      id type severity origins createdAt updatedAt description(format: MARKDOWN)
      primaryResource { id type name externalId region }
      primaryActor { id name type }
      actors { id name type externalId providerUniqueId }
      resources { id name type externalId providerUniqueId }
      cloudAccounts { id name externalId cloudProvider }
      issue { id }
      triggeringEvents(first: 10) { nodes { ... on CloudEvent { id description } } }
      ruleMatch { rule { id name builtin securitySubCategories { id title category { id name framework { id } } } } }"""

_ROOTS = {
    "issues": ("issuesV2", "IssueFilters", "IssueOrder", _ISSUE),
    "configuration": (
        "configurationFindings", "ConfigurationFindingFilters", "ConfigurationFindingOrder", _CONFIGURATION
    ),
    "vulnerabilities": ("vulnerabilityFindings", "VulnerabilityFindingFilters", "", _VULNERABILITY),
    "detections": ("detections", "DetectionFilters", "DetectionOrder", _DETECTION),
}  # fmt: skip
ORDERS = {
    # by what never changes, so that a page holds still while others are read
    "issues": {"field": "CREATED_AT", "direction": "ASC"},
    "configuration": {"field": "FIRST_SEEN_AT", "direction": "ASC"},
    "detections": {"field": "CREATED_AT", "direction": "ASC"},
}


# Without these a finding could not be told from others.
NEEDED = frozenset({"id", "name", "status", "severity", "result", "nodes", "pageInfo", "hasNextPage", "endCursor",
                    "entitySnapshot", "resource", "rule", "vulnerableAsset", "sourceRules"})  # fmt: skip


def listing(kind: str, *, source_rules: bool = False, without: Collection[str] = ()) -> str:
    """The paged query of a kind, without fields that a tenant does not know. Its answer stands under ``found``."""
    root, filters, order, fields = _ROOTS[kind]
    if kind == "issues":
        fields %= "sourceRules" if source_rules else "sourceRule"
    for name in sorted(without):
        # with its alias, arguments and inner selection (two levels are the most there is below an optional field)
        inner = r"\{(?:[^{}]|\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\})*\}"
        fields = re.sub(rf"(?:\w+:\s*)?\b{re.escape(name)}\b(?:\([^)]*\))?(?:\s*{inner})?", "", fields)
    wanted, given = (f", $orderBy: {order}", ", orderBy: $orderBy") if order else ("", "")
    return (
        f"query Gatehouse($filterBy: {filters}, $first: Int, $after: String{wanted}) {{\n"
        f"  found: {root}(filterBy: $filterBy, first: $first, after: $after{given}) {{\n"
        f"    nodes {{{fields}\n    }}\n    pageInfo {{ hasNextPage endCursor }}\n  }}\n}}"
    )


ISSUE_STATE = """query GatehouseIssue($id: ID!) {
  issue(id: $id) { id type status resolutionReason notes { id text } }
}"""
UPDATE_ISSUE = """mutation GatehouseUpdate($issueId: ID!, $patch: UpdateIssuePatch) {
  updateIssue(input: {id: $issueId, patch: $patch}) { issue { id status dueAt resolutionReason note } }
}"""
ADD_NOTE = """mutation GatehouseNote($input: CreateIssueNoteInput!) {
  createIssueNote(input: $input) { issueNote { id createdAt text } }
}"""
