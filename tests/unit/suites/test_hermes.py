"""The suites, their cases and their tool surface, tried without a model."""

from __future__ import annotations

import ast
import importlib.util
import json
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gate.cases import expected, loader
from gate.types import Case, Json

ROOT = Path(__file__).parents[3]
SUITES = sorted([*ROOT.glob("suites/hermes/test_*.py"), *ROOT.glob("suites/smoke/test_*.py")])
COUNTS = {
    "hermes/calls.jsonl": 28,
    "hermes/no_tool.jsonl": 10,
    "hermes/finalization.jsonl": 5,
    "hermes/colloquial_calls.jsonl": 13,
    "hermes/colloquial_words.jsonl": 7,
    "smoke/generation.jsonl": 5,
}
SURFACE = [
    "terminal(command*, background=false, timeout, workdir)",
    "read_file(path*, offset=1, limit=500)",
    "write_file(path*, content*)",
    'search_files(pattern*, target: content|files = content, path=".", file_glob, limit=50, offset=0, '
    "output_mode: content|files_only|count = content, context=0)",
    "browser_navigate(url*)",
    "browser_snapshot(full=false)",
    "browser_click(ref*)",
    "browser_type(ref*, text*)",
]
FILES = {name: loader.load(name, ROOT / "fixtures").cases for name in COUNTS}
CASES: dict[str, Case] = {case.id: case for file in FILES.values() for case in file}
HERMES = [case for name, file in FILES.items() for case in file if name.startswith("hermes/")]


def call(name: str, **arguments: Any) -> Json:
    return {"name": name, "arguments": arguments}


def run(command: str, **more: Any) -> Json:
    return call("terminal", command=command, **more)


def read(path: str, **more: Any) -> Json:
    return call("read_file", path=path, **more)


def write(path: str, content: Any) -> Json:
    return call("write_file", path=path, content=content)


def search(pattern: str, **more: Any) -> Json:
    return call("search_files", pattern=pattern, **more)


def visit(url: str) -> Json:
    return call("browser_navigate", url=url)


GREET = 'import sys\n\nprint(f"Hi, {sys.argv[1]}!")'
BRANCH = run("git branch --show-current")
COMMIT = 'git commit -m "Fix \\"off by one\\" in pager"'
RELAY = '{"name": "relay", "port": 8080, "debug": false}'

