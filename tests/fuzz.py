"""Calls everything public with arguments at random, many of them hostile, in a process of its own.

    python tests/fuzz.py --package autobatch.dynet --seed 7 --seconds 20 --folder DIR

Allowed are results, errors of the package, and what a hostile object itself raises. Everything
else is written to standard output, a line of JSON each. A call is written to ``DIR/last`` before
it is made, so that whoever started the process knows what killed it. The process works inside DIR
and below a limit of memory.
"""

from __future__ import annotations

import argparse
import faulthandler
import functools
import importlib
import inspect
import json
import operator
import os
import random
import resource
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import autobatch as ab
from autobatch._core import Holder

MEMORY = 8 << 30  # of addresses: graphs reserve theirs beforehand
HANG = 60  # seconds that no call may take


class Hostile(Exception):
    """What hostile objects raise."""


def _raise(*_: Any, **__: Any) -> Any:
    raise Hostile


def _begin(*_: Any, **__: Any) -> Any:
    ab.new_graph()
    return ab.zeros(1).value()[0] + 1.0


def _record(*_: Any, **__: Any) -> Any:
    ab.ones(2) * 3.0
    return np.ones(2)


def _collect(*_: Any, **__: Any) -> Any:
    ab.zeros(2).value()
    return 1


def _few(answer: Callable[..., Any]) -> Callable[..., Any]:
    def item(self: Any, key: Any) -> Any:
        if isinstance(key, int) and key >= 3:
            raise IndexError
        return answer()

    return item


def hostile(rng: random.Random) -> Any:
    """An object whose protocols raise, record, run, begin graphs, or answer nonsense."""
    names = ("__array__", "__index__", "__float__", "__iter__", "__len__", "__getitem__")
    names += ("__hash__", "__eq__", "__bool__", "__getattr__", "__fspath__", "__call__")
    does = (_raise, _begin, _record, _collect, lambda *_: None, lambda *_: "x", lambda *_: -1)
    members = {name: rng.choice(does) for name in names if rng.random() < 0.4}
    if "__getitem__" in members:
        members["__getitem__"] = _few(members["__getitem__"])  # a sequence without end is no news
    if rng.random() < 0.2:
        members["__del__"] = rng.choice((_begin, _record, _collect))
    return type("HostileObject", (), members)()


def shrinking(rng: random.Random) -> list[Any]:
    """A list that an element of it changes while somebody reads it."""
    items: list[Any] = [1.0, 2.0, 3.0]

    def change(*_: Any) -> int:
        items.clear()
        return 1

    items[rng.randrange(3)] = type("Changes", (), {"__index__": change, "__float__": change})()
    return items


