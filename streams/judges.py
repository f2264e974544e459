"""Prompt scorers of a scoring worker: their questions go to the providers that projects have, with keys that are read here."""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from schemas.documents.scorer import ScorerSpec
from scorers.prompt import Judge, Prompt
from scorers.providers.caller import Caller, Provider
from scorers.providers.chat import CROWD, Chat, Closed
from scorers.registry import prompt
from streams import providers
from streams.bench import Own, Ready
from streams.logic.configuration import Configuration
from streams.runner_dir import runner_dir
from streams.settings import Settings

IN_FLIGHT = 1000

HEEDS: tuple[Own, ...] = ("model", "options")
"""What of a request's own a question is asked with; a threshold needs no model."""


class Judges:
    """What the worker holds while it runs: connections to providers, and what they were paid today."""

    caller: Caller

    def __init__(self, settings: Settings, known: Callable[[], Configuration] = Configuration) -> None:
        self.settings, self.known = settings, known
        self._closed, self._held = Closed(), AsyncExitStack()

    async def __aenter__(self) -> "Judges":
        """Opens them. Raises `RuntimeError` when the folder is somebody else's."""
        folder = runner_dir(self.settings)
        self.caller = await self._held.enter_async_context(providers.calling(self.settings, folder, "judge"))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes them."""
        await self._held.aclose()

    def make(self, spec: ScorerSpec, project: str, name: str, _configuration: Configuration) -> Ready:
        """Returns a prompt scorer of a project; it bounds time and number by itself.

        Raises:
            ValueError: its settings are wrong.

        """
        question = prompt(spec)
        slots = asyncio.Semaphore(spec.concurrency)
        model = Chat(
            project, name, question.model or "", partial(self._choose, project), self.caller, self._closed,
            slots, CROWD * spec.concurrency, spec.timeout, _further(question),
        )  # fmt: skip
        return Ready(spec, Judge(question, model, partial(secrets.token_hex, 8)), slots=None)

    def _choose(self, project: str, model: str) -> tuple[Provider, str]:
        return providers.of_model(self.known(), project, model, self.settings)


def _further(question: Prompt) -> dict[str, Any]:
    """A temperature is only told when it is set: some models take none."""
    told = {"max_completion_tokens": question.max_tokens, "temperature": question.temperature}
    return {name: value for name, value in told.items() if value is not None}
