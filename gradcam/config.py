"""What an operator sets: `gradcam.toml`, read once into frozen settings.

The file is `$GRADCAM_CONFIG`, else `./gradcam.toml`, else `~/.config/gradcam/gradcam.toml`; without one, every key
has its default. A new key is a field below: its type, a sentence that says what it does, its default, its bounds.
The table in `docs/serving.md` is `table()`.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal

from gradcam.errors import OptionError, nearest, quoted

VARIABLE = "GRADCAM_CONFIG"
PLACES = ("gradcam.toml", "~/.config/gradcam/gradcam.toml")
"""Where the file is looked for unless `$GRADCAM_CONFIG` names it."""
MAX_BYTES = 1_000_000


def key(
    sentence: str,
    default: Any,
    *,
    least: float | None = None,
    most: float | None = None,
    choices: tuple[bool | str, ...] = (),
) -> Any:
    """A key of the file: what it does, its default, and its bounds or the only values that it takes."""
    return field(default=default, metadata={"sentence": sentence, "least": least, "most": most, "choices": choices})


@dataclass(frozen=True)
class Server:
    """Who may ask the dashboard for what."""

    hub_models: Literal["auto"] | bool = key(
        "Whether visitors may load models from a hub by id; `auto` lets only those who sit at the server's machine",
        "auto",
        choices=("auto", True, False),
    )
    metrics: bool = key(
        "Whether `/_stcore/metrics` answers, which tells anybody what the server holds",
        False,
        choices=(True, False),
    )


@dataclass(frozen=True)
class Data:
    """Where files lie."""

    weights: Path = key(
        "Folder of weight files put there by hand; `$GRADCAM_WEIGHTS` goes before it",
        Path("~/.cache/gradcam/weights"),
    )


class NamedPaths(tuple[tuple[str, Path], ...]):
    """Names and the paths that they stand for, in the order of the file."""


MAX_NAME = 100
"""Letters of a name."""


@dataclass(frozen=True)
class Runs:
    """Data sets that the dashboard runs models over for its visitors."""

    folder: Path = key(
        "Folder that visitors' runs are kept in; `$GRADCAM_RUNS` goes before it",
        Path("~/.local/share/gradcam/runs"),
    )
    photos: int = key("Most photos of a visitor's run", 2000, least=1, most=1_000_000)
    upload_megabytes: int = key("Largest upload for a run, all its files together", 400, least=1, most=2000)
    gigabytes: float = key("Disk that the runs of all visitors may take", 20.0, least=0.001, most=1_000_000)
    visitor_gigabytes: float = key("Disk that the runs of one visitor may take", 2.0, least=0.001, most=1_000_000)
    days: float = key("Days after which a visitor's run is deleted", 7.0, least=0.001, most=10_000)
    at_once: int = key("Visitors' runs that compute at the same time; others wait", 1, least=1, most=100)
    waiting: int = key("Visitors' runs that wait at most", 20, least=0, most=1000)
    data_sets: NamedPaths = key("Data sets on the server that visitors may choose for a run, by name", NamedPaths())
    shown: NamedPaths = key("Folders of runs that every visitor may look at, by name", NamedPaths())


@dataclass(frozen=True)
class Auth:
    """Who is let in, where somebody has to be: see `dashboard.identity`."""

    roles: Path = key(
        "File of roles: `viewer`, `reviewer`, `owner`, each a list of e-mail addresses and `group:NAME`",
        Path("~/.config/gradcam/roles.toml"),
    )
    hours: float = key("Hours after which somebody has to sign in again", 12.0, least=0.001, most=1000)
    proxies: tuple[str, ...] = key(
        "Addresses of proxies whose word about who asks is taken; with any, nobody else is let in", ()
    )
    email_header: str = key("Header in which such a proxy says the e-mail address", "X-Forwarded-Email")
    groups_header: str = key("Header in which such a proxy says the groups, with commas", "X-Forwarded-Groups")


@dataclass(frozen=True)
class Limits:
    """How much one visitor, or all of them, may take."""

    photo_megabytes: float = key("Largest photo that a visitor may upload", 50.0, least=0.1, most=50)
    photo_megapixels: float = key("Most pixels of a photo that a visitor may upload", 50.0, least=0.1, most=50)
    upload_megabytes: int = key("Largest checkpoint or report that a visitor may upload", 400, least=1, most=2000)
    model_gigabytes: float = key(
        "Weights kept in memory, for all visitors; 0 is half of the machine's memory; `$GRADCAM_MODEL_BYTES` goes "
        "before it",
        0.0,
        least=0,
        most=100_000,
    )
    photos_gigabytes: float = key("Decoded photos kept in memory, for all visitors", 1.0, least=0, most=1000)
    shared_gigabytes: float = key(
        "Disk that the models which people share with projects may take, all together; none is ever deleted",
        10.0,
        least=0,
        most=100_000,
    )
    panels: int = key("Heatmaps kept in memory, for all visitors", 1000, least=1, most=1_000_000)
    forwards: int = key(
        "Most forwards of a photo and model that the methods which a visitor picks or replays may take together",
        25_000,
        least=100,
        most=10_000_000,
    )


@dataclass(frozen=True)
class Settings:
    """Everything that an operator can set, section by section.

    file: where it was read from; None where there is no file.
    """

    server: Server = field(default_factory=Server)
    data: Data = field(default_factory=Data)
    auth: Auth = field(default_factory=Auth)
    limits: Limits = field(default_factory=Limits)
    runs: Runs = field(default_factory=Runs)
    file: Path | None = None


SECTIONS: dict[str, type] = {"server": Server, "data": Data, "auth": Auth, "limits": Limits, "runs": Runs}


@dataclass(frozen=True)
class Key:
    """One key as a table shows it. takes: its type and bounds, in words."""

    section: str
    name: str
    takes: str
    default: str
    sentence: str


@cache
def settings() -> Settings:
    """The settings of this process, read when first asked for.

    Raises: OptionError for a file that cannot be read, an unknown key, or a value that its key does not take.
    """
    named = os.environ.get(VARIABLE)
    file = Path(os.path.expanduser(named)) if named else _usual_file()
    if file is None:
        return Settings()
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = f"; correct ${VARIABLE}, or unset it" if named else ""
        raise OptionError(f"expected a configuration to read, got {quoted(file)}: {_reason(error)}{why}") from error
    return parse(data, file)


def weights_folder() -> Path:
    """The folder for hand-placed weight files: `$GRADCAM_WEIGHTS`, else `weights` of the configuration."""
    return Path(os.environ.get("GRADCAM_WEIGHTS") or settings().data.weights).expanduser()


def runs_folder() -> Path:
    """The folder of visitors' runs: `$GRADCAM_RUNS`, else `runs.folder` of the configuration."""
    return Path(os.environ.get("GRADCAM_RUNS") or settings().runs.folder).expanduser()


