"""Sphinx configuration. Build with `make docs`; nothing is fetched while building, and nothing by the built pages."""

import re
import sys
import zlib
from importlib.metadata import version as installed_version
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.ext.autosummary import autosummary_toc

from molspectra import spectra

DOCS = Path(__file__).parent
BUILT = DOCS / "_build"
sys.path.insert(0, str(DOCS.parent))

project = "molspectra"
author = "The molspectra authors"
copyright = "2026, The molspectra authors"
version = release = installed_version("molspectra")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates", "gallery", "inventories"]
templates_path = ["_templates"]
html_theme = "furo"
html_title = f"molspectra {release}"
html_static_path = ["_static"]
html_css_files = ["narrow.css"]
html_search_scorer = str(DOCS / "_static" / "scorer.js")
html_math_renderer = "mathml"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Pages of docs/gallery are executed and written to docs/notebooks. A page that has not changed is not executed again.
sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "notebooks",
    "filename_pattern": ".*",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "copyfile_regex": r".*\.(csv|jdx|txt)",
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
}
# of the settings above, which hold functions once they are read
suppress_warnings = ["config.cache"]

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
myst_update_mathjax = False  # equations are MathML

default_role = "code"
# The page of a module lists the names that dir() gives, those of its __all__. Each of them has a page of its own.
autosummary_ignore_module_all = False
autosummary_imported_members = True
autosummary_context = {"elsewhere": {"molspectra.data": spectra.__all__}}
autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "special-members": "__call__",
    "exclude-members": "extra_repr",
    "no-value": True,
}
napoleon_use_ivar = True
napoleon_use_rtype = False
python_display_short_literal_types = True
python_maximum_signature_line_length = 100


def read_as_in_a_terminal(app, what, name, obj, options, lines):
    """Let Sphinx show docstrings as `help()` does: |x| is a norm, an indented block after a colon keeps its lines."""
    for number, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            lines[number] = re.sub(
                r"(`+[^`]*`+)|\|", lambda match: match[1] or r"\|", line
            )
    for number in range(len(lines) - 2):
        line, gap, block = lines[number : number + 3]
        deeper = len(block) - len(block.lstrip()) > len(line) - len(line.lstrip())
        is_text = not block.lstrip().startswith((">>>", "* ", "- ", ".. "))
        if re.search(r"[^:]:$", line) and not gap.strip() and deeper and is_text:
            lines[number] += ":"
            end = number + 2
            while end < len(lines) and (
                not lines[end].strip() or lines[end].startswith(block[:1] * 4)
            ):
                lines[end] = lines[end].replace(r"\|", "|")
                end += 1


def inline_mathml(translator, node):
    """Write an equation within a line as MathML, which browsers show without a program or a network."""
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def display_mathml(translator, node):
    """Write an equation of its own as MathML."""
    translator.body.append(
        f'<div class="math">{convert(node.astext(), display="block")}</div>\n'
    )
    raise nodes.SkipNode


def leave_objects_out_of_the_sidebar(app, doctree):
    """Remove the tables of contents of modules: every page would hold the names of all objects otherwise."""
    if app.env.docname.startswith("reference/"):
        for toc in list(doctree.findall(autosummary_toc)):
            toc.parent.remove(toc)


def compressed_inventory(path):
    """Write the names of another project, listed in docs/inventories, as intersphinx reads them; return the file.

    A line is a name, its role and its address, in which $ is the name. Names as the modules of a package spell them are
    listed too, since autodoc takes them from there and the projects' own inventories lack them.
    """
    lines = [
        line.split()
        for line in path.read_text(encoding="utf-8").splitlines()
        if line and line[0] != "#"
    ]
    entries = "".join(
        f"{name} py:{role} 1 {address} -\n" for name, role, address in lines
    )
    header = f"# Sphinx inventory version 2\n# Project: {path.stem}\n# Version: \n"
    header += "# The remainder of this file is compressed using zlib.\n"
    inventory = BUILT / f"{path.stem}.inv"
    inventory.write_bytes(header.encode() + zlib.compress(entries.encode()))
    return str(inventory)


def write_zoo(app):
    """Write the tables of known checkpoints, which docs/zoo.md includes."""
    from tools.zoo import tables

    (BUILT / "zoo.txt").write_text(tables(), encoding="utf-8")


BUILT.mkdir(exist_ok=True)
intersphinx_mapping = {
    name: (address, compressed_inventory(DOCS / "inventories" / f"{name}.txt"))
    for name, address in {
        "torch": "https://docs.pytorch.org/docs/stable/",
        "pyg": "https://pytorch-geometric.readthedocs.io/en/latest/",
        "e3nn": "https://docs.e3nn.org/en/latest/",
    }.items()
}


def setup(app):
    app.add_html_math_renderer("mathml", (inline_mathml, None), (display_mathml, None))
    app.connect("builder-inited", write_zoo)
    # before the tables of contents are read
    app.connect("doctree-read", leave_objects_out_of_the_sidebar, priority=400)
    # before napoleon's
    app.connect("autodoc-process-docstring", read_as_in_a_terminal, priority=400)
