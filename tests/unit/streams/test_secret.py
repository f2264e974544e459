"""`{env: NAME}`: only what the operator allows."""

import pytest

from schemas.documents.base import EnvRef
from sinks.sink import Permanent
from streams.secret import resolve
from streams.settings import Settings

ENVIRON = {"SLACK": "xoxb-1", "VEDETTE_ADMIN_KEY": "root", "EMPTY": ""}


def ask(name: str, project: str, allow: dict[str, list[str]]) -> str:
    return resolve(EnvRef(env=name), project, Settings(env_allow=allow), ENVIRON)


def test_a_name_is_resolved_when_it_is_allowed_for_the_project_or_for_all() -> None:
    allowances: list[dict[str, list[str]]] = [{"a": ["SLACK"]}, {"*": ["SLACK"]}, {"a": ["*"]}, {"*": ["*"]}]
    assert [ask("SLACK", "a", allow) for allow in allowances] == ["xoxb-1"] * 4


@pytest.mark.parametrize("allow", [{}, {"b": ["SLACK"]}, {"b": ["*"]}, {"a": ["OTHER"]}, {"*": []}])
def test_another_projects_names_are_refused_with_the_fix(allow: dict[str, list[str]]) -> None:
    with pytest.raises(Permanent) as refusal:
        ask("SLACK", "a", allow)
    assert refusal.value.reason == (
        "project 'a' may not read the variable SLACK: the operator allows it by adding the name to VEDETTE_ENV_ALLOW, "
        'for example VEDETTE_ENV_ALLOW=\'{"a": ["SLACK"]}\''
    )


def test_all_names_do_not_mean_our_own_settings() -> None:
    with pytest.raises(Permanent, match="may not read the variable VEDETTE_ADMIN_KEY"):
        ask("VEDETTE_ADMIN_KEY", "a", {"*": ["*"]})
    assert ask("VEDETTE_ADMIN_KEY", "a", {"a": ["VEDETTE_ADMIN_KEY"]}) == "root"


@pytest.mark.parametrize("name", ["ABSENT", "EMPTY"])
def test_a_variable_that_is_not_set_is_named(name: str) -> None:
    with pytest.raises(Permanent, match=f"the variable {name} is not set where the job runs"):
        ask(name, "a", {"*": ["*"]})
