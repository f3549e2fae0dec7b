/* Graphs as Python sees them: one current graph per thread, whose memory passes on to the next.
 *
 * The graphs of a thread stand in levels: one outside all blocks, and one for each block that is
 * open. Each level has a current graph, and that of the innermost is the thread's. A block may end
 * before those within it, and by another thread (generators are closed by whoever holds them): its
 * level is taken out wherever it stands. All of it is changed under the interpreter lock. */
#include "core.h"

#include "structmember.h"

#include <stdlib.h>
#include <string.h>

struct ab_level {
    GraphObject *current; /* NULL: none was begun */
    GraphObject *block;   /* that a with-statement entered; NULL: no block, or a cell's trace */
    ab_level *outer, *inner;
    ab_levels *levels;
};

_Thread_local ab_levels *ab_own_levels;

/* The thread's own dictionary holds its levels, so that its graphs end with it. */
static const char KEY[] = "autobatch.graphs";

enum { SPARE = 1 << 20 }; /* bytes of memory that are worth keeping */

/* What a graph that ends leaves to be released: doing so may run Python, which must find
 * everything in order. */
typedef struct leavings {
    PyObject *objects[6];
    int n;
} leavings;

static void
leave(leavings *l, void *object)
{
    if (object)
        l->objects[l->n++] = object;
}

static void
release(leavings *l)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    while (l->n)
        Py_DECREF(l->objects[--l->n]);
    PyErr_Restore(type, value, trace);
}

static void
levels_free(PyObject *capsule)
{
    ab_levels *levels = PyCapsule_GetPointer(capsule, KEY);
    if (ab_own_levels == levels)
        ab_own_levels = NULL;
    for (ab_level *level = levels->innermost, *outer; level; level = outer) {
        leavings l = {0};
        outer = level->outer;
        leave(&l, level->current);
        leave(&l, level->block);
        if (level->block)
            level->block->level = NULL;
        free(level);
        release(&l);
    }
    free(levels);
}

static ab_levels *
own_levels(void)
{
    if (ab_own_levels)
        return ab_own_levels;
    PyObject *dict = PyThreadState_GetDict();
    ab_levels *levels = calloc(1, sizeof *levels);
    ab_level *level = calloc(1, sizeof *level);
    PyObject *capsule = levels && level ? PyCapsule_New(levels, KEY, NULL) : NULL;
    if (!capsule || !dict || PyDict_SetItemString(dict, KEY, capsule) < 0
        || PyCapsule_SetDestructor(capsule, levels_free) < 0) {
        if (!PyErr_Occurred())
            PyErr_NoMemory();
        Py_XDECREF(capsule);
        free(levels);
        free(level);
        return NULL;
    }
    Py_DECREF(capsule);
    level->levels = levels;
    levels->innermost = level;
    levels->thread = (unsigned long)PyThread_get_thread_ident();
    return ab_own_levels = levels;
}

/* Makes a graph the current one of a level; takes the reference, leaves the former one's. */
static void
set_current(ab_level *level, GraphObject *g, leavings *l)
{
    leave(l, level->current);
    level->current = g;
    if (level->levels->innermost == level)
        level->levels->current = g;
}

static ab_level *
push_level(ab_levels *levels, GraphObject *g, GraphObject *block)
{
    ab_level *level = malloc(sizeof *level);
    if (!level) {
        PyErr_NoMemory();
        return NULL;
    }
    *level = (ab_level){.block = block, .outer = levels->innermost, .levels = levels};
    level->outer->inner = level;
    levels->innermost = level;
    Py_XINCREF(block);
    level->current = levels->current = g;
    Py_INCREF(g);
    return level;
}

static void
pop_level(ab_level *level, leavings *l)
{
    ab_levels *levels = level->levels;
    if (level->inner)
        level->inner->outer = level->outer;
    else
        levels->innermost = level->outer;
    level->outer->inner = level->inner;
    levels->current = levels->innermost->current;
    leave(l, level->current);
    leave(l, level->block);
    free(level);
}

