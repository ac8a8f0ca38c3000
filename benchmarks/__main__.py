"""`python -m benchmarks`: measure, then write the tables as Markdown and JSON. Never part of the tests."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks import folding, methods, runs, shortcuts, start
from benchmarks.contenders import CONTENDERS, MODELS, build
from benchmarks.measure import (
    ALLOCATORS,
    Case,
    cases,
    imports,
    peak_here,
    peak_memory,
    startup,
    throughput,
    throughput_here,
    times,
)
from gradcam import resolve_target_layer

THROUGHPUT = ["bundled/tf_efficientnet_lite0", "torchvision/resnet50 (untrained, seed 0)"]
README = Path(__file__).parents[1] / "README.md"
MARKS = "<!-- benchmarks -->", "<!-- /benchmarks -->"
OTHERS = {"runs": runs.main, "folding": folding.main, "shortcuts": shortcuts.main, "methods": methods.main}
PEERS = [name for name in CONTENDERS if name != "bare forward"]


def main() -> None:
    word, rest = next(iter(sys.argv[1:]), ""), sys.argv[2:]
    if word == "start":
        start.main(rest)
        return
    if word in OTHERS:
        OTHERS[word](rest, machine())
        return
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--classes", nargs="+", type=int, default=[1, 5, 20])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--patience", type=float, default=6.0, help="seconds after which a contender is not called again"
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--readme", action="store_true", help="put the short table into README too")
    parser.add_argument("--peak", help=argparse.SUPPRESS)  # one memory measurement, in a process of its own
    parser.add_argument("--throughput", help=argparse.SUPPRESS)  # likewise
    options = parser.parse_args()
    if options.peak:
        print(peak_here(options.peak))
        return
    if options.throughput:
        print(json.dumps(throughput_here(options.throughput)))
        return
    rows = [
        measure(case, options.rounds, options.patience)
        for case in tqdm(list(cases(options.models, options.batches, options.classes)), unit="case")
    ]
    result = {
        "machine": machine(),
        "rows": rows,
        "throughput": {
            f"{model}, allocator {how}": throughput(model, how) for model in THROUGHPUT for how in ALLOCATORS
        },
        "startup": startup(),
        "imports": imports(),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "results.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (options.out / "RESULTS.md").write_text(markdown(result), encoding="utf-8")
    if options.readme:
        before, _, rest = README.read_text("utf-8").partition(MARKS[0])
        lines = "\n".join(["", *short_table(result), ""])
        README.write_text(before + MARKS[0] + lines + MARKS[1] + rest.partition(MARKS[1])[2], "utf-8")
    print(markdown(result))


def measure(case: Case, rounds: int, patience: float) -> dict[str, Any]:
    """One row: median seconds, the median of their ratios to the bare forward of the same round, and peak bytes."""
    layer = resolve_target_layer(build(case.model))
    seconds = times(case, layer, rounds, patience)
    return {
        **vars(case),
        "seconds": {name: statistics.median(values) for name, values in seconds.items()},
        "ratio": {
            # a slow peer has fewer rounds than the forward
            name: statistics.median(
                mine / bare for mine, bare in zip(values, seconds["bare forward"], strict=False)
            )
            for name, values in seconds.items()
        },
        "peak_bytes": {name: peak_memory(case, name, layer) for name in ("bare forward", "gradcam")},
    }


def machine() -> dict[str, str]:
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": str(torch.get_num_threads()),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def markdown(result: dict[str, Any]) -> str:
    """Every number, for a person to read."""
    lines = [
        "# What explaining costs",
        "",
        *short_table(result),
        "",
        "## Every row",
        "",
        "Peak: resident memory of a fresh process that loads the model and makes one call.",
        "",
        "| model | batch | classes | " + " | ".join(PEERS) + " | forward | peak: forward | peak: gradcam |",
        "|---|--:|--:|" + "--:|" * (len(PEERS) + 3),
    ]
    for row in result["rows"]:
        ratios = " | ".join(_number(row["ratio"].get(name)) for name in PEERS)
        peaks = " | ".join(_mebibytes(row["peak_bytes"][name]) for name in ("bare forward", "gradcam"))
        seconds = f"{row['seconds']['bare forward'] * 1000:.0f} ms"
        lines.append(f"| {row['model']} | {row['batch']} | {row['classes']} | {ratios} | {seconds} | {peaks} |")
    steps = list(next(iter(result["throughput"].values())))
    lines += ["", "| photos a second, 8 a batch | " + " | ".join(steps) + " |", "|---|" + "--:|" * len(steps)]
    for model, rates in result["throughput"].items():
        lines.append(f"| {model} | " + " | ".join(_rate(rates[step]) for step in steps) + " |")
    lines += [
        "",
        "By turns: the forward, then the preparation, each on every core; percent: of the bare forward.",
        "An allocator that keeps memory: `"
        + " ".join(f"{name}={value}" for name, value in ALLOCATORS["keeps memory"].items())
        + "`.",
        "",
        "| from `streamlit run` until | seconds |",
        "|---|--:|",
    ]
    lines += [f"| {name} | {seconds:.1f} |" for name, seconds in result["startup"].items()]
    lines += ["", "| in a fresh process | time, as a ratio to `import torch` |", "|---|--:|"]
    lines += [f"| `{code}` | {ratio:.2f} |" for code, ratio in result["imports"].items()]
    return "\n".join(lines) + "\n"


def short_table(result: dict[str, Any]) -> list[str]:
    """The lines that README shows: a row for each model and batch."""
    counts = sorted({row["classes"] for row in result["rows"]})
    measured = {name for row in result["rows"] for name in row["ratio"]}
    shown = [name for name in PEERS if name in measured and name != "gradcam, weights as they are"]
    lines = [
        "Time as a ratio to a bare `inference_mode` forward of the same model in the same run, for "
        + ", ".join(map(str, counts))
        + " classes; medians, float32, 224×224. "
        + "{processor}, {cores} cores, {threads} threads, {system}, Python {python}, PyTorch {torch}.".format(
            **result["machine"]
        ),
        "",
        "| model, batch | " + " | ".join(shown) + " | peak memory |",
        "|---|" + "--:|" * (len(shown) + 1),
    ]
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in result["rows"]:
        groups.setdefault((row["model"], row["batch"]), []).append(row)
    for (model, batch), rows in groups.items():
        cells = [" · ".join(_number(row["ratio"].get(name)) for row in rows) for name in shown]
        cells = ["–" if set(cell) <= set("– ·") else cell for cell in cells]
        lines.append(f"| {model}, {batch} | " + " | ".join(cells) + f" | {_peak(rows)} |")
    return lines


def _peak(rows: list[dict[str, Any]]) -> str:
    """The largest ratio of our peak memory to the bare forward's."""
    peaks = [row["peak_bytes"] for row in rows]
    if any(peak["bare forward"] is None for peak in peaks):
        return "–"
    return _number(max(peak["gradcam"] / peak["bare forward"] for peak in peaks))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _rate(value: float) -> str:
    return f"{value:.1f}" if value > 2 else f"{value:.0%}"


def _mebibytes(value: int | None) -> str:
    return "–" if value is None else f"{value / 2**20:.0f} MiB"


if __name__ == "__main__":
    main()
