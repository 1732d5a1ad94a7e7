"""A TOML file becomes a typed value, or one line that names its file, its key, what was found and what is wanted."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema
import msgspec
import pytest
from msgspec import Meta, Struct

from gate.errors import CaseError, GateError
from gate.system import typed
from tests import schemas

HERE = Path(__file__).parents[3]


class Inner(Struct, frozen=True, forbid_unknown_fields=True):
    share: Annotated[float, Meta(ge=0, lt=1)] = 0.5
    """How much of it."""
    kind: Literal["one", "two"] = "one"
    some: str | tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind == "two" and not self.some:
            raise ValueError("some: is wanted with two")


class Outer(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    inner: Inner = Inner()
    by_name: dict[str, Annotated[tuple[Inner, ...], Meta(min_length=1)]] = {}


def read(folder: Path, text: str) -> Outer:
    (folder / "x.toml").write_text(text, encoding="utf-8")
    return typed.read(folder / "x.toml", Outer, error=CaseError)


def test_a_file_becomes_its_value(tmp_path: Path) -> None:
    value = read(tmp_path, 'name = "a"\n[[by_name.x]]\nshare = 0\nsome = ["b"]\n')
    assert value == Outer("a", by_name={"x": (Inner(share=0.0, some=("b",)),)})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "name: is missing"),
        ("name = 1", "name: expected a text, found 1"),
        ('name = "a"\nnaem = "b"', "naem: unknown key: did you mean name? known are name, inner, by_name"),
        ('name = "a"\nzzz = "b"', "zzz: unknown key: known are name, inner, by_name"),
        ('name = "a"\n"z z" = "b"', '["z z"]: unknown key: known are name, inner, by_name'),
        ('name = "a"\ninner = 3', "inner: expected a table, found 3"),
        ('name = "a"\ninner.share = 1', "inner.share: expected a number 0 or more and below 1, found 1"),
        ('name = "a"\ninner.share = true', "inner.share: expected a number 0 or more and below 1, found true"),
        ('name = "a"\ninner.share = nan', "inner.share: expected a number 0 or more and below 1, found NaN"),
        ('name = "a"\ninner.kind = "three"', 'inner.kind: expected one of one, two, found "three"'),
        ('name = "a"\ninner.kind = "two"', "inner.some: is wanted with two"),
        ('name = "a"\ninner.some = 3', "inner.some: expected a text or a list, found 3"),
        ('name = "a"\nby_name.x = []', "by_name.x: expected a list with 1 or more in it, found []"),
        ('name = "a"\n[[by_name.x]]\n[[by_name.x]]\nshare = "b"',
         'by_name.x[1].share: expected a number 0 or more and below 1, found "b"'),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(CaseError) as caught:
        read(tmp_path, text)
    assert str(caught.value) == f"{tmp_path / 'x.toml'}: {line}"


@pytest.mark.parametrize("data", [b"[", b"\xff", b"x = " + b"[" * 5000, None])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, data: bytes | None) -> None:
    if data is not None:
        (tmp_path / "x.toml").write_bytes(data)
    with pytest.raises(GateError, match=r"x\.toml: cannot be read: "):
        typed.read(tmp_path / "x.toml", Outer, error=GateError)


def test_a_schema_describes_its_fields() -> None:
    share = typed.schema(Outer)["$defs"]["Inner"]["properties"]["share"]
    assert share["description"] == "How much of it."


@pytest.mark.parametrize("name", schemas.SCHEMAS)
def test_the_schemas_for_editors_are_those_of_the_types(name: str) -> None:
    assert (HERE / name).read_text(encoding="utf-8") == schemas.text(name), "run: python -m tests.schemas"


FILES = {
    "trainers/schemas/recipe.json": [*(HERE / "trainers/recipes").glob("*.toml"), HERE / "trainers/demo/recipe.toml"],
    "gate/schemas/rubric.json": sorted((HERE / "fixtures/rubrics").glob("*.toml")),
    "gate/schemas/phrases.json": sorted((HERE / "fixtures/slots").glob("*.toml")),
}


@pytest.mark.parametrize(("name", "path"), [(name, path) for name, paths in FILES.items() for path in paths])
def test_a_schema_and_its_type_accept_what_is_in_the_repository(name: str, path: Path) -> None:
    value: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(typed.schema(schemas.SCHEMAS[name])).validate(value)
    msgspec.convert(value, schemas.SCHEMAS[name])
