"""Trainers: what turns gradients into better parameters.

A trainer is made for a model and called after every ``backward()``::

    trainer = ab.Adam(model, learning_rate=1e-3, clip_norm=5.0)
    ...
    loss.backward()
    trainer.update()

``update()`` looks at the whole gradient first: if a number of it is not finite nothing is
changed. Then it clips, applies the rule to every parameter that has a gradient, and forgets
the gradients. A parameter that the loss did not depend on is left alone, and so is its
state; of a lookup the same holds row by row, unless ``sparse=False``.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypedDict

import numpy as np

from . import _core, plain, updates
from ._core import Updates
from .backends import cpu
from .backends.memory import address_of, aligned_zeros
from .engine import direct, gradients_turn, timed
from .errors import ConfigurationError, GradientError, OperandError
from .module import AnyParameter, Module, named_parameters
from .parameters import Lookup
from .plain import show
from .schedules import Schedule
from .updates import Update

__all__ = [
    "SGD",
    "AMSGrad",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "CyclicalSGD",
    "Momentum",
    "RMSProp",
    "Trainer",
]

if TYPE_CHECKING:
    from typing import TypeAlias

    from typing_extensions import Unpack

    # Collections may be nested.
    Collection: TypeAlias = Mapping[Any, Any] | list[Any] | tuple[Any, ...]
    Model: TypeAlias = Module | AnyParameter | Collection | Iterable[Module | AnyParameter]


class Settings(TypedDict, total=False):
    """What every trainer takes by name, see :class:`Trainer`."""

    clip_norm: float | None
    clip_value: float | None
    schedule: Schedule | None
    sparse: bool


@dataclass(frozen=True)
class _Gradient:
    """A parameter's gradient as an update takes it: whole, or the rows that have one."""

    name: str
    parameter: AnyParameter
    values: np.ndarray
    rows: np.ndarray | None


@dataclass(frozen=True)
class _Range:
    """The numbers that a setting may be."""

    low: float = 0.0
    below: float = math.inf
    positive: bool = False  # whether `low` itself is none of them
    optional: bool = False

    def __contains__(self, number: float) -> bool:
        return self.low <= number < self.below and not (self.positive and number == self.low)

    def __str__(self) -> str:
        if self.positive:
            return f"a finite number above {self.low:g}"
        upper = " and finite" if self.below == math.inf else f" and below {self.below:g}"
        return f"at least {self.low:g}{upper}"


_POSITIVE, _LIMIT = _Range(positive=True), _Range(positive=True, optional=True)
# What is checked whenever it is set, and how.
_SETTINGS: dict[str, Any] = {
    **dict.fromkeys(("learning_rate", "weight_decay", "max_rate", "gamma"), _Range()),
    **dict.fromkeys(("momentum", "rho", "beta1", "beta2"), _Range(below=1.0)),
    "epsilon": _POSITIVE,
    **dict.fromkeys(("clip_norm", "clip_value"), _LIMIT),
    **dict.fromkeys(("sparse", "nesterov"), bool),
    **dict.fromkeys(("step", "step_size"), int),
    "schedule": None,
}


def rounded(number: float) -> float:
    """A number as float32 holds it; infinite where it is too large.

    >>> rounded(1e-50), rounded(1e300)
    (0.0, inf)
    """
    with np.errstate(over="ignore", under="ignore"):
        return float(np.float32(number))


