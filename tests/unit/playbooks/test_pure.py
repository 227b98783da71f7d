"""The pure halves: what is planned from a state, and that undo is its inverse."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.errors import BadInput, CloudRefused
from bot.domain.plans import Call, Change
from bot.ports import State
from bot.remediation.playbooks.aws import policies
from bot.remediation.playbooks.aws.base import plural
from bot.remediation.playbooks.aws.security_groups import world_rules
from tests.unit.playbooks.make import CATALOG, target_of

BUCKET = "arn:aws:s3:::acme-invoices"
GROUP = "arn:aws:ec2:us-east-1:123456789012:security-group/sg-0123456789abcdef0"
ALICE = "arn:aws:iam::123456789012:user/alice"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:orders"
ACCOUNT_ARN = "arn:aws:iam:us-east-1:123456789012:password-policy"
FLAGS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


class Answers:
    """A reader that answers from a table; an exception is raised."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    async def read(self, call: Call) -> dict[str, Any]:
        answer = self.answers[call.operation]
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, Exception):
            raise answer
        found: dict[str, Any] = answer
        return found


# --- absence ---------------------------------------------------------------------------------------------------------


async def test_no_configuration_is_none_and_no_rights_is_an_error() -> None:
    playbook, target = CATALOG.get("s3-block-public-access"), target_of("s3-block-public-access", BUCKET)
    website = CloudRefused("none", code="NoSuchWebsiteConfiguration")
    absent = CloudRefused("none", code="NoSuchPublicAccessBlockConfiguration")
    state = await playbook.inspect(Answers(get_public_access_block=absent, get_bucket_website=website), target)
    assert state == {"settings": None, "website": False}

    denied = CloudRefused("no", code="AccessDenied")
    with pytest.raises(CloudRefused):
        await playbook.inspect(Answers(get_public_access_block=denied, get_bucket_website=website), target)
    with pytest.raises(CloudRefused):
        await playbook.inspect(Answers(get_public_access_block=absent, get_bucket_website=denied), target)


@pytest.mark.parametrize(
    ("pre", "operation"),
    [(None, "delete_public_access_block"), (dict.fromkeys(FLAGS, False), "put_public_access_block")],
)
def test_absent_is_undone_by_deleting_and_off_by_putting(pre: Any, operation: str) -> None:
    playbook, target = CATALOG.get("s3-block-public-access"), target_of("s3-block-public-access", BUCKET)
    (back,) = playbook.undo(target, {"settings": pre}, {"settings": dict.fromkeys(FLAGS, True)})
    assert back.call.operation == operation


@given(st.none() | st.fixed_dictionaries({f: st.booleans() for f in FLAGS}))
def test_public_access_block_undo_is_the_inverse(pre: dict[str, bool] | None) -> None:
    playbook, target = CATALOG.get("s3-block-public-access"), target_of("s3-block-public-access", BUCKET)

    def run(state: State, changes: list[Change]) -> State:
        for change in changes:
            gone = change.call.operation == "delete_public_access_block"
            state = {"settings": None if gone else change.call.params["PublicAccessBlockConfiguration"]}
        return state

    post = run({"settings": pre}, playbook.changes(target, {"settings": pre}))
    assert post["settings"] == dict.fromkeys(FLAGS, True)
    assert run(post, playbook.undo(target, {"settings": pre}, post)) == {"settings": pre}


def test_a_web_site_is_warned_of() -> None:
    playbook, target = CATALOG.get("s3-block-public-access"), target_of("s3-block-public-access", BUCKET)
    radius = playbook.blast_radius([target], {target.uid: {"settings": None, "website": True}})
    assert radius.warnings == ("acme-invoices serves a static web site: it will stop.",)


# --- security groups -------------------------------------------------------------------------------------------------

cidrs = st.sampled_from(["0.0.0.0/0", "::/0", "10.0.0.0/8", "203.0.113.0/24", "2001:db8::/32"])
ports = st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(lambda p: (min(p), max(p)))


def permission(protocol: str, first: int | None, last: int | None, *ranges: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "IpProtocol": protocol,
        "IpRanges": [{"CidrIp": c} for c in ranges if ":" not in c],
        "Ipv6Ranges": [{"CidrIpv6": c} for c in ranges if ":" in c],
    }
    if first is not None:
        made |= {"FromPort": first, "ToPort": last}
    return made


