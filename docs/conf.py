"""
How the pages are built; every warning is an error.
"""

from cutover.version import VERSION

project = "cutover"
author = "The cutover authors"
release = VERSION
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "cutover"
nitpicky = False
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
napoleon_custom_sections = [("Args of all of them", "params_style")]  # of `Flow`, for its methods
