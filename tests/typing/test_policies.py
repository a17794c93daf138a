"""Type checkers see through a policy to the function it decorates."""

import subprocess
import sys
from pathlib import Path


def test_a_decorated_function_keeps_its_signature_and_its_awaitability():
    module = Path(__file__).with_name("policies_keep_signatures.py")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(module)]
    checked = subprocess.run(command, check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