async def group_state(playbook_id: str, *permissions: dict[str, Any]) -> State:
    answer = {"SecurityGroups": [{"GroupName": "g", "IpPermissions": list(permissions)}]}
    return await CATALOG.get(playbook_id).inspect(
        Answers(describe_security_groups=answer), target_of(playbook_id, GROUP)
    )


async def test_v4_and_v6_are_both_closed_and_named_ranges_never() -> None:
    state = await group_state("sg-revoke-world-ssh", permission("tcp", 22, 22, "0.0.0.0/0", "::/0", "10.0.0.0/8"))
    changes = CATALOG.get("sg-revoke-world-ssh").changes(target_of("sg-revoke-world-ssh", GROUP), state)
    sent = [c.call.params["IpPermissions"] for c in changes]
    base = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
    assert sent == [[{**base, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}], [{**base, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}]]


async def test_the_web_port_stays_open() -> None:
    state = await group_state("sg-revoke-world-ssh", permission("tcp", 443, 443, "0.0.0.0/0"))
    assert CATALOG.get("sg-revoke-world-ssh").changes(target_of("sg-revoke-world-ssh", GROUP), state) == []


async def test_a_wide_rule_that_covers_the_port_goes_with_a_warning() -> None:
    state = await group_state("sg-revoke-world-ssh", permission("tcp", 20, 30, "0.0.0.0/0"))
    playbook, target = CATALOG.get("sg-revoke-world-ssh"), target_of("sg-revoke-world-ssh", GROUP)
    assert len(playbook.changes(target, state)) == 1
    assert "tcp 20-30" in playbook.blast_radius([target], {target.uid: state}).warnings[0]


@pytest.mark.parametrize("wide", [permission("-1", None, None, "::/0"), permission("tcp", 0, 65535, "0.0.0.0/0")])
async def test_a_rule_for_every_port_is_left_to_its_own_playbook_and_not_called_fixed(wide: dict[str, Any]) -> None:
    state = await group_state("sg-revoke-world-ssh", wide)
    playbook, target = CATALOG.get("sg-revoke-world-ssh"), target_of("sg-revoke-world-ssh", GROUP)
    assert playbook.changes(target, state) == []
    said = playbook.verify(target, state)
    assert not said.ok
    assert "sg-revoke-world-all-ports" in said.why
    state = await group_state("sg-revoke-world-all-ports", wide)
    assert len(CATALOG.get("sg-revoke-world-all-ports").changes(target, state)) == 1


@given(st.lists(st.tuples(ports, st.lists(cidrs, unique=True, min_size=1)), max_size=6))
def test_exactly_the_world_ranges_over_the_port_are_revoked_and_undo_restores_them(
    rules: list[tuple[tuple[int, int], list[str]]],
) -> None:
    playbook, target = CATALOG.get("sg-revoke-world-mysql"), target_of("sg-revoke-world-mysql", GROUP)
    model = {("tcp", first, last, c) for (first, last), ranges in rules for c in ranges}

    def state(of: set[tuple[str, int, int, str]]) -> State:
        found = world_rules([permission(p, f, t, c) for p, f, t, c in of])
        everything = [r for r in found if r["from"] <= 1 and r["to"] >= 65535]
        owned = [r for r in found if r["from"] <= 3306 <= r["to"] and r not in everything]
        return {"group": "g", "rules": owned, "everything": everything}

    def run(of: set[tuple[str, int, int, str]], changes: list[Change]) -> set[tuple[str, int, int, str]]:
        for change in changes:
            permissions: Any = change.call.params["IpPermissions"]
            (sent,) = permissions
            for spelt in sent.get("IpRanges", []) + sent.get("Ipv6Ranges", []):
                rule = ("tcp", sent["FromPort"], sent["ToPort"], spelt.get("CidrIp") or spelt.get("CidrIpv6"))
                of = of - {rule} if change.call.operation.startswith("revoke") else of | {rule}
        return of

    pre = state(model)
    after = run(model, playbook.changes(target, pre))
    world = {r for r in model if r[3] in {"0.0.0.0/0", "::/0"} and r[1] <= 3306 <= r[2]}
    assert model - after == {r for r in world if not (r[1] <= 1 and r[2] >= 65535)}
    assert run(after, playbook.undo(target, pre, state(after))) == model