def _usual_file() -> Path | None:
    """The first of `PLACES` where there is something."""
    return next((Path(file) for file in map(os.path.expanduser, PLACES) if os.path.exists(file)), None)


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()


def parse(data: bytes, file: Path) -> Settings:
    """The settings in the bytes of `file`; a relative path in it starts in the file's folder.

    Raises: OptionError.
    """
    if len(data) > MAX_BYTES:
        most = f"{MAX_BYTES // 10**6} MB"
        raise OptionError(
            f"expected a configuration of at most {most}, got a larger one, {quoted(file)}; shorten it"
        )
    try:
        found = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise OptionError(f"expected TOML in {quoted(file)}, got something else ({quoted(str(error))})") from error
    _refuse_unknown("a section", found, SECTIONS, file)
    return Settings(**{name: _section(name, found.get(name, {}), file) for name in SECTIONS}, file=file)


def keys() -> tuple[Key, ...]:
    """Every key, in the order of the file."""
    return tuple(
        Key(section, one.name, _takes(one), _as_toml(one.default), one.metadata["sentence"])
        for section, kind in SECTIONS.items()
        for one in fields(kind)
    )


def table() -> list[str]:
    """The lines of the table of keys in `docs/serving.md`."""
    rows = [f"| `{key.section}.{key.name}` | {key.takes} | `{key.default}` | {key.sentence} |" for key in keys()]
    return ["| key | takes | default | |", "|---|---|---|---|", *rows]


