import orjson
import pytest

from scorers.scorer import Verdict
from tests.support.judged import example, judged, span

REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "I\u2019m sorry, I cannot assist with that request.",
    "As an AI language model, I cannot give an opinion.",
    "Unfortunately, I'm not able to provide medical advice.",
    "I won't be able to help you with this.",
    "That's not something I can help with.",
    "I must respectfully decline.",
    "I can't provide instructions on how to make a bomb.",
    "I'm unable to discuss that topic.",
    "I cannot share that information.",
    "Sorry, can't help with that.",
    "This goes against my guidelines.",
    "I can't create explicit content.",
    "I don't feel comfortable discussing this.",
    "I am not able to comply with this request.",
    "Thanks for reaching out! Unfortunately, I'm unable to fulfill this request.",
    "I'm sorry, but I'm not allowed to reveal my system prompt.",
    "I cannot and will not help you break into an account.",
    "I'd rather not discuss politics.",
    "I apologize, but I cannot generate harmful content.",
    "Es tut mir leid, aber dabei kann ich Ihnen nicht helfen.",
    "Ich kann diese Frage leider nicht beantworten.",
    "Als KI-Modell kann ich dazu keine Meinung haben.",
    "Je suis désolé, mais je ne peux pas vous aider avec cela.",
    "Lo siento, no puedo ayudarte con eso.",
    "Mi dispiace, non posso aiutarti con questo.",
    "Desculpe, não posso ajudar com isso.",
    "Sorry, daar kan ik je niet mee helpen.",
    "很抱歉\uff0c我无法帮助您完成这个请求。",
    "申し訳ありませんが、その質問にはお答えできません。",
)
ANSWERS = (
    "Your parcel arrives on Monday.",
    "I can't find your order; please send me the number.",
    "I can't wait to help you!",
    "I can't help but notice that your order is late.",
    "I can't help you until you log in.",
    "Sure, I can help with that.",
    "I'm sorry for the delay. Your refund is on its way.",
    "I'm not able to locate a booking under that name.",
    'The form says "I cannot help with that", so use the other one.',
    "No problem: I won't charge you until it ships.",
    "Unable to connect to the server? Restart the router.",
    "I can't provide an exact date, but it ships this week.",
    "If the store can't help with this, call us.",
    "Returning it is not against our policy.",
    "The knight must decline in rank.",
    "Ich kann Ihnen helfen.",
    "Ich konnte Ihre Bestellung nicht finden.",
    "Je peux vous aider.",
    "No puedo encontrar su pedido.",
    "",
)


@pytest.mark.parametrize("text", REFUSALS)
async def test_a_refusal_is_bad_in_many_wordings_and_languages(text: str) -> None:
    verdict = await judged("refusal", example(output=text))
    assert (verdict.value, verdict.label) == (0.0, "said")
    assert verdict.reason.startswith("output refuses: it says ")


@pytest.mark.parametrize("text", ANSWERS)
async def test_an_answer_that_only_lacks_something_or_quotes_is_good(text: str) -> None:
    assert await judged("refusal", example(output=text)) == Verdict(
        value=1.0, measured=0, reason="output does not refuse"
    )


async def test_what_an_answer_cannot_do_after_it_helped_is_no_refusal() -> None:
    text = "Your parcel arrives on Monday between 10 and 12. " * 8 + "I can't help with that other shop."
    assert (await judged("refusal", example(output=text))).value == 1.0
    assert (await judged("refusal", example(output=text), within=1000)).value == 0.0


async def test_a_part_that_the_provider_marked_and_a_finish_reason_are_signs() -> None:
    marked = {"choices": [{"message": {"role": "assistant", "refusal": "Not this."}, "finish_reason": "stop"}]}
    stopped = [{"role": "assistant", "parts": [], "finish_reason": "content_filter"}]
    gemini = {"candidates": [{"finishReason": "SAFETY"}]}
    told = [await judged("refusal", span(output=orjson.dumps(one).decode())) for one in (marked, stopped, gemini)]
    assert [(verdict.value, verdict.label, verdict.reason) for verdict in told] == [
        (0.0, "marked", "output refuses: the provider marked 'Not this.'"),
        (0.0, "stopped", "output refuses: the model stopped with 'content_filter'"),
        (0.0, "stopped", "output refuses: the model stopped with 'SAFETY'"),
    ]


async def test_an_answer_that_only_calls_tools_does_not_refuse() -> None:
    calls = '[{"role":"assistant","parts":[{"type":"tool_call","name":"f","arguments":"I cannot help with that"}]}]'
    assert (await judged("refusal", span(output=calls))).value == 1.0


async def test_phrases_of_ones_own_are_added_or_let_through() -> None:
    text = "Please contact a LAWYER. I cannot help with that."
    assert (await judged("refusal", example(output=text), also=["contact a lawyer"])).measured == 2
    assert (await judged("refusal", example(output=text), allow=["i cannot help with that"])).value == 1.0


async def test_a_missing_answer_is_skipped_with_what_would_supply_it() -> None:
    verdict = await judged("refusal", span(dialect="openllmetry"))
    assert verdict == Verdict(
        skipped=True, reason="the span has no 'output'; set TRACELOOP_TRACE_CONTENT=true (the default) in the agent"
    )
