"""The directive ``traits``: the configurable traits of a class, from their own help texts.

Its body names the class as ``package.module:Class``; the option ``section`` names the section of
``jupyterhub_config.py`` in which the traits are set, where that is not the name of the class.
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import traitlist
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Traits(SphinxDirective):
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {"section": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        cls = traitlist.load(self.content[0].strip())
        self.env.note_dependency(inspect.getsourcefile(cls))
        section = self.options.get("section", cls.__name__)
        return self.parse_text_to_nodes(traitlist.markdown(cls, section))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("traits", Traits)
    return {"parallel_read_safe": True}
