"""One simulated AWS for the session, emptied before every test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.request import Request, urlopen

import pytest

from bot.ports import Attribution
from bot.remediation.catalog import write_operations
from bot.settings import AwsSettings
from connectors.aws.clouds import AwsCloud, AwsClouds
from tests.lab.seed import Aws


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "false"
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield f"http://localhost:{port}"
    server.stop()


@pytest.fixture
def aws(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Aws:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    urlopen(Request(f"{moto_url}/moto-api/reset", method="POST"), timeout=10).close()
    return Aws(moto_url)


@pytest.fixture
def cloud(aws: Aws) -> Iterator[AwsCloud]:
    """The connector as in production, with the catalog's own allow-list."""
    clouds = AwsClouds(AwsSettings(endpoint_url=aws.endpoint), write_operations=write_operations())
    yield clouds.writer(Attribution(finding_id="f-test"))
    clouds.close()
