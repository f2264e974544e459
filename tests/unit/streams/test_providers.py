"""Which provider is asked for a model."""

import pytest

from schemas.documents.provider import ProviderSpec
from streams.logic.configuration import Configuration
from streams.providers import of_model
from streams.settings import Settings
from tests.support.records import entered, entry

SETTINGS = Settings(env_allow={"*": ["PATH"]})


def spec(*models: str, key: str = "PATH") -> ProviderSpec:
    return ProviderSpec.model_validate({"type": "openai", "api_key": {"env": key}, "models": models})


def known(**providers: ProviderSpec) -> Configuration:
    """Providers of the project `shop`; those whose names begin with `our_` are the organization's."""
    entries = [
        entry("Provider", name.removeprefix("our_"), one, "" if name.startswith("our_") else "shop")
        for name, one in providers.items()
    ]
    return entered((one, 0) for one in entries)


@pytest.mark.parametrize(
    ("providers", "model", "chosen"),
    [
        ({"b": spec("x"), "a": spec()}, "x", ("shop", "b", "x")),
        ({"b": spec("x"), "a": spec()}, "y", ("shop", "a", "y")),
        ({"b": spec(), "our_a": spec()}, "y", ("shop", "b", "y")),
        ({"b": spec("x"), "our_a": spec("y")}, "y", ("", "a", "y")),
        ({"a": spec(), "b": spec("x", "y")}, "", ("shop", "b", "x")),
        ({"our_a": spec("y"), "a": spec("x")}, "x", ("shop", "a", "x")),
    ],
)
def test_who_lists_a_model_comes_before_who_has_all_and_the_project_before_the_organization(
    providers: dict[str, ProviderSpec], model: str, chosen: tuple[str, str, str]
) -> None:
    provider, named = of_model(known(**providers), "shop", model, SETTINGS)
    assert (provider.project, provider.name, named) == chosen
    assert provider.key


@pytest.mark.parametrize(
    ("providers", "model", "told"),
    [
        ({}, "x", "project 'shop' has no provider of language models: apply a document of kind Provider"),
        ({"a": spec("x"), "our_a": spec("y")}, "y", "no provider has the model 'y': add it to `models` of 'a'"),
        ({"a": spec()}, "", "no model is named: give `with.model` of the scorer, or list `models` of provider 'a'"),
        ({"a": spec(key="HOME")}, "x", "provider 'a': project 'shop' may not read the variable HOME"),
    ],
)
def test_why_nobody_can_be_asked_is_told_with_the_fix(
    providers: dict[str, ProviderSpec], model: str, told: str
) -> None:
    with pytest.raises(LookupError) as error:
        of_model(known(**providers), "shop", model, SETTINGS)
    assert error.value.args[0].startswith(told)
