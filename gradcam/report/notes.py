"""A reviewer's Markdown, made safe: raw HTML stays text, and nothing but a site or a mailbox is linked."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gradcam.extras import packages_of
from gradcam.text import paragraphs

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.tree import SyntaxTreeNode

SCHEMES = ("http", "https", "mailto")


def note_html(text: str) -> str:
    """The note as HTML that needs no further escaping; its headings are bold lines, not headings of the report."""
    return _parser().render(paragraphs(text))


def note_tree(text: str) -> list[dict[str, Any]]:
    """The note as nested `{kind, text, href, children}`, for writers that are no HTML."""
    parsed = _parser().parse(paragraphs(text))  # which says so if the package is missing
    from markdown_it.tree import SyntaxTreeNode

    return [_plain_node(node) for node in SyntaxTreeNode(parsed).children]


def _plain_node(node: SyntaxTreeNode) -> dict[str, Any]:
    plain: dict[str, Any] = {"kind": node.type}
    if node.type in ("text", "code_inline", "fence", "code_block"):
        plain["text"] = node.content
    if node.type == "link":
        plain["href"] = str(node.attrs.get("href", ""))
    if node.children:
        plain["children"] = [_plain_node(child) for child in node.children]
    return plain


def _leads_out(link: str) -> bool:
    try:
        return urlsplit(link.strip()).scheme.lower() in SCHEMES
    except ValueError:
        return False


@cache
def _parser() -> MarkdownIt:
    """Raises: OptionError where markdown-it-py is not installed."""
    with packages_of("report"):
        from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).disable("image")
    parser.add_render_rule("heading_open", lambda *_: "<p><strong>")
    parser.add_render_rule("heading_close", lambda *_: "</strong></p>\n")
    parser.validateLink = _leads_out  # pyright: ignore[reportAttributeAccessIssue]
    return parser
