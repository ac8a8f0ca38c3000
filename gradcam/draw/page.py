"""A comparison as one HTML file that opens offline: figures, predictions, layers and failures.

Plotly's script is inside, once. The page's policy allows only what the page itself carries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from string import Template

from gradcam.comparison import Comparison
from gradcam.draw import captions, render
from gradcam.draw.figures import plotly_script
from gradcam.draw.viewer import SCRIPT, STYLES, panels_scene, scene_json, tools_scene
from gradcam.methods import known_method
from gradcam.scaling import FLOOR, NO_EVIDENCE
from gradcam.text import breakable, count, dimensions, duration, listed, percent, unbroken
from gradcam.types import Failure, Heatmap, Panel, Photo, ScaledMap, Style


def comparison_html(comparison: Comparison, style: Style | None = None) -> str:
    """The comparison as one HTML file that opens offline: figures, predictions, layers and failures.

    Raises: OptionError where the style is outside its choices, MapError where a map is not finite.
    """
    return "".join(html_in_pieces(comparison, style))


@dataclass(frozen=True)
class Remarks:
    """What somebody says of a comparison; all but the title is HTML that needs no further escaping.

    verdict: of the whole. notes: of each photo, in the comparison's order.
    """

    title: str = "What the models look at"
    verdict: str = ""
    notes: Sequence[str] = field(default=())


def html_in_pieces(
    comparison: Comparison, style: Style | None = None, remarks: Remarks | None = None
) -> Iterator[str]:
    """The page of `comparison_html`, a photo at a time, with what somebody says of it.

    Raises: what `comparison_html` raises, before the first piece.
    """
    style, remarks = style or Style(), remarks or Remarks()
    render.check_style(style)
    scaled = comparison.scaled(style)
    counts = f"{count(len(comparison.photos), 'photo')}, {count(len(comparison.models), 'model')}"
    yield _START.substitute(
        styles=STYLES,
        methods=escape(listed(list(comparison.methods))),
        cited=escape(_cited(comparison.methods)),
        lead=escape(f"{counts}. Asked: {_request_text(comparison)}."),
        tools=scene_json(tools_scene(comparison.heatmaps, style, scaled)),
        title=escape(remarks.title),
        verdict=f"<section class='remarks'>\n{remarks.verdict}\n</section>" if remarks.verdict else "",
    )
    notes = remarks.notes or [""] * len(comparison.photos)
    for number, photo in enumerate(comparison.photos, start=1):
        yield _section(comparison, photo, number, scaled, style, notes[number - 1])
    yield _END.substitute(plotly=plotly_script(), script=SCRIPT)


def _section(
    comparison: Comparison,
    photo: Photo,
    number: int,
    scaled: Mapping[Heatmap, ScaledMap],
    style: Style,
    note: str,
) -> str:
    """One photo: what somebody says of it, its heatmaps, and the table of what each model said.

    Models without any map are in the table alone.
    """
    panels_of = dict(
        zip(comparison.models, zip(*(row.panels for row in comparison.rows(photo)), strict=True), strict=True)
    )
    mapped = [model for model, panels in panels_of.items() if any(isinstance(panel, Heatmap) for panel in panels)]
    failed: dict[tuple[str, ...], list[Panel]] = {}
    for model, panels in panels_of.items():
        if model not in mapped:
            reasons = tuple(dict.fromkeys(panel.reason for panel in panels if isinstance(panel, Failure)))
            failed.setdefault(reasons, []).append(panels[0])
    rows = [_model_row(panels_of[model]) for model in mapped]
    rows += [_failed_row(panels, reasons) for reasons, panels in failed.items()]
    return _SECTION.substitute(
        name=escape(photo.name),
        label=escape(f"photo {number}, {photo.name}"),
        size=f"{dimensions(*reversed(photo.size))} pixels",
        digest=escape(photo.sha256[:12]),
        note=f"<div class='remarks'>\n{note}\n</div>" if note else "",
        heatmaps=_heatmaps(comparison.with_models(mapped), photo, scaled, style) if mapped else "",
        rows="\n".join(rows),
    )


def _heatmaps(comparison: Comparison, photo: Photo, scaled: Mapping[Heatmap, ScaledMap], style: Style) -> str:
    """The viewer of the requests that any model has a map of."""
    rows = [row.panels for row in comparison.rows(photo)]
    panels = [panel for row in rows if any(isinstance(one, Heatmap) for one in row) for panel in row]
    columns = len(comparison.models) if len(comparison.models) > 1 else len(panels)
    scene = panels_scene(panels, style, scaled=scaled, columns=columns) | {"tools": False, "legend": False}
    del scene["colormaps"]  # which the page has once, with its tools
    return _HEATMAPS.substitute(scene=scene_json(scene))


def _model_row(panels: Sequence[Panel]) -> str:
    """The row of a model with maps: predictions, layer, grid with time, and why maps are missing."""
    heatmaps = [panel for panel in panels if isinstance(panel, Heatmap)]
    explanation = heatmaps[0].explanation
    where = "".join(
        f"<code>{escape(layer.name)}</code><br><small>{escape(layer.rule)}</small>"
        for layer in dict.fromkeys(panel.explanation.layer for panel in heatmaps)
        if layer is not None
    )
    grids = dict.fromkeys(dimensions(*panel.explanation.grid) for panel in heatmaps)
    tops = "".join(
        f"<li><meter min='0' max='1' value='{share:.4f}' aria-hidden='true'></meter>"
        f"<b>{unbroken(percent(share))}</b> <span>{escape(label)}</span></li>"
        for label, share in explanation.top()
    )
    by_method = len({panel.method for panel in panels}) > 1
    maps = "".join(f"<li>{_map_caption(panel, by_method)}</li>" for panel in heatmaps)
    return (
        f"<tr><th scope='row'>{_name(heatmaps[0])}</th><td><ol>{tops}</ol></td><td><ul>{maps}</ul>"
        f"{_failures(panels, by_method)}</td><td>{where}</td>"
        f"<td class='number'>{'<br>'.join([*grids, duration(explanation.seconds)])}</td></tr>"
    )


def _failures(panels: Sequence[Panel], by_method: bool) -> str:
    """What a model with maps has no map of, and why."""
    asked: dict[str, list[str]] = {}
    for panel in panels:
        if isinstance(panel, Failure):
            request = captions.request_caption(panel.target)
            asked.setdefault(panel.reason, []).append(f"{request} · {panel.method}" if by_method else request)
    return "".join(
        f"<p class='failed'>{escape(f'{listed(requests)}: no map. {reason}')}</p>"
        for reason, requests in asked.items()
    )


def _failed_row(panels: Sequence[Panel], reasons: Sequence[str]) -> str:
    """The row of models that have no map for the same reasons. panels: one of each model."""
    said = "".join(f"<p class='failed'>{escape(reason)}</p>" for reason in reasons)
    return f"<tr><th scope='row'>{listed(list(map(_name, panels)))}</th><td colspan='4'>{said}</td></tr>"


def _name(panel: Panel) -> str:
    """The model's name as HTML that may be broken at its joints."""
    return breakable(escape(captions.model_caption(panel)))


