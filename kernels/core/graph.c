/* Graphs as Python sees them: one current graph per thread, whose memory passes on to the next. */
#include "core.h"

#include "structmember.h"

#include <string.h>

_Thread_local GraphObject *ab_current_graph;

/* The thread's own dictionary holds the reference, so that a graph ends with its thread. */
static const char KEY[] = "autobatch.graph";

enum { SPARE = 1 << 20 }; /* bytes of memory that are worth keeping */

static void
set_current(GraphObject *g)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyObject *dict = PyThreadState_GetDict();
    ab_current_graph = g;
    if (dict) {
        if (g)
            PyDict_SetItemString(dict, KEY, (PyObject *)g);
        else if (PyDict_GetItemString(dict, KEY))
            PyDict_DelItemString(dict, KEY);
    }
    PyErr_Restore(type, value, trace);
}

static GraphObject *
graph_new(void)
{
    GraphObject *g = PyObject_New(GraphObject, core.graph_type);
    if (!g)
        return NULL;
    g->graph = NULL;
    g->serial = ++core.serial;
    g->outer = g->replaced = NULL;
    g->state = NULL;
    g->type = NULL;
    g->entered = g->apart = g->updated = g->late = 0;
    g->direct = DIRECT_ALL;
    g->backend = -1;
    g->thread = (unsigned long)PyThread_get_thread_ident();
    g->parameters = PyList_New(0);
    if (!g->parameters || !(g->graph = ab_graph_new(&core.registry))) {
        if (g->parameters)
            PyErr_NoMemory();
        Py_DECREF(g);
        return NULL;
    }
    return g;
}

/* Expressions of a finished graph are stale; its memory may go to another one. */
static ab_graph *
finish(GraphObject *g)
{
    ab_graph *memory = g->graph;
    g->graph = NULL;
    Py_CLEAR(g->state);
    if (g->parameters)
        PyList_SetSlice(g->parameters, 0, PY_SSIZE_T_MAX, NULL);
    return memory;
}

GraphObject *
ab_graph_current_slow(void)
{
    GraphObject *g = graph_new();
    if (g) {
        set_current(g);
        Py_DECREF(g); /* the thread's dictionary holds it */
    }
    return g;
}

int
ab_graph_first_node(GraphObject *g)
{
    if (g->replaced) {
        ab_graph *memory = finish(g->replaced);
        Py_CLEAR(g->replaced);
        if (memory) {
            ab_graph_free(g->graph);
            g->graph = memory;
        }
    }
    const ab_settings *s = ab_settings_now();
    if (!s)
        return -1;
    ab_graph_reset(g->graph, s->itemsize, s->sharing, s->limit);
    g->graph->touching = g->type && g->type != core.expression_type; /* DyNet's */
    return 0;
}

static ab_graph *spare; /* memory of a graph apart, for the next one */

GraphObject *
ab_graph_apart(const GraphObject *like)
{
    GraphObject *g = graph_new();
    if (!g)
        return NULL;
    if (spare) { /* the last one's, which is large enough for most */
        ab_graph_free(g->graph);
        g->graph = spare;
        spare = NULL;
    }
    g->type = like->type;
    Py_XINCREF(g->type);
    g->apart = 1;
    ab_graph_reset(g->graph, like->graph->itemsize, 0, like->graph->limit);
    return g;
}

GraphObject *
ab_graph_swap(GraphObject *g)
{
    GraphObject *before = ab_current_graph;
    Py_XINCREF(before);
    set_current(g);
    return before;
}

void
ab_graph_discard(GraphObject *g)
{
    ab_graph *memory = finish(g);
    if (spare || !memory || ab_graph_bytes(memory) > SPARE)
        ab_graph_free(memory);
    else
        spare = memory;
    Py_DECREF(g);
}

