"""Several visitors load classifiers of transformers at once."""

from __future__ import annotations

import json
import logging
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
}
PROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "size": {"height": 32, "width": 32},
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


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

    def described(where: str) -> tuple[str, ...]:
        return huggingface.described(json.dumps(CONFIG), json.dumps(PROCESSOR), where).labels.names

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(described, ["hf:a/a", "hf:b/b", "hf:c/c"])) == [("cat", "dog")] * 3
    assert beside == [1, 1, 1]
    assert logs.get_verbosity() == level < logging.CRITICAL
