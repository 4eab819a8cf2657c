"""Let torchvision be imported beside a torch that was built for another device."""

import torch

OPERATORS = torch.library.Library("torchvision", "FRAGMENT")


def torchvision_alone() -> None:
    """Declare the operators that torchvision only describes where its own library has loaded.

    Its wheels are built for CUDA, and their library does not load beside a torch for processors
    alone; imports then fail with ``operator torchvision::nms does not exist``. No model here uses
    these operators. The declarations last as long as
    ``OPERATORS``.
    """
    for name in ("nms", "qnms"):
        try:
            OPERATORS.define(f"{name}(Tensor dets, Tensor scores, float threshold) -> Tensor")
        except RuntimeError:  # the real ones are there
            continue