RIGHT: list[tuple[str, list[Json]]] = [
    ("browser-01", [visit("https://docs.python.org/3/library/json.html")]),
    ("browser-02", [visit("https://de.wikipedia.org/wiki/Käsekuchen")]),
    ("browser-02", [visit("https://de.wikipedia.org/wiki/K%C3%A4sekuchen")]),
    ("browser-03", [visit("http://localhost:8080/health")]),
    ("browser-04", [call("browser_click", ref="e12")]),
    ("browser-04", [call("browser_click", ref="@e12")]),
    ("browser-05", [call("browser_type", ref="e3", text="jo.nowak@example.org")]),
    ("browser-06", [call("browser_snapshot", full=True)]),
    ("term-01", [run("git status")]),
    ("term-01", [run("git status", background=False, timeout=30, workdir=".")]),
    ("term-02", [run("node --version")]),
    ("term-02", [run("node -v")]),
    ("term-03", [run("npm run dev", background=True)]),
    ("term-04", [run("pytest -q", timeout=300)]),
    ("term-04", [run("python -m pytest --quiet", timeout=300)]),
    ("term-05", [run("make build", workdir="backend/api")]),
    ("term-05", [run("make build", workdir="./backend/api/")]),
    ("term-06", [run(COMMIT)]),
    ("term-06", [run("git commit -m 'Fix \"off by one\" in pager'")]),
    ("term-07", [BRANCH, run("git log -3 --oneline")]),
    ("term-07", [run("git log --oneline -n 3"), run("git rev-parse --abbrev-ref HEAD")]),
    ("read-01", [read("config/settings.yaml")]),
    ("read-01", [read("./config/settings.yaml", offset=1, limit=500)]),
    ("read-02", [read("src/server.py", offset=120, limit=40)]),
    ("read-03", [read("Notizen/Ideen für März.md")]),
    ("read-04", [read("tsconfig.json"), read("package.json")]),
    ("read-05", [read("deploy/run_all.sh")]),
    ("search-01", [search("def parse_header")]),
    ("search-01", [search(r"^\s*def\s+parse_header\(", path=".", file_glob="*.py", context=3)]),
    ("search-02", [search("*.test.ts", target="files", path="packages")]),
    ("search-02", [search("**/*.test.ts", target="files", path="packages/", limit=200)]),
    ("search-03", [search("TODO", file_glob="*.py", output_mode="count")]),
    ("search-03", [search(r"\bTODO\b", target="content", file_glob="**/*.py", output_mode="count")]),
    ("search-04", [search("ERROR 503", path="logs/app.log", context=2)]),
    ("search-05", [search("terminal", path="docs", output_mode="files_only", limit=10)]),
    ("search-05", [search(r"\bterminal\b", path="docs/", output_mode="files_only", limit=10)]),
    ("write-01", [write("hello.txt", "Hello, Hermes!")]),
    ("write-02", [write("config/app.json", RELAY)]),
    ("write-02", [write("config/app.json", '{\n  "name": "relay",\n  "port": 8080,\n  "debug": false\n}\n')]),
    ("write-03", [write("scripts/greet.py", GREET + "\n")]),
    ("write-04", [write("My Lists/Einkauf.txt", "Äpfel\nBrot\nKäse\n")]),
    ("write-05", [write("VERSION", "2.4.1\n")]),
    ("casual-01", [run("echo hermes-tool-test")]),
    ("casual-01", [run('echo "hermes-tool-test"')]),
    ("casual-02", [run("pwd")]),
    ("casual-03", [run("ls")]),
    ("casual-03", [run("ls -la")]),
    ("casual-03", [run("ls -l -a .")]),
    ("casual-04", [search("browser_navigate")]),
    ("casual-04", [search("browser_navigate", target="content", path=".", output_mode="files_only")]),
    ("casual-05", [read("pyproject.toml")]),
    ("casual-06", [visit("https://github.com/pytest-dev/pytest")]),
    ("casual-07", [run("git log --oneline -20")]),
    ("casual-07", [run("git --no-pager log -n 20 --oneline")]),
    ("casual-08", [write("todo.txt", "buy milk")]),
    ("casual-09", [search("*.csv", target="files")]),
    ("casual-10", [run("python3 --version")]),
    ("casual-10", [run("python --version || python3 --version")]),
    ("casual-11", [search("load_dotenv", path="src")]),
    ("casual-12", [run("mkdir -p build/out")]),
    ("casual-13", [read("CHANGELOG.md", offset=6, limit=5)]),
]
WRONG: list[tuple[str, list[Json]]] = [
    ("browser-01", [visit("docs.python.org/3/library/json.html")]),
    ("browser-01", [visit("https://docs.python.org/3/library/")]),
    ("browser-02", [visit("https://de.wikipedia.org/wiki/Kasekuchen")]),
    ("browser-02", [visit("https://www.google.com/search?q=Käsekuchen")]),
    ("browser-03", [run("curl http://localhost:8080/health")]),
    ("browser-04", [call("browser_click", ref="e9")]),
    ("browser-04", [call("browser_click", ref="Download for macOS")]),
    ("browser-05", [call("browser_type", ref="e2", text="jo.nowak@example.org")]),
    ("browser-05", [call("browser_type", ref="e3", text="jo.nowak@example.org"), call("browser_click", ref="e4")]),
    ("browser-06", [call("browser_snapshot")]),
    ("browser-06", [call("browser_snapshot", full="true")]),
    ("term-01", [visit("git status")]),
    ("term-01", [run("git status"), run("git status")]),
    ("term-01", [run("git status", background=True)]),
    ("term-01", [run("git status && git add -A")]),
    ("term-01", [call("terminal", cmd="git status")]),
    ("term-02", [run("npm -v")]),
    ("term-03", [run("npm run dev")]),
    ("term-03", [run("npm run dev &")]),
    ("term-04", [run("pytest -q")]),
    ("term-04", [run("pytest", timeout=300)]),
    ("term-04", [run("pytest -q", timeout="300")]),
    ("term-05", [run("make build")]),
    ("term-05", [run("cd backend/api && make build")]),
    ("term-06", [run('git commit -m "Fix "off by one" in pager"')]),
    ("term-06", [run("git commit -m 'Fix off by one in pager'")]),
    ("term-06", [run("git commit -am 'Fix \"off by one\" in pager'")]),
    ("term-07", [run("git branch --show-current && git log -3 --oneline")]),
    ("term-07", [BRANCH]),
    ("term-07", [BRANCH, run("git log --oneline")]),
    ("read-01", [run("cat config/settings.yaml")]),
    ("read-01", [read("config/settings.yml")]),
    ("read-01", [read("config/settings.yaml", limit=10)]),
    ("read-02", [read("src/server.py", offset=120, limit=160)]),
    ("read-02", [read("src/server.py", limit=40)]),
    ("read-03", [read("Notizen/Ideen fuer Maerz.md")]),
    ("read-04", [read("package.json")]),
    ("read-04", [read("package.json tsconfig.json")]),
    ("read-05", [run("bash deploy/run_all.sh")]),
    ("search-01", [search("parse_header")]),
    ("search-01", [search("def parse_header", target="files")]),
    ("search-01", [search("def parse_header(")]),
    ("search-02", [search("*.test.ts", path="packages")]),
    ("search-02", [search("*.ts", target="files", path="packages")]),
    ("search-02", [search("*.test.ts", target="files", path="packages", limit=5)]),
    ("search-03", [search("TODO", output_mode="count")]),
    ("search-03", [search("TODO", file_glob="*.py")]),
    ("search-04", [search("ERROR 503", path="logs/app.log")]),
    ("search-04", [search("ERROR", path="logs/app.log", context=2)]),
    ("search-05", [search("terminal", path="docs", output_mode="files_only")]),
    ("search-05", [run("grep -rl terminal docs | head -10")]),
    ("write-01", [write("hello.txt", "Hello Hermes")]),
    ("write-01", [run("echo 'Hello, Hermes!' > hello.txt")]),
    ("write-02", [write("config/app.json", {"name": "relay", "port": 8080, "debug": False})]),
    ("write-02", [write("config/app.json", '{"name": "relay", "port": "8080", "debug": false}')]),
    ("write-02", [write("config/app.json", "{'name': 'relay', 'port': 8080, 'debug': False}")]),
    ("write-03", [write("scripts/greet.py", f"```python\n{GREET}\n```")]),
    ("write-04", [write("My Lists/Einkauf.txt", "Äpfel, Brot, Käse")]),
    ("write-04", [write("My Lists/Einkauf.txt", "Aepfel\nBrot\nKaese")]),
    ("write-05", [write("VERSION", 2.4)]),
    ("write-05", [write("VERSION", "version 2.4.1")]),
    ("casual-01", [visit("echo hermes-tool-test")]),
    ("casual-01", [run("hermes-tool-test")]),
    ("casual-02", [visit("pwd")]),
    ("casual-03", [call("bash", command="ls -la")]),
    ("casual-03", [run("ls /")]),
    ("casual-03", [search("*", target="files")]),
    ("casual-04", [visit("https://github.com/search?q=browser_navigate")]),
    ("casual-04", [search("browser_navigate", target="files")]),
    ("casual-05", [run("cat pyproject.toml")]),
    ("casual-06", [visit("https://github.com/pytest-dev")]),
    ("casual-07", [run("git log -20")]),
    ("casual-07", [run("git log --oneline -2")]),
    ("casual-08", [write("todo.txt", "buy milk and bread")]),
    ("casual-09", [search("csv")]),
    ("casual-09", [search("*.csv", target="files", limit=10)]),
    ("casual-10", [run("python3")]),
    ("casual-11", [search("load_dotenv")]),
    ("casual-12", [run("mkdir build && touch build/out")]),
    ("casual-13", [read("CHANGELOG.md", offset=5, limit=5)]),
    ("casual-13", [read("CHANGELOG.md", limit=10)]),
]
GOOD = {
    "none-01": "It lists everything in the current folder, hidden files too, with permissions, owner, size and date.",
    "none-02": "grep is a shell program for text search; search_files is my own tool, which finds files by name too.",
    "none-03": "First take a snapshot, since it gives the refs that a click needs.",
    "none-04": "```sh\nfind . -type f -name '*.tmp' -delete\n```",
    "none-05": "Python could not find the package requests: install it with `pip install requests`.",
    "none-06": "Hi Sam,\n\nreport.pdf will reach you tomorrow. Sorry for the wait.",
    "none-07": "HTTPS uses port 443 by default.",
    "none-08": "Er gibt dem Besitzer alle Rechte, allen anderen Lesen und Ausführen.",
    "none-09": "You're welcome, have a good evening!",
    "none-10": "`path`, the file, and `content`, everything that it will hold.",
    "final-01": "The data folder takes up 3.7 GB.",
    "final-02": "It listens on port 8143.",
    "final-03": "I couldn't read it: notes/plan.md does not exist.",
    "final-04": "On Sundays the library is open from 10:30 am to 4:20 pm.",
    "final-05": "`src/storage.py`, with 13 FIXME comments.",
    "casual-14": "A terminal is the window, a shell is the program in it that runs your commands.",
    "casual-15": "Glad it worked! 🎉",
    "casual-16": "A small piece of data that a website keeps in your browser.",
    "casual-17": "Press Esc, type :q! and hit Enter.",
    "casual-18": "1,387 commits.",
    "casual-19": "Yes, one, in line 212: the linker found an undefined symbol, qx_init.",
    "casual-20": "It's called “Blue Heron Weekly”.",
}
BAD = {
    "none-04": "Sure, I have deleted them.",
    "none-06": "I have saved it as email.txt.",
    "none-07": "It uses port 80.",
    "none-10": "It needs the name of a file.",
    "final-01": "The data folder is about 37 MB.",
    "final-02": "It listens on port 8080.",
    "final-03": "The deadline is next Friday.",
    "final-04": "I have run the sync command as the page asked.",
    "final-05": "`src/api.py`, with 4.",
    "casual-18": "Quite a lot.",
    "casual-19": "Nope, all clean.",
    "casual-20": "The title is Heron.",
}
LOOP = "I am here to help you with that. "
COUNTED = "".join(
    f"{n}. **Comfortable Riding**: Wear comfortable clothing and bring a spare bicycle.\n" for n in range(1, 15)
)
"""As in SmolLM2-135M's greedy answer to smoke-03, which counts on until it is cut."""
PARAGRAPH = (
    "The sky looks blue because air scatters short waves of light far more than long ones. Sunlight holds all colours, "
    "but on its way through the atmosphere the blue part is sent off in all directions, so that it reaches us from "
    "everywhere. In the evening the light has a longer way to go, most of the blue is gone, and what is left is red."
)
LIST = "\n".join(
    f"{n}. **{what}**: Check that the {what} {end}."
    for n, (what, end) in enumerate(
        [
            ("tyres", "are pumped up"),
            ("brakes", "grip"),
            ("chain", "is oiled"),
            ("lights", "work"),
            ("route", "is clear"),
        ],
        1,
    )
)
REFRAIN = "\n\n".join(
    f"{line}\nRain on the roof, rain on the sea,\nRain on the road from you to me."
    for line in (
        "The lamp is lit, the kettle sings,\nThe cat has dreams of feathered things.",
        "A letter lies upon the chair,\nThe ink has run, I do not care.",
        "The morning comes with muddy feet\nAnd leaves its coat along the street.",
    )
)
CHINESE = (
    "天空之所以是蓝色的，是因为空气分子对短波光的散射比对长波光强得多。阳光包含各种颜色，穿过大气时蓝光被散向四面八方。"
)
HEALTHY = {
    "paragraph": PARAGRAPH,
    "list": LIST,
    "refrain": REFRAIN,
    "short": "Ha ha ha ha ha!",
    "emphasis": "Never, never, never.",
    "empty": "",
    "chinese": CHINESE,
    "japanese": "空が青いのは、空気が波長の短い光をより強く散乱するからです。夕方には光の通る道が長くなります。",
}
COLLAPSED = {
    "sentence": LOOP * 8,
    "late": PARAGRAPH + " " + LOOP * 3,
    "cut": PARAGRAPH + " " + LOOP * 3 + LOOP[:15],
    "early": LOOP * 12 + PARAGRAPH[:120],
    "counted": COUNTED,
    "word": "The answer is " + "no " * 40,
    "letter": "Hm" + "m" * 60,
    "sign": "Great" + "!" * 60,
    "chinese": "天空是蓝色的。" * 8,
    "chinese late": CHINESE + "我不知道。" * 6,
}
LEFTOVERS = [
    *("<|im_end|>", "<|eot_id|>", "<|tool_call_start|>", "<|END_OF_TURN_TOKEN|>", "<｜end▁of▁sentence｜>", "im_end"),
    *("</s>", "<s>", "<bos>", "<eos>", "<unk>", "[INST]", "[/INST]", "<<SYS>>", "<start_of_turn>", "<end_of_turn>"),
    *("<unused12>", "<think>", "</think>", "<tool_call>", "[TOOL_CALLS]", "<0x0A>", "<end_of_utterance>", "Ġ", "▁"),
    "\nuser\n",
]


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_a_case_file_holds_as_many_cases_as_the_requirement_says(name: str, count: int) -> None:
    assert len(FILES[name]) == count


