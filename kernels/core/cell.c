/* Cells: functions that are traced once, then recorded without running Python.
 *
 * The first call with operands of given types runs the function in a graph of its own, without
 * sharing, on stand-ins for the operands; the nodes it records there are the trace. A later
 * call adds the same nodes to the present graph, one after the other: no function is called,
 * no form is looked up and no handle is made for what stays inside.
 *
 * Lenient cells are for functions that take numbers, and arguments by name, too: these are part
 * of what a trace is found by. Whatever else cannot be traced is left to the function. */
#include "core.h"

#ifndef Py_LIMITED_API /* without it cells are their functions, see recording.py */

#include "structmember.h"

#include <stdlib.h>
#include <string.h>

enum {
    MOST = 64,   /* operands of a cell, and numbers */
    FEW = 64,    /* traces of a lenient cell: numbers that always differ are not worth one */
    MANY = 1024, /* traces of others */
};

/* One node of a trace. Operands and the node itself are numbered: the cell's operands first. */
typedef struct step {
    int32_t form;
    int32_t nin;
    int32_t ndata;
    uint32_t constant; /* the flag of a constant, if it is one */
    const int32_t *operands;
    const int64_t *data;
    const ab_draw *draw; /* of a placeholder that waits for random numbers */
} step;

typedef struct ab_trace {
    struct ab_trace *next;
    int32_t nargs, nkey, itemsize;
    int64_t *key; /* see arguments */
    int untraced; /* it cannot be traced: the function is called */
    int32_t nsteps, nouts, most;
    step *steps;
    int32_t *operands;
    int64_t *data;
    ab_draw *draws;
    int32_t *outs;
    PyTypeObject *result; /* a tuple's or list's type; NULL: one expression */
    PyObject *names;      /* of arguments by name, whose addresses are in the key; NULL: none */
} trace;

static void
trace_free(trace *t)
{
    if (!t)
        return;
    free(t->key);
    free(t->steps);
    free(t->operands);
    free(t->data);
    free(t->draws);
    free(t->outs);
    Py_XDECREF(t->result);
    Py_XDECREF(t->names);
    free(t);
}

/* What a call was given: the nodes of expressions and parameters, in tuples and lists, too; and
 * the words that its trace is found by. */
typedef struct arguments {
    int nargs, nkey;
    int32_t ids[MOST];
    int64_t key[2 * MOST];
} arguments;

enum { NO_OPERAND = -1, FAILED = -2 };
enum { TYPE = 0, TUPLE, LIST, NONE, INT, FLOAT, NAME, KINDS };

static inline int
word(arguments *a, int kind, int64_t what)
{
    if (a->nkey == 2 * MOST)
        return NO_OPERAND;
    a->key[a->nkey++] = (int64_t)((uint64_t)what * KINDS + (uint64_t)kind);
    return 0;
}

static int
number(arguments *a, PyObject *item)
{
    int overflow = 0, error;
    if (item == Py_None)
        return word(a, NONE, 0);
    if (PyLong_CheckExact(item) || PyBool_Check(item)) {
        int64_t value = PyLong_AsLongLongAndOverflow(item, &overflow);
        error = overflow ? NO_OPERAND : word(a, INT, PyBool_Check(item));
        return error || a->nkey == 2 * MOST ? NO_OPERAND : (a->key[a->nkey++] = value, 0);
    }
    if (!PyFloat_Check(item) || word(a, FLOAT, 0) || a->nkey == 2 * MOST)
        return NO_OPERAND;
    double value = PyFloat_AsDouble(item);
    memcpy(&a->key[a->nkey++], &value, sizeof value);
    return 0;
}

