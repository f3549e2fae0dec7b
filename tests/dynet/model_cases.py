"""Small programs on parameters, trainers and builders, run under DyNet and under the drop-in.

Each is a function of the module and answers numbers, lists or arrays. `record_model.py` runs
them under DyNet and writes what they answer to `model.json`; the tests compare.
"""

from __future__ import annotations

import numpy as np

CASES = {}
SEED = 17


def case(function):
    CASES[function.__name__] = function
    return function


def run(dy, name):
    """What a case answers, from the same seed and a new graph."""
    dy.reset_random_seed(SEED)
    dy.renew_cg()
    return CASES[name](dy)


def plain(answer):
    """An answer as JSON holds it."""
    if isinstance(answer, dict):
        return {key: plain(part) for key, part in answer.items()}
    if isinstance(answer, (list, tuple)):
        return [plain(part) for part in answer]
    if isinstance(answer, np.ndarray):
        return {"shape": list(answer.shape), "numbers": plain(answer.ravel().tolist())}
    if isinstance(answer, np.generic):
        answer = answer.item()
    # As many digits as a float32 has.
    return float(f"{answer:.8g}") if isinstance(answer, float) else answer


def everything(collection):
    """Names, shapes and numbers of all parameters."""
    found = collection.parameters_list() + collection.lookup_parameters_list()
    return [[p.name(), list(p.shape()), p.as_array()] for p in found]


# ------------------------------------------------------------------- initializers


@case
def initial_values(dy):
    m = dy.ParameterCollection()
    add, table = m.add_parameters, m.add_lookup_parameters
    add((3, 4))
    add(5)
    add((2, 3, 4))
    add((2, 2, 3, 2))
    add((3, 4), init="uniform", scale=0.5)
    add((3, 3), init="normal", mean=1.0, std=0.5)
    add((4, 3), init="he")
    add((3, 3), init="identity")
    add((3, 2), init=0.25)
    add((2, 3), init=np.arange(6.0).reshape(2, 3))
    add((3, 4), init=dy.GlorotInitializer(gain=2.0))
    add((3, 4), init=dy.GlorotInitializer(True))
    add((2, 5), init=dy.NormalInitializer(0.5, 2.0))
    add((2, 5), init=dy.NormalInitializer())
    add(7, init=dy.UniformInitializer(3.0))
    add(4, init=dy.ConstInitializer(1.5))
    add((2, 2), init=dy.NumpyInitializer(np.arange(4.0).reshape(2, 2)))
    add((4, 4), init=dy.IdentityInitializer())
    table((5, 3))
    table((5, 2, 3))
    table((3, 2, 3, 4))
    table((5, 3), init=dy.GlorotInitializer(True))
    table((5, 2, 3, 4, 2), init=dy.GlorotInitializer(True))
    table((4, 2), init="normal", std=0.1)
    table((4, 2), init="he")
    table((3, 2), init=np.arange(6.0).reshape(3, 2))
    table(4)
    m.parameters_from_numpy(np.arange(24.0).reshape(2, 3, 4))
    m.lookup_parameters_from_numpy(np.arange(6.0).reshape(3, 2))
    return everything(m)


@case
def orthogonal_values(dy):
    m = dy.ParameterCollection()
    for side in (2, 3, 5, 8):
        m.add_parameters((side, side), init=dy.SaxeInitializer())
    m.add_parameters((3, 3), init=dy.SaxeInitializer(0.5))
    return everything(m)


# ------------------------------------------------------------------- parameters


@case
def names(dy):
    m = dy.ParameterCollection()
    m.add_parameters(2)
    m.add_lookup_parameters((2, 3), name="foo")
    m.add_parameters(2, name="foo")
    m.add_parameters(2)
    for name in ("", "sub", "sub", "foo"):
        s = m.add_subcollection(name) if name else m.add_subcollection()
        s.add_parameters(1, name="bar")
        s.add_subcollection("in").add_lookup_parameters((2, 1))
    return [
        m.name(),
        [p.name() for p in m.parameters_list()],
        [p.name() for p in m.lookup_parameters_list()],
        [repr(p) for p in m.parameters_list()[:2] + m.lookup_parameters_list()[:2]],
        m.parameter_count(),
        s.name(),
        s.parameter_count(),
    ]


