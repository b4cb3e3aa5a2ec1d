"""How a base model is best asked: the same questions to gemma3-270m in several plain formats.

    python benchmarks/base_model_formats.py

Prints for each format how many of the answers hold the expected word, how many ended by themselves (the model went on
with the next turn, where a stop string caught it), and the mean length. Greedy, 80 new tokens at most.
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("SHOESTRING_HOME", str(Path(__file__).parents[1] / ".test-home"))

from shoestring import api

QUESTIONS = [
    ("What is the capital of France?", "Paris"),
    ("What is the capital of Japan?", "Tokyo"),
    ("Who wrote Romeo and Juliet?", "Shakespeare"),
    ("How many days are there in a week?", "seven|7"),
    ("What colour is the sky on a clear day?", "blue"),
    ("What is two plus three?", "five|5"),
    ("Name an animal that barks.", "dog"),
    ("What do bees make?", "honey"),
    ("Which planet do we live on?", "Earth"),
    ("What is the opposite of hot?", "cold"),
    ("How are you?", "fine|good|well|great"),
    ("Tell me a joke.", ""),
]
FORMATS = {
    "bare text": ("{}", ()),
    "question and answer": ("Question: {}\nAnswer:", ("\nQuestion:",)),
    "user and assistant": ("User: {}\nAssistant:", ("\nUser:",)),
    "introduced": (
        "A conversation between a user and a helpful assistant.\n\nUser: {}\nAssistant:",
        ("\nUser:",),
    ),
    "introduced, with an example": (
        "A conversation between a user and a helpful assistant.\n\nUser: What is the largest ocean?\n"
        "Assistant: The largest ocean is the Pacific Ocean.\n\nUser: {}\nAssistant:",
        ("\nUser:",),
    ),
    "question, with an example": (
        "Question: What is the largest ocean?\nAnswer: The largest ocean is the Pacific Ocean.\n\n"
        "Question: {}\nAnswer:",
        ("\nQuestion:",),
    ),
}


def main() -> None:
    with api.load("gemma3-270m", context=1024) as model:
        for name, (form, stop) in FORMATS.items():
            right, ended, length = 0, 0, 0
            for question, expected in QUESTIONS:
                answer = model.complete(
                    form.format(question), temperature=0, max_tokens=80, stop=stop or None
                )
                text = answer.text.strip()
                right += any(word.casefold() in text.casefold() for word in expected.split("|"))
                ended += answer.finish_reason == "stop"
                length += answer.usage.completion_tokens
                print(f"    {question!r}: {text[:100]!r} ({answer.finish_reason})")
            n = len(QUESTIONS)
            print(f"{name}: {right} of {n} right, {ended} ended, {length / n:.0f} tokens")


if __name__ == "__main__":
    main()
