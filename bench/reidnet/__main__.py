"""Write the two face sources at their true size, or merge them: by us and by a plain script.

python -m bench.reidnet generate --root DIR
python -m bench.reidnet compare --root DIR [--work DIR] [--rounds 3] [--targets merge report]
"""

import argparse
import tempfile
import time
from pathlib import Path

from bench.reidnet import compare
from bench.reidnet.generate import Plan, generate


def main() -> None:
    parser = argparse.ArgumentParser(description="Merge two face sources; see bench/README.md.")
    parser.add_argument("work", choices=("generate", "compare"))
    parser.add_argument("--root", type=Path, help="of the sources; made there unless they are")
    parser.add_argument("--scratch", type=Path, help="for what is built; kept if given")
    parser.add_argument("--scale", type=float, default=1.0, help="1: as many as the users have")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--targets", nargs="*", default=["merge"], help="stages to rebuild up to")
    given = parser.parse_args()
    plan = Plan().scaled(given.scale)
    with tempfile.TemporaryDirectory() as folder:
        root, scratch = given.root or Path(folder) / "sources", given.scratch or Path(folder)
        begin = time.perf_counter()
        generate(root, plan)
        print(f"sources in {root} after {time.perf_counter() - begin:.0f} s\n")
        if given.work == "compare":
            run(root, scratch, given.rounds, plan, given.targets)


def run(root: Path, scratch: Path, rounds: int, plan: Plan, targets: list[str]) -> None:
    print(
        f"{plan.faces:,} single faces, {plan.photos:,} photos of {plan.identities:,} identities\n"
    )
    print("| what | time | |\n|---|---|---|", flush=True)
    if rounds:
        compare.pairs(root, scratch, rounds, plan)
    for target in targets:
        compare.rebuilds(root, scratch, plan, target)


if __name__ == "__main__":
    main()
