"""Sheets of pictures for people, in notebooks and files."""

import base64
import html as markup
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Protocol

from PIL import Image, ImageDraw, ImageFont

GAP, CAPTION = 4, 14  # pixels
SHOWN = 20  # labels in a table


class Shown(Protocol):
    """What a sheet shows of an item."""

    @property
    def image(self) -> Image.Image:
        """The picture."""

    @property
    def name(self) -> str:
        """Its label."""


def drawn(items: Sequence[Shown], side: int) -> Image.Image:
    """Return a sheet, as square as it can be, of pictures no larger than ``side``."""
    columns = max(1, round(len(items) ** 0.5 + 0.49))
    lines = -(-len(items) // columns)
    wide, high = side + GAP, side + CAPTION + GAP
    sheet = Image.new("RGB", (columns * wide + GAP, max(1, lines) * high + GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for at, item in enumerate(items):
        left, top = GAP + at % columns * wide, GAP + at // columns * high
        picture = item.image.convert("RGB")
        scale = side / max(picture.size)
        picture = picture.resize(
            (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        )
        sheet.paste(picture, (left + (side - picture.width) // 2, top))
        draw.text((left, top + side), _cut(item.name, side, font), "black", font)
    return sheet


def _cut(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    while len(text) > 1 and font.getlength(text) > width:
        text = text[:-2] + "…"
    return text


def png(sheet: Image.Image) -> bytes:
    """Return a sheet as a file."""
    target = BytesIO()
    sheet.save(target, "PNG")
    return target.getvalue()


def html(title: str, counts: Mapping[str, int], sheet: Image.Image) -> str:
    """Return a table of labels beside a sheet; all that comes from a package is escaped."""
    rows = "".join(
        f"<tr><td>{markup.escape(label)}</td><td>{count:,}</td></tr>"
        for label, count in list(counts.items())[:SHOWN]
    )
    more = f"<p>and {len(counts) - SHOWN:,} labels more</p>" if len(counts) > SHOWN else ""
    data = base64.b64encode(png(sheet)).decode()
    return (
        f"<p>{markup.escape(title)}</p><table>{rows}</table>{more}"
        f'<img alt="random images" src="data:image/png;base64,{data}">'
    )
