"""Files that mean harm: cut short anywhere, with flipped bits, or far more than they seem."""

import random
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from tests import draw
from tests.make import file

Files = Iterator[tuple[str, bytes]]
Tags = dict[int, tuple[int, list[int]]]

MANY = 20_000
SIDE = 7_700  # pixels: an image of this side is just below the usual limit
BIG = 1 << 28


def seeds(width: int, height: int) -> dict[str, bytes]:
    """Return one sound file of each kind that is read, and of some that are not, by file name."""

    def photo(seed: int = 3) -> Image.Image:
        return draw.photo(seed, width, height)

    def write(form: str, **options: Any) -> bytes:
        return file(photo(), form, **options)

    def several(form: str, **options: Any) -> bytes:
        return write(form, save_all=True, append_images=[photo(4), photo(5)], **options)

    block = exif({274: (3, [6])})
    wide = np.asarray(photo().convert("L")).astype(np.uint16) * 257
    return {
        "baseline.jpg": write("JPEG", quality=60, exif=block),
        "progressive.jpg": write("JPEG", quality=60, progressive=True),
        "cmyk.jpg": file(photo().convert("CMYK"), "JPEG", quality=60),
        "two.mpo": several("MPO", quality=60),
        "rgb.png": write("PNG", exif=block),
        "palette.png": file(photo().quantize(16), "PNG", transparency=3),
        "deep.png": file(Image.fromarray(wide), "PNG"),
        "frames.png": several("PNG"),
        "still.gif": file(photo().quantize(16), "GIF"),
        "frames.gif": several("GIF"),
        "lossy.webp": write("WEBP", quality=60, exif=block),
        "lossless.webp": write("WEBP", lossless=True),
        "frames.webp": several("WEBP", quality=30),
        "raw.tif": write("TIFF"),
        "lzw.tif": write("TIFF", compression="tiff_lzw"),
        "jpeg.tif": write("TIFF", compression="jpeg"),
        "pages.tif": several("TIFF", compression="tiff_deflate"),
        "rgb.bmp": write("BMP"),
        "rgb.ppm": write("PPM"),
        "photo.avif": write("AVIF", quality=40, exif=block),
        "photo.jp2": write("JPEG2000"),
    }


def truncated(step: int) -> Files:
    """Yield every seed, cut at every ``step``-th byte."""
    for name, data in seeds(12, 9).items():
        for length in range(0, len(data), step):
            yield f"cut/{length}.{name}", data[:length]


def flipped(each: int, seed: int) -> Files:
    """Yield ``each`` copies of every seed with 1 to 8 bits flipped, mostly near the start."""
    chance = random.Random(seed)
    for name, data in seeds(64, 48).items():
        for number in range(each):
            damaged = bytearray(data)
            for _ in range(chance.randint(1, 8)):
                at = int(len(data) * chance.random() ** 2)
                damaged[at] ^= 1 << chance.randrange(8)
            yield f"flip/{seed}.{number}.{name}", bytes(damaged)


def spliced(each: int, seed: int) -> Files:
    """Yield ``each`` copies of every seed with a run of bytes removed, doubled, zeroed or drawn."""
    chance = random.Random(seed)
    for name, data in seeds(64, 48).items():
        for number in range(each):
            at = chance.randrange(len(data))
            end = min(len(data), at + chance.randint(1, 40))
            run = data[at:end]
            middle = chance.choice([b"", run * 2, bytes(len(run)), chance.randbytes(len(run))])
            yield f"splice/{seed}.{number}.{name}", data[:at] + middle + data[end:]


def misnamed() -> Files:
    """Yield sound files under the names of other formats, and what is no image at all."""
    forms = list(seeds(20, 16).items())
    for number, (name, data) in enumerate(forms):
        suffix = forms[(number + 5) % len(forms)][0].rsplit(".", 1)[1]
        yield f"misnamed/{name}.{suffix}", data
    for suffix in ("jpg", "png", "gif", "webp", "tif", "bmp", "ppm", "avif", "jp2"):
        yield f"misnamed/empty.{suffix}", b""
        yield f"misnamed/zeros.{suffix}", bytes(1000)
        yield f"misnamed/noise.{suffix}", random.Random(suffix).randbytes(1000)
    yield "misnamed/page.jpg", b"<!DOCTYPE html><title>404</title>"
    yield "misnamed/drawing.png", b"<svg xmlns='http://www.w3.org/2000/svg' width='1e9'/>"
    yield "misnamed/archive.jpg", b"PK\3\4" + bytes(60)
    yield "misnamed/script.png", b"%!PS-Adobe-3.0\n/x {x} def x\n"


