"""Secrets by reference: `{env: NAME}` reads the environment of the job that uses it, if the operator allows the name for the project."""

import os
from collections.abc import Mapping

from schemas.documents.base import EnvRef
from sinks.sink import Permanent
from streams.settings import Settings

OURS = "VEDETTE_"


def resolve(ref: EnvRef, project: str, settings: Settings, environ: Mapping[str, str] = os.environ) -> str:
    """Returns the value of the variable that a document of `project` names.

    Raises:
        Permanent: the name is not allowed or the variable is not set; the reason names both and the fix, never the value.

    """
    if not allowed(ref.env, project, settings):
        raise Permanent(
            f"project {project!r} may not read the variable {ref.env}: the operator allows it by adding the name to VEDETTE_ENV_ALLOW, "
            f'for example VEDETTE_ENV_ALLOW=\'{{"{project}": ["{ref.env}"]}}\''
        )
    value = environ.get(ref.env, "")
    if not value:
        raise Permanent(f"the variable {ref.env} is not set where the job runs: set it there and start the job again")
    return value


def allowed(name: str, project: str, settings: Settings) -> bool:
    """Tells whether a project's documents may read a variable. Our own settings only if named outright: `*` does not mean them."""
    names = {*settings.env_allow.get(project, ()), *settings.env_allow.get("*", ())}
    return name in names or ("*" in names and not name.upper().startswith(OURS))
