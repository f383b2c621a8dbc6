"""Slack's Web API: one call at a time, and what its errors mean to us. No token is ever logged or told."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from onpurpose.core.delivery import RetryError
from onpurpose.core.errors import OnPurposeError

if TYPE_CHECKING:
    from slack_sdk import WebClient
    from slack_sdk.errors import SlackApiError

URL = "https://slack.com/api/"

TIMEOUT_SECONDS = 10
LONGEST_PAUSE_SECONDS = 3600.0
DEFAULT_PAUSE_SECONDS = 30.0
"""How long Slack is left alone where it says that it was asked too often, and not for how long."""

_WRITING = frozenset({"chat.postMessage", "chat.update", "chat.postEphemeral", "views.open"})
"""Methods that are asked in JSON; of the others some read nothing but a form."""

_NOT_NOW = frozenset(
    {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"}
)


class RefusedError(OnPurposeError):
    """Slack answered that it will not do it. `code` is its word for why, such as `channel_not_found`."""

    def __init__(self, method: str, code: str) -> None:
        self.method = method
        self.code = code
        super().__init__(f"slack refuses {method}: {code}")


class SlackApi:
    """Calls methods of the Web API with one token. Thread-safe.

    `base_url` ends before the method's name. A call is made once: whoever asked decides about a second.
    """

    def __init__(self, token: str, *, base_url: str = URL, timeout: int = TIMEOUT_SECONDS) -> None:
        self._token = token
        self._base_url = base_url
        self._timeout = timeout
        self._client: WebClient | None = None
        self._team = ""
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"SlackApi({self._base_url!r})"

    def call(self, method: str, **fields: object) -> dict[str, Any]:
        """Slack's answer. Raises `RetryError` where it cannot be had now, `RefusedError` for a no."""
        from slack_sdk.errors import SlackApiError  # noqa: PLC0415  an extra

        try:
            client = self._made()
            writes = method in _WRITING
            answer = client.api_call(method, json=fields) if writes else client.api_call(method, params=fields)
            data = answer.data
        except SlackApiError as error:
            raise _understood(method, error) from None
        except Exception as error:  # whatever a broken line or a stranger's answer makes of the client
            raise RetryError(f"slack could not be asked for {method}: {type(error).__name__}") from None
        return data if isinstance(data, dict) else {}

    def team(self) -> str:
        """The id of the Slack workspace that the token belongs to; asked once. Raises as `call`."""
        if not self._team:
            self._team = str(self.call("auth.test").get("team_id", ""))
        return self._team

    def socket_url(self) -> str:
        """Where Socket Mode listens for us now (the token must be the app's). Secret. Raises as `call`."""
        return str(self.call("apps.connections.open").get("url", ""))

    def _made(self) -> WebClient:
        with self._lock:
            if self._client is None:
                from slack_sdk import WebClient  # noqa: PLC0415  an extra, and slow to import

                self._client = WebClient(
                    self._token,
                    base_url=self._base_url,
                    timeout=self._timeout,
                    logger=silent(),
                    retry_handlers=[],  # a second try must look for what the first one left
                )
            return self._client


def silent() -> logging.Logger:
    """A logger of no one: the client's own lines hold messages, and addresses that are secret."""
    return logging.Logger("slack", level=logging.CRITICAL + 1)


def _understood(method: str, error: SlackApiError) -> RetryError | RefusedError:
    """What a failed call means; none of the texts that came with it is repeated but Slack's code."""
    response = error.response
    status = response.status_code
    data = response.data if isinstance(response.data, dict) else {}
    code = _code(data.get("error"))
    if status == 429 or code in {"ratelimited", "rate_limited"}:
        return RetryError(f"slack asks for a pause before {method}", _pause(response.headers))
    if status >= 500 or code in _NOT_NOW:
        return RetryError(f"slack could not do {method}: {code or status}")
    if status != 200 or not code:
        return RetryError(f"slack answered {method} with status {status} and no reason")
    return RefusedError(method, code)


def _code(value: object) -> str:
    """Slack's word for an error; anything else that may stand there is not repeated."""
    text = value if isinstance(value, str) else ""
    return text if len(text) <= 64 and text.replace("_", "").isalnum() and text.isascii() else ""


def _pause(headers: Any) -> float:
    text = str(headers.get("Retry-After", headers.get("retry-after", "")))
    seconds = float(text) if text.isascii() and text.isdigit() and len(text) < 10 else DEFAULT_PAUSE_SECONDS
    return min(seconds, LONGEST_PAUSE_SECONDS)