def bombs() -> Files:
    """Yield small files that ask for very much: pixels, frames, parts, text, passes."""
    makers: list[Callable[[], Files]] = [
        _pngs,
        _jpegs,
        _gifs,
        _webps,
        _tiffs,
        _others,
        _full,
        _exifs,
        _profiles,
    ]
    for make in makers:
        for name, data in make():
            yield f"bomb/{name}", data


def chunk(name: bytes, body: bytes = b"") -> bytes:
    """Return a PNG chunk."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, *extra: bytes, rows: bytes = b"", colour: int = 2) -> bytes:
    """Return a PNG of 8 bits with these chunks before its pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(rows, 9)) if rows else b""
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + pixels + chunk(b"IEND")


def zeros(length: int) -> bytes:
    """Return so many zero bytes, deflated."""
    deflate = zlib.compressobj(9)
    piece = bytes(1 << 20)
    parts = [deflate.compress(piece) for _ in range(length >> 20)]
    return b"".join(parts) + deflate.flush()


def _pngs() -> Files:
    text, row = zeros(BIG), bytes(1 + 3 * 8)
    yield "wide.png", png(2**31 - 1, 1, rows=row)
    yield "high.png", png(1, 2**31 - 1, rows=row)
    yield "both.png", png(60_000, 60_000, rows=row)
    yield "none.png", png(0, 8, rows=row)
    yield "long_row.png", png(59_000_000, 1, rows=bytes(59_000_001), colour=0)
    yield "long_column.png", png(1, 59_000_000, rows=bytes(118_000_000), colour=0)
    yield "text.png", png(8, 1, chunk(b"zTXt", b"a\0\0" + text), rows=row)
    yield "texts.png", png(8, 1, *[chunk(b"zTXt", b"a\0\0" + text[:20_000])] * 200, rows=row)
    yield "itxt.png", png(8, 1, chunk(b"iTXt", b"a\0\1\0\0\0" + text), rows=row)
    yield "profile.png", png(8, 1, chunk(b"iCCP", b"a\0\0" + text), rows=row)
    yield "plain_text.png", png(8, 1, chunk(b"tEXt", b"a\0" + bytes(1 << 23)), rows=row)
    yield "chunks.png", png(8, 1, *[chunk(b"tEXt", b"a\0b")] * MANY * 10, rows=row)
    yield "empty_pixels.png", png(8, 1, *[chunk(b"IDAT")] * MANY, rows=row)
    yield "frames.png", png(8, 1, *[chunk(b"fcTL", bytes(26))] * MANY, rows=row)
    yield "palettes.png", png(8, 1, *[chunk(b"PLTE", bytes(768))] * 5_000, rows=row)
    yield "too_much.png", png(8, 1, chunk(b"IDAT", text))
    one = [chunk(b"IDAT", bytes([byte])) for byte in zlib.compress(bytes(300 * 901))]
    yield "bytewise.png", png(300, 300, *one)


