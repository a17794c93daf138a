"""What the package as a whole promises: its names, its weight, its words."""

import subprocess
import sys

import sluicegate

OPTIONAL = ("httpx", "opentelemetry", "redis", "rich", "sqlalchemy", "trio", "typer", "uvicorn")


def test_importing_the_package_imports_no_optional_dependency():
    script = f"import sys, sluicegate; print(*sorted(set(sys.modules) & set({OPTIONAL})))"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert loaded.stdout.split() == []


def test_the_public_names_are_sorted_and_exist():
    names = getattr(sluicegate, "__all__", [])
    assert list(names) == sorted(names)
    assert [name for name in names if not hasattr(sluicegate, name)] == []