class Arguments:
    """Plausible and hostile arguments, by the name of a parameter."""

    def __init__(self, rng: random.Random, pool: list[Any]) -> None:
        self.rng, self.pool = rng, pool

    def any(self) -> Any:
        return self.hostile() if self.rng.random() < 0.3 else self.plausible("")

    def number(self) -> Any:
        edge = (0, 1, -1, 2, 0.5, 1e-50, 1e300, np.inf, -np.inf, np.nan, 2**31, 2**63, -(2**63))
        return self.rng.choice((*edge, 10**400, True, np.float32(2), np.int64(1), np.bool_(True)))

    def array(self) -> Any:
        shape = tuple(self.rng.choice((0, 1, 2, 3)) for _ in range(self.rng.randrange(4)))
        kind = self.rng.choice(("f4", "f8", "i4", "i8", "u1", "?", "f2", "c8", "U3", "M8[s]", "O"))
        array = np.ones(shape, kind) if kind not in ("U3", "M8[s]") else np.zeros(shape, kind)
        if self.rng.random() < 0.2:
            array = array[..., ::-1] if array.ndim else array
        if self.rng.random() < 0.1:
            return np.ma.array(array, mask=np.ones(shape, bool))
        return array

    def hostile(self) -> Any:
        choice = self.rng.randrange(14)
        if choice == 0:
            return None
        if choice == 1:
            return self.number()
        if choice in (2, 3):
            return self.array()
        if choice in (4, 5):
            return hostile(self.rng)
        if choice == 6:
            return self.rng.choice(("", "x", "\ud800", "a\0b", b"x", "float32", "x" * 10000))
        if choice == 7:
            return [self.any() for _ in range(self.rng.randrange(4))]
        if choice == 8:
            return {self.rng.choice(("a", 1, None)): self.any()}
        if choice == 9:
            return self.rng.choice((slice(None), slice(0, 2**70), slice(None, None, 0), ...))
        if choice == 10:
            return (item for item in [self.any(), self.any()])
        if choice == 11:
            return shrinking(self.rng)
        if choice == 12:
            return self.rng.choice((object(), int, ab, lambda *_: None, np, range(3), {1, 2}))
        nested: list[Any] = []
        for _ in range(self.rng.choice((3, 70, 3000))):
            nested = [nested]
        return nested

    def plausible(self, name: str) -> Any:
        rng = self.rng
        if name in ("shape", "dims", "dim", "size", "filters", "window", "stride"):
            return rng.choice((2, 3, (2, 3), (3,), [2, 2], ()))
        if name in ("axis", "axes", "d", "n", "count", "parts", "rows", "layers"):
            return rng.choice((0, 1, -1, 2, 3, (0, 1), None))
        if name in ("path", "file", "filename", "fname", "basename", "basefilename"):
            return rng.choice(("a.bin", "b.bin", Path("a.bin"), "missing/x", "."))
        if name in ("ids", "labels", "indices", "target", "targets", "label", "index", "i", "idx"):
            return rng.choice((0, 1, [0, 1], (1, 0), np.array([1, 0]), 2, -1))
        if name in ("init", "value", "array", "values", "initial"):
            return rng.choice((1.0, [1.0, 2.0], np.ones((2, 3)), np.eye(2)))
        if "rate" in name or name in ("p", "epsilon", "low", "high", "alpha", "delta"):
            return rng.choice((0.0, 0.1, 0.5, 1.0, 2.0))
        kind = rng.randrange(6)
        if kind < 4 and self.pool:
            return rng.choice(self.pool)
        if kind == 4:
            return [rng.choice(self.pool) for _ in range(rng.randrange(1, 4))] if self.pool else []
        return rng.choice((1, 2.0, "tanh", [1.0, 2.0], np.ones(3), (2, 3)))

    def of(self, call: Callable[..., Any]) -> tuple[list[Any], dict[str, Any]]:
        """Arguments for a call, mostly in the number that its signature has."""
        rng = self.rng
        try:
            parameters = list(inspect.signature(call).parameters.values())
        except (ValueError, TypeError):
            parameters = []
        args: list[Any] = []
        keywords: dict[str, Any] = {}
        wild = rng.choice((0.0, 0.2, 0.6))
        for parameter in parameters:
            value = self.hostile() if rng.random() < wild else self.plausible(parameter.name)
            required = parameter.default is parameter.empty
            if parameter.kind is parameter.VAR_POSITIONAL:
                args += [self.any() for _ in range(rng.randrange(3))] if not keywords else []
            elif parameter.kind is parameter.VAR_KEYWORD or (not required and rng.random() < 0.6):
                continue
            elif parameter.kind is parameter.KEYWORD_ONLY or not required or keywords:
                if parameter.kind is not parameter.POSITIONAL_ONLY:
                    keywords[parameter.name] = value
            else:
                args.append(value)
        if not parameters:
            args = [self.any() for _ in range(rng.randrange(4))]
        if rng.random() < 0.05:
            keywords[rng.choice(("dim", "lr", "x", "\ud800", "axis"))] = self.any()
        if rng.random() < 0.05:
            args = args[:-1] if rng.random() < 0.5 else [*args, self.any()]
        return args, keywords


# What Python calls by a sign or a built-in function, and how many operands that takes.
OPERATORS: dict[str, tuple[Callable[..., Any], int]] = {
    name: (getattr(operator, name), 2)
    for name in (
        *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"),
        *("eq", "ne", "lt", "ge", "getitem", "contains"),
    )
}
OPERATORS |= {name: (getattr(operator, name), 1) for name in ("neg", "pos", "index", "truth")}
OPERATORS |= {
    call.__name__: (call, 1)
    for call in (iter, len, int, float, round, abs, hash, str, repr, reversed, np.asarray, list)
}
OPERATORS |= {"format": (format, 2), "divmod": (divmod, 2), "setitem": (operator.setitem, 3)}
# Whoever calls these wants the process changed, or has no business with them.
LEFT_OUT = {"os", "sys", "np", "pickle", "install", "direct", "expression_type", "state"}
LEFT_OUT |= {"LSTMStack"}  # a tuple of states: its making takes anything
LEFT_OUT |= {"PyInitializer"}  # abstract, as DyNet's is, which asserts it


