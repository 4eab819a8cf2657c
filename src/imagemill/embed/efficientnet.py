"""EfficientNet-Lite0 with the ImageNet weights that a package brings."""

from typing import Literal

from pydantic import JsonValue

from imagemill.embed.installed import module
from imagemill.embed.pytorch import TorchModel
from imagemill.embed.vectors import Network


class EfficientnetLite0(TorchModel):
    """Its last map of features, of 1,280 channels."""

    kind: Literal["efficientnet_lite0"]

    def fingerprint(self) -> dict[str, JsonValue]:
        """Return all that could change a vector."""
        return self._parts("efficientnet_lite_pytorch")

    def load(self) -> Network:
        """Read the model; raises ``BuildError`` where a package or the weights are missing."""
        models = module("efficientnet_lite_pytorch")
        model = models.EfficientNet.from_name("efficientnet-lite0", image_size=self.side)
        self._fill(model)
        return self._network(model, model.extract_features)
