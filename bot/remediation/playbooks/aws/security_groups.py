"""Security groups: take away what is open to the whole internet, v4 and v6, and nothing else.

One playbook a service (SSH, RDP, each database) because an approval is for what its finding is about. A rule that
opens *all* ports is a decision of its own: the port playbooks leave it and say so.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import Any

from pydantic import JsonValue

from bot.domain.errors import Gone
from bot.domain.plans import Call, Change, Reversibility, Risk, Target
from bot.ports import CloudReader, PlaybookInfo, State, Verification

from .base import AwsPlaybook, call

_WORLD = frozenset({"0.0.0.0/0", "::/0"})
_CHECK = "ec2_securitygroup_allow_ingress_from_internet_to_"
Rule = dict[str, Any]  # protocol, from, to, cidr, description: one range of one permission


def world_rules(permissions: list[dict[str, Any]]) -> list[Rule]:
    """The ranges that are the whole internet, one by one, in a stable order."""
    found: list[Rule] = []
    for permission in permissions:
        v4 = [(r["CidrIp"], r.get("Description")) for r in permission.get("IpRanges", [])]
        v6 = [(r["CidrIpv6"], r.get("Description")) for r in permission.get("Ipv6Ranges", [])]
        for cidr, description in v4 + v6:
            if cidr in _WORLD:
                found.append(
                    {
                        "protocol": permission["IpProtocol"],
                        "from": permission.get("FromPort"),
                        "to": permission.get("ToPort"),
                        "cidr": cidr,
                        "description": description,
                    }
                )
    return sorted(found, key=lambda r: (r["protocol"], r["from"] or 0, r["to"] or 0, r["cidr"]))


def opens_everything(rule: Rule) -> bool:
    if rule["protocol"] == "-1":
        return True
    return rule["protocol"] in {"tcp", "udp"} and rule["from"] <= 1 and rule["to"] >= 65535


def _ports(rule: Rule) -> str:
    if rule["protocol"] == "-1":
        return "all traffic"
    if rule["from"] == rule["to"]:
        return f"{rule['protocol']} {rule['from']}"
    return f"{rule['protocol']} {rule['from']}-{rule['to']}"


def _permission(rule: Rule, *, with_description: bool) -> dict[str, JsonValue]:
    v6 = ":" in rule["cidr"]
    range_: dict[str, JsonValue] = {"CidrIpv6" if v6 else "CidrIp": rule["cidr"]}
    if with_description and rule["description"]:
        range_["Description"] = rule["description"]
    permission: dict[str, JsonValue] = {"IpProtocol": rule["protocol"], "Ipv6Ranges" if v6 else "IpRanges": [range_]}
    if rule["from"] is not None:
        permission |= {"FromPort": rule["from"], "ToPort": rule["to"]}
    return permission


def _key(rule: Rule) -> tuple[Any, ...]:
    return rule["protocol"], rule["from"], rule["to"], rule["cidr"]


class _Group(AwsPlaybook):
    arn_service = "ec2"
    resource = re.compile(r"security-group/(sg-[0-9a-f]{8,17})", re.ASCII)
    noun = "security group"
    writes = frozenset({"ec2.revoke_security_group_ingress", "ec2.authorize_security_group_ingress"})

    @abstractmethod
    def _owns(self, rule: Rule) -> bool: ...

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        answer = await cloud.read(call(target, "ec2", "describe_security_groups", GroupIds=[target.name]))
        if not answer["SecurityGroups"]:
            raise Gone(f"Security group {target.name} no longer exists.", mend="Scan again: the finding should vanish.")
        group = answer["SecurityGroups"][0]
        rules = world_rules(group["IpPermissions"])
        return {
            "group": group.get("GroupName", ""),
            "rules": [r for r in rules if self._owns(r)],
            "everything": [r for r in rules if opens_everything(r)],
        }

    def _ingress(self, target: Target, operation: str, rule: Rule) -> Call:
        permission = _permission(rule, with_description=operation.startswith("authorize"))
        return call(target, "ec2", operation, GroupId=target.name, IpPermissions=[permission])

    def changes(self, target: Target, state: State) -> list[Change]:
        return [
            Change(
                summary=f"Close {_ports(r)} to {r['cidr']} on security group {target.name}",
                target=target,
                before={_ports(r): r["cidr"]},
                after={_ports(r): None},
                call=self._ingress(target, "revoke_security_group_ingress", r),
            )
            for r in state["rules"]
        ]

    def undo(self, target: Target, pre: State, now: State) -> list[Change]:
        there = {_key(r) for r in now["rules"]}
        return [
            Change(
                summary=f"Open {_ports(r)} to {r['cidr']} again on security group {target.name}",
                target=target,
                before={_ports(r): None},
                after={_ports(r): r["cidr"]},
                call=self._ingress(target, "authorize_security_group_ingress", r),
            )
            for r in pre["rules"]
            if _key(r) not in there
        ]


class WorldPorts(_Group):
    """The rules open to the internet that cover one service's ports."""

    def __init__(self, slug: str, service: str, ports: tuple[int, ...], rules: tuple[str, ...], check: str) -> None:
        self.ports = ports
        self.service = service
        self.fine = f"{service} is not open to the internet"
        self.info = PlaybookInfo(
            id=f"sg-revoke-world-{slug}",
            version=1,
            title=f"Close {service} to the internet",
            provider="aws",
            target_kind="security_group",
            rules=frozenset({check, *rules}),
            risk=Risk.MEDIUM,
            reversibility=Reversibility.EXACT,
            danger=f"New {service} connections from the internet stop; named networks and open sessions go on.",
            undo_note="Opens the same ranges again with their descriptions; the rules get new ids.",
            undo_exposes=True,
            checks=(check,),
        )

    def _owns(self, rule: Rule) -> bool:
        if rule["protocol"] != "tcp" or opens_everything(rule):
            return False
        return any(rule["from"] <= port <= rule["to"] for port in self.ports)

    def verify(self, target: Target, state: State) -> Verification:
        said = super().verify(target, state)
        if said.ok and any(r["protocol"] in {"-1", "tcp"} for r in state["everything"]):
            return Verification(
                False, f"{target.name} is open to the internet on every port: sg-revoke-world-all-ports closes that."
            )
        return said

    def warnings(self, target: Target, state: State) -> list[str]:
        wide = sorted({_ports(r) for r in state.get("rules", []) if r["to"] - r["from"] > 1})
        out = [f"{target.name}: the rule for {w} goes as a whole, its other ports close too." for w in wide]
        if state.get("everything"):
            out.append(f"{target.name}: another rule opens every port; it stays, this plan does not close it.")
        return out


