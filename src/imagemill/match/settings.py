"""What a config says of matching."""

from typing import Annotated

from pydantic import Field

from imagemill.calibration import Tracked
from imagemill.config import Section


class Config(Section):
    """When two images show the same thing."""

    radius: Annotated[int, Field(ge=0, le=16)]
    """Bits of 64 in which the perceptual hashes of a candidate pair may differ."""
    keypoint_radius: Annotated[int, Field(ge=0, le=8)]
    """Bits of 64 in which keypoints may differ of which two must agree."""
    min_colours: Annotated[float, Field(gt=0, le=1)]
    """Cosine of the colour thumbnails of tiny images, from which on they are a candidate pair."""
    min_similarity: Annotated[float, Field(gt=0, le=1)]
    """Cosine of the embeddings from which on two images are a candidate pair."""
    min_score: Annotated[float, Field(ge=-1, le=1)]
    """Verified likeness below which a candidate is no pair."""
    calibration: Tracked
    """What was learned of this dataset; its ``min_score`` counts in place of the one above."""
    min_texture: Annotated[float, Field(ge=0)]
    """Standard deviation of a thumbnail, 0..255, below which only equal pixels are a match."""