static int
flatten(CellObject *cell, GraphObject *g, PyObject *const *args, Py_ssize_t n, arguments *a)
{
    int error = 0;
    for (Py_ssize_t i = 0; i < n && !error; i++) {
        PyObject *item = args[i];
        if (ab_is_expression(item) || ab_is_param(item)
            || PyObject_TypeCheck(item, core.holder_type)) {
            if (a->nargs == MOST)
                return NO_OPERAND;
            int32_t id = ab_record_operand(g, (PyObject *)cell, item);
            if (id < 0)
                return FAILED;
            a->ids[a->nargs++] = id;
            const ab_node *d = &g->graph->nodes[id];
            error = word(a, TYPE, 2 * (int64_t)d->type + (d->flags & AB_NODE_WEIGHT));
        } else if (PyTuple_Check(item)) {
            error = word(a, TUPLE, Py_SIZE(item));
            if (!error)
                error = flatten(cell, g, ((PyTupleObject *)item)->ob_item, Py_SIZE(item), a);
        } else if (PyList_Check(item)) {
            error = word(a, LIST, Py_SIZE(item));
            if (!error)
                error = flatten(cell, g, ((PyListObject *)item)->ob_item, Py_SIZE(item), a);
        } else {
            error = cell->lenient ? number(a, item) : NO_OPERAND;
        }
    }
    return error;
}

/* All arguments of a call; the last ones have names. */
static int
flatten_call(CellObject *cell, GraphObject *g, PyObject *const *args, Py_ssize_t n, PyObject *names,
             arguments *a)
{
    Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
    if (named && !cell->lenient)
        return NO_OPERAND;
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        /* The same name is the same object, as long as the trace keeps it. */
        if (!PyUnicode_CHECK_INTERNED(name) || word(a, NAME, (int64_t)(intptr_t)name))
            return NO_OPERAND;
    }
    return flatten(cell, g, args, n + named, a);
}

/* The arguments again, with stand-ins in place of the operands. */
static PyObject *
rebuilt(PyObject *const *args, Py_ssize_t n, PyObject *const *standins, int *next)
{
    PyObject *all = PyTuple_New(n);
    for (Py_ssize_t i = 0; all && i < n; i++) {
        PyObject *item = args[i], *made;
        if (PyTuple_Check(item) || PyList_Check(item)) {
            PyObject *const *items = PyTuple_Check(item) ? ((PyTupleObject *)item)->ob_item
                                                         : ((PyListObject *)item)->ob_item;
            PyObject *parts = rebuilt(items, Py_SIZE(item), standins, next);
            PyTypeObject *type = Py_TYPE(item);
            if (!parts || PyTuple_CheckExact(item)) {
                made = parts;
            } else { /* a named tuple, or a list */
                if (PyTuple_Check(item)) {
                    made = type->tp_alloc(type, Py_SIZE(item));
                    for (Py_ssize_t j = 0; made && j < Py_SIZE(item); j++)
                        PyTuple_SET_ITEM(made, j, Py_NewRef(PyTuple_GET_ITEM(parts, j)));
                } else {
                    made = PySequence_List(parts);
                }
                Py_DECREF(parts);
            }
        } else if (ab_is_expression(item) || ab_is_param(item)
                   || PyObject_TypeCheck(item, core.holder_type)) {
            made = Py_NewRef(standins[(*next)++]);
        } else {
            made = Py_NewRef(item);
        }
        if (!made)
            Py_CLEAR(all);
        else
            PyTuple_SET_ITEM(all, i, made);
    }
    return all;
}

static int32_t
standin_form(ab_graph *m, const ab_type *type)
{
    int64_t words[1 + 16];
    if (type->ndim > 16) {
        PyErr_SetString(PyExc_ValueError, "a cell's operands have at most 16 axes");
        return -1;
    }
    words[0] = type->batch;
    memcpy(words + 1, type->dims, (size_t)type->ndim * sizeof *words);
    return ab_find_form(core.placeholder, m, 0, NULL, 1 + type->ndim, words, NULL);
}

