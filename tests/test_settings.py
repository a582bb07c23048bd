"""What is asked of the metal: refused where the metal could not read it, written as TOML that others read too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.contract import layout
from barelm.contract.settings import (
    AT_END,
    AT_END_RESTART,
    AT_END_RETURN,
    AT_END_SHUTDOWN,
    FLAG,
    LARGEST_WHOLE,
    NAME,
    REAL,
    ROWS,
    TEXT,
    TEXTS,
    WHOLE,
    joined,
)
from barelm.dialect.memory import text
from barelm.errors import BarelmError
from barelm.settings import Settings
from tools import settings_table

REPOSITORY = Path(__file__).parents[1]
AS_EVER = """prompt = ""
system = ""
temperature = 1.0
top_p = 0.9
seed = 0
tokens = 0
cores = 0
cpu = "auto"
at_end = "return"
wait = 30
template = true
chat = false
report = false
top_k = 0
min_p = 0.0
repeat = 1.0
stop = []
model = ""
countdown = 5
keyboard = "us"
selftest = false
screen = true
prefix = false
think = "auto"
date = "packed"
lookup = true
clock = "highest"
serial = true
receipt = false
measure = true
replay = false
serve = false
port = 8080
ip = ""
key = ""
slots = 0
slot_context = 0
"""


def texts(most: int) -> st.SearchStrategy[str]:
    """Texts without a zero."""
    return st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=most)


@given(st.fixed_dictionaries({name: {
    TEXT: texts(60), TEXTS: st.lists(texts(20), max_size=8).map(tuple), WHOLE: st.integers(0, int(row.most)),
    REAL: st.floats(0, row.most), FLAG: st.booleans(), NAME: st.sampled_from(row.names or ("",))}[row.kind]
    for name, row in ROWS.items()}))
def test_it_is_toml(values: dict[str, Any]) -> None:
    settings = Settings(**values)
    read = tomllib.loads(settings.toml().decode())
    reals = {name for name, row in ROWS.items() if row.kind == REAL}
    assert list(read) == list(ROWS)
    for name in set(read) - {*reals, "stop"}:
        assert read[name] == getattr(settings, name) == values[name]
    assert tuple(read["stop"]) == settings.stop
    for name in reals:
        assert abs(np.float32(read[name]) - np.float32(getattr(settings, name))) <= 1e-18


def test_the_file_is_what_it_always_was() -> None:
    assert Settings().toml().decode() == AS_EVER


def test_settings_are_values() -> None:
    some = Settings("once", 0.5, 0.8, 7, 20, chat=True)
    assert some == Settings(prompt="once", temperature=0.5, top_p=0.8, seed=7, tokens=20).but(chat=True)
    assert some != Settings() and len({some, some.but(), Settings()}) == 2
    assert repr(some) == "Settings(prompt='once', temperature=0.5, top_p=0.8, seed=7, tokens=20, chat=True)"
    with pytest.raises(AttributeError):
        some.seed = 8
    with pytest.raises(TypeError, match="there is no setting sed"):
        Settings(sed=7)
    with pytest.raises(ValueError):
        Settings("", 0.0, 0.9, 1, 2, 3)


def test_what_suits_a_model() -> None:
    found = [(it.temperature, it.repeat) for it in (
        Settings().suited(False), Settings().suited(True), Settings(chat=True).suited(True),
        Settings(template=False).suited(True), Settings("", 0.7, repeat=1.3).suited(True))]
    assert found == [(1.0, 1.0), (0.2, 1.0), (0.2, 1.1), (1.0, 1.0), (0.7, 1.3)]


def test_names_have_the_numbers_of_their_places() -> None:
    assert [AT_END[n] for n in (AT_END_RETURN, AT_END_SHUTDOWN, AT_END_RESTART)] == ["return", "shutdown", "restart"]
    assert (ROWS["at_end"].word("restart"), ROWS["screen"].word(True), ROWS["repeat"].word(1)) == (2, 1, 0x3F800000)


def test_texts_are_cut_out_of_one() -> None:
    whole, at = joined(["one", "", "three"])
    assert (whole, at) == ("one\0\0three", (0, 4, 5))
    assert [text(whole)[at[k]:].tobytes().startswith(text(("one", "", "three")[k]).tobytes()) for k in range(3)]


@pytest.mark.parametrize("changed, sentence", [
    ({"temperature": -0.1}, "temperature cannot be -0.1"), ({"temperature": 1e9}, "temperature cannot be 1e+09"),
    ({"temperature": float("nan")}, "temperature cannot be nan"), ({"temperature": float("inf")}, "cannot be inf"),
    ({"top_p": 1.01}, "top-p cannot be 1.01"), ({"top_p": -1}, "top-p cannot be -1"),
    ({"seed": -1}, "the seed cannot be -1"), ({"seed": LARGEST_WHOLE + 1}, "the seed cannot be"),
    ({"tokens": -1}, "the number of tokens cannot be -1"), ({"cores": 5000}, "the number of cores cannot be 5000"),
    ({"wait": -1}, "the wait cannot be -1"), ({"at_end": "sleep"}, "the machine cannot 'sleep' at the end"),
    ({"prompt": "a\0"}, "the prompt holds the character U+0000"), ({"prompt": "\udc80"}, "U+DC80, which is no text"),
    ({"top_k": -1}, "top-k cannot be -1"), ({"min_p": 1.5}, "min-p cannot be 1.5"),
    ({"repeat": -0.5}, "the repetition penalty cannot be -0.5"), ({"countdown": -1}, "the countdown cannot be -1"),
    ({"keyboard": "xx"}, "there is no keyboard 'xx'"), ({"stop": ("a",) * 9}, "9 stops are too many"),
    ({"stop": ("a", "b\0")}, "a stop holds the character U+0000"), ({"model": "\udc80"}, "the model's name holds"),
    ({"stop": ("é" * 128 + "x",)}, "is too long"), ({"system": "\0"}, "the system text holds the character"),
    ({"prompt": "x" * layout.TEXT_BYTES}, "configuration may have"),
    ({"prompt": "\x01" * (layout.TEXT_BYTES // 6)}, "configuration may have")])
def test_what_the_metal_cannot_do_is_refused(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BarelmError) as refused:
        Settings(**changed)
    assert sentence in refused.value.message and refused.value.hint.endswith(".")


def test_the_longest_prompt_there_is_room_for() -> None:
    room = layout.TEXT_BYTES - len(Settings().toml())
    assert len(Settings("x" * room).toml()) == layout.TEXT_BYTES
    with pytest.raises(BarelmError):
        Settings("x" * (room + 1))


def test_the_documented_table_is_that_of_the_rows() -> None:
    document = settings_table.DOCUMENT.read_text()
    assert settings_table.table() in document, "`python -m tools.settings_table` renews it"
    assert settings_table.renewed(document) == document


# With a row more in the copy it runs in: what becomes of it.
ASK_FOR_IT = """
import numpy as np
from barelm.contract.settings import SettingsView
from barelm.metal.conversation import slash_commands
from barelm.contract.storage_state import Complaints
from barelm.metal.storage.configuration import read_settings
from barelm.settings import Settings
from tools import settings_table

