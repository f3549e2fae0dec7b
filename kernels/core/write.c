/* Changes to what a graph was recorded with: other numbers for a placeholder, other rows or entries
 * for a lookup or a pick that may be moved. All that is computed or drawn is made anew then. Programs
 * that build a graph once do so before every run. Functions answer False where the general path has
 * to see to it. */
#include "core.h"

#include <string.h>

static int redirecting; /* a program has moved a lookup or a pick, which Python knows by now */

PyObject *
ab_redirect_directly(PyObject *module, PyObject *flag)
{
    (void)module;
    const int now = PyObject_IsTrue(flag);
    if (now < 0)
        return NULL;
    redirecting = now;
    Py_RETURN_NONE;
}

static const ab_form *
form_of(const ExpressionObject *e)
{
    return ab_form_get(&core.registry, e->graph->graph->nodes[e->node].form);
}

static int
is_writable(const ExpressionObject *e)
{
    return ab_graph_is_alive(e->graph) && e->graph->thread == PyThread_get_thread_ident()
           && e->graph->backend <= AB_BACKEND_CPU;
}

static void
written(GraphObject *g)
{
    ab_graph_forget(g->graph);
    g->graph->draws_done = 0;
    if (g->updated && g->direct == DIRECT_COMPUTED)
        g->direct = DIRECT_ALL;
    g->updated = 0;
}

/* The i-th of numbers in a list or a tuple, or the only one. */
static PyObject *
item_at(PyObject *numbers, Py_ssize_t i)
{
    return PyList_CheckExact(numbers)    ? AB_LIST_ITEM(numbers, i)
           : PyTuple_CheckExact(numbers) ? AB_TUPLE_ITEM(numbers, i)
                                         : numbers;
}

/* How many there are, 1 of a number by itself; -1: it is neither a list, a tuple nor a number. */
static Py_ssize_t
count_of(PyObject *numbers)
{
    return PyList_CheckExact(numbers)                             ? AB_LIST_SIZE(numbers)
           : PyTuple_CheckExact(numbers)                          ? AB_TUPLE_SIZE(numbers)
           : PyFloat_Check(numbers) || PyLong_CheckExact(numbers) ? 1
                                                                  : -1;
}

/* Of an array. */
static int
write_array(PyObject *array, Py_ssize_t n, void *to, int wide)
{
#ifdef Py_LIMITED_API /* without it arrays are read by NumPy, in Python */
    (void)array;
    (void)n;
    (void)to;
    (void)wide;
    return 0;
#else
    Py_buffer view;
    const int64_t count = PyObject_CheckBuffer(array) ? ab_array_begin(array, &view) : -1;
    if (count < 0)
        return 0;
    if (count == n)
        ab_array_copy(&view, count, to, wide);
    PyBuffer_Release(&view);
    return count == n;
#endif
}

/* Of a list, a tuple or a number; -1: an exception. */
static int
write_numbers(PyObject *numbers, Py_ssize_t n, void *to, int wide)
{
    for (int pass = 0; pass < 2; pass++) /* all are looked at before one is written */
        for (Py_ssize_t i = 0; i < n; i++) {
            PyObject *item = item_at(numbers, i);
            if (!PyFloat_Check(item) && !PyLong_CheckExact(item))
                return 0;
            double number = PyFloat_AsDouble(item);
            if (number == -1 && PyErr_Occurred())
                return -1;
            if (pass && wide)
                ((double *)to)[i] = number;
            else if (pass)
                ((float *)to)[i] = (float)number;
        }
    return 1;
}

static PyObject *
redirect(ExpressionObject *e, PyObject *places)
{
    enum { FEW = 64 };
    const ab_node *d = &e->graph->graph->nodes[e->node];
    const ab_form *f = form_of(e);
    const Py_ssize_t n = count_of(places);
    int64_t words[FEW];
    if (!redirecting || n != d->ndata || n > FEW)
        Py_RETURN_FALSE;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *item = item_at(places, i);
        words[i] = PyLong_CheckExact(item) ? PyLong_AsLongLong(item) : -1;
        if (words[i] < 0 || words[i] >= f->index_limit) {
            PyErr_Clear();
            Py_RETURN_FALSE;
        }
    }
    memcpy((void *)(uintptr_t)d->data, words, (size_t)n * sizeof *words);
    written(e->graph);
    Py_RETURN_TRUE;
}

/* Other entries for a pick. */
PyObject *
ab_expression_redirect(PyObject *self, PyObject *places)
{
    ExpressionObject *e = (ExpressionObject *)self;
    if (!is_writable(e) || form_of(e)->op != core.pick_again->id)
        Py_RETURN_FALSE;
    return redirect(e, places);
}

/* Numbers of a list, a tuple, an array or one number, as many as are wanted; 0: they are others; -1:
 * an exception. */
static int
write_any(PyObject *numbers, Py_ssize_t n, void *to, int wide)
{
    const Py_ssize_t given = count_of(numbers);
    if (given < 0)
        return write_array(numbers, n, to, wide);
    return given == n ? write_numbers(numbers, n, to, wide) : 0;
}

/* _write_row(row, numbers): whether they were written into a row, a vector, of a table of floats. */
PyObject *
ab_param_write_row(PyObject *self, PyObject *args)
{
    ParamObject *p = (ParamObject *)self;
    Py_ssize_t row;
    PyObject *numbers;
    if (!PyArg_ParseTuple(args, "nO", &row, &numbers))
        return NULL;
    if (!p->param || !p->param->rows || PyTuple_Size(p->shape) != 2 || row < 0
        || row >= p->param->rows || p->param->itemsize != sizeof(float))
        Py_RETURN_FALSE;
    const int64_t dim = p->param->dim;
    const int done = write_any(numbers, (Py_ssize_t)dim, (float *)p->param->data + row * dim, 0);
    p->param->version += done > 0;
    return done < 0 ? NULL : PyBool_FromLong(done);
}

/* Other numbers for a placeholder, other rows for a lookup. */
PyObject *
ab_expression_write(PyObject *self, PyObject *numbers)
{
    ExpressionObject *e = (ExpressionObject *)self;
    if (!is_writable(e))
        Py_RETURN_FALSE;
    const ab_form *f = form_of(e);
    if (f->op == core.lookup_again->id)
        return redirect(e, numbers);
    if (f->op != core.placeholder->id)
        Py_RETURN_FALSE;
    const int done = write_any(numbers, (Py_ssize_t)(f->size * f->batch),
                               (void *)(uintptr_t)e->graph->graph->nodes[e->node].data,
                               e->graph->graph->itemsize == 8);
    if (done < 0)
        return NULL;
    if (!done)
        Py_RETURN_FALSE;
    written(e->graph);
    Py_RETURN_TRUE;
}
