/* The base of trainers: the counts and the rate that every update changes or reads, and the straight
 * way through `update`. A trainer in Python tells how it updates once it has done so; until then,
 * after any of its attributes was assigned to, or where anything is unusual, `update` is Python's. */
#include "core.h"

#include "structmember.h"

#include <math.h>
#include <string.h>

typedef struct TrainerObject {
    PyObject_HEAD
    double learning_rate;
    char single; /* it is rounded to single precision */
    double gradient_norm;
    long long step;
    long long clips;   /* updates whose gradient was scaled down */
    PyObject *updates; /* of type Updates, or None */
    uint64_t assigned; /* counts assignments to attributes that what was told depends on */
    /* What was told, while `told` is the process's count of tellings. */
    uint64_t told;
    ab_steps steps;
    int rates_gradient; /* the gradient is multiplied by the rate */
    int unit_rate;      /* the rule's rate is 1 */
    PyObject *graphs;   /* the type of expressions of graphs that are told before; NULL: none */
    PyObject *lists[2]; /* of parameters, which may grow; NULL: none */
    Py_ssize_t count;   /* of both */
} TrainerObject;

static uint64_t tellings = 1; /* changed under the interpreter lock; 0 is never told */

static PyObject *
trainer_ask(PyObject *none, PyObject *nothing)
{
    (void)none;
    (void)nothing;
    tellings++;
    Py_RETURN_NONE;
}

/* Names of what every update reads anew or counts, so that assigning to them changes nothing told. */
static int
is_read(PyObject *name)
{
    static const char *const names[] = {"learning_rate", "step", "gradient_norm", "_clips"};
    for (size_t i = 0; i < sizeof names / sizeof names[0] && PyUnicode_Check(name); i++)
        if (!PyUnicode_CompareWithASCIIString(name, names[i]))
            return 1;
    return 0;
}

static int
trainer_setattro(PyObject *self, PyObject *name, PyObject *value)
{
    if (!is_read(name)) {
        ((TrainerObject *)self)->told = 0;
        ((TrainerObject *)self)->assigned++;
    }
    return PyObject_GenericSetAttr(self, name, value);
}

static void
forget(TrainerObject *t)
{
    t->told = 0;
    Py_CLEAR(t->graphs);
    Py_CLEAR(t->lists[0]);
    Py_CLEAR(t->lists[1]);
}

static Py_ssize_t
count_of(const TrainerObject *t)
{
    return t->lists[0] ? PyList_Size(t->lists[0]) + PyList_Size(t->lists[1]) : 0;
}

static const char tell_doc[] =
    "_tell(asked, rule, settings, sparse, measure, clip_value, clip_norm, first, rates_gradient, "
    "unit_rate, graphs, lists)\n--\n\n"
    "Every update from now on is as this one, until an attribute is assigned to, or none if one\n"
    "was since `_asked` answered `asked`: run of the trainer's Updates, of numbers that begin "
    "with\n"
    "the rate and the count. first: what the numbers of states begin with. rates_gradient: the\n"
    "gradient is multiplied by the rate first.\n"
    "unit_rate: the rule's rate is 1. graphs: None, or the type of expressions of graphs that "
    "have\n"
    "to be told before. lists: None, or two lists of parameters; once they have grown, nothing\n"
    "counts as told.";

