"""Of its own, so that workers of ``bench.package`` do not import all that it compares."""

from bench.package import main

main()
