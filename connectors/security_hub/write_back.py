"""Tells Security Hub what became of a finding: workflow status and note, of ASFF and of the new OCSF findings.

- HTTP 200 is not success: what was not done stands in ``UnprocessedFindings``.
- There is one note, a new one replaces it. What a person had written is kept behind ours, as far as 512 characters go.
- Writing the same again is harmless; changes take minutes to show in ``GetFindings``: ``told`` may say no for a while.
- ``UpdatedAt`` does not move, so the poller asks for workflow statuses in a query of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bot.domain.errors import ConnectorError, Gone, OutcomeUnknown, Refused, RetryLater
from bot.domain.plans import Call
from bot.ports import Cloud, CloudReader, SourceNote
from connectors.security_hub.mapping import SOURCE
from connectors.security_hub.poller import whole
from connectors.text import integer, obj, seq, text

WRITES = ("securityhub.batch_update_findings", "securityhub.batch_update_findings_v2")
NOTE_SIZE = 512
# our word -> (workflow status of ASFF, status_id of OCSF)
_STATUS = {
    "fixed": ("RESOLVED", 4),
    "accepted": ("SUPPRESSED", 3),
    "dismissed": ("SUPPRESSED", 3),
    "reopened": ("NEW", 1),
}


class SecurityHubWriteBack:
    source = SOURCE

    def __init__(
        self,
        cloud: Cloud,
        reader: CloudReader,
        *,
        region: str,
        account: str = "",
        done: Callable[[], None] | None = None,
    ) -> None:
        self._cloud, self._reader, self._region, self._account = cloud, reader, region, account
        self._done = done

    async def close(self) -> None:
        if self._done is not None:
            self._done()

    async def told(self, note: SourceNote) -> bool:
        wanted, number = _wanted(note)
        found = await self._read(note)
        if found is None:
            raise Gone(f"Security Hub no longer has the finding {note.uid[:200]}")
        if _is_ocsf(note.raw):
            return integer(found.get("status_id")) == number and note.key in text(found.get("comment"))
        status = text(obj(found.get("Workflow")).get("Status"), 32)
        return status == wanted and note.key in text(obj(found.get("Note")).get("Text"))

    async def tell(self, note: SourceNote) -> str:
        wanted, number = _wanted(note)
        found = await self._read(note) or {}
        said = note.note if note.key in note.note else f"{note.note} [{note.key}]"
        if _is_ocsf(note.raw):
            comment = _with_old(said, text(found.get("comment")), note.key)
            params: dict[str, Any] = {"MetadataUids": [_metadata_uid(note.raw)], "StatusId": number, "Comment": comment}
            answer = await self._write("batch_update_findings_v2", params, note)
        else:
            old = text(obj(found.get("Note")).get("Text"))
            params = {
                "FindingIdentifiers": [_identifier(note)],
                "Workflow": {"Status": wanted},
                "Note": {"Text": _with_old(said, old, note.key), "UpdatedBy": "gatehouse"},
            }
            answer = await self._write("batch_update_findings", params, note)
        left = seq(answer.get("UnprocessedFindings"))
        if left:
            raise _unprocessed(obj(left[0]))
        if not seq(answer.get("ProcessedFindings")):
            raise OutcomeUnknown("Security Hub says neither that the finding was updated nor that it was not")
        return f"workflow status {wanted}, note written"

    async def rescan(self, note: SourceNote) -> str:
        return ""  # Security Hub checks on its own: on a change of the resource, and every 12 or 24 hours

    async def _read(self, note: SourceNote) -> Mapping[str, Any] | None:
        if _is_ocsf(note.raw):
            uid = {"FieldName": "metadata.uid", "Filter": {"Value": _metadata_uid(note.raw), "Comparison": "EQUALS"}}
            filters: dict[str, Any] = {"CompositeFilters": [{"StringFilters": [uid]}]}
            operation = "get_findings_v2"
        else:
            ids = _identifier(note)
            filters = {name: [{"Value": value, "Comparison": "EQUALS"}] for name, value in ids.items()}
            operation = "get_findings"
        answer = whole(await self._reader.read(self._call(operation, {"Filters": filters, "MaxResults": 1})))
        return next((one for one in seq(answer.get("Findings")) if isinstance(one, dict)), None)

    async def _write(self, operation: str, params: dict[str, Any], note: SourceNote) -> dict[str, Any]:
        return await self._cloud.write(self._call(operation, params), idempotency_key=note.key)

    def _call(self, operation: str, params: dict[str, Any]) -> Call:
        return Call(
            provider="aws", account=self._account, region=self._region, service="securityhub", operation=operation,
            params=params,
        )  # fmt: skip


def _wanted(note: SourceNote) -> tuple[str, int]:
    found = _STATUS.get(note.to)
    if found is None:
        raise Refused(f"Security Hub knows no workflow status for {note.to!r}")
    return found


def _is_ocsf(raw: Mapping[str, Any]) -> bool:
    return "finding_info" in raw


def _metadata_uid(raw: Mapping[str, Any]) -> str:
    uid = text(obj(raw.get("metadata")).get("uid"), 4000)
    if not uid:
        raise Refused("the finding has no metadata.uid, by which the new Security Hub names it")
    return uid


def _identifier(note: SourceNote) -> dict[str, str]:
    uid, _, product = note.uid.rpartition("|")
    uid, product = text(note.raw.get("Id"), 4000) or uid, text(note.raw.get("ProductArn"), 2000) or product
    if not uid or not product:
        raise Refused(f"{note.uid[:200]!r} names no finding of Security Hub: Id and ProductArn are both needed")
    return {"Id": uid, "ProductArn": product}


def _with_old(said: str, old: str, key: str) -> str:
    """Our note, and behind it what stood there, unless that is ours already."""
    if len(said) > NOTE_SIZE:
        said = f"{said[: NOTE_SIZE - len(key) - 4]}… [{key}]"[:NOTE_SIZE]  # by its key it is found again
    if not old or key in old or len(said) > NOTE_SIZE - 20:
        return said
    return f"{said} | before: {old}"[:NOTE_SIZE]


def _unprocessed(left: Mapping[str, Any]) -> ConnectorError:
    code, why = text(left.get("ErrorCode"), 64), text(left.get("ErrorMessage"), 300)
    said = f"Security Hub did not update the finding: {code} {why}".strip()
    if code in ("ConcurrentUpdateError", "ThrottlingException", "TooManyRequestsException"):
        return RetryLater(said, after=5.0)
    if code in ("FindingNotFound", "ResourceNotFoundException"):
        return Gone(said)
    if code in ("InternalFailure", "InternalServerException", "InternalException"):
        return OutcomeUnknown(said)
    return Refused(said, mend="The role needs securityhub:BatchUpdateFindings in the aggregation Region.")
