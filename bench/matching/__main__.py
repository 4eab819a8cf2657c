"""One table: recall per edit and precision of ours and of every other tool, on the same files.

    python -m bench.matching [--set clothing|wheels|small] [--photos FOLDER] [--each 60] [--seed 1]
                             [--systems NAME ...] [--embedder opennsfw]
                             [--peers VENV] [--work FOLDER]

Folders, other tools' pairs and the venv are kept in ``--work`` and ``--peers`` and used again; ours
runs each time. Pairs of different originals that nobody judged are drawn to ``<work>/<set>/look``.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bench.matching import originals, ours, sheet, venv
from bench.matching.score import Score, limit_of, score
from bench.matching.truth import Truth

ROOT = Path(__file__).parents[2]
WISH = 0.99  # precision at which thresholds are compared


@dataclass(frozen=True)
class Peer:
    """Another tool, its default limit and one loose enough to sweep below it."""

    script: str
    limit: float  # of its own, in its distance
    loose: float | None  # None where it has no score
    alone: bool = False  # its default is a run of its own, not a threshold of the loose one


PEERS = {
    "imagehash pHash": Peer("phash", 10, 16),
    "PDQ": Peer("pdq", 31, 90),
    "CleanVision": Peer("cleanvision", 0, None),
    "imagededup PHash": Peer("imagededup_phash", 10, 16),
    "imagededup CNN": Peer("imagededup_cnn", 0.1, 0.2),
    "fastdup": Peer("fastdup", 1, 0.3, alone=True),
}
TIERS = {
    "pixels": ("bytes", "pixels"),
    "perceptual": ("perceptual",),
    "semantic": ("semantic",),
    "together": ("bytes", "pixels", "perceptual", "semantic"),
}


def prepared(given: argparse.Namespace, folder: Path) -> None:
    """Plant the set in ``folder``, unless it is there."""
    if (folder / "truth.csv").exists():
        return
    python, module, only = venv.python(given.peers), "bench.matching.plant", ""
    source = given.photos
    if given.set != "clothing" or not source.is_dir():
        if given.set == "clothing":
            print(f"{source} is not there: photos from wheels instead")
        source = given.work / "originals" / given.set
        module, only = _wheels_or_small(given, source)
    steps = ["--seed", given.seed, "--each", given.each, *(["--only", only] if only else [])]
    done = venv.run(python, module, source, folder, *steps)
    if done.returncode:
        raise SystemExit(f"{module}: {done.stderr}")


def _wheels_or_small(given: argparse.Namespace, to: Path) -> tuple[str, str]:
    if given.set == "small":
        originals.tiles(to, given.photos)
        return "bench.matching.plant_small", ""
    originals.wheels(to)
    return "bench.matching.plant", "photo"


def peer_pairs(
    name: str, peer: Peer, given: argparse.Namespace, folder: Path
) -> list[pl.DataFrame]:
    """Return the pairs of its default and of its sweep; none where it fails."""
    runs = [peer.loose] if peer.loose is not None and not peer.alone else [None, peer.loose]
    frames = []
    for limit in runs if peer.loose is not None else [None]:
        out = folder / "pairs" / f"{peer.script}{'' if limit is None else f'-{limit}'}.csv"
        out.parent.mkdir(exist_ok=True)
        if not out.exists():
            more = [] if limit is None else [limit]
            module = f"bench.matching.peers.{peer.script}"
            done = venv.run(venv.python(given.peers), module, folder / "images", out, *more)
            if done.returncode:
                print(f"{name} failed: {done.stderr.strip().splitlines()[-1]}")
                return []
        frames.append(pl.read_csv(out, schema_overrides={"distance": pl.Float64}))
    return frames


def our_pairs(given: argparse.Namespace, folder: Path) -> dict[str, pl.DataFrame]:
    """Return our pairs by tier: of hashes alone, with keypoints, and with an embedder too."""
    sift, model = "keypoints@measure.keypoints=sift", f"embedder@measure.embedder={given.embedder}"
    runs = {"hashes": [], "sift": [sift], given.embedder: [sift, model]}
    if given.embedder == "none":
        del runs["none"]
    found: dict[str, pl.DataFrame] = {}
    for name, overrides in runs.items():
        made = ours.project(folder / f"ours-{name}", folder / "images", overrides)
        pairs = ours.run(made)
        pairs.write_parquet(folder / "pairs" / f"ours-{name}.parquet")
        for tier, names in TIERS.items():
            part = pairs.filter(pl.col("tier").is_in(names)).drop("tier")
            if tier == "together" or (len(part) and name == given.embedder):
                found[f"ours, {tier} ({name})"] = part
    return found


def scored(
    truth: Truth, given: argparse.Namespace, folder: Path
) -> tuple[dict[str, Score], dict[str, pl.DataFrame]]:
    """Return the scores of every system, and its sorted pairs within the larger of its limits."""
    scores: dict[str, Score] = {}
    looked: dict[str, pl.DataFrame] = {}
    (folder / "pairs").mkdir(exist_ok=True)
    if not given.systems or "ours" in given.systems:
        for name, pairs in our_pairs(given, folder).items():
            looked[name] = truth.sorted_out(pairs)
            scores[name] = score(truth, looked[name], 2)
    for name, peer in PEERS.items():
        if given.systems and name not in given.systems:
            continue
        frames = [truth.sorted_out(pairs) for pairs in peer_pairs(name, peer, given, folder)]
        if not frames:
            continue
        scores[f"{name}, default"] = score(truth, frames[0], peer.limit)
        limit = limit_of(frames[-1], WISH)
        scores[f"{name}, at {WISH}"] = score(truth, frames[-1], limit)
        loosest = limit_of(frames[-1], WISH - 0.02)  # a little beyond, so that verdicts can move it
        looked[name] = frames[-1].filter(pl.col("distance") <= (-1 if loosest is None else loosest))
    return scores, looked


def table(truth: Truth, scores: dict[str, Score]) -> str:
    """Return the table: a row an edit, a column a system with "default / at WISH" in a cell."""
    names = dict.fromkeys(name.rsplit(", ", 1)[0] for name in scores if not name.startswith("ours"))
    columns = {name: [scores[name]] for name in scores if name.startswith("ours")}
    columns |= {name: [scores[f"{name}, default"], scores[f"{name}, at {WISH}"]] for name in names}

    def row(what: str, cell: Callable[[Score], str]) -> str:
        cells = (" / ".join(map(cell, each)) for each in columns.values())
        return f"| {what} | {' | '.join(cells)} |"

    rows = [
        f"| | {' | '.join(columns)} |",
        f"|---|{'---|' * len(columns)}",
        row("all needles", lambda each: f"{each.overall:.3f}"),
        row("precision", lambda each: f"{each.precision:.4f}"),
        row("right pairs", lambda each: f"{each.right:,}"),
        row("wrong pairs", lambda each: f"{each.wrong:,}"),
        row("of these unjudged", lambda each: f"{each.unjudged:,}"),
        row("largest distance", lambda each: "none" if each.limit is None else f"{each.limit:.3g}"),
    ]
    for edit, planted in truth.edits().iter_rows():
        rows.append(row(f"{edit} ({planted})", lambda each, edit=edit: f"{each.recall[edit]:.2f}"))
    return "\n".join(rows)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare what finds planted copies.")
    parser.add_argument("--set", choices=("clothing", "wheels", "small"), default="clothing")
    parser.add_argument("--photos", type=Path, default=ROOT.parent / "shared/data/clothing")
    parser.add_argument("--each", type=int, default=60, help="needles an edit")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--systems", nargs="*", default=[], help="'ours' and names in the table")
    parser.add_argument("--embedder", default="opennsfw", help="'none' for no run with one")
    parser.add_argument("--peers", type=Path, default=ROOT / "bench/.peers")
    parser.add_argument("--work", type=Path, default=ROOT / "bench/.matching")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    given.work.mkdir(parents=True, exist_ok=True)
    (given.work / ".gitignore").write_text("*\n")
    folder = given.work / f"{given.set}-{given.seed}-{given.each}"
    prepared(given, folder)
    truth = Truth.read(folder)
    scores, looked = scored(truth, given, folder)
    print(table(truth, scores))
    pages = sheet.draw(sheet.to_look_at(looked), folder / "images", folder / "look")
    print(f"\n{len(pages)} pages to look at below {folder / 'look'}")


if __name__ == "__main__":
    main()