@case
def changed_values(dy):
    m = dy.ParameterCollection()
    p = m.add_parameters((2, 3), init=np.arange(6.0).reshape(2, 3))
    t = m.add_lookup_parameters((4, 2), init=0.5)
    cube = m.add_lookup_parameters((3, 2, 2), init=1.0)
    answers = []

    def note():
        answers.append([p.as_array(), t.as_array(), cube.as_array()])

    p.scale(2.0)
    t.scale(3.0)
    note()
    p.clip_inplace(-1.0, 3.0)
    t.init_row(1, [1, 2])
    cube.init_row(2, [1, 2, 3, 4])
    note()
    p.set_value([[1, 2, 3], [4, 5, 6]])
    t.init_from_array(np.arange(6.0).reshape(3, 2))
    note()
    answers.append([t.row_as_array(1), t.rows_as_array([2, 0]), cube.row_as_array(2)])
    dy.renew_cg()
    answers.append([p.value(), t[2].value(), cube[2].npvalue(), t.batch([0, 2]).npvalue()])
    answers.append([p.dim(), cube[1].dim(), t.shape(), len(t), p.shape(), cube.shape()])
    p.zero()
    t.zero()
    note()
    return answers


@case
def gradients(dy):
    m = dy.ParameterCollection()
    p = m.add_parameters((2, 3))
    v = m.add_parameters(3)
    t = m.add_lookup_parameters((4, 2))
    y = dy.sum_elems(dy.tanh(p * v)) + dy.sum_elems(dy.square(t[1])) * 2
    y = y + dy.sum_batches(dy.sum_elems(dy.tanh(dy.lookup_batch(t, [1, 3]))))
    y = y + dy.sum_elems(dy.const_parameter(v))
    y.backward()
    answers = [p.grad_as_array(), v.grad_as_array(), t.grad_as_array(), p.gradient()]
    p.scale_gradient(0.5)
    t.scale_gradient(10.0)
    answers += [p.grad_as_array(), t.grad_as_array()]
    answers += [t.row_grad_as_array(1), t.rows_grad_as_array([3, 1])]
    y.backward()
    answers += [p.grad_as_array(), t.grad_as_array()]
    return answers


@case
def constants(dy):
    m = dy.ParameterCollection()
    p = m.add_parameters((2, 3))
    v = m.add_parameters(3)
    w = m.add_parameters(3)
    w.set_updated(False)
    trainer = dy.SimpleSGDTrainer(m)
    dy.sum_elems(p.expr(update=False) * (v + w)).backward()
    answers = [p.grad_as_array(), v.grad_as_array(), w.grad_as_array()]
    trainer.update()
    answers += [p.as_array(), v.as_array(), w.as_array(), w.grad_as_array()]
    w.set_updated(True)
    trainer.update()
    return [*answers, w.as_array(), w.grad_as_array(), w.is_updated()]


# ------------------------------------------------------------------- trainers


def trained(dy, make, steps=10, prepare=None):
    """Parameters after every step of a small program, some of whose parameters rest."""
    m = dy.ParameterCollection()
    p = m.add_parameters((4, 3))
    b = m.add_parameters(4, init=0.1)
    t = m.add_lookup_parameters((6, 3))
    trainer = make(m)
    if prepare is not None:
        prepare(m, trainer)
    answers = []
    for step in range(steps):
        dy.renew_cg()
        x = t[step % 4]
        y = p * x
        if step % 3 != 1:
            y = y + b
        loss = dy.squared_norm(y - 1.0) * (1.0 + step % 5)
        if step == 4:
            loss = loss + dy.sum_elems(dy.square(dy.lookup_batch(t, [0, 5, 5])[0])) * 0 + 0.5
            loss = dy.sum_batches(loss)
        loss.backward()
        trainer.update()
        if step in (0, 4, 9):
            answers.append([p.as_array(), b.as_array(), t.as_array(), trainer.learning_rate])
    return answers


