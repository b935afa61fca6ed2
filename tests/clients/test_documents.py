"""COMPATIBILITY.md names every command that the server has, and no other."""

import pathlib
import re

import pytest

pytestmark = pytest.mark.trefoil

PAGE = pathlib.Path(__file__).parents[2] / "COMPATIBILITY.md"
ROWS = ("yes", "with a difference, see below", "ours")


def commands_on_the_page():
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", PAGE.read_text(), flags=re.MULTILINE)
    return [name for row, names in rows if row in ROWS for name in names.split(", ")]


def test_the_page_lists_the_commands_that_there_are(client):
    listed = commands_on_the_page()
    assert len(listed) == len(set(listed))
    names = {name.decode().upper() for name in client.command_list() if b"|" not in name}
    assert set(listed) == names

