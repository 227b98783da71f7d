"""``AwsClouds`` implements ``ports.CloudFactory``: one attributed session a plan, boto3 in threads.

Rules
- A reader can make no writing call, a writer only those that a playbook declares: both are allow-lists.
- A write is sent once. Whether it is sent again is the engine's decision, after it has read the state.
- Every call carries who decided what: user agent always; session name, session tags and source identity with a role.
"""

from __future__ import annotations

import asyncio
import re
import threading
from base64 import b64encode
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import Any

from bot.domain.errors import CloudRefused, ConnectorError, OutcomeUnknown, RetryLater
from bot.domain.plans import Call
from bot.ports import Attribution
from bot.settings import AwsSettings
from connectors.aws.errors import explain

READ_PREFIXES = ("get_", "list_", "describe_", "head_", "batch_get_", "lookup_", "search_", "simulate_")
READ_OPERATIONS = frozenset({"iam.generate_credential_report"})
# They are called "get" but hand out secrets, keys or logins, or cost money: no check needs them.
NEVER_READ = frozenset(
    {
        "secretsmanager.get_secret_value", "secretsmanager.batch_get_secret_value", "sts.get_session_token",
        "sts.get_federation_token", "ssm.get_parameter", "ssm.get_parameters", "ssm.get_parameters_by_path",
        "s3.get_object", "s3.get_object_torrent", "ec2.get_password_data", "ecr.get_authorization_token",
        "ecr-public.get_authorization_token", "redshift.get_cluster_credentials", "sso.get_role_credentials",
        "redshift.get_cluster_credentials_with_iam", "codeartifact.get_authorization_token",
        "ec2.get_console_screenshot",
        "cognito-identity.get_credentials_for_identity", "cognito-identity.get_open_id_token",
    }
)  # fmt: skip
_PAGE_SIZES = frozenset({"MaxKeys", "MaxResults", "MaxItems", "MaxRecords", "Limit", "limit", "maxResults"})
_WORKERS = 8
_RENEW_SECONDS = 300.0
_UNSAFE_AGENT = re.compile(r"[^A-Za-z0-9._:=@-]")
_UNSAFE_SESSION = re.compile(r"[^\w+=,.@-]", re.ASCII)


class AwsClouds:
    """Opens attributed AWS access. ``write_operations`` are ``service.operation`` names (or pairs)."""

    def __init__(
        self,
        settings: AwsSettings,
        *,
        write_operations: Collection[str | tuple[str, str]] = (),
        clients: Callable[..., Any] | None = None,
    ) -> None:
        self.settings = settings
        self.write_operations = frozenset(o if isinstance(o, str) else ".".join(o) for o in write_operations)
        self.pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="aws")
        self._clients = clients
        self._session: Any = None
        self._lock = threading.Lock()

    def reader(self, why: Attribution) -> AwsReader:
        return AwsReader(self, why, self.settings.read_role or "")

    def writer(self, why: Attribution) -> AwsCloud:
        return AwsCloud(self, why, self.settings.write_role or "")

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)

    def client(
        self, service: str, region: str, agent: str, *, attempts: int, keys: dict[str, str] | None = None
    ) -> Any:
        """A boto3 client. Creating one is not thread-safe in boto3, hence the lock; using one is."""
        from botocore.config import Config

        # A simulated s3control gets "<account>." put before its host by an endpoint rule, and the name does not
        # resolve; as a proxy the simulator is reached without asking for the name.
        endpoint = self.settings.endpoint_url
        proxies = {"http": endpoint} if endpoint.startswith("http://") and service == "s3control" else None
        config = Config(
            user_agent_extra=agent,
            connect_timeout=min(self.settings.timeout_seconds, 10),
            read_timeout=self.settings.timeout_seconds,
            retries={"mode": "standard", "total_max_attempts": attempts},
            proxies=proxies,
            **({"s3": {"addressing_style": "path"}} if endpoint and service == "s3" else {}),
        )
        with self._lock:
            if self._clients is not None:
                make = self._clients
            else:
                if self._session is None:
                    import boto3

                    self._session = boto3.session.Session()
                make = self._session.client
            return make(
                service,
                region_name=region or self.settings.region,
                endpoint_url=endpoint or None,
                config=config,
                **(keys or {}),
            )


