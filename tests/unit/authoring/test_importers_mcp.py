"""The tools of an MCP server: a list with pages is read, a broken server is told, and none is left running."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from gate.authoring.importers import mcp as servers
from gate.cases import loader
from gate.cli import import_
from gate.errors import CaseError, GateError
from gate.models.serving.process import free_port
from gate.types import Json

pytest.importorskip("mcp", reason="needs the extra import")

LISTING = """
import json, os, sys
from mcp import types
from mcp.server.lowlevel import Server

TOOLS = json.loads(os.environ.get("TOOLS") or sys.argv[2])

async def listed(context, params):
    at = int(params.cursor) if params and params.cursor else 0
    page = [types.Tool(name=t["name"], description=t.get("description"), input_schema=t["inputSchema"])
            for t in TOOLS[at:at + 2]]
    following = str(at + 2) if at + 2 < len(TOOLS) else None
    return types.ListToolsResult(tools=page, next_cursor=following)

print("hello from stderr", file=sys.stderr)
server = Server("Tiny Server!", on_list_tools=listed)
"""
STDIO = (
    LISTING
    + """
import anyio
from mcp import stdio_server

async def main():
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())

anyio.run(main)
"""
)
HTTP = (
    LISTING
    + """
import uvicorn
uvicorn.run(server.streamable_http_app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
"""
)
RAW = """
import json, os, signal, subprocess, sys, time

def answer(asked):
    method = asked.get("method")
    if method == "initialize":
        version = asked["params"]["protocolVersion"]
        return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": {"name": NAME, "version": "1"}}
    return page(asked.get("params") or {}) if method == "tools/list" else None

def serve():
    for line in sys.stdin:
        asked = json.loads(line)
        if "id" not in asked:
            continue
        found = answer(asked)
        said = {"result": found} if found is not None else {"error": {"code": -32601, "message": "no such method"}}
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **said}), flush=True)

