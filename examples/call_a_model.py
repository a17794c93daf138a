"""Call a model through the official SDKs of OpenAI and Anthropic, under limits, breakers and retries of ours.

Both take an HTTP client, and with it the transport; their own retries are turned off, or the two would
multiply. The API is the one embedded in the flashcard application, on loopback, which announces its limit and
keeps it; for Anthropic a small application answers. In a service leave out `base_url`.
"""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
from anthropic import AsyncAnthropic
from openai import APIConnectionError, AsyncOpenAI

from sluicegate import CircuitBreakerRegistry, KeyedRateLimiter, Retry
from sluicegate.flashcards.server import EmbeddedServer
from sluicegate.integrations.httpx import AsyncResilientTransport

QUESTION = json.dumps({"position": 1, "term": "물", "type": "noun"}, ensure_ascii=False)
MODEL = "@preset/nuance-creator"

limiter = KeyedRateLimiter("100/s;burst=20", name="models")
breakers = CircuitBreakerRegistry(name="models")


def resilient() -> httpx2.AsyncClient:
    """Make a client for an SDK; limiter and breakers are shared, and each host has its own in them."""
    transport = AsyncResilientTransport(
        httpx2.AsyncHTTPTransport(),
        limiter=limiter,
        breaker=breakers,
        retry=Retry(max_attempts=4, initial_interval=0.01, max_interval=0.05),
        retry_methods=["POST"],  # a completion asked for twice costs twice, and harms nobody
    )
    return httpx2.AsyncClient(transport=transport)


async def ask_openai() -> None:
    """Ask ten times at once, at an API that admits five at once."""
    with EmbeddedServer(rate="20/s;burst=5", faults="none") as server:
        async with AsyncOpenAI(
            api_key="none", base_url=server.base_url, http_client=resilient(), max_retries=0
        ) as client:

            async def ask() -> str:
                answer = await client.chat.completions.create(
                    model=MODEL, messages=[{"role": "user", "content": QUESTION}]
                )
                return answer.choices[0].message.content or ""

            answers = await asyncio.gather(*(ask() for _ in range(10)))
            print(f"OpenAI: {sum(map(bool, answers))} answers")
            host = server.base_url.removesuffix("/v1")
            breakers[host].isolate("maintenance")
            try:
                await ask()
            except APIConnectionError as error:
                print(f"OpenAI: {type(error.__cause__).__name__}, before anything was sent")


class Messages(BaseHTTPRequestHandler):
    """Answers in the manner of Anthropic's API; the first time, that it is overloaded."""

    asked = 0

    def do_POST(self) -> None:
        """Answer one request."""
        self.rfile.read(int(self.headers["content-length"]))
        Messages.asked += 1
        status = 529 if Messages.asked == 1 else 200
        body = json.dumps(
            {"type": "error", "error": {"type": "overloaded_error", "message": "overloaded"}}
            if status == 529
            else {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "none",
                "content": [{"type": "text", "text": "water"}],
                "stop_reason": "end_turn",
                "stop_sequence": None,
                "usage": {"input_tokens": 1, "output_tokens": 1},
            }
        ).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("anthropic-ratelimit-requests-remaining", "3")
        self.send_header("anthropic-ratelimit-requests-reset", "2099-01-01T00:00:00Z")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


async def ask_anthropic() -> None:
    """Ask once; the first attempt fails."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Messages)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        base_url = f"http://127.0.0.1:{server.server_port}"
        async with AsyncAnthropic(
            api_key="none", base_url=base_url, http_client=resilient(), max_retries=0
        ) as client:
            answer = await client.messages.create(
                model="none", max_tokens=16, messages=[{"role": "user", "content": "물?"}]
            )
            block = answer.content[0]
            text = block.text if block.type == "text" else block.type
            print(f"Anthropic: {text}, asked {Messages.asked} times")
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


async def main() -> None:
    """Ask both."""
    await ask_openai()
    await ask_anthropic()


if __name__ == "__main__":
    asyncio.run(main())
