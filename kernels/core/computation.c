/* DyNet's one computation graph: what is asked at every renewal and by every lookup and pick. Its
 * other methods are Python's (autobatch/dynet/graph.py). */
#include "core.h"

#include "structmember.h"

enum {
    TRIALS = 3
}; /* graphs in which lookups and picks may be moved, before a program has done so */

static void
clear_checkpoints(ComputationObject *c)
{
    if (c->checkpoints && PyList_Check(c->checkpoints) && PyList_Size(c->checkpoints))
        PyList_SetSlice(c->checkpoints, 0, PY_SSIZE_T_MAX, NULL);
}

/* The present graph, if its expressions are columns; else the last one that was. */
static GraphObject *
present(const ComputationObject *c)
{
    GraphObject *g = ab_graph_present();
    return g && g->type == core.column_type ? g : (GraphObject *)c->graph;
}

GraphObject *
ab_recording_columns(void)
{
    GraphObject *g = ab_graph_current();
    if (!g || g->type == core.column_type)
        return g ? ab_recording() : NULL;
    if (g->graph->n) {
        ab_error("not columns", NULL, NULL);
        return NULL;
    }
    Py_XSETREF(g->type, (PyTypeObject *)Py_XNewRef((PyObject *)core.column_type));
    if (core.computation)
        Py_XSETREF(core.computation->graph, Py_NewRef((PyObject *)g));
    return ab_recording();
}

/* columns_begin(): what is recorded next is DyNet's. */
PyObject *
ab_columns_begin(PyObject *module, PyObject *none)
{
    (void)module;
    (void)none;
    return ab_recording_columns() ? Py_NewRef(Py_None) : NULL;
}

/* A new graph of columns. -1: an exception. */
static int
renew(ComputationObject *c)
{
    const GraphObject *old = present(c);
    if (old && old->late)
        ab_keep_all_updates();
    PyObject *graph = ab_new_graph(NULL, NULL);
    if (!graph)
        return -1;
    ((GraphObject *)graph)->type = (PyTypeObject *)Py_XNewRef((PyObject *)core.column_type);
    Py_XSETREF(c->graph, graph);
    c->version++;
    if (c->movable && c->version >= TRIALS)
        c->movable = c->moved;
    c->check = 0;
    clear_checkpoints(c);
    return 0;
}

static PyObject *
computation_renew(PyObject *self, PyObject *none)
{
    (void)none;
    return renew((ComputationObject *)self) < 0 ? NULL : Py_NewRef(Py_None);
}

/* _only(): calls that ask the computation graph ask this one. */
static PyObject *
computation_only(PyObject *self, PyObject *none)
{
    (void)none;
    Py_XDECREF((PyObject *)core.computation);
    core.computation = (ComputationObject *)Py_NewRef(self);
    Py_RETURN_NONE;
}

PyObject *
ab_renewed(void)
{
    ComputationObject *c = core.computation;
    if (!c)
        Py_RETURN_NOTIMPLEMENTED;
    return renew(c) < 0 ? NULL : Py_NewRef((PyObject *)c);
}

int
ab_is_movable(void)
{
    return !core.computation || core.computation->movable;
}

static int
computation_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((ComputationObject *)self)->checkpoints);
    return 0;
}

static int
computation_clear(PyObject *self)
{
    Py_CLEAR(((ComputationObject *)self)->checkpoints);
    return 0;
}

static void
computation_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    computation_clear(self);
    Py_XDECREF(((ComputationObject *)self)->graph);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef computation_methods[] = {
    {"_renew", computation_renew, METH_NOARGS, "Begins a new graph."},
    {"_only", computation_only, METH_NOARGS, "There is no other one."},
    {0},
};

static PyObject *
computation_graph(PyObject *self, void *closure)
{
    (void)closure;
    const GraphObject *g = present((ComputationObject *)self);
    if (!g && ab_recording_columns())
        g = present((ComputationObject *)self);
    return g ? Py_NewRef((PyObject *)g) : NULL;
}

static PyGetSetDef computation_getset[] = {
    {"_graph", computation_graph, NULL, "The present graph.", NULL},
    {0},
};

static PyMemberDef computation_members[] = {
    {"_version", T_LONGLONG, offsetof(ComputationObject, version), 0, "How many there have been."},
    {"_checkpoints", T_OBJECT, offsetof(ComputationObject, checkpoints), 0, NULL},
    {"_check", T_BOOL, offsetof(ComputationObject, check), 0, "Values are checked for NaN."},
    {"movable", T_BOOL, offsetof(ComputationObject, movable), 0, NULL},
    {"moved", T_BOOL, offsetof(ComputationObject, moved), 0, "A row or an entry was set."},
    {0},
};

static PyType_Slot computation_slots[] = {
    {Py_tp_doc, "Base of DyNet's computation graph."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, computation_dealloc},
    {Py_tp_traverse, computation_traverse},
    {Py_tp_clear, computation_clear},
    {Py_tp_methods, computation_methods},
    {Py_tp_members, computation_members},
    {Py_tp_getset, computation_getset},
    {0, NULL},
};

PyType_Spec ab_computation_spec = {
    .name = "autobatch._core.Computation",
    .basicsize = sizeof(ComputationObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = computation_slots,
};
