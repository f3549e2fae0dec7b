"""How the pages and the docstrings become a site.

    sphinx-build -W -c docs . build/docs

The whole tree is the source, of which the pages below are read: so links from page to page
and from a page to the code lead to the same in the site as in the files.
"""

from __future__ import annotations

from inspect import Parameter, Signature, signature

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


def names_operands(op: Op) -> bool:
    """Whether Python can tell the op's operands: not where all calls are served in C."""
    served = getattr(op, "__wrapped__", None)
    return served is not None and "args" not in signature(served).parameters


# For the others, their declarations tell.
for op in (*vars(autobatch).values(), *vars(autobatch.dynet).values()):
    if isinstance(op, Op) and not names_operands(op):
        operands = [Parameter(x, Parameter.POSITIONAL_ONLY) for x in REGISTRY[op.__name__].inputs]
        op.__signature__ = Signature(operands, return_annotation="Expression")
