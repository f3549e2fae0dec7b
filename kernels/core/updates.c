/* What a trainer updates: parameters, and where the states lie that its rule keeps for each. */
#include "core.h"

#include <stdlib.h>
#include <string.h>

enum { STATES = 3 };

typedef struct UpdatesObject {
    PyObject_HEAD
    PyObject *parameters; /* a tuple: keeps alive what the items point to */
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
    if (u->items || strlen(states) > STATES || strspn(states, "mvx") != strlen(states)) {
        PyErr_SetString(PyExc_ValueError, "Updates: made once, of states called m, v and x");
        return -1;
    }
    if (!(u->parameters = PySequence_Tuple(parameters)))
        return -1;
    Py_ssize_t n = PyTuple_Size(u->parameters);
    if (!(u->items = calloc((size_t)n + 1, sizeof *u->items))) {
        PyErr_NoMemory();
        return -1;
    }
    u->nstates = (int)strlen(states);
    memcpy(u->states, states, strlen(states));
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *parameter = AB_TUPLE_ITEM(u->parameters, i);
        if (!ab_is_param(parameter) || !((ParamObject *)parameter)->param) {
            PyErr_SetString(PyExc_TypeError, "Updates: expected parameters");
            return -1;
        }
        u->items[i].param = ((ParamObject *)parameter)->param;
        u->items[i].idle = idle;
        u->items[i].started = !u->nstates;
    }
    return 0;
}

static int
updates_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((UpdatesObject *)self)->parameters);
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

/* _missing(): bytes that the states of the parameters that wait for theirs take. */
static PyObject *
updates_missing(PyObject *self, PyObject *none)
{
    (void)none;
    UpdatesObject *u = (UpdatesObject *)self;
    int64_t bytes = 0;
    for (Py_ssize_t i = 0; i < updates_length(self); i++)
        if (waits(&u->items[i]))
            bytes += u->nstates * step_of(u->items[i].param);
    return PyLong_FromLongLong(bytes);
}

static void
fill(void *numbers, const ab_param *p, double number)
{
    for (int64_t i = 0; i < p->size; i++)
        if (p->itemsize == 8)
            ((double *)numbers)[i] = number;
        else
            ((float *)numbers)[i] = (float)number;
}

/* _start(address, first): gives them their states, which lie there, zeroed; every number
 * begins with `first`. Answers a list of (parameter, where its first state begins, bytes from
 * one to the next). */
static PyObject *
updates_start(PyObject *self, PyObject *args)
{
    UpdatesObject *u = (UpdatesObject *)self;
    unsigned long long address;
    double first;
    PyObject *started = PyArg_ParseTuple(args, "Kd", &address, &first) ? PyList_New(0) : NULL;
    char *base = (char *)(uintptr_t)address;
    int64_t at = 0;
    for (Py_ssize_t i = 0; started && i < updates_length(self); i++) {
        ab_updated *item = &u->items[i];
        if (!waits(item))
            continue;
        int64_t step = step_of(item->param);
        PyObject *entry =
            Py_BuildValue("OLL", AB_TUPLE_ITEM(u->parameters, i), (long long)at, (long long)step);
        if (!entry || PyList_Append(started, entry) < 0)
            Py_CLEAR(started);
        Py_XDECREF(entry);
        for (int s = 0; s < u->nstates; s++, at += step) {
            *state_of(item, u->states[s]) = base + at;
            if (first != 0) /* untouched memory costs nothing */
                fill(base + at, item->param, first);
        }
        item->started = 1;
    }
    return started;
}

/* _place(place, addresses): the states of one parameter. */
static PyObject *
updates_place(PyObject *self, PyObject *args)
{
    UpdatesObject *u = (UpdatesObject *)self;
    Py_ssize_t place;
    PyObject *addresses;
    if (!PyArg_ParseTuple(args, "nO!", &place, &PyTuple_Type, &addresses))
        return NULL;
    if (place < 0 || place >= updates_length(self) || PyTuple_Size(addresses) != u->nstates) {
        PyErr_SetString(PyExc_ValueError, "Updates: no such parameter, or another count of states");
        return NULL;
    }
    for (int s = 0; s < u->nstates; s++) {
        void *address = PyLong_AsVoidPtr(AB_TUPLE_ITEM(addresses, s));
        if (PyErr_Occurred())
            return NULL;
        *state_of(&u->items[place], u->states[s]) = address;
    }
    u->items[place].started = 1;
    Py_RETURN_NONE;
}

static PyObject *
updates_address(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromVoidPtr(((UpdatesObject *)self)->items);
}

static PyMethodDef updates_methods[] = {
    {"_missing", updates_missing, METH_NOARGS, "Bytes of the states that are wanted now."},
    {"_start", updates_start, METH_VARARGS, "Tells where the states lie that are wanted now."},
    {"_place", updates_place, METH_VARARGS, "Tells where the states of one parameter lie."},
    {0},
};

static PyGetSetDef updates_getset[] = {
    {"_address", updates_address, NULL, NULL, NULL},
    {0},
};

static PyType_Slot updates_slots[] = {
    {Py_tp_doc, "Parameters with their states, made ready to be updated by one call."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, updates_init},
    {Py_tp_dealloc, updates_dealloc},
    {Py_tp_traverse, updates_traverse},
    {Py_tp_methods, updates_methods},
    {Py_tp_getset, updates_getset},
    {Py_mp_length, updates_length},
    {0, NULL},
};

PyType_Spec ab_updates_spec = {
    .name = "autobatch._core.Updates",
    .basicsize = sizeof(UpdatesObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = updates_slots,
};
