"""Write and test the packaged dataset; see ``imagemill.package``."""

import os

# Polars keeps what it has freed, which is a third of this stage's memory, unless this is said
# before it loads; where it is loaded already, as in who starts DVC, it has said otherwise.
os.environ["_RJEM_MALLOC_CONF"] = "dirty_decay_ms:0,muzzy_decay_ms:0"

from imagemill import certificates, package, packs
from imagemill.config import instantiate
from imagemill.engine import Engine
from imagemill.package import annotations
from imagemill.progress import say
from imagemill.stage import Paths, keeping_stage
from imagemill.tables import FACTS, MANIFEST, PLACES


@keeping_stage
def main(config: package.Config, paths: Paths, engine: Engine) -> None:
    """Read the manifest and the packs; write every configured format, card and certificate."""
    manifest = MANIFEST.scan(paths.of("leaks")).select(*package.MANIFEST)
    places = PLACES.scan(paths.of("download"))
    facts = FACTS.lazy(paths.of("measure")).select(*package.FACTS)
    source = package.Source(places, facts, paths.of("download") / packs.FOLDER)
    given = package.Input(manifest, source, annotations.read(paths.of("scan")))
    transforms = instantiate.each(config.transforms, "package.transforms")
    making = package.recipe(config, transforms)
    kept = package.write(given, config, making, paths.out, paths.memo, engine)
    listed = MANIFEST.scan(paths.of("leaks")).select(*package.card.WANTED).collect()
    card = package.card.render(config.about, listed, config.augment)
    (paths.out / "README.md").write_text(card, encoding="utf-8")
    package.seal(paths.of("leaks") / certificates.FILE, paths.out)
    say(package.summary(kept, config))
