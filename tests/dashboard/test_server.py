"""The server: whom it answers, what it says with every answer, and that no visitor is another's trouble."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
import threading
import tomllib
import urllib.error
import urllib.request
import weakref
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pytest
import streamlit as st
from streamlit import config

from dashboard import library, results, serving, uploads
from gradcam import Failure, GradcamError, ModelError, OptionError, Photo, Top, WeightsError, sample_photo
from gradcam.config import Limits, Runs, Server, Settings
from gradcam.models.pool import ModelPool
from tests.opening import open_page
from tests.server import ROOT, dashboard
from tests.visitors import at_once, wrong

MISSING = "torchvision/vgg16"
SMALL_MODEL = "bundled/tf_efficientnet_lite0"


@pytest.fixture(autouse=True)
def _clean_caches() -> Iterator[None]:
    st.cache_resource.clear()
    st.cache_data.clear()
    yield
    st.cache_resource.clear()
    st.cache_data.clear()


# From outside -------------------------------------------------------------------------------------------------


@pytest.fixture(params=["the project", "the root", "a folder that opens its servers to all"])
def start_in(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder to start the server in."""
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "config.toml").write_text('[server]\naddress = "0.0.0.0"\n')
    return {"the project": ROOT, "the root": Path("/")}.get(request.param, tmp_path)


def test_two_visitors_come_at_once_to_a_fresh_server_that_others_cannot_reach(start_in: Path) -> None:
    with dashboard(start_in=start_in) as address:
        if start_in == Path("/"):  # once is enough for what costs most; tests in a browser visit one of the project
            assert wrong(at_once(address, [("compare_models", {"models": SMALL_MODEL})] * 2)) == []
        with socket.socket() as other, pytest.raises(OSError, match=r"refused|unreachable|assign"):
            other.connect(("127.0.0.2", urlparse(address).port))  # of this machine, but not the address
        for path, status in [
            ("/", 200),
            ("/_stcore/health", 200),
            ("/_stcore/metrics", 404),
        ]:
            found, headers = ask(address + path)
            assert found == status
            assert {name: headers[name] for name in serving.HEADERS} == serving.HEADERS


@pytest.mark.parametrize(
    ("page", "all_of_it"), [("data_set", True), ("reports", True), ("reviews", True), ("models", False)]
)
def test_a_visit_waits_for_what_its_page_alone_reads(
    monkeypatch: pytest.MonkeyPatch, page: str, all_of_it: bool
) -> None:
    waited_for: list[bool] = []
    monkeypatch.setattr(serving, "is_prepared", lambda *, everything: waited_for.append(everything) or st.stop())
    open_page(page)
    assert waited_for[-1] is all_of_it


def test_a_package_that_only_some_page_needs_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []

    def import_module(module: str) -> None:
        imported.append(module)
        if module == serving.IMPORTED_LATER[0]:
            raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")

    monkeypatch.setattr(serving.importlib, "import_module", import_module)
    serving._import_later()
    assert imported == [*serving.IMPORTED_LATER]


def test_nobody_waits_for_a_search_for_garbage_after_each_run_of_a_page() -> None:
    config.get_option("runner.postScriptGC")  # else Streamlit has it no more
    written = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text("utf-8"))
    assert written["runner"]["postScriptGC"] is False


@pytest.mark.parametrize("collects", [True, False])
def test_nobody_looks_for_garbage_in_what_is_imported(monkeypatch: pytest.MonkeyPatch, collects: bool) -> None:
    looked_for: list[bool] = []
    imported: dict[str, list[str]] = {}

    def import_module(name: str) -> None:
        looked_for.append(gc.isenabled())
        imported[name] = [name]

    monkeypatch.setattr(serving.importlib, "import_module", import_module)
    monkeypatch.setattr(serving, "IMPORTED_FIRST", ("what every page reads",))
    monkeypatch.setattr(serving, "IMPORTED_LATER", ("what some pages read",))
    monkeypatch.setattr(serving, "PAUSE", 0)
    interval, begun = sys.getswitchinterval(), []
    try:
        if not collects:  # an operator may have turned it off
            gc.disable()
        gc.unfreeze()  # all that the tests have imported
        serving._prepare(lambda: begun.append(gc.get_freeze_count()))
        assert looked_for == [False, False]
        assert begun[0] > 10_000
        assert gc.isenabled() == collects
        searched = {id(found) for found in gc.get_objects()}
        assert len(imported) == 2
        assert not any(id(module) in searched for module in imported.values())
    finally:
        gc.enable()
        sys.setswitchinterval(interval)
        serving._first.clear()


