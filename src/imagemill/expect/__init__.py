"""What a dataset is expected to hold: a build that falls short stops, and says where to look."""

from imagemill.expect.bounds import Bounds, Figures, Photos, Result
from imagemill.expect.checks import photos, result, sources
from imagemill.expect.shrinkage import shrunk

__all__ = ["Bounds", "Figures", "Photos", "Result", "photos", "result", "shrunk", "sources"]
