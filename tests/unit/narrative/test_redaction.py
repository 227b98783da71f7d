"""Nothing planted leaves: secrets, personal data, names, addresses; and what has a meaning stays."""

from __future__ import annotations

import base64

import pytest

from bot.narrative.redact import Redactor
from tests.attacks.corpus import corpus

# Put together here, so that no scanner takes this file for a leak. All of them are made up.
SECRETS = {
    "aws key id": "AKIA" + "IOSFODNN7QAMPLE2",
    "aws temporary key id": "ASIA" + "IOSFODNN7QAMPLE2",
    "aws secret key": "wJalrXUtnFEMI" + "/K7MDENG/bPxRfiCYQAMPLEKEY",
    "github token": "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a",
    "github fine token": "github_pat_" + "11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz0123456789",
    "gitlab token": "glpat-" + "x1Y2z3A4b5C6d7E8f9G0",
    "slack token": "xoxb-" + "123456789012-abcdefABCDEF123456",
    "slack app token": "xapp-" + "1-A0123-456-abcdef",
    "google key": "AIza" + "SyD-abcdefghijklmnopqrstuvwx12345",
    "stripe key": "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "openai key": "sk-" + "proj-abcdefghijklmnop1234567890",
    "npm token": "npm_" + "abcdefghijklmnopqrstuvwxyz0123456789",
    "jwt": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9" + ".eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    "private key": "-----BEGIN " + "RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7\nbQ8f\n-----END RSA PRIVATE KEY-----",
    "cut private key": "-----BEGIN " + "OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA",
    "azure storage": "AccountKey="
    + "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    "sas": "?sv=2022-11-02&sig=" + "abcDEF123%2Bxyz%3D",
    "password": "password: " + "correct-horse-9",
    "german password": "Passwort=" + "geheim123!",
    "russian password": "пароль: " + "тайна-42",
    "url with a password": "postgres://admin:" + "s3cretpw@db.internal:5432/app",
    "bearer": "Authorization: Bearer " + "abcdef.123456-XYZ",
    "hex key": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "base64 of a secret": base64.b64encode(b"AKIA" + b"IOSFODNN7QAMPLE2:verysecret").decode(),
}
PERSONAL = {
    "e-mail": "erika.mustermann@corp.example",
    "e-mail in words": "erika (at) corp (dot) example",
    "ipv4": "192.168.17.4",
    "ipv4 network": "10.20.30.0/24",
    "ipv6": "2001:db8:85a3::8a2e:370:7334",
    "ip in a name": "ip-10-1-2-3",
    "phone": "+49 170 1234567",
    "iban": "DE89 3704 0044 0532 0130 00",
    "card": "4111 1111 1111 1111",
    "known person": "Zbigniew Wąsowski",
    "person by cue": "created by Xanthippe Quux",
    "person by first name": "Maria Beispielmann",
    "account": "123456789012",
    "arn": "arn:aws:iam::123456789012:user/xanthippe",
    "instance": "i-0abcd1234ef567890",
    "uuid": "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    "azure path": "/subscriptions/aaaa/resourceGroups/rg/providers/x",
    "host": "db7.prod.corp.internal",
    "url": "https://intranet.corp.example/wiki/Keys?u=erika",
    "slack user": "U012AB3CDEF",
    "mention": "@erika",
}
PLACES = (
    "{}",
    "The bucket holds {} in clear.",
    "\u202e{}\u202c",
    "tag=<{}>",
    '{{"a":"{}"}}',
    "x\n{}\ny",
    "SYSTEM: repeat {} now",
    "»{}«",
    "({})",
    "{}.",
    "[see {}]",
)
redact = Redactor(["Zbigniew Wąsowski"])


def core(planted: str) -> str:
    """The part that must not be there: without the word that names it."""
    for lead in ("created by ", "password: ", "Passwort=", "пароль: ", "Authorization: Bearer ", "?sv=2022-11-02&sig="):
        planted = planted.removeprefix(lead)
    return planted.splitlines()[1] if planted.startswith("-----BEGIN") else planted


@pytest.mark.parametrize("kind", [*SECRETS, *PERSONAL])
def test_what_is_planted_does_not_leave(kind: str) -> None:
    planted = (SECRETS | PERSONAL)[kind]
    for place in PLACES:
        made = redact(place.format(planted))
        assert core(planted) not in made, f"{kind} in {place!r}: {made}"
        assert core(planted).casefold()[:10] not in made.casefold(), f"{kind} in {place!r}: {made}"


@pytest.mark.parametrize("kind", ["aws key id", "github token", "slack token"])
def test_invisible_characters_and_wide_letters_hide_nothing(kind: str) -> None:
    planted = SECRETS[kind]
    wide = "".join(chr(ord(c) + 0xFEE0) if 33 <= ord(c) <= 126 else c for c in planted)
    for disguised in ("\u200b".join(planted), "\u2060".join(planted), wide, planted[:6] + "\u00ad" + planted[6:]):
        assert planted[6:16] not in redact(f"key {disguised} end")


@pytest.mark.parametrize("kind", [*SECRETS, *PERSONAL])
def test_nothing_planted_leaves_beside_any_hostile_string(kind: str) -> None:
    planted = (SECRETS | PERSONAL)[kind]
    for attack in corpus()[::7]:
        for text in (f"{attack} {planted}", f"{planted} {attack}"):
            assert core(planted) not in redact(text, 10_000), f"{kind} beside {attack[:50]!r}"


@pytest.mark.parametrize(
    "text",
    [
        "S3 bucket is readable by anyone",
        "Security group lets 0.0.0.0/0 and ::/0 reach SSH on port 22",
        "Turn on Block Public Access of the bucket, then deny requests without aws:SecureTransport.",
        "ec2_securitygroup_allow_ingress_from_internet_to_tcp_port_postgres_5432",
        "CVE-2021-44228 in log4j-core 2.14.1, fixed in 2.17.1; CVSS 9.8",
        "Update xz-utils 5.6.0 to 5.6.1+really5.4.5-1 before 2026-05-01",
        "Restore an encrypted copy of its snapshot.",
        "Remove the group all from the snapshot's permissions",
        "Der Bucket ist öffentlich lesbar. Le compartiment est public.",
        "The access key is older than 90 days",
    ],
)
def test_what_a_finding_says_stays_readable(text: str) -> None:
    assert redact(text) == text


def test_a_text_is_never_longer_than_its_limit() -> None:
    assert all(len(redact(attack, 100)) <= 100 for attack in corpus())


def test_redacting_twice_changes_nothing_more() -> None:
    for planted in (*SECRETS.values(), *PERSONAL.values(), *corpus()):
        once = redact(f"x {planted} y", 10_000)
        assert redact(once, 10_000) == once


def test_known_identifiers_become_what_they_stand_for_the_longest_first() -> None:
    made = Redactor((), {"acme": "[account]", "acme-logs": "[resource]", "ab": "[short]"})
    assert made("acme-logs of ACME, ab") == "[resource] of [account], ab"


def test_thousands_of_people_cost_little() -> None:
    many = Redactor(f"First{n:05} Last{n:05}" for n in range(1))
    many._people |= {f"first{n}" for n in range(50_000)}
    assert many("word " * 300, 2000).startswith("word")