TRAINERS = {
    "SimpleSGD": ({}, {"learning_rate": 0.02}),
    "CyclicalSGD": (
        {},
        {"learning_rate_min": 0.01, "learning_rate_max": 0.2, "step_size": 3, "gamma": 0.9},
    ),
    "MomentumSGD": ({}, {"learning_rate": 0.05, "mom": 0.5}),
    "Adagrad": ({}, {"learning_rate": 0.05, "eps": 0.01}),
    "Adadelta": ({}, {"eps": 0.001, "rho": 0.8}),
    "RMSProp": ({}, {"learning_rate": 0.01, "eps": 0.01, "rho": 0.5}),
    "Adam": ({}, {"alpha": 0.01, "beta_1": 0.8, "beta_2": 0.9, "eps": 0.01}),
    "Amsgrad": ({}, {"alpha": 0.01, "beta_1": 0.8, "beta_2": 0.5, "eps": 0.01}),
}


def _dense(m, trainer):
    trainer.set_sparse_updates(False)


def _unclipped(m, trainer):
    trainer.set_clip_threshold(0)


def _tight(m, trainer):
    trainer.set_clip_threshold(0.5)


def _decayed(m, trainer):
    m.set_weight_decay(0.01)


def _much_decayed(m, trainer):
    m.set_weight_decay(0.3)


PREPARATIONS = {
    "plain": None,
    "dense": _dense,
    "unclipped": _unclipped,
    "tight": _tight,
    "decayed": _decayed,
    "much_decayed": _much_decayed,
}


def _add_trainers():
    for kind, settings in TRAINERS.items():
        for number, arguments in enumerate(settings):
            for name, prepare in PREPARATIONS.items():

                def function(dy, kind=kind, arguments=arguments, prepare=prepare):
                    make = getattr(dy, f"{kind}Trainer")
                    return trained(dy, lambda m: make(m, **arguments), prepare=prepare)

                CASES[f"trainer_{kind}_{number}_{name}"] = function


_add_trainers()


@case
def trainer_of_subcollection(dy):
    m = dy.ParameterCollection()
    s = m.add_subcollection()
    s.set_weight_decay(0.2)
    p = m.add_parameters(3, init=1.0)
    q = s.add_parameters(3, init=2.0)
    trainer = dy.AdamTrainer(s, 0.1)
    answers = []
    for _ in range(9):
        dy.renew_cg()
        (dy.squared_norm(p) * 10 + dy.squared_norm(q)).backward()
        trainer.update()
        dy.renew_cg()
        answers.append([p.as_array(), q.as_array(), q.value(), p.grad_as_array()])
    return answers


@case
def growing_collection(dy):
    m = dy.ParameterCollection()
    trainer = dy.AdamTrainer(m)
    p = m.add_parameters(3, init=1.0)
    answers = []
    for step in range(6):
        dy.renew_cg()
        loss = dy.squared_norm(p)
        if step == 2:
            q = m.add_parameters(3, init=1.0)
        if step > 2:
            loss = loss + dy.squared_norm(q - p)
        loss.backward()
        trainer.update()
        answers.append([r.as_array() for r in m.parameters_list()])
    return answers


@case
def restarted_and_slowed(dy):
    answers = []
    for kind in TRAINERS:
        m = dy.ParameterCollection()
        p = m.add_parameters(3, init=np.array([0.5, -1.0, 2.0]))
        trainer = getattr(dy, f"{kind}Trainer")(m)
        for step in range(8):
            dy.renew_cg()
            dy.squared_norm(p).backward()
            if step == 3:
                trainer.restart()
            if step == 5:
                trainer.restart(0.05)
            if step == 7:
                trainer.learning_rate = 0.01
            trainer.update()
            answers.append([kind, p.as_array(), trainer.learning_rate])
    return answers


