"""Decode an image, and bring every stored mode to 8-bit grey or RGB; policies in the package."""

from collections.abc import Callable

import numpy as np
from PIL import Image, _imaging
from PIL.Image import Transpose

from imagemill.images.anatomy import Anatomy
from imagemill.images.header import Header, dissected, guarded, of_jpeg, opened
from imagemill.images.outcome import Limits, Unreadable

BACKGROUND = 255
"""Grey level that shows through transparent pixels: white, as on most product pages."""

_WIDEST_PIXEL = 16  # bytes
_COPIED = 1 << 20  # pixels at a time, for what takes a copy

_UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


def read(
    data: bytes, limits: Limits, before: Callable[[int], None] = lambda _: None
) -> tuple[Header, Image.Image]:
    """Decode the upright first frame, in mode "L" or "RGB"; raises ``Unreadable``.

    The fourth byte that Pillow keeps with the three of a colour is 255, as ``measure`` relies on.
    Just before, ``before`` is told how many bytes of memory that takes at most.
    """
    anatomy = dissected(data, limits)
    header, pixels = _quickly(anatomy, before) or _opened(anatomy, data, limits, before)
    turn = _UPRIGHT.get(header.orientation)
    pixels = pixels.transpose(turn) if turn is not None else pixels
    pixels.info = {}
    return header, pixels


Before = Callable[[int], None]


def _quickly(anatomy: Anatomy, before: Before) -> tuple[Header, Image.Image] | None:
    """Decode a sound JPEG without opening it, which takes 5 % of the time; null of others.

    Pillow's decoder gets what it would after that, and says no more of a damaged one than that.
    """
    header = of_jpeg(anatomy)
    if header is None or anatomy.size is None:
        return None
    before(header.memory)
    try:
        with guarded(header.format):
            return header, unopened(anatomy.picture, header.mode, anatomy.size)
    except Unreadable:
        return None


def unopened(data: bytes, mode: str, size: tuple[int, int]) -> Image.Image:
    """Decode a JPEG with Pillow's decoder, which is told what is in its header."""
    blank: Image.Image = Image.Image()._new(_imaging.new(mode, size))
    blank.frombytes(data, "jpeg", mode, "", 1, 0)
    return blank


def _opened(
    anatomy: Anatomy, data: bytes, limits: Limits, before: Before
) -> tuple[Header, Image.Image]:
    header, image = opened(anatomy, data, limits)
    before(header.memory)
    # A JPEG in one piece: libjpeg cannot wait for more of an arithmetic-coded scan. Of others some
    # rows: less is put together a little at a time, and each of a TIFF's strips reads so much.
    piece = len(data) if header.format == "JPEG" else _WIDEST_PIXEL * image.width
    image.decodermaxblock = max(image.decodermaxblock, piece)
    with guarded(header.format):
        image.load()
        return header, _convert(image, header)


def _convert(image: Image.Image, header: Header) -> Image.Image:
    if header.mode == "LA" and image.mode == "RGBA":
        image = Image.merge("LA", (image.getchannel("R"), image.getchannel("A")))
    if header.alpha and image.mode in ("1", "L", "P", "RGB"):
        image = _with_alpha(image, header)
    convert = _CONVERT.get(image.mode)
    if convert is None:
        raise Unreadable("unsupported_mode", f"{header.format}: mode {header.mode}")
    return convert(image, header)


def _with_alpha(image: Image.Image, header: Header) -> Image.Image:
    """Turn the transparent colour or palette entries that a file names into alpha."""
    key = image.info.get("transparency")
    if isinstance(key, tuple) and header.bits > 8:
        # Pillow keeps 8 of 16 bits, too few to tell the transparent colour from its neighbours.
        raise Unreadable("unsupported_mode", f"{header.format}: a transparent 16-bit colour")
    if isinstance(key, tuple):
        image.info["transparency"] = tuple(level & 255 for level in key)
    elif isinstance(key, int) and image.mode == "L" and header.format == "PNG":
        # The key is in stored levels, the pixels are already spread over 0 to 255.
        most = 2**header.bits - 1
        image.info["transparency"] = (key & most) * 255 // most
    return image.convert("LA" if image.mode in ("1", "L") else "RGBA")


def _bare(image: Image.Image, _: Header) -> Image.Image:
    # Pillow's own way to a plain image on the same pixels: a copy takes a tenth of the decoding.
    return image._new(image.im)


def _to(mode: str) -> Callable[[Image.Image, Header], Image.Image]:
    return lambda image, _: image.convert(mode)


def _composite(image: Image.Image, mode: str, opaque: str) -> Image.Image:
    image = image if image.mode == mode else image.convert(mode)
    canvas = Image.new(opaque, image.size, (BACKGROUND,) * len(opaque))
    # Pasted as it is, alpha would be left in the fourth byte; copied at once, it takes much memory.
    rows = max(1, _COPIED // image.width)
    for top in range(0, image.height, rows):
        part = image.crop((0, top, image.width, min(image.height, top + rows)))
        canvas.paste(part.convert(opaque), (0, top), part.getchannel("A"))
    return canvas


def _grey_on_white(image: Image.Image, _: Header) -> Image.Image:
    return _composite(image, "LA", "L")


def _colour_on_white(image: Image.Image, _: Header) -> Image.Image:
    return _composite(image, "RGBA", "RGB")


def _scale(image: Image.Image, header: Header) -> Image.Image:
    """Map levels 0 to ``2**bits - 1`` to 0 to 255, rounded; never by what the image spans."""
    levels = np.asarray(image)
    most = 2 ** min(header.bits, 16) - 1
    if levels.min() < 0 or levels.max() > most:
        raise Unreadable("unsupported_mode", f"{header.format}: levels outside 0 to {most}")
    table = ((np.arange(most + 1) * 255 + most // 2) // most).astype(np.uint8)
    pixels = table[levels]
    key = image.info.get("transparency")
    if key is not None:
        pixels[levels == key] = BACKGROUND
    return Image.fromarray(pixels)


_CONVERT: dict[str, Callable[[Image.Image, Header], Image.Image]] = {
    **dict.fromkeys(("L", "RGB"), _bare),
    "1": _to("L"),
    **dict.fromkeys(("P", "CMYK", "YCbCr", "LAB"), _to("RGB")),
    **dict.fromkeys(("LA", "La"), _grey_on_white),
    **dict.fromkeys(("RGBA", "PA"), _colour_on_white),
    **dict.fromkeys(("I", "I;16", "I;16L", "I;16B", "I;16N"), _scale),
}
