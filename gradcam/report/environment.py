"""What computes the maps here and now: the machine and the packages on it."""

from __future__ import annotations

import platform
from importlib import metadata

import numpy as np
import torch

from gradcam import __version__
from gradcam.report.model import Environment


def environment() -> Environment:
    """This machine and the packages installed on it."""
    version = metadata.version
    return Environment(
        gradcam=__version__,
        python=platform.python_version(),
        torch=version("torch"),
        torchvision=version("torchvision"),
        timm=version("timm"),
        numpy=np.__version__,
        opencv=version("opencv-python-headless"),
        pillow=version("pillow"),
        cuda=f"{torch.version.cuda}, {torch.cuda.get_device_name()}" if torch.cuda.is_available() else "",
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        threads=torch.get_num_threads(),
    )
