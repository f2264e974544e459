"""The modules of judgeval that a scorer's file imports, of every generation: each is one of ours under its name there."""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from vedette import __getattr__ as _of_vedette

_HOMES = {
    "data": "vedette.data",
    "data.example": "vedette.data",
    "data.trace": "vedette.data",
    "hosted": "vedette.judges",
    "hosted.example_custom_scorer": "vedette.judges",
    "hosted.responses": "vedette.judges",
    "judges": "vedette.judges",
    "judges.judge": "vedette.judges",
    "scorers": "vedette.scorers",
    "scorers.base_scorer": "vedette.scorers.base",
    "scorers.example_scorer": "vedette.scorers.example_scorer",
    "trace": "vedette.tracer",
    "trace.tracer": "vedette.tracer",
    "tracer": "vedette.tracer",
}
"""Below `judgeval` and below `judgeval.v1`."""


class _Finder(MetaPathFinder, Loader):
    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        del path, target
        if not fullname.startswith("judgeval."):
            return None
        name = fullname.removeprefix("judgeval.")
        if name != "v1" and name.removeprefix("v1.") not in _HOMES:
            raise ModuleNotFoundError(
                f"the sandbox has no module {fullname}; of judgeval it has {', '.join(_HOMES)}", name=fullname
            )
        return ModuleSpec(fullname, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__.removeprefix("judgeval.")
        home = "vedette" if name == "v1" else _HOMES[name.removeprefix("v1.")]
        ours = importlib.import_module(home)
        names = [own for own in vars(ours) if not own.startswith("_")] + (["__getattr__"] if name == "v1" else [])
        vars(module).update({own: getattr(ours, own) for own in names})


sys.meta_path.append(_Finder())


def __getattr__(name: str) -> Any:
    """Returns what `vedette` has under a name, such as `Tracer` and `wrap`."""
    if name in _HOMES:
        return importlib.import_module(f"judgeval.{name}")
    return _of_vedette(name)
