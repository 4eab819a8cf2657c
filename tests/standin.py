"""The guide's two face sources at a thousandth of their size, for its commands to run on.

``docs/identities.md`` and ``docs/training.ipynb`` show what they give; ``test_guide`` says where
that is no longer so.
"""

import io
import random
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageDraw

from bench.reidnet.generate import Plan, counts, file, identity
from tests.draw import photo
from tests.servers import S3Server, serving_s3

BUCKET = "data-labeling.livereachmedia.com"
PREFIXES = {
    "faces_only": "datasets/faces_only/rekognition_set",
    "reidnet_v2": "datasets/reidnet_v2_training_data/rekognition_set",
}
SEED = 5  # with it, 18 identities of reidnet_v2 begin with 0
IN_V2, IN_BOTH, IN_FACES, SINGLE = 277, 28, 21, 125  # identities: where their photos lie
IMAGES = 1_247  # of the first three
SIDE = 112  # pixels

HAIR = ("#1c1410", "#4a2f1b", "#7a4a21", "#b8893b", "#8c8c8c", "#a8401f")
SKIN = ("#8d5524", "#c68642", "#e0ac69", "#f1c27d", "#ffdbac", "#5c3a21")
EYES = ("#2e536f", "#3d671d", "#451800", "#1b1b1b")


def face(who: int, shot: int) -> bytes:
    """Return a JPEG of a drawn face: ``who`` gives its features, ``shot`` its place and ground."""
    traits, chance = random.Random(f"who {who}"), random.Random(f"shot {who} {shot}")
    grey = Image.new("RGB", (SIDE, SIDE), "#b0b4b8")
    image = Image.blend(photo(who * 1000 + shot, SIDE, SIDE), grey, 0.6)
    draw = ImageDraw.Draw(image)
    x, y = 56 + chance.randint(-9, 9), 60 + chance.randint(-6, 6)
    wide, high = traits.randint(26, 34), traits.randint(34, 42)
    hair, skin, eyes = (traits.choice(each) for each in (HAIR, SKIN, EYES))
    draw.ellipse((x - wide - 4, y - high - 8, x + wide + 4, y + 14), fill=hair)
    draw.ellipse((x - wide, y - high, x + wide, y + high), fill=skin)
    draw.pieslice((x - wide, y - high - 2, x + wide, y), 180, 360, fill=hair)
    look, apart, lid = chance.randint(-3, 3), traits.randint(11, 15), traits.randint(4, 6)
    for eye in (x - apart, x + apart):
        draw.ellipse((eye - 6, y - 10 - lid, eye + 6, y - 10 + lid), fill="white")
        draw.ellipse((eye + look - 3, y - 13, eye + look + 3, y - 7), fill=eyes)
    draw.line((x, y - 4, x + traits.randint(-4, 4), y + 8, x, y + 8), fill="#6b4226", width=2)
    mouth, smile = traits.randint(9, 15), chance.randint(2, 14)
    draw.arc((x - mouth, y + 12, x + mouth, y + 16 + smile), 10, 170, "#8b1a1a", 3)
    target = io.BytesIO()
    image.save(target, "JPEG", quality=85)
    return target.getvalue()


def objects() -> dict[str, bytes]:
    """Return every object of both sources, by its key in the bucket.

    One name is in both sources for each identity that is. Three photos lie in both sources under
    one identity, one photo under two identities, and two keys show nobody.
    """
    found = {key(*place): face(who, shot) for who, shot, place in _shots()}
    for who in range(IN_V2, IN_V2 + 3):
        found[key("faces_only", who, 900)] = found[key("reidnet_v2", who, 0)]
    for who in (0, 1):
        found[key("reidnet_v2", who, 900)] = face(9_999, 0)
    found[f"{PREFIXES['reidnet_v2']}/train.idx"] = b""
    found[f"{PREFIXES['faces_only']}/index.csv"] = b"identity,photos\n"
    return found


def _shots() -> Iterator[tuple[int, int, tuple[str, int, int]]]:
    """Yield who is on each photo, which photo of theirs, and what ``key`` is to be given."""
    several = IN_V2 + IN_BOTH + IN_FACES
    photos = [*counts(Plan(0, several, IMAGES, SEED)), *[1] * SINGLE]
    for who, count in enumerate(photos):
        for shot in range(count):
            if who >= IN_V2 + IN_BOTH:
                yield who, shot, ("faces_only", who, shot)
            elif who >= IN_V2 and shot == count - 1:
                yield who, shot, ("faces_only", who, 0)  # the name of the other source's first
            else:
                yield who, shot, ("reidnet_v2", who, shot)


def key(source: str, who: int, number: int) -> str:
    """Return where a photo lies in the bucket."""
    folder = identity(SEED, who)[:24]
    return f"{PREFIXES[source]}/{folder}/{file(SEED, folder, number)}.jpg"


def put(server: S3Server, found: Mapping[str, bytes], bucket: str = BUCKET) -> None:
    """Put objects into a bucket."""
    client = server.client()

    def one(each: tuple[str, bytes]) -> None:
        client.put_object(Bucket=bucket, Key=each[0], Body=each[1])

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, found.items()))


@contextmanager
def serving(folder: Path) -> Iterator[S3Server]:
    """Run a store of its own that holds both sources, until the block ends."""
    with serving_s3(folder) as server:
        server.client().create_bucket(Bucket=BUCKET)
        put(server, objects())
        yield server