view = SettingsView.over(np.zeros(SettingsView.BYTES, np.uint8))
for raw, value in ((b"", 60), (Settings(patience=7).toml(), 7), (b"patience = 5", 5)):
    complaints = Complaints.over(np.zeros(Complaints.BYTES, np.uint8))
    read_settings(view, complaints, np.frombuffer(raw, np.uint8).copy(), len(raw))
    assert view.patience == value
assert Settings().toml().endswith(b"patience = 60\\n")
assert "/tokens 200  /patience 60 " in slash_commands.HELP and " patience " in slash_commands.COMMANDS
assert "| `patience` | whole number | 60 | seconds without a key" in settings_table.table()
try:
    Settings(patience=-1)
except Exception as refused:
    print(refused)
from barelm.cli import app
app(["image", "--help"])
"""


def test_a_setting_is_one_row(tmp_path: Path) -> None:
    """The example of docs/ADDING.md, added to a copy."""
    section = (REPOSITORY / "docs" / "ADDING.md").read_text().partition("## A setting\n")[2]
    row = textwrap.dedent(section.partition("```python\n")[2].partition("   ```")[0])
    for folder in ("barelm", "tools"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    rows = tmp_path / "barelm" / "contract" / "settings.py"
    before, behind, rest = rows.read_text().partition("\n\nAnySetting = ")
    rows.write_text(before + textwrap.indent(row, "    ") + behind + rest)
    done = subprocess.run([sys.executable, "-c", ASK_FOR_IT], cwd=tmp_path, capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "200"})
    assert done.returncode == 0 and done.stdout.startswith("the patience cannot be -1"), done.stderr
    assert " --patience INT " in done.stdout
    assert " Seconds without a key after which the screen goes dark. [default: 60] " in done.stdout
