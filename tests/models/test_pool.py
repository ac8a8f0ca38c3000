"""Models stay in memory while they are used, and leave in the order in which they were last asked for."""

from __future__ import annotations

import threading
import time
import weakref

import psutil
import pytest
from torch import nn

from gradcam import Classifier, Labels, ModelError, ModelSpec, OptionError, Preprocessing
from gradcam.models.pool import ModelPool, size_of

PLAIN = Preprocessing((4, 4), (4, 4))


def classifier(name: str, floats: int = 100) -> Classifier:
    return Classifier(nn.Linear(floats, 1, bias=False), PLAIN, Labels(("one",)), ModelSpec("own", name))


class Library:
    """Counts how often each model is loaded."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.loaded: list[str] = []
        self.seconds = seconds

    def __call__(self, name: str) -> Classifier:
        self.loaded.append(name)
        time.sleep(self.seconds)
        if name == "lost":
            raise ModelError("lost")
        return classifier(name)


def test_a_model_weighs_its_parameters_and_buffers() -> None:
    batch_norm = Classifier(nn.BatchNorm2d(10), PLAIN, Labels(("one",)), ModelSpec("own", "norm"))
    assert size_of(classifier("a")) == 400
    assert size_of(batch_norm) == 4 * 40 + 8  # weight, bias, mean and variance; a counter of 64 bits


def test_asking_again_loads_nothing() -> None:
    library = Library()
    pool = ModelPool(10_000, library)
    with pool.use("a") as first, pool.use("a") as second:
        assert first is second
    with pool.use("a") as third:
        assert third is first
    assert library.loaded == ["a"]


def test_the_least_recently_used_model_leaves_first() -> None:
    pool = ModelPool(800, Library())
    for name in ("a", "b", "a", "c"):
        with pool.use(name):
            pass
    assert pool.loaded == ("a", "c")


def test_a_model_in_use_never_leaves_whatever_the_budget() -> None:
    pool = ModelPool(0, Library())
    with pool.use("a") as used:
        with pool.use("b"):
            assert pool.loaded == ("a", "b")
        assert pool.loaded == ("a",)
        with pool.use("a") as again:
            assert again is used
    assert pool.loaded == ()


def test_many_threads_that_ask_at_once_share_one_loading() -> None:
    library = Library(seconds=0.05)
    pool = ModelPool(10_000, library)
    got: list[Classifier] = []

    def ask() -> None:
        with pool.use("a") as model:
            got.append(model)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert library.loaded == ["a"]
    assert len({id(model) for model in got}) == 1
    assert len(got) == 8


def test_different_models_load_side_by_side() -> None:
    together = threading.Barrier(2, timeout=10)

    def load(name: str) -> Classifier:
        together.wait()  # passes only when both are being loaded at the same time
        return classifier(name)

    pool = ModelPool(10_000, load)

    def ask(name: str) -> None:
        with pool.use(name):
            pass

    threads = [threading.Thread(target=ask, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(pool.loaded) == {"a", "b"}


def test_a_model_that_failed_to_load_is_tried_again() -> None:
    library = Library()
    pool = ModelPool(10_000, library)
    for _ in range(2):
        with pytest.raises(ModelError, match="lost"), pool.use("lost"):
            pass
    assert library.loaded == ["lost", "lost"]
    assert pool.loaded == ()


def test_the_budget_can_be_set_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADCAM_MODEL_BYTES", "12345")
    assert ModelPool().budget == 12345


@pytest.mark.parametrize("said", ["abc", "-1", "1e9", "4 GB", "٣", "9" * 5000, "1.5", "0x10", "1_000"])
def test_a_budget_that_is_no_number_is_a_short_sentence(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("GRADCAM_MODEL_BYTES", said)
    with pytest.raises(
        OptionError, match=r"expected a whole number of bytes in .*GRADCAM_MODEL_BYTES, got"
    ) as caught:
        ModelPool()
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("said", [None, "", " "])
def test_without_a_budget_it_is_half_of_the_memory_of_any_machine(
    monkeypatch: pytest.MonkeyPatch, said: str | None
) -> None:
    monkeypatch.delenv("GRADCAM_MODEL_BYTES", raising=False)
    monkeypatch.delattr("os.sysconf", raising=False)  # Windows has none
    if said is not None:
        monkeypatch.setenv("GRADCAM_MODEL_BYTES", said)
    assert ModelPool().budget == psutil.virtual_memory().total // 2


def test_a_model_that_failed_leaves_nothing_of_its_callers_in_memory() -> None:
    class Upload:
        """Something large that a caller holds."""

    def ask(upload: Upload) -> None:
        with pytest.raises(ModelError), pool.use("lost"):
            pass

    pool = ModelPool(10_000, Library())
    upload = Upload()
    gone = weakref.ref(upload)
    ask(upload)
    del upload
    assert gone() is None  # without the garbage collector: no cycle holds it


def test_those_who_wait_for_a_model_that_fails_each_hear_why_and_leave_nothing() -> None:
    class Upload:
        """Something large that a caller holds."""

    gone: list[weakref.ref[Upload]] = []
    heard: list[str] = []

    def ask() -> None:
        upload = Upload()
        gone.append(weakref.ref(upload))
        with pytest.raises(ModelError) as caught, pool.use("lost"):
            pass
        heard.append(str(caught.value))
        del caught

    pool = ModelPool(10_000, Library(seconds=0.1))
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == ["lost"] * 4
    assert [one() for one in gone] == [None] * 4