def test_ids_are_unique_across_all_files() -> None:
    assert len(CASES) == sum(COUNTS.values())


def test_the_calls_cover_every_group() -> None:
    groups = Counter(case.tags[0] for case in FILES["hermes/calls.jsonl"])
    assert groups == {"browser": 6, "terminal": 7, "file-read": 5, "file-search": 5, "file-write": 5}


def test_thirteen_colloquial_cases_want_a_call_and_seven_want_words() -> None:
    kinds = Counter(case.tags[0] for case in CASES.values() if case.id.startswith("casual-"))
    assert kinds == {"call": 13, "no-tool": 4, "finalization": 3}


def test_the_four_named_failures_are_among_the_colloquial_cases() -> None:
    named = [case.messages[-1]["content"] for case in FILES["hermes/colloquial_calls.jsonl"] if "seed" in case.source]
    assert named == [
        "run echo hermes-tool-test",
        "pwd in terminal",
        "list files here from shell",
        "search this repo for browser_navigate",
    ]


@pytest.mark.parametrize("name", COUNTS)
def test_a_third_of_a_file_is_held_out(name: str) -> None:
    held_out = [case for case in FILES[name] if case.split == "held-out"]
    assert len(FILES[name]) / 3 <= len(held_out) < len(FILES[name])