NAME = "raw"
"""
"""A server of a few lines that may break every rule."""


def a_tool(name: str = "read", **changed: Any) -> Json:
    schema = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
    return {"name": name, "description": "Read a file.", "inputSchema": schema, **changed}


def script(folder: Path, text: str, *arguments: str) -> str:
    path = folder / "server.py"
    path.write_text(text)
    return shlex.join([sys.executable, str(path), *arguments])


def raw(folder: Path, text: str) -> str:
    return script(folder, RAW + text)


def gate_import(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    import_.add_parsers(parser.add_subparsers())
    asked = parser.parse_args(["import", "mcp", *map(str, arguments)])
    try:
        return int(asked.run(asked))
    except GateError as error:
        print(error)
        return error.status


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """Whatever a server does, no process of it outlives the command."""
    before = set(psutil.Process().children(recursive=True))
    yield
    assert set(psutil.Process().children(recursive=True)) <= before


class TestListing:
    def test_every_page_is_read_and_written_as_tools_that_load(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        tools = [a_tool(f"tool_{n}") for n in range(5)]
        server = script(tmp_path, STDIO, "0", json.dumps(tools))
        assert gate_import(server, "--name", "files", "--fixtures", tmp_path) == 0
        loaded = loader.tools("files", tmp_path)
        assert [tool["function"]["name"] for tool in loaded] == [f"tool_{n}" for n in range(5)]
        assert loaded[0]["function"]["parameters"] == tools[0]["inputSchema"]
        said = capfd.readouterr()
        assert "hello from stderr" not in said.out + said.err

    def test_over_http(self, tmp_path: Path) -> None:
        port = free_port()
        words = [*shlex.split(script(tmp_path, HTTP)), str(port), json.dumps([a_tool(f"t{n}") for n in range(3)])]
        with subprocess.Popen(words, stderr=subprocess.DEVNULL) as server:
            try:
                name, tools, refused = listed_when_up(f"http://127.0.0.1:{port}/mcp")
            finally:
                server.kill()
        assert (name, len(tools), refused) == ("tiny-server", 3, [])

    def test_the_file_has_the_servers_own_name(self, tmp_path: Path) -> None:
        name, tools, _ = servers.tools(script(tmp_path, STDIO, "0", json.dumps([a_tool()])), seconds=30)
        assert name == "tiny-server"
        assert len(tools) == 1

    def test_a_servers_name_cannot_lead_elsewhere(self, tmp_path: Path) -> None:
        server = raw(
            tmp_path, f'NAME = "../../\\x1b Etc/passwd"\npage = lambda _: {{"tools": [{a_tool()!r}]}}\nserve()'
        )
        assert servers.tools(server, seconds=30)[0] == "etc-passwd"

    def test_bad_tools_are_refused_with_their_reason_and_the_others_taken(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        bad = {"type": "object", "properties": {"a": {"type": "strin"}}}
        tools = [a_tool("good"), a_tool("a.b"), a_tool("bad", inputSchema=bad), a_tool("good"), a_tool("x" * 65)]
        server = raw(tmp_path, f"page = lambda _: {{'tools': {tools!r}}}\nserve()")
        assert gate_import(server, "--fixtures", tmp_path) == 0
        assert len(loader.tools("raw", tmp_path)) == 1
        out = capsys.readouterr().out
        assert re.search("2 +a tool's name that the OpenAI API refuses", out)
        assert re.search("1 +a tool's parameters are no JSON Schema", out)
        assert re.search("1 +a tool of the same name stands before it", out)

    def test_no_tool_ends_with_1_and_writes_nothing(self, tmp_path: Path) -> None:
        server = raw(tmp_path, "page = lambda _: {'tools': []}\nserve()")
        assert gate_import(server, "--fixtures", tmp_path / "f") == 1
        assert not (tmp_path / "f").exists()

    def test_a_file_that_is_there_stays(self, tmp_path: Path) -> None:
        (tmp_path / "tools").mkdir()
        (tmp_path / "tools/raw.json").write_text("mine")
        server = raw(tmp_path, f"page = lambda _: {{'tools': [{a_tool()!r}]}}\nserve()")
        assert gate_import(server, "--fixtures", tmp_path) == 4
        assert (tmp_path / "tools/raw.json").read_text() == "mine"


class TestTool:
    def test_words_lose_what_cannot_be_seen(self) -> None:
        schema = {"type": "object", "properties": {"description": {"type": "string", "description": "a\u202eb\x07"}}}
        made = servers.openai(a_tool(description="Read\x1b[31m\u200b\n\tit.\U000e0041", inputSchema=schema))["function"]
        assert made["description"] == "Read[31m\n\tit."
        assert made["parameters"]["properties"]["description"]["description"] == "ab"

    def test_the_title_stands_in_for_a_description(self) -> None:
        made = servers.openai({"name": "f", "title": "Finds", "inputSchema": {"type": "object"}})
        assert made["function"]["description"] == "Finds"

    @pytest.mark.parametrize(
        "changed",
        [
            {"name": ""},
            {"name": "a b"},
            {"name": "a\n"},
            {"name": "a\x1b"},
            {"name": None},
            {"description": 5},
            {"inputSchema": 5},
            {"inputSchema": {"type": "string"}},
            {"inputSchema": {"type": "objekt"}},
            {"inputSchema": {"type": "object", "properties": {"a\x1b": {}}}},
            {"inputSchema": {"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}}},
            {"inputSchema": {"type": "object", "default": float("nan")}},
        ],
    )
    def test_what_no_api_would_take_is_refused(self, changed: Json) -> None:
        with pytest.raises(CaseError):
            servers.openai(a_tool(**changed))

    def test_a_schema_that_nests_without_end_is_refused(self) -> None:
        schema: Json = {"type": "object"}
        for _ in range(200):
            schema = {"type": "object", "properties": {"a": schema}}
        with pytest.raises(CaseError, match="nested deeper"):
            servers.openai(a_tool(inputSchema=schema))


class TestBroken:
    @pytest.mark.parametrize("server", ["", "'open quote", "/no/such/program", "no-such-program-anywhere x"])
    def test_what_cannot_be_started_is_bad_input(self, server: str, tmp_path: Path) -> None:
        assert gate_import(server, "--fixtures", tmp_path, "--timeout", 5) == 4

    def test_no_server_at_a_url_is_bad_input(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert gate_import(f"http://127.0.0.1:{free_port()}/mcp", "--fixtures", tmp_path, "--timeout", 5) == 4
        assert "is no MCP server that lists tools" in capsys.readouterr().out

    def test_a_server_that_dies_shows_its_stderr(self, tmp_path: Path) -> None:
        server = script(tmp_path, "import sys\nprint('token is \\x1b missing', file=sys.stderr)\nsys.exit(3)")
        with pytest.raises(CaseError, match=r"stderr:\n    token is \\x1b missing"):
            servers.tools(server, seconds=20)

    def test_a_silent_server_is_given_up_in_time(self, tmp_path: Path) -> None:
        begun = time.monotonic()
        with pytest.raises(CaseError, match="within 1 s"):
            servers.tools(script(tmp_path, "import time\ntime.sleep(600)"), seconds=1)
        assert time.monotonic() - begun < 15

    def test_a_server_that_will_not_end_is_killed(self, tmp_path: Path) -> None:
        text = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(1)"
        with pytest.raises(CaseError, match="within"):
            servers.tools(script(tmp_path, text), seconds=1)

    def test_what_a_server_has_started_is_gone_too(self, tmp_path: Path) -> None:
        """One child in its group, one in a session of its own, and one whose parent has ended."""
        sleep = "[sys.executable, '-c', 'import time; time.sleep(600)']"
        orphan = f"import subprocess, sys; print(subprocess.Popen({sleep}).pid)"
        text = f"""
