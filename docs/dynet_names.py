"""Writes the tables of ``docs/dynet.md``: every public name of DyNet's, and what it is here.

    python docs/dynet_names.py            # writes the page
    python docs/dynet_names.py --check    # fails where the page is not what would be written

A name that the drop-in lacks, and for which no reason is given below, is an error.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import autobatch.dynet as dy

PAGE = Path(__file__).with_name("dynet.md")
BEGIN, END = "<!-- tables: docs/dynet_names.py -->", "<!-- end of tables -->"

NAMES = {
    "Graph, parameters, devices": """
        renew_cg parameter const_parameter nobackprop Expression forward values npvalues save load
        load_generator cg cg_version cg_checkpoint cg_revert ComputationGraph Tensor
        print_text_graphviz print_graphviz dump_cg init init_from_params reset_random_seed
        DynetParams dynet_config to_device available_devices get_device_info DeviceInfo HAVE_CUDA
        flip_gradient scale_gradient""",
    "Inputs and constants": """
        inputVector inputMatrix inputTensor inputTensorTranspose sparse_inputTensor vecInput
        matInput scalarInput lookup lookup_batch one_hot zeros zeroes ones constant random_normal
        random_uniform random_bernoulli random_gumbel""",
    "Losses and probabilities": """
        pickneglogsoftmax pickneglogsoftmax_batch softmax log_softmax constrained_softmax sparsemax
        binary_log_loss squared_distance l1_distance huber_distance l2_norm squared_norm hinge
        hinge_batch hinge_dim pairwise_rank_loss poisson_loss logsumexp logsumexp_dim kmh_ngram
        argmax""",
    "Element by element": """
        tanh rectify logistic log_sigmoid silu softsign elu selu exp log sqrt square cube abs pow
        erf lgamma sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh cmult cdiv bmax bmin
        round ceil floor noise dropout dropout_dim dropout_batch block_dropout cumsum
        colwise_add""",
    "Linear algebra, shape": """
        affine_transform dot_product transpose reshape concatenate concatenate_cols
        concatenate_to_batch pick pick_batch pickrange pick_range pick_batch_elem pick_batch_elems
        select_rows select_cols strided_select inverse logdet trace_of_product circ_conv circ_corr
        contract3d_1d contract3d_1d_bias contract3d_1d_1d contract3d_1d_1d_bias layer_norm
        weight_norm""",
    "Reductions, pooling, convolution": """
        esum average emax sum_elems sum_dim sum_batches mean_elems mean_dim mean_batches
        moment_elems moment_dim moment_batches std_elems std_dim std_batches max_dim min_dim conv2d
        conv2d_bias maxpooling2d filter1d_narrow kmax_pooling fold_rows""",
    "Collections, initializers": """
        Model ParameterCollection Parameters LookupParameters PyInitializer ConstInitializer
        UniformInitializer NormalInitializer GlorotInitializer SaxeInitializer IdentityInitializer
        NumpyInitializer FromFileInitializer""",
    "Builders": """
        LSTMBuilder VanillaLSTMBuilder CompactVanillaLSTMBuilder CoupledLSTMBuilder FastLSTMBuilder
        SparseLSTMBuilder GRUBuilder SimpleRNNBuilder BiRNNBuilder RNNState StackedRNNState
        SoftmaxBuilder StandardSoftmaxBuilder ClassFactoredSoftmaxBuilder vanilla_lstm_gates
        vanilla_lstm_gates_dropout vanilla_lstm_gates_concat vanilla_lstm_gates_dropout_concat
        vanilla_lstm_c vanilla_lstm_h""",
    "Trainers": """
        Trainer SimpleSGDTrainer CyclicalSGDTrainer MomentumSGDTrainer AdagradTrainer
        AdadeltaTrainer RMSPropTrainer AdamTrainer AmsgradTrainer""",
    "Not meant for programs, though they can be imported": """
        FloatValue FloatVectorValue UnsignedValue UnsignedVectorValue ERRMSG np os pickle
        sys print_function""",
    "Removed before DyNet 2.1, still called by old programs": "cwise_multiply sum_cols sigmoid",
}

# Methods, attributes and operators, by the class that has them.
MEMBERS = {
    "Expression": """value npvalue vec_value scalar_value tensor_value dim forward backward gradient
        set set_index""",
    "ComputationGraph": """renew version checkpoint revert forward_scalar inc_forward_scalar
        forward_vec inc_forward_vec forward inc_forward backward inputMatrixLiteral
        inputSparseTensor print_graphviz dump""",
    "Tensor": "as_numpy argmax topk categorical_sample_log_prob",
    "ParameterCollection": """add_parameters add_lookup_parameters add_subcollection
        parameters_from_numpy lookup_parameters_from_numpy parameters_list lookup_parameters_list
        parameter_count name save populate populate_from_textfile load_param load_lookup_param
        set_weight_decay set_weight_decay_lambda get_weight_decay""",
    "Parameters": """expr shape as_array grad_as_array set_value set_updated is_updated scale
        scale_gradient zero clip_inplace name save populate""",
    "LookupParameters": """batch shape as_array grad_as_array row_as_array rows_as_array
        row_grad_as_array rows_grad_as_array init_row init_from_array set_updated is_updated scale
        scale_gradient zero name save populate""",
    "VanillaLSTMBuilder": """initial_state set_dropout set_dropouts disable_dropout
        set_dropout_masks get_parameters get_parameter_expressions spec param_collection""",
    "CompactVanillaLSTMBuilder": "set_weightnoise",
    "SparseLSTMBuilder": "initial_state set_sparsity",
    "RNNState": "add_input add_inputs transduce output h s prev b set_h set_s",
    "BiRNNBuilder": "transduce add_inputs set_dropout disable_dropout",
    "StandardSoftmaxBuilder": "neg_log_softmax sample full_log_distribution",
    "ClassFactoredSoftmaxBuilder": "neg_log_softmax sample full_log_distribution",
    "Trainer": """update update_subset update_epoch status restart learning_rate set_learning_rate
        set_clip_threshold get_clip_threshold set_sparse_updates""",
    "DynetParams": "from_args init set_mem set_random_seed set_weight_decay",
    "dynet_config": "set set_gpu gpu",
}

WEIGHTS = "noise is added to the weights; the wheel leaves the weights out"
MOVED = (
    "in a program's first three graphs, in all graphs once that was done, or made without the index"
)
GRADIENT = (
    "of parameters, the sum of all passes since the update; of what reaches parameters only "
    "through `nobackprop`, `const_parameter` or `update=False`, after `backward(full=True)`"
)
STRAIGHT = "with `straight_through_gradient` the gradient passes; the wheel's is zero"
NONE_KEPT = "of everything (p = 1), zeros; the wheel gives NaN"
LOGSUM = "one result for each column or row; the wheel gives zeros for some"
POPULATE = (
    "changes nothing unless everything in the file fits; gradients in the file are applied at "
    "the next update"
)
ROWS = "rows of two and more dimensions keep their numbers in place; the wheel mixes them up"
START = "keeps the other vectors of that very state; the wheel takes those of the newest state"

DIFFERENT = {
    "Expression": "reflected operators work: `2 * x`, `1 - x`, `sum([...])`; NumPy's numbers, too",
    "Expression.set": f"of a `lookup(table, 3)` {MOVED}, and of `table[3]` not at all",
    "Expression.set_index": f"of a `pick(x, 3)` {MOVED}, and of `x[3]` not at all",
    "Expression.gradient": GRADIENT,
    "Expression.scalar_value": "of a vector, raises; the wheel ends the process",
    "ComputationGraph.print_graphviz": "see `print_text_graphviz`",
    "ComputationGraph.dump": "see `dump_cg`",
    "renew_cg": "`autobatching` is accepted: graphs are always batched. With `immediate_compute` "
    "and `check_validity`, a NaN is found when a value is asked for",
    "print_text_graphviz": "nodes carry the names of our ops, and one op may be several nodes",
    "print_graphviz": "prints the text; options of the viewer are ignored",
    "dump_cg": "nodes are ours, numbers are written as NumPy does, and the last node is there, too",
    "to_device": "only to the CPU; another device raises `NotSupportedError`",
    "available_devices": "names are `str`, not `bytes`",
    "DeviceInfo": "its name is a `str`, not `bytes`",
    "elu": "the wheel's batching takes it for `rectify` and the other way round",
    "rectify": "see `elu`",
    "l2_norm": "its gradient at zeros is 0; the wheel's is NaN",
    "kmax_pooling": "of equal entries the first count; the wheel may then leave out a larger one",
    "pairwise_rank_loss": "takes vectors, too",
    "silu": "the gradient has the factor `beta`, which the wheel's lacks",
    "dropout": NONE_KEPT,
    "dropout_dim": NONE_KEPT,
    "dropout_batch": NONE_KEPT,
    "round": STRAIGHT,
    "ceil": STRAIGHT,
    "floor": STRAIGHT,
    "log_softmax": "the infinities of a restricted one do not become NaN elsewhere",
    "logsumexp_dim": LOGSUM,
    "binary_log_loss": "takes minibatches; the target's gradient is right; at a probability of "
    "exactly 0 or 1 a target between them has the loss of its formula, in the wheel that of a "
    "target of 1 or 0",
    "nobackprop": "rows of a table that are used behind it only do not count as used in an update; "
    "in DyNet their running means move on",
    "cg_revert": "parameters may be used for the first time between checkpoint and revert, where "
    "the wheel's process ends",
    "contract3d_1d": "the wheel adds to what memory held: the same expression of a second graph "
    "has another value there",
    "average": "of a minibatch and one value for all, the gradient of the latter is whole; the "
    "wheel's is that of one element",
    "std_elems": "the gradient at equal elements is 0; the wheel's is NaN",
    "std_dim": "the gradient at equal elements is 0; the wheel's is NaN",
    "VanillaLSTMBuilder.initial_state": "given memories only, the outputs are zeros; the wheel's "
    "are those of the newest state of the graph",
    "ClassFactoredSoftmaxBuilder.full_log_distribution": "it agrees with `neg_log_softmax`; the "
    "wheel's does not",
    "poisson_loss": "the gradient counts what flows in from above",
    "vanilla_lstm_gates_dropout_concat": f"masks get a gradient; {WEIGHTS}",
    "LookupParameters": "iterating raises instead of going on forever",
    "ParameterCollection.lookup_parameters_from_numpy": ROWS,
    "LookupParameters.init_from_array": "takes rows of two and more dimensions; the wheel raises",
    "ParameterCollection.populate": POPULATE,
    "ParameterCollection.populate_from_textfile": POPULATE,
    "Parameters.expr": "a constant by default, as in DyNet 2.1; `expr_trains(True)` changes that",
    "FromFileInitializer": "takes the file's name as `str`",
    "SparseLSTMBuilder": "accepts initial vectors",
    "SparseLSTMBuilder.initial_state": "accepts initial vectors",
    "CompactVanillaLSTMBuilder.set_weightnoise": "noise is added; the wheel leaves the weights out",
    "vanilla_lstm_gates": WEIGHTS,
    "vanilla_lstm_gates_concat": WEIGHTS,
    "vanilla_lstm_gates_dropout": WEIGHTS,
    "RNNState.set_h": START,
    "RNNState.set_s": f"of memories alone: {START}",
    "Trainer.update": "rows that were looked up, but that no loss depends on, stay as they are; "
    "the wheel's trainers that keep moments move them",
    "Trainer.update_subset": "works",
    "DynetParams": "memory, batching and profiling are accepted and do nothing; a GPU is refused",
    "DynetParams.set_mem": "accepted: graphs take the memory that they need",
}

NUMBER = "a holder of numbers inside DyNet's own bindings, which no function takes from a program"
MISSING = {
    "FloatValue": NUMBER,
    "FloatVectorValue": NUMBER,
    "UnsignedValue": NUMBER,
    "UnsignedVectorValue": NUMBER,
    "ERRMSG": "a text about GPU builds",
    "print_function": "left over from Python 2: `from __future__ import print_function`",
    "cwise_multiply": "`cmult`",
    "sum_cols": "`sum_dim(x, [1])`",
    "sigmoid": "`logistic`",
}


def row(name: str, there: bool) -> str:
    """One name: its standing, and how it differs or why it is missing."""
    if not there:
        if name not in MISSING:
            raise SystemExit(f"{name} is missing: give the reason in {Path(__file__).name}")
        return f"| `{name}` | missing | {MISSING[name]} |"
    if name in MISSING:
        raise SystemExit(f"{name} is there, but listed as missing in {Path(__file__).name}")
    if name in DIFFERENT:
        return f"| `{name}` | different | {DIFFERENT[name]} |"
    return f"| `{name}` | same | |"


def tables() -> str:
    """The tables, in Markdown."""
    head = "| name | here | how, or why |\n|---|---|---|\n"
    found = []
    listed = set()
    for title, names in NAMES.items():
        rows = [row(name, hasattr(dy, name)) for name in dict.fromkeys(names.split())]
        listed.update(names.split())
        found.append(f"### {title}\n\n{head}" + "\n".join(rows) + "\n")
    rows = []
    for owner, names in MEMBERS.items():
        for name in names.split():
            full = f"{owner}.{name}"
            listed.add(full)
            rows.append(row(full, hasattr(getattr(dy, owner), name)))
    found.append(f"### Methods and attributes\n\n{head}" + "\n".join(rows) + "\n")
    unknown = (DIFFERENT.keys() | MISSING.keys()) - listed
    if unknown:
        raise SystemExit(f"not among the names: {', '.join(sorted(unknown))}")
    return "\n".join(found)


def page() -> str:
    """The page with its tables made anew."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Writes the tables of docs/dynet.md.")
    parser.add_argument("--check", action="store_true", help="only compare")
    made = page()
    if parser.parse_args().check:
        return int(made != PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
