"""A judge's model behind a local server that speaks OpenAI's protocol: what each of its answers means."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
import pytest_asyncio

from schemas.net_guard import networks
from scorers.answer import schema
from scorers.model import NotAsked, TooLong
from scorers.providers.allowance import Limits
from scorers.providers.caller import Caller, Provider
from scorers.providers.chat import Chat, Closed
from scorers.scorer import Permanent, Transient
from streams.local.openai_standin import OpenAiCall, OpenAiReply, OpenAiStandIn

ASKED = [{"role": "user", "content": "?"}]
SCHEMA = schema("n", ())
KEY = "sk-canary-77"


@pytest.fixture
def server() -> Iterator[OpenAiStandIn]:
    with OpenAiStandIn(respond=lambda _: OpenAiReply("an answer")) as made:
        yield made


@pytest_asyncio.fixture
async def chat(server: OpenAiStandIn) -> AsyncIterator[Chat]:
    provider = Provider("shop", "openai", server.url, KEY, ("gpt-5-mini",))
    async with Caller(networks(["127.0.0.0/8"])) as caller:
        yield Chat(
            "shop", "Polite", "", lambda _: (provider, "gpt-5-mini"), caller, Closed(), asyncio.Semaphore(2), 3, 5,
            {"max_completion_tokens": 100},
        )  # fmt: skip


def limited(chat: Chat, limits: Limits) -> None:
    provider, model = chat.choose("")
    chat.choose = lambda _: (replace(provider, limits=limits), model)


def answers(server: OpenAiStandIn, text: str, status: int, **headers: str) -> None:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    server.respond = lambda _: OpenAiReply(text, status, told)


async def test_it_is_asked_with_the_schema_and_the_key_and_its_usage_is_paid(chat: Chat, server: OpenAiStandIn) -> None:
    found = await chat.ask(ASKED, SCHEMA)
    assert found.text == "an answer"
    assert found.usd > 0
    (call,) = server.calls
    assert (call.path, call.key, call.body["model"]) == ("/v1/chat/completions", KEY, "gpt-5-mini")
    assert call.body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert call.body["max_completion_tokens"] == 100
    assert chat.caller.allowances["shop", "openai"].usd == pytest.approx(found.usd)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
async def test_who_is_busy_or_away_is_asked_later(chat: Chat, server: OpenAiStandIn, status: int) -> None:
    answers(server, f"not with {KEY}", status)
    with pytest.raises(Transient, match=rf"provider 'openai' answers {status}: not with \*\*\*") as failure:
        await chat.ask(ASKED, SCHEMA)
    assert failure.value.retry_after_s is None


async def test_nobody_calls_a_provider_before_the_time_that_it_names(chat: Chat, server: OpenAiStandIn) -> None:
    answers(server, "slow down", 429, retry_after="7")
    for _ in range(3):
        with pytest.raises(Transient, match="slow down") as failure:
            await chat.ask(ASKED, SCHEMA)
        assert 6 < (failure.value.retry_after_s or 0) <= 7
    assert len(server.calls) == 1


@pytest.mark.parametrize("status", [401, 402, 403])
async def test_a_key_or_an_account_is_the_operators_to_mend_so_judges_wait_long(
    chat: Chat, server: OpenAiStandIn, status: int
) -> None:
    answers(server, "Incorrect API key", status)
    with pytest.raises(Transient, match="Incorrect API key") as failure:
        await chat.ask(ASKED, SCHEMA)
    assert failure.value.retry_after_s == 600
    with pytest.raises(Transient, match="Incorrect API key"):
        await chat.ask(ASKED, SCHEMA)
    assert len(server.calls) == 1


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_a_question_that_the_provider_refuses_is_an_error(chat: Chat, server: OpenAiStandIn, status: int) -> None:
    answers(server, "The model does not exist", status)
    with pytest.raises(Permanent, match=f"answers {status}: The model does not exist"):
        await chat.ask(ASKED, SCHEMA)


async def test_a_conversation_that_is_too_long_is_told_as_such(chat: Chat, server: OpenAiStandIn) -> None:
    for status, text in ((400, "This model's maximum context length is 8192 tokens"), (413, "Payload too large")):
        answers(server, text, status)
        with pytest.raises(TooLong):
            await chat.ask(ASKED, SCHEMA)


async def test_a_server_that_takes_no_schema_is_asked_without_one_from_then_on(
    chat: Chat, server: OpenAiStandIn
) -> None:
    def respond(call: OpenAiCall) -> OpenAiReply:
        formed = "response_format" in call.body
        return OpenAiReply("response_format: json_schema is not supported", 400) if formed else OpenAiReply("fine")

    server.respond = respond
    assert [(await chat.ask(ASKED, SCHEMA)).text for _ in range(2)] == ["fine", "fine"]
    assert ["response_format" in call.body for call in server.calls] == [True, False, False]


async def test_a_refusal_and_an_answer_that_was_cut_are_errors(
    chat: Chat, server: OpenAiStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streams.local import openai_standin

    whole = openai_standin._completion
    told = {"message": {"role": "assistant", "content": None, "refusal": "I will not"}, "finish_reason": "stop"}
    for choice, says in (
        (told, "the model refuses: I will not"),
        ({"message": {"content": ""}, "finish_reason": "content_filter"}, "the model refuses: content filter"),
        ({"message": {"content": '{"id'}, "finish_reason": "length"}, "raise `with.max_tokens`"),
    ):
        monkeypatch.setattr(openai_standin, "_completion", lambda b, t, one=choice: whole(b, t) | {"choices": [one]})
        with pytest.raises(Permanent, match=says) as failure:
            await chat.ask(ASKED, SCHEMA)
        assert failure.value.cost_usd
    monkeypatch.setattr(openai_standin, "_completion", lambda *_: {"hello": "world"})
    with pytest.raises(Transient, match="no chat completion: see its `base_url`"):
        await chat.ask(ASKED, SCHEMA)


async def test_requests_a_minute_are_waited_for_and_a_spent_budget_is_not(chat: Chat, server: OpenAiStandIn) -> None:
    limited(chat, Limits(requests_per_minute=1))
    await chat.ask(ASKED, SCHEMA)
    with pytest.raises(Transient, match="1 requests a minute are made"):
        await chat.ask(ASKED, SCHEMA)
    limited(chat, Limits(budget_usd_per_day=0.0001))
    with pytest.raises(NotAsked, match=r"of \$0.0001 a day are spent or reserved"):
        await chat.ask(ASKED, SCHEMA)
    assert len(server.calls) == 1


async def test_a_slow_answer_is_asked_for_later_and_a_crowd_does_not_wait_here(
    chat: Chat, server: OpenAiStandIn
) -> None:
    chat.timeout_s = 0.2

    def respond(_: OpenAiCall) -> OpenAiReply:
        time.sleep(0.5)
        return OpenAiReply("late")

    server.respond = respond
    found = await asyncio.gather(*(chat.ask(ASKED, SCHEMA) for _ in range(4)), return_exceptions=True)
    assert all(isinstance(one, Transient) for one in found)
    told = sorted(str(one)[:24] for one in found)
    assert told == ["3 wait for this scorer: ", *["no answer within 0.2 s; "] * 3]


async def test_a_provider_that_is_away_is_asked_later(chat: Chat) -> None:
    provider, model = chat.choose("")
    chat.choose = lambda _: (replace(provider, base_url="http://127.0.0.1:9/v1"), model)
    with pytest.raises(Transient, match="cannot be reached"):
        await chat.ask(ASKED, SCHEMA)
