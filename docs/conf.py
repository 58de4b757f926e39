"""Sphinx configuration: every table that can be generated is, before each build."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import generate_destinations
import generate_hazards
import generate_reference

from airflow_provider_looker_segment import __version__

generate_destinations.generate()
generate_hazards.generate()
generate_reference.generate()

project = "Looker to Segment"
author = "The authors of airflow-provider-looker-segment"
project_copyright = "Apache License 2.0"
version = release = __version__

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "generated"]
nitpicky = True
highlight_language = "text"

html_theme = "furo"
html_title = "Looker to Segment"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_copy_source = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#4a3aa8",
        "color-brand-content": "#4a3aa8",
    },
    "dark_css_variables": {
        "color-brand-primary": "#b7adff",
        "color-brand-content": "#b7adff",
    },
}
