"""What goes over the wire: the body of a call, and what its answer means.

The far side is a chat-completions API. An answer is judged here and nowhere else: it is an `Answer`, an
error of the exception tree (also where the error travels under HTTP 200), or a `ReplyError` where the far
side meant to answer but its reply is of no use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sluicegate import APIError, AuthenticationError, InvalidRequestError, RateLimitError, ServerError

from ._announced import read_announcement, retry_after
from ._one_line import shown
from ._secrets import ApiKey

_encoded = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class ReplyError(Exception):
    """An answer that arrived in order and holds nothing usable: asked once more, never counted by a breaker.

    Attributes:
        usage: what it cost all the same.
    """

    def __init__(self, message: str, *, usage: Usage | None = None) -> None:
        super().__init__(message)
        self.usage = usage or Usage()


class UnansweredError(Exception):
    """A request that got no answer: the connection was refused, cut, or silent for too long."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer cost, in tokens; 0 where the far side did not say."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0

    @property
    def tokens(self) -> int:
        """All of them, also where the far side forgot to add them up."""
        return self.total_tokens or self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Answer:
    """The text of an answer and what it cost."""

    content: str
    usage: Usage


def request_body(model: str, message: Mapping[str, Any]) -> bytes:
    r"""Return the body of a call: one user message, itself JSON, with its Hangul raw.

    Examples:
        >>> print(request_body("@preset/x", {"term": "물"}).decode())
        {"model":"@preset/x","messages":[{"role":"user","content":"{\"term\":\"물\"}"}]}
    """
    content = _encoded(message)
    return _encoded({"model": model, "messages": [{"role": "user", "content": content}]}).encode()


def read_answer(status: int, headers: Mapping[str, str], body: bytes, key: ApiKey | None = None) -> Answer:
    """Return what an HTTP response says.

    Args:
        status: the HTTP status.
        headers: by their name in lower case.
        body: the whole body.
        key: what must not be shown where the far side's message repeats it.

    Raises:
        APIError: the far side answered with an error, by its status or, under HTTP 200, in its body.
        ReplyError: broken JSON, no content, or an answer cut off at its length limit.
    """
    envelope = _envelope(body)
    error = envelope.get("error") if envelope is not None else None
    if status >= 300 or error:
        raise _api_error(status, headers, error, key)
    if envelope is None:
        raise ReplyError("the reply is not a JSON object")

    usage = _usage(envelope.get("usage"))
    choices = envelope.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise ReplyError("the reply has no choices", usage=usage)
    if choice.get("error"):
        raise _api_error(status, headers, choice["error"], key)
    message = choice.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    if choice.get("finish_reason") == "length":
        raise ReplyError("the reply was cut off at its length limit", usage=usage)
    if not isinstance(content, str) or not content.strip():
        raise ReplyError("the reply is empty", usage=usage)
    if not is_unicode(content):
        raise ReplyError("the reply is not valid Unicode", usage=usage)
    return Answer(content, usage)


def is_outage(error: BaseException) -> bool:
    """Whether an API error tells of the far side's health: 408 and 5xx, the ones a breaker counts."""
    return isinstance(error, APIError) and (error.status_code == 408 or error.status_code >= 500)


def is_unicode(text: str) -> bool:
    """Whether `text` can be written as UTF-8: JSON may spell half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _envelope(body: bytes) -> dict[str, Any] | None:
    try:
        envelope = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return envelope if isinstance(envelope, dict) else None


def _api_error(status: int, headers: Mapping[str, str], error: Any, key: ApiKey | None) -> APIError:
    told = error if isinstance(error, dict) else {"message": error}
    code = _status_code(told.get("code"), status)
    text = told.get("message")
    reason = shown(text, key) if isinstance(text, str) else ""
    message = f"{code}: {reason or 'no reason given'}"
    wait = _wait(headers)
    metadata = told.get("metadata")
    repeated = metadata.get("headers") if isinstance(metadata, dict) else None
    if wait is None and isinstance(repeated, dict):
        wait = _wait({str(name).lower(): str(value) for name, value in repeated.items()})
    if code == 429:
        return RateLimitError(wait, message=message)
    if code in {401, 403}:
        return AuthenticationError(code, message)
    if code >= 500:
        return ServerError(code, message, retry_after=wait)
    if code in {402, 408}:
        return APIError(code, message, retry_after=wait)
    return InvalidRequestError(code, message)


def _wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait: as asked for outright, or until a limit that is used up is reset."""
    wait = retry_after(headers)
    if wait is None:
        announcement = read_announcement(headers)
        if announcement is not None and announcement.remaining == 0:
            return announcement.reset
    return wait


def _status_code(code: Any, status: int) -> int:
    """Return the code inside an error body, or the HTTP status where that is no status; 200 is a 500 then."""
    if isinstance(code, str) and re.fullmatch("[45][0-9][0-9]", code):
        code = int(code)
    if type(code) is int and 400 <= code <= 599:
        return code
    return status if status >= 300 else 500


def _usage(told: Any) -> Usage:
    if not isinstance(told, dict):
        return Usage()
    counts = (told.get(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens"))
    return Usage(*(count if type(count) is int and count > 0 else 0 for count in counts))