@case
def whole_table(dy):
    m = dy.ParameterCollection()
    t = m.add_lookup_parameters((4, 2))
    trainer = dy.AdamTrainer(m)
    answers = []
    for step in range(4):
        dy.renew_cg()
        loss = dy.squared_norm(t[1])
        if step == 2:
            loss = loss + dy.squared_norm(dy.transpose(t))
        loss.backward()
        trainer.update()
        answers.append(t.as_array())
    return answers


# ------------------------------------------------------------------- builders

BUILDERS = [
    "VanillaLSTM",
    "CompactVanillaLSTM",
    "CoupledLSTM",
    "FastLSTM",
    "SparseLSTM",
    "GRU",
    "SimpleRNN",
]


def inputs(dy, count=4, size=3, batch=1):
    numbers = np.random.RandomState(3).randn(count, size, batch)
    if batch == 1:
        return [dy.inputVector(x[:, 0]) for x in numbers]
    return [dy.inputTensor(x, batched=True) for x in numbers]


def outputs(dy, builder, m, xs, vecs=None):
    """Outputs, states and gradients of a sequence."""
    state = builder.initial_state(vecs) if vecs else builder.initial_state()
    states = state.add_inputs(xs)
    total = dy.esum([dy.sum_elems(dy.square(s.output())) for s in states])
    total = dy.sum_batches(total)
    answers = [[s.output().npvalue() for s in states]]
    answers.append([[v.npvalue() for v in s.s()] for s in states])
    answers.append([[v.npvalue() for v in s.h()] for s in states])
    total.backward()
    answers.append([p.grad_as_array() for p in m.parameters_list()])
    return answers


