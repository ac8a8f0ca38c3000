"""Where the weights of a model lie: bundled, in a folder of one's own, in a library's cache, or on the network."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlparse

import huggingface_hub
import torch
from huggingface_hub.errors import EntryNotFoundError
from huggingface_hub.file_download import repo_folder_name

from gradcam.config import weights_folder
from gradcam.errors import WeightsError

DEADLINE = 10.0
"""Seconds within which a download's host must have answered."""

SUFFIXES = (".safetensors", ".pth", ".bin", ".npz")
HUB_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class Location:
    """Every place where the weights of one model may lie.

    name: the model's path in the folder for hand-placed files, without a suffix: `timm/resnet50.a1_in1k`.
    file: whether `name` is that of a file, suffix and all: `hf/acme/leaves/config.json`.
    bundled: a file of an installed package. hub: a Hugging Face repository. url: a file on the network.
    size: of the download in bytes, None if unknown. local: a file that somebody named, and then the only place.
    """

    name: str
    bundled: Path | None = None
    hub: str | None = None
    hub_files: tuple[str, ...] = HUB_FILES
    url: str | None = None
    size: int | None = None
    local: Path | None = None
    file: bool = False

    @property
    def by_hand(self) -> Path:
        """Where a weight file can be put by hand."""
        if self.local:
            return self.local
        if self.file:
            return weights_folder() / self.name
        if self.url and not self.hub:
            return weights_folder() / Path(self.name).parent / _file_name(self.url)
        return weights_folder() / f"{self.name}{SUFFIXES[0]}"

    @property
    def remote(self) -> str | None:
        """The address of the download, None if nobody offers one."""
        return huggingface_hub.hf_hub_url(self.hub, self.hub_files[0]) if self.hub else self.url


def find(location: Location) -> Path | None:
    """The weight file if it is on this machine: hand-placed before bundled before a library's cache."""
    return next((path for path in _places(location) if path.is_file()), None)


def is_within_reach(location: Location, seconds: float) -> bool:
    """Whether the weight file is on this machine, or its host answers within so many seconds."""
    if find(location):
        return True
    try:
        _ask(location.remote or "", seconds)
    except (OSError, http.client.HTTPException, ValueError):
        return False
    return True


def fetch(location: Location) -> Path:
    """The weight file, downloaded into its library's own cache where it is not on this machine yet.

    A file whose hash is known is read through once, so that a damaged or exchanged one is never used.
    Raises: WeightsError, within `DEADLINE` seconds where the host does not answer.
    """
    file = find(location) or _downloaded(location)
    _check_hash(file, location)
    return file


def _downloaded(location: Location) -> Path:
    if not location.remote:
        raise WeightsError(
            f"expected weights for {location.name}, which nobody offers for download; "
            f"put a weight file at {location.by_hand} or ask for random weights"
        )
    try:
        _ask(location.remote, DEADLINE)
        return _download_from_hub(location) if location.hub else _download(location.remote)
    except Exception as error:
        host = urlparse(location.remote).netloc
        size = f"about {location.size / 1e6:.0f} MB" if location.size else "of unknown size"
        raise WeightsError(
            f"expected weights for {location.name}, found none in {weights_folder()} nor in the libraries' caches, "
            f"and the download ({size}) from {host} failed: {_reason(error)}; connect to the network, or put the "
            f"file {location.remote} at {location.by_hand}"
        ) from error


# Hashes that are known ------------------------------------------------------------------------------------------


