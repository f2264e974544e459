"""A tracer that reports to a server of the test's own."""

import os
from collections.abc import Iterator

import pytest
from vedette import Tracer, core

from tests.sdk.server import KEY, Server, serving


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of whoever runs the tests do not reach them."""
    for name in list(os.environ):
        if name.startswith(("VEDETTE_", "JUDGMENT_", "OTEL_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(core, "_told", {})  # each warning comes once a minute


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def tracer(server: Server) -> Iterator[Tracer]:
    tracer = Tracer(project_name="shop", api_url=server.url, api_key=KEY, environment="production")
    yield tracer
    tracer.shutdown(2_000)
