/* What a trainer updates: parameters, and where the states lie that its rule keeps for each. */
#include "core.h"

#include <stdlib.h>
#include <string.h>

enum { STATES = 3 };

typedef struct UpdatesObject {
    PyObject_HEAD
    PyObject *parameters; /* a tuple: keeps alive what the items point to */
    PyObject *kept;       /* a list: so does this, the memory of states */
    PyObject *begun;      /* a list, NULL if there are none: the states that Python has not seen */
    ab_updated *items;
    int nstates;
    char states[STATES]; /* their names: m, v, x */
} UpdatesObject;

static void **
state_of(ab_updated *item, char name)
{
    return name == 'm' ? &item->m : name == 'v' ? &item->v : &item->x;
}

/* Bytes from one state of a parameter to the next. */
static int64_t
step_of(const ab_param *p)
{
    return ab_padded(p->size * p->itemsize);
}

/* It has a gradient for the first time. */
static bool
waits(const ab_updated *item)
{
    const ab_param *p = item->param;
    return !item->started && p->trainable && (p->graded || p->slots);
}

/* A tuple of the parameters in a sequence of them or of what stands for them, but for those without
 * numbers. */
static PyObject *
parameters_of(PyObject *sequence)
{
    PyObject *tuple = NULL, *found = PyList_New(0), *all = PySequence_Tuple(sequence);
    for (Py_ssize_t i = 0; all && found && i < PyTuple_Size(all); i++) {
        ParamObject *p = ab_param_of(AB_TUPLE_ITEM(all, i));
        if (!p) {
            PyErr_SetString(PyExc_TypeError, "Updates: expected parameters");
            goto done;
        }
        if (p->param->size && PyList_Append(found, (PyObject *)p) < 0)
            goto done;
    }
    if (all && found)
        tuple = PyList_AsTuple(found);
done:
    Py_XDECREF(found);
    Py_XDECREF(all);
    return tuple;
}

/* Updates(parameters, states, idle) */
static int
updates_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"parameters", "states", "idle", NULL};
    UpdatesObject *u = (UpdatesObject *)self;
    PyObject *parameters;
    const char *states;
    int idle;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Osp", names, &parameters, &states, &idle))
        return -1;
    PyObject *tuple = parameters_of(parameters);
    if (!tuple)
        return -1;
    Py_ssize_t n = PyTuple_Size(tuple);
    ab_updated *items = NULL;
    if (u->items || strlen(states) > STATES || strspn(states, "mvx") != strlen(states)) {
        PyErr_SetString(PyExc_ValueError, "Updates: made once, of states called m, v and x");
        goto failed;
    }
    if (!(items = calloc((size_t)n + 1, sizeof *items))) {
        PyErr_NoMemory();
        goto failed;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        items[i].param = ((ParamObject *)AB_TUPLE_ITEM(tuple, i))->param;
        items[i].idle = idle;
        items[i].started = !*states;
    }
    u->parameters = tuple;
    u->items = items;
    u->nstates = (int)strlen(states);
    memcpy(u->states, states, strlen(states));
    return 0;
failed:
    free(items);
    Py_DECREF(tuple);
    return -1;
}

static int
updates_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((UpdatesObject *)self)->parameters);
    Py_VISIT(((UpdatesObject *)self)->kept);
    Py_VISIT(((UpdatesObject *)self)->begun);
    return 0;
}

static void
updates_dealloc(PyObject *self)
{
    UpdatesObject *u = (UpdatesObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    free(u->items);
    Py_XDECREF(u->parameters);
    Py_XDECREF(u->kept);
    Py_XDECREF(u->begun);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static Py_ssize_t
updates_length(PyObject *self)
{
    UpdatesObject *u = (UpdatesObject *)self;
    return u->parameters ? PyTuple_Size(u->parameters) : 0;
}

/* Keeps memory alive as long as an update may use it. */
static int
keep(UpdatesObject *u, PyObject *memory)
{
    if (!u->kept && !(u->kept = PyList_New(0)))
        return -1;
    return PyList_Append(u->kept, memory);
}

/* Notes down for Python where the states of a parameter begin. */
static int
note(UpdatesObject *u, Py_ssize_t i, PyObject *memory, const char *at)
{
    if (!u->begun && !(u->begun = PyList_New(0)))
        return -1;
    PyObject *entry =
        Py_BuildValue("OOKL", AB_TUPLE_ITEM(u->parameters, i), memory,
                      (unsigned long long)(uintptr_t)at, (long long)step_of(u->items[i].param));
    const int error = entry ? PyList_Append(u->begun, entry) : -1;
    Py_XDECREF(entry);
    return error;
}

/* Zeroed memory, as an object that holds it. Of much of it the system makes a page when it is first
 * touched: that is NumPy's, who knows how to ask for it. */
static PyObject *
zeroed_memory(int64_t bytes, char **start)
{
    enum { LITTLE = 1 << 16 };
    unsigned long long address;
    PyObject *memory, *room;
    if (bytes <= LITTLE) {
        if (!(memory = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)bytes + AB_ALIGNMENT)))
            return NULL;
        *start = PyByteArray_AsString(memory);
        *start += -(uintptr_t)*start % AB_ALIGNMENT;
        memset(*start, 0, (size_t)bytes);
        return memory;
    }
    if (!(room = PyObject_CallFunction(core.on_zeros, "L", (long long)bytes)))
        return NULL;
    memory = PyArg_ParseTuple(room, "OK", &memory, &address) ? Py_NewRef(memory) : NULL;
    *start = memory ? (char *)(uintptr_t)address : NULL;
    Py_DECREF(room);
    return memory;
}

