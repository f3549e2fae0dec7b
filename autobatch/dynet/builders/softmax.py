"""Softmax layers: of all words, or of classes of words and the words of a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ... import functions as F
from ...errors import ShapeError
from .. import random
from ..expressions import Expression, as_expression
from ..operations import concatenate_to_batch, pick_batch_elem
from ..parameters import ParameterCollection, const_parameter
from ._base import _vector

__all__ = [
    "ClassFactoredSoftmaxBuilder",
    "SoftmaxBuilder",
    "StandardSoftmaxBuilder",
]


class SoftmaxBuilder:
    """Base class of softmax layers."""

    _collection: ParameterCollection

    def __init__(self) -> None:
        raise TypeError("use StandardSoftmaxBuilder or ClassFactoredSoftmaxBuilder")

    def param_collection(self) -> ParameterCollection:
        """The sub-collection that holds the parameters."""
        return self._collection

    def _layer(self, x: Any, w: Any, b: Any, update: bool) -> Any:
        """``W x + b``."""
        if not update:
            w, b = const_parameter(w), None if b is None else const_parameter(b)
        return F.affine_transposed(b, w, _vector(x))

    def full_logits(self, x: Expression, update: bool = True) -> Any:
        """Scores of all words."""
        raise NotImplementedError(f"{type(self).__name__} does not define full_logits")

    def full_log_distribution(self, x: Expression, update: bool = True) -> Any:
        """Logarithms of the probabilities of all words."""
        return F.log_softmax(self.full_logits(x, update))

    def neg_log_softmax(self, x: Expression, c: int, update: bool = True) -> Any:
        """The loss: minus the logarithm of the probability of word `c`."""
        return F.cross_entropy(self.full_logits(x, update), c)

    def neg_log_softmax_batch(self, x: Expression, c: Sequence[int], update: bool = True) -> Any:
        """The losses of a minibatch, a word for each element."""
        return F.cross_entropy(self.full_logits(x, update), list(c))

    def sample(self, x: Expression) -> int:
        """A word, drawn with its probability."""
        return _sampled(self.full_log_distribution(x))


def _sampled(logarithms: Any) -> int:
    """An index, drawn with the probabilities whose logarithms these are."""
    rest = random.uniform(1)[0]
    numbers = np.exp(np.asarray(logarithms.vec_value(), np.float32))
    below = np.flatnonzero(rest < np.cumsum(numbers))
    return int(below[0]) if len(below) else len(numbers) - 1


class StandardSoftmaxBuilder(SoftmaxBuilder):
    """``softmax(W x + b)``.

    Args:
        input_dim: size of the inputs.
        num_classes: how many words.
        pc: the collection; parameters go to a sub-collection of it.
        bias: default True.
    """

    def __init__(
        self, input_dim: int, num_classes: int, pc: ParameterCollection, bias: bool = True
    ) -> None:
        self._collection = pc.add_subcollection("standard-softmax-builder")
        self._w = self._collection.add_parameters((num_classes, input_dim))
        self._b = self._collection.add_parameters(num_classes, init=0) if bias else None

    def full_logits(self, x: Expression, update: bool = True) -> Any:
        """Scores of all words."""
        return self._layer(x, self._w, self._b, update)


class ClassFactoredSoftmaxBuilder(SoftmaxBuilder):
    """Words in classes: the probability of the class times that of the word in it (Goodman
    2001).

    Args:
        input_dim: size of the inputs.
        cluster_file: lines of a class and a word.
        dic: numbers of the words.
        pc: the collection; parameters go to a sub-collection of it.
        bias: default True.
    """

    def __init__(
        self,
        input_dim: int,
        cluster_file: str,
        dic: Mapping[str, int],
        pc: ParameterCollection,
        bias: bool = True,
    ) -> None:
        numbers: dict[str, int] = {}
        words: list[list[int]] = []
        try:
            with open(cluster_file, encoding="utf-8") as file:
                lines = [line.split() for line in file]
        except OSError as error:
            raise ValueError(
                f"Could not find cluster file {cluster_file} in ClassFactoredSoftmax"
            ) from error
        self._place: dict[int, tuple[int, int]] = {}
        for fields in lines:
            if len(fields) < 2:
                continue
            cluster, word = fields[:2]
            if word not in dic:
                raise RuntimeError(f"Unknown word encountered in frozen dictionary: {word}")
            number = numbers.setdefault(cluster, len(numbers))
            if number == len(words):
                words.append([])
            self._place[dic[word]] = number, len(words[number])
            words[number].append(dic[word])
        self._words = words
        self._collection = pc.add_subcollection("class-factored-softmax-builder")
        add = self._collection.add_parameters
        self._w = add((len(words), input_dim))
        self._b = add(len(words), init=0) if bias else None
        self._inner: list[tuple[Any, Any]] = []
        for members in words:
            size = len(members)
            if size < 2:  # nothing is left to decide
                self._inner.append((None, None))
                continue
            weight = add((size, input_dim))
            self._inner.append((weight, add(size, init=0) if bias else None))

    def class_logits(self, x: Expression, update: bool = True) -> Any:
        """Scores of the classes."""
        return self._layer(x, self._w, self._b, update)

    def class_log_distribution(self, x: Expression, update: bool = True) -> Any:
        """Logarithms of the probabilities of the classes."""
        return F.log_softmax(self.class_logits(x, update))

    def subclass_logits(self, x: Expression, classid: int, update: bool = True) -> Any:
        """Scores of the words of a class."""
        weight, bias = self._inner[classid]
        if weight is None:
            return F.zeros(1)
        return self._layer(x, weight, bias, update)

    def subclass_log_distribution(self, x: Expression, classid: int, update: bool = True) -> Any:
        """Logarithms of the probabilities of the words of a class, given the class."""
        return F.log_softmax(self.subclass_logits(x, classid, update))

    def full_logits(self, x: Expression, update: bool = True) -> Any:
        """Logarithms of the probabilities of all words, in the order of their numbers.

        DyNet adds the probability in the class where its logarithm belongs.
        """
        of_class = F.split(self.class_log_distribution(x, update), len(self._words))
        parts = [
            F.add(of_class[i], self.subclass_log_distribution(x, i, update))
            for i in range(len(self._words))
        ]
        order = [word for members in self._words for word in members]
        joined = F.concat(parts)
        if order == list(range(len(order))):
            return joined
        pieces = F.split(joined, len(order))
        return F.concat([pieces[order.index(word)] for word in sorted(order)])

    def neg_log_softmax(self, x: Expression, c: int, update: bool = True) -> Any:
        """The loss: minus the logarithm of the probability of word `c`."""
        if c not in self._place:
            raise ValueError(f"ClassFactoredSoftmaxBuilder: no class has the word {c}")
        number, place = self._place[c]
        loss = F.cross_entropy(self.class_logits(x, update), number)
        if self._inner[number][0] is None:
            return loss
        return F.add(loss, F.cross_entropy(self.subclass_logits(x, number, update), place))

    def neg_log_softmax_batch(self, x: Expression, c: Sequence[int], update: bool = True) -> Any:
        """The losses of a minibatch, a word for each element."""
        x = as_expression(x)
        elements = [pick_batch_elem(x, i) for i in range(x.batch_size)] if x.batch_size > 1 else [x]
        if len(elements) != len(c):
            raise ShapeError(f"neg_log_softmax_batch: {len(c)} words for {len(elements)} elements")
        return concatenate_to_batch(
            [self.neg_log_softmax(e, word, update) for e, word in zip(elements, c)]
        )

    def sample(self, x: Expression) -> int:
        """A word: first a class is drawn, then a word in it."""
        number = _sampled(self.class_log_distribution(x))
        members = self._words[number]
        if len(members) == 1:
            return members[0]
        return members[_sampled(self.subclass_log_distribution(x, number))]
