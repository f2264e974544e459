"""Providers of language models out of the configuration, as they are now, with their keys."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from schemas.documents.provider import ProviderSpec
from schemas.ids import hashed
from schemas.net_guard import networks
from scorers.providers.allowance import Limits
from scorers.providers.caller import Caller, Provider
from scorers.providers.ledger import Ledger
from sinks.sink import Permanent
from streams import secret
from streams.logic.configuration import Configuration, Versioned
from streams.settings import Settings

OPENAI = "https://api.openai.com/v1"


def named(configuration: Configuration, project: str, name: str, settings: Settings) -> Provider:
    """Returns the provider that a project means by a name: its own, else the organization's.

    Raises:
        LookupError: there is none, or its key cannot be read; the text says what to do.

    """
    found = configuration.newest("Provider", project, name)
    if found is None:
        raise LookupError(
            f"project {project!r} has no provider {name!r}: apply a document of kind Provider with that name"
        )
    return _with_key(found, settings)


def of_model(configuration: Configuration, project: str, model: str, settings: Settings) -> tuple[Provider, str]:
    """Returns the provider that has a model, and the model.

    One that lists it comes before one that has all, the project's own before the organization's, then the first by name. Without a
    name the model is the first that some provider lists.

    Raises:
        LookupError: there is none, or its key cannot be read; the text says what to do.

    """
    known = list(_known(configuration, project))
    if not known:
        raise LookupError(
            f"project {project!r} has no provider of language models: apply a document of kind Provider, docs/judges.md"
        )
    lists = [(one, spec) for one, spec in known if (model in spec.models if model else spec.models)]
    takes = [(one, spec) for one, spec in known if model and not spec.models]
    if not lists and not takes:
        raise LookupError(_nobody(model, [one.name for one, _ in known]))
    found, spec = (lists or takes)[0]
    return _with_key(found, settings), model or spec.models[0]


def _nobody(model: str, providers: list[str]) -> str:
    if not model:
        return f"no model is named: give `with.model` of the scorer, or list `models` of provider {providers[0]!r}"
    return f"no provider has the model {model!r}: add it to `models` of {', '.join(map(repr, providers))}"


def _known(configuration: Configuration, project: str) -> Iterator[tuple[Versioned, ProviderSpec]]:
    """Yields the project's own, then those of the organization that it does not replace, each by name."""
    own = configuration.all_newest("Provider", project)
    shared = configuration.all_newest("Provider", "") if project else {}
    for versions in (own, {name: one for name, one in shared.items() if name not in own}):
        for _, one in sorted(versions.items()):
            yield one, ProviderSpec.model_validate_json(one.spec)


def _with_key(found: Versioned, settings: Settings) -> Provider:
    spec = ProviderSpec.model_validate_json(found.spec)
    try:
        key = secret.resolve(spec.api_key, found.project, settings)
    except Permanent as refused:
        raise LookupError(f"provider {found.name!r}: {refused.reason}") from None
    limits = Limits(spec.requests_per_minute, spec.budget_usd_per_day)
    return Provider(found.project, found.name, spec.base_url or OPENAI, key, spec.models, limits)


@asynccontextmanager
async def calling(settings: Settings, folder: Path, job: str) -> AsyncIterator[Caller]:
    """Yields what calls providers; what a job has paid them is kept in a folder, and counted on at its next start."""
    installation = hashed(settings.bootstrap_servers, settings.topic_prefix)[:16]
    ledger = Ledger(folder / f"spent-{job}-{installation}.json")
    async with Caller(networks(settings.private_networks), allowances=ledger.load()) as caller:
        following = asyncio.create_task(ledger.follow(caller.allowances))
        try:
            yield caller
        finally:
            following.cancel()
            ledger.keep(caller.allowances)