def _add_builders():
    for kind in BUILDERS:
        memory = kind not in ("GRU", "SimpleRNN")
        masked = kind not in ("GRU", "CoupledLSTM", "FastLSTM")

        def parameters(dy, kind=kind):
            m = dy.ParameterCollection()
            builder = getattr(dy, f"{kind}Builder")(2, 3, 4, m)
            dy.renew_cg()
            builder.initial_state()
            shown = builder.get_parameter_expressions()
            return [
                everything(m),
                [[p.name() for p in layer] for layer in builder.get_parameters()],
                [[e.npvalue() for e in layer] for layer in shown],
                builder.param_collection().name(),
                builder.whoami(),
            ]

        def plain_run(dy, kind=kind, batch=1):
            m = dy.ParameterCollection()
            builder = getattr(dy, f"{kind}Builder")(2, 3, 4, m)
            dy.renew_cg()
            return outputs(dy, builder, m, inputs(dy, batch=batch))

        def batched_run(dy, run=plain_run):
            return run(dy, batch=3)

        def given_states(dy, kind=kind, memory=memory):
            m = dy.ParameterCollection()
            builder = getattr(dy, f"{kind}Builder")(2, 3, 4, m)
            dy.renew_cg()
            vecs = inputs(dy, 4 if memory else 2, 4)
            answers = [outputs(dy, builder, m, inputs(dy), vecs)]
            dy.renew_cg()
            vecs = inputs(dy, 4, 4)
            xs = inputs(dy)
            start = builder.initial_state()
            if memory:
                # First of all: DyNet takes the memories of the state it made last.
                answers.append([v.npvalue() for v in start.set_h(vecs[2:]).s()])
            ways = [lambda s: s.set_h(vecs[:2]), lambda s: s.set_s(vecs[:2])]
            if memory:
                ways.append(lambda s: s.set_s(vecs))
            for change in ways:
                way = change(start.add_input(xs[0]))
                answers.append([v.npvalue() for v in way.s()])
                answers.append(way.output().npvalue())
                answers.append([v.npvalue() for v in way.add_input(xs[1]).s()])
            return answers

        def dropped(dy, kind=kind, batch=1):
            m = dy.ParameterCollection()
            builder = getattr(dy, f"{kind}Builder")(2, 3, 4, m)
            builder.set_dropout(0.3)
            answers = []
            for _ in range(2):
                dy.renew_cg()
                noise = dy.random_normal((3,))
                xs = [x + noise for x in inputs(dy, batch=batch)]
                answers.append(outputs(dy, builder, m, xs))
            xs = inputs(dy, batch=batch)
            answers.append([y.npvalue() for y in builder.initial_state().transduce(xs)])
            builder.disable_dropout()
            answers.append([y.npvalue() for y in builder.initial_state().transduce(xs)])
            return answers

        def dropped_batched(dy, run=dropped):
            return run(dy, batch=2)

        def two_rates(dy, kind=kind):
            m = dy.ParameterCollection()
            builder = getattr(dy, f"{kind}Builder")(2, 3, 4, m)
            answers = []
            for rates in ((0.5, 0.25), (0.0, 0.25), (0.5, 0.0)):
                builder.set_dropouts(*rates)
                dy.renew_cg()
                answers.append(outputs(dy, builder, m, inputs(dy)))
                builder.set_dropout_masks()
                xs = inputs(dy)
                answers.append([y.npvalue() for y in builder.initial_state().transduce(xs)])
            return answers

        CASES[f"builder_{kind}_parameters"] = parameters
        CASES[f"builder_{kind}_plain"] = plain_run
        CASES[f"builder_{kind}_batched"] = batched_run
        if kind != "SparseLSTM":  # initial vectors crash DyNet there
            CASES[f"builder_{kind}_given_states"] = given_states
        CASES[f"builder_{kind}_dropout"] = dropped
        CASES[f"builder_{kind}_dropout_batched"] = dropped_batched
        if masked:
            CASES[f"builder_{kind}_two_rates"] = two_rates


_add_builders()


@case
def masks_for_a_minibatch(dy):
    m = dy.ParameterCollection()
    answers = []
    for kind in ("VanillaLSTM", "SimpleRNN"):
        builder = getattr(dy, f"{kind}Builder")(2, 3, 4, m)
        builder.set_dropout(0.4)
        dy.renew_cg()
        state = builder.initial_state()
        builder.set_dropout_masks(batch_size=3)
        answers.append([y.npvalue() for y in state.transduce(inputs(dy, batch=3))])
    return answers


@case
def options_of_the_lstm(dy):
    answers = []
    for normed, bias in ((False, 0.0), (False, 2.5), (True, 1.0)):
        m = dy.ParameterCollection()
        builder = dy.VanillaLSTMBuilder(2, 3, 4, m, normed, bias)
        dy.renew_cg()
        answers.append([builder.spec, outputs(dy, builder, m, inputs(dy)), everything(m)])
        answers.append([[p.name() for p in layer] for layer in builder.get_parameters()])
    return answers


@case
def sparsity(dy):
    m = dy.ParameterCollection()
    builder = dy.SparseLSTMBuilder(2, 3, 4, m)
    answers = []
    for percent in (0.0, 0.25, 0.6):
        builder.set_sparsity(percent)
        dy.renew_cg()
        answers.append([everything(m), outputs(dy, builder, m, inputs(dy))])
    return answers


@case
def constant_builders(dy):
    m = dy.ParameterCollection()
    answers = []
    for kind in BUILDERS:
        builder = getattr(dy, f"{kind}Builder")(1, 3, 2, m)
        dy.renew_cg()
        state = builder.initial_state(update=False)
        again = builder.initial_state()
        x, y = inputs(dy, 2)
        dy.sum_elems(state.add_input(x).output() + again.add_input(y).output()).backward()
        answers.append([abs(p.grad_as_array()).sum() for p in m.parameters_list()])
    return answers


