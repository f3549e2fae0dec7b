/* Random tensors as programs of DyNet ask for them: placeholders, recorded at once, whose numbers
 * are drawn when a value is first needed, those of earlier nodes first (ab_twister_fill). */
#include "core.h"

#include <string.h>

enum { AXES = 16 }; /* of a tensor */

/* set_stream(address): the ab_twister, which stays for good. */
PyObject *
ab_set_stream(PyObject *module, PyObject *address)
{
    (void)module;
    void *stream = PyLong_AsVoidPtr(address);
    if (!stream && PyErr_Occurred())
        return NULL;
    core.stream = stream;
    Py_RETURN_NONE;
}

int
ab_read_draw(PyObject *given, ab_draw *draw)
{
    double numbers[5];
    if (!PyTuple_Check(given) || AB_TUPLE_SIZE(given) != 5) {
        PyErr_SetString(PyExc_TypeError, "expected a Draw");
        return -1;
    }
    for (int i = 0; i < 5; i++)
        numbers[i] = PyFloat_AsDouble(AB_TUPLE_ITEM(given, i));
    *draw = (ab_draw){.kind = (int32_t)numbers[0],
                      .a = numbers[1],
                      .b = numbers[2],
                      .factor = numbers[3],
                      .term = numbers[4]};
    return PyErr_Occurred() ? -1 : 0;
}

/* The placeholder. words: the size of the minibatch, then of the axes. */
static int32_t
placeholder(GraphObject *g, int32_t nwords, const int64_t *words, const ab_draw *draw)
{
    int64_t count = g->graph->itemsize;
    int32_t form, id = AB_TOO_MANY;
    for (int32_t i = 0; i < nwords; i++)
        if (__builtin_mul_overflow(count, words[i], &count))
            goto failed;
    form = ab_find_form(core.placeholder, g->graph, 0, NULL, nwords, words, NULL);
    if (form < 0)
        return -1;
    id = ab_graph_add_draw(g->graph, form, draw);
    if (id >= 0)
        return id;
failed:
    ab_record_failed(id, (PyObject *)core.placeholder);
    return -1;
}

/* A size that is a plain int; -1: it is not. */
static int64_t
size_of(PyObject *given)
{
    int overflow;
    int64_t size = PyLong_CheckExact(given) ? PyLong_AsLongLongAndOverflow(given, &overflow) : -1;
    return size < 0 ? -1 : size;
}

PyObject *
ab_drawn(PyObject *module, PyObject *const *args, Py_ssize_t n)
{
    (void)module;
    ab_draw draw;
    if (n != 3) {
        PyErr_SetString(PyExc_TypeError, "drawn(draw, dims, batch)");
        return NULL;
    }
    GraphObject *g = ab_recording_columns();
    if (!g || ab_read_draw(args[0], &draw) < 0)
        return NULL;
    PyObject *dims = args[1];
    const int tuple = PyTuple_CheckExact(dims);
    const Py_ssize_t ndim = tuple ? AB_TUPLE_SIZE(dims) : 1;
    int64_t words[1 + AXES] = {size_of(args[2])};
    if (words[0] < 0 || ndim > AXES)
        Py_RETURN_NONE;
    for (Py_ssize_t i = 0; i < ndim; i++)
        if ((words[ndim - i] = size_of(tuple ? AB_TUPLE_ITEM(dims, i) : dims)) < 0)
            Py_RETURN_NONE;
    int32_t id = placeholder(g, 1 + (int32_t)ndim, words, &draw);
    return id < 0 ? NULL : ab_expression_new(g, id);
}

PyObject *
ab_with_drawn(PyObject *module, PyObject *const *args, Py_ssize_t n)
{
    (void)module;
    enum { EACH = -1, ELEMENTS = -2, ONE = -3 };
    ab_draw draw;
    if (n != 4 || !PyObject_TypeCheck(args[0], core.op_type) || !PyLong_Check(args[3])) {
        PyErr_SetString(PyExc_TypeError, "with_drawn(op, x, draw, lines)");
        return NULL;
    }
    OpObject *op = (OpObject *)args[0];
    const long lines = PyLong_AsLong(args[3]);
    if (lines == -1 && PyErr_Occurred()) { /* too large */
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    GraphObject *g = ab_recording_columns();
    if (!g || ab_read_draw(args[2], &draw) < 0)
        return NULL;
    int32_t ids[2] = {ab_record_operand(g, args[0], args[1])};
    if (ids[0] < 0)
        return NULL;
    const ab_type *t = ab_type_get(&core.registry, g->graph->nodes[ids[0]].type);
    int64_t words[1 + AXES] = {lines == ONE ? 1 : t->batch};
    const int32_t ndim = lines == ONE || lines == ELEMENTS ? 0 : t->ndim;
    if (ndim > AXES || (lines >= 0 && lines >= ndim))
        Py_RETURN_NONE;
    memcpy(words + 1, t->dims, (size_t)ndim * sizeof *words);
    if (lines >= 0)
        words[ndim - lines] = 1;
    if ((ids[1] = placeholder(g, 1 + ndim, words, &draw)) < 0)
        return NULL;
    int32_t form = ab_find_form(op, g->graph, 2, ids, 0, NULL, NULL);
    if (form < 0)
        return NULL;
    int32_t id = ab_graph_add(g->graph, form, 2, ids, 0, NULL, false); /* it has no equal */
    if (id < 0)
        return ab_record_failed(id, args[0]);
    return ab_expression_new(g, id);
}
