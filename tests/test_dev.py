"""The `dev` script: what it passes on, and when it takes an environment for a good one."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, in an empty checkout of its own."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = importlib.machinery.SourceFileLoader("dev_script", str(ROOT / "dev"))
    spec = importlib.util.spec_from_loader("dev_script", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    venv = tmp_path / ".venv"
    places = {
        "ROOT": tmp_path,
        "VENV": venv,
        "BIN": venv / "bin",
        "STAMP": venv / "ready.json",
        "CACHE": tmp_path / ".dev",
    }
    for name, place in places.items():
        monkeypatch.setattr(module, name, place)
    (tmp_path / module.RUN).write_text("flask==3.1.3\n")
    (tmp_path / module.DEV).write_text("flask==3.1.3\npytest==9.2.0\n")
    return module


@pytest.fixture
def installed(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """What was installed: (lock, added to what was there). No network."""
    calls: list[tuple[str, bool]] = []

    def install(lock: str, *, adding: bool) -> None:
        calls.append((lock, adding))
        dev.BIN.mkdir(parents=True, exist_ok=True)
        (dev.BIN / "python").touch()

    monkeypatch.setattr(dev, "install", install)
    return calls


def test_the_second_start_installs_nothing(dev: ModuleType, installed: list[tuple[str, bool]]) -> None:
    dev.prepare(dev.RUN)
    dev.prepare(dev.RUN)
    assert installed == [(dev.RUN, False)]


def test_what_tests_need_is_added_and_is_enough_to_run(
    dev: ModuleType, installed: list[tuple[str, bool]], capsys: pytest.CaptureFixture[str]
) -> None:
    dev.prepare(dev.RUN)
    assert "the first time" in capsys.readouterr().err
    dev.prepare(dev.DEV)
    assert capsys.readouterr().err == "dev: adding what the tests need\n"
    dev.prepare(dev.RUN)
    assert installed == [(dev.RUN, False), (dev.DEV, True)]


def _other_lock(dev: ModuleType) -> None:
    (dev.ROOT / dev.RUN).write_text("flask==3.1.4\n")


def _other_place(dev: ModuleType) -> None:
    dev.STAMP.write_text(json.dumps(json.loads(dev.STAMP.read_text()) | {"root": "/elsewhere"}))


def _other_python(dev: ModuleType) -> None:
    dev.STAMP.write_text(json.dumps(json.loads(dev.STAMP.read_text()) | {"python": "3.10"}))


def _cut_stamp(dev: ModuleType) -> None:
    dev.STAMP.write_text(dev.STAMP.read_text()[:20])


def _python_gone(dev: ModuleType) -> None:
    (dev.BIN / "python").unlink()


@pytest.mark.parametrize("change", [_other_lock, _other_place, _other_python, _cut_stamp, _python_gone])
def test_an_environment_that_is_not_this_one_is_made_anew(
    dev: ModuleType, installed: list[tuple[str, bool]], change: Callable[[ModuleType], None]
) -> None:
    dev.prepare(dev.RUN)
    change(dev)
    dev.prepare(dev.RUN)
    assert installed == [(dev.RUN, False)] * 2


def test_a_broken_off_installation_is_not_taken_for_a_good_one(
    dev: ModuleType, installed: list[tuple[str, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    dev.prepare(dev.RUN)
    finish = dev.install

    def break_off(lock: str, *, adding: bool) -> None:
        finish(lock, adding=adding)
        raise KeyboardInterrupt

    monkeypatch.setattr(dev, "install", break_off)
    with pytest.raises(KeyboardInterrupt):
        dev.prepare(dev.DEV)
    monkeypatch.setattr(dev, "install", finish)
    dev.prepare(dev.RUN)
    assert installed == [(dev.RUN, False), (dev.DEV, True), (dev.RUN, False)]


@pytest.mark.usefixtures("installed")
def test_a_failed_installation_is_one_line(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(lock: str, *, adding: bool) -> None:
        raise subprocess.CalledProcessError(1, ["pip", "install", lock])

    monkeypatch.setattr(dev, "install", fail)
    with pytest.raises(
        SystemExit, match=r"^dev: setting up \.venv failed: pip install requirements\.lock \(exit code 1\)$"
    ):
        dev.prepare(dev.RUN)


def test_a_python_without_venv_is_told_what_to_install(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev.shutil, "which", lambda _name: None)
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(SystemExit, match=r"no venv module: install it .*python3-venv"):
        dev.install(dev.RUN, adding=False)


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ([], []),
        (["-k", "confirm", "--tb=short"], ["-k", "confirm", "--tb=short"]),
        (["--all", "-x"], ["-m", "", "-x"]),
        (["-n0"], ["-n0"]),  # given later than our own, so it wins
    ],
)
def test_arguments_of_test_go_to_pytest(dev: ModuleType, given: list[str], passed: list[str]) -> None:
    workers, *rest = dev.pytest_arguments(given)
    assert workers in ("-n3", "-n4")
    assert rest == passed


@pytest.mark.parametrize(
    ("arguments", "command", "moved"),
    [
        (["run"], ["python", "-m", "mailinglist", "run"], True),
        (["bench", "send", "--size", "10"], ["python", "-m", "bench", "send", "--size", "10"], True),
        (["do", "mailinglist", "bans", "check", "--json"], ["mailinglist", "bans", "check", "--json"], False),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("installed")
def test_each_command_becomes_its_program(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, arguments: list[str], command: list[str], moved: bool
) -> None:
    become: list[tuple[list[str], Path | None]] = []

    def turn_into(words: list[str], cwd: Path | None = None) -> int:
        become.append((words, cwd))
        return 0

    monkeypatch.setattr(dev, "become", turn_into)
    monkeypatch.setenv("MAILINGLIST_DATA_DIR", "/chosen")
    assert dev.main(arguments) == 0
    assert become == [(command, dev.ROOT if moved else None)]


@pytest.mark.parametrize("arguments", [["nonsense"], ["do"], ["clean", "everything"]])
def test_a_wrong_call_is_2_and_one_line(
    dev: ModuleType, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert dev.main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_program_gets_the_environment_and_its_exit_code_comes_back(tmp_path: Path) -> None:
    program = f"""
