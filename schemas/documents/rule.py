"""`kind: Rule`."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator, model_validator

from schemas.documents.base import Base, Duration, Name, Strict
from schemas.documents.destination import Email
from schemas.documents.schedule import Schedule
from schemas.documents.scorer import CONTEXT, Filter
from schemas.ids import hashed

Op = Literal["<", "<=", "==", "!=", ">=", ">"]


class ScorerIs(Strict):
    """A scorer's outcome."""

    scorer: Name
    is_: Literal["fails", "succeeds", "errors"] = Field(alias="is")


class ScorerValue(Strict):
    """A scorer's value compared."""

    scorer: Name
    op: Op
    value: float


class ScorerIn(Strict):
    """A scorer's label, one of several."""

    scorer: Name
    in_: tuple[str, ...] = Field(alias="in", min_length=1)


class MetricValue(Strict):
    """A span's own number compared."""

    metric: Literal["duration_ms", "cost_usd", "tokens", "error"]
    op: Op
    value: float


class AttributeValue(Strict):
    """A span's attribute compared: as numbers if `value` is one, else as text."""

    attribute: str
    op: Op
    value: float | str | bool


class AttributeIn(Strict):
    """A span's attribute, as text one of several."""

    attribute: str
    in_: tuple[str, ...] = Field(alias="in", min_length=1)


class BucketIs(Strict):
    """A bucket that the trace belongs to. There are no buckets yet: nothing satisfies it."""

    bucket: Name


class TagIs(Strict):
    """A tag that the subject carries."""

    tag: str


def _form(value: Any) -> str:
    keys = set(value) if isinstance(value, dict) else {name.rstrip("_") for name in type(value).model_fields}
    if "scorer" in keys:
        return "scorer_is" if "is" in keys else "scorer_in" if "in" in keys else "scorer_value"
    if "attribute" in keys:
        return "attribute_in" if "in" in keys else "attribute"
    return next((form for form in ("metric", "bucket", "tag") if form in keys), "scorer_is")


Condition = Annotated[
    Annotated[ScorerIs, Tag("scorer_is")]
    | Annotated[ScorerValue, Tag("scorer_value")]
    | Annotated[ScorerIn, Tag("scorer_in")]
    | Annotated[MetricValue, Tag("metric")]
    | Annotated[AttributeValue, Tag("attribute")]
    | Annotated[AttributeIn, Tag("attribute_in")]
    | Annotated[BucketIs, Tag("bucket")]
    | Annotated[TagIs, Tag("tag")],
    Discriminator(_form),
]


