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


def test_importing_the_package_imports_no_optional_dependency():
    script = f"import sys, sluicegate; print(*sorted(set(sys.modules) & set({OPTIONAL})))"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert loaded.stdout.split() == []


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
