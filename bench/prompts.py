"""What `accuracy.py` asks: short and long, stories, facts, questions through the chat template, code, many scripts."""

from __future__ import annotations

from typing import NamedTuple


class Prompt(NamedTuple):
    """A text, completed as it stands, or asked through the model's chat template."""

    name: str
    text: str
    chat: bool = False


_LONG = (
    "The lighthouse at the end of the cape had been dark for eleven years when Marta bought it. The roof leaked, the "
    "stairs were rotten, and the great lens lay in pieces on the floor of the lamp room, but the walls were two "
    "metres thick and the view went on for ever. She began with the roof. All summer she carried slates up the path "
    "on her back, four at a time, and in the evenings she sat on the rocks and watched the ships go by, far out, "
    "where the water turned from green to blue. In the village they said that she would give up before the first "
    "storm. The first storm came in September. It took the scaffolding and two of the windows, and it flooded the "
    "cellar up to the third step, but the roof held. After that the baker's son came to help her on Sundays, and "
    "then his sister, and by Christmas there were seven of them, sanding and painting and arguing about the lens. It "
    "was the old pilot who found the answer, in a notebook his father had left him, between a recipe for eel soup and")

_LONG_QUESTION = (
    "I am planning a small vegetable garden behind my house. The plot is four metres by six, it gets sun from ten in "
    "the morning until five in the afternoon, and the soil is heavy clay that stays wet in spring and cracks in "
    "summer. I have about two hours a week. Last year I planted tomatoes, carrots and lettuce: the tomatoes got "
    "blight in August, the carrots were short and forked, and the slugs ate nearly all of the lettuce. This year I "
    "would like to grow things that more or less look after themselves, and I would like something to eat from May "
    "until October. We are two adults and one child who eats only peas. Which five vegetables would you choose for "
    "this plot, when would you sow each of them, and what should I do about the soil before I begin? Please answer "
    "with a short list, one line for each vegetable, and one paragraph about the soil at the end.")

_PYTHON = '''def binary_search(values, target):
    """The index of target in the sorted list, or -1."""
    lo, hi = 0, len(values)
    while lo < hi:
'''

_C = '''#include <stdio.h>

/* Prints the first n Fibonacci numbers. */
void fibonacci(int n) {
'''

PROMPTS = (
    Prompt("one word", "The"),
    Prompt("a name", "Albert Einstein"),
    Prompt("fact", "The capital of France is"),
    Prompt("story", "Once upon a time, in a small village by the sea, there lived"),
    Prompt("list", "The seven days of the week are:\n1. Monday\n2."),
    Prompt("science", "Photosynthesis is the process by which green plants"),
    Prompt("numbers", "2, 4, 8, 16, 32,"),
    Prompt("dialogue", '"Where have you been?" she asked.\n\n"You would not believe me," he said,'),
    Prompt("long story", _LONG),
    Prompt("chat: moon", "Why does the moon have phases?", chat=True),
    Prompt("chat: capital", "What is the capital of Italy?", chat=True),
    Prompt("chat: poem", "Write a short poem about the sea.", chat=True),
    Prompt("chat: arithmetic", "What is 17 plus 25?", chat=True),
    Prompt("chat: code", "Write a Python function that reverses a string.", chat=True),
    Prompt("chat: long", _LONG_QUESTION, chat=True),
    Prompt("python", _PYTHON),
    Prompt("c", _C),
    Prompt("json", '{"name": "Alice", "age": 30, "languages": ["Python",'),
    Prompt("html", "<!DOCTYPE html>\n<html>\n<head>\n  <title>"),
    Prompt("german", "Die Hauptstadt von Deutschland ist"),
    Prompt("french", "Il était une fois, dans une forêt lointaine,"),
    Prompt("spanish", "La receta de la tortilla de patatas es"),
    Prompt("russian", "Москва является столицей"),
    Prompt("chinese", "人工智能是"),
    Prompt("japanese", "昔々、あるところに"),
    Prompt("arabic", "كان يا ما كان في قديم"),
    Prompt("greek", "Η Αθήνα είναι"),
    Prompt("emoji", "I love pizza 🍕 and"),
)
