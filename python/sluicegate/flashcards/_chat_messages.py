"""The messages of the embedded API: what a request body means, and the envelopes that go back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from ._faults import Fault

ANALYSIS_MODEL = "@preset/nuance-creator"
CARDS_MODEL = "@preset/nuance-flashcard-generator"

MAX_TERM_LENGTH = 200
"""The longest term that is answered, in characters."""

_BYTES_A_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back; `cut` where the connection is to close halfway through the body."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    cut: bool = False


class Refusal(Exception):  # noqa: N818 - an answer like any other, carried to where it is sent
    """A request that gets an error for an answer.

    Args:
        code: the error's code in the body.
        message: what is wrong.
        headers: what to send besides.
        status: the HTTP status, where it is another than `code`.
    """

    def __init__(
        self,
        code: int,
        message: str,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        body = _json({"error": {"code": code, "message": message, "metadata": {"provider": "offline"}}})
        self.response = Response(code if status is None else status, body, headers)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was understood.

    Attributes:
        model: one of the two presets.
        content: the user message as it came.
        position: the row's number, above 0.
        term: the word.
        type: its part of speech, for stage 1.
        analysis: what stage 1 found, for stage 2; None in stage 1.
    """

    model: str
    content: str
    position: int
    term: str
    type: str
    analysis: Mapping[str, object] | None

    @property
    def identity(self) -> bytes:
        """What makes two requests the same call."""
        return blake2b(f"{self.model}\0{self.content}".encode(errors="replace"), digest_size=16).digest()


def read_call(body: bytes) -> Call:
    r"""Return what a request body asks for.

    Raises:
        Refusal: with 400, naming what is wrong.

    Examples:
        >>> content = '{"position": 1, "term": "물", "type": "noun"}'
        >>> body = {"model": ANALYSIS_MODEL, "messages": [{"role": "user", "content": content}]}
        >>> read_call(json.dumps(body).encode()).term
        '물'
    """
    request = _object(_parsed(body, "the body"), "the body")
    model = request.get("model")
    if model not in (ANALYSIS_MODEL, CARDS_MODEL):
        raise Refusal(400, f"no such model; there are {ANALYSIS_MODEL} and {CARDS_MODEL}")
    content = _user_message(request)
    asked = _object(_parsed(content, "the user message"), "the user message")
    position, term, word_type = asked.get("position"), asked.get("term"), asked.get("type", "")
    if not isinstance(position, int) or isinstance(position, bool) or position < 1:
        raise Refusal(400, "position must be an integer above 0")
    if not isinstance(term, str) or not term.strip() or len(term) > MAX_TERM_LENGTH:
        raise Refusal(400, f"term must be a text of 1 to {MAX_TERM_LENGTH} characters")
    if not isinstance(word_type, str):
        raise Refusal(400, "type must be a text")
    analysis = None
    if model == CARDS_MODEL:
        analysis = _object(asked.get("stage1_result"), "stage1_result")
    return Call(model, content, position, term, word_type, analysis)


def completion(call: Call, content: str, fault: Fault | None = None) -> Response:
    """Return the envelope that carries `content`, spoilt as `fault` has it."""
    finish_reason = "stop"
    match fault:
        case Fault.GARBLED:
            content = content[: len(content) // 2].replace("\t", " ")
        case Fault.TRUNCATED:
            content, finish_reason = content[: len(content) // 2], "length"
        case Fault.EMPTY:
            content = ""
        case _:
            pass
    prompt_tokens, completion_tokens = _tokens(call.content), _tokens(content)
    envelope = {
        "id": f"gen-{call.identity.hex()}",
        "object": "chat.completion",
        "model": call.model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content},
                "finish_reason": finish_reason,
            }
        ],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }
    return Response(200, _json(envelope), cut=fault in (Fault.CUT, Fault.HANG))


def _user_message(request: Mapping[str, Any]) -> str:
    messages = request.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if not isinstance(last, dict) or last.get("role") != "user" or not isinstance(last.get("content"), str):
        raise Refusal(400, "messages must end with one of role user and a text for its content")
    return str(last["content"])


def _parsed(text: str | bytes, name: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Refusal(400, f"{name} is not JSON") from None


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refusal(400, f"{name} must be a JSON object")
    return value


def _tokens(text: str) -> int:
    """Return an estimate of the tokens of a text, rounded up: what a tokeniser says depends on the model."""
    return -(-len(text.encode(errors="replace")) // _BYTES_A_TOKEN)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(errors="replace")
