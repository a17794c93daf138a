"""Print how many branches of the Python package the tests take, and fail where that is under 95 of 100.

Reads what `coverage run` and `coverage combine` left. Lines are not counted in, unlike in `coverage report`:
most are run by any test, and what is decided on the way is not.
"""

import json
import sys
import tempfile
from pathlib import Path

from coverage import Coverage

FLOOR = 95.0
SHOWN = 10


def main() -> int:
    """Print the figure, and the modules with the most branches that no test takes."""
    coverage = Coverage()
    coverage.load()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coverage.json"
        coverage.json_report(outfile=str(path))
        found = json.loads(path.read_text(encoding="utf-8"))
    missed = {name: module["missing_branches"] for name, module in found["files"].items()}
    for name in sorted(missed, key=lambda name: len(missed[name]), reverse=True)[:SHOWN]:
        arcs = ", ".join(f"{start}->{'exit' if end < 0 else end}" for start, end in missed[name])
        print(f"{len(missed[name]):4} {name}: {arcs}")
    covered, branches = found["totals"]["covered_branches"], found["totals"]["num_branches"]
    share = 100 * covered / branches
    print(f"{share:.1f} % of the branches: {covered} of {branches}; at least {FLOOR:.0f} % are wanted")
    return 0 if share >= FLOOR else 1


if __name__ == "__main__":
    sys.exit(main())
