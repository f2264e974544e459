"""Gemini's requests and answers."""

from collections.abc import Iterator
from typing import Any

from vedette.wrap import parts
from vedette.wrap.chat import parameters
from vedette.wrap.embeddings import Whole
from vedette.wrap.look import Attributes, count_at, look, many, text_at
from vedette.wrap.operation import Operation
from vedette.wrap.parts import Part

PARAMETERS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "candidate_count": "gen_ai.request.choice.count",
}


def asked(request: Any) -> Attributes:
    """Returns the attributes of a request."""
    config = look(request, "config")
    return {
        "gen_ai.request.model": _model(request),
        **parameters(config, PARAMETERS),
        "gen_ai.request.stop_sequences": list(many(look(config, "stop_sequences"))) or None,
        "gen_ai.output.type": "json" if text_at(config, "response_mime_type") == "application/json" else None,
        "gen_ai.system_instructions": [
            part for said in _contents(look(config, "system_instruction")) for part in said["parts"]
        ],
        "gen_ai.input.messages": _contents(look(request, "contents")),
        "gen_ai.tool.definitions": [made for tool in many(look(config, "tools")) for made in _definitions(tool)],
    }


def answered(answer: Any) -> Attributes:
    """Returns the attributes of a whole answer."""
    candidates = list(many(look(answer, "candidates")))
    reasons = [_reason(candidate) for candidate in candidates]
    return {
        "gen_ai.response.id": text_at(answer, "response_id"),
        "gen_ai.response.model": text_at(answer, "model_version"),
        "gen_ai.response.finish_reasons": [reason for reason in reasons if reason] or None,
        "gen_ai.output.messages": [
            parts.message("assistant", map(_part, many(look(candidate, "content", "parts"))), reason or "")
            for candidate, reason in zip(candidates, reasons, strict=True)
        ],
        **_used(look(answer, "usage_metadata")),
    }


def failure(answer: Any) -> str | None:
    """Returns why a prompt was blocked."""
    reason = look(answer, "prompt_feedback", "block_reason")
    return None if reason is None else f"the prompt was blocked: {look(reason, 'value') or reason}"


def _used(usage: Any) -> Attributes:
    """Gemini counts thoughts beside its answer and a tool's prompt beside the prompt; the conventions count them as parts."""
    prompt, tool = count_at(usage, "prompt_token_count"), count_at(usage, "tool_use_prompt_token_count")
    answer, thoughts = count_at(usage, "candidates_token_count"), count_at(usage, "thoughts_token_count")
    return {
        "gen_ai.usage.input_tokens": None if prompt is None else prompt + (tool or 0),
        "gen_ai.usage.output_tokens": None if answer is None and thoughts is None else (answer or 0) + (thoughts or 0),
        "gen_ai.usage.cache_read.input_tokens": count_at(usage, "cached_content_token_count"),
        "gen_ai.usage.reasoning.output_tokens": thoughts,
    }


def _model(request: Any) -> str | None:
    model = text_at(request, "model")
    return model and model.removeprefix("models/")


def _reason(candidate: Any) -> str | None:
    reason = look(candidate, "finish_reason")
    name = look(reason, "value") or reason
    return name.lower() if isinstance(name, str) else None


def _contents(given: Any) -> list[dict[str, Any]]:
    """Contents may be messages, parts, or texts; parts and texts that follow each other are one message of the user."""
    made: list[dict[str, Any]] = []
    loose: list[Part] | None = None
    for item in many(given) or ([] if given is None else [given]):
        held = look(item, "parts")
        if held is None:
            if loose is None:
                loose = []
                made.append({"role": "user", "parts": loose})
            loose.append(_part(item))
        else:
            loose = None
            made.append(parts.message(_role(item, held), map(_part, many(held))))
    return made


def _role(content: Any, held: Any) -> str:
    if any(look(part, "function_response") is not None for part in many(held)):
        return "tool"
    return "assistant" if look(content, "role") == "model" else text_at(content, "role") or "user"


