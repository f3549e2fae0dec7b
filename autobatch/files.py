"""Files that appear whole or not at all.

A file is written beside its place and moved there when it is complete. What is being written is
locked, so that the next save of this name can tell what a killed process left behind, and
removes it, from what another one is writing now.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from typing import IO, Any

from .errors import OperandError
from .plain import show

__all__ = ["path_of", "replaced"]


def path_of(owner: str, path: Any) -> str:
    """The path that a caller gave, as text.

    Raises:
        OperandError: it is no path, or one that no file can have.

    >>> path_of("save", b"model.safetensors")
    'model.safetensors'
    """
    try:
        text = os.fsdecode(path)
    except (TypeError, UnicodeError):
        raise OperandError(f"{owner}: expected the path of a file, got {show(path)}") from None
    try:
        os.fsencode(text)
    except UnicodeError:
        raise OperandError(f"{owner}: no file can have the name {text!r}") from None
    if "\0" in text or not text:
        raise OperandError(f"{owner}: no file can have the name {text!r}")
    return text


def _remove_left_behind(folder: str, name: str) -> None:
    """Removes what processes that were killed while they saved this file left."""
    pattern = re.compile(re.escape(f".{name}.") + r"[0-9a-f]{8}\.tmp")
    with contextlib.suppress(OSError):
        for entry in os.listdir(folder or "."):
            if pattern.fullmatch(entry):
                with contextlib.suppress(OSError), open(os.path.join(folder, entry), "rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(file.name)


def _begun(folder: str, name: str) -> IO[bytes]:
    """A new file beside the place of another, locked."""
    while True:
        file = open(  # noqa: SIM115
            os.path.join(folder, f".{name}.{secrets.token_hex(4)}.tmp"), "xb"
        )
        try:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            if os.path.exists(file.name):  # not taken for one left behind before it was locked
                return file
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(file.name)
            file.close()
            raise
        file.close()


@contextlib.contextmanager
def replaced(owner: str, *paths: str, append: bool = False) -> Iterator[list[IO[bytes]]]:
    """Files to write to, which take their places when the block ends without an error.

    Symbolic links are followed, and a file keeps the mode of the one that it replaces. Of
    several files all are complete before the first takes its place.

    Args:
        owner: the function that is named in errors.
        paths: the files.
        append: whether they begin as copies of the present ones.

    Raises:
        OperandError: there is something at a path that is no regular file.
        OSError: a file cannot be written.
    """
    begun: list[tuple[IO[bytes], str]] = []
    path = paths[0]
    try:
        for path in paths:
            place = os.path.realpath(path)
            folder, name = os.path.split(place)
            mode = None
            with contextlib.suppress(FileNotFoundError):
                mode = os.stat(place).st_mode
                if not stat.S_ISREG(mode):
                    kind = "a directory" if stat.S_ISDIR(mode) else "no regular file"
                    raise OperandError(f"{owner}: {path} is {kind}; it was left as it is")
            _remove_left_behind(folder, name)
            file = _begun(folder, name)
            begun.append((file, place))
            if mode is not None:
                os.chmod(file.name, stat.S_IMODE(mode))
                if append:
                    with open(place, "rb") as before:
                        shutil.copyfileobj(before, file)
        yield [file for file, _ in begun]
        for file, path in begun:  # noqa: B007
            file.flush()
            os.fsync(file.fileno())
        for file, path in begun:
            os.replace(file.name, path)
        for folder in {os.path.dirname(place) for _, place in begun}:
            with contextlib.suppress(OSError):  # not every system knows how
                directory = os.open(folder, os.O_RDONLY)
                try:
                    os.fsync(directory)
                finally:
                    os.close(directory)
    except OSError as error:
        raise OSError(error.errno, f"cannot write: {error.strerror or error}", path) from None
    finally:
        for file, _ in begun:
            with contextlib.suppress(OSError):
                os.unlink(file.name)
            with contextlib.suppress(OSError):
                file.close()
