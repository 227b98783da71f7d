"""Runs the real scanner (Prowler, in its own environment) against the simulated company, and keeps what it said.

``python -m bot.sandbox.scan`` records anew: it is how ``recorded/*.ocsf.json.gz`` were made.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from bot.domain.errors import SettingsError
from bot.sandbox.aws import ACCOUNTS, PROD, RECORDED_SEED, REGION, SimulatedAws, cloud_environment, role_arn
from bot.sandbox.company import build
from bot.settings import PROWLER_ENV

RECORDED = "recorded"
SCAN_SECONDS = 900.0

CHECKS: tuple[str, ...] = (
    "dynamodb_table_deletion_protection_enabled",
    "dynamodb_tables_pitr_enabled",
    "ec2_ami_public",
    "ec2_ebs_default_encryption",
    "ec2_ebs_public_snapshot",
    "ec2_instance_imdsv2_enabled",
    "ec2_instance_port_rdp_exposed_to_internet",
    "ec2_instance_port_ssh_exposed_to_internet",
    "ec2_securitygroup_allow_ingress_from_internet_to_all_ports",
    "ec2_securitygroup_allow_ingress_from_internet_to_high_risk_tcp_ports",
    "ec2_securitygroup_allow_ingress_from_internet_to_tcp_port_22",
    "ec2_securitygroup_allow_ingress_from_internet_to_tcp_port_3389",
    "ec2_securitygroup_allow_ingress_from_internet_to_tcp_port_mysql_3306",
    "ec2_securitygroup_allow_ingress_from_internet_to_tcp_port_postgres_5432",
    "ecr_repositories_not_publicly_accessible",
    "ecr_repositories_scan_images_on_push_enabled",
    "ecr_repositories_tag_immutability",
    "guardduty_is_enabled",
    "iam_password_policy_expires_passwords_within_90_days_or_less",
    "iam_password_policy_lowercase",
    "iam_password_policy_minimum_length_14",
    "iam_password_policy_number",
    "iam_password_policy_reuse_24",
    "iam_password_policy_symbol",
    "iam_password_policy_uppercase",
    "iam_rotate_access_key_90_days",
    "iam_user_two_active_access_key",
    "kms_cmk_rotation_enabled",
    "rds_instance_backup_enabled",
    "rds_instance_deletion_protection",
    "rds_instance_iam_authentication_enabled",
    "rds_instance_minor_version_upgrade_enabled",
    "rds_instance_multi_az",
    "rds_instance_no_public_access",
    "rds_instance_storage_encrypted",
    "rds_snapshots_public_access",
    "s3_account_level_public_access_blocks",
    "s3_bucket_acl_prohibited",
    "s3_bucket_cross_account_access",
    "s3_bucket_default_encryption",
    "s3_bucket_level_public_access_block",
    "s3_bucket_object_versioning",
    "s3_bucket_public_access",
    "s3_bucket_public_list_acl",
    "s3_bucket_public_write_acl",
    "s3_bucket_secure_transport_policy",
    "sns_topics_kms_encryption_at_rest_enabled",
    "sns_topics_not_publicly_accessible",
    "sqs_queues_not_publicly_accessible",
    "sqs_queues_server_side_encryption_enabled",
    "vpc_flow_logs_enabled",
    "vpc_subnet_no_public_ip_by_default",
)


def file_name(account: str) -> str:
    return f"prowler-{account}.ocsf.json"


def recorded_accounts() -> tuple[str, ...]:
    return tuple(ACCOUNTS)


def recorded(account: str) -> bytes:
    """What the real scanner said of this account of the simulated company, as it wrote it (OCSF JSON)."""
    packed = files("bot.sandbox").joinpath(RECORDED, f"{file_name(account)}.gz").read_bytes()
    return gzip.decompress(packed)


def recorded_findings(account: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(recorded(account))
    return found


def unpack_recorded(folder: Path) -> list[Path]:
    """Write the recorded findings as plain files, one an account."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for account in recorded_accounts():
        path = folder / file_name(account)
        path.write_bytes(recorded(account))
        paths.append(path)
    return paths


def find_prowler() -> str:
    """The scanner's executable: named by GATEHOUSE_PROWLER, or ``prowler`` on the PATH."""
    named = os.environ.get(PROWLER_ENV, "")
    found = shutil.which(named or "prowler")
    if not found:
        raise SettingsError(
            f"the scanner {named!r} is not there" if named else "the scanner (prowler) is not installed here",
            mend=f"Install Prowler in an environment of its own (pip install prowler==5.46.0) and set {PROWLER_ENV} to "
            "its executable, or run the demo without --scan: it has recorded findings.",
        )
    return found


async def scan_account(
    prowler: str, endpoint: str, account: str, folder: Path, *, checks: Sequence[str] = CHECKS
) -> Path:
    """One run of the scanner over one account; returns its OCSF file."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    path = folder / file_name(account)
    # Prowler appends to an existing file, which then is no JSON
    await asyncio.to_thread(path.unlink, missing_ok=True)
    arguments = ["aws", "-f", REGION, "-M", "json-ocsf", "-F", path.name.removesuffix(".ocsf.json"), "-o", str(folder)]
    arguments += ["--no-banner", "--no-color", "--ignore-exit-code-3", "--aws-retries-max-attempts", "1"]
    arguments += ["--log-level", "ERROR", "--log-file", str(folder / f"{account}.log"), "--scan-unused-services"]
    if account != PROD:
        arguments += ["-R", role_arn(account, "audit")]
    arguments += ["-c", *checks]
    # as a proxy the simulated AWS also gets the requests to host names that the s3control endpoint rule invents
    proxy = endpoint.replace("localhost", "127.0.0.1")
    environment = {k: v for k, v in os.environ.items() if k.lower() not in ("no_proxy", "http_proxy")}
    environment |= {**cloud_environment(endpoint), "HTTP_PROXY": proxy, "http_proxy": proxy}
    process = await asyncio.create_subprocess_exec(
        prowler,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), SCAN_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode or not await asyncio.to_thread(path.exists):
        said = output.decode("utf-8", "replace").strip().splitlines()[-3:]
        raise SettingsError(
            f"the scanner ended with code {process.returncode} and no findings for {account}: {' / '.join(said)}",
            mend=f"See {folder / f'{account}.log'}, or run the demo without --scan.",
        )
    return path


async def scan_all(endpoint: str, folder: Path, progress: Callable[[str], None] = lambda _: None) -> list[Path]:
    prowler = find_prowler()
    paths = []
    for account, name in ACCOUNTS.items():
        progress(f"scanning {name} ({account})")
        paths.append(await scan_account(prowler, endpoint, account, folder))
    return paths


async def record(
    target: Path, work: Path, *, seed: int = RECORDED_SEED, progress: Callable[[str], None] = lambda _: None
) -> None:
    """Scan the freshly seeded company and pack what the scanner wrote into ``target``."""
    async with SimulatedAws(seed=seed) as aws:
        await asyncio.to_thread(build, aws.endpoint, progress)
        for path in await scan_all(aws.endpoint, work, progress):
            packed = gzip.compress(await asyncio.to_thread(path.read_bytes), mtime=0)
            await asyncio.to_thread((target / f"{path.name}.gz").write_bytes, packed)
            progress(f"wrote {path.name}.gz, {len(packed)} bytes")


def main() -> None:
    import tempfile

    target = Path(__file__).parent / RECORDED
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        asyncio.run(record(target, Path(work), progress=lambda said: print(said, file=sys.stderr)))  # noqa: T201


if __name__ == "__main__":
    main()
