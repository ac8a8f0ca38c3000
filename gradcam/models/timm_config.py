"""What `config.json` of a hub's repository says about a model of timm, believed as far as it is plain and bounded.

Whoever uploads a repository writes that file. Its arguments reach timm's builders, which would open any file, build
a model of any size or give something else than a classifier if they were told to: so only arguments of the tables
below are passed on, each within its bounds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradcam.errors import ModelError, quoted
from gradcam.model_spec import with_source

MAX_CONFIG_BYTES = 16_000_000
"""Bytes of a configuration; one with the names of 22,000 classes has some 3 MB."""

MAX_CLASSES, MAX_LETTERS, MAX_SIZE = 100_000, 200, 1024

Check = Callable[[Any], bool]


@dataclass(frozen=True)
class TimmConfig:
    """A model of timm as a repository describes it: all that `timm.create_model` is given.

    pretrained: timm's pretrained configuration. arguments: of the architecture's builder.
    """

    architecture: str
    pretrained: dict[str, Any]
    arguments: dict[str, Any]


def _whole(least: int, most: int) -> Check:
    return lambda value: type(value) is int and least <= value <= most


def _number(least: float, most: float) -> Check:
    return lambda value: type(value) in (int, float) and least <= value <= most


def _flag(value: Any) -> bool:
    return type(value) is bool


def _word(value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and value.replace("_", "").isalnum() and len(value) <= 40


def _list(check: Check, least: int = 1, most: int = 12) -> Check:
    return lambda value: isinstance(value, list) and least <= len(value) <= most and all(map(check, value))


def _one_or_list(check: Check) -> Check:
    several = _list(check)
    return lambda value: several(value) if isinstance(value, list) else check(value)


def _one_or_pair(check: Check) -> Check:
    pair = _list(check, 2, 2)
    return lambda value: pair(value) if isinstance(value, list) else check(value)


def _one_of(*words: str) -> Check:
    return lambda value: isinstance(value, str) and value in words


def _name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(printable(value)) <= MAX_LETTERS


def printable(name: str) -> str:
    """A name on one line, without invisible characters that turn a page's text around or that no file can hold."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in name[:10_000]).split())


_side, _share, _blocks, _width = _whole(16, MAX_SIZE), _number(0, 1), _whole(0, 100), _whole(1, 16_384)

PRETRAINED: dict[str, tuple[Check, str]] = {
    "num_classes": (_whole(1, MAX_CLASSES), f"a number of classes from 1 to {MAX_CLASSES:,}"),
    "label_names": (_list(_name, 1, MAX_CLASSES), f"a list of names of at most {MAX_LETTERS} letters"),
    "input_size": (
        lambda value: _list(_whole(1, MAX_SIZE), 3, 3)(value) and value[0] == 3 and min(value[1:]) >= 16,
        f"3 channels, and a height and a width from 16 to {MAX_SIZE} pixels",
    ),
    "fixed_input_size": (_flag, "true or false"),
    "interpolation": (_one_of("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"), "a Pillow filter"),
    "crop_pct": (_number(0.1, 2), "a share from 0.1 to 2"),
    "crop_mode": (_one_of("center", "squash", "border"), "center, squash or border"),
    "mean": (_list(_number(0, 1), 3, 3), "three numbers from 0 to 1"),
    "std": (_list(_number(0.001, 1), 3, 3), "three numbers from 0.001 to 1"),
}
"""Entries of a pretrained configuration that are used: which values fit, and what is said about others. No other
entry changes what a model computes."""

DESCRIPTIVE = ("tag", "license", "description", "origin_url", "paper_name", "paper_ids")
"""Entries that are kept only for information."""

_KINDS: tuple[tuple[Check, str], ...] = (
    (
        _flag,
        "always_partition avg_down class_token conv_bias conv_mlp cpe_act crop_scale distillation distilled "
        "dynamic_img_pad dynamic_img_size final_norm fix_init fix_stem fused_downsample head_norm_first multi_conv "
        "no_embed_class patch_norm pre_norm qk_norm qkv_bias qkv_fused scale_attn_inner scale_mlp se_from_exp "
        "strict_img_size swiglu_mlp use_abs_pos_emb use_fc_norm use_grn use_pos_embed use_post_norm "
        "use_rel_pos_bias use_rot_pos_emb use_shared_rel_pos_bias zero_init_last fc_norm",
    ),
    (
        _share,
        "attn_drop_rate drop_block_rate drop_path_rate drop_rate patch_drop_rate pos_drop_rate proj_drop_rate",
    ),
    (
        _number(0, 100_000),
        "head_init_scale init_values layer_scale_init_value ls_init_value norm_eps rope_temperature",
    ),
    (_one_or_list(_number(0.1, 16)), "attn_ratio expand_ratio mlp_ratio mlp_ratios"),
    (_one_or_list(_blocks), "depth depths layers num_heads reg_tokens num_reg_tokens"),
    (
        _one_or_list(_width),
        "base_width cardinality dim dims embed_dim embed_dims growth_rate head_dim head_hidden_size num_features "
        "stem_chs stem_size stem_width width widths channels",
    ),
    (_one_or_pair(_whole(2, 128)), "patch_size window_size"),
    (_one_or_list(_whole(1, 31)), "kernel_size kernel_sizes sr_ratios"),
    (_one_or_pair(_side), "img_size"),
    (lambda value: value in (8, 16, 32) and type(value) is int, "output_stride"),
    (_whole(1, MAX_CLASSES), "num_classes"),
    (lambda value: type(value) is int and value == 3, "in_chans"),
    (_word, "act_layer attn_type global_pool norm_layer pool_type rope_type stem_type weight_init"),
)

