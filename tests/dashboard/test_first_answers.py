"""What a page answers first: its outline, while everything else is still on its way."""

from __future__ import annotations

import json

from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from dashboard.first_answers import PARTS, PLOTLY, PLOTLY_ADDRESS, FirstAnswers

PAGES = {"": ("Compare", "Do they agree?"), "layers": ("Layers & <depths>", "At which depth?")}


def test_a_page_answers_with_its_title_and_question_and_nothing_else_is_touched() -> None:
    browser = TestClient(FirstAnswers(PlainTextResponse("the rest"), PAGES))
    for path, title, question in [
        ("/", "Compare", "Do they agree?"),
        ("/layers", "Layers &amp; &lt;depths&gt;", "At"),
    ]:
        answer = browser.get(path)
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.headers["cache-control"] == "no-cache"
        assert f"<h1>{title}</h1><p>{question}" in answer.text
        assert '<div id="root"></div><style>' in answer.text  # what Streamlit's scripts fill, and the outline
        assert '<script type="module"' in answer.text
        assert '[data-testid^="stSkeleton"]' in answer.text  # Streamlit's own outlines stand still
        assert f'script.src = "./{PLOTLY_ADDRESS}"' in answer.text
        parts = json.loads(answer.text.partition("for (const part of ")[2].partition(")")[0])
        assert len(parts) == len(PARTS)  # each file is there, once
    script = browser.get(f"/{PLOTLY_ADDRESS}")
    assert PLOTLY in PLOTLY_ADDRESS
    assert "plotly.js" in script.text[:200]
    assert "immutable" in script.headers["cache-control"]
    for asked in (browser.get("/static/layers"), browser.get("/layers/x"), browser.post("/layers")):
        assert asked.text == "the rest"
