/* Running what was recorded: the straight way from an expression to its number or to gradients.
 * Programs with small graphs ask for these so often that a detour over Python would be most of
 * what they cost. Whatever is unusual (another backend, a run that takes long, an error) goes to
 * the functions of autobatch/engine.py, which this file only ever overtakes. */
#include "core.h"

#include <stdlib.h>
#include <time.h>

static uint64_t generation = 1; /* of the settings; changed under the interpreter lock */
static _Thread_local ab_settings settings;

const ab_settings *
ab_settings_now(void)
{
    if (settings.generation == generation)
        return &settings;
    PyObject *tuple = PyObject_CallNoArgs(core.on_settings);
    if (!tuple)
        return NULL;
    ab_settings s = {.generation = generation};
    const char *isa;
    Py_ssize_t limit;
    int ok = PyArg_ParseTuple(tuple, "iiniiizi", &s.itemsize, &s.sharing, &limit, &s.strategy,
                              &s.threads, &s.backend, &isa, &s.profile);
    s.limit = (size_t)limit;
    if (ok && core.engine)
        for (int i = 0; i < 2; i++)
            s.table[i] = core.engine->table_select(isa, i ? 8 : 4);
    Py_DECREF(tuple);
    if (!ok)
        return NULL;
    settings = s;
    return &settings;
}

PyObject *
ab_settings_changed(PyObject *module, PyObject *none)
{
    (void)module;
    (void)none;
    generation++;
    Py_RETURN_NONE;
}

/* Seconds by phase, under profile=True; changed under the interpreter lock. */
double ab_spent[AB_PHASES];
_Thread_local double ab_recording_since;