def segment(marker: int, body: bytes) -> bytes:
    """Return a JPEG segment."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _jpegs() -> Files:
    photo = draw.photo(3, 64, 48)
    plain, progressive = file(photo, "JPEG"), file(photo, "JPEG", progressive=True)
    size = plain.index(b"\xff\xc0") + 5
    for name, sides in {"wide": (1, 65_535), "high": (65_535, 1), "both": (65_535,) * 2}.items():
        yield f"{name}.jpg", plain[:size] + struct.pack(">HH", *sides) + plain[size + 4 :]
    yield "comments.jpg", plain[:2] + segment(0xFE, b"x") * MANY * 10 + plain[2:]
    yield "long_comments.jpg", plain[:2] + segment(0xFE, bytes(65_000)) * 200 + plain[2:]
    tables = plain[plain.index(b"\xff\xc4") : plain.index(b"\xff\xda")]
    yield "tables.jpg", plain[:2] + tables * 20_000 + plain[2:]
    yield "fill.jpg", plain[:2] + b"\xff" * 1_000_000 + plain[2:]
    yield "restarts.jpg", plain[:-2] + b"\xff\xd0" * 500_000 + plain[-2:]
    last = progressive.rindex(b"\xff\xda")
    scan, start = progressive[last:-2], progressive[:last]
    yield "scans.jpg", start + scan * 20_000 + progressive[-2:]
    yield "most_scans.jpg", start + scan * 150 + progressive[-2:]
    wide = file(Image.new("L", (SIDE, SIDE), 90), "JPEG", progressive=True)
    last = wide.rindex(b"\xff\xda")
    yield "large_scans.jpg", wide[:last] + (wide[last : last + 10] + b"\0") * 190 + wide[-2:]
    yield "large_few_scans.jpg", wide[:last] + wide[last:-2] * 20 + wide[-2:]
    yield "thumbnails.jpg", plain[:2] + segment(0xE1, b"Exif\0\0" + plain) * 500 + plain[2:]


def _gifs() -> Files:
    frame = b",\0\0\0\0\1\0\1\0\0\2\2D\1\0"
    head = b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff"
    yield "frames.gif", head + frame * MANY + b";"
    yield "more_frames.gif", head + frame * MANY * 10 + b";"
    yield "comment.gif", head + b"!\xfe" + (b"\xff" + bytes(255)) * MANY + b"\0" + frame + b";"
    yield "comments.gif", head + b"!\xfe\1a\0" * MANY * 10 + frame + b";"
    yield "wide.gif", head[:6] + b"\xff\xff\xff\xff" + head[10:] + frame + b";"
    yield "wide_frame.gif", head + b",\0\0\0\0\xff\xff\xff\xff" + frame[9:] + b";"
    yield "far_frame.gif", head + b",\xff\xff\xff\xff\1\0\1\0" + frame[9:] + b";"
    yield "wide_first.gif", head + b",\0\0\0\0\xff\x1f\xff\x1f" + frame[9:] + b";"


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a WebP of these chunks."""
    parts = (n + struct.pack("<I", len(b)) + b + bytes(len(b) % 2) for n, b in chunks)
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _webps() -> Files:
    still = file(draw.photo(3, 16, 16), "WEBP", lossless=True)
    (length,) = struct.unpack_from("<I", still, 16)
    picture = (still[12:16], still[20 : 20 + length])
    side = struct.pack("<I", 16_383)[:3]
    frame = (b"ANMF", bytes(6) + b"\x0f\0\0" * 2 + bytes(4) + still[12 : 20 + length])
    head, around = (b"VP8X", b"\2\0\0\0" + b"\x0f\0\0" * 2), (b"ANIM", bytes(6))
    yield "wide.webp", riff((b"VP8X", b"\0\0\0\0" + side * 2), picture)
    yield "frames.webp", riff(head, around, *[frame] * 5_000)
    yield "wide_frames.webp", riff((b"VP8X", b"\2\0\0\0" + side * 2), around, *[frame] * 50)
    yield "chunks.webp", riff(head, *[(b"XXXX", b"")] * MANY * 10, picture)
    yield "text.webp", riff((b"VP8X", b"\4" + head[1][1:]), picture, (b"XMP ", bytes(1 << 23)))
    yield "large.webp", file(Image.new("RGB", (SIDE, SIDE), 90), "WEBP", lossless=True, quality=0)


def tiff(tags: Tags, *blobs: bytes, following: int = 0) -> bytes:
    """Return a TIFF of one directory: tag to (type, values), after blobs that start at byte 8."""
    out = bytearray(b"II*\0\0\0\0\0" + b"".join(blobs))
    records = b""
    for tag, (kind, values) in sorted(tags.items()):
        value = struct.pack(f"<{len(values)}{ {1: 'B', 3: 'H', 4: 'L', 7: 'B'}[kind] }", *values)
        if len(value) > 4:
            value, place = struct.pack("<L", len(out)), value
            out += place
        records += struct.pack("<HHL4s", tag, kind, len(values), value)
    at = struct.pack("<L", len(out))
    directory = struct.pack("<H", len(tags)) + records + struct.pack("<L", following)
    return bytes(out[:4] + at + out[8:]) + directory