def seeds_of(package: str) -> list[Callable[[], Any]]:
    """What the pool of objects begins with."""
    if package == "autobatch.dynet":
        dy = importlib.import_module(package)
        model = dy.ParameterCollection()
        return [
            lambda: dy.inputVector([1.0, 2.0, 3.0]),
            lambda: dy.inputTensor(np.ones((3, 2))),
            lambda: dy.scalarInput(0.5),
            lambda: dy.inputTensor(np.ones((3, 2)), batched=True),
            lambda: model.add_parameters((3, 3)),
            lambda: model.add_lookup_parameters((5, 3)),
            lambda: model,
            lambda: dy.SimpleSGDTrainer(model),
            lambda: dy.LSTMBuilder(1, 3, 3, model),
            lambda: dy.GRUBuilder(1, 3, 3, model).initial_state(),
            lambda: dy.StandardSoftmaxBuilder(3, 4, model),
            dy.renew_cg,
            dy.cg,
        ]
    return [
        lambda: ab.input([1.0, 2.0, 3.0]),
        lambda: ab.input(np.ones((2, 3))),
        lambda: ab.input(np.ones((2, 3)), batched=True),
        lambda: ab.zeros(()),
        lambda: ab.argmax(ab.ones(3)),
        lambda: ab.Parameter((3, 3)),
        lambda: ab.Parameter(3),
        lambda: ab.Lookup(5, 3),
        lambda: ab.Lookup(5, 3)[1],
        lambda: ab.Linear(3, 3),
        lambda: ab.LSTM(3, 3),
        lambda: ab.GRU(3, 3).first,
        lambda: ab.LSTM(3, 3).step(ab.ones(3)),
        lambda: ab.Adam(ab.Parameter(3)),
        lambda: ab.cell(lambda x: x * 2.0),
        ab.new_graph,
        ab.inference,
        lambda: ab.explain(ab.ones(3) * 2.0),
    ]


def methods_of(thing: Any) -> list[tuple[str, Callable[..., Any], int | None]]:
    """Public methods, operators and attributes of an object: name, call, count of arguments."""
    found: list[tuple[str, Callable[..., Any], int | None]] = []
    if not type(thing).__module__.startswith("autobatch"):
        return found
    for name in dir(type(thing)):
        if name.startswith("_") or name in LEFT_OUT or hasattr(tuple, name):
            continue
        member = inspect.getattr_static(type(thing), name)
        if inspect.isdatadescriptor(member):
            found.append((name, lambda name=name: getattr(thing, name), 0))
            found.append((f"{name} =", lambda value, name=name: setattr(thing, name, value), 1))
        else:
            found.append((name, getattr(thing, name), None))
    numbers = isinstance(thing, (ab.Expression, ab.Parameter, ab.Lookup, Holder))
    for name, (call, operands) in OPERATORS.items() if numbers else ():
        found.append((name, functools.partial(call, thing), operands - 1))
        if operands == 2 and name != "getitem":
            found.append((f"{name} of", lambda other, call=call: call(other, thing), 1))
    return [method for method in found if callable(method[1])]


def works() -> None:
    """A graph of known numbers: whatever happened before, this is right."""
    with (
        ab.configure(
            dtype="float32",
            backend="cpu",
            sharing=True,
        ),
        ab.new_graph(),
    ):
        weight = ab.Parameter(init=np.array([[1.0, 2.0], [3.0, 4.0]]))
        loss = ab.sum(ab.square(weight @ ab.input([1.0, -1.0])))
        loss.backward()
        assert loss.item() == 2.0
        assert (weight.gradient() == [[-2.0, 2.0], [-2.0, 2.0]]).all()


