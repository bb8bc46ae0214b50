"""How Sphinx builds the site of the documentation: `make docs`, from the root of the repository.

The source folder is the repository, not docs/, so that links between docs/, examples/, the
files at the top and the notes beside the code are the same relative links on a code host.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx import addnodes
from sphinx.util import logging

import rayred

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
SOURCES = {"docs", "examples", "rayred", "CONTRIBUTING.md", "CHANGELOG.md"}

logger = logging.getLogger(__name__)

project = "rayred"
author = copyright = "The rayred developers"
release = rayred.__version__
root_doc = "docs/index"
exclude_patterns = [path.name for path in ROOT.iterdir() if path.name not in SOURCES]
extensions = ["sphinx.ext.autodoc", "numpydoc", "myst_nb"]
highlight_language = "none"  # indented blocks are commands, outputs and files of several kinds

myst_heading_anchors = 4
nb_execution_mode = "off"  # the notebooks train networks, and the tests run them

smartquotes = False  # they make one dash of the two of an option
default_role = "code"  # docstrings write `name`
autodoc_default_options = {"members": True, "undoc-members": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_type_aliases = {name: name for name in ("ArrayLike", "NDArray")}  # as they are written
maximum_signature_line_length = 80
add_module_names = False
numpydoc_show_class_members = False

html_theme = "furo"
html_title = "rayred"
html_extra_path = ["root"]
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = html_show_sourcelink = False


def warn_of_missing_docstring(
    _app: Sphinx, _domain: str, kind: str, content: addnodes.desc_content
) -> None:
    """Warn of a public name of which nothing is said: a warning fails the build."""
    other = addnodes.desc | nodes.comment  # members, and the mark that numpydoc leaves
    if not any(part.astext() for part in content if not isinstance(part, other)):
        signature = content.parent[0]
        name = signature["ids"] or signature.astext()
        logger.warning("%s without a docstring: %s", kind, name, location=signature)


def setup(app: Sphinx) -> None:
    """Connect to the events of Sphinx."""
    app.connect("object-description-transform", warn_of_missing_docstring)