def _check_hash(file: Path, location: Location) -> None:
    """Raises: WeightsError for a file of a cache or a package whose bytes are not those that it was made for."""
    stated = _stated_hash(file, location)
    if stated is None:
        return
    kind, wanted = stated
    real = file.resolve()  # the hub's cache links to the file: the file itself has to go
    about = real.stat()
    got = _digest(real, kind, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
    if got.startswith(wanted):
        return
    remedy = "install its package again" if file == location.bundled else "delete it to download it again"
    raise WeightsError(
        f"expected the weights of {location.name} in {real}, with a hash that begins with {wanted[:16]}, got "
        f"{got[:16]}: the file is damaged or another one; {remedy}"
    )


def _stated_hash(file: Path, location: Location) -> tuple[str, str] | None:
    """Which hash a file should have and how it begins, in hexadecimal; None where nobody states it.

    torch.hub and the bundled packages write the start of the SHA-256 into the name, and the hub's cache names files
    by their SHA-256 or as git does. A file that was placed by hand may be any.
    """
    if file == location.bundled or (location.url and file == _torch_cache(location.url)):
        named = torch.hub.HASH_REGEX.search(file.name)
        return ("sha256", named[1]) if named else None
    blob = file.resolve()
    if blob.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", blob.name):
        return ("sha256" if len(blob.name) == 64 else "git", blob.name)
    return None


@lru_cache(maxsize=1000)
def _digest(file: Path, kind: str, size: int, modified: int, changed: int) -> str:
    """Hexadecimal hash of a file's bytes, computed once as long as its size and times stay the same.

    changed: the time that the system keeps, for whoever copies a file may set `modified` to that of another.
    """
    start = b"blob %d\0" % size if kind == "git" else b""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.new("sha1" if start else kind, start)).hexdigest()


# Places and downloads -------------------------------------------------------------------------------------------


def _places(location: Location) -> Iterator[Path]:
    """Every file that would do, best first; some may not exist."""
    if location.local:
        yield location.local
        return
    if (folder := weights_folder()).is_dir():  # asked of every model of the catalogue, and most people have none
        yield location.by_hand
        stem = folder / location.name
        for suffix in () if location.file else SUFFIXES:
            yield stem.with_name(stem.name + suffix)
    if location.bundled:
        yield location.bundled
    for name in location.hub_files if location.hub and _is_in_hub_cache(location.hub) else ():
        cached = huggingface_hub.try_to_load_from_cache(location.hub or "", name)
        if isinstance(cached, str):
            yield Path(cached)
    if location.url:
        yield _torch_cache(location.url)


def _is_in_hub_cache(repository: str) -> bool:
    """Whether the hub's cache has a folder for a repository."""
    folder = repo_folder_name(repo_id=repository, repo_type="model")
    return os.path.isdir(os.path.join(huggingface_hub.constants.HF_HUB_CACHE, folder))


def _torch_cache(url: str) -> Path:
    """Where torch.hub keeps the file of this address."""
    return Path(torch.hub.get_dir()) / "checkpoints" / _file_name(url)


def _file_name(url: str) -> str:
    return Path(urlparse(url).path).name


def _ask(url: str, seconds: float) -> None:
    """Return once the host has answered, whatever it said.

    A thread of its own holds the deadline, because name resolution and proxies can hang beyond any socket timeout.

    Raises: OSError or HTTPException where the host cannot be reached, TimeoutError after so many seconds.
    """
    failure: list[Exception] = []
    answered = threading.Event()

    def knock() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds).close()
        except urllib.error.HTTPError as error:
            error.close()
        except (OSError, http.client.HTTPException) as error:
            failure.append(error)
        answered.set()

    threading.Thread(target=knock, daemon=True).start()
    if not answered.wait(seconds):
        raise TimeoutError(f"no answer within {seconds:g} seconds")
    if failure:
        raise failure[0]


def _download_from_hub(location: Location) -> Path:
    for name in location.hub_files[:-1]:
        try:
            return Path(huggingface_hub.hf_hub_download(location.hub or "", name))
        except EntryNotFoundError:
            continue
    return Path(huggingface_hub.hf_hub_download(location.hub or "", location.hub_files[-1]))


def _download(url: str) -> Path:
    target = _torch_cache(url)
    target.parent.mkdir(parents=True, exist_ok=True)
    stated = torch.hub.HASH_REGEX.search(target.name)
    # torch.hub.download_url_to_file has no timeout: a host that stalls would hang it for ever.
    with tempfile.TemporaryDirectory(dir=target.parent) as unfinished:
        partial = Path(unfinished) / target.name
        with urllib.request.urlopen(url, timeout=DEADLINE) as answer, partial.open("w+b") as file:
            shutil.copyfileobj(answer, file, 2**20)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if stated and not digest.startswith(stated[1]):
            raise OSError(f"the file is damaged, its SHA-256 is {digest[:16]}… and not {stated[1]}…")
        partial.replace(target)
    return target


def _reason(error: Exception) -> str:
    """The first line of an error; urllib wraps the real one as its reason."""
    reason = getattr(error, "reason", None) or error
    return str(reason).strip().partition("\n")[0] or type(error).__name__
