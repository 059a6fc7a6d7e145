"""The three standard streams of a program, made fit for whatever it was started with.

A stream may be closed, full, gone, or of an encoding that lacks a character of a name. Owns what happens then: text is
written with escapes that JSON reads too, standard error never fails, and standard output fails by `OutputError`, which
ends in one line. Must not decide what is printed.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import TYPE_CHECKING, Final, TextIO

from flanpy.errors import OutputError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_ESCAPES: Final = "flanpy-escapes"
_STDIN, _STDOUT, _STDERR = 0, 1, 2


def prepare() -> None:
    """Replace `sys.stdout` and `sys.stderr`, and open what is closed, or a file of ours would get its number.

    A closed standard output is opened for reading only: text fails there, as it does with other programs.
    """
    codecs.register_error(_ESCAPES, _escape)
    _fill(_STDIN, os.O_RDONLY)
    _fill(_STDOUT, os.O_RDONLY)
    _fill(_STDERR, os.O_WRONLY)
    sys.stdin = sys.stdin or open(_STDIN, closefd=False)  # noqa: SIM115 - stays open
    sys.stdout = _wrapped(_Output(_STDOUT, "w", closefd=False), sys.stdout)
    sys.stderr = _wrapped(_Errors(_STDERR, "w", closefd=False), sys.stderr, line_by_line=True)


class _Output(io.FileIO):
    """Fails once: what is left in the buffers would fail again, and without a catch, when the interpreter ends."""

    _failed = False

    def write(self, data: ReadableBuffer, /) -> int:
        if self._failed:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except BrokenPipeError:  # the reader has seen enough
            raise
        except OSError as error:
            self._failed = True
            raise OutputError(f"cannot write to standard output: {error.strerror}") from error


class _Errors(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def _fill(number: int, flags: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        opened = os.open(os.devnull, flags)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
        os.set_inheritable(number, True)


def _wrapped(raw: io.FileIO, before: TextIO | None, *, line_by_line: bool = False) -> TextIO:
    if before is not None:
        before.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=before.encoding if before is not None else "utf-8",
        errors=_ESCAPES,
        line_buffering=line_by_line or raw.isatty(),
    )


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Write characters that the encoding lacks as JSON and Python do: in units of UTF-16."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = zip(units[::2], units[1::2], strict=True)
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in pairs), error.end
