"""On a Ray cluster a run ends with the bytes and rows that it has on one machine."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from gradcam import load_classifier
from gradcam.errors import RunError
from gradcam.models import Classifier
from gradcam.models.devices import to_device_layout
from gradcam.models.numerics import numerics_for
from gradcam.runs import Engine, Run, Settings, Status, plan, ray_engine
from gradcam.runs.data_set import Folder
from gradcam.runs.local_engine import Computing
from gradcam.runs.plan import PlannedModel
from gradcam.runs.store import Store
from tests.runs.small_set import NET, SETTINGS, classifiers, rows_of, run_over, shards_of, write_set

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ROOT = str(Path(__file__).parents[2])
PHOTOS = 40
SHARDS = PHOTOS // SETTINGS.batch * len(classifiers())


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes, on this machine, of one processor each."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([ROOT, *sys.path])
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes.add_node(num_cpus=1)
    ray.init(address=nodes.address, log_to_driver=False)
    yield ray
    ray.shutdown()
    nodes.shutdown()
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("set"), PHOTOS)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_over(data, tmp_path_factory.mktemp("runs") / "whole")


def _workers() -> list[psutil.Process]:
    """The actors' processes, all of them begun by this one; after a kill Ray may need a while to begin one."""
    for _ in range(600):
        if found := [process for process in psutil.Process().children(recursive=True) if _is_worker(process)]:
            return found
        time.sleep(0.1)
    pytest.fail("expected a worker within a minute, got none")


def _is_worker(process: psutil.Process) -> bool:
    with suppress(psutil.Error):  # it may have ended just now
        return any("ray::Worker" in word for word in process.cmdline())
    return False


def test_workers_that_are_killed_at_random_instants_are_asked_again_and_the_run_ends_alike(
    cluster: Any, data: Path, whole: Run, tmp_path: Path
) -> None:
    assert len(cluster.nodes()) == 2
    chance, killed = random.Random(0), set[int]()
    due = chance.sample(range(1, SHARDS), 2)
    done = 0

    def kill_one(status: Status) -> None:
        nonlocal done
        if status.done:
            done += 1
        if done in due:
            time.sleep(chance.uniform(0, 0.02))
            killed.add(victim := chance.choice(_workers()).pid)
            os.kill(victim, signal.SIGKILL)

    run = run_over(data, tmp_path / "run", engine=Engine("ray", on_progress=kill_one))
    assert len(killed) == 2, f"killed after {due} of {SHARDS} shards"
    assert run.status() == whole.status()
    assert shards_of(run) == shards_of(whole)
    assert rows_of(run) == rows_of(whole)


def test_a_run_that_one_engine_began_is_finished_by_the_other(
    cluster: Any, data: Path, whole: Run, tmp_path: Path
) -> None:
    assert cluster.is_initialized()
    for first, second in (("local", "ray"), ("ray", "local")):
        stop = threading.Event()
        until = Engine(
            first, 2, stop=stop, on_progress=lambda status, stop=stop: stop.set() if status.done else None
        )
        run = run_over(data, tmp_path / first, engine=until)
        assert 0 < len(Store(run.folder).finished()) < 10
        run_over(data, run.folder, engine=Engine(second, 2))
        assert shards_of(run) == shards_of(whole)
        assert rows_of(run) == rows_of(whole)


def test_a_model_of_which_a_node_has_another_is_refused_in_a_sentence(cluster: Any) -> None:
    assert cluster.is_initialized()
    one, other = classifiers()
    planned = plan.new_plan(Settings()).extended([PlannedModel.of(one, "own", "grid", {})], ["Grad-CAM"], ["top"])
    with pytest.raises(RunError, match="expected plain/own on every node as on the first"):
        ray_engine.Worker(plan.encode(planned), Folder(Path()), (0,), other)


def test_a_node_loads_a_model_by_its_id_unless_that_would_compute_in_another_way() -> None:
    fast, exact = (load_classifier(NET, device="cpu", exact=exact) for exact in (False, True))
    assert _sent(fast) == NET
    assert _sent(exact) is exact
    wide = torch.nn.Conv2d(1024, 1024, 1)  # without a BatchNorm a fast model differs in its wide convolutions alone
    modules = [to_device_layout(wide, fast.device, fast=by_products) for by_products in (False, True)]
    by_convolutions, by_products = (
        replace(fast, module=module, numerics=numerics_for(module, fast.device, exact=module is wide))
        for module in modules
    )
    assert _sent(by_convolutions) is by_convolutions
    assert _sent(by_products) == NET


def _sent(classifier: Classifier) -> str | Classifier:
    """What a node is given for a classifier that the plan calls `NET`."""
    planned = PlannedModel.of(load_classifier(NET), NET, "auto", {})
    computing = Computing(
        plan.new_plan(Settings()).extended([planned], ["Grad-CAM"], ["top"]),
        Folder(Path()),
        {0: classifier},
        add=lambda column, batch, encoded: pytest.fail("nothing is computed"),
        stop=threading.Event(),
    )
    return ray_engine._sent(computing, 0)
