"""Sphinx configuration of the documentation site; ``make docs`` builds it.

``scripts/build_docs.py`` first puts all pages into one folder: this one, the notebooks, and the generated reference.
The paths here are relative to that folder.
"""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

project = "PDK Lab"
author = "the PDK Lab contributors"
project_copyright = "the PDK Lab contributors, MIT license"
release = version = importlib.metadata.version("pdk-lab")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
root_doc = "docs/index"

# Notebooks show the outputs of the newest run; building the site runs nothing.
nb_execution_mode = "off"
nb_merge_streams = True
# The site makes no requests to others: no widgets from a CDN, and a theme without web fonts.
nb_ipywidgets_js: dict[str, dict[str, str]] = {}
myst_enable_extensions = ["deflist", "fieldlist", "attrs_block"]
# Links to headings are as on GitHub.
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# Attributes are in the docstrings of the classes.
napoleon_use_ivar = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_include_init_with_doc = False

html_theme = "furo"
html_title = "PDK Lab"
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "top_of_page_buttons": [],
    "light_css_variables": {"color-brand-primary": "#00795a", "color-brand-content": "#00674d"},
    "dark_css_variables": {"color-brand-primary": "#4fc3a1", "color-brand-content": "#4fc3a1"},
}
html_static_path = ["static"]
html_css_files = ["site.css"]
# Prompts and the output of commands aren't copied.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
