"""Datasets: examples that are kept on the server, in versions. What a rule puts into one and what people add stand side by side."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from vedette import files
from vedette.api import Api, api, in_path
from vedette.client import batches
from vedette.data import Example
from vedette.evaluate import frozen_fields
from vedette.scope import name_text

PAGE = 1000
PATH = "/api/v1/datasets"


@dataclass(frozen=True)
class DatasetInfo:
    """What is told of a dataset."""

    name: str
    entries: int
    version: int
    created_at: str
    creator: str
    description: str = ""
    schema: dict[str, Any] | None = None


@dataclass
class Dataset:
    """A dataset of a project, with the examples of one of its versions.

    The server is the one that the environment names, or that `api_url` and `api_key` name. The key needs the scopes `read` and,
    to change something, `develop`.
    """

    name: str
    project_name: str
    examples: list[Example] = field(default_factory=list)
    version: int = 0
    """the time in milliseconds of the last change in it; `get(version=)` reads it again"""
    description: str = ""
    schema: dict[str, Any] | None = None
    _api: Api | None = field(default=None, repr=False, compare=False)

    @classmethod
    def create(
        cls,
        name: str,
        project_name: str | None = None,
        examples: Sequence[Example | Mapping[str, Any]] = (),
        overwrite: bool = False,  # noqa: FBT001, FBT002 - as in judgeval
        *,
        description: str = "",
        schema: Mapping[str, Any] | None = None,
        api_url: str | None = None,
        api_key: str | None = None,
    ) -> Dataset:
        """Makes a dataset and returns it when it can be read. With `overwrite` these examples take the place of what one of its name holds.

        Raises:
            ServerError: there is one of its name, or an example does not fit the JSON Schema, or the server refused.

        """
        server = api(project_name, api_url, api_key)
        given = [_example(one) for one in examples]
        told = {"name": name, "description": description, "schema": schema, "overwrite": overwrite}
        first, *rest = [*batches([_item(one) for one in given])] or [[]]
        made = server.call("POST", PATH, {**told, "items": first}, project=server.project)
        found = cls(name, server.project, given, made["version"], description, dict(schema) if schema else None, server)
        for batch in rest:
            found._add(batch)
        return found

    @classmethod
    def get(
        cls,
        name: str,
        project_name: str | None = None,
        *,
        version: int | None = None,
        api_url: str | None = None,
        api_key: str | None = None,
    ) -> Dataset:
        """Returns a dataset with its examples, as they are or as they were in a version.

        Raises:
            ServerError: there is none of that name, or the server refused.

        """
        server = api(project_name, api_url, api_key)
        items: list[Mapping[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            page = server.call(
                *("GET", f"{PATH}/{in_path(name)}"),
                project=server.project, version=version, cursor=cursor or None, limit=PAGE,
            )  # fmt: skip
            items += page["items"]
            cursor = page["cursor"]
        examples = [_of_item(item) for item in items]
        return cls(name, server.project, examples, page["version"], page["description"], page["schema"], server)

    @classmethod
    def list(
        cls, project_name: str | None = None, *, api_url: str | None = None, api_key: str | None = None
    ) -> builtins.list[DatasetInfo]:
        """Returns what is told of every dataset of a project, by name. Raises `ServerError`."""
        server = api(project_name, api_url, api_key)
        return [
            DatasetInfo(
                *(one["name"], one["items"], one["version"], _time(one["created_at"]), one["created_by"]),
                *(one["description"], one["schema"]),
            )
            for one in server.call("GET", PATH, project=server.project)["datasets"]
        ]

    def add_examples(self, examples: Sequence[Example | Mapping[str, Any]]) -> None:
        """Adds examples and returns when they can be read. One that is there with the same id and fields changes nothing.

        Raises:
            TypeError: it is no list.
            ServerError: one does not fit the JSON Schema, or the server refused; what came before it is added.

        """
        if isinstance(examples, (Example, Mapping, str)):
            raise TypeError("examples must be a list of Example or of dictionaries")
        given = [_example(one) for one in examples]
        for batch in batches([_item(one) for one in given]):
            self._add(batch)
        ids = {one.example_id for one in given}
        self.examples = [*(one for one in self.examples if one.example_id not in ids), *given]

    def add_from_file(self, path: str | Path) -> None:
        """Adds the examples of a file: `.json`, `.jsonl`, `.yaml` or `.csv`. Raises as `add_examples`, `OSError` and `ValueError`."""
        self.add_examples(files.read(path))

    add_from_json = add_from_jsonl = add_from_yaml = add_from_csv = add_from_file

    def save_as(
        self, file_type: Literal["json", "jsonl", "yaml", "csv"], dir_path: str | Path, save_name: str | None = None
    ) -> Path:
        """Writes the examples to a file of a folder, which is made if need be, and returns it; without a name it is the dataset's.

        Raises:
            ValueError: the type is unknown.
            OSError: it cannot be written.
            ModuleNotFoundError: YAML is wanted, and PyYAML is not installed.

        """
        folder = Path(dir_path)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{save_name or self.name}.{file_type}"
        files.write(file, self.examples)
        return file

    def versions(self) -> builtins.list[int]:
        """Returns the versions that `get` can read again, the newest first. Raises `ServerError`."""
        server = self._server()
        found = server.call("GET", f"{PATH}/{in_path(self.name)}/versions", project=server.project)["versions"]
        return [int(one["version"]) for one in found]

    def remove(self, example_id: str) -> None:
        """Removes an example; earlier versions have it still. Raises `ServerError`."""
        server = self._server()
        server.call("DELETE", f"{PATH}/{in_path(self.name)}/items/{in_path(example_id)}", project=server.project)
        self.examples = [one for one in self.examples if one.example_id != example_id]

    def delete(self) -> None:
        """Deletes the dataset. Raises `ServerError`."""
        server = self._server()
        server.call("DELETE", f"{PATH}/{in_path(self.name)}", project=server.project)

    def _add(self, items: builtins.list[dict[str, Any]]) -> None:
        server = self._server()
        answer = server.call("POST", f"{PATH}/{in_path(self.name)}/items", {"items": items}, project=server.project)
        self.version = answer["version"]

    def _server(self) -> Api:
        self._api = self._api or api(self.project_name)
        return self._api

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    def __len__(self) -> int:
        return len(self.examples)


def _example(one: Example | Mapping[str, Any]) -> Example:
    return one if isinstance(one, Example) else Example.model_validate(one)


def _item(example: Example) -> dict[str, Any]:
    named = {"name": example.name} if example.name is not None else {}
    return {"id": name_text(example.example_id), "fields": frozen_fields({**named, **example.get_fields()})}


def _of_item(item: Mapping[str, Any]) -> Example:
    fields = {name: value for name, value in item["fields"].items() if name not in ("example_id", "created_at")}
    if not isinstance(fields.get("name", ""), str):
        fields["name"] = str(fields["name"])
    return Example.model_validate({**fields, "example_id": item["id"], "created_at": _time(item["added_at"])})


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()