/* Copies the nodes of a trace's graph. */
static int
read_steps(trace *t, const ab_graph *m, PyObject *cell)
{
    int64_t words = 0;
    int32_t drawn = 0;
    for (int32_t i = t->nargs; i < m->n; i++) {
        const ab_node *d = &m->nodes[i];
        const ab_form *f = ab_form_get(&core.registry, d->form);
        if (drawn < m->draws_n && m->draws[drawn].node == i) {
            drawn++; /* replayed without its zeros */
            continue;
        }
        if (f->flags & AB_FORM_PARAMETER && !((CellObject *)cell)->lenient) {
            ab_error("cell parameter", cell, NULL);
            return -1;
        }
        t->untraced |= (f->flags & (AB_FORM_RANDOM | AB_FORM_PARAMETER)) != 0;
        words += d->ndata;
        t->most = d->nin > t->most ? d->nin : t->most;
    }
    t->nsteps = m->n - t->nargs;
    t->steps = calloc((size_t)t->nsteps + 1, sizeof *t->steps);
    t->operands = malloc(((size_t)m->noperands + 1) * sizeof *t->operands);
    t->data = malloc(((size_t)words + 1) * sizeof *t->data);
    t->draws = malloc(((size_t)m->draws_n + 1) * sizeof *t->draws);
    if (!t->steps || !t->operands || !t->data || !t->draws) {
        PyErr_NoMemory();
        return -1;
    }
    if (m->noperands)
        memcpy(t->operands, m->operands, (size_t)m->noperands * sizeof *t->operands);
    if (m->draws_n)
        memcpy(t->draws, m->draws, (size_t)m->draws_n * sizeof *t->draws);
    words = 0;
    drawn = 0;
    for (int32_t i = 0; i < t->nsteps; i++) {
        const ab_node *d = &m->nodes[t->nargs + i];
        if (drawn < m->draws_n && t->draws[drawn].node == t->nargs + i) {
            t->steps[i] = (step){.form = d->form, .draw = &t->draws[drawn++]};
            continue;
        }
        int source = ab_form_get(&core.registry, d->form)->flags & AB_FORM_SOURCE;
        if (d->ndata)
            memcpy(t->data + words, d->data, (size_t)d->ndata * sizeof *t->data);
        t->steps[i] = (step){.form = d->form,
                             .nin = d->nin,
                             .ndata = d->ndata,
                             .constant = source ? d->flags & AB_NODE_CONSTANT : 0,
                             .operands = t->operands + d->first,
                             .data = t->data + words};
        words += d->ndata;
    }
    return 0;
}

static int
read_result(trace *t, const GraphObject *g, PyObject *result, PyObject *cell)
{
    PyObject *const *items = &result;
    Py_ssize_t n = 1;
    if (PyTuple_Check(result) || PyList_CheckExact(result)) {
        t->result = Py_TYPE(result);
        Py_INCREF(t->result);
        n = Py_SIZE(result);
        items = PyTuple_Check(result) ? ((PyTupleObject *)result)->ob_item
                                      : ((PyListObject *)result)->ob_item;
        /* A tuple of another layout than tuple's (none is known) could not be made here. */
        t->untraced |=
            t->result->tp_basicsize != PyTuple_Type.tp_basicsize && !PyList_Check(result);
    }
    t->nouts = (int32_t)n;
    if (!(t->outs = malloc(((size_t)n + 1) * sizeof *t->outs))) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (!ab_is_expression(items[i]) || ((ExpressionObject *)items[i])->graph != g) {
            t->untraced = 1;
            if (((CellObject *)cell)->lenient)
                return 0;
            ab_error("cell result", cell, Py_NewRef((PyObject *)Py_TYPE(items[i])));
            return -1;
        }
        t->outs[i] = ((ExpressionObject *)items[i])->node;
    }
    return 0;
}