PyObject *
ab_new_graph(PyObject *module, PyObject *none)
{
    (void)module;
    (void)none;
    GraphObject *g = graph_new(), *old = ab_current_graph;
    if (!g)
        return NULL;
    if (old) {
        if (old->entered) {
            g->outer = old;
            Py_INCREF(old);
        } else {
            /* Whether the old one ends or waits depends on what the new one becomes: the
             * next graph, or a context within it. */
            g->replaced = old;
            g->outer = old->outer;
            Py_INCREF(old);
            Py_XINCREF(g->outer);
        }
    }
    set_current(g);
    return (PyObject *)g;
}

PyObject *
ab_get_graph(PyObject *module, PyObject *none)
{
    (void)module;
    (void)none;
    GraphObject *g = ab_graph_current();
    Py_XINCREF(g);
    return (PyObject *)g;
}

static PyObject *
graph_enter(PyObject *self, PyObject *none)
{
    (void)none;
    GraphObject *g = (GraphObject *)self;
    if (g != ab_current_graph || g->entered || !g->graph || g->graph->n)
        return ab_error("enter", NULL, NULL);
    g->entered = 1;
    if (g->replaced) { /* it waits */
        Py_XDECREF(g->outer);
        g->outer = g->replaced;
        g->replaced = NULL;
    }
    Py_INCREF(self);
    return self;
}

static PyObject *
graph_exit(PyObject *self, PyObject *args)
{
    (void)args;
    GraphObject *g = (GraphObject *)self;
    if (g->entered) {
        g->entered = 0;
        GraphObject *outer = g->outer;
        g->outer = NULL;
        /* Graphs that took its place within the block end with it. */
        if (ab_current_graph && ab_current_graph != g && ab_current_graph->graph)
            ab_graph_free(finish(ab_current_graph));
        if (g->graph)
            ab_graph_free(finish(g));
        set_current(outer);
        Py_XDECREF(outer);
    }
    Py_RETURN_NONE;
}

