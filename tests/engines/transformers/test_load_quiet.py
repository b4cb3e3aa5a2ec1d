"""The libraries are not heard while they work, and are set as before when they are done."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from threading import Barrier, Thread

import pytest
from saved_models import load_from, save
from transformers.utils import logging as library

from shoestring.engines.transformers.quiet import quietly

LOGGER = logging.getLogger("transformers.modeling_utils")


def test_a_load_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save(tmp_path)
    capfd.readouterr()
    load_from(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_what_is_logged_is_heard_by_us_alone(capfd: pytest.CaptureFixture[str]) -> None:
    with quietly() as said:
        LOGGER.warning("Some weights were %s", "made up")
        LOGGER.info("not worth it")
    assert said == ["Some weights were made up"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("module", ["transformers.modeling_utils", "torch", "accelerate.hooks"])
def test_the_libraries_warnings_are_ignored(module: str) -> None:
    with quietly():
        warnings.warn_explicit("theirs", UserWarning, "file.py", 1, module=module)


def test_others_are_not() -> None:
    with pytest.warns(UserWarning, match="mine"), quietly():
        warnings.warn_explicit("mine", UserWarning, "file.py", 1, module="torchless")


def test_the_user_s_logging_is_as_it_was() -> None:
    handler = logging.NullHandler()
    root = logging.getLogger("transformers")
    root.addHandler(handler)
    before = [
        (name, logging.getLogger(name).level, logging.getLogger(name).propagate)
        for name in ("transformers", "torch", "accelerate")
    ]
    bars = library.is_progress_bar_enabled()
    with quietly():
        pass
    assert handler in root.handlers
    root.removeHandler(handler)
    assert before == [
        (name, logging.getLogger(name).level, logging.getLogger(name).propagate) for name, _, _ in before
    ]
    assert library.is_progress_bar_enabled() is bars


def test_one_that_ends_does_not_make_another_heard(capfd: pytest.CaptureFixture[str]) -> None:
    both_in, one_out = Barrier(2), Barrier(2)

    def first() -> None:
        with quietly():
            both_in.wait()
        one_out.wait()

    thread = Thread(target=first)
    thread.start()
    with quietly() as said:
        both_in.wait()
        one_out.wait()
        LOGGER.warning("still here")
    thread.join()
    assert said == ["still here"]
    assert capfd.readouterr() == ("", "")


def test_8_bit_layers_do_not_tell_of_every_multiplication() -> None:
    with quietly() as said:
        logging.getLogger("bitsandbytes.autograd._functions").warning("MatMul8bitLt: inputs will be cast")
    assert said == []