/* Runs the function on stand-ins of the operands' types. */
static trace *
trace_new(CellObject *cell, const GraphObject *like, const arguments *a, PyObject *const *args,
          Py_ssize_t n, PyObject *names)
{
    const int nargs = a->nargs;
    trace *t = calloc(1, sizeof *t);
    GraphObject *g = t ? ab_graph_apart(like) : NULL;
    PyObject *standins[MOST] = {0}, *again = NULL, *result = NULL;
    int ok = 0, next = 0;
    if (!t) {
        PyErr_NoMemory();
        return NULL;
    }
    if (!g)
        goto done;
    t->nargs = nargs;
    t->nkey = a->nkey;
    t->itemsize = like->graph->itemsize;
    t->names = Py_XNewRef(names);
    if (!(t->key = malloc(((size_t)a->nkey + 1) * sizeof *t->key))) {
        PyErr_NoMemory();
        goto done;
    }
    memcpy(t->key, a->key, (size_t)a->nkey * sizeof *t->key);
    for (int32_t i = 0; i < nargs; i++) {
        const ab_node *d = &like->graph->nodes[a->ids[i]];
        int32_t form = standin_form(g->graph, ab_type_get(&core.registry, d->type));
        if (form < 0)
            goto done;
        int32_t id = ab_graph_add(g->graph, form, 0, NULL, 0, NULL, false);
        if (id < 0 || !(standins[i] = ab_expression_new(g, id))) {
            if (!PyErr_Occurred())
                PyErr_NoMemory();
            goto done;
        }
        g->graph->nodes[id].flags |= d->flags & AB_NODE_WEIGHT;
    }
    if (!(again = rebuilt(args, n + (names ? PyTuple_GET_SIZE(names) : 0), standins, &next)))
        goto done;
    ab_level *level = ab_level_begin(g);
    if (!level)
        goto done;
    result =
        PyObject_Vectorcall(cell->function, ((PyTupleObject *)again)->ob_item, (size_t)n, names);
    ab_level_end(level);
    if (result)
        ok = read_steps(t, g->graph, (PyObject *)cell) == 0
             && read_result(t, g, result, (PyObject *)cell) == 0;
done:
    Py_XDECREF(result);
    Py_XDECREF(again);
    for (int32_t i = 0; i < nargs; i++)
        Py_XDECREF(standins[i]);
    if (g)
        ab_graph_discard(g);
    if (!ok) {
        trace_free(t);
        return NULL;
    }
    t->next = cell->traces;
    cell->traces = t;
    cell->count++;
    return t;
}

static trace *
trace_find(CellObject *cell, const ab_graph *m, const arguments *a)
{
    for (trace **at = &cell->traces, *t; (t = *at); at = &t->next) {
        if (t->nkey != a->nkey || t->itemsize != m->itemsize
            || memcmp(t->key, a->key, (size_t)a->nkey * sizeof *a->key))
            continue;
        *at = t->next; /* to the front: most calls repeat the last */
        t->next = cell->traces;
        cell->traces = t;
        return t;
    }
    return NULL;
}

static PyObject *
replay(CellObject *cell, GraphObject *g, const trace *t, const int32_t *ids)
{
    enum { LOCALS = 256, OPERANDS = 32 };
    ab_graph *m = g->graph;
    int32_t local_stack[LOCALS], operand_stack[OPERANDS];
    int32_t *local = local_stack, *operands = operand_stack;
    PyObject *result = NULL;
    if (t->nargs + t->nsteps > LOCALS)
        local = malloc((size_t)(t->nargs + t->nsteps) * sizeof *local);
    if (t->most > OPERANDS)
        operands = malloc((size_t)t->most * sizeof *operands);
    if (!local || !operands) {
        PyErr_NoMemory();
        goto done;
    }
    memcpy(local, ids, (size_t)t->nargs * sizeof *local);
    int32_t *next = local + t->nargs;
    for (const step *s = t->steps, *end = s + t->nsteps; s < end; s++, next++) {
        for (int32_t j = 0; j < s->nin; j++)
            operands[j] = local[s->operands[j]];
        *next = s->draw ? ab_graph_add_draw(m, s->form, s->draw)
                        : ab_graph_add(m, s->form, s->nin, operands, s->ndata, s->data, true);
        if (*next < 0) {
            ab_record_failed(*next, (PyObject *)cell);
            goto done;
        }
        if (s->constant)
            m->nodes[*next].flags |= s->constant;
    }
    if (!t->result) {
        result = ab_expression_new(g, local[t->outs[0]]);
        goto done;
    }
    int list = t->result == &PyList_Type;
    result = list ? PyList_New(t->nouts) : t->result->tp_alloc(t->result, t->nouts);
    for (int32_t i = 0; result && i < t->nouts; i++) {
        PyObject *out = ab_expression_new(g, local[t->outs[i]]);
        if (!out)
            Py_CLEAR(result);
        else if (list)
            PyList_SET_ITEM(result, i, out);
        else
            PyTuple_SET_ITEM(result, i, out);
    }
done:
    if (local != local_stack)
        free(local);
    if (operands != operand_stack)
        free(operands);
    return result;
}

