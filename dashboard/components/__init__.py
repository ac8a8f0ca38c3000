"""The parts that pages are made of. Each picks and returns a plain value, or shows one; none knows a page.

To add a page:
1. Write `dashboard/app_pages/<name>.py`, about 50 lines: pick inputs in the sidebar with the `pick_…` components,
   in the order Photos, Models, Question, Look; compute with one function of `dashboard.results`; show the result.
   Open with `headline()`, put what can fail into `with show_errors():`. No segments or pills in the sidebar, no
   chips or primary buttons on the page: `.streamlit/config.toml` says why. Parts have a `st.header`.
2. Add its row to `PAGES` in `dashboard/Home.py`.
3. A new choice gets a `Key` in `dashboard/session.py`. `**linked(Key.X)` ties a widget to session and link, so that
   every page that draws it finds it as it was left. Where the options read otherwise on the page than in the link,
   use `open_link` and `write_link`, as `pick_models` does.
   Heatmaps are shown with `view_photo`, `view_panels` or `view_difference`, drawn with `session.settled_look()`,
   under one `view_tools`; what this returns goes to `session.keep_look()`, as `show_comparison` does.
4. What runs a model goes through `dashboard/results.py`, under a key made of contents: `library.classifier(id)`,
   `results.compared(…)`. Cached values serve every visitor and carry nothing of one.
5. Words that others wrote (file names, labels, errors) go through `escape_markdown()` before Markdown sees them.
6. `tests/dashboard` gets its defaults, each control and each error; `tests/browser/test_pages.py`
   what only a browser can tell.
"""

from __future__ import annotations

from dashboard.components.agreement import show_agreement
from dashboard.components.catalogue import offer_models, pick_entries, search_catalogue
from dashboard.components.competing_classes import is_pair, pick_competing_classes, show_competing_classes
from dashboard.components.custom_model import offer_custom_model, show_custom_models
from dashboard.components.data_classes import show_classes
from dashboard.components.data_filters import pick_shown
from dashboard.components.data_gallery import show_gallery
from dashboard.components.data_opened import opened_photo, show_opened
from dashboard.components.data_progress import show_progress
from dashboard.components.data_shortcuts import show_shortcuts
from dashboard.components.data_start import offer_start, pick_run
from dashboard.components.data_take import offer_to_take
from dashboard.components.data_verdicts import offer_verdict, pick_verdict
from dashboard.components.depths import pick_class, run_depths, show_depths
from dashboard.components.downloads import offer_downloads, offer_figures, offer_panels
from dashboard.components.failed import show_failed
from dashboard.components.layout import headline, section
from dashboard.components.let_in import let_in
from dashboard.components.look import pick_colours, pick_look
from dashboard.components.messages import escape_markdown, say_error, show_errors
from dashboard.components.methods import BESIDE, pick_methods, pick_wrapper, show_methods
from dashboard.components.models import pick_models
from dashboard.components.names import name_markdown
from dashboard.components.panel_dialog import offer_large
from dashboard.components.panels import show_comparison, show_facts, theme
from dashboard.components.photos import offer_next_photos, pick_photos
from dashboard.components.pins import pick_layers
from dashboard.components.progress import begin_comparison, run_comparison, waiting_models
from dashboard.components.report_build import offer_report
from dashboard.components.report_changes import show_changes
from dashboard.components.report_check import replay_report
from dashboard.components.report_continue import continue_report
from dashboard.components.report_read import open_report, show_report
from dashboard.components.report_write import write_notes, write_verdict
from dashboard.components.request import Request, pick_classes, pick_fit, pick_request
from dashboard.components.review_list import list_reviews, offer_review, opened_review, pick_project, say_who
from dashboard.components.review_open import show_review
from dashboard.components.signing import offer_signature
from dashboard.components.single_choice import pick_one
from dashboard.components.steps import (
    panel_of,
    show_classic,
    show_code,
    show_maps,
    show_other_line,
    show_photo,
    show_question,
    show_sum,
    show_weights,
)
from dashboard.components.verdicts import discuss, judge, show_verdicts
from dashboard.components.viewer import view_difference, view_panels, view_photo, view_tools

__all__ = [
    "BESIDE",
    "Request",
    "begin_comparison",
    "continue_report",
    "discuss",
    "escape_markdown",
    "headline",
    "is_pair",
    "judge",
    "let_in",
    "list_reviews",
    "name_markdown",
    "offer_custom_model",
    "offer_downloads",
    "offer_figures",
    "offer_large",
    "offer_models",
    "offer_next_photos",
    "offer_panels",
    "offer_report",
    "offer_review",
    "offer_signature",
    "offer_start",
    "offer_to_take",
    "offer_verdict",
    "open_report",
    "opened_photo",
    "opened_review",
    "panel_of",
    "pick_class",
    "pick_classes",
    "pick_colours",
    "pick_competing_classes",
    "pick_entries",
    "pick_fit",
    "pick_layers",
    "pick_look",
    "pick_methods",
    "pick_models",
    "pick_one",
    "pick_photos",
    "pick_project",
    "pick_request",
    "pick_run",
    "pick_shown",
    "pick_verdict",
    "pick_wrapper",
    "replay_report",
    "run_comparison",
    "run_depths",
    "say_error",
    "say_who",
    "search_catalogue",
    "section",
    "show_agreement",
    "show_changes",
    "show_classes",
    "show_classic",
    "show_code",
    "show_comparison",
    "show_competing_classes",
    "show_custom_models",
    "show_depths",
    "show_errors",
    "show_facts",
    "show_failed",
    "show_gallery",
    "show_maps",
    "show_methods",
    "show_opened",
    "show_other_line",
    "show_photo",
    "show_progress",
    "show_question",
    "show_report",
    "show_review",
    "show_shortcuts",
    "show_sum",
    "show_verdicts",
    "show_weights",
    "theme",
    "view_difference",
    "view_panels",
    "view_photo",
    "view_tools",
    "waiting_models",
    "write_notes",
    "write_verdict",
]
