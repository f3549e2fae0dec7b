"""Layers, written with the public functions only.

A layer handles one example, as model code does; batching is the machine's.
"""

from .bidirectional import Bidirectional, BiGRU, BiLSTM
from .gru import GRU
from .linear import Linear
from .lstm import LSTM, LSTMStack, LSTMState
from .recurrent import HiddenState, Recurrent
from .rnn import RNN
from .tree_lstm import ChildSumTreeLSTM, TreeLSTM, TreeState

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "BiGRU",
    "BiLSTM",
    "Bidirectional",
    "ChildSumTreeLSTM",
    "HiddenState",
    "LSTMStack",
    "LSTMState",
    "Linear",
    "Recurrent",
    "TreeLSTM",
    "TreeState",
]