class AwsReader:
    """Read-only calls; implements ``ports.CloudReader``."""

    def __init__(self, clouds: AwsClouds, why: Attribution, role: str) -> None:
        self._clouds, self._why, self._role = clouds, why, role
        self._agent = user_agent(why)
        self._made: dict[tuple[str, str, str, int], Any] = {}
        self._keys: dict[str, tuple[dict[str, str], datetime]] = {}
        self._lock = threading.Lock()

    async def read(self, call: Call) -> dict[str, Any]:
        """The answer, JSON-able, all pages of it. ``CloudRefused.code`` tells absence."""
        refuse_unless_read(call)
        return await self._run(call, write=False)

    async def _run(self, call: Call, *, write: bool) -> dict[str, Any]:
        if call.provider != "aws":
            raise CloudRefused(f"this is AWS; {call.provider} was asked for.", code="WrongProvider")
        loop = asyncio.get_running_loop()
        # Reads may take botocore's five attempts; a write has one. The margin is for the assume-role call before it.
        patience = self._clouds.settings.timeout_seconds * (2 if write else 5) + 10
        future = loop.run_in_executor(self._clouds.pool, self._call, call, write)
        try:
            return await asyncio.wait_for(future, patience)
        except TimeoutError as error:
            name = f"AWS {call.service}.{call.operation}"
            if write:
                raise OutcomeUnknown(f"{name}: no answer within {patience:.0f} s; it may have happened.") from error
            raise RetryLater(f"{name}: no answer within {patience:.0f} s.") from error

    def _call(self, call: Call, write: bool) -> dict[str, Any]:
        sent = False
        try:
            client = self._client(call, attempts=1 if write else 5)
            if call.operation not in client.meta.method_to_api_mapping:  # get_paginator and the like are no calls
                raise CloudRefused(f"AWS {call.service} has no operation {call.operation}.", code="NoSuchOperation")
            sent = True
            # Who names a page size wants that one page (one object of a bucket of millions, say).
            if not write and client.can_paginate(call.operation) and not _PAGE_SIZES & call.params.keys():
                answer = client.get_paginator(call.operation).paginate(**call.params).build_full_result()
            else:
                answer = getattr(client, call.operation)(**call.params)
        except ConnectorError:
            raise
        except Exception as error:
            # Before ``sent`` nothing of the write has left: a failed login or an unknown service is a plain refusal.
            raise explain(error, service=call.service, operation=call.operation, write=write and sent) from error
        plain = jsonable({k: v for k, v in answer.items() if k != "ResponseMetadata"})
        assert isinstance(plain, dict)
        return plain

    def _client(self, call: Call, *, attempts: int) -> Any:
        region = call.region if call.region not in ("", "global", "aws-global") else self._clouds.settings.region
        keys = self._credentials(call.account) if self._role else None
        name = (call.service, region, keys["aws_access_key_id"] if keys else "", attempts)
        with self._lock:
            found = self._made.get(name)
        if found is None:
            found = self._clouds.client(call.service, region, self._agent, attempts=attempts, keys=keys)
            with self._lock:
                found = self._made.setdefault(name, found)
        return found

    def _credentials(self, account: str) -> dict[str, str]:
        """Keys of the role in the account, assumed for this very decision."""
        with self._lock:
            held = self._keys.get(account)
        now = datetime.now(UTC)
        if held and (held[1] - now).total_seconds() > _RENEW_SECONDS:
            return held[0]
        settings = self._clouds.settings
        request: dict[str, Any] = {
            "RoleArn": self._role.replace("{account}", account),
            "RoleSessionName": session_name(self._why),
            "DurationSeconds": 3600,
            "Tags": session_tags(self._why),
        }
        if self._why.principal_id:
            request["SourceIdentity"] = _UNSAFE_SESSION.sub("-", self._why.principal_id)[:64]
        if settings.external_id is not None:
            request["ExternalId"] = settings.external_id.get_secret_value()
        try:
            sts = self._clouds.client("sts", settings.region, self._agent, attempts=5)
            granted = sts.assume_role(**request)["Credentials"]
        except Exception as error:
            told = explain(error, service="sts", operation="assume_role", write=False)
            told.mend = (
                told.mend or f"Check that {request['RoleArn']} exists and trusts this bot (and aws.external_id)."
            )
            raise told from error
        keys = {
            "aws_access_key_id": granted["AccessKeyId"],
            "aws_secret_access_key": granted["SecretAccessKey"],
            "aws_session_token": granted["SessionToken"],
        }
        with self._lock:
            self._keys[account] = (keys, granted["Expiration"])
            if held:  # clients with the keys of before would pile up in a reader that lives for long
                old = held[0]["aws_access_key_id"]
                self._made = {name: made for name, made in self._made.items() if name[2] != old}
        return keys


