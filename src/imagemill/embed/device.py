"""Where a model runs: on the CPU, or on an NVIDIA GPU where there is one."""

import os
from pathlib import Path
from typing import Literal

Device = Literal["auto", "cpu", "cuda"]
"""``auto``: a GPU where there is one and the installed package can use it."""

GROUP = {"cpu": 1, "cuda": 16}
"""Images that go through a model together. One on a CPU; a full group on a GPU, where what is
missing is filled up with zeros. So a vector does not depend on how many images are asked for."""


def chosen(device: Device, *, usable: bool) -> Literal["cpu", "cuda"]:
    """Return where to run; ``usable``: the installed package is built for CUDA."""
    if device != "auto":
        return device
    return "cuda" if usable and has_gpu() else "cpu"


def has_gpu() -> bool:
    """Tell whether the kernel shows an NVIDIA GPU that ``CUDA_VISIBLE_DEVICES`` does not hide.

    CUDA itself is not asked: it would have to be loaded, in a process that only plans the work.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    return any(Path("/dev").glob("nvidia[0-9]*"))