def grey(width: int, height: int, pieces: list[tuple[int, int]], **more: int) -> Tags:
    """Return the tags of a grey TIFF whose strips, or tiles, are (offset, length) each."""
    starts, lengths = [each[0] for each in pieces], [each[1] for each in pieces]
    tags: Tags = {256: (4, [width]), 257: (4, [height]), 258: (3, [8]), 262: (3, [1])}
    tags |= {int(tag[1:]): (4, [value]) for tag, value in more.items()}
    at = (324, 325) if 322 in tags else (273, 279)
    return tags | {277: (3, [1]), at[0]: (4, starts), at[1]: (4, lengths)}


def _tiffs() -> Files:
    one, line = [(8, 100)], bytes(100)
    yield "wide.tif", tiff(grey(2**32 - 1, 1, one), line)
    yield "both.tif", tiff(grey(65_000, 65_000, one), line)
    strips = grey(100, 200_000, [(8, 100)] * 200_000, t278=1)
    yield "strips.tif", tiff(strips, line)
    packed = zlib.compress(bytes(4_000)) + bytes(2_000_000)
    again = [(8, len(packed))] * 15_000
    yield "overlapping.tif", tiff(grey(4_000, 15_000, again, t278=1, t259=8), packed)
    tile = zlib.compress(bytes(2_048 * 2_048), 9)
    tiles = [(8, len(tile))] * 489
    yield "tiles.tif", tiff(grey(1, 1_000_000, tiles, t322=2_048, t323=2_048, t259=8), tile)
    tiles = [(8, len(tile))] * 62_500
    yield "more_tiles.tif", tiff(grey(10**6, 1, tiles, t322=16, t323=2**18, t259=8), tile)
    plain = tiff(grey(10, 10, one), line)
    (at,) = struct.unpack_from("<L", plain, 4)
    yield "loop.tif", plain[:-4] + struct.pack("<L", at)
    page, first = plain[at:-4], len(plain)
    ends = (struct.pack("<L", first + number * (len(page) + 4)) for number in range(MANY - 1))
    pages = b"".join(end + page for end in ends)
    yield "pages.tif", plain[:-4] + pages + bytes(4)
    yield "tags.tif", tiff({**grey(10, 10, one), **{n: (7, [0] * 9) for n in range(400, 30_000)}})
    huge = file(draw.photo(3, 64, 48), "JPEG", progressive=True)
    last = huge.rindex(b"\xff\xda")
    scans = huge[:last] + huge[last:-2] * 1_000 + huge[-2:]
    inside = {**grey(64, 48, [(8, len(scans))], t259=7), 277: (3, [3]), 262: (3, [6])}
    yield "scans.tif", tiff({**inside, 258: (3, [8, 8, 8])}, scans)
    fax: Tags = {258: (3, [1])}
    for name in (2, 3, 4):
        lines = {**grey(59_000_000, 1, [(8, 1_000)], t259=name), **fax}
        yield f"wide_fax_{name}.tif", tiff(lines, random.Random(name).randbytes(1_000))
    for name in (2, 3, 4, 5, 32_773, 34_925, 50_000):
        data = random.Random(name).randbytes(200_000)
        bits = fax if name < 5 else {}
        yield f"{name}.tif", tiff({**grey(60_000, 900, [(8, len(data))], t259=name), **bits}, data)


