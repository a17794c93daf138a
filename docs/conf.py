"""How Sphinx builds the manual: pages in Markdown, the reference from the docstrings of the package."""

from __future__ import annotations

import importlib
import pkgutil
import re
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import TYPE_CHECKING

from sphinx.util import logging

import sluicegate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "sluicegate"
author = "the sluicegate maintainers"
release = distribution_version("sluicegate")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "README.md"]  # the index of whoever reads the pages as files
html_theme = "furo"
html_title = f"sluicegate {release}"

myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the signature has them
autodoc_default_options = {"members": True, "inherited-members": "BaseException"}
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True


def plain_text_where_a_link_leaves(app: Sphinx, page: str, source: list[str]) -> None:
    """Keep the words of a link to a file outside the manual: it leads somewhere in the sources only."""
    manual = Path(app.srcdir)
    folder = (manual / page).parent

    def words(link: re.Match[str]) -> str:
        inside = (folder / link[2]).resolve().is_relative_to(manual)
        return link[0] if inside else link[1]

    source[0] = re.sub(r"\[([^\]]+)\]\((\.\./[^)#]+)\)", words, source[0])


def public_modules() -> Iterator[str]:
    """The package and every module in it that a user may import: none whose path has an underscore."""
    yield sluicegate.__name__
    for module in pkgutil.walk_packages(sluicegate.__path__, prefix="sluicegate."):
        private = any(part.startswith("_") for part in module.name.split("."))
        if not private and not module.name.startswith("sluicegate.flashcards"):  # a command, not a library
            yield module.name


def names_without_entry(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of each public name that the reference does not describe; the build makes that an error."""
    described = {name.rpartition(".")[2] for name in env.domains.python_domain.objects}
    for name in public_modules():
        module = importlib.import_module(name)
        for missing in sorted(set(getattr(module, "__all__", ())) - described):
            logging.getLogger(__name__).warning("%s.%s has no entry in docs/reference", name, missing)


def setup(app: Sphinx) -> None:
    """Mend the pages before they are read, and check the reference after."""
    app.connect("source-read", plain_text_where_a_link_leaves)
    app.connect("env-check-consistency", names_without_entry)