class Trainer(_core.Trainer):
    """Base class of the trainers.

    A subclass names its states and settings and defines :meth:`_rule`. What an update needs is
    asked here and told to the base in C, which makes the next ones by itself until an attribute
    is assigned to.

    Args:
        model: a module, a parameter, or a collection of them. Parameters are taken down when
            the trainer is made.
        learning_rate: factor of every step; may be assigned to at any time.
        clip_norm: the gradient of all parameters together is scaled down to at most this
            Euclidean norm; default: not at all.
        clip_value: every number of the gradient is limited to ``[-clip_value, clip_value]``,
            before the norm is; default: not at all.
        schedule: factor of the learning rate by the number of updates made, see
            :mod:`autobatch.schedules`; default: 1.
        sparse: whether only those rows of a lookup are updated that have a gradient, their
            state included; default True. Otherwise all rows are, as if the others had a
            gradient of zero.

    Attributes:
        step: how many updates were made.
        gradient_norm: Euclidean norm of the last gradient before it was clipped; 0 before
            the first update.

    Raises:
        ConfigurationError: the model has no parameters, or a setting is out of its range.

    >>> import autobatch as ab
    >>> w = ab.Parameter(init=[1.0, 2.0])
    >>> trainer = ab.SGD(w, learning_rate=0.5)
    >>> ab.sum(w * w).backward()
    >>> trainer.update()
    >>> w.value(), round(trainer.gradient_norm, 4)
    (array([0., 0.], dtype=float32), 4.4721)
    """

    state_names: ClassVar[tuple[str, ...]] = ()
    idle: ClassVar[bool] = False  # whether running means move on without a gradient
    setting_names: ClassVar[tuple[str, ...]] = (
        "learning_rate",
        "clip_norm",
        "clip_value",
        "sparse",
    )

    # Whether the next updates may be C's: not of a subclass that changes what an update does.
    _steady: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        settings = {"learning_rate", "clip_norm", "clip_value", "sparse", "step"}
        methods = {"rate", "update", "_rule", "_run", "_update", "_first_state"}
        own = (settings | methods) & vars(cls).keys()
        if own and not cls.__module__.startswith(__package__):
            cls._steady = False

    def __init__(
        self,
        model: Model,
        learning_rate: float,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        schedule: Schedule | None = None,
        sparse: bool = True,
    ) -> None:
        self.parameters: dict[str, AnyParameter] = self._parameters_of(model)
        self._narrow = any(p.dtype.itemsize == 4 for p in self.parameters.values())
        self.learning_rate = learning_rate
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.schedule = schedule
        self.sparse = sparse
        self._set_state({name: {} for name in self.state_names})

    _narrow: bool = True  # whether settings are rounded to float32: a parameter's type

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _SETTINGS:
            value = self._checked(name, value)
        elif name == "gradient_norm":
            value = plain.number(type(self).__name__, name, value)
        super().__setattr__(name, value)

    def _checked(self, name: str, value: Any) -> Any:
        """A setting as it may be, also when it is rounded to the parameters' type.

        Raises:
            ConfigurationError, OperandError: it may not.
        """
        kind, expected = type(self).__name__, _SETTINGS[name]
        if isinstance(expected, _Range):
            if value is None and expected.optional:
                return None
            number = plain.number(kind, name, value, ConfigurationError)
            wrong = "" if number in expected else f"got {show(value)}"
            if not wrong and self._narrow and rounded(number) not in expected:
                wrong = f"got {value!r}, which float32, the parameters' type, rounds to "
                wrong += f"{rounded(number):g}"
            if wrong:
                raise ConfigurationError(f"{kind}: {name} must be {expected}, {wrong}")
            return number
        if expected is bool:
            return plain.flag(kind, name, value)
        if expected is int:
            count = plain.whole(kind, name, value, ConfigurationError)
            if not (name != "step") <= count < 2**53:
                raise ConfigurationError(f"{kind}: {name} must be a count, got {show(value)}")
            return count
        if value is not None and not callable(value):
            raise ConfigurationError(
                f"{kind}: schedule must be a function of the number of updates, got {value!r}"
            )
        return value

    def _parameters_of(self, model: Model) -> dict[str, AnyParameter]:
        found = named_parameters(model)
        if not found:
            raise ConfigurationError(
                f"{type(self).__name__}: {type(model).__name__} has no parameters to train; "
                f"assign Parameter, Lookup or Module objects to its attributes"
            )
        return found

    def _rule(self) -> tuple[str, tuple[float, ...]]:
        """The rule's name in :mod:`autobatch.updates` and its settings: what the function there
        takes after the rate and the count of the update."""
        raise NotImplementedError(f"{type(self).__name__} does not define _rule")

    @property
    def rate(self) -> float:
        """The learning rate of the next update: `learning_rate` times the schedule's factor.

        Raises:
            ConfigurationError: the schedule answers no finite factor.
        """
        rate = float(self.learning_rate)
        if self.schedule is not None:
            factor = self.schedule(self.step)
            rate *= plain.number(type(self).__name__, "the schedule's factor", factor)
        return self._usable(rate)

    def _usable(self, rate: float) -> float:
        if not 0.0 <= (rounded(rate) if self._narrow else rate) < math.inf:
            raise ConfigurationError(
                f"{type(self).__name__}: the learning rate of update {self.step} is {rate}; "
                f"expected a finite number >= 0"
            )
        return rate

    @direct
    def update(self) -> None:
        """Applies the gradients once and forgets them.

        Raises:
            GradientError: a number of the gradient is not finite (the message names the
                parameter), or no parameter has a gradient. Parameters and state are as they
                were, and the gradients are forgotten.
        """
        if self._update_as_told():  # where there is no `direct`
            return
        if self._updates is None:
            self._updates = self._make_updates()
        if self.schedule is None and self._steady:
            asked = self._asked()
            how = (*self._rule(), self.sparse, True, self.clip_value, self.clip_norm)
            self._tell(asked, *how, self._first_state(), False, False, None, None)
            if self._update_as_told():
                return
        rate = self.rate
        rule, settings = self._rule()
        numbers = (rate, self.step + 1, *settings)
        norm = self._run(rule, numbers, True, self.clip_value, 1.0)
        if norm is None or norm == cpu.NOT_FINITE:
            # The latter is for the twin to explain; it may be that only the squares are not.
            with gradients_turn, timed("update"):
                self._update(rule, numbers)
        elif norm < 0:
            raise GradientError(self._nothing())
        else:
            self.gradient_norm = norm
        self.step += 1

    def _run(
        self,
        rule: str,
        numbers: tuple[float, ...],
        measured: bool,
        clip_value: float | None,
        factor: float,
    ) -> float | None:
        """All in one call; None where the engine is not what runs."""
        updates = self._updates
        assert updates is not None
        how = (self.sparse, measured, clip_value, self.clip_norm, factor, self._first_state())
        return updates.run(rule, numbers, *how)

    def _update(self, rule: str, numbers: tuple[float, ...]) -> None:
        """The update in NumPy, one parameter after the other: the twin of the compiled one."""
        gradients = self._gradients()
        if not gradients:
            raise GradientError(self._nothing())
        try:
            factor = self._clip(gradients)
            self._apply_all(gradients, factor, rule, numbers)
        finally:
            self.zero_grad()

    def _apply_all(
        self, gradients: list[_Gradient], factor: float, rule: str, numbers: tuple[float, ...]
    ) -> None:
        """Applies all, or nothing where a number that is not finite would be written."""
        kept: list[tuple[np.ndarray, Any, np.ndarray]] = []
        whole = False
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                for gradient in gradients:
                    states = [self._state_of(which, gradient) for which in self.state_names]
                    rows = ... if gradient.rows is None else gradient.rows.copy()
                    for array in (gradient.parameter._data, *states):
                        assert array is not None
                        kept.append((array, rows, array[rows].copy()))
                    self._apply_to(gradient, factor, rule, numbers)
                    for which, array in zip(
                        ("", *self.state_names), (gradient.parameter._data, *states), strict=True
                    ):
                        assert array is not None
                        bad = ~np.isfinite(array[rows])
                        if bad.any():
                            raise GradientError(self._overflow(gradient, which, array[rows], bad))
            whole = True
        finally:
            if not whole:
                for array, rows, before in kept:
                    array[rows] = before

    def _overflow(
        self, gradient: _Gradient, which: str, written: np.ndarray, bad: np.ndarray
    ) -> str:
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        value = written[first]
        if gradient.rows is not None:
            first = (int(gradient.rows[first[0]]), *first[1:])
        what = f"state {which!r} of " if which else ""
        return (
            f"{type(self).__name__}.update: {what}parameter {gradient.name!r} would become "
            f"{value} at index {first}: {written.dtype} does not hold it. Nothing was applied "
            f"and all gradients were cleared. Lower the learning rate (now {self.rate:g}), or "
            f"limit the gradient by clip_norm or clip_value"
        )

    def _make_updates(self) -> Updates:
        updates = Updates(self._trained(), "".join(self.state_names), self.idle)
        state = self._state
        if any(state.values()):
            for place, (name, _) in enumerate(self._items()):
                held = [arrays[name] for arrays in state.values() if name in arrays]
                if len(held) == len(state):
                    updates._place(place, held, tuple(map(address_of, held)))
        return updates

    @property
    def _state(self) -> dict[str, dict[str, np.ndarray]]:
        """The states by their names and their parameters'. Few programs look at them: of those
        that updates have begun the arrays are made here."""
        begun = [] if self._updates is None else self._updates._begun()
        if begun:
            names = {id(parameter): name for name, parameter in self._items()}
            for parameter, memory, address, step in begun:
                data, name = parameter._data, names[id(parameter)]
                place = address - address_of(memory)
                for arrays in self._arrays.values():
                    arrays[name] = np.ndarray(data.shape, data.dtype, memory, place)
                    place += step
        return self._arrays

    def _set_state(self, state: dict[str, dict[str, np.ndarray]]) -> None:
        self._arrays = state
        self._updates = None

    def _first_state(self) -> float:
        """What the numbers of states begin with."""
        return 0.0

    def _trained(self) -> Sequence[AnyParameter]:
        """The parameters of `_items`."""
        return list(self.parameters.values())

    def _items(self) -> Iterable[tuple[str, AnyParameter]]:
        return self.parameters.items()

    def _nothing(self) -> str:
        return (
            f"{type(self).__name__}.update: no parameter has a gradient; call "
            f"loss.backward() first, on a loss that depends on the trained parameters"
        )

    def _apply_to(
        self, gradient: _Gradient, factor: float, rule: str, numbers: tuple[float, ...]
    ) -> None:
        """Changes the parameter of a gradient that is multiplied by `factor` first."""
        parameter = gradient.parameter
        update = Update(
            parameter._data,
            gradient.values,
            m=self._state_of("m", gradient),
            v=self._state_of("v", gradient),
            rows=gradient.rows,
            factor=factor,
            x=self._state_of("x", gradient),
        )
        getattr(updates, rule)(update, *numbers)
        parameter._touch()

    def zero_grad(self) -> None:
        """Forgets the gradients of all parameters of this trainer."""
        for parameter in self.parameters.values():
            parameter.zero_grad()

    def _gradients(self) -> list[_Gradient]:
        found = []
        for name, parameter in self.parameters.items():
            if not parameter.trainable:
                continue
            if isinstance(parameter, Lookup) and parameter._slots:
                sparse = parameter._sparse
                if self.sparse and parameter._grad is None:
                    values = sparse.values[: sparse.count]
                    rows = sparse.row_of_slot[: sparse.count]
                    found.append(_Gradient(name, parameter, values, rows))
                    continue
                parameter._merge_sparse()
            if parameter._grad is not None:
                found.append(_Gradient(name, parameter, parameter._grad, None))
        return found

    def _clip(self, gradients: list[_Gradient]) -> float:
        """Checks and clips the gradient; answers the factor that limits its norm."""
        self.gradient_norm = norm = self._norm(gradients)
        if self.clip_value is not None:
            for gradient in gradients:
                updates.clip(gradient.values, -self.clip_value, self.clip_value)
            if self.clip_norm is not None:
                norm = self._norm(gradients)
        if self.clip_norm is not None and norm > self.clip_norm:
            return self.clip_norm / norm
        return 1.0

    def _norm(self, gradients: list[_Gradient]) -> float:
        total = 0.0
        for gradient in gradients:
            total += updates.squared_norm(gradient.values)
        if math.isfinite(total):
            return math.sqrt(total)
        for gradient in gradients:
            bad = ~np.isfinite(gradient.values)
            if bad.any():
                self.gradient_norm = math.nan
                raise GradientError(self._complaint(gradient, bad))
        # Only the squares overflow: measure in units of the largest number.
        unit = max(float(np.abs(gradient.values).max()) for gradient in gradients)
        return unit * math.sqrt(
            sum(updates.squared_norm(gradient.values / unit) for gradient in gradients)
        )

    def _complaint(self, gradient: _Gradient, bad: np.ndarray) -> str:
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        value = gradient.values[first]
        if gradient.rows is not None:
            first = (int(gradient.rows[first[0]]), *first[1:])
        return (
            f"{type(self).__name__}.update: the gradient of parameter {gradient.name!r} is not "
            f"finite: {int(bad.sum())} of {bad.size} numbers, the first {value} at index {first}. "
            f"Nothing was applied and all gradients were cleared. Look for inputs that are not "
            f"finite, log or division of zero, or too high a learning rate (now {self.rate:g})"
        )

    def _state_of(self, which: str, gradient: _Gradient) -> np.ndarray | None:
        if which not in self._state:
            return None
        states, data = self._state[which], gradient.parameter._data
        if gradient.name not in states:
            states[gradient.name] = aligned_zeros(data.shape, data.dtype)
            if self._first_state():  # untouched memory costs nothing
                states[gradient.name].fill(self._first_state())
            self._updates = None  # which does not know of this state
        return states[gradient.name]

    def state_dict(self) -> dict[str, Any]:
        """All that training needs to go on as if it had not stopped, copied.

        Answers:
            ``kind`` (the class's name), ``step``, ``settings`` (numbers by name) and ``state``
            (arrays by state and parameter name; none for parameters without a gradient so far).
            A schedule is a function of `step` and not contained.

        >>> from autobatch.parameters import Parameter
        >>> SGD(Parameter(3), learning_rate=0.5).state_dict()["settings"]["learning_rate"]
        0.5
        """
        return {
            "kind": type(self).__name__,
            "step": self.step,
            "settings": {name: getattr(self, name) for name in self.setting_names},
            "state": {
                which: {name: array.copy() for name, array in arrays.items()}
                for which, arrays in self._state.items()
            },
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over what :meth:`state_dict` of an equal trainer answered.

        Raises:
            ConfigurationError: it is from another kind of trainer or other parameters; the
                message says what differs, and nothing is changed.
        """
        self._check_state(state)
        # In one step, as no byte code runs in it: a handler of a signal finds all or nothing.
        collections.deque(map(_core.Trainer.__setattr__, repeat(self), *self._to_load(state)), 0)

    def _to_load(self, state: dict[str, Any]) -> tuple[list[str], list[Any]]:
        """Names and values of the attributes that make this trainer what a checked state says."""
        arrays = {
            which: {name: self._copied(a) for name, a in state["state"][which].items()}
            for which in self.state_names
        }
        changed = {**state["settings"], "step": int(state["step"])}
        changed |= {"_arrays": arrays, "_updates": None}
        return list(changed), list(changed.values())

    @staticmethod
    def _copied(array: np.ndarray) -> np.ndarray:
        copy = aligned_zeros(array.shape, array.dtype)
        copy[...] = array
        return copy

    def _check_state(self, state: dict[str, Any]) -> None:
        kind = type(self).__name__
        if not isinstance(state, dict) or set(state) != {"kind", "step", "settings", "state"}:
            raise ConfigurationError(f"{kind}: this is not the state of a trainer")
        if state["kind"] != kind:
            raise ConfigurationError(f"expected the state of {kind}, got that of {state['kind']}")
        step = state["step"]
        if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step < 2**53:
            raise ConfigurationError(f"{kind}: step must be a count of updates, got {step!r}")
        self._check_settings(state["settings"])
        if not isinstance(state["state"], dict) or set(state["state"]) != set(self.state_names):
            raise ConfigurationError(
                f"{kind}: expected the states {list(self.state_names)}, got {list(state['state'])}"
            )
        for which, arrays in state["state"].items():
            for name, array in arrays.items():
                if name not in self.parameters:
                    raise ConfigurationError(
                        f"{kind}: state {which!r} of parameter {name!r}, which is not trained here"
                    )
                data = self.parameters[name]._data
                if (array.shape, array.dtype) != (data.shape, data.dtype):
                    raise ConfigurationError(
                        f"{kind}: state {which!r} of parameter {name!r}: expected "
                        f"{data.dtype} of shape {data.shape}, got {array.dtype} of {array.shape}"
                    )

    def _check_settings(self, settings: Any) -> None:
        kind = type(self).__name__
        if not isinstance(settings, dict) or set(settings) != set(self.setting_names):
            raise ConfigurationError(f"{kind}: expected the settings {list(self.setting_names)}")
        for name, value in settings.items():
            try:
                self._checked(name, value)
            except OperandError as error:
                raise ConfigurationError(str(error)) from None

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a trainer cannot be pickled or copied; give the state_dict() of this one to the "
            f"load_state_dict() of another {type(self).__name__} of the same model"
        )

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.setting_names)
        return f"{type(self).__name__}({len(self.parameters)} parameters, {settings})"


class SGD(Trainer):
    """Stochastic gradient descent: ``w -= rate * g``. Default learning rate 0.1.

    Further arguments as for :class:`Trainer`.

    >>> from autobatch.parameters import Parameter
    >>> SGD(Parameter(3), schedule=lambda step: 0.5).rate
    0.05
    """

    def __init__(
        self, model: Model, learning_rate: float = 0.1, **settings: Unpack[Settings]
    ) -> None:
        super().__init__(model, learning_rate, **settings)

    def _rule(self) -> tuple[str, tuple[float, ...]]:
        return "sgd", ()


def triangular(step: int, low: float, high: float, half: int, gamma: float) -> float:
    """A learning rate that climbs from `low` to `high` in `half` updates and falls again,
    for ever, the height shrinking by `gamma` per update (Smith 2017).

    >>> [round(triangular(step, 0.0, 1.0, 2, 1.0), 2) for step in range(6)]
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.5]
    """
    x = abs(step / half - 2 * (step // (2 * half)) - 1)
    height = (high - low) * (1.0 - x if x < 1.0 else 0.0)
    return low + (height if gamma == 1 else height * gamma**step)


class CyclicalSGD(SGD):
    """Gradient descent whose rate climbs and falls, see :func:`triangular` (Smith 2017).

    Args:
        learning_rate: the lowest rate, default 0.01.
        max_rate: the highest, default 0.1.
        step_size: updates from the lowest to the highest, default 2000.
        gamma: factor of the height per update, in (0, 1], default 1.

    Further arguments as for :class:`Trainer`.

    >>> from autobatch.parameters import Parameter
    >>> CyclicalSGD(Parameter(3)).rate
    0.01
    """

    setting_names = (*Trainer.setting_names, "max_rate", "step_size", "gamma")
    _steady = False

    def __init__(
        self,
        model: Model,
        learning_rate: float = 0.01,
        max_rate: float = 0.1,
        step_size: int = 2000,
        gamma: float = 1.0,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(model, learning_rate, **settings)
        self.max_rate = max_rate
        self.step_size = step_size
        self.gamma = gamma

    @property
    def rate(self) -> float:
        """The learning rate of the next update: a schedule multiplies both ends."""
        low, high = float(self.learning_rate), float(self.max_rate)
        now = triangular(self.step, low, high, self.step_size, self.gamma)
        if self.schedule is not None:
            factor = self.schedule(self.step)
            now *= plain.number(type(self).__name__, "the schedule's factor", factor)
        return self._usable(now)


class Momentum(Trainer):
    """Gradient descent with a velocity: ``v = momentum * v + g; w -= rate * v``
    (Polyak 1964), or with Nesterov's look ahead ``w -= rate * (g + momentum * v)``
    (Sutskever et al. 2013).

    Args:
        learning_rate: default 0.01.
        momentum: in [0, 1), default 0.9.
        nesterov: default False.

    Further arguments as for :class:`Trainer`.

    >>> from autobatch.parameters import Parameter
    >>> Momentum(Parameter(3), nesterov=True).momentum
    0.9
    """

    state_names = ("m",)
    setting_names = (*Trainer.setting_names, "momentum", "nesterov")

    def __init__(
        self,
        model: Model,
        learning_rate: float = 0.01,
        momentum: float = 0.9,
        nesterov: bool = False,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(model, learning_rate, **settings)
        self.momentum = momentum
        self.nesterov = nesterov

    def _rule(self) -> tuple[str, tuple[float, ...]]:
        return "momentum", (self.momentum, self.nesterov)


class Adagrad(Trainer):
    """``G += g^2; w -= rate * g / (sqrt(G) + epsilon)`` (Duchi et al. 2011).

    Args:
        learning_rate: default 0.1.
        epsilon: default 1e-10.

    Further arguments as for :class:`Trainer`.

    >>> from autobatch.parameters import Parameter
    >>> Adagrad(Parameter(3)).learning_rate
    0.1
    """

    state_names = ("v",)
    setting_names = (*Trainer.setting_names, "epsilon")

    def __init__(
        self,
        model: Model,
        learning_rate: float = 0.1,
        epsilon: float = 1e-10,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(model, learning_rate, **settings)
        self.epsilon = epsilon

    def _rule(self) -> tuple[str, tuple[float, ...]]:
        return "adagrad", (self.epsilon,)


class RMSProp(Trainer):
    """``s = rho * s + (1 - rho) * g^2; w -= rate * g / (sqrt(s) + epsilon)``
    (Tieleman and Hinton 2012).

    Args:
        learning_rate: default 0.001.
        rho: memory of the mean square, in [0, 1), default 0.9.
        epsilon: default 1e-8.

    Further arguments as for :class:`Trainer`.

    >>> from autobatch.parameters import Parameter
    >>> RMSProp(Parameter(3)).rho
    0.9
    """

    state_names = ("v",)
    setting_names = (*Trainer.setting_names, "rho", "epsilon")

    def __init__(
        self,
        model: Model,
        learning_rate: float = 0.001,
        rho: float = 0.9,
        epsilon: float = 1e-8,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(model, learning_rate, **settings)
        self.rho = rho
        self.epsilon = epsilon

    def _rule(self) -> tuple[str, tuple[float, ...]]:
        return "rmsprop", (self.rho, self.epsilon, False)


class Adam(Trainer):
    """Adam (Kingma and Ba 2015): running means of the gradient and of its square, corrected
    for their start at zero.

    ``m = beta1 * m + (1 - beta1) * g; v = beta2 * v + (1 - beta2) * g^2;``
    ``w -= rate * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon)``

    The count ``t`` is that of the trainer's updates, also for rows of a lookup that were
    used in few of them.

    Args:
        learning_rate: default 0.001.
        beta1, beta2: in [0, 1), default 0.9 and 0.999.
        epsilon: default 1e-8.

    Further arguments as for :class:`Trainer`.

    >>> from autobatch.parameters import Parameter
    >>> Adam(Parameter(3), clip_norm=5.0).clip_norm
    5.0
    """

    state_names: ClassVar[tuple[str, ...]] = ("m", "v")
    setting_names = (*Trainer.setting_names, "beta1", "beta2", "epsilon")

    def __init__(
        self,
        model: Model,
        learning_rate: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(model, learning_rate, **settings)
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon

    def _rule(self) -> tuple[str, tuple[float, ...]]:
        return "adam", (self.beta1, self.beta2, self.epsilon, False)


class AMSGrad(Adam):
    """Adam that divides by the largest mean square so far, so that steps do not grow again
    (Reddi et al. 2018): ``x = max(x, v)`` stands for `v` in the last line.

    Arguments as for :class:`Adam`.

    >>> from autobatch.parameters import Parameter
    >>> AMSGrad(Parameter(3)).beta2
    0.999
    """

    state_names: ClassVar[tuple[str, ...]] = ("m", "v", "x")

    def _rule(self) -> tuple[str, tuple[float, ...]]:
        return "amsgrad", super()._rule()[1]


class Adadelta(Trainer):
    """``v = rho * v + (1 - rho) * g^2; d = g * sqrt(m + epsilon) / sqrt(v + epsilon);``
    ``m = rho * m + (1 - rho) * d^2; w -= rate * d`` (Zeiler 2012).

    Args:
        learning_rate: default 1: the method finds its own.
        rho: memory of the mean squares, in [0, 1), default 0.95.
        epsilon: default 1e-6.

    Further arguments as for :class:`Trainer`.

    >>> from autobatch.parameters import Parameter
    >>> Adadelta(Parameter(3)).rho
    0.95
    """

    state_names = ("m", "v")
    setting_names = (*Trainer.setting_names, "rho", "epsilon")

    def __init__(
        self,
        model: Model,
        learning_rate: float = 1.0,
        rho: float = 0.95,
        epsilon: float = 1e-6,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(model, learning_rate, **settings)
        self.rho = rho
        self.epsilon = epsilon

    def _rule(self) -> tuple[str, tuple[float, ...]]:
        return "adadelta", (self.rho, self.epsilon)


class AdamW(Adam):
    """Adam with decoupled weight decay: ``w *= 1 - rate * weight_decay`` first
    (Loshchilov and Hutter 2019).

    Decay goes with the update: parameters without a gradient, and with ``sparse=True`` rows
    without one, do not decay.

    Args:
        weight_decay: default 0.01.

    Other arguments as for :class:`Adam`.

    >>> from autobatch.parameters import Parameter
    >>> AdamW(Parameter(3), weight_decay=0.1).weight_decay
    0.1
    """

    setting_names = (*Adam.setting_names, "weight_decay")

    def __init__(
        self,
        model: Model,
        learning_rate: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
        **settings: Unpack[Settings],
    ) -> None:
        super().__init__(model, learning_rate, beta1, beta2, epsilon, **settings)
        self.weight_decay = weight_decay

    def _rule(self) -> tuple[str, tuple[float, ...]]:
        return "adamw", (*super()._rule()[1], self.weight_decay)
