"""Ways of storing a picture: whole in any format, and broken in any way."""

import io
import struct
import zlib
from hashlib import sha256
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageDraw, ImageFilter
from PIL.PngImagePlugin import PngInfo

Picture = Image.Image

FORMATS = {".jpg": "JPEG", ".png": "PNG", ".gif": "GIF", ".webp": "WEBP"}

_TURNS = Image.Transpose
# What stores a picture so that a reader who obeys the orientation sees it upright.
_STORED = {
    2: _TURNS.FLIP_LEFT_RIGHT,
    3: _TURNS.ROTATE_180,
    4: _TURNS.FLIP_TOP_BOTTOM,
    5: _TURNS.TRANSPOSE,
    6: _TURNS.ROTATE_90,
    7: _TURNS.TRANSVERSE,
    8: _TURNS.ROTATE_270,
}


def encoded(picture: Picture, suffix: str, **options: Any) -> bytes:
    """Return the file of a picture, without time stamps, in the format of ``suffix``."""
    stream = io.BytesIO()
    picture.save(stream, FORMATS[suffix], **options)
    return stream.getvalue()


def plain(picture: Picture, suffix: str) -> bytes:
    """Return a clean file: larger than any copy of the same size, so that copies lose to it."""
    options = {".jpg": {"quality": 92}, ".png": {"compress_level": 1}}
    return encoded(picture, suffix, **options[suffix])


def jpeg(picture: Picture) -> bytes:
    """Return a clean JPEG."""
    return plain(picture, ".jpg")


def png(picture: Picture) -> bytes:
    """Return a clean PNG."""
    return plain(picture, ".png")


def decoded(data: bytes) -> Picture:
    """Return the RGB pixels of a clean file."""
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB")


# Whole, in forms that a reader has to understand


def oriented(picture: Picture, orientation: int) -> bytes:
    """Return a JPEG stored turned, with the EXIF tag that turns it back."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    turn = _STORED.get(orientation)
    stored = picture if turn is None else picture.transpose(turn)
    return encoded(stored, ".jpg", quality=92, exif=exif)


def private(picture: Picture) -> bytes:
    """Return a JPEG that tells where it was taken and whose camera took it."""
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Robin Example"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.CameraOwnerName] = "Robin Example"
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(
        {
            ExifTags.GPS.GPSLatitudeRef: "N",
            ExifTags.GPS.GPSLatitude: (52.0, 22.0, 12.0),
            ExifTags.GPS.GPSLongitudeRef: "E",
            ExifTags.GPS.GPSLongitude: (4.0, 53.0, 42.0),
        }
    )
    return encoded(picture, ".jpg", quality=92, exif=exif)


def cmyk(picture: Picture) -> bytes:
    """Return a JPEG of four inks, inverted as Adobe stores them."""
    return encoded(picture.convert("CMYK"), ".jpg", quality=92)


def sixteen_bit(picture: Picture) -> bytes:
    """Return a grey PNG whose levels fill the range 0..65535."""
    levels = np.asarray(picture.convert("L"), dtype=np.uint16) * np.uint16(257)
    return encoded(Image.fromarray(levels), ".png")


def rgba(picture: Picture) -> bytes:
    """Return a PNG that fades towards its lower edge."""
    return encoded(_faded(picture), ".png")


def grey_alpha(picture: Picture) -> bytes:
    """Return a grey PNG that fades towards its lower edge."""
    return encoded(_faded(picture).convert("LA"), ".png")


def palette(picture: Picture) -> bytes:
    """Return a PNG of 256 colours."""
    return encoded(picture.quantize(256), ".png")


def palette_alpha(picture: Picture) -> bytes:
    """Return a PNG of 256 colours of which the brightest is transparent."""
    few = picture.quantize(256)
    colours = np.asarray(few.getpalette(), dtype=np.int64).reshape(-1, 3)
    return encoded(few, ".png", transparency=int(colours.sum(axis=1).argmax()))


def gif(picture: Picture) -> bytes:
    """Return a GIF of one frame."""
    return encoded(picture.quantize(256), ".gif")


def webp(picture: Picture) -> bytes:
    """Return a lossy WebP."""
    return encoded(picture, ".webp", quality=92)


def animated(picture: Picture) -> bytes:
    """Return a GIF of three frames, each with a lamp at another place."""
    frames = [picture.copy() for _ in range(3)]
    for number, frame in enumerate(frames):
        left = 10 + 30 * number
        ImageDraw.Draw(frame).ellipse((left, 10, left + 12, 22), fill="red")
    first, *rest = (frame.quantize(256) for frame in frames)
    return encoded(first, ".gif", save_all=True, append_images=rest, duration=200, loop=0)


# Whole, of no use


def blurred(picture: Picture) -> bytes:
    """Return a picture far out of focus."""
    return jpeg(picture.filter(ImageFilter.GaussianBlur(5)))


def dark(picture: Picture) -> bytes:
    """Return a picture taken with the lens cap nearly on."""
    return jpeg(picture.point(lambda level: level * 0.05))


def bright(picture: Picture) -> bytes:
    """Return a picture exposed far too long."""
    return jpeg(picture.point(lambda level: 244 + level * 0.06))


def tiny(picture: Picture) -> bytes:
    """Return a thumbnail of 40x36."""
    return jpeg(picture.resize((40, 36), Image.Resampling.LANCZOS))


def stretched(picture: Picture) -> bytes:
    """Return a banner of 480x56."""
    return jpeg(picture.resize((480, 56), Image.Resampling.LANCZOS))


def flat(picture: Picture) -> bytes:
    """Return one colour, that of the picture's middle."""
    return png(Image.new("RGB", picture.size, _middle(picture)))


