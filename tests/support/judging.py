"""A model that judges, and a scoring worker that asks it."""

import json
from collections.abc import Callable

from streams import score
from streams.local.openai_standin import OpenAiCall, OpenAiReply
from streams.settings import Settings


def judge(decides: Callable[[str], object]) -> Callable[[OpenAiCall], OpenAiReply]:
    """Returns what answers a judge's question: a number is the score, a text the choice that `decides` takes for a record."""

    def respond(call: OpenAiCall) -> OpenAiReply:
        nonce = call.body["response_format"]["json_schema"]["schema"]["properties"]["id"]["enum"][0]
        decided = decides(call.prompt)
        if isinstance(decided, OpenAiReply):
            return decided
        name = "choice" if isinstance(decided, str) else "score"
        return OpenAiReply(json.dumps({"id": nonce, "reason": "as it is", name: decided}))

    return respond


def main(settings: Settings) -> None:
    """Runs a worker for prompt scorers until SIGTERM."""
    score.main(settings, ("judge",))