class Fuzz:
    """One process's calls."""

    def __init__(self, package: str, seed: int, folder: Path) -> None:
        self.package = importlib.import_module(package)
        self.rng, self.folder, self.seed = random.Random(seed), folder, seed
        self.made = seeds_of(package)
        self.pool: list[Any] = []
        self.arguments = Arguments(self.rng, self.pool)
        self.count = 0
        self.last = os.open(folder / "last", os.O_RDWR | os.O_CREAT)
        names = [name for name in self.package.__all__ if name not in LEFT_OUT]
        things = [getattr(self.package, name) for name in sorted(names)]
        self.public = [thing for thing in things if callable(thing) and not _is_foreign(thing)]

    def begin(self) -> None:
        """A new graph, and new objects in the pool; what was there may be broken on purpose."""
        self.pool.clear()
        ab.new_graph()
        for make in self.made:
            self.pool.append(make())

    def one(self) -> dict[str, str] | None:
        """A call; a complaint, if it raised what it may not."""
        rng = self.rng
        if self.count % 40 == 0:
            self.begin()
        self.count += 1
        call: Callable[..., Any] = rng.choice(self.public)
        name, given = getattr(call, "__name__", type(call).__name__), None
        ours = [thing for thing in self.pool if methods_of(thing)]
        if rng.random() < 0.6:
            thing = rng.choice(ours)
            name, call, given = rng.choice(methods_of(thing))
            name = f"{type(thing).__name__}.{name}"
        if given is None:
            args, keywords = self.arguments.of(call)
        else:
            args, keywords = [self.arguments.any() for _ in range(given)], {}
        line = f"{self.seed} {self.count} {name}{_short(args)}{_short(keywords)}"
        os.pwrite(self.last, line.encode(errors="replace")[:2000].ljust(2000), 0)
        try:
            result = call(*args, **keywords)
            if inspect.isgenerator(result) or inspect.iscoroutine(result):
                result.close()
            elif hasattr(type(result), "__enter__") and rng.random() < 0.5:
                with result:
                    pass
            elif len(self.pool) < 60 and result is not None:
                self.pool.append(result)
        except (ab.AutobatchError, Hostile):
            return None
        except BaseException as error:
            if self.is_right(error, name):
                return None
            where = traceback.extract_tb(error.__traceback__)[-1]
            return {
                "call": line[:400],
                "error": f"{type(error).__name__}: {str(error)[:200]}",
                "place": f"{Path(where.filename).name}:{where.lineno}",
            }
        return None

    def is_right(self, error: BaseException, name: str) -> bool:
        """Whether Python's own error is the one to expect."""
        last = name.rpartition(".")[2]
        if name.endswith(" =") and isinstance(error, AttributeError):
            return True  # what cannot be assigned
        if isinstance(error, OSError):
            return True  # files that cannot be read or written, see docs/errors.md
        if (
            "." in name
            and last.split(" ")[0] in OPERATORS
            and isinstance(error, (TypeError, ValueError, IndexError))
        ):
            return True  # an object that does not know an operator
        # DyNet's names raise what DyNet's own raise: Python's errors and assertions, many of them,
        # a RecursionError for lists that are deeper than calls.
        usual = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
        usual += (AssertionError, MemoryError)
        return self.package.__name__.endswith("dynet") and isinstance(error, usual)


def _is_foreign(thing: Any) -> bool:
    """Exceptions, and names of types such as ``Callable``."""
    home = str(getattr(thing, "__module__", ""))
    is_error = isinstance(thing, type) and issubclass(thing, BaseException)
    return is_error or not home.startswith("autobatch")


def _short(arguments: Any) -> str:
    items = arguments.items() if isinstance(arguments, dict) else enumerate(arguments)
    told = []
    for key, value in items:
        try:
            text = repr(value)[:60]
        except BaseException:
            text = f"<{type(value).__name__}>"
        told.append(f"{key}={text}" if isinstance(arguments, dict) else text)
    return f"({', '.join(told)})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--package", default="autobatch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--calls", type=int, default=1 << 60, help="stop after so many")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if "asan" not in os.environ.get("LD_PRELOAD", ""):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    ab.configure(memory_limit=64 << 20)
    faulthandler.enable()
    fuzz = Fuzz(options.package, options.seed, options.folder)
    os.chdir(options.folder)
    np.seterr(all="ignore")
    end = time.monotonic() + options.seconds
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is printed by calls goes nowhere
    while time.monotonic() < end and fuzz.count < options.calls:
        faulthandler.dump_traceback_later(HANG, exit=True)
        complaint = fuzz.one()
        if complaint is None and fuzz.count % 20 == 0:
            try:
                works()
            except BaseException as error:
                traceback.print_exc()
                where = f"after call {fuzz.count} of seed {options.seed}"
                complaint = {"call": where, "error": f"numbers: {error!r}", "place": "works"}
        if complaint is not None:
            out.write(json.dumps(complaint) + "\n")
    out.write(json.dumps({"count": fuzz.count}) + "\n")


if __name__ == "__main__":
    main()