ARGUMENTS: dict[str, Check] = {name: check for check, names in _KINDS for name in names.split()}
"""Arguments of timm's builders that a repository may set, and which values fit."""


def read_text(file: Path, where: str) -> str:
    """The text of a configuration. Raises: ModelError for a file that is too large to be one, or no text."""
    size = file.stat().st_size
    if size > MAX_CONFIG_BYTES:
        raise ModelError(
            f"expected at most {MAX_CONFIG_BYTES / 1e6:.0f} MB in {file.name} of {where}, got {size / 1e6:.0f} MB; "
            "name another model"
        )
    return file.read_bytes().decode("utf-8", errors="replace")


def table_of(text: str, file: str, where: str) -> dict[str, Any]:
    """The table in a text in JSON. Raises: ModelError for anything else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ModelError(f"expected a table in {file} of {where}, got what is none in JSON; name another model")
    return found


def timm_config(stored: Mapping[str, Any], where: str) -> TimmConfig:
    """What the table of a repository says about its model of timm.

    Raises: ModelError naming what is missing or out of bounds.
    """
    import timm

    architecture = stored.get("architecture")
    if not isinstance(architecture, str) or not timm.is_model(architecture):
        kind = stored.get("architectures") or stored.get("model_type") or architecture
        is_transformers = "ForImageClassification" in str(kind)[:1000]
        there = f"name it {quoted(with_source(where, 'hf'))}" if is_transformers else "name another"
        raise ModelError(
            f"expected a classifier of timm at {where}, got another library's model"
            f"{f' ({quoted(kind, 60)})' if kind else ''}; {there}"
        )
    arguments = _arguments(stored.get("model_args") or {}, where)
    return TimmConfig(architecture, _pretrained(stored, arguments, architecture, where), arguments)


def _pretrained(
    stored: Mapping[str, Any], arguments: Mapping[str, Any], architecture: str, where: str
) -> dict[str, Any]:
    """timm's pretrained configuration; older repositories have it at the top level, newer ones `_ON_TOP` only."""
    part = stored.get("pretrained_cfg", stored)
    if not isinstance(part, dict):
        raise ModelError(f"expected a table as pretrained_cfg of {where}, got {quoted(part)}; name another model")
    part = {"label_names": part.get("labels"), **part, **{key: stored.get(key, part.get(key)) for key in _ON_TOP}}
    if not part["num_classes"]:
        raise ModelError(f"expected a classifier of timm at {where}, got a model without classes; name another")
    found: dict[str, Any] = {"architecture": architecture}
    for key, (fits, wanted) in PRETRAINED.items():
        if part.get(key) is not None:
            if not fits(part[key]):
                raise ModelError(
                    f"expected {wanted} as {key} of {where}, got {quoted(part[key])}; name another model"
                )
            found[key] = tuple(part[key]) if isinstance(part[key], list) else part[key]
    if "label_names" in found:
        found["label_names"] = tuple(map(printable, found["label_names"]))
    found |= {key: printable(part[key])[:1000] for key in DESCRIPTIVE if isinstance(part.get(key), str)}
    return _consistent(found, arguments, where)


_ON_TOP = ("num_classes", "label_names")


def _consistent(found: dict[str, Any], arguments: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The configuration with what the builder's arguments change in it. Raises: ModelError."""
    count = found["num_classes"]
    names = len(found.get("label_names", range(count)))
    for other, what in ((names, "label_names"), (arguments.get("num_classes", count), "model_args")):
        if other != count:
            raise ModelError(f"expected {count} classes in {what} of {where}, got {other}; name another model")
    if arguments.get("dynamic_img_size") or arguments.get("strict_img_size") is False:
        found["fixed_input_size"] = False
    if found.get("fixed_input_size") and "img_size" in arguments:
        size = arguments["img_size"]
        found["input_size"] = (3, *(size if isinstance(size, tuple) else (size, size)))
    return found


def _arguments(given: Any, where: str) -> dict[str, Any]:
    """Arguments of the builder, every one known and within its bounds. Raises: ModelError."""
    if not isinstance(given, dict):
        raise ModelError(f"expected a table as model_args of {where}, got {quoted(given)}; name another model")
    for name, value in given.items():
        if value is not None and not ARGUMENTS.get(name, lambda _: False)(value):
            why = "out of bounds" if name in ARGUMENTS else "not taken from a hub"
            raise ModelError(
                f"expected plain arguments of {where}'s architecture, got {quoted(name, 60)}: {quoted(value)}, "
                f"which is {why}; build that model yourself and pass it"
            )
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if value is not None
    }
