"""`barelm chat`: a conversation through pipes, its turns in one cache."""

from __future__ import annotations

import re
import subprocess

from tests.commands.conftest import Cli, hosted_only
from tests.commands.test_processes import COMMAND, PATIENCE_S, environment
from tests.gguf_files import write_small_gguf

pytestmark = hosted_only

LIMITS = ("-n", "4", "-t", "0", "--machine", "hosted")


def converse(model: str, typed: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Type into a chat, and leave it at the end of what there is to type."""
    return subprocess.run([*COMMAND, "chat", model, *options, *LIMITS], input=typed, env=environment(),
                          capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def prompt_tokens(screen: str) -> int:
    """How many tokens were read in all, by the summary."""
    found = re.search(r"a second; prompt of (\d+)", screen)
    assert found, screen
    return int(found[1])


def test_a_turn_reads_only_its_own_tokens(cli: Cli) -> None:
    write_small_gguf(cli.folder / "small.gguf", seed=3)
    done = converse("small.gguf", "one two\none two\none two\n")
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert done.stdout.count("\n> one two\n") == 3 and "BARELM" not in done.stdout
    first = prompt_tokens(converse("small.gguf", "one two\n").stdout)
    # A later turn is what ends the reply before, the text and what begins the next reply; the last token of each
    # reply, made but never read, comes with it.
    assert prompt_tokens(done.stdout) < 3 * first + 3 * 4
    both = prompt_tokens(converse("small.gguf", "one two\none two\n").stdout)
    assert prompt_tokens(done.stdout) - both == both - first


def test_what_is_taken_back_is_not_said(cli: Cli) -> None:
    write_small_gguf(cli.folder / "small.gguf", seed=3)
    plain, mended = (converse("small.gguf", typed) for typed in ("to\n", "tx\bo\n"))
    assert mended.returncode == 0 and prompt_tokens(mended.stdout) == prompt_tokens(plain.stdout)


def test_a_full_context_forgets_the_oldest_turns_and_says_so(cli: Cli) -> None:
    write_small_gguf(cli.folder / "small.gguf", seed=3)
    done = converse("small.gguf", "one two\n" * 12)
    assert done.returncode == 0 and "The context is full.  Turns forgotten, the oldest first: " in done.stdout


def test_a_question_longer_than_the_context_is_said_and_the_chat_goes_on(cli: Cli) -> None:
    write_small_gguf(cli.folder / "small.gguf", seed=3)
    done = converse("small.gguf", "x" * 1200 + "\none\n")
    assert done.returncode == 0 and "That is longer than the context of the model.  Shorten it." in done.stdout
    assert "\n> one\n" in done.stdout


def test_a_model_without_a_template_cannot_chat(cli: Cli) -> None:
    assert "has no chat template" in cli.refuses("chat", "tiny.bin", *LIMITS)