@case
def branches(dy):
    m = dy.ParameterCollection()
    builder = dy.LSTMBuilder(1, 3, 2, m)
    dy.renew_cg()
    xs = inputs(dy)
    start = builder.initial_state()
    a = start.add_input(xs[0])
    b = a.add_input(xs[1])
    c = a.add_input(xs[2]).add_input(xs[3])
    return [
        [s.output().npvalue() for s in (a, b, c, b.prev(), c.prev())],
        start.output(),
        list(start.h()),
        list(start.s()),
        b.prev().prev().output(),
        start.prev() is None,
        b.b() is builder,
        [y.npvalue() for y in builder.initial_state().transduce(xs)],
    ]


@case
def later_initial_states(dy):
    m = dy.ParameterCollection()
    builder = dy.GRUBuilder(1, 3, 2, m)
    dy.renew_cg()
    xs, vecs = inputs(dy), inputs(dy, 2, 2)
    answers = [builder.initial_state().add_input(xs[0]).output().npvalue()]
    state = builder.initial_state([vecs[0]])
    answers.append([v.npvalue() for v in state.s()])
    answers.append(state.add_input(xs[0]).output().npvalue())
    state = builder.initial_state([vecs[1]])
    answers.append(state.add_input(xs[0]).output().npvalue())
    answers.append(builder.initial_state().add_input(xs[0]).output().npvalue())
    dy.renew_cg()
    xs, vecs = inputs(dy), inputs(dy, 2, 2)
    state = builder.initial_state([vecs[0]])
    answers.append(state.add_input(xs[0]).output().npvalue())
    state = builder.initial_state([vecs[1]])
    answers.append(state.add_input(xs[0]).output().npvalue())
    answers.append(builder.initial_state().add_input(xs[0]).output().npvalue())
    raw = builder.initial_state_from_raw_vectors([[1.0, 2.0]])
    answers.append(raw.add_input(xs[0]).output().npvalue())
    return answers


@case
def both_directions(dy):
    answers = []
    for kind in ("VanillaLSTM", "GRU"):
        m = dy.ParameterCollection()
        builder = dy.BiRNNBuilder(2, 3, 4, m, getattr(dy, f"{kind}Builder"))
        answers.append(everything(m))
        for rate in (0.0, 0.5):
            builder.set_dropout(rate)
            dy.renew_cg()
            ys = builder.transduce(inputs(dy))
            pairs = builder.add_inputs(inputs(dy))
            answers.append([y.npvalue() for y in ys])
            answers.append([[f.output().npvalue(), b.output().npvalue()] for f, b in pairs])
        builder.disable_dropout()
        dy.renew_cg()
        answers.append([y.npvalue() for y in builder.transduce(inputs(dy, batch=2))])
        answers.append(
            [builder.whoami(), builder.param_collection().name(), list(builder.spec[:3])]
        )
    return answers


@case
def softmax_layers(dy):
    answers = []
    for bias in (True, False):
        m = dy.ParameterCollection()
        builder = dy.StandardSoftmaxBuilder(3, 5, m, bias)
        for p in m.parameters_list():
            if len(p.shape()) == 1:
                p.set_value(np.arange(5.0) / 5)
        dy.renew_cg()
        x = inputs(dy)[0]
        loss = builder.neg_log_softmax(x, 2)
        answers.append([loss.npvalue(), builder.full_logits(x).npvalue()])
        answers.append(builder.full_log_distribution(x).npvalue())
        answers.append(builder.neg_log_softmax_batch(inputs(dy, batch=3)[0], [1, 0, 4]).npvalue())
        # Without a bias DyNet draws the same word always.
        answers.append([builder.sample(x) for _ in range(20 * bias)])
        loss.backward()
        answers.append([everything(m), [p.grad_as_array() for p in m.parameters_list()]])
        builder.neg_log_softmax(x, 1, update=False).backward()
        answers.append([p.grad_as_array() for p in m.parameters_list()])
    return answers