def ask(url: str) -> tuple[int, dict[str, str]]:
    """The status and the headers of an answer."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as answer:
            return answer.status, {name.title(): value for name, value in answer.headers.items()}
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {name.title(): value for name, value in error.headers.items()}


def test_a_bad_configuration_ends_the_start_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "gradcam.toml").write_text("[limits]\npanels = -1\n")
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "dashboard" / "Home.py")]
    done = subprocess.run(
        [*command, "--server.headless=true", "--server.port=0"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "gradcam: expected a whole number from 1 to 1,000,000 for limits.panels" in done.stderr
    assert "Traceback" not in done.stderr


# Who may load from hubs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "headers", "local"),
    [
        ("127.0.0.1", {"Host": "127.0.0.1:8501"}, True),
        ("127.0.0.1", {"Host": "localhost:8501"}, True),
        ("::1", {"Host": "[::1]:8501"}, True),
        ("127.0.0.1", {"Host": "localhost"}, True),
        ("127.0.0.1", {"Host": "gradcam.example.org"}, False),  # a proxy, or a name that was bent to this machine
        ("127.0.0.1", {"Host": "localhost.example.org:8501"}, False),
        ("127.0.0.1", {"Host": "localhost:8501", "X-Forwarded-For": "203.0.113.9"}, False),
        ("127.0.0.1", {"Host": "localhost:8501", "Forwarded": "for=203.0.113.9"}, False),
        ("127.0.0.1", {}, False),
        (None, {"Host": "localhost:8501"}, False),
        ("0.0.0.0", {"Host": "localhost:8501"}, False),
        ("192.168.1.7", {"Host": "192.168.1.7:8501"}, False),
    ],
)
@pytest.mark.parametrize("said", ["auto", True, False])
def test_only_who_sits_at_the_machine_may_load_from_hubs_unless_the_operator_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, address: str | None, headers: dict[str, str], local: bool, said: bool | str
) -> None:
    monkeypatch.setattr(serving, "settings", lambda: Settings(server=Server(hub_models=said)))  # type: ignore[arg-type]
    monkeypatch.setattr(serving, "address", lambda: address)
    monkeypatch.setattr(type(st.context), "headers", headers)
    assert serving.may_use_hubs() is (local if said == "auto" else said)


def test_a_hub_is_not_asked_for_a_visitor_who_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "may_use_hubs", lambda: False)
    monkeypatch.setattr(library, "load_classifier", lambda model: pytest.fail("loaded"))
    with pytest.raises(OptionError, match=r"expected a model of the catalogue, got 'hf-hub:acme/leaves'"):
        library.use("hf-hub:acme/leaves")
    (panel,) = results.compared(["hf-hub:acme/leaves"], [sample_photo("coffee")], [Top(1)]).panels
    assert isinstance(panel, Failure)
    assert "server.hub_models" in panel.reason
    monkeypatch.setattr(ModelPool, "loaded", ("hf-hub:acme/leaves",))  # loaded for somebody who may
    assert library.class_names("hf-hub:acme/leaves") == ()


@pytest.mark.parametrize(
    "name", ["a..b/c/d", "./folder", "/etc/passwd", "..", "a/..", "a\\b/c", "", "a" * 9000, "ä/b"]
)
def test_no_id_of_a_hub_is_a_path_of_the_server(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(serving, "may_use_hubs", lambda: True)
    monkeypatch.setattr(library, "load_classifier", lambda model: pytest.fail("loaded"))
    with pytest.raises(OptionError, match=r"expected a (repository|model)") as refused:
        library.use(f"hf-hub:{name}")
    assert len(str(refused.value)) < 400


def test_an_upload_may_be_as_large_as_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    before = config.get_option("server.maxUploadSize")
    for one, run in [(7, 5), (5, 7)]:
        found = Settings(limits=Limits(upload_megabytes=one), runs=Runs(upload_megabytes=run))
        monkeypatch.setattr(serving, "settings", lambda found=found: found)
        serving.check_settings()
        assert config.get_option("server.maxUploadSize") == 7
    config.set_option("server.maxUploadSize", before)


# Nothing of a visitor is kept ---------------------------------------------------------------------------------


def a_photo(number: int) -> Photo:
    return Photo(np.full((8, 8, 3), number, np.uint8), f"{number}.png", f"{number:064}")


def failing(model: str) -> None:
    raise WeightsError(f"expected weights for {model}, found none; put them there")


def test_a_model_that_cannot_be_loaded_keeps_no_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "load_classifier", failing)
    seen: list[weakref.ref] = []
    for number in range(40):
        photo = a_photo(number)
        seen.append(weakref.ref(photo))
        (panel,) = results.compared([MISSING], [photo], [Top(1)]).panels
        assert isinstance(panel, Failure)
        assert panel.reason == f"expected weights for {MISSING}, found none; put them there"
        del photo, panel
    gc.collect()
    assert sum(one() is not None for one in seen) == 0


def test_waiting_for_a_model_that_cannot_be_loaded_keeps_nothing_even_before_a_collection() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def load(model: str) -> None:
        begun.set()
        go_on.wait(20)
        failing(model)

    pool = ModelPool(0, load)  # type: ignore[arg-type]
    seen: list[weakref.ref] = []

    def ask() -> None:
        photo = a_photo(1)
        seen.append(weakref.ref(photo))
        try:
            with pool.use(MISSING):
                pass
        except GradcamError:
            pass

    gc.disable()
    try:
        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        begun.wait(20)
        go_on.set()
        for thread in threads:
            thread.join(20)
        assert [one() for one in seen] == [None] * 3
    finally:
        gc.enable()


def test_a_failure_is_remembered_as_a_sentence_for_a_while_and_wrong_ids_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[str] = []

    def load(model: str) -> None:
        tried.append(model)
        raise ModelError(f"expected a model id, got {model}")

    monkeypatch.setattr(library, "load_classifier", load)
    patient = library._Patient()
    caught = []
    for _ in range(2):
        with pytest.raises(ModelError, match="expected a model id, got wrong") as refused:
            patient("wrong")
        caught.append(refused.value)
    assert tried == ["wrong"]
    assert caught[0] is not caught[1]
    for number in range(3 * library.MOST_FAILURES):
        with pytest.raises(ModelError):
            patient(f"timm/{number}")
    assert len(patient._failures) == library.MOST_FAILURES
    assert not any(isinstance(part, BaseException) for kept in patient._failures.values() for part in kept)


def test_decoded_photos_stay_within_their_memory_and_under_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        library, "open_photo", lambda data, name, **limits: Photo(a_photo(data[0]).pixels, name, "")
    )
    photos = library._Photos(most_bytes=5 * 8 * 8 * 3)
    for number in range(20):
        assert photos.open(uploads.Upload.of(f"mine {number}", bytes([number])), False).name == f"mine {number}"
    assert len(photos._kept) == 5
    assert {photo.name for photo in photos._kept.values()} == {""}


def test_a_session_keeps_its_newest_uploads() -> None:
    for number in range(uploads.MOST + 5):
        uploads.keep(uploads.Upload.of(f"{number}.png", bytes([number])))
    assert [one.name for one in uploads.by_token().values()] == [f"{n}.png" for n in range(5, uploads.MOST + 5)]
    st.session_state.clear()


# Nobody waits for another -------------------------------------------------------------------------------------


def test_a_file_that_takes_long_holds_up_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(data: bytes, name: str, **limits: int) -> Photo:
        if name == "slow.png":
            begun.set()
            assert go_on.wait(20)
        return Photo(a_photo(1).pixels, name, "")

    monkeypatch.setattr(library, "open_photo", slow)
    first = threading.Thread(target=library.decoded, args=(uploads.Upload.of("slow.png", b"1"),))
    first.start()
    assert begun.wait(20)
    assert library.decoded(uploads.Upload.of("quick.png", b"2")).name == "quick.png"
    assert first.is_alive()
    go_on.set()
    first.join(20)


def test_a_model_that_takes_long_holds_up_nobody_elses() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def load(model: str) -> object:
        if model == "slow":
            begun.set()
            assert go_on.wait(20)
        raise ModelError(model)

    pool = ModelPool(0, load)  # type: ignore[arg-type]

    def ask(model: str) -> None:
        with pytest.raises(ModelError, match=model), pool.use(model):
            pass

    first = threading.Thread(target=ask, args=("slow",))
    first.start()
    assert begun.wait(20)
    ask("quick")
    assert pool.loaded == ()
    assert first.is_alive()
    go_on.set()
    first.join(20)
