"""Sphinx configuration. Build with `make docs`; nothing is fetched while building."""

import re
from importlib.metadata import version as installed_version

project = "molspectra"
author = "The molspectra authors"
copyright = "2026, The molspectra authors"
version = release = installed_version("molspectra")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "gallery"]
html_theme = "furo"
html_title = f"molspectra {release}"

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
suppress_warnings = ["config.cache"]  # of the settings above, which hold functions once they are read

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

default_role = "code"
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
            lines[number] = re.sub(r"(`+[^`]*`+)|\|", lambda match: match[1] or r"\|", line)
    for number in range(len(lines) - 2):
        line, gap, block = lines[number : number + 3]
        deeper = len(block) - len(block.lstrip()) > len(line) - len(line.lstrip())
        is_text = not block.lstrip().startswith((">>>", "* ", "- ", ".. "))
        if re.search(r"[^:]:$", line) and not gap.strip() and deeper and is_text:
            lines[number] += ":"
            end = number + 2
            while end < len(lines) and (not lines[end].strip() or lines[end].startswith(block[:1] * 4)):
                lines[end] = lines[end].replace(r"\|", "|")
                end += 1


def setup(app):
    app.connect("autodoc-process-docstring", read_as_in_a_terminal, priority=400)  # before napoleon's
