"""Write and test the packaged dataset; see ``imagemill.package``."""

from imagemill import certificates, package, packs
from imagemill.engine import Engine
from imagemill.progress import say
from imagemill.stage import Paths, keeping_stage
from imagemill.tables import MANIFEST, PLACES


@keeping_stage
def main(config: package.Config, paths: Paths, engine: Engine) -> None:
    """Read the manifest and the packs; write every configured format, card and certificate."""
    manifest = MANIFEST.read(paths.of("leaks"))
    places = PLACES.read(paths.of("download"))
    kept = package.contents(manifest)
    folder = paths.of("download") / packs.FOLDER
    package.write(kept, places, folder, config, paths.out, paths.memo, engine)
    card = package.card.render(config.about, manifest)
    (paths.out / "README.md").write_text(card, encoding="utf-8")
    certificates.seal(paths.of("leaks") / certificates.FILE, paths.out)
    say(package.summary(kept, config))