static PyObject *
trainer_tell(PyObject *self, PyObject *args)
{
    TrainerObject *t = (TrainerObject *)self;
    PyObject *rule, *settings, *sparse, *measure, *clip_value, *clip_norm, *first, *graphs, *lists;
    unsigned long long asked;
    forget(t);
    if (!PyArg_ParseTuple(args, "KOO!OOOOOppOO", &asked, &rule, &PyTuple_Type, &settings, &sparse,
                          &measure, &clip_value, &clip_norm, &first, &t->rates_gradient,
                          &t->unit_rate, &graphs, &lists))
        return NULL;
    PyObject *one = PyFloat_FromDouble(1);
    PyObject *begin = Py_BuildValue("(dd)", 0.0, 0.0);
    PyObject *numbers = begin ? PySequence_Concat(begin, settings) : NULL;
    PyObject *all[AB_STEPS_ARGUMENTS] = {rule,       numbers,   sparse, measure,
                                         clip_value, clip_norm, one,    first};
    const int error = !one || !numbers || ab_steps_read(all, &t->steps) < 0;
    Py_XDECREF(one);
    Py_XDECREF(begin);
    Py_XDECREF(numbers);
    if (error)
        return NULL;
    if ((lists == Py_None) != (graphs == Py_None)) {
        PyErr_SetString(PyExc_TypeError, "Trainer: graphs are told of two lists of parameters");
        return NULL;
    }
    if (lists != Py_None) {
        PyObject *one_list, *other;
        if (!PyArg_ParseTuple(lists, "O!O!", &PyList_Type, &one_list, &PyList_Type, &other))
            return NULL;
        t->lists[0] = Py_NewRef(one_list);
        t->lists[1] = Py_NewRef(other);
    }
    t->graphs = graphs == Py_None ? NULL : Py_NewRef(graphs);
    t->count = count_of(t);
    if (asked == t->assigned + tellings) /* nothing has changed since */
        t->told = tellings;
    Py_RETURN_NONE;
}

/* Tells the current graph, if graphs are to be told. 0: it is not one of them; -1: an exception. */
static int
tell_graph(const TrainerObject *t)
{
    GraphObject *g = ab_graph_present();
    if (!t->graphs)
        return 1;
    if (!g || (PyObject *)g->type != t->graphs)
        return 0;
    const int every_row = !(t->steps.flags & AB_UPDATE_SPARSE);
    return ab_graph_before_update(g, t->lists[0], t->lists[1], every_row) < 0 ? -1 : 1;
}

/* True: done; False: it is Python's. */
PyObject *
ab_trainer_update(PyObject *self, PyObject *none)
{
    (void)none;
    TrainerObject *t = (TrainerObject *)self;
    const double rate = t->learning_rate;
    double norm;
    if (t->told != tellings || !t->updates || Py_TYPE(t->updates) != core.updates_type
        || !(rate >= 0 && rate < INFINITY) || count_of(t) != t->count)
        Py_RETURN_FALSE;
    const ab_settings *s = ab_settings_now();
    if (!s)
        return NULL;
    if (s->backend != AB_BACKEND_CPU)
        Py_RETURN_FALSE;
    const int told = tell_graph(t);
    if (told < 0)
        return NULL;
    if (!told)
        Py_RETURN_FALSE;
    ab_steps steps = t->steps;
    steps.numbers[AB_UPDATE_RATE] = t->unit_rate ? 1 : rate;
    steps.numbers[AB_UPDATE_T] = (double)(t->step + 1);
    steps.factor = t->rates_gradient ? rate : 1;
    PyObject *updates = Py_NewRef(t->updates); /* another thread may replace them meanwhile */
    const int done = ab_updates_run(updates, &steps, &norm);
    Py_DECREF(updates);
    if (done < 0)
        return NULL;
    /* A collection may do without gradients. */
    if (!done || (norm < 0 && !(t->graphs && norm == AB_UPDATE_NOTHING)))
        Py_RETURN_FALSE;
    t->step++;
    if (steps.flags & AB_UPDATE_MEASURE) {
        t->gradient_norm = norm < 0 ? 0 : norm;
        t->clips += steps.clip_norm > 0 && norm > steps.clip_norm;
    }
    Py_RETURN_TRUE;
}

