"""Sync the packaged ImageFolder to S3; see ``imagemill.publish``."""

from imagemill import publish
from imagemill.stage import Paths, stage


@stage
def main(config: publish.Config, paths: Paths) -> None:
    """Read the package; bring the prefix up to it, and write the receipt."""
    receipt = publish.publish(config, paths.root, paths.dataset, paths.local)
    publish.write(paths.out, receipt)
