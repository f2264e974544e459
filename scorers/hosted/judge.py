"""A hosted scorer as the stream sees it: a scorer whose judgement comes out of a sandbox."""

import re
from dataclasses import dataclass, field

import orjson

from schemas.subject import Subject
from scorers.hosted.channel import Answer, Call, Died, Json, Judged, Raised, TimedOut
from scorers.hosted.line import Done, Key
from scorers.hosted.pool import Pool
from scorers.scorer import Permanent, Transient, Verdict

NO_GATEWAY = "needs a sandbox tier with a gateway"
_NETWORK = re.compile(r"connect|socket|getaddrinfo|name resolution|network|PermissionError", re.IGNORECASE)
_DIED = {
    "memory": "it used more memory than its sandbox has: hold less at a time, or ask the operator for VEDETTE_RUNNER_MEMORY_MIB",
}


@dataclass(frozen=True)
class Hosted:
    """An uploaded scorer version of one project."""

    pool: Pool
    key: Key
    timeout_s: float
    kind: str = "example"
    """`example` or `trace`, as its class says."""
    gateway: bool = True
    """Whether its sandbox reaches one."""
    overlay: Json = field(default_factory=dict)
    """`threshold`, `model`, `options`: those of them that a request names for itself."""

    async def judge(self, subject: Subject) -> Verdict:
        """Returns the author's verdict.

        Raises:
            Transient: too many wait for it, or what it calls cannot answer now.
            Permanent: its code raised, hung or died; the reason is the author's to act on.

        """
        if (self.kind == "trace") != (subject.kind == "trace"):
            reason = f"it judges {self.kind}s, and this is one of the {subject.kind}s: ask for it on its own kind"
            return Verdict(skipped=True, reason=reason)
        return verdict(await self.done(subject), gateway=self.gateway)

    async def done(self, subject: Subject) -> Done:
        """Returns what came of judging a subject, with what it printed and spent. Raises like `judge`."""
        fields = orjson.loads(subject.fields)
        trace = fields if self.kind == "trace" else None
        return await self.pool.judge(self.key, Call(fields, trace, self.overlay), self.timeout_s)


def verdict(done: Done, *, gateway: bool = True) -> Verdict:
    """Returns the verdict of a scorer's answer.

    Raises:
        Transient: it raised because a model could not be called now.
        Permanent: any other failure of the author's code.

    """
    answer, cost = done.answer, done.usd or None
    if isinstance(answer, Judged):
        reason = answer.reason or ("" if answer.value is not None else "it gave a label and no number")
        return Verdict(answer.value, reason=reason, label=answer.label, cost_usd=cost)
    if isinstance(answer, Raised) and done.trouble and done.trouble.is_budget:
        return Verdict(skipped=True, reason=done.trouble.reason, cost_usd=cost)
    if isinstance(answer, Raised) and done.trouble:
        raise Transient(done.trouble.reason, done.trouble.retry_after_s)
    raise Permanent(_fault(answer, gateway=gateway), cost)


def _fault(answer: Answer, *, gateway: bool) -> str:
    if isinstance(answer, Raised):
        needs = not gateway and _NETWORK.search(answer.error)
        return f"{NO_GATEWAY}: {answer.error}" if needs else answer.error
    if isinstance(answer, TimedOut):
        return f"no verdict within {answer.after_s:g} s; spec.timeout of the scorer sets the limit"
    if isinstance(answer, Died):
        return f"its sandbox ended: {_DIED.get(answer.why, answer.why)}"
    return "its sandbox was ended"


@dataclass(frozen=True)
class Refusing:
    """Stands for every hosted scorer where no sandbox holds."""

    reason: str

    async def judge(self, subject: Subject) -> Verdict:  # noqa: ARG002
        """Raises `Permanent` with the reason."""
        raise Permanent(self.reason)
