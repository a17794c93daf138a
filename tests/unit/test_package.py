"""What the package as a whole promises: its names, its weight, its words."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from types import MemberDescriptorType

import pytest

import sluicegate
import sluicegate.testing

OPTIONAL = ("httpx", "httpx2", "opentelemetry", "redis", "rich", "sqlalchemy", "trio", "typer", "uvicorn")
HEAVY = (*OPTIONAL, "asyncio", "decimal", "inspect", "json", "logging", "pickle", "ssl", "sluicegate._native")
PACKAGE = Path(sluicegate.__file__).parent
PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (sluicegate, sluicegate.testing)
    for name in module.__all__
}


def members(public):
    """A public object, and every method and property of ours that a user reaches on it."""
    yield public
    for name, member in inspect.getmembers(public) if inspect.isclass(public) else ():
        home = getattr(member, "__objclass__", member.fget if isinstance(member, property) else member)
        ours = (getattr(home, "__module__", None) or "").startswith("sluicegate")
        field = isinstance(member, MemberDescriptorType)  # its class describes it
        if ours and not field and not name.startswith("_"):
            yield member


def imported(path):
    """The absolute names that a module imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def told_by(script):
    """What a script prints in a process of its own."""
    command = [sys.executable, "-I", "-c", script]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def loaded_by(statement):
    """The modules that a statement loads."""
    script = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    return set(told_by(script))


def test_importing_the_package_imports_nothing_heavy():
    assert loaded_by("import sluicegate") & set(HEAVY) == set()


@pytest.mark.parametrize("name", ["CircuitBreaker", "KeyedRateLimiter", "RateLimiter"])
def test_what_is_used_without_a_loop_imports_none(name):
    assert loaded_by(f"from sluicegate import {name}") & {*OPTIONAL, "asyncio", "tempfile"} == set()


def test_importing_starts_no_thread():
    script = "from sluicegate import *; import threading; print(threading.active_count())"
    assert told_by(script) == ["1"]


def test_every_name_comes_from_the_module_that_type_checkers_are_told():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    told = {
        alias.name: f"{node.module}.{alias.name}".removeprefix("sluicegate.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.startswith("sluicegate")
        for alias in node.names
    }
    homes = {
        name: home if home == name else f"{home}.{name}"
        for name, home in sluicegate._HOMES.items()
        if name in sluicegate.__all__
    }
    assert homes == told
    assert set(sluicegate.__all__) <= set(dir(sluicegate))


def test_a_name_that_is_misspelt_is_no_attribute():
    with pytest.raises(AttributeError, match=r"^module 'sluicegate' has no attribute 'RateLimitre'$"):
        _ = sluicegate.RateLimitre


def test_the_public_names_are_sorted_and_exist():
    assert list(sluicegate.__all__) == sorted(sluicegate.__all__)
    assert [name for name in sluicegate.__all__ if not hasattr(sluicegate, name)] == []


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_and_its_methods_say_what_they_do(name):
    silent = [member for member in members(PUBLIC[name]) if not inspect.getdoc(member)]
    assert silent == []


def test_the_flashcard_client_imports_public_names_only():
    private = {
        (path.name, name)
        for path in (PACKAGE / "flashcards").rglob("*.py")
        for name in imported(path)
        if name.startswith("sluicegate.") and not name.startswith("sluicegate.flashcards")
        if any(part.startswith("_") for part in name.split("."))
    }
    assert private == set()
