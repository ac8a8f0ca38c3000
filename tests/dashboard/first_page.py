"""What is done to the first page, and read from it."""

from __future__ import annotations

import io
import json
from html import unescape

from PIL import Image
from streamlit.testing.v1 import AppTest

from dashboard.library import DEFAULT_MODELS as THREE_MODELS

LITE0, LITE1, LITE2 = THREE_MODELS


def one_model(page: AppTest) -> AppTest:
    """The page with one model only, which is quicker."""
    page.session_state["models"] = [LITE0]
    return page


def scenes(page: AppTest) -> list[dict]:
    """What every viewer on the page was given, see `gradcam.draw.viewer`."""
    viewers = [found for found in page.get("bidi_component") if found.proto.component_name == "gradcam_viewer"]
    return [scene for viewer in viewers if "photo" in (scene := json.loads(viewer.proto.json))]


def toolbar(page: AppTest) -> dict:
    """What the page's one toolbar was given."""
    viewers = [found for found in page.get("bidi_component") if found.proto.component_name == "gradcam_viewer"]
    (scene,) = [scene for viewer in viewers if "photo" not in (scene := json.loads(viewer.proto.json))]
    return scene


def box(trace: dict) -> tuple[float, ...]:
    """Left, top, right, bottom of a heatmap of Plotly, in photo pixels."""
    rows, columns = map(int, trace["z"]["shape"].split(","))
    left, top = trace["x0"] - trace["dx"] / 2, trace["y0"] - trace["dy"] / 2
    return left, top, left + columns * trace["dx"], top + rows * trace["dy"]


def heatmaps(page: AppTest) -> list[str]:
    """Model and target of every panel that has a map, and is no difference of two."""
    panels = [
        panel
        for scene in scenes(page)
        for panel in scene["panels"]
        if any("name" in trace for trace in panel["plot"]["data"]) and "diverging" not in scene
    ]
    return [f"{panel['title']}: {panel['subtitle'].rpartition(' · ')[0]}" for panel in panels]


def reasons(page: AppTest) -> list[str]:
    """Why panels have no map."""
    lines = [found.proto.body for found in page.get("html") if 'class="failed"' in found.proto.body]
    told = [unescape(line.partition(" has no map: ")[2].removesuffix("</summary></details>")) for line in lines]
    return [*told, *(panel["reason"] for scene in scenes(page) for panel in scene["panels"] if panel["reason"])]


def words(page: AppTest) -> str:
    said = [element.value for kind in ("markdown", "caption", "error") for element in page.get(kind)]
    return "\n".join([*said, *(element.proto.body for element in page.get("html"))])


def png(width: int = 64, height: int = 48, colour: str = "teal") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(out, "PNG")
    return out.getvalue()


def upload(page: AppTest, name: str, data: bytes, turn: int = 0) -> AppTest:
    return page.file_uploader(key=f"_uploader-{turn}").upload(name, data, "image/png").run()
