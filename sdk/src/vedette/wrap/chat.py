"""Chat completions, as OpenAI and all who took its form over speak them."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from vedette.wrap import parts
from vedette.wrap.look import Attributes, count_at, look, many, number_at, text_at
from vedette.wrap.operation import Operation
from vedette.wrap.parts import Part

PARAMETERS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "n": "gen_ai.request.choice.count",
}


def parameters(body: Any, names: dict[str, str]) -> Attributes:
    """Returns the numbers in a request that shape the answer."""
    found = ((attribute, number_at(body, name)) for name, attribute in names.items())
    return {attribute: value for attribute, value in found if value is not None}


def asked(body: Any) -> Attributes:
    """Returns the attributes of a request."""
    stop = look(body, "stop")
    form = text_at(body, "response_format", "type")
    return {
        "gen_ai.request.model": text_at(body, "model"),
        **parameters(body, PARAMETERS),
        "gen_ai.request.stop_sequences": [stop] if isinstance(stop, str) else list(many(stop)) or None,
        "gen_ai.request.stream": True if look(body, "stream") is True else None,
        "gen_ai.output.type": form and ("json" if form.startswith("json") else form),
        "gen_ai.input.messages": [_asked(said) for said in many(look(body, "messages"))],
        "gen_ai.tool.definitions": [parts.definition(tool) for tool in many(look(body, "tools"))],
        "openai.request.service_tier": text_at(body, "service_tier"),
    }


def answered(answer: Any) -> Attributes:
    """Returns the attributes of a whole answer."""
    choices = list(many(look(answer, "choices")))
    reasons = [reason for choice in choices if (reason := text_at(choice, "finish_reason"))]
    return {
        "gen_ai.response.id": text_at(answer, "id"),
        "gen_ai.response.model": text_at(answer, "model"),
        "gen_ai.response.finish_reasons": reasons or None,
        "gen_ai.output.messages": [_answered(choice) for choice in choices],
        "openai.response.service_tier": text_at(answer, "service_tier"),
        "openai.response.system_fingerprint": text_at(answer, "system_fingerprint"),
        **used(look(answer, "usage")),
    }


def used(usage: Any) -> Attributes:
    """Returns tokens; the prompt's include those that were cached, the answer's those of its reasoning."""
    return {
        "gen_ai.usage.input_tokens": count_at(usage, "prompt_tokens"),
        "gen_ai.usage.output_tokens": count_at(usage, "completion_tokens"),
        "gen_ai.usage.cache_read.input_tokens": count_at(usage, "prompt_tokens_details", "cached_tokens")
        or count_at(usage, "cached_tokens")
        or count_at(usage, "prompt_cache_hit_tokens"),
        "gen_ai.usage.cache_creation.input_tokens": count_at(usage, "prompt_tokens_details", "cache_write_tokens"),
        "gen_ai.usage.reasoning.output_tokens": count_at(usage, "completion_tokens_details", "reasoning_tokens"),
        "gen_ai.usage.cost": number_at(usage, "cost"),
    }


def _asked(said: Any) -> dict[str, Any]:
    role = text_at(said, "role") or "user"
    if role == "tool":
        answer = parts.tool_answer(look(said, "tool_call_id"), look(said, "content"))
        return parts.message(role, [answer])
    return parts.message(role, _parts(said))


def _answered(choice: Any) -> dict[str, Any]:
    said = look(choice, "message")
    return parts.message(text_at(said, "role") or "assistant", _parts(said), text_at(choice, "finish_reason") or "")


def _parts(said: Any) -> Iterator[Part]:
    if thought := text_at(said, "reasoning_content") or text_at(said, "reasoning"):
        yield parts.reasoning(thought)
    content = look(said, "content")
    if isinstance(content, str) and content:
        yield parts.text(content)
    yield from (_content(item) for item in many(content))
    if refused := text_at(said, "refusal"):
        yield parts.refusal(refused)
    for call in many(look(said, "tool_calls")):
        inner = look(call, "function") or look(call, "custom")
        arguments = look(inner, "arguments") or look(inner, "input")
        yield parts.tool_call(text_at(call, "id"), text_at(inner, "name"), arguments)


def _content(item: Any) -> Part:
    if (words := text_at(item, "text")) is not None:
        return parts.text(words)
    if address := text_at(item, "image_url", "url") or text_at(item, "image_url"):
        return parts.uri(address, modality="image")
    if data := text_at(item, "input_audio", "data"):
        return parts.blob(f"audio/{text_at(item, 'input_audio', 'format')}", len(data))
    if data := text_at(item, "file", "file_data"):
        return parts.uri(data)
    if file_id := text_at(item, "file", "file_id"):
        return parts.file(file_id)
    return parts.other(item)


class Chunks:
    """The chunks of one streamed chat completion."""

    finished = False

    def __init__(self) -> None:
        self._whole: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = defaultdict(_Choice)

    def add(self, chunk: Any) -> None:
        """Takes the next chunk."""
        usage = look(chunk, "usage") or look(chunk, "x_groq", "usage")
        names = ("id", "model", "service_tier", "system_fingerprint")
        told = {name: look(chunk, name) for name in names if look(chunk, name)}
        self._whole.update(told if usage is None else {**told, "usage": usage})
        for choice in many(look(chunk, "choices")):
            self._choices[look(choice, "index") or 0].add(choice)
        self.finished = self.finished or usage is not None or any(c.reason for c in self._choices.values())

    def answer(self) -> dict[str, Any]:
        """Returns what came so far."""
        return {**self._whole, "choices": [choice.whole() for _, choice in sorted(self._choices.items())]}


class _Choice:
    def __init__(self) -> None:
        self.reason: str | None = None
        self._texts: dict[str, list[str]] = defaultdict(list)
        self._calls: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))

    def add(self, choice: Any) -> None:
        delta = look(choice, "delta")
        self.reason = text_at(choice, "finish_reason") or self.reason
        for name in ("content", "refusal", "reasoning_content", "reasoning"):
            if piece := text_at(delta, name):
                self._texts[name].append(piece)
        for place, piece in enumerate(many(look(delta, "tool_calls"))):
            call = self._calls[place if (index := count_at(piece, "index")) is None else index]
            for name, told in (("id", text_at(piece, "id")), ("name", text_at(piece, "function", "name"))):
                if told and not call[name]:  # some servers repeat both in every chunk
                    call[name].append(told)
            call["arguments"].append(text_at(piece, "function", "arguments") or "")

    def whole(self) -> dict[str, Any]:
        calls = [{name: "".join(pieces) for name, pieces in call.items()} for _, call in sorted(self._calls.items())]
        said: dict[str, Any] = {name: "".join(pieces) for name, pieces in self._texts.items()}
        said["tool_calls"] = [{"id": call.get("id"), "function": call} for call in calls]
        return {"message": said, "finish_reason": self.reason}


CHAT = Operation(name="chat", asked=asked, answered=answered, gathering=Chunks)
