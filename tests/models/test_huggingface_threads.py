"""Several visitors load classifiers of transformers at once."""

from __future__ import annotations

import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import transformers

from gradcam.models import huggingface

CONFIG = {
    "model_type": "vit",
    "architectures": ["ViTForImageClassification"],
    "id2label": {"0": "cat", "1": "dog"},
    "label2id": {"cat": 0, "dog": 1},
    "image_size": 32,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
}
PROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "size": {"height": 32, "width": 32},
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


def described(where: str) -> huggingface.HuggingFaceModel:
    return huggingface.described(json.dumps(CONFIG), json.dumps(PROCESSOR), where)


def test_one_thread_at_a_time_has_the_library_and_its_notices_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    read = transformers.AutoConfig.from_pretrained
    inside: list[str] = []
    beside: list[int] = []

    def slowly(*args: Any, **kwargs: Any) -> Any:
        inside.append("")
        time.sleep(0.1)
        beside.append(len(inside))
        inside.pop()
        return read(*args, **kwargs)

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", slowly)
    huggingface.described.cache_clear()
    logs = transformers.utils.logging
    level = logs.get_verbosity()

    with ThreadPoolExecutor(3) as pool:
        names = [found.labels.names for found in pool.map(described, ["hf:a/a", "hf:b/b", "hf:c/c"])]
    assert names == [("cat", "dog")] * 3
    assert beside == [1, 1, 1]
    assert logs.get_verbosity() == level < logging.CRITICAL


def test_a_model_is_described_while_another_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    logs, filling, filled = transformers.utils.logging, threading.Event(), threading.Event()
    level, fill = logs.get_verbosity(), transformers.ViTForImageClassification.from_pretrained

    def slowly(*args: Any, **kwargs: Any) -> Any:
        filling.set()
        assert filled.wait(60)
        assert logs.get_verbosity() == logging.CRITICAL  # though the other has ended
        return fill(*args, **kwargs)

    huggingface.described.cache_clear()
    made = described("hf:a/a")
    tensors = huggingface.build(made, None, "hf:a/a").state_dict()
    monkeypatch.setattr(transformers.ViTForImageClassification, "from_pretrained", slowly)
    with ThreadPoolExecutor(2) as pool:
        module = pool.submit(huggingface.build, made, tensors, "hf:a/a")
        try:
            assert filling.wait(60)
            assert pool.submit(described, "hf:b/b").result(60).labels.names == ("cat", "dog")
        finally:
            filled.set()
        assert module.result(60).state_dict().keys() == tensors.keys()
    assert logs.get_verbosity() == level < logging.CRITICAL
