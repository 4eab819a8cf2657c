"""What people see while a stage works."""

import os
import pty
import subprocess
import sys

WORK = """
import sys
from imagemill.progress import progress
with progress("measure", 3, "images") as advance:
    advance(2)
print(any(name.startswith("rich") for name in sys.modules))
"""


def test_a_terminal_shows_a_bar_with_what_is_done() -> None:
    shown, screen = pty.openpty()
    subprocess.run(
        [sys.executable, "-c", WORK],
        stderr=screen,
        stdout=subprocess.DEVNULL,
        check=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    )
    seen = os.read(shown, 10_000).decode()
    os.close(screen)
    os.close(shown)
    assert "measure" in seen
    assert "2/3" in seen
    assert "images" in seen


def test_elsewhere_short_work_says_nothing_and_loads_nothing_to_draw_with() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WORK], capture_output=True, text=True, check=True, env=os.environ
    )
    assert ran.stderr == ""
    assert ran.stdout == "False\n"