def test_the_size_of_a_plan_is_told_in_words() -> None:
    assert plural(1, "access key") == "1 access key"
    assert plural(2, "access key") == "2 access keys"
    assert plural(3, "repository") == "3 repositories"


# --- policies --------------------------------------------------------------------------------------------------------

WORLD: dict[str, Any] = {"Sid": "World", "Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": QUEUE}
FROM_S3 = {**WORLD, "Sid": "S3", "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::acme"}}}
OWN = {**WORLD, "Sid": "Own", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}}
DENY = {**WORLD, "Sid": "Deny", "Effect": "Deny"}
BOTH = {**WORLD, "Sid": "Both", "Principal": {"AWS": ["*", "arn:aws:iam::111122223333:root"]}}


def queue_state(*statements: dict[str, Any]) -> State:
    policy = {"Version": "2012-10-17", "Statement": list(statements)} if statements else None
    return {"url": "http://q", "policy": policy}


def sent_policy(change: Change) -> dict[str, Any] | None:
    attributes = change.call.params["Attributes"]
    assert isinstance(attributes, dict)
    text = attributes["Policy"]
    assert isinstance(text, str)
    return json.loads(text) if text else None


def test_statements_with_a_condition_denies_and_own_ones_stay() -> None:
    playbook, target = CATALOG.get("sqs-remove-public-policy"), target_of("sqs-remove-public-policy", QUEUE)
    state = queue_state(WORLD, FROM_S3, OWN, DENY)
    (change,) = playbook.changes(target, state)
    left = sent_policy(change)
    assert left is not None
    assert left["Statement"] == [FROM_S3, OWN, DENY]
    assert "Condition" in playbook.blast_radius([target], {target.uid: state}).warnings[0]


def test_who_is_named_beside_everyone_keeps_the_access() -> None:
    playbook, target = CATALOG.get("sqs-remove-public-policy"), target_of("sqs-remove-public-policy", QUEUE)
    (change,) = playbook.changes(target, queue_state(BOTH))
    left = sent_policy(change)
    assert left is not None
    assert left["Statement"][0]["Principal"] == {"AWS": ["arn:aws:iam::111122223333:root"]}


def test_a_condition_alone_is_nothing_to_do() -> None:
    playbook, target = CATALOG.get("sqs-remove-public-policy"), target_of("sqs-remove-public-policy", QUEUE)
    assert playbook.changes(target, queue_state(FROM_S3, OWN)) == []
    assert playbook.changes(target, queue_state()) == []


def test_undo_keeps_what_somebody_added_meanwhile() -> None:
    playbook, target = CATALOG.get("sqs-remove-public-policy"), target_of("sqs-remove-public-policy", QUEUE)
    added = {**OWN, "Sid": "Added"}
    (change,) = playbook.undo(target, queue_state(WORLD, OWN), queue_state(OWN, added))
    restored = sent_policy(change)
    assert restored is not None
    assert restored["Statement"] == [OWN, added, WORLD]


@given(st.lists(st.sampled_from([WORLD, FROM_S3, OWN, DENY, BOTH]), unique_by=lambda s: s["Sid"], max_size=5))
def test_policy_undo_is_the_inverse(statements: list[dict[str, Any]]) -> None:
    playbook, target = CATALOG.get("sqs-remove-public-policy"), target_of("sqs-remove-public-policy", QUEUE)
    pre = queue_state(*statements)
    now = pre
    for change in playbook.changes(target, pre):
        now = {**now, "policy": sent_policy(change)}
    assert not any(policies.is_public(s) for s in policies.statements(now["policy"]))
    for change in playbook.undo(target, pre, now):
        now = {**now, "policy": sent_policy(change)}
    assert policies.same(now["policy"], pre["policy"])