/* Gives their states to the parameters that wait for them, zeroed; every number begins with `first`.
 * -1: an exception. */
static int
begin(UpdatesObject *u, Py_ssize_t n, double first)
{
    char *start, *at;
    int64_t bytes = 0;
    for (Py_ssize_t i = 0; i < n; i++)
        if (waits(&u->items[i]))
            bytes += u->nstates * step_of(u->items[i].param);
    PyObject *memory = zeroed_memory(bytes, &start);
    int error = memory ? keep(u, memory) : -1;
    at = start;
    for (Py_ssize_t i = 0; i < n && error >= 0; i++) {
        ab_updated *item = &u->items[i];
        /* One of which another thread has written a gradient since then waits for the next time. */
        if (!waits(item) || at + u->nstates * step_of(item->param) > start + bytes)
            continue;
        error = note(u, i, memory, at);
        for (int s = 0; s < u->nstates && error >= 0; s++, at += step_of(item->param)) {
            *state_of(item, u->states[s]) = at;
            if (first != 0) /* untouched memory costs nothing */
                ab_param_fill(item->param, at, first);
        }
        item->started = error >= 0;
    }
    Py_XDECREF(memory);
    return error;
}

/* _begun(): the states that were begun since this was last asked, a list of (parameter, memory, address
 * of its first state, bytes from one to the next). */
static PyObject *
updates_begun(PyObject *self, PyObject *none)
{
    (void)none;
    UpdatesObject *u = (UpdatesObject *)self;
    PyObject *begun = u->begun;
    u->begun = NULL;
    return begun ? begun : PyList_New(0);
}

/* _place(place, memory, addresses): the states of one parameter. */
static PyObject *
updates_place(PyObject *self, PyObject *args)
{
    UpdatesObject *u = (UpdatesObject *)self;
    Py_ssize_t place;
    PyObject *memory, *addresses;
    if (!PyArg_ParseTuple(args, "nOO!", &place, &memory, &PyTuple_Type, &addresses))
        return NULL;
    if (place < 0 || place >= updates_length(self) || PyTuple_Size(addresses) != u->nstates) {
        PyErr_SetString(PyExc_ValueError, "Updates: no such parameter, or another count of states");
        return NULL;
    }
    if (keep(u, memory) < 0)
        return NULL;
    for (int s = 0; s < u->nstates; s++) {
        void *address = PyLong_AsVoidPtr(AB_TUPLE_ITEM(addresses, s));
        if (PyErr_Occurred())
            return NULL;
        *state_of(&u->items[place], u->states[s]) = address;
    }
    u->items[place].started = 1;
    Py_RETURN_NONE;
}

/* The rules by the names that they have in autobatch/updates.py. */
static const char *const RULES[AB_RULES] = {
    [AB_SGD] = "sgd",         [AB_MOMENTUM] = "momentum", [AB_ADAGRAD] = "adagrad",
    [AB_RMSPROP] = "rmsprop", [AB_ADAM] = "adam",         [AB_ADAMW] = "adamw",
    [AB_AMSGRAD] = "amsgrad", [AB_ADADELTA] = "adadelta",
};

static int
rule_of(PyObject *name)
{
    for (int rule = 0; PyUnicode_Check(name) && rule < AB_RULES; rule++)
        if (!PyUnicode_CompareWithASCIIString(name, RULES[rule]))
            return rule;
    PyErr_Format(PyExc_ValueError, "Updates.run: there is no rule %R", name);
    return -1;
}

/* A number, or 0 for None. */
static double
number_of(PyObject *object)
{
    return object == Py_None ? 0 : PyFloat_AsDouble(object);
}

