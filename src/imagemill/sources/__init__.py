"""Where images and label tables come from."""

from imagemill.sources.folder import Folder
from imagemill.sources.tables import Csv

Source = Folder
"""What a config may name as a source; each kind has ``open(root)``, which gives ``Objects``."""

TableSource = Csv
"""What a config may name as a table."""

__all__ = ["Csv", "Folder", "Source", "TableSource"]
