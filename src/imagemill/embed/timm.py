"""Any model of the timm package, with weights from a local file."""

from typing import Any, Literal

from pydantic import JsonValue

from imagemill.embed.installed import module
from imagemill.embed.pytorch import TorchModel
from imagemill.embed.vectors import Network
from imagemill.errors import BuildError, suggest


class Timm(TorchModel):
    """A model by name, without its classifier."""

    kind: Literal["timm"]
    model: str
    """As timm calls it, such as ``resnet50`` or ``vit_small_patch14_dinov2``."""

    def fingerprint(self) -> dict[str, JsonValue]:
        """Return all that could change a vector."""
        return self._parts("timm")

    def load(self) -> Network:
        """Read the model; raises ``BuildError`` where it or its weights are missing."""
        model = self._made(module("timm"))
        self._fill(model)
        return self._network(model, model if self.pool == "none" else model.forward_features)

    def _made(self, timm: Any) -> Any:
        name = self.model.partition(".")[0]
        if name not in (known := timm.list_models()):
            raise BuildError(
                f"measure.embedder.model: timm has no {self.model}{suggest(name, known)[:200]}"
            )
        return timm.create_model(name, pretrained=False, num_classes=0)