static void
graph_dealloc(PyObject *self)
{
    GraphObject *g = (GraphObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (ab_current_graph == g)
        ab_current_graph = NULL;
    ab_graph_free(g->graph);
    Py_XDECREF(g->outer);
    Py_XDECREF(g->replaced);
    Py_XDECREF(g->parameters);
    Py_XDECREF(g->state);
    Py_XDECREF(g->type);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *
graph_address(PyObject *self, void *closure)
{
    (void)closure;
    ab_graph *g = ((GraphObject *)self)->graph;
    return PyLong_FromVoidPtr(g);
}

static PyObject *
graph_itemsize(PyObject *self, void *closure)
{
    (void)closure;
    const ab_graph *g = ((GraphObject *)self)->graph;
    if (g && g->n) /* the number type is the graph's from its first node on */
        return PyLong_FromLong(g->itemsize);
    const ab_settings *s = ab_settings_now();
    return s ? PyLong_FromLong(s->itemsize) : NULL;
}

static PyObject *
graph_parameters(PyObject *self, void *closure)
{
    (void)closure;
    PyObject *list = ((GraphObject *)self)->parameters;
    Py_INCREF(list);
    return list;
}

static PyObject *
graph_get_state(PyObject *self, void *closure)
{
    (void)closure;
    PyObject *state = ((GraphObject *)self)->state;
    if (!state)
        state = Py_None;
    Py_INCREF(state);
    return state;
}

static int
graph_set_state(PyObject *self, PyObject *value, void *closure)
{
    (void)closure;
    GraphObject *g = (GraphObject *)self;
    PyObject *old = g->state;
    Py_XINCREF(value);
    g->state = value;
    Py_XDECREF(old);
    return 0;
}

static PyObject *
graph_get_type(PyObject *self, void *closure)
{
    (void)closure;
    PyTypeObject *type = ((GraphObject *)self)->type;
    PyObject *object = (PyObject *)(type ? type : core.expression_type);
    Py_INCREF(object);
    return object;
}

/* A type that adds nothing to Expression but methods: its objects are made as quickly. */
static int
graph_set_type(PyObject *self, PyObject *value, void *closure)
{
    (void)closure;
    GraphObject *g = (GraphObject *)self;
    if (!value || !PyType_Check(value)
        || !PyType_IsSubtype((PyTypeObject *)value, core.expression_type)) {
        PyErr_SetString(PyExc_TypeError, "expected a subtype of Expression");
        return -1;
    }
    if (value != (PyObject *)core.expression_type
        && PyType_GetFlags((PyTypeObject *)value) & Py_TPFLAGS_HAVE_GC) {
        PyErr_SetString(PyExc_TypeError, "expected a type made by new_expression_type()");
        return -1;
    }
    PyTypeObject *old = g->type;
    Py_INCREF(value);
    g->type = (PyTypeObject *)value;
    Py_XDECREF(old);
    return 0;
}

static PyObject *
graph_alive(PyObject *self, void *closure)
{
    (void)closure;
    return PyBool_FromLong(ab_graph_is_alive((GraphObject *)self));
}

static PyObject *
graph_apart(PyObject *self, void *closure)
{
    (void)closure;
    return PyBool_FromLong(((GraphObject *)self)->apart);
}

static PyObject *
graph_own_thread(PyObject *self, void *closure)
{
    (void)closure;
    return PyBool_FromLong(((GraphObject *)self)->thread == PyThread_get_thread_ident());
}

static PyObject *
graph_get_backend(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromLong(((GraphObject *)self)->backend);
}

static int
graph_set_backend(PyObject *self, PyObject *value, void *closure)
{
    (void)closure;
    long backend = value ? PyLong_AsLong(value) : -1;
    if (backend == -1 && PyErr_Occurred())
        return -1;
    ((GraphObject *)self)->backend = (int)backend;
    return 0;
}

static PyObject *
graph_get_direct(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromLong(((GraphObject *)self)->direct);
}

static int
graph_set_direct(PyObject *self, PyObject *value, void *closure)
{
    (void)closure;
    long direct = value ? PyLong_AsLong(value) : DIRECT_ALL;
    if (direct == -1 && PyErr_Occurred())
        return -1;
    ((GraphObject *)self)->direct = (int)direct;
    return 0;
}

static PyObject *
graph_get_updated(PyObject *self, void *closure)
{
    (void)closure;
    return PyBool_FromLong(((GraphObject *)self)->updated);
}

static int
graph_set_updated(PyObject *self, PyObject *value, void *closure)
{
    (void)closure;
    int updated = value ? PyObject_IsTrue(value) : 0;
    if (updated < 0)
        return -1;
    ((GraphObject *)self)->updated = updated;
    return 0;
}

static PyObject *
graph_get_late(PyObject *self, void *closure)
{
    (void)closure;
    return PyBool_FromLong(((GraphObject *)self)->late);
}

static Py_ssize_t
graph_len(PyObject *self)
{
    ab_graph *g = ((GraphObject *)self)->graph;
    return g ? g->n : 0;
}

static PyObject *
graph_expression(PyObject *self, PyObject *arg)
{
    GraphObject *g = (GraphObject *)self;
    long node = PyLong_AsLong(arg);
    if (node == -1 && PyErr_Occurred())
        return NULL;
    if (!g->graph || node < 0 || node >= g->graph->n) {
        PyErr_Format(PyExc_IndexError, "no node %ld in this graph", node);
        return NULL;
    }
    return ab_expression_new(g, (int32_t)node);
}

static PyObject *
graph_draw(PyObject *self, PyObject *last)
{
    ab_graph *m = ((GraphObject *)self)->graph;
    long node = PyLong_AsLong(last);
    if (node == -1 && PyErr_Occurred())
        return NULL;
    if (m)
        ab_draw_until(m, (int32_t)node);
    Py_RETURN_NONE;
}

static PyObject *
graph_redraw(PyObject *self, PyObject *none)
{
    (void)none;
    ab_graph *m = ((GraphObject *)self)->graph;
    if (m)
        m->draws_done = 0;
    Py_RETURN_NONE;
}

static PyObject *
graph_drop_draws(PyObject *self, PyObject *first)
{
    ab_graph *m = ((GraphObject *)self)->graph;
    long node = PyLong_AsLong(first);
    if (node == -1 && PyErr_Occurred())
        return NULL;
    if (m)
        ab_graph_drop_draws(m, (int32_t)node);
    Py_RETURN_NONE;
}

static PyMethodDef graph_methods[] = {
    {"__enter__", graph_enter, METH_NOARGS, NULL},
    {"__exit__", graph_exit, METH_VARARGS, NULL},
    {"expression", graph_expression, METH_O, "The expression of a node, by its number."},
    {"_ends", ab_graph_ends, METH_O,
     "_ends(node)\n--\n\n"
     "Of a node and those before it, where gradients end that reach no parameter."},
    {"_before_update", ab_graph_update, METH_VARARGS,
     "_before_update(parameters, tables, every_row)\n--\n\n"
     "A trainer is about to change parameters: goes on with the numbers as they were read, or\n"
     "knows only what is computed from now on. every_row: rows without a gradient are changed, "
     "too."},
    {"_keep", ab_graph_keep_all, METH_VARARGS,
     "_keep(parameters, every_row)\n--\n\n"
     "Goes on with the numbers of parameters as they were read, though they will be changed."},
    {"_draw", graph_draw, METH_O, "Draws the random numbers that nodes up to this one wait for."},
    {"_redraw", graph_redraw, METH_NOARGS, "All random numbers are drawn again when needed."},
    {"_drop_draws", graph_drop_draws, METH_O,
     "Nothing is drawn any more for the nodes from this one on."},
    {0},
};

static PyGetSetDef graph_getset[] = {
    {"_address", graph_address, NULL, NULL, NULL},
    {"_itemsize", graph_itemsize, NULL, "Bytes per number; of an empty graph, if it began now.",
     NULL},
    {"parameters", graph_parameters, NULL, "Parameters that were recorded.", NULL},
    {"state", graph_get_state, graph_set_state, NULL, NULL},
    {"_apart", graph_apart, NULL, NULL, NULL},
    {"_backend", graph_get_backend, graph_set_backend, NULL, NULL},
    {"direct", graph_get_direct, graph_set_direct,
     "What may be asked for directly, because nothing has to be done first: 2 all, 1 values that "
     "are computed, 0 nothing.",
     NULL},
    {"_updated", graph_get_updated, graph_set_updated,
     "Whether parameters were changed since the graph began or was computed anew.", NULL},
    {"_late", graph_get_late, NULL, "Whether anything was run after that.", NULL},
    {"expression_type", graph_get_type, graph_set_type, "The type of its expressions.", NULL},
    {"alive", graph_alive, NULL, "False once the graph is finished.", NULL},
    {"own_thread", graph_own_thread, NULL, "Whether this thread records in it.", NULL},
    {0},
};

static PyType_Slot graph_slots[] = {
    {Py_tp_doc, "A graph: what one thread has recorded since ``new_graph()``.\n\n"
                ">>> import autobatch as ab\n"
                ">>> with ab.new_graph() as graph:\n"
                "...     x = ab.input([1.0, 2.0])\n"
                "...     y = x + x\n"
                "...     len(graph), graph.alive\n"
                "(2, True)\n"
                ">>> graph.alive\n"
                "False\n"},
    {Py_tp_dealloc, graph_dealloc},
    {Py_tp_methods, graph_methods},
    {Py_tp_getset, graph_getset},
    {Py_sq_length, graph_len},
    {0, NULL},
};

PyType_Spec ab_graph_spec = {
    .name = "autobatch.Graph",
    .basicsize = sizeof(GraphObject),
    .flags = Py_TPFLAGS_DEFAULT
#if PY_VERSION_HEX >= 0x030A0000
             | Py_TPFLAGS_DISALLOW_INSTANTIATION
#endif
    ,
    .slots = graph_slots,
};