def _section(name: str, found: Any, file: Path) -> Any:
    if not isinstance(found, dict):
        raise OptionError(f"expected [{name}] as a section of {quoted(file)}, got {name} = {quoted(found)}")
    known = {one.name: one for one in fields(SECTIONS[name])}
    _refuse_unknown(f"a key of [{name}]", found, known, file)
    return SECTIONS[name](**{key: _value(f"{name}.{key}", known[key], value, file) for key, value in found.items()})


def _value(name: str, one: Any, value: Any, file: Path) -> Any:
    """A value as its key's type. Raises: OptionError."""
    if not _fits(one, value):
        got = _as_toml(value) if isinstance(value, bool) else quoted(value)
        raise OptionError(f"expected {_takes(one)} for {name} in {quoted(file)}, got {got}")
    if isinstance(one.default, Path):
        return _path(value, file)
    if isinstance(one.default, NamedPaths):
        return NamedPaths((name, _path(path, file)) for name, path in value.items())
    if isinstance(one.default, tuple):
        return tuple(value)
    return float(value) if isinstance(one.default, float) else value


def _path(value: str, file: Path) -> Path:
    return Path(value) if value.startswith("~") else file.parent / value


def _fits(one: Any, value: Any) -> bool:
    rule = one.metadata
    if rule["choices"]:
        return any(type(value) is type(choice) and value == choice for choice in rule["choices"])
    if isinstance(one.default, Path):
        return _is_path(value)
    if isinstance(one.default, NamedPaths):
        return isinstance(value, dict) and all(
            0 < len(name.strip()) <= MAX_NAME and _is_path(path) for name, path in value.items()
        )
    if isinstance(one.default, tuple):
        return isinstance(value, list) and all(isinstance(each, str) and _is_network(each) for each in value)
    if isinstance(one.default, str):
        return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9-]{1,100}", value) is not None
    kinds = (int, float) if isinstance(one.default, float) else (int,)
    return type(value) in kinds and rule["least"] <= value <= rule["most"]


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and value != "" and "\0" not in value


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _refuse_unknown(what: str, found: Iterable[str], known: Iterable[str], file: Path) -> None:
    for name in found:
        if name not in known:
            do = f"try {nearest(name[:200], known)}"
            raise OptionError(f"expected {what} in {quoted(file)}, got {quoted(name)}; {do}")


def _takes(one: Any) -> str:
    """What a key takes, in words."""
    rule = one.metadata
    if rule["choices"]:
        choices = [_as_toml(choice) for choice in rule["choices"]]
        return f"{', '.join(choices[:-1])} or {choices[-1]}"
    if isinstance(one.default, Path):
        return "a path in quotes"
    if isinstance(one.default, NamedPaths):
        return 'a table of names and paths, such as { wildlife = "/data/wildlife" }'
    if isinstance(one.default, tuple):
        return "a list of addresses or networks"
    if isinstance(one.default, str):
        return "the name of a header in quotes"
    kind = "a number" if isinstance(one.default, float) else "a whole number"
    return f"{kind} from {rule['least']:,} to {rule['most']:,}"


def _as_toml(value: Any) -> str:
    if value == ():
        return "{ }" if isinstance(value, NamedPaths) else "[]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_as_toml, value))}]"
    return (
        f'"{value}"' if isinstance(value, str | Path) else f"{value:g}" if isinstance(value, float) else str(value)
    )
