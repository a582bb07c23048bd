"""What drawing the text on a screen costs: tokens a second in a chat with a screen and without one.

    python bench/rendering.py [--screen 1920x1080[:blt]] [--rounds 7]

The same greedy answer of 200 tokens on the hosted firmware, by what `/stats` says, with and without a screen in turn.
The serial line is written to in both.  `ratio` is with by without.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from talking import chat_image, in_turn, print_row

from barelm.commands.progress import ProgressBar
from barelm.machine.hosted import Hosted
from barelm.machine.screen import parse_screen
from barelm.settings import Settings

QUESTION = "Tell me a long story about a lighthouse, its keeper and the sea."
N_TOKENS = 200


def main() -> None:
    """Write the image, ask in turn, print the row."""
    parser = argparse.ArgumentParser(description="What drawing the text costs.")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--screen", type=parse_screen, default=parse_screen("1920x1080"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cores", type=int, default=1)
    options = parser.parse_args()
    shape = options.screen
    with tempfile.TemporaryDirectory() as folder, ProgressBar() as bar:
        settings = Settings("", 0.0, tokens=N_TOKENS, cores=options.cores)
        spec = chat_image(Path(folder) / "chat.img", options.model, settings, bar)
        cases = {"without": (spec, Hosted()),
                 "with": (spec, Hosted(screen=(shape.width, shape.height), pixels=shape.pixels))}
        answers = in_turn(cases, QUESTION, options.rounds)
    print_row(f"decode, screen {shape}", {name: [answer.tokens_per_s for answer in found]
                                          for name, found in answers.items()}, "tokens/s", max,
              cores=options.cores)


if __name__ == "__main__":
    main()
