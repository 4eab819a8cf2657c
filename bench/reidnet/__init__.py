"""Two face sources at their true size, merged into one training set: ours beside a plain script.

``python -m bench.reidnet generate --root DIR`` writes the sources, ``plain`` merges them as
people do by hand, ``compare`` times both. See bench/README.md.
"""
