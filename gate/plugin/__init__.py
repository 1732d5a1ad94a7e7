"""`pytest --model PATH`: options, the marker, and which part of the work this process has.

Without `--model` nothing is registered and pytest runs as ever. With it, one process owns the server and the
verdict (gate.plugin.run), and the processes that run tests ask and score (gate.plugin.ask): the same process when
there is one, the controller and its workers under xdist.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from gate.plugin import pytest_internals

Number = TypeVar("Number", int, float)
WEEK = 7 * 24 * 3600.0
PATHS = ("--model", "--base", "--against", "--train", "--judge", "--gate-runs", "--gate-registry")
"""Options whose value can be a path."""
MARKER = (
    "gate(cases, *, floor=1.0, bound=None, drop=None, must=False, smoke=False, repeats=1, floors={}, positive='', "
    "rubric='', mean=None, slower=None, within=None): ask every case of "
    "fixtures/cases/<cases> and demand a rate of hits of at least `floor`, and a one-sided 95 % lower bound of at "
    "least `bound`; `must`: any miss blocks; `drop`: regressions accepted against the champion; `smoke`: too small to "
    "prove anything; `floors`: floors by tag; `positive`: the label of false positives; `rubric`, `mean`: a judge "
    "scores by fixtures/rubrics/<rubric>.toml, on average at least so much; `slower`: times the champion's median "
    "seconds that are accepted; `within`: seconds that are accepted."
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gate", "grade a model (pytest-gate)")
    group.addoption(
        "--model",
        metavar="PATH",
        dest="gate_model",
        help="grade this checkpoint with the suites: an MLX adapter or model folder, a .gguf file, http(s)://…/v1, "
        "a hub id, smollm2 (a small demo model), scripted:FILE. Without a path argument, suites/ is collected.",
    )
    group.addoption(
        "--base", metavar="DIR", dest="gate_base", help="the model under an adapter; for others, what it was made from"
    )
    group.addoption("--against", metavar="ADAPTER", dest="gate_against", help="the adapter that was fused into it")
    group.addoption("--train", metavar="FILE", dest="gate_train", help="training rows, to look for cases in them")
    group.addoption("--served-name", metavar="NAME", dest="gate_served_name", default="", help="a URL's model name")
    group.addoption(
        "--gate-timeout",
        metavar="S",
        type=_limited(float, WEEK),
        default=600.0,
        help="seconds for one answer (default %(default)s)",
    )
    group.addoption(
        "--gate-start-timeout",
        metavar="S",
        type=_limited(float, WEEK),
        default=600.0,
        help="seconds to load (default %(default)s)",
    )
    group.addoption(
        "--gate-context",
        metavar="N",
        type=_limited(int, 2**31 - 1),
        default=8192,
        help="llama.cpp's context of a request (%(default)s)",
    )
    group.addoption(
        "--gate-runs", metavar="DIR", default="runs", help="folder for reports and logs (default %(default)s/)"
    )
    group.addoption(
        "--gate-registry",
        metavar="DIR",
        default="registry",
        help="folder of slots, in which attempts at held-out cases are counted (default %(default)s/)",
    )
    group.addoption(
        "--gate-slot",
        metavar="NAME",
        default="",
        help="without a path argument, ask the suites that pyproject.toml demands for this slot",
    )
    group.addoption(
        "--gate-attribution",
        choices=("on", "off"),
        default="on",
        help="ask each miss once more, raw, and name the stage at which it went wrong (default %(default)s)",
    )
    group.addoption(
        "--gate-raw", action="store_true", help="ask every case raw, too, without parser and grammar: a second rate"
    )
    group.addoption(
        "--gate-concurrency",
        metavar="N",
        type=_limited(int, 1024),
        help="requests under way at once, of all processes (default: as many as the server decodes together)",
    )
    group.addoption(
        "--gate-sequential",
        action="store_true",
        help="ask every case one after another, instead of many at once and again what was not sure",
    )
    group.addoption(
        "--gate-fail-fast",
        action="store_true",
        help="stop as soon as a test cannot meet its demands any more; cases missed in earlier runs are asked first",
    )
    group.addoption(
        "--gate-fresh", action="store_true", help="ask again also what this checkpoint has answered in an earlier run"
    )
    group.addoption(
        "--judge",
        metavar="PATH",
        dest="gate_judge",
        help="score the answers of suites with a rubric by this model or URL, once the candidate has answered and is "
        "gone (later: gate judge REPORT); a URL's key stands in GATE_JUDGE_API_KEY",
    )
    group.addoption("--judge-name", metavar="NAME", dest="gate_judge_name", default="", help="a judge URL's model name")
    parser.addini("gate_suites", "folder that --model collects when no path is given", default="suites")
    parser.addini("gate_fixtures", "folder with cases/ and tools/", default="fixtures")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | pytest.ExitCode | None:
    """Start over with `--model=PATH` where `--model PATH` was given.

    pytest looks for its root folder before it knows the options of plugins, and takes PATH for a test path: with a
    model outside of the project it would miss the project's configuration. (_pytest/config/findpaths.py)
    """
    given = list(config.invocation_params.args)
    joined = given if pytest_internals.is_worker(config) else _joined(given)  # a folder may be there now that was not
    return None if joined == given else pytest.main(joined, plugins=config.invocation_params.plugins)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose the role once: alone, controller or worker."""
    config.addinivalue_line("markers", MARKER)
    if config.getoption("gate_model") is None:
        return
    if not config.getoption("gate_model"):
        raise pytest.UsageError("--model was given without a value: is a variable empty?")
    if sys.flags.optimize:
        raise pytest.UsageError(
            "python -O (or PYTHONOPTIMIZE) leaves asserts out, and they are what scores: run without"
        )
    if config.getoption("gate_raw") and config.getoption("gate_attribution") == "off":
        raise pytest.UsageError("--gate-raw asks what --gate-attribution=off leaves out: give one of them")
    _default_to_suites(config)
    processes, at_once = pytest_internals.workers(config), config.getoption("gate_concurrency")
    if at_once is not None and 1 < at_once < processes:
        raise pytest.UsageError(
            f"--gate-concurrency {at_once}: each of {processes} processes asks; give {processes} or more, or 1"
        )
    _register(config)