def _map_caption(panel: Heatmap, by_method: bool) -> str:
    peak = f"maximum {panel.map.max():.3g}" if panel.map.max() >= FLOOR else NO_EVIDENCE
    name = captions.target_caption(panel)
    return escape(unbroken(f"{name} · {panel.method}: {peak}" if by_method else f"{name}: {peak}"))


def _request_text(comparison: Comparison) -> str:
    return ", ".join(captions.request_caption(target) for target in comparison.targets)


def _cited(methods: Sequence[str]) -> str:
    """` (Selvaraju et al. 2017, eq. 1 and 2)`: where the methods were published; empty where nobody knows."""
    citations = [row.citation for row in map(known_method, methods) if row]
    return f" ({'; '.join(citations)})" if citations else ""


_SECTION = Template("""
<section>
<h2>$name</h2>
<p class="quiet">$size · SHA-256 $digest…</p>
$note
$heatmaps
<div class="scroll" tabindex="0" role="region" aria-label="What the models say of $label"><table>
<thead><tr><th scope="col">Model</th><th scope="col">Predictions</th><th scope="col">Heatmaps</th>
<th scope="col">Layer and why</th><th scope="col">Grid</th></tr></thead>
<tbody>
$rows
</tbody></table></div>
</section>""")

_HEATMAPS = Template("""<div class="heatmaps"><script type="application/json">$scene</script>
<noscript>The heatmaps need JavaScript. The table below holds their numbers.</noscript></div>""")