def test_tls_statement_is_added_once_and_beside_the_others() -> None:
    playbook, target = CATALOG.get("s3-deny-insecure-transport"), target_of("s3-deny-insecure-transport", BUCKET)
    pre = {"policy": {"Version": "2008-10-17", "Id": "x", "Statement": [OWN]}}
    (change,) = playbook.changes(target, pre)
    text = change.call.params["Policy"]
    assert isinstance(text, str)
    post = {"policy": policies.parse(text)}
    assert (post["policy"]["Id"], post["policy"]["Statement"][0]) == ("x", OWN)
    assert playbook.changes(target, post) == []
    (back,) = playbook.undo(target, pre, post)
    assert json.loads(str(back.call.params["Policy"])) == pre["policy"]


def test_a_narrower_tls_statement_is_not_enough() -> None:
    playbook, target = CATALOG.get("s3-deny-insecure-transport"), target_of("s3-deny-insecure-transport", BUCKET)
    (change,) = playbook.changes(target, {"policy": None})
    full = policies.parse(str(change.call.params["Policy"]))["Statement"][0]
    for narrower in (
        {**full, "Resource": f"{BUCKET}/*"},
        {**full, "Action": "s3:PutObject"},
        {**full, "Principal": {"AWS": "arn:aws:iam::123456789012:root"}},
        {**full, "Condition": {**full["Condition"], "StringEquals": {"aws:PrincipalAccount": "1"}}},
    ):
        (again,) = playbook.changes(target, {"policy": {"Version": "2012-10-17", "Statement": [narrower]}})
        sids = [s["Sid"] for s in policies.parse(str(again.call.params["Policy"]))["Statement"]]
        assert len(sids) == len(set(sids)) == 2


def test_a_policy_that_was_absent_is_deleted_again() -> None:
    playbook, target = CATALOG.get("s3-deny-insecure-transport"), target_of("s3-deny-insecure-transport", BUCKET)
    (change,) = playbook.changes(target, {"policy": None})
    post = {"policy": policies.parse(str(change.call.params["Policy"]))}
    (back,) = playbook.undo(target, {"policy": None}, post)
    assert back.call.operation == "delete_bucket_policy"


def test_a_policy_that_is_no_json_is_said_to_be_so() -> None:
    with pytest.raises(BadInput, match="not a JSON document"):
        policies.parse("{")


# --- ACL, password policy, keys --------------------------------------------------------------------------------------

