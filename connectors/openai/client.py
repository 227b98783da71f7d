"""Implements ``ports.Model`` over the openai SDK, which is imported at the first call.

Facts (SDK 3.57, OpenAI's document; Azure and Claude's layer by their documentation)
- The SDK's own retries are off: it repeats sooner than a long Retry-After asks. Ours wait as told, up to ``PATIENCE``;
  what is longer goes back to the caller with its number.
- Claude's layer ignores ``response_format`` and ``strict``: there one tool is forced. Servers that ignore both still
  get the schema in the message, and whatever comes back is validated by the engine.
- 400 with code ``content_filter`` is a normal outcome of Azure: refused, never repeated.
- Redirects are not followed: a key goes to the host it was made for.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bot.domain.errors import ConnectorError, Refused, Relogin, RetryLater, SettingsError
from bot.domain.ids import Clock, SystemClock
from bot.ports import ModelReply, ModelRequest
from bot.settings import ModelSettings

from .guard import local_only, permit

if TYPE_CHECKING:
    from openai import AsyncOpenAI

PATIENCE = 20.0  # seconds waited inside of one call, all its attempts together
KEY = "GATEHOUSE_MODEL__API_KEY"
Sleep = Callable[[float], Awaitable[None]]


class OpenAIModel:
    """One model at one endpoint."""

    def __init__(
        self, settings: ModelSettings, *, clock: Clock | None = None, sleep: Sleep = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:  # fmt: skip
        parts = urlsplit(settings.base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise SettingsError("model.base_url is no URL", mend="For example https://api.openai.com/v1.")
        if parts.scheme == "http" and settings.api_key and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
            raise SettingsError("model.base_url sends a key without TLS", mend="Use https, or leave the key away.")
        self._settings = settings
        self.name, self.endpoint = settings.name, parts.hostname
        self._clock, self._sleep = clock or SystemClock(), sleep
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._client: AsyncOpenAI | None = None

    async def complete(self, request: ModelRequest) -> ModelReply:
        """One answer. Repeats what the endpoint asks to repeat, within ``PATIENCE`` seconds."""
        waited = 0.0
        for attempt in range(self._settings.retries + 1):
            permit(self._settings.base_url)
            try:
                return await self._once(request)
            except RetryLater as error:
                wait = (
                    error.after if error.after is not None else min(8.0, 2.0**attempt) * self._rng.uniform(0.75, 1.25)
                )
                if attempt == self._settings.retries or waited + wait > PATIENCE:
                    raise
                waited += wait
                await self._sleep(wait)
        raise AssertionError("not reached")

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _once(self, request: ModelRequest) -> ModelReply:
        import openai

        try:
            answer = await self._open().chat.completions.create(**self._body(request))
        except openai.APITimeoutError as error:
            raise RetryLater(
                f"{self.endpoint} gave no answer in time ({self._settings.timeout_seconds:g} s)"
            ) from error
        except openai.APIConnectionError as error:
            raise RetryLater(f"{self.endpoint} cannot be reached: {type(error.__cause__ or error).__name__}") from error
        except openai.APIStatusError as error:
            raise self._judged(error.status_code, error.body, dict(error.response.headers)) from error
        except openai.OpenAIError as error:
            raise ConnectorError(
                f"{self.endpoint} answered something that is no completion: {type(error).__name__}"
            ) from error
        return _reply(answer, self.endpoint)

    def _open(self) -> AsyncOpenAI:
        if self._client is None:
            import openai

            key = self._settings.api_key.get_secret_value() if self._settings.api_key else "none"
            # A proxy of the environment would carry calls that the switch means to keep on this machine.
            http = openai.DefaultAsyncHttpxClient(follow_redirects=False, trust_env=not local_only())
            more: dict[str, Any] = {
                "api_key": key, "max_retries": 0, "timeout": self._settings.timeout_seconds, "http_client": http,
            }  # fmt: skip
            if self._settings.api == "azure":
                endpoint = self._settings.base_url.rstrip("/")
                self._client = openai.AsyncAzureOpenAI(
                    azure_endpoint=endpoint, api_version=self._settings.api_version, **more
                )
            else:
                self._client = openai.AsyncOpenAI(base_url=self._settings.base_url, **more)
        return self._client

    def _body(self, request: ModelRequest) -> dict[str, Any]:
        schema = json.dumps(request.schema, separators=(",", ":"), sort_keys=True)
        messages = [{"role": role, "content": text} for role, text in request.messages]
        body: dict[str, Any] = {
            "model": self.name, "messages": messages, self._settings.output_limit: request.max_output_tokens,
        }  # fmt: skip
        way = self._settings.structure
        if way == "auto":
            way = "tool" if self.endpoint.endswith("anthropic.com") else "json_schema"
        if way == "tool":
            function = {"name": request.name, "description": "Give the answer.", "parameters": request.schema}
            body["tools"] = [{"type": "function", "function": function}]
            body["tool_choice"] = {"type": "function", "function": {"name": request.name}}
        elif way == "json_schema":
            wanted = {"name": request.name, "schema": request.schema, "strict": False}
            body["response_format"] = {"type": "json_schema", "json_schema": wanted}
        else:
            body["response_format"] = {"type": "json_object"}
        if way != "tool":
            first = messages[0]
            first["content"] += f"\nThe JSON schema of the answer: {schema}"
        return body

    def _judged(self, status: int, body: Any, headers: dict[str, str]) -> ConnectorError:
        said = body if isinstance(body, dict) else {}
        inner = said.get("error")
        said = inner if isinstance(inner, dict) else said
        code = str(said.get("code") or said.get("type") or "")[:60]
        words = f"{self.endpoint} answered {status}{f' ({code})' if code else ''}"
        if status == 429 and code in {"insufficient_quota", "billing_hard_limit_reached"}:
            return Refused(f"{words}: the account has no credit left", mend="Look at the endpoint's billing page.")
        if status in {408, 409, 429} or status >= 500:
            return RetryLater(words, after=self._after(headers))
        if status in {401, 403}:
            return Relogin(words, mend=f"Check {KEY} and the rights of that key for {self.name}.")
        if code == "content_filter" or "content_filter" in str(said.get("innererror", "")):
            return Refused(f"{words}: the endpoint's content filter refused it")
        if status == 404:
            return Refused(words, mend="Check model.base_url and model.name (at Azure: the deployment).")
        return Refused(words, mend="Some servers know other fields: see model.structure and model.output_limit.")

    def _after(self, headers: dict[str, str]) -> float | None:
        """Seconds that the endpoint asks to wait: ``retry-after-ms``, ``retry-after`` as seconds or as a date."""
        millis, said = headers.get("retry-after-ms", ""), headers.get("retry-after", "")
        try:
            if millis:
                return max(0.0, float(millis) / 1000)
            return max(0.0, float(said)) if said else None
        except ValueError:
            pass
        try:
            return max(0.0, (parsedate_to_datetime(said) - self._clock.now()).total_seconds())
        except (TypeError, ValueError):
            return None


def _reply(answer: Any, endpoint: str) -> ModelReply:
    """What the completion holds: the forced tool's arguments, else its text. Servers fill the fields as they like."""
    choices = getattr(answer, "choices", None) or []
    if not choices or getattr(choices[0], "message", None) is None:
        raise ConnectorError(f"{endpoint} answered without a choice")
    choice = choices[0]
    if choice.finish_reason == "content_filter":
        raise Refused(f"{endpoint}: the endpoint's content filter stopped the answer")
    if getattr(choice.message, "refusal", None):
        raise Refused(f"{endpoint}: the model refused to answer")
    text = choice.message.content or ""
    for tool in choice.message.tool_calls or []:
        function = getattr(tool, "function", None)
        if function is not None and function.arguments:
            text = function.arguments
            break
    usage = answer.usage
    return ModelReply(
        text=text if isinstance(text, str) else "",
        model=str(answer.model or ""),
        input_tokens=int(getattr(usage, "prompt_tokens", 0) or 0),
        output_tokens=int(getattr(usage, "completion_tokens", 0) or 0),
        finish=str(choice.finish_reason or ""),
    )