_START = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; \
style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark;
  --ink: #1f2328; --quiet: #59606a; --paper: #fff; --line: #d5dae0; --bad: #9a3412; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #f0f3f6; --quiet: #a9b1bb; --paper: #14181d; --line: #363d47; --bad: #fdba74; }
}
body { margin: 0 auto; max-width: 2300px; padding: 2rem clamp(1rem, 3vw, 2.5rem); background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.3rem; margin: 0; }
section { border-top: 1px solid var(--line); margin-top: 2rem; padding-top: 1.5rem; }
section .heatmaps { margin: 1.25rem 0 1.75rem; }
.look { margin-top: 1.5rem; }
.look + section { margin-top: 0; border: 0; }
@media (min-width: 641px) and (min-height: 700px) { .look { position: sticky; top: 0; z-index: 2; } }
@media print { .look { position: static; } }
.quiet, small { color: var(--quiet); } .quiet { margin: 0; }
header p, dd, .remarks > :is(p, ul) { max-width: 80ch; }
.scroll { overflow-x: auto; }
.remarks .note { margin: .5rem 0; padding: .1rem 1rem; border-left: 3px solid var(--line); max-width: 46rem; }
.remarks ul { list-style: disc; padding-left: 1.3rem; }
.remarks h2 + p { margin: .25rem 0 .75rem; }
.remarks caption { padding: 1.1rem 0 .3rem; text-align: left; font-weight: 600; }
.badge { display: inline-block; padding: .05rem .6rem; border: 1px solid currentColor; border-radius: 99px;
  font-size: .85rem; font-weight: 600; }
.failed { color: var(--bad); margin: .25rem 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; min-width: 54rem; font-size: .9rem; overflow-wrap: normal; }
th, td { border-top: 1px solid var(--line); padding: .6rem .9rem .6rem 0; text-align: left; vertical-align: top; }
thead th { border: 0; color: var(--quiet); font-weight: 600; }
tbody th { min-width: 12rem; max-width: 18rem; overflow-wrap: anywhere; }
.scroll :is(td, th):first-child { position: sticky; left: 0; z-index: 1; background: var(--paper); }
.number, li b { white-space: nowrap; }
ol, ul { list-style: none; margin: 0; padding: 0; }
ol { min-width: 17.5rem; }
ol li { display: grid; grid-template-columns: 5rem 4.6em 1fr; gap: .5rem; align-items: baseline; }
meter { height: .7rem; width: 5rem; }
dl { display: grid; gap: .25rem 1rem; grid-template-columns: max-content 1fr; margin: 1rem 0 0; }
dt { font-weight: 600; } dd { margin: 0; }
@media (max-width: 40rem) {
  dl { grid-template-columns: 1fr; } dd { margin-bottom: .5rem; }
  table { min-width: 44rem; } tbody th { min-width: 7rem; max-width: 38vw; }
  ol { min-width: 11.5rem; } ol li { grid-template-columns: 4.6em 1fr; } meter { display: none; }
}
$styles
</style>
</head>
<body>
<header>
<h1>$title</h1>
<p class="quiet">$methods. $lead</p>
<dl>
<dt>Heat</dt><dd>Where a layer's features raise the score of the named class$cited.
It shows what the score rests on, not whether the answer is right.</dd>
</dl>
</header>
<main>
$verdict
<div class="heatmaps look"><script type="application/json">$tools</script></div>
""")

_END = Template("""
</main>
<script>$plotly</script>
<script type="module">
$script
const [tools, ...photos] = document.querySelectorAll(".heatmaps");
const sceneIn = (place) => JSON.parse(place.querySelector("script").textContent);
const { colormaps } = mount(tools, sceneIn(tools)).scene;
for (const place of photos) mount(place, { colormaps, ...sceneIn(place) });
</script>
</body>
</html>
""")