ALL_USERS = {
    "Grantee": {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"},
    "Permission": "READ",
}
LOG_DELIVERY = {
    "Grantee": {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/s3/LogDelivery"},
    "Permission": "WRITE",
}
OWNER = {"Grantee": {"Type": "CanonicalUser", "ID": "abc"}, "Permission": "FULL_CONTROL"}


def test_log_delivery_keeps_its_grant() -> None:
    playbook, target = CATALOG.get("s3-acl-private"), target_of("s3-acl-private", BUCKET)
    pre = {"owner": {"ID": "abc"}, "grants": [OWNER, ALL_USERS, LOG_DELIVERY]}
    (change,) = playbook.changes(target, pre)
    assert change.call.params["AccessControlPolicy"] == {"Owner": {"ID": "abc"}, "Grants": [OWNER, LOG_DELIVERY]}
    assert change.before == {"grants": ["abc: FULL_CONTROL", "AllUsers: READ", "LogDelivery: WRITE"]}
    (back,) = playbook.undo(target, pre, {**pre, "grants": [OWNER, LOG_DELIVERY]})
    assert back.call.params["AccessControlPolicy"] == {"Owner": {"ID": "abc"}, "Grants": pre["grants"]}


def test_a_stricter_password_policy_is_kept_and_the_rest_merged() -> None:
    playbook, target = CATALOG.get("iam-password-policy"), target_of("iam-password-policy", ACCOUNT_ARN)
    state = {
        "settings": {"MinimumPasswordLength": 20, "HardExpiry": True, "MaxPasswordAge": 30, "RequireNumbers": True}
    }
    (change,) = playbook.changes(target, state)
    sent = change.call.params
    assert (sent["MinimumPasswordLength"], sent["MaxPasswordAge"], sent["HardExpiry"]) == (20, 30, True)
    assert (sent["PasswordReusePrevention"], sent["RequireSymbols"]) == (24, True)
    assert "MinimumPasswordLength" not in change.after


def test_undo_of_the_password_policy_sends_no_null_and_no_zero() -> None:
    playbook, target = CATALOG.get("iam-password-policy"), target_of("iam-password-policy", ACCOUNT_ARN)
    pre: State = {"settings": {"MinimumPasswordLength": 8, "RequireSymbols": False, "MaxPasswordAge": 0}}
    (change,) = playbook.changes(target, pre)
    (back,) = playbook.undo(target, pre, {"settings": dict(change.call.params)})
    assert None not in back.call.params.values()
    assert "MaxPasswordAge" not in back.call.params
    assert back.call.params["RequireSymbols"] is False


def key(id_: str, created: str, status: str = "Active") -> dict[str, str]:
    return {"AccessKeyId": id_, "CreateDate": created, "Status": status}


def report(first: str, second: str) -> dict[str, str]:
    return {
        "Content": f"user,arn,access_key_1_last_rotated,access_key_2_last_rotated\nalice,{ALICE},{first},{second}\n"
    }


async def key_in_slot(slot: int, keys: list[dict[str, str]], *reports: Any) -> str:
    target = target_of("iam-deactivate-access-key", ALICE, f"alice-access-key-{slot}")
    answers = Answers(
        list_access_keys={"AccessKeyMetadata": keys},
        get_access_key_last_used={"AccessKeyLastUsed": {"ServiceName": "s3"}},
        get_credential_report=list(reports),
        generate_credential_report={},
    )
    state = await CATALOG.get("iam-deactivate-access-key").inspect(answers, target)
    return str(state["key"])


OLD, NEW = "2026-01-02T03:04:05Z", "2026-11-01T00:00:00Z"


async def test_the_slot_is_taken_from_the_credential_report_not_from_the_order_of_the_list() -> None:
    keys = [key("OLDKEY", OLD), key("NEWKEY", NEW)]  # rotated: the new key sits in slot 1
    assert await key_in_slot(1, keys, report(NEW, OLD)) == "NEWKEY"
    assert await key_in_slot(2, list(reversed(keys)), report(NEW, OLD)) == "OLDKEY"


async def test_a_missing_report_is_generated() -> None:
    absent = CloudRefused("none", code="ReportNotPresent")
    assert await key_in_slot(2, [key("A", OLD), key("B", NEW)], absent, report(OLD, NEW)) == "B"


async def test_a_key_that_cannot_be_told_is_not_guessed() -> None:
    with pytest.raises(BadInput, match="cannot be told"):
        await key_in_slot(1, [key("A", OLD), key("B", NEW)], report("2026-05-05T00:00:00Z", "N/A"))


def test_undo_activates_only_the_key_that_was_deactivated() -> None:
    playbook = CATALOG.get("iam-deactivate-access-key")
    target = target_of("iam-deactivate-access-key", ALICE, "alice-access-key-1")
    pre: State = {"key": "A", "status": "Active"}
    (back,) = playbook.undo(target, pre, {"key": "A", "status": "Inactive"})
    assert back.call.params == {"UserName": "alice", "AccessKeyId": "A", "Status": "Active"}
    assert playbook.undo(target, pre, {"key": "B", "status": "Inactive"}) == []
    assert playbook.undo(target, {"key": "A", "status": "Inactive"}, {"key": "A", "status": "Inactive"}) == []


def test_a_key_that_has_been_used_is_warned_of() -> None:
    playbook = CATALOG.get("iam-deactivate-access-key")
    target = target_of("iam-deactivate-access-key", ALICE, "alice-access-key-1")
    state: State = {"key": "A", "status": "Active", "created": "2026-01-02", "used": True}
    assert "has been used" in playbook.blast_radius([target], {target.uid: state}).warnings[0]
    assert playbook.blast_radius([target], {target.uid: {**state, "used": False}}).warnings == ()


def test_undo_of_the_tls_statement_leaves_another_ones_deny() -> None:
    playbook, target = CATALOG.get("s3-deny-insecure-transport"), target_of("s3-deny-insecure-transport", BUCKET)
    (change,) = playbook.changes(target, {"policy": None})
    ours = policies.parse(str(change.call.params["Policy"]))["Statement"][0]
    theirs = {**ours, "Sid": "OrgTls"}
    now = {"policy": {"Version": "2012-10-17", "Statement": [theirs, ours]}}
    (back,) = playbook.undo(target, {"policy": None}, now)
    assert policies.parse(str(back.call.params["Policy"]))["Statement"] == [theirs]
