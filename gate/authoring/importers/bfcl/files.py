"""The data files of BFCL: out of a wheel of `bfcl-eval`, an unpacked folder, or the installed package."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path

from gate.errors import CaseError

PREFIX = "BFCL_v4_"
ANSWERS = "possible_answer/"
MAX_BYTES = 64_000_000
"""Most bytes of one data file: the largest in the package has some five million."""
_REMEDY = "fetch it with `pip download bfcl-eval --no-deps`, then `gate import bfcl --from FILE.whl`"


def texts(source: Path | None) -> dict[str, str]:
    """Each data file's text by its name: `simple_python`, and `possible_answer/simple_python` for its answers.

    Raises CaseError where there is no such package, or none of its data.
    """
    place = _installed() if source is None else source
    try:
        found = _of_folder(place) if place.is_dir() else _of_wheel(place)
    except (OSError, zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
        raise CaseError(f"{place}: is not a wheel of bfcl-eval that can be read ({error}); {_REMEDY}") from error
    if not found:
        raise CaseError(f"{place}: holds no {PREFIX}*.json; {_REMEDY}")
    return found


def path(name: str) -> str:
    """The file of a name, under the data's folder."""
    part, _, noun = name.rpartition("/")
    return f"{part}/{PREFIX}{noun}.json" if part else f"{PREFIX}{noun}.json"


def _installed() -> Path:
    """Found and not imported: the package's own imports need most of its many dependencies."""
    spec = importlib.util.find_spec("bfcl_eval")
    folders = list(spec.submodule_search_locations or []) if spec else []
    if not folders:
        raise CaseError(f"bfcl-eval is not installed, and --from names nothing; {_REMEDY}")
    return Path(folders[0])


def _of_folder(place: Path) -> dict[str, str]:
    tries = (place / "bfcl_eval" / "data", place / "data", place)
    data = next((each for each in tries if any(each.glob(f"{PREFIX}*.json"))), place)
    paths = [(part, path) for part in ("", ANSWERS) for path in sorted((data / part).glob(f"{PREFIX}*.json"))]
    for _, path in paths:
        _bounded(path.stat().st_size, str(path))
    return {part + _noun(path.name): path.read_text(encoding="utf-8") for part, path in paths}


def _of_wheel(place: Path) -> dict[str, str]:
    found = {}
    with zipfile.ZipFile(place) as wheel:
        for member in wheel.infolist():
            folder, _, name = member.filename.removeprefix("bfcl_eval/data/").rpartition("/")
            part = f"{folder}/" if folder else ""
            inside = member.filename.startswith("bfcl_eval/data/") and part in ("", ANSWERS)
            if inside and name.startswith(PREFIX) and name.endswith(".json"):
                _bounded(member.file_size, f"{place}:{member.filename}")
                found[part + _noun(name)] = wheel.read(member).decode("utf-8")
    return found


def _bounded(size: int, where: str) -> None:
    if size > MAX_BYTES:
        raise CaseError(f"{where}: has {size} bytes, more than {MAX_BYTES}: this is not BFCL's data; {_REMEDY}")


def _noun(name: str) -> str:
    return name.removeprefix(PREFIX).removesuffix(".json")
