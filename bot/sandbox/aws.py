"""Starts and stops the simulated AWS, and makes sessions for its accounts."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from types import TracebackType
from typing import Any

import aiohttp
import boto3
from botocore.config import Config

from bot.domain.errors import SettingsError
from bot.sandbox import programs

PROD = "123456789012"  # moto's default account: plain keys land here
DEV = "111122223333"
ACCOUNTS = {PROD: "Acme production", DEV: "Acme development"}
REGION = "us-east-1"
START_SECONDS = 60.0
RECORDED_SEED = 1  # the seed of the company that the recorded findings are about


def role_arn(account: str, name: str) -> str:
    return f"arn:aws:iam::{account}:role/{name}"


def cloud_environment(endpoint: str) -> dict[str, str]:
    """Environment in which AWS tools talk to the simulated AWS only, with keys that open nothing else."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


class Account:
    """Clients of one account of the simulated AWS."""

    def __init__(self, endpoint: str, uid: str) -> None:
        self.endpoint = endpoint
        self.uid = uid
        self._clients: dict[tuple[str, str], Any] = {}
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        if uid != PROD:
            sts = boto3.Session(**keys, region_name=REGION).client("sts", endpoint_url=endpoint)
            got = sts.assume_role(RoleArn=role_arn(uid, "sandbox"), RoleSessionName="sandbox")["Credentials"]
            keys = {
                "aws_access_key_id": got["AccessKeyId"],
                "aws_secret_access_key": got["SecretAccessKey"],
                "aws_session_token": got["SessionToken"],
            }
        self.session = boto3.Session(**keys, region_name=REGION)

    def client(self, service: str, region: str = REGION) -> Any:
        key = (service, region)
        if key not in self._clients:
            options: dict[str, Any] = {"user_agent_extra": "gatehouse-sandbox", "s3": {"addressing_style": "path"}}
            if service == "s3control":  # its endpoint rule invents a host name; as a proxy moto gets the request anyway
                options["proxies"] = {"http": self.endpoint}
            self._clients[key] = self.session.client(
                service, region_name=region, endpoint_url=self.endpoint, config=Config(**options)
            )
        return self._clients[key]


class SimulatedAws:
    """One moto server on a free loopback port. ``async with SimulatedAws(seed=7) as aws: aws.account(PROD)``."""

    def __init__(self, *, seed: int = RECORDED_SEED) -> None:
        self.seed = seed
        self.port = 0
        self._process: asyncio.subprocess.Process | None = None
        self._http: aiohttp.ClientSession | None = None

    @property
    def endpoint(self) -> str:
        # "localhost": of any other name moto would take the first label for a bucket
        return f"http://localhost:{self.port}"

    def account(self, uid: str = PROD) -> Account:
        return Account(self.endpoint, uid)

    async def __aenter__(self) -> SimulatedAws:
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "MOTO_"))},
            "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
            "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
            "PYTHONUNBUFFERED": "1",
        }
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bot.sandbox.moto_server",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment,
            process_group=0,  # Ctrl-C is for us alone: we end the bot first, then what it talks to
        )
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), START_SECONDS)
            self.port = int(json.loads(line)["port"])
        except (TimeoutError, ValueError, KeyError) as error:
            await self.stop()
            raise SettingsError(
                "the simulated AWS did not start",
                mend="Install the sandbox extra: pip install 'gatehouse[sandbox]', then try again.",
            ) from error
        self._http = aiohttp.ClientSession()
        async with self._http.post(f"http://127.0.0.1:{self.port}/moto-api/seed?a={self.seed}") as answer:
            answer.raise_for_status()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        if self._http is not None:
            await self._http.close()
            self._http = None
        process, self._process = self._process, None
        await programs.stop(process)

    async def calls(self, *, writes: bool = False) -> list[dict[str, Any]]:
        """What reached the cloud, oldest first; ``writes`` leaves out what only reads."""
        assert self._http is not None
        async with self._http.get(f"http://127.0.0.1:{self.port}/_sandbox/calls") as answer:
            calls: list[dict[str, Any]] = await answer.json()
        return [call for call in calls if call["write"] or not writes]

    async def forget_calls(self) -> None:
        assert self._http is not None
        async with self._http.delete(f"http://127.0.0.1:{self.port}/_sandbox/calls"):
            pass