double
ab_clock(const ab_settings *s)
{
    struct timespec t = {0};
    if (s->profile)
        clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Counts a phase that has ended. What is recorded next is counted from there. */
void
ab_spend(int phase, double begin, double end)
{
    ab_spent[phase] += end - begin;
    if (ab_recording_since)
        ab_recording_since = end;
}

/* A run begins: recording, until the next graph or the end of the run, is over. */
static void
end_recording(double begin)
{
    if (ab_recording_since && begin)
        ab_spent[AB_RECORD] += begin - ab_recording_since;
}

/* phase(ends): a phase that Python counts begins with a run (False) or has ended (True). */
PyObject *
ab_phase(PyObject *module, PyObject *ends)
{
    (void)module;
    const ab_settings *s = ab_settings_now();
    if (!s)
        return NULL;
    double at = ab_clock(s);
    if (ends != Py_True)
        end_recording(at);
    if (ab_recording_since)
        ab_recording_since = at;
    Py_RETURN_NONE;
}

/* timings(begin anew): seconds by phase. */
PyObject *
ab_timings(PyObject *module, PyObject *anew)
{
    (void)module;
    int clear = PyObject_IsTrue(anew);
    if (clear < 0)
        return NULL;
    PyObject *result =
        Py_BuildValue("ddddd", ab_spent[AB_RECORD], ab_spent[AB_SCHEDULE], ab_spent[AB_FORWARD],
                      ab_spent[AB_BACKWARD], ab_spent[AB_UPDATE]);
    for (int i = 0; clear && i < AB_PHASES; i++)
        ab_spent[i] = 0;
    return result;
}

/* Whether nothing is differentiated where this thread records. */
static int
in_inference(void)
{
    const GraphObject *g = ab_graph_present();
    return g && g->inference;
}

PyObject *
ab_in_inference(PyObject *module, PyObject *none)
{
    (void)module;
    (void)none;
    return PyBool_FromLong(in_inference());
}

/* set_engine(address of ab_engine_functions, value, item, backward, resume, zeros, ndarray, integer,
 * float32, float64) */
PyObject *
ab_set_engine(PyObject *module, PyObject *args)
{
    (void)module;
    unsigned long long address;
    PyObject *value, *item, *backward, *resume, *zeros, *ndarray, *integer, *span, *f4, *f8;
    if (!PyArg_ParseTuple(args, "KOOOOOOOOOO", &address, &value, &item, &backward, &resume, &zeros,
                          &ndarray, &integer, &span, &f4, &f8))
        return NULL;
    PyObject *kept =
        PyTuple_Pack(10, value, item, backward, resume, zeros, ndarray, integer, span, f4, f8);
    if (!kept)
        return NULL;
    Py_XDECREF(core.running);
    core.running = kept;
    core.on_value = value;
    core.on_item = item;
    core.on_backward = backward;
    core.on_resume = resume;
    core.on_zeros = zeros;
    core.ndarray = ndarray;
    core.integer = integer;
    core.span = span;
    core.dtype[0] = f4;
    core.dtype[1] = f8;
    core.engine = (const ab_engine_functions *)(uintptr_t)address;
    generation++;
    Py_RETURN_NONE;
}

/* Where a node's value lies once it is computed; NULL: not the straight way, or an exception. */
static const char *
evaluate(ExpressionObject *e, const ab_settings **now)
{
    GraphObject *g = e->graph;
    ab_graph *m = g->graph;
    if (!core.engine || !ab_graph_is_alive(g) || g->apart
        || g->thread != PyThread_get_thread_ident())
        return NULL;
    const ab_settings *s = *now = ab_settings_now();
    if (!s || s->backend != AB_BACKEND_CPU || (g->backend >= 0 && g->backend != s->backend))
        return NULL;
    ab_draw_until(m, e->node);
    const char *at = ab_value_address(m, e->node);
    m->asked = e->node > m->asked ? e->node : m->asked;
    if (at && m->tape_done == m->tape_n)
        return ab_graph_has_changed(m) && ab_changed_in_value(m, e->node) >= 0 ? NULL : at;
    if (ab_graph_has_changed(m))
        return NULL; /* Python finds out whether it matters here */
    g->late |= g->updated;
    const ab_engine_functions *engine = core.engine;
    const ab_kernel_table *table = s->table[m->itemsize == 8];
    int32_t node = e->node, strategy = s->strategy, threads = s->threads;
    int code;
    double begin = ab_clock(s), planned;
    end_recording(begin);
    g->backend = s->backend;
    g->running++;
    Py_BEGIN_ALLOW_THREADS code =
        engine->plan(m, 1, &node, strategy) < 0 ? AB_RUN_AGAIN : AB_RUN_DONE;
    planned = ab_clock(s);
    if (code == AB_RUN_DONE)
        code = engine->forward(m, table, threads, AB_SLICE);
    Py_END_ALLOW_THREADS ab_spend(AB_SCHEDULE, begin, planned);
    g->running--;
    ab_spend(AB_FORWARD, planned, ab_clock(s));
    return code == AB_RUN_DONE ? ab_value_address(m, node) : NULL;
}

static const ab_form *
form_of(const ExpressionObject *e)
{
    return ab_form_get(&core.registry, e->graph->graph->nodes[e->node].form);
}

/* Whether its value was computed by a run, and is still the one. */
int
ab_is_computed(const ExpressionObject *e)
{
    const ab_graph *m = e->graph->graph;
    if (!m || m->tape_done != m->tape_n || !ab_value_address(m, e->node))
        return 0;
    int32_t form = m->nodes[m->nodes[e->node].root].form;
    return !(ab_form_get(&core.registry, form)->flags & AB_FORM_SOURCE);
}

PyObject *
ab_expression_computed(PyObject *self, PyObject *none)
{
    (void)none;
    return PyBool_FromLong(ab_is_computed((ExpressionObject *)self));
}

/* Calls a function of Python that does what C does not, for an expression and more arguments. What
 * ends the graph meanwhile (a handler of signals) does not end this job. */
static PyObject *
by_python(PyObject *function, ExpressionObject *e, PyObject *args, PyObject *kwargs)
{
    const Py_ssize_t n = args ? PyTuple_Size(args) : 0;
    PyObject *all = PyTuple_New(n + 1);
    if (!all)
        return NULL;
    PyTuple_SetItem(all, 0, Py_NewRef((PyObject *)e));
    for (Py_ssize_t i = 0; i < n; i++)
        PyTuple_SetItem(all, i + 1, Py_NewRef(PyTuple_GetItem(args, i)));
    const int held = ab_graph_is_alive(e->graph);
    e->graph->running += held;
    PyObject *result = PyObject_Call(function, all, kwargs);
    e->graph->running -= held;
    Py_DECREF(all);
    return result;
}

PyObject *
ab_expression_item(PyObject *self, PyObject *none)
{
    (void)none;
    ExpressionObject *e = (ExpressionObject *)self;
    const ab_settings *s;
    const char *at = evaluate(e, &s);
    if (at && form_of(e)->size * form_of(e)->batch == 1) {
        double number = e->graph->graph->itemsize == 8 ? *(const double *)at : *(const float *)at;
        return form_of(e)->flags & AB_FORM_INTEGER ? PyLong_FromDouble(number)
                                                   : PyFloat_FromDouble(number);
    }
    return PyErr_Occurred() ? NULL : by_python(core.on_item, e, NULL, NULL);
}

PyObject *
ab_expression_value(PyObject *self, PyObject *none)
{
    (void)none;
    ExpressionObject *e = (ExpressionObject *)self;
    const ab_settings *s;
    const char *at = evaluate(e, &s);
    if (at) {
        const ab_form *f = form_of(e);
        int item = e->graph->graph->itemsize;
        if (f->batch == 1 && !(f->flags & AB_FORM_INTEGER)) {
            PyObject *shape = ab_type_shape(f->type);
            PyObject *copy = PyByteArray_FromStringAndSize(at, (Py_ssize_t)(f->size * item));
            PyObject *array = copy && shape
                                  ? PyObject_CallFunctionObjArgs(core.ndarray, shape,
                                                                 core.dtype[item == 8], copy, NULL)
                                  : NULL;
            Py_XDECREF(copy);
            return array;
        }
    }
    return PyErr_Occurred() ? NULL : by_python(core.on_value, e, NULL, NULL);
}

static PyObject *
numbers_of(PyObject *self, int plain)
{
    ExpressionObject *e = (ExpressionObject *)self;
    const ab_settings *s;
    const char *at = evaluate(e, &s);
    if (!at) {
        if (PyErr_Occurred())
            return NULL;
        Py_RETURN_NONE;
    }
    const ab_form *f = form_of(e);
    if (f->flags & AB_FORM_INTEGER
        || (f->batch > 1 && e->graph->graph->nodes[e->node].stride != f->size))
        Py_RETURN_NONE;
    int wide = e->graph->graph->itemsize == 8;
    Py_ssize_t n = (Py_ssize_t)(f->size * f->batch);
    if (plain && ab_type_get(&core.registry, f->type)->ndim > 1)
        Py_RETURN_NONE;
    if (plain && n == 1)
        return PyFloat_FromDouble(wide ? *(const double *)at : *(const float *)at);
    PyObject *list = PyList_New(n);
    for (Py_ssize_t i = 0; list && i < n; i++) {
        double number = wide ? ((const double *)at)[i] : ((const float *)at)[i];
        PyObject *object = PyFloat_FromDouble(number);
        if (!object || PyList_SetItem(list, i, object) < 0)
            Py_CLEAR(list);
    }
    return list;
}

/* An array of doubles with the axes reversed and the minibatch last: the same order in memory,
 * column-major. None: not the straight way. */
static PyObject *
columns_of(ExpressionObject *e, const char *at)
{
    const ab_form *f = at ? form_of(e) : NULL;
    if (!at || f->flags & AB_FORM_INTEGER
        || (f->batch > 1 && e->graph->graph->nodes[e->node].stride != f->size))
        Py_RETURN_NONE;
    const ab_type *type = ab_type_get(&core.registry, f->type);
    const int32_t ndim = type->ndim ? type->ndim : 1;
    const int64_t one = 1, *dims = type->ndim ? type->dims : &one;
    const Py_ssize_t n = (Py_ssize_t)(f->size * f->batch);
    const int batched = f->batch != 1;
    PyObject *shape = PyTuple_New(ndim + batched);
    PyObject *copy = PyByteArray_FromStringAndSize(NULL, n * (Py_ssize_t)sizeof(double));
    PyObject *array = NULL;
    int error = !shape || !copy;
    for (int32_t i = 0; !error && i < ndim + batched; i++) {
        PyObject *dim = PyLong_FromLongLong(i < ndim ? dims[ndim - 1 - i] : f->batch);
        error = !dim || PyTuple_SetItem(shape, i, dim) < 0;
    }
    if (!error) {
        double *to = (double *)(void *)PyByteArray_AsString(copy);
        for (Py_ssize_t i = 0; i < n; i++)
            to[i] =
                e->graph->graph->itemsize == 8 ? ((const double *)at)[i] : ((const float *)at)[i];
        array = PyObject_CallFunction(core.ndarray, "OOOiOs", shape, core.dtype[1], copy, 0,
                                      Py_None, "F");
    }
    Py_XDECREF(shape);
    Py_XDECREF(copy);
    return array;
}

PyObject *
ab_expression_columns(PyObject *self)
{
    ExpressionObject *e = (ExpressionObject *)self;
    const ab_settings *s;
    const char *at = evaluate(e, &s);
    return PyErr_Occurred() ? NULL : columns_of(e, at);
}

/* The gradient, laid out alike; None: there may be none, or another backend has it. */
PyObject *
ab_expression_gradient_columns(PyObject *self, PyObject *none)
{
    (void)none;
    ExpressionObject *e = (ExpressionObject *)self;
    const ab_graph *m = e->graph->graph;
    const int here = ab_graph_is_alive(e->graph) && e->graph->backend == AB_BACKEND_CPU
                     && e->graph->thread == PyThread_get_thread_ident();
    return columns_of(e, here && e->node < m->grad_n ? m->grad[e->node] : NULL);
}

PyObject *
ab_expression_run(PyObject *self)
{
    const ab_settings *s;
    const char *at = evaluate((ExpressionObject *)self, &s);
    return PyErr_Occurred() ? NULL : PyBool_FromLong(at != NULL);
}

/* The numbers of a value in memory order, as a list of floats; None: not the straight way. */
PyObject *
ab_expression_numbers(PyObject *self, PyObject *none)
{
    (void)none;
    return numbers_of(self, 0);
}

/* As that, but a single number by itself, and None for more than one axis. */
PyObject *
ab_expression_plain(PyObject *self, PyObject *none)
{
    (void)none;
    return numbers_of(self, 1);
}

/* Where gradients end before they reach a parameter, of a node and all before it: inputs, and what
 * lets no gradient through. *n: receives their count. NULL: no memory. */
static int32_t *
ends_before(const ab_graph *m, int32_t node, int32_t *n)
{
    int32_t *found = malloc(((size_t)node + 1) * sizeof *found);
    *n = 0;
    for (int32_t i = 0; found && i <= node; i++) {
        const ab_form *f = ab_form_get(&core.registry, m->nodes[i].form);
        if (f->nin ? f->flags & AB_FORM_NO_GRADIENT : !(f->flags & AB_FORM_PARAMETER))
            found[(*n)++] = i;
    }
    return found;
}

/* _ends(node): these as a list. */
PyObject *
ab_graph_ends(PyObject *self, PyObject *number)
{
    const ab_graph *m = ((GraphObject *)self)->graph;
    const long node = PyLong_AsLong(number);
    int32_t n;
    if (node == -1 && PyErr_Occurred())
        return NULL;
    if (!m || node < 0 || node >= m->n)
        return PyErr_Format(PyExc_IndexError, "there is no node %R", number);
    int32_t *found = ends_before(m, (int32_t)node, &n);
    PyObject *list = found ? PyList_New(n) : PyErr_NoMemory();
    for (int32_t i = 0; list && i < n; i++) {
        PyObject *item = PyLong_FromLong(found[i]);
        if (!item || PyList_SetItem(list, i, item) < 0)
            Py_CLEAR(list);
    }
    free(found);
    return list;
}

/* 1: done; 0: not the straight way; -1: an exception. ones: one number of any shape will do. full:
 * gradients of inputs are wanted, too. */
static int
differentiate(ExpressionObject *e, int ones, int full)
{
    const ab_settings *s;
    if (in_inference() || !evaluate(e, &s))
        return PyErr_Occurred() ? -1 : 0;
    if (ab_graph_has_changed(e->graph->graph))
        return 0; /* Python finds out whether it matters here */
    const ab_form *f = form_of(e);
    if (f->batch * f->size != 1 || (!ones && ab_type_get(&core.registry, f->type)->ndim))
        return 0;
    ab_graph *m = e->graph->graph;
    int32_t nwrt = 0, *wrt = full ? ends_before(m, e->node, &nwrt) : NULL;
    if (full && !wrt) {
        PyErr_NoMemory();
        return -1;
    }
    e->graph->running++;
    if (ab_turn_take() < 0) { /* gradients of parameters are summed by one pass at a time */
        e->graph->running--;
        free(wrt);
        return -1;
    }
    ab_turn_pass();
    const ab_engine_functions *engine = core.engine;
    const ab_kernel_table *table = s->table[m->itemsize == 8];
    int32_t node = e->node;
    int threads = s->threads, code;
    e->graph->late |= e->graph->updated;
    double begin = ab_clock(s);
    e->graph->backend = s->backend;
    Py_BEGIN_ALLOW_THREADS code = engine->backward_begin(m, 1, &node, nwrt, wrt);
    if (code == AB_OK)
        code = engine->backward_run(m, table, threads, AB_SLICE);
    Py_END_ALLOW_THREADS ab_spend(AB_BACKWARD, begin, ab_clock(s));
    PyObject *rest = Py_None;
    if (code != AB_RUN_DONE) /* Python finishes the pass, or says what is wrong */
        rest = PyObject_CallFunction(core.on_resume, "Oi", (PyObject *)e->graph, code);
    else
        Py_INCREF(rest);
    ab_turn_give();
    e->graph->running--;
    free(wrt);
    Py_XDECREF(rest);
    return rest ? 1 : -1;
}

/* Says that a parameter's numbers are no longer those of a node of it. */
static PyObject *
changed(GraphObject *g, int32_t node)
{
    const ab_param *param = (const ab_param *)(intptr_t)g->graph->nodes[node].data[0];
    PyObject *found = Py_None;
    for (Py_ssize_t i = 0; g->parameters && i < PyList_Size(g->parameters); i++) {
        PyObject *one = PyList_GetItem(g->parameters, i);
        if (((ParamObject *)one)->param == param)
            found = one;
    }
    return ab_error("changed", NULL, Py_NewRef(found));
}

PyObject *
ab_graph_check_run(PyObject *self, PyObject *args)
{
    GraphObject *g = (GraphObject *)self;
    long long first;
    PyObject *nodes;
    if (!PyArg_ParseTuple(args, "LO!", &first, &PyList_Type, &nodes))
        return NULL;
    if (!g->graph || !ab_graph_has_changed(g->graph))
        Py_RETURN_NONE;
    int32_t found = ab_changed_in_tape(g->graph, first);
    for (Py_ssize_t i = 0; found < 0 && i < PyList_Size(nodes); i++) {
        const long node = PyLong_AsLong(PyList_GetItem(nodes, i));
        if (node < 0 || node >= g->graph->n)
            return PyErr_Format(PyExc_IndexError, "there is no node %ld", node);
        found = ab_changed_in_value(g->graph, (int32_t)node);
    }
    if (found >= 0)
        return changed(g, found);
    Py_RETURN_NONE;
}

PyObject *
ab_graph_check_pass(PyObject *self, PyObject *number)
{
    GraphObject *g = (GraphObject *)self;
    const long node = PyLong_AsLong(number);
    if (!g->graph || node < 0 || node >= g->graph->n)
        return PyErr_Format(PyExc_IndexError, "there is no node %R", number);
    if (!ab_graph_has_changed(g->graph))
        Py_RETURN_NONE;
    int32_t found;
    if (ab_changed_before(g->graph, (int32_t)node, &found) < 0)
        return PyErr_NoMemory();
    if (found >= 0)
        return changed(g, found);
    Py_RETURN_NONE;
}

PyObject *
ab_expression_backward(PyObject *self, PyObject *args, PyObject *kwargs)
{
    if (!PyTuple_Size(args) && (!kwargs || !PyDict_Size(kwargs))) {
        int done = differentiate((ExpressionObject *)self, 0, 0);
        if (done < 0)
            return NULL;
        if (done)
            Py_RETURN_NONE;
    }
    return by_python(core.on_backward, (ExpressionObject *)self, args, kwargs);
}

/* Whether a pass has run from this one number, whatever its shape. */
PyObject *
ab_expression_differentiate(PyObject *self, PyObject *none)
{
    (void)none;
    int done = differentiate((ExpressionObject *)self, 1, 0);
    return done < 0 ? NULL : PyBool_FromLong(done);
}

PyObject *
ab_expression_differentiate_full(PyObject *self, PyObject *none)
{
    (void)none;
    int done = differentiate((ExpressionObject *)self, 1, 1);
    return done < 0 ? NULL : PyBool_FromLong(done);
}