CLUSTERS = "c0 a\nc0 b\nc1 c\nc2 d\nc2 e\nc2 f\n"


@case
def softmax_of_classes(dy):
    import os
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "clusters")
        with open(path, "w", encoding="ascii") as file:
            file.write(CLUSTERS)
        words = {word: i for i, word in enumerate("fbcdea")}
        m = dy.ParameterCollection()
        builder = dy.ClassFactoredSoftmaxBuilder(3, path, words, m)
    dy.renew_cg()
    x = inputs(dy)[0]
    answers = [everything(m), [builder.neg_log_softmax(x, i).npvalue() for i in range(6)]]
    answers.append([builder.class_logits(x).npvalue(), builder.class_log_distribution(x).npvalue()])
    answers.append([builder.subclass_logits(x, i).npvalue() for i in (0, 2)])
    answers.append([builder.subclass_log_distribution(x, i).npvalue() for i in (0, 2)])
    answers.append([builder.sample(x) for _ in range(20)])
    dy.esum([builder.neg_log_softmax(x, i) for i in (1, 2, 4)]).backward()
    answers.append([p.grad_as_array() for p in m.parameters_list()])
    return answers


# ------------------------------------------------------------------- files


def stored(dy, path):
    """A model with all that a file can hold, and the file's text."""
    m = dy.ParameterCollection()
    p = m.add_parameters((2, 3))
    t = m.add_lookup_parameters((4, 2), name="words")
    s = m.add_subcollection("sub")
    s.add_parameters(3, name="foo")
    s.add_lookup_parameters((2, 2, 3))
    dy.LSTMBuilder(1, 2, 2, m)
    m.add_parameters((0, 3))
    dy.renew_cg()
    (dy.sum_elems(p) * 0.1 + dy.squared_norm(t[2])).backward()  # rounds alike everywhere
    m.save(path)
    return m


@case
def file_of_a_collection(dy):
    return in_folder(lambda path: stored(dy, path))


def in_folder(write, end=""):
    """The text of a file that is written."""
    import os
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file")
        write(path)
        with open(path + end, encoding="utf-8") as file:
            return file.read()


@case
def files_of_parts(dy):
    def write(path):
        m = dy.ParameterCollection()
        p = m.add_parameters((2, 2))
        t = m.add_lookup_parameters((2, 2))
        s = m.add_subcollection("sub")
        s.add_parameters(2)
        m.set_weight_decay(0.1)
        dy.SimpleSGDTrainer(m).update()
        p.save(path)
        t.save(path, "/words", append=True)
        p.save(path, key="/other", append=True)
        s.save(path, append=True)
        m.save(path, "/pre", append=True)
        m.save(path, name="/pre/", append=True)

    return in_folder(write)


def objects(dy, m):
    """Something of every kind that can be saved."""
    return [
        m.add_parameters((2, 3)),
        dy.LSTMBuilder(2, 3, 2, m),
        m.add_lookup_parameters((4, 2)),
        dy.BiRNNBuilder(1, 2, 4, m, dy.GRUBuilder),
        dy.CompactVanillaLSTMBuilder(1, 2, 3, m),
        dy.CoupledLSTMBuilder(1, 2, 3, m),
        dy.SimpleRNNBuilder(1, 2, 3, m),
        dy.GRUBuilder(1, 2, 3, m),
        dy.SparseLSTMBuilder(1, 2, 3, m),
    ]


@case
def file_of_objects(dy):
    return in_folder(lambda path: dy.save(path, objects(dy, dy.ParameterCollection())), ".data")


@case
def meta_of_objects(dy):
    import os
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file")
        dy.save(path, objects(dy, dy.ParameterCollection()))
        with open(path + ".meta", "rb") as file:
            return file.read().hex()
