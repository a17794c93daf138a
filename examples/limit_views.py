"""Limit single views of FastAPI, Flask and Django, and a whole WSGI application."""

import asyncio

import django
import httpx2
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from fastapi import Depends, FastAPI
from flask import Flask

from sluicegate import KeyedRateLimiter, RateLimiter
from sluicegate.integrations import django as in_django
from sluicegate.integrations import flask as in_flask
from sluicegate.integrations.fastapi import RateLimit
from sluicegate.integrations.wsgi import RateLimitMiddleware

settings.configure(DEFAULT_CHARSET="utf-8")
django.setup()
fast, shop = FastAPI(), Flask("shop")


@fast.get("/", dependencies=[Depends(RateLimit(KeyedRateLimiter("1/h")))])
async def in_fastapi() -> str:
    """Answer through FastAPI."""
    return "found"


@shop.get("/")
@in_flask.rate_limit(KeyedRateLimiter("1/h"))
def with_flask() -> str:
    """Answer through Flask."""
    return "found"


@shop.get("/free")
def free() -> str:
    """Answer whoever the middleware lets through."""
    return "found"


@in_django.rate_limit(KeyedRateLimiter("1/h"))
def with_django(request: HttpRequest) -> HttpResponse:
    """Answer through Django."""
    return HttpResponse("found")


async def ask_fastapi() -> list[int]:
    """Ask twice."""
    transport = httpx2.ASGITransport(app=fast)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return [(await client.get("/")).status_code for _ in range(2)]


def main() -> None:
    """Ask each of them twice: the second time is past the limit."""
    print("FastAPI", asyncio.run(ask_fastapi()))
    print("Flask  ", [shop.test_client().get("/").status_code for _ in range(2)])
    shop.wsgi_app = RateLimitMiddleware(shop.wsgi_app, RateLimiter("1/h"))  # type: ignore[method-assign]
    print("WSGI   ", [shop.test_client().get("/free").status_code for _ in range(2)])
    print("Django ", [with_django(RequestFactory().get("/")).status_code for _ in range(2)])


if __name__ == "__main__":
    main()