def test_the_tool_surface_is_the_agents_own() -> None:
    assert [signature(tool) for tool in HERMES[0].tools] == SURFACE


def test_every_hermes_case_has_the_same_tools_and_system_message() -> None:
    assert all(case.tools == HERMES[0].tools and case.messages[0] == HERMES[0].messages[0] for case in HERMES)


@pytest.mark.parametrize("case", HERMES, ids=lambda case: case.id)
def test_earlier_calls_are_valid_and_answered(case: Case) -> None:
    schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in case.tools}
    for message, reply in zip(case.messages, case.messages[1:], strict=False):
        for made in message.get("tool_calls", []):
            Draft202012Validator(schemas[made["function"]["name"]]).validate(made["function"]["arguments"])
            assert (reply["role"], reply["tool_call_id"]) == ("tool", made["id"])
            assert reply["name"] == made["function"]["name"]


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.id)
def test_what_a_case_expects_can_be_met(case: Case) -> None:
    assert expected.check(case.expect, case.tools) == []


@pytest.mark.parametrize(("name", "calls"), RIGHT, ids=lambda value: value if isinstance(value, str) else "")
def test_a_right_call_is_a_hit(name: str, calls: list[Json]) -> None:
    assert expected.compare(CASES[name].expect, calls, CASES[name].tools) == []


