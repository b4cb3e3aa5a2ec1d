"""Runs a model's chat template, which is a program from an untrusted file, within bounds.

There are two ways:

* **Here**, in microseconds, when the template uses only what can be counted (`counting`).
* **Apart**, in a short-lived process under the operating system's own limits (`template_process`), for
  everything else, and where the budget here ran out.

Both give the same text: the first is only the quicker one.
"""

from __future__ import annotations

from collections.abc import Sequence

from shoestring.chat.counting import render_counted
from shoestring.chat.sandbox import TEMPLATE_FAULTS, RefusalError, UntameError, Variables, faulty, refused


def render_text(template: str, variables: Sequence[Variables]) -> list[str]:
    """Render a template once for each set of variables.

    Raises:
        TemplateError: the template cannot be parsed, fails, refuses the conversation, or costs too much.
    """
    try:
        return render_counted(template, variables)
    except UntameError:
        from shoestring.chat.template_process import render_apart

        return render_apart(template, variables)
    except RefusalError as refusal:
        raise refused(str(refusal)) from None
    except TEMPLATE_FAULTS as fault:
        raise faulty(fault) from fault