import importlib.machinery, importlib.util, sys
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("dev_script", {str(ROOT / "dev")!r})
dev = importlib.util.module_from_spec(importlib.util.spec_from_loader("dev_script", loader))
loader.exec_module(dev)
sys.exit(dev.become(sys.argv[1:]))
"""
    asked = 'echo "$VIRTUAL_ENV|${PYTHONPATH-none}|${PATH%%:*}"; exit 7'
    done = subprocess.run(
        [sys.executable, "-c", program, "sh", "-c", asked],
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (7, f"{ROOT}/.venv|none|{ROOT}/.venv/bin\n")
    done = subprocess.run(
        [sys.executable, "-c", program, "no-such-program"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (127, "dev: no-such-program: not found in .venv or on the PATH\n")


def test_clean_keeps_the_data_unless_told_otherwise(dev: ModuleType) -> None:
    for name in (".venv", ".dev", ".ruff_cache", "var", "mailinglist/__pycache__"):
        (dev.ROOT / name).mkdir(parents=True)
    assert dev.main(["clean"]) == 0
    assert sorted(path.name for path in dev.ROOT.iterdir()) == ["mailinglist", dev.DEV, dev.RUN, "var"]
    assert not (dev.ROOT / "mailinglist/__pycache__").exists()
    assert dev.main(["clean", "--data"]) == 0
    assert not (dev.ROOT / "var").exists()


def test_the_larger_lock_holds_the_smaller_one() -> None:
    """`./dev run` takes an environment made for the tests: each pin of the one must be in the other."""
    run, larger = ((ROOT / name).read_text() for name in ("requirements.lock", "requirements-dev.lock"))
    pins = [
        {line for line in text.splitlines() if "==" in line and not line.startswith((" ", "#"))}
        for text in (run, larger)
    ]
    assert pins[0] <= pins[1]