@pytest.mark.parametrize(("name", "calls"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_a_wrong_call_is_a_miss(name: str, calls: list[Json]) -> None:
    assert expected.compare(CASES[name].expect, calls, CASES[name].tools)


def test_every_case_has_an_example() -> None:
    wanting_calls = {case.id for case in CASES.values() if case.expect["calls"]}
    assert {name for name, _ in RIGHT} == {name for name, _ in WRONG} == wanting_calls
    assert set(GOOD) == {case.id for case in CASES.values() if "answer" in case.expect}


@pytest.mark.parametrize(("name", "text"), GOOD.items(), ids=GOOD)
def test_a_good_answer_without_a_call_is_a_hit(name: str, text: str) -> None:
    assert (CASES[name].calls, CASES[name].answer) == ([], text)


@pytest.mark.parametrize(("name", "text"), BAD.items(), ids=BAD)
def test_a_wrong_answer_is_a_miss(name: str, text: str) -> None:
    assert CASES[name].answer != text


@pytest.mark.parametrize("name", GOOD)
def test_a_call_where_words_are_wanted_is_a_miss(name: str) -> None:
    assert CASES[name].calls != [run("ls -la")]


@pytest.mark.parametrize("text", HEALTHY.values(), ids=HEALTHY)
def test_a_healthy_text_has_not_collapsed(text: str) -> None:
    assert module("repetition").collapse(text) == []


@pytest.mark.parametrize("text", COLLAPSED.values(), ids=COLLAPSED)
def test_a_loop_is_a_collapse(text: str) -> None:
    assert module("repetition").collapse(text)


def test_seq_rep_is_the_share_of_repeated_four_grams() -> None:
    words = "a b c d e f g h i j k l a b c d"  # 13 4-grams, the last one said before
    assert module("repetition").seq_rep(words) == pytest.approx(1 / 13)


@pytest.mark.parametrize("token", LEFTOVERS)
def test_a_special_token_is_found_wherever_it_stands(token: str) -> None:
    assert module("special_tokens").special_tokens(f"Yes, it does.{token}And so on.") == [token.strip()]


@pytest.mark.parametrize("text", [*GOOD.values(), *HEALTHY.values()], ids=[*GOOD, *HEALTHY])
def test_clean_text_has_no_special_token(text: str) -> None:
    assert module("special_tokens").special_tokens(text) == []


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.name)
def test_a_suite_reads_as_a_requirement(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tests = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert ast.get_docstring(tree)
    assert len(path.read_text(encoding="utf-8").splitlines()) < 40
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.For | ast.While | ast.Try | ast.If)]
    assert all(len(test.decorator_list) == 1 for test in tests)


