"""The stub of the compiled module says what the module does."""

import subprocess
import sys


def test_every_signature_of_the_stub_is_that_of_the_module():
    command = [sys.executable, "-m", "mypy.stubtest", "sluicegate._native"]
    checked = subprocess.run(command, check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
