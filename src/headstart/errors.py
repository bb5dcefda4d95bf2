"""The errors a user can meet: one tree, each also a built-in, each with a next step.

```
HeadstartError
├── DataError        (ValueError)   the examples are not what was needed
├── OptionError      (ValueError)   an option or argument is out of its range
├── BackboneError    (ValueError)   a pretrained model cannot be found, trusted or cut
├── ArtifactError    (ValueError)   a saved model is damaged, changed or from elsewhere
├── StorageError     (OSError)      the disk said no; what was there before is still there
└── DependencyError  (ImportError)  an optional package is missing
```
"""

from __future__ import annotations

from typing import Any


class HeadstartError(Exception):
    """Say what is wrong, what was expected, what was got, and what to type next.

    Attributes:
        problem: one sentence.
        expected, got, hint: a phrase each, or None.
    """

    def __init__(
        self,
        problem: str,
        *,
        expected: str | None = None,
        got: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.expected = expected
        self.got = got
        self.hint = hint

    def __str__(self) -> str:
        fields = {"expected": self.expected, "got": self.got, "hint": self.hint}
        lines = [f"  {name + ':':<9} {text}" for name, text in fields.items() if text]
        return "\n".join([self.problem, *lines])

    def as_dict(self) -> dict[str, Any]:
        """Return the four fields and the error's name, as `--json` prints them."""
        return {
            "error": type(self).__name__,
            "problem": self.problem,
            "expected": self.expected,
            "got": self.got,
            "hint": self.hint,
        }


class DataError(HeadstartError, ValueError):
    """The examples are not what was needed."""


class OptionError(HeadstartError, ValueError):
    """An option or argument is out of its range."""


class BackboneError(HeadstartError, ValueError):
    """A pretrained model cannot be found, trusted or cut there."""


class ArtifactError(HeadstartError, ValueError):
    """A saved model is damaged, changed, incomplete or not ours."""


class StorageError(HeadstartError, OSError):
    """Writing failed; what was there before is still there."""


class DependencyError(HeadstartError, ImportError):
    """An optional package is missing."""