class WorldAllPorts(_Group):
    info = PlaybookInfo(
        id="sg-revoke-world-all-ports",
        version=1,
        title="Close a security group that is open to the internet on all ports",
        provider="aws",
        target_kind="security_group",
        rules=frozenset({_CHECK + "all_ports"}),
        risk=Risk.HIGH,
        reversibility=Reversibility.EXACT,
        danger="Everything from the internet stops, also what is meant to be public: open the ports in use first.",
        undo_note="Opens all ports to the internet again; the rules get new ids.",
        undo_exposes=True,
        checks=(_CHECK + "all_ports",),
    )
    fine = "no rule opens all ports to the internet"

    def _owns(self, rule: Rule) -> bool:
        return opens_everything(rule)


PLAYBOOKS: tuple[AwsPlaybook, ...] = (
    WorldPorts("ssh", "SSH", (22,), ("security_hub:EC2.13",), _CHECK + "tcp_port_22"),
    WorldPorts("rdp", "RDP", (3389,), ("security_hub:EC2.14",), _CHECK + "tcp_port_3389"),
    WorldPorts("mysql", "MySQL", (3306,), (), _CHECK + "tcp_port_mysql_3306"),
    WorldPorts("postgres", "PostgreSQL", (5432,), (), _CHECK + "tcp_port_postgres_5432"),
    WorldPorts("sql-server", "SQL Server", (1433, 1434), (), _CHECK + "tcp_port_sql_server_1433_1434"),
    WorldPorts("oracle", "Oracle", (1521, 2483), (), _CHECK + "tcp_port_oracle_1521_2483"),
    WorldPorts("mongodb", "MongoDB", (27017, 27018), (), _CHECK + "tcp_port_mongodb_27017_27018"),
    WorldPorts("redis", "Redis", (6379,), (), _CHECK + "tcp_port_redis_6379"),
    WorldAllPorts(),
)