def _register(config: pytest.Config) -> None:
    """Register the hooks of this process's role: alone, controller or worker."""
    from gate.plugin import ask, failed_first, hosting
    from gate.plugin.prepare import prepare
    from gate.plugin.run import RunHooks
    from gate.plugin.state import RUN, Asking

    if pytest_internals.is_worker(config):
        worker = config.workerinput  # type: ignore[attr-defined]
        host, lock, missed = hosting.received(config, worker["gate"])
        asking = Asking(config, missed)
        ask.begin(asking, host, processes=worker["workercount"], lock=lock)
        config.pluginmanager.register(ask.AskHooks(asking))
        return
    controller = pytest_internals.is_controller(config)
    own = None if controller else Asking(config, failed_first.missed(config))
    config.stash[RUN] = run = prepare(config, own)
    config.pluginmanager.register(RunHooks(run))
    if own is not None:
        config.pluginmanager.register(ask.AskHooks(own))  # last, for it packs a report before RunHooks unpacks it


def _limited(kind: Callable[[str], Number], most: Number) -> Callable[[str], Number]:
    """A parser of numbers above 0, up to `most`."""

    def number(text: str) -> Number:
        if not 0 < (value := kind(text)) <= most:
            raise ValueError(text)
        return value

    return number


def _joined(arguments: list[str]) -> list[str]:
    """The arguments with each of our options that names an existing path joined to it by `=`."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in PATHS and Path(argument).exists():
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _default_to_suites(config: pytest.Config) -> None:
    source = type(config).ArgsSource
    if config.args_source not in (source.TESTPATHS, source.INVOCATION_DIR):
        return
    suites = config.rootpath / config.getini("gate_suites")
    if not suites.is_dir():
        raise pytest.UsageError(f"--model was given without a path, and there is no {suites}: name the suites to ask")
    config.args = _of_slot(config) or [str(suites)]


def _of_slot(config: pytest.Config) -> list[str]:
    """The suites that the policy demands for the slot named; none where it names none."""
    from gate.errors import GateError
    from gate.registry import policy

    try:
        named = policy.read(config.rootpath).slots.get(config.getoption("gate_slot"), ())
    except GateError as error:
        raise pytest.UsageError(str(error)) from error
    return [str(config.rootpath / each) for each in named]