static GraphObject *
graph_new(void)
{
    PyObject *parameters = PyList_New(0);
    GraphObject *g = parameters ? PyObject_New(GraphObject, core.graph_type) : NULL;
    if (!g) {
        Py_XDECREF(parameters);
        return NULL;
    }
    g->graph = NULL;
    g->serial = ++core.serial;
    g->level = NULL;
    g->replaced = NULL;
    g->state = NULL;
    g->type = NULL;
    g->ended = g->running = g->inference = g->block_ended = 0;
    g->apart = g->updated = g->late = 0;
    g->versioned = 1;
    g->direct = DIRECT_ALL;
    g->backend = -1;
    g->thread = (unsigned long)PyThread_get_thread_ident();
    g->parameters = parameters;
    if (!(g->graph = ab_graph_new(&core.registry))) {
        PyErr_NoMemory();
        Py_DECREF(g);
        return NULL;
    }
    return g;
}

/* Ends a graph: its expressions are stale from now on. Its memory, which may go to another graph;
 * NULL: it has none, or a job or another thread uses it, and it goes with the graph. */
static ab_graph *
finish(GraphObject *g, leavings *l)
{
    if (g->running)
        return NULL;
    if (g->thread != PyThread_get_thread_ident()) {
        g->ended = 1;
        return NULL;
    }
    ab_graph *memory = g->graph;
    g->graph = NULL;
    leave(l, g->state);
    leave(l, g->parameters);
    g->state = g->parameters = NULL;
    return memory;
}

GraphObject *
ab_graph_current_slow(void)
{
    ab_levels *levels = own_levels();
    GraphObject *g = levels ? graph_new() : NULL;
    if (!g)
        return NULL;
    leavings l = {0};
    set_current(levels->innermost, g, &l);
    release(&l);
    return levels->current;
}

/* Ends the graph that this one replaces, and takes its memory. */
static void
replace(GraphObject *g, leavings *l)
{
    GraphObject *old = g->replaced;
    g->replaced = NULL;
    ab_graph *memory = old ? finish(old, l) : NULL;
    leave(l, old);
    if (memory) {
        ab_graph_free(g->graph);
        g->graph = memory;
    }
}

GraphObject *
ab_recording_slow(void)
{
    GraphObject *g;
    do { /* until nothing that ran meanwhile has begun another graph */
        leavings l = {0};
        const ab_settings *now = ab_settings_now();
        if (!now || !(g = ab_graph_current()))
            return NULL;
        if (g->graph->n)
            return g;
        replace(g, &l);
        ab_graph_reset(g->graph, now->itemsize, now->sharing, now->limit);
        ab_recording_since = ab_clock(now);
        g->graph->touching = g->type && g->type != core.expression_type; /* DyNet's */
        g->graph->versioned = g->versioned && !g->graph->touching;
        release(&l);
    } while (ab_graph_current() != g || g->replaced);
    return g;
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
    g->inference = like->inference;
    ab_graph_reset(g->graph, like->graph->itemsize, 0, like->graph->limit);
    return g;
}

ab_level *
ab_level_begin(GraphObject *g)
{
    ab_levels *levels = own_levels();
    return levels ? push_level(levels, g, NULL) : NULL;
}

void
ab_level_end(ab_level *level)
{
    leavings l = {0};
    pop_level(level, &l);
    release(&l);
}

void
ab_graph_discard(GraphObject *g)
{
    leavings l = {0};
    ab_graph *memory = finish(g, &l);
    if (spare || !memory || ab_graph_bytes(memory) > SPARE)
        ab_graph_free(memory);
    else
        spare = memory;
    leave(&l, g);
    release(&l);
}

