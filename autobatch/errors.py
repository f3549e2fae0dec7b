"""The exceptions of autobatch. All derive from :class:`AutobatchError`."""

__all__ = [
    "AutobatchError",
    "ConfigurationError",
    "FileFormatError",
    "GradientError",
    "GraphError",
    "IndexRangeError",
    "MemoryLimitError",
    "OperandError",
    "ShapeError",
    "StaleExpressionError",
]


class AutobatchError(Exception):
    """Base class of every error that autobatch raises on purpose."""


class ShapeError(AutobatchError, ValueError):
    """Operand shapes (or minibatch sizes) that an op cannot take. Raised while recording."""


class OperandError(AutobatchError, TypeError):
    """An operand, attribute or argument that is missing, unknown, or of a type that cannot be
    taken."""


class IndexRangeError(AutobatchError, IndexError, ValueError):
    """An index, label or row number outside its valid range. Raised while recording."""


class StaleExpressionError(AutobatchError, RuntimeError):
    """An expression of a graph that is gone."""


class GraphError(AutobatchError, RuntimeError):
    """An expression of another graph or thread, or a graph used in a way it does not allow."""


class MemoryLimitError(AutobatchError, MemoryError):
    """A graph outgrew the memory limit (see ``configure(memory_limit=...)``)."""


class GradientError(AutobatchError, RuntimeError):
    """A gradient that cannot be computed or applied (non-scalar loss, non-finite values)."""


class ConfigurationError(AutobatchError, ValueError):
    """An unknown or unusable setting."""


class FileFormatError(AutobatchError, ValueError):
    """A file that is missing, damaged or not of the expected format."""