int
ab_steps_read(PyObject *const *args, ab_steps *steps)
{
    *steps = (ab_steps){.rule = rule_of(args[0])};
    PyObject *numbers = args[1];
    if (steps->rule < 0)
        return -1;
    if (!PyTuple_Check(numbers) || AB_TUPLE_SIZE(numbers) > AB_UPDATE_NUMBERS) {
        PyErr_SetString(PyExc_TypeError, "Updates.run: a rule's numbers are a tuple of at most 8");
        return -1;
    }
    for (Py_ssize_t i = 0; i < AB_TUPLE_SIZE(numbers); i++)
        steps->numbers[i] = PyFloat_AsDouble(AB_TUPLE_ITEM(numbers, i));
    steps->flags = (PyObject_IsTrue(args[2]) ? AB_UPDATE_SPARSE : 0)
                   | (PyObject_IsTrue(args[3]) ? AB_UPDATE_MEASURE : 0);
    steps->clip_value = number_of(args[4]);
    steps->clip_norm = number_of(args[5]);
    steps->factor = PyFloat_AsDouble(args[6]);
    steps->first = PyFloat_AsDouble(args[7]);
    return PyErr_Occurred() ? -1 : 0;
}

int
ab_updates_run(PyObject *updates, const ab_steps *steps, double *norm)
{
    UpdatesObject *u = (UpdatesObject *)updates;
    const ab_settings *s = ab_settings_now();
    if (!s)
        return -1;
    if (!core.engine || s->backend != AB_BACKEND_CPU)
        return 0;
    if (ab_turn_take() < 0)
        return -1;
    const ab_kernel_table *tables[2] = {s->table[0], s->table[1]};
    const int64_t count = updates_length(updates);
    const int threads = s->threads;
    double found;
    for (int again = 1; again--;) {
        const double began = ab_clock(s);
        Py_BEGIN_ALLOW_THREADS found = core.engine->update_all(
            tables, u->items, count, steps->rule, steps->numbers, steps->flags, steps->clip_value,
            steps->clip_norm, steps->factor, threads);
        Py_END_ALLOW_THREADS ab_spend(AB_UPDATE, began, ab_clock(s));
        /* No pass begins a gradient meanwhile that has no states yet: it is this thread's turn. */
        if (found == AB_UPDATE_STATES) {
            if (begin(u, count, steps->first) < 0) {
                ab_turn_give();
                return -1;
            }
            again = 1;
        }
    }
    ab_turn_give();
    *norm = found;
    return 1;
}

static const char run_doc[] =
    "run(rule, numbers, sparse, measure, clip_value, clip_norm, factor, first)\n--\n\n"
    "Updates all that has a gradient and answers the gradient's norm, 0 if it is not measured;\n"
    "or a negative number: there is no gradient, or it is not finite. None: another backend is\n"
    "what runs now. numbers: the rate, the count of the update and the rule's settings. first:\n"
    "what the numbers of states begin with.";

static PyObject *
updates_run(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    ab_steps steps;
    double norm;
    if (n != AB_STEPS_ARGUMENTS || !((UpdatesObject *)self)->items)
        return PyErr_Format(PyExc_TypeError, "Updates.run: expected %d arguments",
                            AB_STEPS_ARGUMENTS);
    const int done = ab_steps_read(args, &steps) < 0 ? -1 : ab_updates_run(self, &steps, &norm);
    if (done < 0)
        return NULL;
    return done ? PyFloat_FromDouble(norm) : Py_NewRef(Py_None);
}

static PyMethodDef updates_methods[] = {
    {"_begun", updates_begun, METH_NOARGS, "The states begun since this was last asked."},
    {"_place", updates_place, METH_VARARGS, "Tells where the states of one parameter lie."},
    {"run", (PyCFunction)(void (*)(void))updates_run, METH_FASTCALL, run_doc},
    {0},
};

static PyType_Slot updates_slots[] = {
    {Py_tp_doc,
     "Updates(parameters, states, idle)\n--\n\n"
     "Parameters, or what stands for them, with their states, made ready to be updated by\n"
     "one call; those without numbers are left out. states: the names of the rule's\n"
     "states, of m, v and x. idle: parameters with states are updated without a\n"
     "gradient, too."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, updates_init},
    {Py_tp_dealloc, updates_dealloc},
    {Py_tp_traverse, updates_traverse},
    {Py_tp_methods, updates_methods},
    {Py_mp_length, updates_length},
    {0, NULL},
};

PyType_Spec ab_updates_spec = {
    .name = "autobatch._core.Updates",
    .basicsize = sizeof(UpdatesObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = updates_slots,
};
