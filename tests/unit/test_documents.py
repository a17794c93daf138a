"""What the pages say in Python runs, and what README promises is what `.ci/run` does."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md")), ROOT / "benches" / "README.md"]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def links(page: Path) -> list[str]:
    return re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))


def path(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=path)
def test_the_python_blocks_of_a_page_run_from_top_to_end(page, tmp_path, monkeypatch):
    monkeypatch.setenv("SLUICEGATE_SHARED", str(tmp_path))
    code = compile("\n".join(blocks(page, "python")), str(page), "exec")
    exec(code, {"__name__": page.stem})


def test_the_first_example_has_ten_lines(capsys):
    example = blocks(README, "python")[0]
    assert len([line for line in example.splitlines() if line]) <= 10
    exec(example, {})
    assert capsys.readouterr().out == "order 7: charged\n"


def test_continuous_integration_calls_the_test_command_of_the_readme():
    commands = blocks(README, "sh")[-1].splitlines()
    assert commands[-1].endswith("uv run pytest")
    assert commands[-1] in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=path)
def test_every_link_of_a_page_leads_somewhere(page):
    assert [link for link in links(page) if not (page.parent / link).exists()] == []


def test_every_page_of_the_documentation_can_be_reached():
    indexes = [ROOT / "docs" / "README.md", ROOT / "docs" / "decisions" / "README.md"]
    roots = {indexes[0], ROOT / "docs" / "index.md"}  # of the files, and of the manual that is built of them
    reached = {(index.parent / link).resolve() for index in indexes for link in links(index)}
    assert {page for page in PAGES if page.is_relative_to(ROOT / "docs")} - reached - roots == set()