static int
trainer_traverse(PyObject *self, visitproc visit, void *arg)
{
    TrainerObject *t = (TrainerObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(t->updates);
    Py_VISIT(t->graphs);
    Py_VISIT(t->lists[0]);
    Py_VISIT(t->lists[1]);
    return 0;
}

static int
trainer_clear(PyObject *self)
{
    Py_CLEAR(((TrainerObject *)self)->updates);
    forget((TrainerObject *)self);
    return 0;
}

static void
trainer_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    trainer_clear(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* _asked(): to be given to `_tell`, taken before the trainer is asked. */
static PyObject *
trainer_asked(PyObject *self, PyObject *none)
{
    (void)none;
    return PyLong_FromUnsignedLongLong(((TrainerObject *)self)->assigned + tellings);
}

static PyMethodDef trainer_methods[] = {
    {"_asked", trainer_asked, METH_NOARGS, "_asked()\n--\n\nA stamp for `_tell`."},
    {"_tell", trainer_tell, METH_VARARGS, tell_doc},
    {"_update_as_told", ab_trainer_update, METH_NOARGS,
     "_update_as_told()\n--\n\nWhether an update was made: as was told, if it was."},
    {"_ask_all", trainer_ask, METH_NOARGS | METH_STATIC,
     "_ask_all()\n--\n\nNothing counts as told any more, of any trainer."},
    {0},
};

static PyObject *
trainer_rate(PyObject *self, void *closure)
{
    (void)closure;
    return PyFloat_FromDouble(((TrainerObject *)self)->learning_rate);
}

static int
trainer_set_rate(PyObject *self, PyObject *value, void *closure)
{
    (void)closure;
    TrainerObject *t = (TrainerObject *)self;
    if (!value) {
        PyErr_SetString(PyExc_AttributeError, "a trainer has a learning rate");
        return -1;
    }
    const double rate = PyFloat_AsDouble(value);
    if (rate == -1 && PyErr_Occurred())
        return -1;
    t->learning_rate = t->single ? (float)rate : rate;
    return 0;
}

static long long *
counter_of(PyObject *self, void *closure)
{
    return (long long *)(void *)((char *)self + (size_t)closure);
}

static PyObject *
trainer_counter(PyObject *self, void *closure)
{
    return PyLong_FromLongLong(*counter_of(self, closure));
}

static int
trainer_set_counter(PyObject *self, PyObject *value, void *closure)
{
    const long long count = value ? PyLong_AsLongLong(value) : -1;
    if (!value || (count == -1 && PyErr_Occurred())) { /* it stays as it was */
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_AttributeError, "a trainer counts its updates");
        return -1;
    }
    *counter_of(self, closure) = count;
    return 0;
}

static PyGetSetDef trainer_getset[] = {
    {"step", trainer_counter, trainer_set_counter, "How many updates were made.",
     (void *)offsetof(TrainerObject, step)},
    {"_clips", trainer_counter, trainer_set_counter, "Updates whose gradient was scaled down.",
     (void *)offsetof(TrainerObject, clips)},
    {"learning_rate", trainer_rate, trainer_set_rate,
     "The learning rate, which may be assigned to at any time.", NULL},
    {0},
};

static PyMemberDef trainer_members[] = {
    {"_single", T_BOOL, offsetof(TrainerObject, single), 0,
     "Whether the learning rate is kept in single precision."},
    {"gradient_norm", T_DOUBLE, offsetof(TrainerObject, gradient_norm), 0, NULL},
    {"_updates", T_OBJECT, offsetof(TrainerObject, updates), 0, NULL},
    {0},
};

static PyType_Slot trainer_slots[] = {
    {Py_tp_doc, "Base of trainers: what every update reads and counts."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, trainer_dealloc},
    {Py_tp_traverse, trainer_traverse},
    {Py_tp_clear, trainer_clear},
    {Py_tp_setattro, trainer_setattro},
    {Py_tp_methods, trainer_methods},
    {Py_tp_members, trainer_members},
    {Py_tp_getset, trainer_getset},
    {0, NULL},
};

PyType_Spec ab_trainer_spec = {
    .name = "autobatch._core.Trainer",
    .basicsize = sizeof(TrainerObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = trainer_slots,
};
