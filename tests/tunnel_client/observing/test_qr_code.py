from __future__ import annotations

import re
import subprocess
import sys

import segno

from tunnel_client.observing.qr_code import qr_lines

URL = "https://brisk-otter-k3v9q2mz.tunnel.example.com"


def modules(lines: list[str], drawn: bool) -> list[list[bool]]:
    """The modules that these lines draw: whether each is what is drawn, two rows to a line."""
    upper, lower = "▀█", "▄█"
    return [[(char in half) is drawn for char in line] for line in lines for half in (upper, lower)]


def test_the_code_is_that_of_the_url_in_both_looks() -> None:
    code = segno.make(URL, error="l", micro=False, boost_error=False)
    wanted = [[bool(module) for module in row] for row in code.matrix_iter(border=2)]
    coloured = [
        re.fullmatch("\x1b\\[30;107m(.*)\x1b\\[0m", line)
        for line in qr_lines(URL, colour=True, columns=80)
    ]
    assert modules([found[1] for found in coloured if found], True)[:33] == wanted
    assert modules(qr_lines(URL, colour=False, columns=None), False)[:33] == wanted
    assert (len(coloured), len(wanted[0])) == (17, 33)


def test_one_that_is_too_wide_for_the_terminal_is_left_out() -> None:
    assert len(qr_lines(URL, colour=True, columns=34)) == 17
    assert qr_lines(URL, colour=True, columns=33) == ["  (no QR code: it is 33 columns wide)"]


def test_the_library_is_loaded_for_that_alone() -> None:
    code = "import sys, tunnel_client.app; print('segno' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
