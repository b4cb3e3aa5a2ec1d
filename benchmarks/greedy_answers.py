"""Record greedy answers of the two small starters, for the tests of what counts as a loop.

    python benchmarks/greedy_answers.py tests/engines/greedy_answers.json

smollm2 is asked ordinary questions in its own chat format; gemma3-270m, a base model, is given the same questions as
bare text (`bare`) and as questions to be answered (`formatted`). No watch for loops runs. 300 new tokens at most.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("SHOESTRING_HOME", str(Path(__file__).parents[1] / ".test-home"))

from shoestring import api

QUESTIONS = [
    "What is the capital of France?",
    "How are you?",
    "Write a short poem about the sea.",
    "List ten fruits.",
    "Count from 1 to 40.",
    "Write a Python function that reverses a string.",
    "Explain how photosynthesis works.",
    "Give me a recipe for pancakes.",
    "Make a table of five planets and their diameters.",
    "What is 17 times 23?",
    "Tell me a joke.",
    "Write the multiplication table of 7.",
    "Name the days of the week, one per line.",
    "Write a haiku about autumn.",
    "Translate 'good morning' into German, French and Spanish.",
    "Summarise the plot of Romeo and Juliet.",
    "Write an HTML page with a list of links.",
    "What are the pros and cons of electric cars?",
    "Write a shopping list for a birthday party.",
    "Explain what a KV cache is.",
    "Write a SQL query that counts orders by customer.",
    "Who wrote Hamlet?",
    "Write a letter to my landlord about a broken heater.",
    "What is the difference between a list and a tuple in Python?",
    "Write a dialogue between a cat and a dog.",
    "Give me ten synonyms of happy.",
    "How does a bicycle stay upright?",
    "Write a 3 by 3 matrix of zeros in Python.",
    "Write the chorus of a song about rain.",
    "What should I pack for a week in Iceland?",
    "Write a bash script that counts the lines of all .txt files.",
    "Describe the colour blue to a blind person.",
]


def main(target: Path) -> None:
    answers = []
    with api.load("smollm2", context=1024) as model:
        for question in QUESTIONS:
            answer = model.chat(question, temperature=0, max_tokens=300)
            answers.append(_record("smollm2", "chat", question, answer.text, answer.finish_reason))
    with api.load("gemma3-270m", context=1024) as model:
        for question in QUESTIONS[:20]:
            for form, text in (("bare", question), ("formatted", f"Question: {question}\nAnswer:")):
                answer = model.complete(text, temperature=0, max_tokens=300)
                answers.append(_record("gemma3-270m", form, question, answer.text, answer.finish_reason))
    target.write_text(json.dumps(answers, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _record(model: str, form: str, question: str, text: str, reason: str) -> dict[str, str]:
    return {"model": model, "form": form, "question": question, "text": text, "finish_reason": reason}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