def _part(part: Any) -> Part:
    if isinstance(part, str):
        return parts.text(part)
    if (words := text_at(part, "text")) is not None:
        return parts.reasoning(words) if look(part, "thought") else parts.text(words)
    if (call := look(part, "function_call")) is not None:
        return parts.tool_call(look(call, "id"), look(call, "name"), look(call, "args"))
    if (answer := look(part, "function_response")) is not None:
        return {**parts.tool_answer(look(answer, "id"), look(answer, "response")), "name": look(answer, "name")}
    if (data := look(part, "inline_data")) is not None:
        return parts.blob(text_at(data, "mime_type"), len(look(data, "data") or b""))
    place = look(part, "file_data") or part
    if address := text_at(place, "file_uri") or text_at(place, "uri"):
        return parts.uri(address, text_at(place, "mime_type"))
    return {"type": "other", **parts.other(part)}


def _definitions(tool: Any) -> Iterator[Any]:
    declared = look(tool, "function_declarations")
    if declared is None and callable(tool):
        yield {"type": "function", "name": getattr(tool, "__name__", ""), "description": tool.__doc__}
    elif declared is None:
        yield parts.other(tool)
    for one in many(declared):
        schema = look(one, "parameters_json_schema") or look(one, "parameters")
        yield parts.definition(
            {"name": look(one, "name"), "description": look(one, "description"), "parameters": schema}
        )


class Chunks:
    """The chunks of one streamed answer: each is an answer with further parts."""

    finished = False

    def __init__(self) -> None:
        self._whole: dict[str, Any] = {}
        self._candidates: dict[int, dict[str, Any]] = {}

    def add(self, chunk: Any) -> None:
        """Takes the next chunk."""
        names = ("response_id", "model_version", "usage_metadata", "prompt_feedback")
        self._whole.update({name: told for name in names if (told := look(chunk, name)) is not None})
        self.finished = self.finished or "prompt_feedback" in self._whole
        for candidate in many(look(chunk, "candidates")):
            held = self._candidates.setdefault(look(candidate, "index") or 0, {"parts": [], "finish_reason": None})
            for part in many(look(candidate, "content", "parts")):
                _join(held["parts"], part)
            held["finish_reason"] = look(candidate, "finish_reason") or held["finish_reason"]
            self.finished = self.finished or held["finish_reason"] is not None

    def answer(self) -> dict[str, Any]:
        """Returns what came so far."""
        candidates = [
            {"content": {"parts": [_joined(part) for part in held["parts"]]}, "finish_reason": held["finish_reason"]}
            for _, held in sorted(self._candidates.items())
        ]
        return {**self._whole, "candidates": candidates}


def _join(held: list[Any], part: Any) -> None:
    """Texts that follow each other are pieces of one."""
    words, thought = text_at(part, "text"), bool(look(part, "thought"))
    if words is None:
        held.append(part)
    elif held and isinstance(held[-1], dict) and held[-1]["thought"] is thought:
        held[-1]["pieces"].append(words)
    else:
        held.append({"thought": thought, "pieces": [words]})


def _joined(part: Any) -> Any:
    return {"thought": part["thought"], "text": "".join(part["pieces"])} if isinstance(part, dict) else part


def _asked_to_embed(request: Any) -> Attributes:
    contents = _contents(look(request, "contents"))
    texts = [part["content"] for said in contents for part in said["parts"] if part["type"] == "text"]
    return {
        "gen_ai.request.model": _model(request),
        "gen_ai.embeddings.dimension.count": count_at(request, "config", "output_dimensionality"),
        "vedette.input": texts,
    }


def _embedded(answer: Any) -> Attributes:
    vectors = list(many(look(answer, "embeddings")))
    counts = [count_at(vector, "statistics", "token_count") for vector in vectors]
    known = [count for count in counts if count is not None]
    first = look(vectors[0], "values") if vectors else None
    return {
        "gen_ai.embeddings.dimension.count": len(first) if isinstance(first, list) else None,
        "gen_ai.usage.input_tokens": sum(known) if known else None,
    }


GENERATE = Operation("generate_content", asked, answered, Chunks, failure)
EMBEDDINGS = Operation("embeddings", _asked_to_embed, _embedded, Whole)
