"""Types survive decorators, guards and pipelines."""

import subprocess
import sys
from pathlib import Path


def test_a_strict_type_checker_agrees_with_the_usage():
    command = [sys.executable, "-m", "mypy", "--strict", str(Path(__file__).with_name("usage.py"))]
    checked = subprocess.run(command, check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
