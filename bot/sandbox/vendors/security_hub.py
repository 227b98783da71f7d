"""A simulated Security Hub (ASFF) of one Region over the problems of one company, spoken to by boto3 through its
endpoint URL.

Kept rules: at most 100 findings a call; filters of different fields are joined by AND, of one field by OR; page tokens
are good for their request only; ``UpdatedAt`` moves with the check and not with ``BatchUpdateFindings``; HTTP 200 with
``UnprocessedFindings``; one note, a new one replaces it; a check that fails again sets the workflow back to NEW.

A problem that is solved is half the time PASSED, half the time ARCHIVED.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from bot.sandbox.vendors.company import Problem, World

REGION = "us-east-1"
_MOST = 100
_TYPES = {
    "s3-bucket": "AwsS3Bucket",
    "security-group": "AwsEc2SecurityGroup",
    "ec2-instance": "AwsEc2Instance",
    "rds-instance": "AwsRdsDbInstance",
    "rds-snapshot": "AwsRdsDbSnapshot",
    "sqs-queue": "AwsSqsQueue",
    "sns-topic": "AwsSnsTopic",
    "iam-user": "AwsIamUser",
    "kms-key": "AwsKmsKey",
}
# Controls of AWS Foundational Security Best Practices that find the same problem (AWS's documentation of controls).
_CONTROLS = {
    "s3-public": "S3.8",
    "s3-no-tls": "S3.5",
    "s3-no-versions": "S3.14",
    "sg-ssh-open": "EC2.13",
    "sg-rdp-open": "EC2.14",
    "sg-postgres-open": "EC2.19",
    "ec2-imds-v1": "EC2.8",
    "snapshot-public": "EC2.1",
    "rds-public": "RDS.2",
    "rds-not-encrypted": "RDS.3",
    "rds-snapshot-public": "RDS.1",
    "sqs-public": "SQS.3",
    "sns-public": "SNS.4",
    "iam-key-old": "IAM.3",
    "kms-no-rotation": "KMS.4",
}
_KINDS = {
    "posture": "Software and Configuration Checks/Industry and Regulatory Standards",
    "vulnerability": "Software and Configuration Checks/Vulnerabilities/CVE",
    "threat": "TTPs/Initial Access",
}


@dataclass
class Faults:
    """What goes wrong next, each word used up by one call: ``429``, ``500``, ``truncated``, ``expired`` (the caller's
    credentials), ``token`` (the page token is no longer good)."""

    next: list[str] = field(default_factory=list)

    def take(self, *words: str) -> str:
        return self.next.pop(0) if self.next and self.next[0] in words else ""


@dataclass
class _Said:
    workflow: str
    note: str
    by: str
    at: datetime


class SecurityHub:
    def __init__(
        self, world: World, *, now: Callable[[], datetime] = lambda: datetime.now(UTC), account: str = "111122223333"
    ) -> None:
        self.world, self.now, self.account = world, now, account
        self.faults = Faults()
        self.calls: list[tuple[str, str]] = []
        self._said: dict[str, _Said] = {}
        self._pages: dict[str, tuple[str, list[Problem], int]] = {}
        self._tokens = 0

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._gate], client_max_size=4 << 20)
        app.router.add_post("/", self._assume_role)
        app.router.add_post("/findings", self._findings)
        app.router.add_patch("/findings/batchupdate", self._update)
        return app

    # --- what tests compare with

    def identity(self, problem: Problem) -> tuple[str, str]:
        """(Id, ProductArn)."""
        return (
            f"arn:aws:securityhub:{REGION}:{problem.account}:finding/{problem.uuid('security_hub')}",
            f"arn:aws:securityhub:{REGION}::product/aws/securityhub",
        )

    def state(self, problem: Problem) -> str:
        """open | resolved | suppressed, as its three words together say."""
        if problem.status == "resolved":
            return "resolved"
        workflow = self._workflow(problem)
        return {"SUPPRESSED": "suppressed", "RESOLVED": "resolved"}.get(workflow, "open")

    def note(self, problem: Problem) -> str:
        said = self._said.get(problem.key)
        return said.note if said else ""

    # --- at the door

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.calls.append((request.method, request.path))
        if "AWS4-HMAC-SHA256" not in request.headers.get("Authorization", ""):
            return _error("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
        if request.path == "/":  # STS has no part in what goes wrong here
            role: web.StreamResponse = await handler(request)
            return role
        if self.faults.take("expired"):
            return _error("ExpiredTokenException", "The security token included in the request is expired", 403)
        if self.faults.take("429"):
            return _error("TooManyRequestsException", "Too Many Requests", 429)
        if self.faults.take("500"):
            return _error("InternalException", "Internal server error", 500)
        answer: web.StreamResponse = await handler(request)
        if isinstance(answer, web.Response) and isinstance(answer.body, bytes) and self.faults.take("truncated"):
            return web.Response(body=answer.body[: len(answer.body) // 2], content_type="application/json")
        return answer

    async def _assume_role(self, request: web.Request) -> web.Response:
        """STS stands at the same address: whoever asks gets a role."""
        form = await request.post()
        if form.get("Action") != "AssumeRole":
            refused = "<ErrorResponse><Error><Code>InvalidAction</Code></Error></ErrorResponse>"
            return web.Response(status=400, text=refused)
        until = datetime.now(UTC) + timedelta(hours=1)  # boto3 compares with the real clock
        return web.Response(
            content_type="text/xml",
            text="<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIASIMULATED</AccessKeyId>"
            "<SecretAccessKey>simulated</SecretAccessKey><SessionToken>simulated</SessionToken>"
            f"<Expiration>{_iso(until)}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>",
        )

    # --- reading

    async def _findings(self, request: web.Request) -> web.Response:
        asked = json.loads(await request.read() or b"{}")
        size = asked.get("MaxResults", 10)
        if not isinstance(size, int) or not 1 <= size <= _MOST:
            return _error("InvalidInputException", f"MaxResults must be between 1 and {_MOST}", 400)
        token = asked.pop("NextToken", None)
        query = json.dumps(asked, sort_keys=True)
        start = 0
        if token:
            if self.faults.take("token"):
                self._pages.clear()
            known = self._pages.pop(token, None)
            if known is None or known[0] != query:
                return _error("InvalidInputException", "The NextToken is not valid", 400)
            _, found, start = known
        else:
            filters = asked.get("Filters") or {}
            unknown = filters.keys() - {"UpdatedAt", "WorkflowStatus", "RecordState", "Id", "ProductArn"}
            if unknown:
                return _error("InvalidInputException", f"unknown filter {sorted(unknown)[0]}", 400)
            found = [one for one in self.world.problems() if self._fits(one, filters)]
            for order in reversed(asked.get("SortCriteria") or []):
                if order.get("Field") == "UpdatedAt":
                    found.sort(key=lambda one: one.changed_at, reverse=order.get("SortOrder") == "desc")
        # a page shows what is so now: what changed while pages were read is shown as it is
        page = [self.finding(self.world.get(one.key) or one) for one in found[start : start + size]]
        answer: dict[str, Any] = {"Findings": page}
        if start + size < len(found):
            self._tokens += 1
            answer["NextToken"] = f"token-{self._tokens}"
            self._pages[answer["NextToken"]] = (query, found, start + size)
        return web.json_response(answer)

    def _fits(self, problem: Problem, filters: Mapping[str, Any]) -> bool:
        for name, wanted in filters.items():
            if name == "UpdatedAt":
                updated = _iso(problem.changed_at)
                if not any(one.get("Start", "") <= updated <= one.get("End", "9") for one in wanted):
                    return False
                continue
            value = {
                "WorkflowStatus": lambda: self._workflow(problem),
                "RecordState": lambda: _record(problem),
                "Id": lambda: self.identity(problem)[0],
                "ProductArn": lambda: self.identity(problem)[1],
            }[name]()
            if not any(one.get("Value") == value for one in wanted):
                return False
        return True

    def _workflow(self, problem: Problem) -> str:
        said = self._said.get(problem.key)
        if said is None or problem.status_changed_at > said.at:
            return "RESOLVED" if problem.status == "resolved" and _record(problem) == "ACTIVE" else "NEW"
        return said.workflow

    def finding(self, problem: Problem) -> dict[str, Any]:
        """The finding in ASFF."""
        uid, product = self.identity(problem)
        control = _CONTROLS.get(problem.rule, "")
        said = self._said.get(problem.key)
        made: dict[str, Any] = {
            "SchemaVersion": "2018-10-08",
            "Id": uid,
            "ProductArn": product,
            "ProductName": "Security Hub",
            "CompanyName": "AWS",
            "Region": REGION,
            "GeneratorId": f"security-control/{control}" if control else f"acme/{problem.rule}",
            "AwsAccountId": problem.account,
            "AwsAccountName": problem.account_name,
            "Types": [_KINDS[problem.kind]],
            "FirstObservedAt": _iso(problem.first_seen),
            "LastObservedAt": _iso(problem.changed_at),
            "CreatedAt": _iso(problem.first_seen),
            "UpdatedAt": _iso(problem.changed_at),
            "Severity": {"Label": problem.severity.upper(), "Original": problem.severity.upper()},
            "Title": problem.title,
            "Description": f"{problem.title}: {problem.resource_name}.",
            "Remediation": {"Recommendation": {"Text": problem.fix}},
            "ProductFields": {},
            "Resources": [
                {
                    "Type": _TYPES.get(problem.resource_type, "Other"),
                    "Id": problem.resource_arn,
                    "Partition": "aws",
                    "Region": problem.region or REGION,
                    "Tags": dict(problem.tags),
                }
            ],
            "WorkflowState": "NEW",
            "Workflow": {"Status": self._workflow(problem)},
            "RecordState": _record(problem),
        }
        if problem.kind == "posture":
            passed = problem.status == "resolved"
            made["Compliance"] = {"Status": "PASSED" if passed else "FAILED"} | (
                {"SecurityControlId": control} if control else {}
            )
        if problem.cve:
            package = {"Name": problem.package, "Version": problem.version, "FixedInVersion": problem.fixed_version}
            made["Vulnerabilities"] = [
                {
                    "Id": problem.cve,
                    "VulnerablePackages": [{name: value for name, value in package.items() if value}],
                    "Cvss": [{"BaseScore": problem.cvss, "Version": "3.1"}],
                    "EpssScore": problem.epss,
                    "FixAvailable": "YES" if problem.fixed_version else "NO",
                }
            ]
        if said is not None and said.note:
            made["Note"] = {"Text": said.note, "UpdatedBy": said.by, "UpdatedAt": _iso(said.at)}
        return made

    # --- writing

    async def _update(self, request: web.Request) -> web.Response:
        asked = json.loads(await request.read())
        known = {self.identity(one): one for one in self.world.problems()}
        done, left = [], []
        for each in asked.get("FindingIdentifiers") or []:
            problem = known.get((each.get("Id"), each.get("ProductArn")))
            if problem is None:
                left.append({"FindingIdentifier": each, "ErrorCode": "FindingNotFound", "ErrorMessage": "not found"})
                continue
            before, note = self._said.get(problem.key), asked.get("Note") or {}
            self._said[problem.key] = _Said(
                workflow=(asked.get("Workflow") or {}).get("Status") or self._workflow(problem),
                note=str(note.get("Text") or (before.note if before else "")),
                by=str(note.get("UpdatedBy") or (before.by if before else "")),
                at=self.now(),
            )
            done.append(each)
        return web.json_response({"ProcessedFindings": done, "UnprocessedFindings": left})


def _record(problem: Problem) -> str:
    """Half of what is solved is archived; a check that passed stays."""
    passes = problem.kind == "posture" and int(problem.uuid("security_hub")[0], 16) % 2 == 0
    return "ARCHIVED" if problem.status == "resolved" and not passes else "ACTIVE"


def _error(code: str, said: str, status: int) -> web.Response:
    return web.json_response({"Code": code, "Message": said}, status=status, headers={"x-amzn-ErrorType": code})


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