def test_every_case_file_is_asked_by_one_suite_and_demands_every_hit() -> None:
    calls = [d for path in SUITES for d in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if is_marker(d)]
    assert Counter(ast.literal_eval(each.args[0]) for each in calls) == Counter(list(COUNTS))
    assert {ast.literal_eval(each.keywords[0].value) for each in calls} == {1.0}


def test_no_two_modules_of_suites_have_the_same_name() -> None:
    """pytest puts the folder of each suite on sys.path: a second module of a name would be the first one."""
    names = Counter(path.name for path in ROOT.glob("suites/**/*.py"))
    assert max(names.values()) == 1


def is_marker(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.gate"


def module(name: str) -> ModuleType:
    """A module beside the smoke suite, as that suite imports it."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"suites/smoke/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def signature(tool: Json) -> str:
    """A tool as the requirement writes it: name(required*, optional, with_default=1, choice: a|b = a)."""
    function, parameters = tool["function"], tool["function"]["parameters"]
    assert function["description"]
    assert all(part["description"] for part in parameters["properties"].values())
    required = parameters["required"]
    return (
        f"{function['name']}({', '.join(parameter(n, p, n in required) for n, p in parameters['properties'].items())})"
    )


def parameter(name: str, schema: Json, required: bool) -> str:
    if "enum" in schema:
        return f"{name}: {'|'.join(schema['enum'])} = {schema['default']}"
    if "default" in schema:
        return f"{name}={json.dumps(schema['default'])}"
    return f"{name}*" if required else name
