"""Sphinx configuration. `make docs` builds with warnings as errors."""

import inspect
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

from traitlets import HasTraits

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "multiplespawner"
author = "The multiplespawner developers"
version = release = installed_version("multiplespawner-core")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "traittable",
]
exclude_patterns = ["_build"]
default_role = "code"
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"multiplespawner {release}"


def constructor(_app, what, _name, obj, *_):
    """traitlets' metaclass hides what these classes take."""
    if what != "class" or not issubclass(obj, HasTraits):
        return None
    parameters = list(inspect.signature(obj.__init__).parameters.values())[1:]
    bare = [parameter.replace(annotation=parameter.empty) for parameter in parameters]
    return str(inspect.Signature(bare)), None


def keep_colon(_app, what, *rest):
    """Napoleon takes what stands before a colon in an attribute's first line for its type."""
    lines = rest[-1]
    if what in ("attribute", "data") and ": " in lines[0]:
        lines[:1] = lines[0].replace(": ", ":\n", 1).split("\n")


def setup(app):
    app.connect("autodoc-process-signature", constructor)
    app.connect("autodoc-process-docstring", keep_colon, priority=400)
