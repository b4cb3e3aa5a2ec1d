"""Models on the fake engine, in a home of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shoestring.chat.model import Model
from shoestring.engines.fake import Script, fake_model
from shoestring.runtime.session import open_session

MakeModel = Callable[..., Model]


@pytest.fixture
def fake(tmp_path: Path, home: Path) -> Iterator[MakeModel]:
    """Makes models that answer with a script's reply; keyword arguments replace facts of the model."""
    made: list[Model] = []

    def make(script: Script = Script(reply="Paris."), *, context: int = 4096, **facts: Any) -> Model:  # noqa: B008
        known, plan = fake_model(tmp_path / f"script{len(made)}", script, context=context)
        made.append(Model(open_session(replace(known, **facts), plan)))
        return made[-1]

    yield make
    for model in made:
        model.close()
