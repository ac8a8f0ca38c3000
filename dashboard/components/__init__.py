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
5. A `st.file_uploader` names no `type`: by itself Streamlit keeps other files out, and says neither what was
   expected nor what to do. Whoever reads the file says it, through `show_errors()`.
6. Words that others wrote (file names, labels, errors) go through `escape_markdown()` before Markdown sees them.
7. `tests/dashboard` gets its defaults, each control and each error; `tests/browser/test_pages.py`
   what only a browser can tell.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
