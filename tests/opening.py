"""A page of the dashboard as a link opens it, for tests without a browser."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def open_page(name: str, **link: str | list[str]) -> AppTest:
    """Run a page; an underscore in a name of the link stands for a hyphen."""
    page = AppTest.from_file("../dashboard/Home.py", default_timeout=200)
    page.switch_page(f"app_pages/{name}.py")
    for key, value in link.items():
        page.query_params[key.replace("_", "-")] = value
    page.run()
    assert not page.exception
    return page
