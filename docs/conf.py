"""How the pages and the docstrings become a site.

    sphinx-build -W -c docs . build/docs

The whole tree is the source, of which the pages below are read: so links from page to page
and from a page to the code lead to the same in the site as in the files.
"""

from __future__ import annotations

from inspect import Parameter, Signature

import autobatch.dynet
from autobatch._core import Op
from autobatch.ops import REGISTRY

project = "autobatch"
release = version = autobatch.__version__
project_copyright = "the autobatch developers"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = ["docs/**", "kernels/README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
html_theme = "furo"
html_title = f"{project} {release}"

myst_heading_anchors = 3
default_role = "py:obj"  # `name` in a docstring leads to the name, where there is one
add_module_names = False
autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_use_ivar = True

# Ops that are called in C have no signature that Python could tell: their declarations have.
for called in (*vars(autobatch).values(), *vars(autobatch.dynet).values()):
    if isinstance(called, Op) and not hasattr(called, "__wrapped__"):
        operands = [
            Parameter(x, Parameter.POSITIONAL_ONLY) for x in REGISTRY[called.__name__].inputs
        ]
        called.__signature__ = Signature(operands, return_annotation="Expression")
