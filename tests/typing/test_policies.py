"""Type checkers see through a policy to the function it decorates."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

MODULES = sorted(path for path in Path(__file__).parent.glob("*.py") if not path.name.startswith("test_"))


@pytest.fixture
def pyright(tmp_path):
    """The options of a strict user, for whom a needless `type: ignore` is an error as well."""
    options = {
        "include": [str(module) for module in MODULES],
        "typeCheckingMode": "standard",
        "enableTypeIgnoreComments": True,
        "reportUnnecessaryTypeIgnoreComment": "error",
    }
    config = tmp_path / "pyrightconfig.json"
    config.write_text(json.dumps(options), encoding="utf-8")
    return ["-m", "basedpyright", "--project", str(config), "--pythonpath", sys.executable]


def check(*command):
    return subprocess.run([sys.executable, *command], check=False, capture_output=True, text=True)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_mypy_finds_that_a_decorated_function_keeps_its_signature_and_its_awaitability(module):
    checked = check("-m", "mypy", "--strict", "--no-error-summary", str(module))
    assert checked.returncode == 0, checked.stdout


def test_pyright_finds_the_same(pyright):
    checked = check(*pyright)
    assert checked.returncode == 0, checked.stdout


def test_pyright_would_tell_if_it_did_not(pyright, tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from sluicegate import Retry\n@Retry()\ndef one() -> int: return 1\none(7)\n", encoding="utf-8"
    )
    config = tmp_path / "pyrightconfig.json"
    config.write_text(json.dumps({"include": [str(wrong)], "typeCheckingMode": "standard"}), encoding="utf-8")
    assert "Expected 0 positional arguments" in check(*pyright).stdout
