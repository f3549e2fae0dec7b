"""DyNet's trainers: the rules of autobatch's trainers with DyNet's defaults and habits.

What differs from ``autobatch.trainers``: a trainer belongs to a collection, which may grow;
the gradient's norm is limited to 5; parameters the loss did not depend on are updated too (a
running mean goes on moving them), rows of a lookup only if they were used; weight decay
belongs to the collection; gradients of parameters that are not updated are kept.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from .. import trainers
from ..backends import cpu
from ..engine import direct, gradients_turn, timed
from ..errors import GradientError
from ..module import AnyParameter
from ..parameters import Lookup
from ..trainers import _Gradient, triangular
from .graph import _CG, Node
from .parameters import ParameterCollection

__all__ = [
    "AdadeltaTrainer",
    "AdagradTrainer",
    "AdamTrainer",
    "AmsgradTrainer",
    "CyclicalSGDTrainer",
    "MomentumSGDTrainer",
    "RMSPropTrainer",
    "SimpleSGDTrainer",
    "Trainer",
]


class Trainer(trainers.Trainer):
    """Base class of DyNet's trainers.

    Attributes:
        learning_rate: may be assigned to at any time; a float32, as in DyNet.

    >>> import autobatch.dynet as dy
    >>> trainer = dy.SimpleSGDTrainer(dy.ParameterCollection(), learning_rate=0.05)
    >>> trainer.learning_rate
    0.05000000074505806
    """

    idle = True
    rates_gradient: ClassVar[bool] = False  # gradients are multiplied by the learning rate first
    unit_rate: ClassVar[bool] = False  # the rule's rate is 1

    # Until a program sets them: making a trainer is much of what a small program does once.
    clip_norm: float | None = 5.0
    clip_value = None
    schedule = None
    sparse = True
    _reported = 0  # the step that `status` has told of
    _count = 0  # of the parameters that `_updates` knows

    def __init__(self, m: ParameterCollection, learning_rate: float) -> None:
        if not isinstance(m, ParameterCollection):
            raise TypeError(
                f"Argument 'm' has incorrect type (expected a ParameterCollection, got "
                f"{type(m).__name__})"
            )
        self._collection = m  # which is asked at every update
        self.parameters = {}
        self._single = True
        self.learning_rate = learning_rate
        self._set_state({name: {} for name in self.state_names})
        _CG.look_out()

    def whoami(self) -> str:
        """The name of the trainer."""
        return type(self).__name__

    @direct
    def update(self) -> None:
        """Applies the gradients of the collection's parameters and forgets them.

        Raises:
            RuntimeError: the gradient's norm is not finite, while clipping is on.
        """
        if self._update_as_told():  # where there is no `direct`
            return
        collection, clip = self._collection, self.clip_norm
        lists = collection._parameters, collection._lookups
        count = len(lists[0]) + len(lists[1])
        if self._updates is None or count != self._count:
            self._updates, self._count = self._make_updates(), count
        if not collection._decay and self._steady:
            asked = self._asked()
            how = (*self._rule(), self.sparse, clip is not None, None, clip, self._first_state())
            self._tell(asked, *how, self.rates_gradient, self.unit_rate, Node, lists)
            if self._update_as_told():
                return
        rule, numbers, factor = self._next()
        norm = self._run(rule, numbers, clip is not None, None, factor)
        if norm is None or norm == cpu.NOT_FINITE:
            self._update_chosen(None, rule, numbers, factor)
        elif clip is not None:
            self.gradient_norm = max(norm, 0.0)
            self._clips += norm > clip
        if collection._decay:
            collection._shrink()

    def update_subset(self, updated_params: Sequence[int], updated_lookups: Sequence[int]) -> None:
        """Updates some parameters only; the gradients of the others are kept.

        Args:
            updated_params: places in the collection's list of parameters.
            updated_lookups: places in its list of lookup parameters.
        """
        collection = self._collection
        parameters = collection.parameters_list()
        lookups = collection.lookup_parameters_list()
        chosen = [parameters[i] for i in updated_params] + [lookups[i] for i in updated_lookups]
        self._update_chosen({id(held) for held in chosen}, *self._next())
        if collection._decay:
            collection._shrink()

    def _held(self) -> Iterable[tuple[str, Any]]:
        """Parameters with keys of their own; places stay, as collections only grow."""
        collection = self._collection
        yield from ((f"p{i}", held) for i, held in enumerate(collection._parameters))
        yield from ((f"l{i}", held) for i, held in enumerate(collection._lookups))

    def _next(self) -> tuple[str, tuple[float, ...], float]:
        """Begins an update: the rule, its numbers and the factor of the gradients."""
        collection = self._collection
        rate = self.rate
        factor = rate if self.rates_gradient else 1.0
        if self.unit_rate:
            rate = 1.0
        if collection._decay:
            rate /= self._shrunk()
        rule, settings = self._rule()
        self.step += 1
        every_row = not self.sparse or bool(collection._decay)
        _CG.update(collection._parameters, collection._lookups, every_row)
        return rule, (rate, self.step, *settings), factor

    def _update_chosen(
        self, chosen: set[int] | None, rule: str, numbers: tuple[float, ...], factor: float
    ) -> None:
        """The update in NumPy, one parameter after the other."""
        with gradients_turn, timed("update"):
            held = [(name, p) for name, p in self._held() if p._stored.size]
            found = [(self._gradient_of(name, p._stored), p) for name, p in held]
            factor *= self._clip([g for g, _ in found if g is not None])
            for gradient, p in found:
                wanted = chosen is None or id(p) in chosen
                if gradient is not None and wanted and p.is_updated():
                    self._apply_to(gradient, factor, rule, numbers)
                    gradient.parameter.zero_grad()

    def _items(self) -> Iterable[tuple[str, AnyParameter]]:
        return ((name, held._stored) for name, held in self._held() if held._stored.size)

    def _trained(self) -> Sequence[Any]:
        return (*self._collection._parameters, *self._collection._lookups)

    def _shrunk(self) -> float:
        """What the steps are divided by, after weight decay.

        Of a root it is in the numbers already. DyNet counts the decay of a sub-collection by
        its own trainer, but multiplies its parameters by the root's.
        """
        collection = self._collection
        return collection._decayed / collection._root()._decayed

    def _gradient_of(self, name: str, parameter: AnyParameter) -> _Gradient | None:
        if isinstance(parameter, Lookup) and parameter._slots:
            sparse = parameter._sparse
            if self.sparse and parameter._grad is None:
                values, rows = sparse.values[: sparse.count], sparse.row_of_slot[: sparse.count]
                return _Gradient(name, parameter, values, rows)
            parameter._merge_sparse()
        if parameter._grad is None:
            # Without a state, nothing moves what has no gradient.
            started = any(name in arrays for arrays in self._state.values())
            if not started or (isinstance(parameter, Lookup) and self.sparse):
                return None
        return _Gradient(name, parameter, parameter._ensure_grad(), None)

    def _clip(self, gradients: list[_Gradient]) -> float:
        if self.clip_norm is None:
            return 1.0
        try:
            factor = super()._clip(gradients)
        except GradientError as error:
            raise GradientError(f"Magnitude of gradient is bad: {error}") from None
        self._clips += factor != 1.0
        return factor

    def zero_grad(self) -> None:
        """Forgets the gradients of all parameters of the collection."""
        for _, held in self._held():
            held._stored.zero_grad()

    def _complaint(self, gradient: _Gradient, bad: np.ndarray) -> str:
        names = {key: held.name() for key, held in self._held()}
        named = _Gradient(names[gradient.name], gradient.parameter, gradient.values, gradient.rows)
        return super()._complaint(named, bad)

    def restart(self, learning_rate: float | None = None) -> None:
        """Forgets running means and sums.

        Args:
            learning_rate: the new one; default: it stays.
        """
        self._set_state({name: {} for name in self.state_names})
        if learning_rate is not None:
            self.learning_rate = learning_rate

    def set_learning_rate(self, value: float) -> None:
        """Sets the learning rate."""
        self.learning_rate = value

    def set_clip_threshold(self, thr: float) -> None:
        """Sets the largest norm of the gradient; 0 or less: it is not limited."""
        self.clip_norm = float(np.float32(thr)) if thr > 0 else None

    def get_clip_threshold(self) -> float:
        """The largest norm of the gradient; 0: it is not limited."""
        return self.clip_norm or 0.0

    def set_sparse_updates(self, su: bool) -> None:
        """Sets whether only those rows of a lookup are updated that have a gradient."""
        self.sparse = bool(su)

    def status(self) -> None:
        """Writes learning rate, clipped updates and updates since the last call to stderr."""
        print(
            f"[lr={self.learning_rate:g} clips={self._clips} "
            f"updates={self.step - self._reported}] ",
            end="",
            file=sys.stderr,
            flush=True,
        )
        self._clips, self._reported = 0, self.step

    def update_epoch(self, r: float = 1.0) -> None:
        """Does nothing any more; learning rates are set by the program."""
        warnings.warn(
            "Trainer.update_epoch has been deprecated and does nothing; assign to "
            "trainer.learning_rate instead",
            DeprecationWarning,
            stacklevel=2,
        )


class SimpleSGDTrainer(Trainer, trainers.SGD):
    """``w -= rate * g``.

    Args:
        m: the collection to train.
        learning_rate: default 0.1.

    >>> import autobatch.dynet as dy
    >>> m = dy.ParameterCollection()
    >>> p = m.add_parameters(2, init=1)
    >>> trainer = dy.SimpleSGDTrainer(m)
    >>> _ = dy.renew_cg()
    >>> dy.squared_norm(p).backward()
    >>> trainer.update()
    >>> p.as_array().round(3)
    array([0.8, 0.8])
    """

    def __init__(self, m: ParameterCollection, learning_rate: float = 0.1) -> None:
        Trainer.__init__(self, m, learning_rate)


class CyclicalSGDTrainer(Trainer, trainers.SGD):
    """Gradient descent whose rate climbs and falls (Smith 2017); it is set after each update.

    Args:
        m: the collection to train.
        learning_rate_min: the lowest rate, default 0.01.
        learning_rate_max: the highest, default 0.1.
        step_size: updates from the lowest to the highest, default 2000.
        gamma: factor of the height per update, default 1.
    """

    def __init__(
        self,
        m: ParameterCollection,
        learning_rate_min: float = 0.01,
        learning_rate_max: float = 0.1,
        step_size: float = 2000,
        gamma: float = 1.0,
    ) -> None:
        Trainer.__init__(self, m, learning_rate_min)
        self._cycle = (learning_rate_min, learning_rate_max, int(step_size), gamma)

    def update(self) -> None:
        """As of any trainer; then the next learning rate is set."""
        Trainer.update(self)
        self.learning_rate = triangular(self.step - 1, *self._cycle)


class MomentumSGDTrainer(Trainer):
    """``v = mom * v + rate * g; w -= v``.

    Args:
        m: the collection to train.
        learning_rate: default 0.01.
        mom: default 0.9.
    """

    state_names = ("m",)
    # The velocity contains the rate: what was added at one rate is not scaled by a later.
    rates_gradient = unit_rate = True

    def __init__(
        self, m: ParameterCollection, learning_rate: float = 0.01, mom: float = 0.9
    ) -> None:
        super().__init__(m, learning_rate)
        self.mom = float(mom)

    def _rule(self) -> tuple[str, tuple[float, ...]]:
        return "momentum", (self.mom, False)


class AdagradTrainer(Trainer):
    """``G += g^2; w -= rate * g / sqrt(G + eps)`` (Duchi et al. 2011).

    Args:
        m: the collection to train.
        learning_rate: default 0.1.
        eps: default 1e-20.
    """

    state_names = ("v",)

    def __init__(
        self, m: ParameterCollection, learning_rate: float = 0.1, eps: float = 1e-20
    ) -> None:
        super().__init__(m, learning_rate)
        self.eps = float(eps)

    def _first_state(self) -> float:
        return self.eps  # the sum begins with it, so that it stands under the root

    def _rule(self) -> tuple[str, tuple[float, ...]]:
        return "adagrad", (1e-30,)


class AdadeltaTrainer(Trainer):
    """Steps by the ratio of two running means (Zeiler 2012); the learning rate is not used.

    Args:
        m: the collection to train.
        eps: default 1e-6.
        rho: default 0.95.
    """

    state_names = ("m", "v")
    unit_rate = True

    def __init__(self, m: ParameterCollection, eps: float = 1e-6, rho: float = 0.95) -> None:
        super().__init__(m, 1.0)
        self.eps, self.rho = float(eps), float(rho)

    def _rule(self) -> tuple[str, tuple[float, ...]]:
        return "adadelta", (self.rho, self.eps)


class RMSPropTrainer(Trainer):
    """``s = rho * s + (1 - rho) * g^2; w -= rate * g / sqrt(s + eps)`` (Tieleman and
    Hinton 2012).

    Args:
        m: the collection to train.
        learning_rate: default 0.001.
        eps: default 1e-8.
        rho: default 0.9.
    """

    state_names = ("v",)

    def __init__(
        self,
        m: ParameterCollection,
        learning_rate: float = 0.001,
        eps: float = 1e-8,
        rho: float = 0.9,
    ) -> None:
        super().__init__(m, learning_rate)
        self.eps, self.rho = float(eps), float(rho)

    def _rule(self) -> tuple[str, tuple[float, ...]]:
        return "rmsprop", (self.rho, self.eps, True)


class AdamTrainer(Trainer):
    """Adam (Kingma and Ba 2015), the corrections of the bias folded into the step:
    ``w -= rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + eps)``.

    Args:
        m: the collection to train.
        alpha: the learning rate, default 0.001.
        beta_1, beta_2: default 0.9 and 0.999.
        eps: default 1e-8.
    """

    state_names: ClassVar[tuple[str, ...]] = ("m", "v")

    def __init__(
        self,
        m: ParameterCollection,
        alpha: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(m, alpha)
        self.beta_1, self.beta_2, self.eps = float(beta_1), float(beta_2), float(eps)

    def _rule(self) -> tuple[str, tuple[float, ...]]:
        return "adam", (self.beta_1, self.beta_2, self.eps, True)


class AmsgradTrainer(AdamTrainer):
    """Adam that divides by the largest mean square so far (Reddi et al. 2018).

    Arguments as for :class:`AdamTrainer`.
    """

    state_names: ClassVar[tuple[str, ...]] = ("m", "v", "x")

    def _rule(self) -> tuple[str, tuple[float, ...]]:
        return "amsgrad", super()._rule()[1]