def _others() -> Files:
    for name, sides in {"wide": (2**31 - 1, 1), "both": (60_000, 60_000), "under": (9, -9)}.items():
        info = struct.pack("<IiiHHIIiiII", 40, *sides, 1, 24, 0, 0, 0, 0, 0, 0)
        yield f"{name}.bmp", b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info + bytes(300)
    for name, runs in {"lines": b"\0\0", "jumps": b"\0\2\xff\xff", "nothing": b"\1\0"}.items():
        info = struct.pack("<IiiHHIIiiII", 40, SIDE, SIDE, 1, 8, 1, 0, 0, 0, 256, 0)
        head = b"BM" + struct.pack("<IHHI", 0, 0, 0, 1078) + info + bytes(1024)
        yield f"{name}.bmp", head + b"\5\1" + runs * 300_000
    yield "long_row.ppm", b"P5 59000000 1 255\n" + bytes(59_000_000)
    yield "both.ppm", b"P6 100000 100000 255\n" + bytes(300)
    yield "levels.pgm", b"P5 3000 2000 100\n" + bytes(6_000_000)
    yield "levels.ppm", b"P6 1000 1000 1000\n" + bytes(6_000_000)
    yield "comments.ppm", b"P6 " + b"#\n" * 500_000 + b"8 8 255\n" + bytes(192)
    yield "digits.ppm", b"P6 " + b"0" * 1_000_000 + b"8 8 255\n" + bytes(192)
    still = file(draw.photo(3, 16, 16), "AVIF")
    at = still.index(b"ispe") + 8
    for name, sides in {"wide": (2**31 - 1, 1), "both": (65_535, 65_535)}.items():
        yield f"{name}.avif", still[:at] + struct.pack(">II", *sides) + still[at + 8 :]
    yield "boxes.avif", still + struct.pack(">I4s", 8, b"free") * MANY * 10
    yield "first_boxes.avif", still[:32] + struct.pack(">I4s", 8, b"free") * MANY + still[32:]


def _full() -> Files:
    """Yield sound images of almost as many pixels as are allowed of their kind."""
    size = (SIDE, SIDE)
    yield "full.png", file(Image.new("RGBA", size, (9, 9, 9, 9)), compress_level=1)
    yield "full.gif", file(Image.new("P", size), "GIF")
    yield "full_cmyk.jpg", file(Image.new("CMYK", (6_300, 6_300)), "JPEG", progressive=True)
    whole = Image.new("RGB", (6_900, 6_900), (9, 99, 199))
    yield "full_scans.jpg", file(whole, "JPEG", progressive=True, subsampling=0)
    small = whole.resize((5_400, 5_400))
    yield "full.webp", file(small, "WEBP", lossless=True, quality=0)
    yield "full_frames.webp", file(small, "WEBP", save_all=True, append_images=[small])
    yield "full_deep.png", file(Image.new("I;16", size), compress_level=1)
    yield "full.tif", file(Image.new("RGB", size), "TIFF", compression="tiff_deflate")
    clear = Image.new("RGBA", (6_000, 6_000), (9, 99, 199, 9))
    yield "full.avif", file(clear, "AVIF", speed=10, subsampling="4:4:4")


def exif(tags: Tags, following: int = 0) -> bytes:
    """Return an EXIF block."""
    return b"Exif\0\0" + tiff(tags, following=following)


def _exifs() -> Files:
    photo = draw.photo(3, 24, 16)
    blocks = {
        "itself": exif({34_665: (4, [8]), 34_853: (4, [8]), 40_965: (4, [8])}),
        "circle": exif({274: (3, [6])}, following=8),
        "many": exif({tag: (4, [8]) for tag in range(1, 5_000)}),
        "far": exif({34_665: (4, [2**32 - 1]), 34_853: (4, [2**31])}),
        "long": exif({271: (7, [65] * 60_000), 37_500: (7, [0] * 1_000)})[:65_000],
        "many_values": exif({274: (3, [6] * 20_000)}),
        "cut": exif({274: (3, [6]), 271: (7, [65] * 60)})[:-30],
    }
    for name, block in blocks.items():
        for form, suffix in (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")):
            if len(block) < 65_000 or form != "JPEG":
                yield f"exif_{name}.{suffix}", file(photo, form, exif=block)
    yield "exif_itself.tif", tiff({**grey(10, 10, [(8, 100)]), 34_665: (4, [108])}, bytes(100))


def _profiles() -> Files:
    profile = random.Random(1).randbytes(1 << 22)
    for form, suffix in (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("TIFF", "tif")):
        yield f"profile.{suffix}", file(draw.photo(3, 24, 16), form, icc_profile=profile)
    head: dict[str, Any] = {"icc_profile": profile[:200_000]}
    yield "profile.avif", file(draw.photo(3, 24, 16), "AVIF", **head)
    plain = file(draw.photo(3, 24, 16), "JPEG")
    parts = (segment(0xE2, b"ICC_PROFILE\0\1\xff" + bytes(65_000)) for _ in range(1_000))
    yield "profiles.jpg", plain[:2] + b"".join(parts) + plain[2:]
