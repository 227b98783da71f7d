"""What of an object goes into its hash: what the mapping uses, without what moves at every scan."""

from __future__ import annotations

from typing import Any

from bot.domain.findings import Account, Control, OwnerHint, Resource, Vulnerability
from connectors.orca.shapes import APP_MARK, View, words
from connectors.text import obj

# Every name that the mapping of an alert asks for, but for the times: a test holds the code to it.
SAID = words(
    "account accountname alertid alertlabels alertsource alerttype alerturl arn assetarn "
    "assetavailabilityzones assetlabels assetname assetregions assettags assettagsinfolist assettype "
    "assettypestring assetuniqueid assetvendorid businessunit businessunits category closedreason closedtime "
    "cloudaccount cloudprovider cloudproviderid cloudvendorid clusteruniqueid codeowners configuration "
    "consoleurllink context crownjewel crownjewelscore customtagsinfolist cvefixavailable cveids cvelist "
    "description details dismissreason exposure groupname groupuniqueid internetfacing iscompliance "
    "iscrownjewel isinternetfacing jiraissue jiraissuelink labels maxcvssscore mitrecategory mitretechnique "
    "mitretechniques name observations orcascore organizationname recommendation region relatedcompliances "
    "remediationcli remediationconsole riskfindings risklevel ruleid ruletype score severity snoozeduntil "
    "snoozeend snoozeendtime snoozeexpiration snoozetime snoozeuntil source status statusreason subjecttype "
    "tagsinfolist tagslist title type typestring uiurl vmid"
)
SAID_OF_ASSET = words(
    "accountid arn assetuniqueid azureid businessunits cloudaccount cloudprovider cloudproviderid "
    "cloudvendorid consoleurllink detectedcrownjewelreason detectedcrownjewelscore exposure fullname "
    "instanceid internetfacing isinternetfacing name observations region regions resourceid selflink tags type "
    "uiuniquefield"
)
_MOVING = frozenset({"First Seen", "Last Seen", "Asset Risk Score", "first_seen", "last_seen"})


def content(view: View) -> list[Any]:
    """Of an alert; cheap, because it is asked for every alert of every poll."""
    findings = view.get("findings")
    if isinstance(findings, list):
        findings = [
            {name: value for name, value in one.items() if name not in _MOVING} if isinstance(one, dict) else one
            for one in findings[:500]
        ]
    templates = obj(view.raw.get("data"))
    return [
        {name: value for name, value in view.fields.items() if name in SAID},
        {name: value for name, value in view.assets.items() if name in SAID_OF_ASSET},
        findings,
        view.raw.get("type"),
        view.raw.get(APP_MARK),
        obj(view.get("model")).get("type"),
        [templates.get(name) for name in ("details", "recommendation")],
    ]


def plain_value(value: Any) -> Any:
    """A field of our finding as plain data."""
    if isinstance(value, tuple):
        return [plain_value(one) for one in value]
    return value.__dict__ if isinstance(value, (Resource, Account, Vulnerability, Control, OwnerHint)) else value
