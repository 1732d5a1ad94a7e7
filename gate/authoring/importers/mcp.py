"""An MCP server's tools, as OpenAI's: it is asked for its list and nothing else, and it is gone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shlex
import signal
import tempfile
import unicodedata
from collections.abc import AsyncIterator, Iterator
from typing import IO, TYPE_CHECKING, Any

import psutil

from gate.authoring.importers import openai_chat
from gate.authoring.importers.result import Refused
from gate.cases.json_schema import unfit
from gate.errors import CaseError
from gate.system.text import one_line
from gate.types import Json

if TYPE_CHECKING:
    from mcp import Client

MOST = 1_000
"""Tools that a server may list: one whose pages never end is stopped."""
TAIL = 12
"""Lines of a server's stderr that an error shows."""
NEEDED = "needs the package mcp: pip install 'pytest-gate[import]'"
_WORDS = ("title", "description", "$comment")


def tools(server: str, *, seconds: float) -> tuple[str, list[Json], list[Refused]]:
    """(the server's name fit for a file, its tools, those that are refused) of a command or an http(s) URL.

    Raises CaseError where the server cannot be started or reached, or does not answer within the time.
    """
    logging.getLogger("mcp").addHandler(logging.NullHandler())  # what it logs of a broken server is told by the error
    try:
        import httpx2
        import mcp
    except ImportError as error:
        raise CaseError(f"gate import mcp {NEEDED}") from error
    known = (OSError, ValueError, RuntimeError, mcp.MCPError, httpx2.HTTPError, httpx2.InvalidURL)
    with tempfile.TemporaryFile() as errors:
        try:
            name, found = asyncio.run(_asked(server, seconds, errors))
        except (*known, ExceptionGroup) as error:
            if not isinstance(cause := _innermost(error), known):
                raise
            raise CaseError(f"{_told(server, cause, seconds)}{_tail(errors)}") from error
    taken, refused = _sifted(found)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:60].lower() or "mcp", taken, refused


def openai(given: Json) -> Json:
    """A tool as an MCP server lists it, as OpenAI's, its words cleaned. Raises CaseError: "reason: what was found"."""
    flaw = unfit(given, openai_chat.MAX_VALUES)
    if flaw:
        raise CaseError(f"a tool that is not a value that can be compared: it {flaw}")
    schema = _cleaned(given.get("inputSchema"))
    if unseen := [key for key in _names(schema) if printable(key) != key or "\n" in key]:
        raise CaseError(f"a parameter's name with control characters: {one_line(unseen[0], 80)}")
    words = given.get("description") or given.get("title") or ""
    words = printable(words) if isinstance(words, str) else words
    return openai_chat.tool({"function": {"name": given.get("name"), "description": words, "parameters": schema}})


def printable(text: str) -> str:
    """A text without control, format and surrogate characters; new lines and tabs stay."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))


def _cleaned(schema: Any) -> Any:
    """A schema whose titles and descriptions are plain; a parameter of such a name is an object, and stays."""
    if isinstance(schema, dict):
        return {k: printable(v) if k in _WORDS and isinstance(v, str) else _cleaned(v) for k, v in schema.items()}
    return [_cleaned(each) for each in schema] if isinstance(schema, list) else schema


def _names(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema
        for each in schema.values():
            yield from _names(each)
    for each in schema if isinstance(schema, list) else ():
        yield from _names(each)


def _sifted(found: list[Json]) -> tuple[list[Json], list[Refused]]:
    taken: dict[str, Json] = {}
    refused = []
    for number, given in enumerate(found, start=1):
        where = f"tool {number}"
        try:
            made = openai(given)
            if (name := made["function"]["name"]) in taken:
                raise CaseError(f"a tool of the same name stands before it: {name}")
            taken[name] = made
        except CaseError as error:
            refused.append(openai_chat.refusal(error, where))
    return list(taken.values()), refused


async def _asked(server: str, seconds: float, errors: IO[bytes]) -> tuple[str, list[Json]]:
    """The server's own name, and every page of its tools, within a time that holds for all of it."""
    import anyio
    from mcp import Client

    with anyio.fail_after(seconds):
        async with Client(_transport(server, errors)) as client:
            return client.server_info.name if client.server_info else "", await _pages(client)


async def _pages(client: Client) -> list[Json]:
    from mcp import types

    found: list[Json] = []
    cursor: str | None = None
    seen: set[str] = set()
    while True:
        request = types.ListToolsRequest(params=types.PaginatedRequestParams(cursor=cursor))
        page = await client.session.send_request(request, types.ListToolsResult)  # list_tools drops tools unsaid
        found += [tool.model_dump(mode="json", by_alias=True, exclude_unset=True) for tool in page.tools]
        cursor = page.next_cursor
        if cursor is None:
            return found
        if cursor in seen or len(found) > MOST:
            raise ValueError(f"its list of tools does not end: {len(found)} tools, page {len(seen) + 1}")
        seen.add(cursor)


def _transport(server: str, errors: IO[bytes]) -> Any:
    from mcp import StdioServerParameters

    if server.startswith(("http://", "https://")):
        return server
    try:
        words = shlex.split(server)
    except ValueError as error:
        raise CaseError(f"COMMAND {server!r}: cannot be split into words: {error}") from error
    if not words:
        raise CaseError("COMMAND is empty: name a program and its arguments, or an http(s) URL")
    return _started(StdioServerParameters(command=words[0], args=words[1:]), errors)


@contextlib.asynccontextmanager
async def _started(parameters: Any, errors: IO[bytes]) -> AsyncIterator[Any]:
    """The streams of a server that is started here; when it ends, however, all that it has started ends."""
    from mcp import stdio_client

    before = set(psutil.Process().children())
    family: set[psutil.Process] = set()
    leaders: set[psutil.Process] = set()
    try:
        async with stdio_client(parameters, errlog=errors) as streams:  # type: ignore[arg-type]  # needs a fileno alone
            leaders = set(psutil.Process().children()) - before
            try:
                yield streams
            finally:
                family = leaders | {child for leader in leaders for child in _below(leader)}
    finally:
        _end(leaders, family)


def _below(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _end(leaders: set[psutil.Process], family: set[psutil.Process]) -> None:
    """Kill what is left: the client ends the server's process, and its group only where that does not end by itself."""
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.kill()
    for leader in leaders:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader.pid, signal.SIGKILL)  # a group of its own (start_new_session), also without its leader


def _innermost(error: BaseException) -> BaseException:
    """The first of what a group of tasks has raised."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _told(server: str, error: BaseException, seconds: float) -> str:
    """What went wrong, in words."""
    name = one_line(server, 120)
    if isinstance(error, TimeoutError):
        return f"{name}: has not listed its tools within {seconds:g} s: is it an MCP server? --timeout gives it longer"
    if isinstance(error, FileNotFoundError | PermissionError):
        return f"{name}: cannot be started: {error.strerror}: name a program, or an http(s) URL"
    return f"{name}: is no MCP server that lists tools: {type(error).__name__}: {one_line(str(error), 300)}"


def _tail(errors: IO[bytes]) -> str:
    """The end of what the server has written to stderr."""
    errors.seek(max(0, errors.seek(0, os.SEEK_END) - 8_000))
    lines = errors.read().decode(errors="replace").splitlines()[-TAIL:]
    return "".join(["\nthe end of its stderr:", *[f"\n    {one_line(line, 400)}" for line in lines]]) if lines else ""