def framed(picture: Picture) -> bytes:
    """Return a placeholder: one colour, crossed out and framed in white."""
    card = Image.new("RGB", picture.size, _middle(picture))
    pen = ImageDraw.Draw(card)
    right, bottom = card.width - 1, card.height - 1
    pen.rectangle((0, 0, right, bottom), outline="white", width=3)
    pen.line((0, 0, right, bottom), fill="white", width=3)
    pen.line((0, bottom, right, 0), fill="white", width=3)
    return png(card)


# Broken


def truncated_jpeg(picture: Picture) -> bytes:
    """Return the first six tenths of a JPEG."""
    return _beginning(jpeg(picture))


def truncated_png(picture: Picture) -> bytes:
    """Return the first six tenths of a PNG."""
    return _beginning(png(picture))


def corrupt(picture: Picture) -> bytes:
    """Return a PNG with 16 bytes inverted in the middle of its compressed pixels."""
    data = bytearray(png(picture))
    middle = len(data) // 2
    data[middle : middle + 16] = bytes(255 - byte for byte in data[middle : middle + 16])
    return bytes(data)


def nothing(_: Picture) -> bytes:
    """Return the file of an upload that never began."""
    return b""


def html(picture: Picture) -> bytes:
    """Return the page that a server sent in place of the image."""
    request = sha256(picture.tobytes()).hexdigest()[:12]
    page = f"<!DOCTYPE html>\n<html><body><h1>404 Not Found</h1>{request}</body></html>\n"
    return page.encode()


def noise(picture: Picture) -> bytes:
    """Return 2 KiB in which there is no order."""
    seed = int.from_bytes(sha256(picture.tobytes()).digest()[:8])
    return np.random.default_rng(seed).bytes(2048)


def bomb(picture: Picture) -> bytes:
    """Return a small PNG that would take 10 GB of memory: 60000x60000 pixels, as its header says.

    The pixels end after a few lines; what comes before them is as the format asks.
    """
    side = 60_000
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    note = b"Comment\0" + sha256(picture.tobytes()).hexdigest().encode()
    lines = zlib.compress(bytes(8 * (1 + 3 * side)), 9)
    chunks = ((b"IHDR", head), (b"tEXt", note), (b"IDAT", lines), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in chunks)


# The same pixels in other bytes


def small_png(picture: Picture) -> bytes:
    """Return the smallest PNG."""
    return encoded(picture, ".png", optimize=True)


def lossless_webp(picture: Picture) -> bytes:
    """Return a WebP that keeps every pixel."""
    return encoded(picture, ".webp", lossless=True)


def noted_png(picture: Picture) -> bytes:
    """Return a small PNG with a line of text in it."""
    note = PngInfo()
    note.add_text("Software", "an editor that changed nothing")
    return encoded(picture, ".png", compress_level=9, pnginfo=note)


def _faded(picture: Picture) -> Picture:
    lines = np.linspace(255, 160, picture.height).astype(np.uint8)
    alpha = np.repeat(lines[:, None], picture.width, axis=1)
    faded = picture.convert("RGBA")
    faded.putalpha(Image.fromarray(alpha))
    return faded


def _middle(picture: Picture) -> tuple[int, int, int]:
    red, green, blue = (int(level) for level in np.asarray(picture).mean(axis=(0, 1)))
    return red, green, blue


def _beginning(data: bytes) -> bytes:
    return data[: len(data) * 6 // 10]


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
