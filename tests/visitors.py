"""Many visitors at once, without a browser: each speaks with the server as the dashboard's page does.

`python -m tests.visitors --starts 10` opens the dashboard by several visitors at once on fresh servers, and prints
what each start came to.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlparse

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates
from websockets.sync.client import ClientConnection, connect

from tests.server import dashboard

PATIENCE = 180.0
"""Seconds for one run of a page on a busy machine."""

Link = dict[str, str | list[str]]


@dataclass
class Seen:
    """What one run of a page showed."""

    elements: list[Element] = field(default_factory=list)

    def of(self, kind: str) -> list[Element]:
        return [element for element in self.elements if element.WhichOneof("type") == kind]

    @property
    def crashed(self) -> str | None:
        """What Streamlit shows for an uncaught exception; None where there was none."""
        return next((f"{one.exception.type}: {one.exception.message}" for one in self.of("exception")), None)

    @property
    def sentences(self) -> list[str]:
        """The errors on the page, as they are written in Markdown."""
        return [one.alert.body for one in self.of("alert")]

    @property
    def scenes(self) -> list[dict[str, Any]]:
        """What every viewer shows."""
        shown = [json.loads(one.bidi_component.json or "{}") for one in self.of("bidi_component")]
        return [scene for scene in shown if "panels" in scene]

    @property
    def titles(self) -> list[str]:
        """The model of every heatmap in the viewers, and of the difference of two."""
        return [panel["title"] for scene in self.scenes for panel in scene["panels"]]

    def widget(self, label: str) -> str:
        """The id of the widget with this label."""
        return next(
            getattr(element, kind).id
            for element in self.elements
            if (kind := element.WhichOneof("type")) and getattr(getattr(element, kind), "label", None) == label
        )


class Visitor:
    """One session. Open with `visiting`."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._widgets = WidgetStates()
        self._link, self._page = "", ""

    def open(self, page: str = "", link: Link | None = None) -> Seen:
        """Run a page as a link opens it, to its end."""
        self._page, self._link = page, urlencode(link or {}, doseq=True)
        return self._run()

    def set(self, state: WidgetState) -> Seen:
        """Change a widget and run the page again."""
        others = [one for one in self._widgets.widgets if one.id != state.id]
        self._widgets = WidgetStates(widgets=[*others, state])
        return self._run()

    def choose(self, seen: Seen, label: str, *options: str) -> Seen:
        """Take these options, and no others, of a list with this label."""
        state = WidgetState(id=seen.widget(label))
        state.string_array_value.data.extend(options)
        return self.set(state)

    def _run(self) -> Seen:
        said = BackMsg()
        said.rerun_script.query_string = self._link
        said.rerun_script.page_name = self._page
        said.rerun_script.widget_states.CopyFrom(self._widgets)
        self._connection.send(said.SerializeToString())
        seen = Seen()
        while True:
            message = ForwardMsg.FromString(self._connection.recv(PATIENCE, decode=False))
            match message.WhichOneof("type"):
                case "new_session":
                    seen = Seen()
                case "delta" if message.delta.HasField("new_element"):
                    seen.elements.append(message.delta.new_element)
                case "script_finished" if message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
                    return seen


@contextmanager
def visiting(address: str) -> Iterator[Visitor]:
    """A new visitor of the dashboard at this address."""
    host = urlparse(address).netloc
    with connect(
        f"ws://{host}/_stcore/stream",
        origin=address,  # type: ignore[arg-type] (a NewType of str)
        subprotocols=["streamlit"],  # type: ignore[list-item]
        open_timeout=PATIENCE,
        max_size=None,
        proxy=None,
    ) as connection:
        yield Visitor(connection)


def at_once(address: str, links: list[tuple[str, Link]]) -> list[Seen]:
    """What as many visitors as links see, who all come at the same time."""

    def visit(asked: tuple[str, Link]) -> Seen:
        with visiting(address) as visitor:
            return visitor.open(*asked)

    with ThreadPoolExecutor(len(links)) as pool:
        return list(pool.map(visit, links))


def start(visitors: int) -> list[str]:
    """What went wrong for visitors who come at once, as the first ones, to a fresh server.

    They open the same page: while one draws its heatmaps, another imports what drawing looks for.
    """
    try:
        with dashboard() as address:
            return wrong(at_once(address, [("compare_models", {})] * visitors))
    except AssertionError as error:  # the server's log holds a traceback
        return [str(error).strip().rpartition("\n")[2]]


def wrong(seen: list[Seen]) -> list[str]:
    """What is wrong with the heatmaps that visitors see: a crash, or a sentence where a heatmap should be."""
    return [one.crashed or f"no heatmap but {one.sentences}" for one in seen if one.crashed or not one.titles]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.visitors", description=__doc__)
    parser.add_argument("--starts", type=int, default=10, help="fresh servers [10]")
    parser.add_argument("--visitors", type=int, default=2, help="who come at once [2]")
    options = parser.parse_args()
    failed = 0
    for number in range(options.starts):
        found = start(options.visitors)
        failed += bool(found)
        print(f"start {number + 1}: {'; '.join(found) or 'right'}", flush=True)
    print(f"{options.starts - failed} of {options.starts} starts right, {options.visitors} visitors at once")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