pids = [subprocess.Popen({sleep}, stdout=subprocess.DEVNULL).pid]
pids += [subprocess.Popen({sleep}, stdout=subprocess.DEVNULL, start_new_session=True).pid]
made = subprocess.run([sys.executable, "-c", {orphan!r}], stdout=open({str(tmp_path / "orphan")!r}, "w"))
open({str(tmp_path / "pids")!r}, "w").write(json.dumps(pids))
page = lambda _: {{"tools": [{a_tool()!r}]}}
serve()
"""
        assert len(servers.tools(raw(tmp_path, text), seconds=30)[1]) == 1
        pids = [*json.loads((tmp_path / "pids").read_text()), int((tmp_path / "orphan").read_text())]
        assert len(pids) == 3
        assert [pid for pid in pids if alive(pid)] == []

    def test_ctrl_c_ends_the_server_too(self, tmp_path: Path) -> None:
        text = f"import os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"
        code = f"from gate.authoring.importers import mcp; mcp.tools({script(tmp_path, text)!r}, seconds=300)"
        with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as run:
            while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
                time.sleep(0.05)
            run.send_signal(signal.SIGINT)
            assert run.wait(timeout=30) != 0
        assert not alive(int((tmp_path / "pid").read_text()))

    @pytest.mark.parametrize(
        "page",
        [
            "{'tools': 5}",
            "{'tools': [5]}",
            "{'tools': [{'name': 'a'}]}",
            "{}",
            "None",
        ],
    )
    def test_a_listing_that_is_none_is_bad_input(self, page: str, tmp_path: Path) -> None:
        assert gate_import(raw(tmp_path, f"page = lambda _: {page}\nserve()"), "--fixtures", tmp_path) == 4
        assert not (tmp_path / "tools").exists()

    @pytest.mark.parametrize("page", ["[TOOL] * 300, 'nextCursor': str(next(at))", "[], 'nextCursor': 'again'"])
    def test_pages_without_end_are_stopped(self, page: str, tmp_path: Path) -> None:
        text = f"at = iter(range(10**9))\nTOOL = {a_tool()!r}\npage = lambda _: {{'tools': {page}}}\nserve()"
        with pytest.raises(CaseError, match="does not end"):
            servers.tools(raw(tmp_path, text), seconds=30)

    def test_lines_that_are_none_of_the_protocol_are_passed_over(self, tmp_path: Path) -> None:
        """In a process of its own, as pytest listens to what the package logs."""
        noise = "print('hello', chr(27), flush=True)\nprint('{', flush=True)"
        server = raw(tmp_path, f"{noise}\npage = lambda _: {{'tools': [{a_tool()!r}]}}\nserve()")
        code = f"from gate.authoring.importers import mcp; print(len(mcp.tools({server!r}, seconds=30)[1]))"
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (run.stdout, run.stderr) == ("1\n", "")

    def test_without_the_package_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "mcp", None)
        with pytest.raises(CaseError, match=r"pytest-gate\[import\]"):
            servers.tools("x", seconds=1)


def listed_when_up(url: str) -> tuple[str, list[Json], Any]:
    """What a server lists as soon as it listens."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return servers.tools(url, seconds=10)
        except CaseError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def alive(pid: int) -> bool:
    """Still running a moment from now? An orphan is reaped by another process, if it is at all."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return False
        except (ProcessLookupError, psutil.NoSuchProcess):
            return False
        time.sleep(0.02)
    return True
