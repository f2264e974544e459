from typing import Any

import orjson
import pytest

from scorers.said import Said, unpacked

WORDS = Said(["Hello", "there"])


@pytest.mark.parametrize(
    "envelope",
    [
        [{"role": "assistant", "parts": [{"type": "text", "content": "Hello"}, {"type": "text", "content": "there"}]}],
        [{"role": "system", "content": "Be nice"}, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "there"}],
        {"messages": [{"role": "assistant", "content": "Hello"}, {"role": "assistant", "content": "there"}]},
        {"choices": [{"message": {"role": "assistant", "content": "Hello"}}, {"message": {"role": "assistant", "content": "there"}}]},
        {"role": "assistant", "type": "message", "content": [{"type": "text", "text": "Hello"}, {"type": "text", "text": "there"}]},
        {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hello"}, {"text": "there"}]}}]},
        {"status": "completed", "output": [
            {"type": "reasoning", "content": "hm"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}, {"type": "output_text", "text": "there"}]},
        ]},
        [{"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hello"}, "there"]}],
        [{"role": "tool", "parts": [{"type": "tool_call_response", "response": "Hello"}]}, {"role": "user", "content": "there"}],
    ],
)  # fmt: skip
def test_the_words_are_taken_out_of_every_envelope_even_a_quoted_one(envelope: Any) -> None:
    text = orjson.dumps(envelope).decode()
    assert unpacked(text) == WORDS
    assert unpacked(orjson.dumps(text).decode()) == WORDS


@pytest.mark.parametrize("text", ["Hello", "", "{", "[]", "[1,2]", '{"answer":"Hello"}', '{"role":"boss"}', "[{}]"])
def test_a_text_without_an_envelope_says_itself(text: str) -> None:
    assert unpacked(text) == Said([text])


def test_calls_refusals_and_finish_reasons_stand_beside_the_words() -> None:
    openai = {
        "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": None, "refusal": "No."}}]
    }
    called = [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": '{"a":1}'}}]}]
    part = [
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "name": "f", "arguments": {"a": 1}}],
            "finish_reason": "tool_call",
        }
    ]
    assert unpacked(orjson.dumps(openai).decode()) == Said(["No."], refusals=["No."], finish_reasons=["stop"])
    assert unpacked(orjson.dumps(called).decode()) == Said(calls=['{"a":1}'])
    assert unpacked(orjson.dumps(part).decode()) == Said(calls=['{"a":1}'], finish_reasons=["tool_call"])


def test_a_part_that_nests_deeper_than_can_be_written_leaves_the_text_as_it_is() -> None:
    text = '[{"role":"tool","content":[{"text":%s}]}]' % ("[" * 300 + "]" * 300)
    assert unpacked(text) == Said([text])
