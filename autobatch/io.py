"""Saving and loading, by the safetensors format.

A file holds the parameters under their dotted names, the trainer's state under
``@trainer/<state>/<name>``, and in its header the trainer's settings, the state of the
random generator, the caller's metadata and a checksum of every array. It is written beside
its place and moved there when it is complete, and read whole before anything is changed.
Any reader of safetensors can read the arrays.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import json
import operator
import os
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from . import _core, config
from .errors import ConfigurationError, FileFormatError, OperandError
from .files import path_of, replaced
from .module import AnyParameter, named_parameters
from .parameters import _turn
from .trainers import Trainer

Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]

__all__ = ["load", "load_metadata", "save"]

FORMAT, VERSION = "autobatch", "1"
STATE = "@trainer/"


def save(
    path: Path, model: Any, trainer: Trainer | None = None, metadata: dict[str, Any] | None = None
) -> None:
    """Writes a model to a file, and with a trainer all that training needs to go on.

    The file appears complete or not at all; an older file of this name stays until then. What
    a process that was killed meanwhile left beside it the next save of this name removes.

    Args:
        path: the file; ``.safetensors`` is its usual ending.
        model: a module, a parameter, or a collection of them.
        trainer: its state, settings and count of updates are saved, if given. The state of
            ``config.rng()`` always is.
        metadata: whatever JSON can hold; :func:`load` answers it.

    Raises:
        OperandError: `metadata` are not JSON, `model` or `trainer` is something else, or `path`
            is a directory, a device, or no path at all.
        ConfigurationError: the model has no parameters, or a name that cannot be saved.
        OSError: the file cannot be written.

    >>> import autobatch as ab, tempfile
    >>> model = ab.Linear(3, 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ab.save(f"{folder}/model.safetensors", model, metadata={"epoch": 7})
    ...     ab.load(f"{folder}/model.safetensors", model)
    {'epoch': 7}
    """
    place = path_of("save", path)
    arrays = {name: parameter._data for name, parameter in _parameters(model).items()}
    contents: dict[str, Any] = {
        "parameters": list(arrays),
        "random": config.rng().bit_generator.state,
        "metadata": {} if metadata is None else metadata,
        "trainer": None,
    }
    if trainer is not None:
        state = _checked_trainer(trainer).state_dict()
        for which, of_parameter in state.pop("state").items():
            arrays |= {f"{STATE}{which}/{name}": array for name, array in of_parameter.items()}
        contents["trainer"] = state
    contents["checksums"] = {name: _checksum(array) for name, array in arrays.items()}
    try:
        text = json.dumps(contents)
    except (TypeError, ValueError, RecursionError) as error:
        raise OperandError(f"save: metadata must be what JSON can hold: {error}") from None
    header = {
        "format": FORMAT,
        "version": VERSION,
        "contents": text,
        "checksum": str(zlib.crc32(text.encode())),
    }
    _write(place, arrays, header)


def load(path: Path, model: Any, trainer: Trainer | None = None) -> dict[str, Any]:
    """Reads what :func:`save` wrote into a model of equal structure; answers its metadata.

    With a trainer, training resumes bit for bit: its state, settings and count of updates
    and the state of ``config.rng()`` become what they were. Without, they are left alone.
    Gradients are forgotten: they belonged to the numbers before. A load that stops half way
    (Ctrl-C, an error) changes nothing.

    Args:
        path: the file.
        model: as it was given to :func:`save`.
        trainer: a trainer of the same kind and parameters as was saved.

    Raises:
        FileFormatError: the file is missing, damaged, or of another model or trainer; the
            message names the file and what differs. Nothing is changed.
        OperandError: `model` or `trainer` is something else.

    >>> import autobatch as ab, tempfile
    >>> model, other = ab.Linear(3, 2), ab.Linear(3, 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ab.save(f"{folder}/model.safetensors", model)
    ...     ab.load(f"{folder}/model.safetensors", other)
    {}
    >>> bool((other.weight.value() == model.weight.value()).all())
    True
    """
    path = path_of("load", path)
    parameters = _parameters(model)
    if trainer is not None:
        _checked_trainer(trainer)
    contents, arrays = _read(path)
    _compare(path, parameters, contents, arrays)
    state = None
    if trainer is not None:
        state = _trainer_state(path, trainer, contents, arrays)
        random = _random_state(path, contents["random"])
    # One step that nothing interrupts: no byte code runs in it, so that no handler of a signal
    # does, and it asks for no memory.
    held = list(parameters.values())
    whole, data = itertools.repeat(...), [parameter._data for parameter in held]
    write: Callable[..., Any] = operator.setitem
    steps = [map(write, data, whole, [arrays[name] for name in parameters])]
    steps += [map(operator.methodcaller(name), held) for name in ("_touch", "_forget")]
    if trainer is not None and state is not None:
        names, values = trainer._to_load(state)
        steps.append(map(_core.Trainer.__setattr__, itertools.repeat(trainer), names, values))
        steps.append(map(setattr, [config.rng().bit_generator], ["state"], [random]))
    with _turn:
        collections.deque(itertools.chain.from_iterable(steps), maxlen=0)
    return contents["metadata"]


def load_metadata(path: Path) -> dict[str, Any]:
    """The metadata of the file at `path`, without a model to put its parameters into.

    Raises:
        FileFormatError: the file is missing or damaged, or not one of autobatch's.

    >>> import autobatch as ab, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ab.save(f"{folder}/model.safetensors", ab.Linear(3, 2), metadata={"epoch": 7})
    ...     ab.load_metadata(f"{folder}/model.safetensors")
    {'epoch': 7}
    """
    path = path_of("load_metadata", path)
    with _opened(path) as file:
        return _contents(path, file)["metadata"]


def _parameters(model: Any) -> dict[str, AnyParameter]:
    parameters = named_parameters(model)
    if not parameters:
        raise ConfigurationError(
            f"{type(model).__name__} has no parameters to save or load; assign Parameter, "
            f"Lookup or Module objects to its attributes"
        )
    for name in parameters:
        if name.startswith(STATE) or name == "__metadata__":
            raise ConfigurationError(f"a parameter named {name!r} cannot be saved; rename it")
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ConfigurationError(
                f"a parameter named {name!r} cannot be saved: the name is no text; rename it"
            ) from None
    return parameters


def _checked_trainer(trainer: Any) -> Trainer:
    if not isinstance(trainer, Trainer):
        raise OperandError(f"expected a Trainer, got {type(trainer).__name__}")
    return trainer


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).view(np.uint8).reshape(-1).data)


# ---- writing


_TYPES = {"float32": "F32", "float64": "F64"}


def _write(path: str, arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """A file of safetensors: the header's length, the header, the arrays."""
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    # Numbers lie at multiples of their size: the wider ones come first.
    ordered = sorted(arrays, key=lambda name: -arrays[name].itemsize)
    for name in ordered:
        array, start = arrays[name], end
        end += array.nbytes
        header[name] = {
            "dtype": _TYPES[array.dtype.name],
            "shape": array.shape,
            "data_offsets": (start, end),
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with replaced("save", path) as (file,):
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name in ordered:
            file.write(np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8).data)


# ---- reading


@contextlib.contextmanager
def _opened(path: str) -> Any:
    """The file as the library opens it, whatever goes wrong as an error of ours."""
    try:
        if os.path.isdir(path):
            raise FileFormatError(f"{path}: expected a file, this is a directory")
        if os.path.exists(path) and not os.path.isfile(path):
            raise FileFormatError(f"{path}: expected a file, this is no regular one")
        with safe_open(path, framework="numpy") as file:
            yield file
    except FileNotFoundError:
        raise FileFormatError(f"{path}: no such file") from None
    except OSError as error:
        raise FileFormatError(f"{path}: cannot be read: {error.strerror or error}") from None
    except SafetensorError as error:
        raise FileFormatError(f"{path}: not a whole safetensors file: {error}") from None


def _contents(path: str, file: Any) -> dict[str, Any]:
    """The part of the header that is ours, checked."""
    header = file.metadata() or {}
    if header.get("format") != FORMAT:
        raise FileFormatError(f"{path}: a safetensors file, but not written by autobatch's save")
    if header.get("version") != VERSION:
        raise FileFormatError(
            f"{path}: written in version {header.get('version')} of the format; "
            f"this autobatch reads version {VERSION}"
        )
    text = header.get("contents", "")
    if header.get("checksum") != str(zlib.crc32(text.encode())):
        raise FileFormatError(f"{path}: damaged: the header does not have its checksum")
    try:
        contents = json.loads(text)
    except (ValueError, RecursionError) as error:  # also whole numbers of too many digits
        raise FileFormatError(f"{path}: the header is not what save writes: {error}") from None
    kinds = {"parameters": list, "random": object, "metadata": object, "checksums": dict}
    for name, kind in kinds.items():
        if (
            not isinstance(contents, dict)
            or name not in contents
            or not isinstance(contents[name], kind)
        ):
            raise FileFormatError(f"{path}: the header is not what save writes: no {name!r}")
    trainer, names = contents.get("trainer"), contents["parameters"]
    if not isinstance(trainer, dict | None) or "trainer" not in contents:
        raise FileFormatError(f"{path}: the header is not what save writes: no 'trainer'")
    strange = [name for name in names if not isinstance(name, str)]
    if strange or len(set(names)) < len(names):
        raise FileFormatError(f"{path}: the header is not what save writes: its list of parameters")
    return contents


def _read(path: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays, every one of them compared with its checksum."""
    arrays = {}
    with _opened(path) as file:
        contents = _contents(path, file)
        checksums, names = contents["checksums"], set(file.keys())
        for name in checksums:
            if name not in names:
                raise FileFormatError(f"{path}: damaged: array {name!r} is missing")
        for name in sorted(names - set(checksums)):
            raise FileFormatError(f"{path}: damaged: array {name!r} is not in the header's list")
        for name, checksum in checksums.items():
            try:
                arrays[name] = file.get_tensor(name)
            except (TypeError, ValueError, KeyError) as error:
                raise FileFormatError(f"{path}: damaged: array {name!r}: {error}") from None
            if _checksum(arrays[name]) != checksum:
                raise FileFormatError(f"{path}: damaged: array {name!r} does not have its checksum")
    return contents, arrays


def _compare(
    path: str,
    parameters: dict[str, AnyParameter],
    contents: dict[str, Any],
    arrays: dict[str, np.ndarray],
) -> None:
    """Whether the file's parameters are the model's; says all that is missing or too many."""
    saved = contents["parameters"]
    missing = [name for name in parameters if name not in saved]
    surplus = [name for name in saved if name not in parameters]
    if missing or surplus:
        parts = []
        if missing:
            parts.append(f"the file lacks {_listed(missing)}")
        if surplus:
            parts.append(f"the model lacks {_listed(surplus)}")
        raise FileFormatError(f"{path}: saved from another model: {'; '.join(parts)}")
    for name, parameter in parameters.items():
        if name not in arrays:
            raise FileFormatError(f"{path}: damaged: array {name!r} is missing")
        data, array = parameter._data, arrays[name]
        if data.shape != array.shape:
            raise FileFormatError(
                f"{path}: parameter {name!r}: the model's shape is {data.shape}, "
                f"the file's {array.shape}"
            )
        if data.dtype != array.dtype:
            raise FileFormatError(
                f"{path}: parameter {name!r}: the model's numbers are {data.dtype}, the file's "
                f"{array.dtype}; make the model under configure(dtype={array.dtype.name!r})"
            )


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _trainer_state(
    path: str, trainer: Trainer, contents: dict[str, Any], arrays: dict[str, np.ndarray]
) -> dict[str, Any]:
    """The trainer's state from the file, checked against the trainer."""
    if contents["trainer"] is None:
        raise FileFormatError(f"{path}: saved without a trainer; load it with trainer=None")
    state: dict[str, Any] = {which: {} for which in trainer.state_names}
    for key, array in arrays.items():
        if key.startswith(STATE):
            which, _, name = key[len(STATE) :].partition("/")
            state.setdefault(which, {})[name] = array
    state = {**contents["trainer"], "state": state}
    try:
        trainer._check_state(state)
    except ConfigurationError as error:
        raise FileFormatError(f"{path}: saved with another trainer: {error}") from None
    return state


def _random_state(path: str, state: Any) -> Any:
    """The random generator's state, if this generator can take it."""
    try:
        type(config.rng().bit_generator)(0).state = state
    except (TypeError, ValueError, KeyError, OverflowError, AttributeError) as error:
        raise FileFormatError(
            f"{path}: the state of the random generator does not fit: {error}"
        ) from None
    return state
