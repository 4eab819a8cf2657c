"""The page as one file, to review without a server, and the verdicts that come back from it.

The file holds everything: styles, scripts, items and small pictures. A policy in its head lets
nothing in it run but our own script, known by its hash, and lets it fetch nothing.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qsl

from imagemill import images
from imagemill.errors import BuildError
from imagemill.files import replacing
from imagemill.review_page import items, queue
from imagemill.review_page.asking import Desk
from imagemill.review_page.items import Json
from imagemill.review_page.server import PAGE
from imagemill.reviews import file, order

SHEETS = ("tokens.css", "frame.css", "grid.css", "single.css", "dialogs.css")
START = "main.js"

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w.]+)";\n', re.M)
_EXPORT = re.compile(r"^export ((?:async )?function|class|const) (\w+)", re.M)


def write(desk: Desk, to: Path, query: str, most: int) -> str:
    """Write the open items that pass the filters of ``query`` to one file; return what to say.

    Of flagged images, pairs and leaks ``most`` each; of one of them where the query says so.
    """
    given = dict(parse_qsl(query.removeprefix("?")))
    kinds = [given.pop("kind")] if "kind" in given else ["images", "pairs", "leaks"]
    found = {kind: _items(desk, {**given, "kind": kind}, most) for kind in kinds}
    told = {**desk.start({}), "items": {kind: part for kind, (part, _) in found.items()}}
    told["counts"] |= {kind: len(found[kind][0]) if kind in found else 0 for kind in told["counts"]}
    told |= _pictures(desk, told["items"])
    with replacing(to) as part:
        part.write_text(page(told), encoding="utf-8")
    said = ", ".join(f"{len(part):,} of {total:,} {kind}" for kind, (part, total) in found.items())
    return (
        f"{to}: {said}, {to.stat().st_size / 1e6:.1f} MB. Open it in any browser; what it saves "
        f"comes back by `imagemill review {desk.dataset.name} --import FILE`"
    )


def take(desk: Desk, path: Path) -> str:
    """Add the verdicts of a file that an offline page saved; return what to say.

    Raises ``BuildError``, and adds nothing, where a line is wrong, or the file is of another
    dataset. What was added before is not added again.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BuildError(f"{path}: cannot be read: {error.strerror}") from error
    log = file.parse(content, path.name, desk.dataset.taxonomy).refuse()
    if log.torn or not log.reviews:
        raise BuildError(f"{path.name}: is cut short; save it again from the page")
    known = [each for each in log.reviews if desk.dataset.at(each.digest) is not None]
    if not known:
        raise BuildError(
            f"{path.name}: none of its {len(log.reviews):,} verdicts is on an image of "
            f"{desk.dataset.name}; is it of another dataset?"
        )
    there = set(desk.said.since(0))
    new = [each for each in order.not_ahead(log.reviews) if each not in there]
    if new:
        desk.said.add(new)
    gone = len(log.reviews) - len(known)
    lost = f"; {gone:,} on images that are gone, kept all the same" if gone else ""
    twice = len(log.reviews) - len(new)
    again = f"; {twice:,} were there already" if twice else ""
    return f"{desk.said.name}: {len(new):,} reviews added{again}{lost}. Build again."


def page(told: Json) -> str:
    """Return the file that shows ``told``: what ``Desk.start`` says, ``items`` and ``pictures``."""
    script, style = _script(), "\n".join(PAGE[name].decode() for name in SHEETS)
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    # In JSON a `<` stands in texts alone, and may be written so; no text then ends the element.
    data = json.dumps(told, ensure_ascii=False, sort_keys=True).replace("<", "\\u003c")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>imagemill review</title>\n<style>{style}</style>\n</head>\n<body>\n"
        '<div id="app"></div>\n<div id="live" class="hidden" role="status"></div>\n'
        f'<script type="application/json" id="data">{data}</script>\n'
        f'<script type="module">{script}</script>\n</body>\n</html>\n'
    )


def _items(desk: Desk, query: dict[str, str], most: int) -> tuple[list[Json], int]:
    given = queue.filters(query)
    rows = desk.rows(given).filter(queue.STATUS[given.status])
    shown = items.images if given.kind == "images" else items.pairs
    return shown(desk.dataset, desk.said, rows["id"].head(most).to_list()), len(rows)


def _pictures(desk: Desk, told: dict[str, list[Json]]) -> Json:
    """Return ``pictures``: ``data:`` addresses by digest and by pair; ``facts`` by digest."""
    pictures, facts = {}, {}
    for name, at in _wanted(desk, told):
        facts[name] = items.facts(desk.dataset, at)
        try:
            pictures[name] = _address(desk.pictures.thumb(at))
        except images.Unreadable:
            continue
    for pair in [*told.get("pairs", []), *told.get("leaks", [])]:
        a, b = pair["left"]["digest"], pair["right"]["digest"]
        if a in pictures and b in pictures and a != b:
            ends = (desk.dataset.at(a), desk.dataset.at(b))
            made = desk.pictures.difference(*ends, pair["transform"] or "none")  # type: ignore[arg-type]
            pictures[f"{a}.{b}"] = _address(made)
    return {"pictures": pictures, "facts": facts}


def _wanted(desk: Desk, told: dict[str, list[Json]]) -> Iterator[tuple[str, int]]:
    every = [each for part in told.values() for each in part]
    ends = [
        end
        for each in every
        for end in ([each["left"], each["right"]] if "left" in each else [each])
    ]
    for digest in dict.fromkeys(end["digest"] for end in ends):
        at = desk.dataset.at(digest)
        if at is not None:
            yield digest, at


def _address(picture: bytes) -> str:
    return f"data:image/jpeg;base64,{b64encode(picture).decode()}"


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _script() -> str:
    """Return the page's modules as one, in the order in which they need each other."""
    done: dict[str, str] = {}
    _bundle(START, done)
    return "\nconst modules = {};\n" + "".join(done.values())


def _bundle(name: str, done: dict[str, str]) -> None:
    text = PAGE[name].decode()
    for _, needed in _IMPORT.findall(text):
        if needed not in done:
            _bundle(needed, done)
    body = _IMPORT.sub(r'const {\1} = modules["\2"];\n', text)
    given = ", ".join(each for _, each in _EXPORT.findall(text))
    body = _EXPORT.sub(r"\1 \2", body)
    if name == START:
        done[name] = f"{body}\n"
    else:
        done[name] = f'modules["{name}"] = (() => {{\n{body}\nreturn {{ {given} }};\n}})();\n'