static PyObject *
cell_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    CellObject *cell = (CellObject *)self;
    Py_ssize_t n = PyVectorcall_NARGS(nargsf);
    if (!cell->function) {
        PyErr_SetString(PyExc_RuntimeError, "this cell was never initialised");
        return NULL;
    }
    arguments a;
    a.nargs = a.nkey = 0;
    GraphObject *g = cell->lenient ? ab_recording_columns() : ab_recording();
    if (!g)
        return NULL;
    int error = flatten_call(cell, g, args, n, names, &a);
    if (error == FAILED)
        return NULL;
    if (error)
        return cell->lenient ? PyObject_Vectorcall(cell->function, args, nargsf, names)
                             : ab_error("cell operand", self, NULL);
    trace *t = trace_find(cell, g->graph, &a);
    if (!t && cell->count >= (cell->lenient ? FEW : MANY))
        return PyObject_Vectorcall(cell->function, args, nargsf, names);
    if (!t) {
        ab_pin pin = ab_pin_graph();
        t = trace_new(cell, g, &a, args, n, names);
        if (ab_unpin_graph(&pin, self) < 0)
            return NULL;
    }
    if (!t) {
        if (!cell->lenient || !PyErr_ExceptionMatches(PyExc_Exception))
            return NULL;
        PyErr_Clear(); /* it may have asked for a value; else the function says the same again */
    }
    if (!t || t->untraced)
        return PyObject_Vectorcall(cell->function, args, nargsf, names);
    return replay(cell, g, t, a.ids);
}

static int
cell_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"function", "lenient", NULL};
    CellObject *cell = (CellObject *)self;
    PyObject *function;
    int lenient = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|p", names, &function, &lenient))
        return -1;
    if (cell->function) {
        PyErr_SetString(PyExc_RuntimeError, "a cell is initialised only once");
        return -1;
    }
    if (!PyCallable_Check(function)) {
        PyErr_SetString(PyExc_TypeError, "cell: expected a function");
        return -1;
    }
    cell->function = Py_NewRef(function);
    cell->vectorcall = cell_vectorcall;
    cell->lenient = lenient;
    return 0;
}

static int
cell_traverse(PyObject *self, visitproc visit, void *arg)
{
    CellObject *cell = (CellObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(cell->function);
    Py_VISIT(cell->dict);
    return 0;
}

static int
cell_clear(PyObject *self)
{
    CellObject *cell = (CellObject *)self;
    Py_CLEAR(cell->function);
    Py_CLEAR(cell->dict);
    return 0;
}

static void
cell_dealloc(PyObject *self)
{
    CellObject *cell = (CellObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    cell_clear(self);
    for (trace *t = cell->traces, *next; t; t = next) {
        next = t->next;
        trace_free(t);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

/* As a method: bound to its object, which then has to be an operand itself. */
static PyObject *
cell_get(PyObject *self, PyObject *object, PyObject *type)
{
    (void)type;
    return object && object != Py_None ? PyMethod_New(self, object) : Py_NewRef(self);
}

static PyObject *
cell_traces(PyObject *self, void *closure)
{
    (void)closure;
    long count = 0;
    for (const trace *t = ((CellObject *)self)->traces; t; t = t->next)
        count += !t->untraced;
    return PyLong_FromLong(count);
}

static PyMemberDef cell_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(CellObject, vectorcall), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(CellObject, dict), READONLY, NULL},
    {0},
};

static PyGetSetDef cell_getset[] = {
    {"traces", cell_traces, NULL, "How many traces there are: one for each types of operands.",
     NULL},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {0},
};

static PyType_Slot cell_slots[] = {
    {Py_tp_new, PyType_GenericNew}, {Py_tp_init, cell_init},
    {Py_tp_dealloc, cell_dealloc},  {Py_tp_traverse, cell_traverse},
    {Py_tp_clear, cell_clear},      {Py_tp_call, PyVectorcall_Call},
    {Py_tp_descr_get, cell_get},    {Py_tp_members, cell_members},
    {Py_tp_getset, cell_getset},    {0, NULL},
};

PyType_Spec ab_cell_spec = {
    .name = "autobatch._core.Cell",
    .basicsize = sizeof(CellObject),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_BASETYPE,
    .slots = cell_slots,
};

#endif