class When(Strict):
    """All of, or any of, some conditions. Several conditions under `all` are gathered over one trace."""

    all: tuple[Condition, ...] = ()
    any: tuple[Condition, ...] = ()

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if bool(self.all) == bool(self.any):
            raise ValueError("`when` takes either `all` or `any`, with at least one condition")
        if len(set(self.conditions)) < len(self.conditions):
            raise ValueError("`when` names a condition twice")
        return self

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions in document order."""
        return self.all or self.any

    @property
    def is_gathered(self) -> bool:
        """Whether several conditions have to come together, each from a subject of its own."""
        return len(self.all) > 1


class Notify(Strict):
    """Tell a destination."""

    notify: Name


class SendEmail(Strict):
    """Mail addresses written into the rule."""

    email: tuple[Email, ...] = Field(min_length=1)


class AddToDataset(Strict):
    """Keep the subjects of the firing."""

    dataset: Name


def _action(value: Any) -> str:
    keys = set(value) if isinstance(value, dict) else set(type(value).model_fields)
    return next((name for name in ("notify", "email", "dataset") if name in keys), "notify")


Action = Annotated[
    Annotated[Notify, Tag("notify")] | Annotated[SendEmail, Tag("email")] | Annotated[AddToDataset, Tag("dataset")],
    Discriminator(_action),
]


class Share(Strict):
    """A share of the subjects that were evaluated, matched or not."""

    share: float = Field(gt=0, le=1, description="0.2 is one of five")
    of: int = Field(ge=1, le=1000, description="so many must have been evaluated within `within`")


GROUPS: Mapping[str, str] = {"agent": "agent", "customer": "customer_id", "session": "session_id"}
"""What a rule may group by besides attributes, and where a subject carries it."""
Severity = Literal["info", "warning", "critical"]


class RuleSpec(Strict):
    """When to fire, for whom, how often, and whom to tell."""

    enabled: bool = True
    when: When
    filter: Filter = Filter()
    group_by: tuple[str, ...] = Field(default=(), max_length=3)
    per: Literal["subject", "trace"] = "subject"
    times: int = Field(default=1, ge=1, le=500)
    within: Duration = 300_000
    cooldown: Duration = 1_800_000
    severity: Severity = "warning"
    actions: tuple[Action, ...] = ()
    resolve_after: Duration | None = None
    rate: Share | None = None
    sustained: Duration | None = None
    no_traffic: Duration | None = None
    schedule: Schedule | None = Field(default=None, description="when it may page; what fires outside is told later")
    inhibits: tuple[Name, ...] = Field(
        default=(), description="rules that are quiet while an alert of this one is open"
    )

    @field_validator("group_by")
    @classmethod
    def _known_groups(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in GROUPS and not name.startswith("attribute:"):
                raise ValueError(f"cannot group by {name!r}; use {', '.join(GROUPS)} or attribute:KEY")
        if len(set(names)) < len(names):
            raise ValueError("group_by names something twice")
        return names

    @field_validator("within")
    @classmethod
    def _some_time(cls, ms: int) -> int:
        if ms <= 0:
            raise ValueError("`within` must be longer than 0")
        return ms

    @field_validator("sustained", "no_traffic")
    @classmethod
    def _longer_than_nothing(cls, ms: int | None, info: ValidationInfo) -> int | None:
        if ms == 0:
            raise ValueError(f"`{info.field_name}` must be longer than 0; leave it out to do without")
        return ms

    @model_validator(mode="after")
    def _one_way_to_count(self) -> Self:
        if self.rate and self.times != 1:
            raise ValueError("`rate` counts a share and `times` a number; leave one of them out")
        others = {
            "times": self.times != 1,
            **{name: getattr(self, name) for name in ("rate", "sustained", "resolve_after")},
        }
        given = [f"`{name}`" for name, value in others.items() if value]
        if self.no_traffic and given:
            raise ValueError(
                f"`no_traffic` fires when nothing comes and resolves when something does; leave out {', '.join(given)}"
            )
        return self

    @property
    def needs_unmatched(self) -> bool:
        """Tells whether the counter wants every evaluated subject of the rule, not only those that match."""
        return self.rate is not None or self.no_traffic is not None

    @property
    def resolve_after_ms(self) -> int:
        """Silence after which an alert resolves by itself: by default the longer of within and cooldown."""
        return max(self.within, self.cooldown) if self.resolve_after is None else self.resolve_after

    @cached_property
    def context(self) -> tuple[str, ...]:
        """The fields that its filter and group ask for and a span may have from its ancestors only."""
        asked = [*(name for name, _ in self.filter.given), *(GROUPS[name] for name in self.group_by if name in GROUPS)]
        return tuple(name for name in dict.fromkeys(asked) if name in CONTEXT)

    @cached_property
    def window_version(self) -> str:
        """Changes exactly when a rule edit has to clear the windows: when, filter, group_by or per changed."""
        parts = self.model_dump_json(by_alias=True, include={"when", "filter", "group_by", "per"})
        return hashed(parts)[:16]


class Rule(Base):
    """A rule."""

    kind: Literal["Rule"]
    spec: RuleSpec

    @model_validator(mode="after")
    def _not_itself(self) -> Self:
        if self.metadata.name in self.spec.inhibits:
            raise ValueError("`inhibits` names the rule itself, which would never be told")
        return self
