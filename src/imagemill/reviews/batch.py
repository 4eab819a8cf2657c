"""Verdicts on many images at once, from a notebook; the same file and the same rules as ever."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import polars as pl

from imagemill import config
from imagemill.errors import BuildError, suggest
from imagemill.reviews import file, ids, manifest, order, rows
from imagemill.reviews.rows import Review
from imagemill.reviews.taxonomy import NONE, RELABEL, Taxonomy
from imagemill.tables import EVIDENCE, REVIEWS, SAMPLES

SHOWN = 5  # images that a message names

Images = pl.DataFrame | Iterable[str | int]
"""Rows of ``Batch.flagged``, or image ids, image paths or content hashes."""


class _Image(NamedTuple):
    digest: str
    suggested: str | None


class Batch:
    """What is flagged in a dataset, and verdicts that are not saved yet."""

    def __init__(self, root: Path, dataset: str, flagged: pl.DataFrame, taxonomy: Taxonomy) -> None:
        self.flagged = flagged
        """One row for each flag; the cleaning guide's columns, and ``digest``."""
        self._root = root
        self._dataset = dataset
        self._taxonomy = taxonomy
        self._unsaved: list[Review] = []

    def filter(self, flag: str, above: float | None = None) -> pl.DataFrame:
        """Return the rows of ``flagged`` with this flag, of a confidence greater than ``above``."""
        found = self.flagged.filter(vl_flag_type=flag)
        if found.is_empty():
            known = self.flagged["vl_flag_type"].drop_nulls().unique()
            raise BuildError(f"no image is flagged as {flag}{suggest(flag, known)}")
        return found if above is None else found.filter(pl.col("vl_confidence") > above)

    def tag(
        self,
        images: Images,
        *,
        reviewer: str,
        tags: Iterable[str] = (),
        action: str = NONE,
        label: str | None = None,
        note: str = "",
    ) -> int:
        """Give each of ``images`` a verdict; return how many. Nothing is written before ``save``.

        A ``relabel`` without ``label`` gives each image the label that is suggested for it. Raises
        ``BuildError`` where one is not known, names several, or has no label.
        """
        found = self._images(images)
        time, words = rows.now(), tuple(tags)
        if action == RELABEL and label is None:
            _refuse_unlabelled(found)
        for image in found:
            new = (label or image.suggested or "") if action == RELABEL else label or ""
            said = Review(image.digest, "", "", words, action, new, reviewer, time, note)
            self._add(said)
        return len(found)

    def pair(self, one: str, two: str, action: str, *, reviewer: str, note: str = "") -> None:
        """Say of two images, named as in ``tag``, that they are ``same`` or ``different``."""
        a, b = (self._images([each])[0].digest for each in (one, two))
        self._add(rows.pair(a, b, action, reviewer, rows.now(), note))

    def annotation(
        self,
        image: str,
        number: int,
        action: str,
        *,
        reviewer: str,
        label: str = "",
        note: str = "",
    ) -> None:
        """Keep, remove or relabel one annotation of an image, by its id."""
        digest = self._images([image])[0].digest
        said = Review(digest, "", str(number), (), action, label, reviewer, rows.now(), note)
        self._add(said)

    def save(self) -> str:
        """Append what is unsaved to the file; return what to say of it."""
        there = file.load(self._root, self._dataset, self._taxonomy).reviews
        ordered = order.after(self._unsaved, there)
        file.append(self._root, self._dataset, ordered, self._taxonomy)
        count, self._unsaved = len(self._unsaved), []
        place = file.path(self._root, self._dataset).relative_to(self._root)
        return f"{place}: {count:,} reviews added. Build again, and commit the file."

    def export(self, path: Path) -> None:
        """Write ``flagged`` as the guide's manifest, without what is unsaved."""
        from imagemill import sheets  # noqa: PLC0415

        sheets.write(path, self.flagged.drop("digest"))

    def _add(self, review: Review) -> None:
        if (said := rows.wrong(review, self._taxonomy)) is not None:
            raise BuildError(said)
        self._unsaved.append(review)

    def _images(self, images: Images) -> list[_Image]:
        """Return the images that are meant, each once, in order."""
        if isinstance(images, pl.DataFrame):
            wanted = images.select("digest", "suggested_label", "vl_confidence")
        else:
            wanted = self._named([str(each) for each in images])
        best = wanted.sort("vl_confidence", descending=True, nulls_last=True, maintain_order=True)
        label = best.group_by("digest").agg(pl.col("suggested_label").drop_nulls().first())
        order = wanted.select("digest").unique(maintain_order=True)
        chosen = order.join(label, on="digest", maintain_order="left")
        return [_Image(*each) for each in chosen.iter_rows()]

    def _named(self, names: list[str]) -> pl.DataFrame:
        asked = pl.DataFrame({"_name": names}, {"_name": pl.String}).with_row_index("_at")
        columns = ["image_path", "digest", "image_id"]
        parts = [
            asked.join(self.flagged.with_columns(_name=column), on="_name") for column in columns
        ]
        found = pl.concat(parts)
        missing = asked.join(found, on="_name", how="anti")["_name"].to_list()
        if missing:
            shown = ", ".join(missing[:SHOWN])
            raise BuildError(
                f"{len(missing):,} images are not among the flagged ones: {shown}. Name them by "
                "image_path, image_id or digest, as in `flagged`; `everything=True` loads all"
            )
        several = found.group_by("_name").agg(
            pl.col("digest").unique(), pl.col("image_path").first()
        )
        odd = several.filter(pl.col("digest").list.len() > 1)["_name"].sort().to_list()
        if odd:
            raise BuildError(
                f"{len(odd):,} ids are of several images: {', '.join(odd[:SHOWN])}. Name them by "
                "image_path"
            )
        return found.sort("_at")


def _refuse_unlabelled(images: list[_Image]) -> None:
    bare = [each.digest[:12] for each in images if not each.suggested]
    if bare:
        raise BuildError(
            f"relabel: nothing suggests a label for {len(bare):,} of the images: "
            f"{', '.join(bare[:SHOWN])}. Give `label`"
        )


def load(dataset: str, root: Path | None = None, *, everything: bool = False) -> Batch:
    """Return what the last build of ``dataset`` flagged, in the project of the working directory.

    With ``everything`` also each image of which nobody said anything. Raises ``BuildError`` where
    no build came as far as ``clean``.
    """
    root = root or Path.cwd()
    data = root / "data" / dataset
    if not (data / "clean" / EVIDENCE.file).exists():
        raise BuildError(f"{dataset}: is not built up to its verdicts; `dvc repro clean@{dataset}`")
    section = config.read(data / "config.yaml", "clean")["reviews"]
    samples = SAMPLES.read(data / "merge")
    names = ids.of(samples, data / "scan" / "tables")
    flagged = manifest.tagged(
        samples, names, EVIDENCE.read(data / "clean"), REVIEWS.read(data / "clean")
    )
    if everything:
        flagged = _all(flagged, samples, names)
    return Batch(root, section["of"] or dataset, flagged, Taxonomy(tags=section["tags"]))


def _all(flagged: pl.DataFrame, samples: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    rest = samples.select("digest", "label", image_path="sample").join(
        names.rename({"sample": "image_path"}), on="image_path"
    )
    more = rest.join(flagged, on="image_path", how="anti")
    return pl.concat([flagged, more], how="diagonal").select(flagged.columns)