PyObject *
ab_new_graph(PyObject *module, PyObject *none)
{
    (void)module;
    (void)none;
    ab_levels *levels = own_levels();
    GraphObject *g = levels ? graph_new() : NULL;
    if (!g)
        return NULL;
    GraphObject *old = levels->current;
    if (old && old->apart) {
        Py_DECREF(g);
        return ab_error("cell graph", NULL, NULL);
    }
    leavings l = {0};
    if (old) {
        /* Whether the old one ends or waits depends on what the new one becomes: the next graph,
         * or a block within it. The one before the old one, if any, has ended. */
        replace(old, &l);
        g->replaced = (GraphObject *)Py_NewRef((PyObject *)old);
        g->inference = old->inference;
    }
    set_current(levels->innermost, (GraphObject *)Py_NewRef((PyObject *)g), &l);
    release(&l);
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
    ab_levels *levels = own_levels();
    if (!levels)
        return NULL;
    if (g != levels->current || g->level || g->apart || !g->graph || g->graph->n)
        return ab_error("enter", NULL, NULL);
    ab_level *outer = levels->innermost;
    if (!(g->level = push_level(levels, g, g)))
        return NULL;
    /* What it would have replaced waits. */
    leavings l = {0};
    set_current(outer, g->replaced, &l);
    g->replaced = NULL;
    release(&l);
    return Py_NewRef(self);
}

static PyObject *
graph_exit(PyObject *self, PyObject *args)
{
    (void)args;
    GraphObject *g = (GraphObject *)self;
    ab_level *level = g->level;
    if (!level)
        Py_RETURN_NONE; /* it has ended, with its thread, say */
    leavings l = {0}, more = {0};
    g->level = NULL;
    /* Graphs that took its place within the block end with it. */
    GraphObject *last = level->current;
    if (last && last->replaced) {
        ab_graph_free(finish(last->replaced, &more));
        leave(&more, last->replaced);
        last->replaced = NULL;
    }
    if (last && last != g)
        ab_graph_free(finish(last, &l));
    g->block_ended = 1;
    if (last)
        last->block_ended = 1;
    if (g->graph)
        ab_graph_free(finish(g, &more));
    pop_level(level, &l);
    release(&l);
    release(&more);
    Py_RETURN_NONE;
}

static void
graph_dealloc(PyObject *self)
{
    GraphObject *g = (GraphObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    ab_graph_free(g->graph);
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
    return list ? Py_NewRef(list) : PyList_New(0);
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

/* A job of Python's runs this graph: its memory stays until the job has ended. */
static PyObject *
graph_run_begins(PyObject *self, PyObject *none)
{
    (void)none;
    ((GraphObject *)self)->running++;
    Py_RETURN_NONE;
}

static PyObject *
graph_run_ends(PyObject *self, PyObject *none)
{
    (void)none;
    ((GraphObject *)self)->running--;
    Py_RETURN_NONE;
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
    {"_check_run", ab_graph_check_run, METH_VARARGS,
     "_check_run(first, nodes)\n--\n\n"
     "Raises if the batches from place `first` on, or the values of nodes, read a parameter that\n"
     "has changed since."},
    {"_check_pass", ab_graph_check_pass, METH_O,
     "_check_pass(node)\n--\n\n"
     "Raises if what a node was computed from is a parameter that has changed since."},
    {"_run_begins", graph_run_begins, METH_NOARGS, NULL},
    {"_run_ends", graph_run_ends, METH_NOARGS, NULL},
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

static PyMemberDef graph_members[] = {
    {"_block_ended", T_INT, offsetof(GraphObject, block_ended), READONLY,
     "Whether it ended with the block of a with statement."},
    {"_inference", T_INT, offsetof(GraphObject, inference), 0,
     "Whether nothing is differentiated in it, nor in those that take its place."},
    {"_versioned", T_INT, offsetof(GraphObject, versioned), 0,
     "Whether what is recorded after a parameter has changed means the new numbers, and what was\n"
     "recorded before is refused. If not, a parameter has the numbers with which it was read."},
    {0},
};

static PyObject *
graph_make(PyTypeObject *type, PyObject *args, PyObject *named)
{
    (void)type;
    (void)args;
    (void)named;
    return ab_error("instance", NULL, PyUnicode_FromString("Graph"));
}

static PyType_Slot graph_slots[] = {
    {Py_tp_new, graph_make},
    {Py_tp_doc, "Graph()\n--\n\n"
                "A graph: what one thread has recorded since ``new_graph()``.\n\n"
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
    {Py_tp_members, graph_members},
    {Py_sq_length, graph_len},
    {0, NULL},
};

PyType_Spec ab_graph_spec = {
    .name = "autobatch.Graph",
    .basicsize = sizeof(GraphObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = graph_slots,
};
