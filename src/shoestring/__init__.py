"""Run large open models on the hardware you already have: planned, guarded, measured.

    import shoestring

    model = shoestring.load("smollm2")
    print(model.chat("What is the capital of France?"))

Everything here is imported on first use, so that `import shoestring` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoestring._version import __version__

if TYPE_CHECKING:
    from shoestring import errors
    from shoestring.api import inspect, load, plan, pull
    from shoestring.chat.answer import Answer, Stream
    from shoestring.chat.messages import Message
    from shoestring.chat.model import Model
    from shoestring.engines.base import Sampling
    from shoestring.hardware.doctor import doctor
    from shoestring.hardware.probe import probe
    from shoestring.models.hub.token import logout, whoami
    from shoestring.notebook.login import login

__all__ = [
    "Answer",
    "Message",
    "Model",
    "Sampling",
    "Stream",
    "__version__",
    "doctor",
    "errors",
    "inspect",
    "load",
    "login",
    "logout",
    "plan",
    "probe",
    "pull",
    "whoami",
]

_HOMES = {
    "Answer": "shoestring.chat.answer",
    "Message": "shoestring.chat.messages",
    "Model": "shoestring.chat.model",
    "Sampling": "shoestring.engines.base",
    "Stream": "shoestring.chat.answer",
    "doctor": "shoestring.hardware.doctor",
    "inspect": "shoestring.api",
    "load": "shoestring.api",
    "login": "shoestring.notebook.login",
    "logout": "shoestring.models.hub.token",
    "plan": "shoestring.api",
    "probe": "shoestring.hardware.probe",
    "pull": "shoestring.api",
    "whoami": "shoestring.models.hub.token",
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name == "errors":
        return import_module("shoestring.errors")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