class AwsCloud(AwsReader):
    """Reads and declared writes; implements ``ports.Cloud``."""

    async def write(self, call: Call, *, idempotency_key: str) -> dict[str, Any]:
        """Send one write once. AWS has no idempotency key on most calls: the user agent carries ours."""
        name = f"{call.service}.{call.operation}"
        if name not in self._clouds.write_operations:
            raise CloudRefused(
                f"{name} is not a declared change of any playbook.",
                code="NotDeclared",
                mend="A playbook has to name every operation that it changes things with.",
            )
        return await self._run(call, write=True)


def refuse_unless_read(call: Call) -> None:
    """A reader makes reading calls only, and none that hands out secrets."""
    name = f"{call.service}.{call.operation}"
    if name in NEVER_READ or not (call.operation.startswith(READ_PREFIXES) or name in READ_OPERATIONS):
        raise CloudRefused(f"{name} is not a read that this bot may make.", code="NotARead")


def user_agent(why: Attribution) -> str:
    ids = (
        ("finding", why.finding_id),
        ("plan", why.plan_id),
        ("decision", why.decision_id),
        ("principal", why.principal_id),
    )
    return " ".join(["gatehouse/1", *(f"{k}/{_UNSAFE_AGENT.sub('-', v)[:80]}" for k, v in ids if v)])


def session_name(why: Attribution) -> str:
    said = why.decision_id or why.plan_id or why.finding_id or "read"
    return _UNSAFE_SESSION.sub("-", f"gatehouse-{said}")[:64]


def session_tags(why: Attribution) -> list[dict[str, str]]:
    pairs = (
        ("finding", why.finding_id),
        ("plan", why.plan_id),
        ("decision", why.decision_id),
        ("principal", why.principal_id),
    )
    return [{"Key": f"gatehouse:{k}", "Value": re.sub(r"[^\w .:/=+@-]", "-", v)[:256]} for k, v in pairs if v]


def jsonable(value: Any) -> Any:
    """What boto3 answers, as JSON: times in ISO (UTC), bytes in base64, streams read."""
    if isinstance(value, dict):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(v) for v in value]
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return b64encode(bytes(value)).decode("ascii")
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if hasattr(value, "read"):
        return jsonable(value.read())
    return str(value)


async def check_aws(settings: AwsSettings) -> str:
    """For the doctor: who we are in AWS. Raises what stands in the way."""
    clouds = AwsClouds(settings)
    try:
        reader = AwsReader(clouds, Attribution(), "")
        who = await reader.read(
            Call(
                provider="aws",
                account="",
                region=settings.region,
                service="sts",
                operation="get_caller_identity",
                params={},
            )
        )
    finally:
        clouds.close()
    roles = [
        f"{name} {role}"
        for name, role in (("reads by", settings.read_role), ("changes by", settings.write_role))
        if role
    ]
    where = f" at {settings.endpoint_url}" if settings.endpoint_url else ""
    return f"{who.get('Arn', '?')} in account {who.get('Account', '?')}{where}" + (
        f"; {', '.join(roles)}" if roles else ""
    )
