"""Read and write pixels: the only code that opens an image.

``read`` turns any file into one upright 8-bit image, by one rule for each way of storing it:

=====================  ============================================================================
stored as              becomes
=====================  ============================================================================
EXIF orientation       applied, always (also ``irot``/``imir`` of AVIF; XMP's is not read)
grey, 1 to 8 bits      L
grey, 12 or 16 bits    L: the full range of the bits scaled to 0 to 255, rounded; never min-max
integers (``I``)       as 16 bits; ``unsupported_mode`` where a level lies outside 0 to 65535
floats (``F``)         ``unsupported_mode``: they have no agreed range
RGB, 8 bits            RGB, also where its channels are equal
RGB, 16 bits           RGB: the high byte of each sample
YCbCr, LAB             RGB
CMYK, YCCK             RGB: (1 - ink)(1 - black); ink in JPEGs is taken as inverted (Adobe's way)
palette                RGB
transparency           composited on white (alpha, transparent palette entry or colour)
animation, pages       the first frame; of an APNG, its default image
several JPEGs in one   the first (MPO stereo, gain maps, motion photos)
ICC profile            not applied, like the loaders of training frameworks; ``strip_metadata``
                       keeps it, ``encode`` writes none
=====================  ============================================================================

JPEG, PNG, WebP, GIF, BMP, TIFF, binary PNM (PBM, PGM, PPM) and AVIF are read; everything else
(SVG, PDF, PSD, HEIC, JPEG 2000, ICO, plain-text PNM, ...) is ``not_an_image``. A file ends as an
image or as ``Unreadable``.

Each file is first taken apart by the modules named after formats, and a decoder sees only the
parts that make the first frame. That is what keeps hostile metadata, frame chains and trailing
data away from it, and what notices files that end early where a decoder would pad them.
"""

from imagemill.images.encode import decoders, encode, strip_metadata
from imagemill.images.header import Header, header, meets_contract
from imagemill.images.levels import Levels, banded, decode_ready, of_levels
from imagemill.images.outcome import REASONS, Limits, Unreadable
from imagemill.images.pixels import BACKGROUND, read

__all__ = [
    "BACKGROUND",
    "REASONS",
    "Header",
    "Levels",
    "Limits",
    "Unreadable",
    "banded",
    "decode_ready",
    "decoders",
    "encode",
    "header",
    "meets_contract",
    "of_levels",
    "read",
    "strip_metadata",
]
