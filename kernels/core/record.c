/* Recording: from operands that the user gave to a node, and back to an expression. */
#include "core.h"

#include <stdlib.h>
#include <string.h>

enum { STACK = 64 }; /* operands that need no allocation */

PyObject *
ab_error(const char *kind, PyObject *op, PyObject *detail)
{
    PyObject *result = PyObject_CallFunction(core.on_error, "sOO", kind, op ? op : Py_None,
                                             detail ? detail : Py_None);
    Py_XDECREF(detail);
    Py_XDECREF(result); /* it raises */
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_SystemError, "the error hook returned");
    return NULL;
}

PyObject *
ab_record_failed(int error, PyObject *op)
{
    const char *kind = error == AB_LIMIT ? "limit" : error == AB_TOO_MANY ? "too many" : "memory";
    return ab_error(kind, op, NULL);
}

static PyObject *
failed(int error, OpObject *op)
{
    return ab_record_failed(error, (PyObject *)op);
}

ab_pin
ab_pin_graph(void)
{
    GraphObject *g = ab_graph_present();
    Py_XINCREF(g);
    if (!g)
        return (ab_pin){0};
    return (ab_pin){.g = g, .memory = g->graph, .epoch = g->graph->epoch, .nodes = g->graph->n};
}

int
ab_unpin_graph(ab_pin *pin, PyObject *op)
{
    GraphObject *g = pin->g;
    int same = g == ab_graph_present() && (!g || g->graph == pin->memory);
    if (same && pin->nodes) /* an empty one may be begun anew */
        same = g->graph->epoch == pin->epoch;
    Py_XDECREF(g);
    if (!same && !PyErr_Occurred())
        ab_error("moved", op, NULL);
    return same ? 0 : -1;
}

/* The node of an operand in the current graph, or -1 with an exception set. */
static int32_t
operand_slow(PyObject *op, GraphObject *g, PyObject *object)
{
    if (PyObject_TypeCheck(object, core.holder_type) && ((HolderObject *)object)->stored) {
        if (g->type != core.column_type && !g->apart && !ab_recording_columns())
            return -1;
        object = ((HolderObject *)object)->stored;
    }
    if (ab_is_param(object))
        return ab_record_parameter(g, (ParamObject *)object);
    if (ab_is_expression(object)) {
        GraphObject *other = ((ExpressionObject *)object)->graph;
        if (other == g)
            return ((ExpressionObject *)object)->node;
        if (!ab_graph_is_alive(other))
            ab_error("stale", op, Py_NewRef((PyObject *)other));
        else
            ab_error("foreign", op, PyBool_FromLong(other->thread == g->thread));
        return -1;
    }
    if (PyFloat_Check(object) || PyLong_CheckExact(object)) {
        double value = PyFloat_AsDouble(object);
        if (value == -1 && PyErr_Occurred()) { /* a long too large, which Python refuses better */
            PyErr_Clear();
            Py_XDECREF(PyObject_CallFunction(core.on_operand, "OO", op, object));
            return -1;
        }
        int64_t word = 0;
        if (g->graph->itemsize == 4) {
            float narrow = (float)value;
            memcpy(&word, &narrow, sizeof narrow);
        } else {
            memcpy(&word, &value, sizeof value);
        }
        static int32_t form = -1; /* a scalar input */
        if (form < 0) {
            ab_pin pin = ab_pin_graph();
            PyObject *scalar = PyObject_CallFunction(core.on_operand, "OO", op, object);
            if (ab_unpin_graph(&pin, op) < 0 || !scalar) {
                Py_XDECREF(scalar);
                return -1;
            }
            int32_t first = ((ExpressionObject *)scalar)->node;
            form = g->graph->nodes[first].form;
            g->graph->nodes[first].flags |= AB_NODE_CONSTANT;
            Py_DECREF(scalar);
            return first;
        }
        int32_t id = ab_graph_add(g->graph, form, 0, NULL, 1, &word, true);
        if (id < 0)
            ab_record_failed(id, op);
        else
            g->graph->nodes[id].flags |= AB_NODE_CONSTANT;
        return id;
    }
    ab_pin pin = ab_pin_graph();
    PyObject *made = PyObject_CallFunction(core.on_operand, "OO", op, object);
    int32_t id = ab_unpin_graph(&pin, op);
    if (made && !id)
        id = ((ExpressionObject *)made)->node;
    Py_XDECREF(made);
    return made ? id : -1;
}

static inline int32_t
operand(PyObject *op, GraphObject *g, PyObject *object)
{
    if (ab_is_expression(object) && ((ExpressionObject *)object)->graph == g)
        return ((ExpressionObject *)object)->node;
    if (ab_is_param(object) && ab_param_is_recorded((ParamObject *)object, g))
        return ((ParamObject *)object)->node;
    return operand_slow(op, g, object);
}

int32_t
ab_record_operand(GraphObject *g, PyObject *op, PyObject *object)
{
    return operand(op, g, object);
}

static inline PyObject *
add_expected(OpObject *op, GraphObject *g, uint32_t expected, int32_t form, int32_t nin,
             const int32_t *operands, int32_t ndata, const int64_t *data)
{
    int32_t id = ab_graph_add_expected(g->graph, expected, form, nin, operands, ndata, data);
    return id < 0 ? failed(id, op) : ab_expression_new(g, id);
}

static inline PyObject *
add(OpObject *op, GraphObject *g, int32_t form, int32_t nin, const int32_t *operands, int32_t ndata,
    const int64_t *data)
{
    int32_t id = ab_graph_add(g->graph, form, nin, operands, ndata, data, true);
    return id < 0 ? failed(id, op) : ab_expression_new(g, id);
}

static PyObject *
wrong_count(OpObject *op, Py_ssize_t n)
{
    return ab_error("count", (PyObject *)op, PyLong_FromSsize_t(n));
}

PyObject *
ab_record_operands(OpObject *op, PyObject *const *args, Py_ssize_t n)
{
    GraphObject *g = ab_recording();
    if (!g)
        return NULL;
    if (op->variadic ? n < op->nin : n != op->nin)
        return wrong_count(op, n);
    int32_t stack[STACK], *ids = stack;
    if (n > STACK && !(ids = malloc((size_t)n * sizeof *ids)))
        return PyErr_NoMemory();
    PyObject *made = NULL;
    for (Py_ssize_t i = 0; i < n; i++)
        if ((ids[i] = operand((PyObject *)op, g, args[i])) < 0)
            goto done;
    uint32_t expected = ab_graph_expect(g->graph, op->id, (int32_t)n, ids, 0, NULL);
    int32_t form = ab_find_form(op, g->graph, (int32_t)n, ids, 0, NULL, NULL);
    if (form >= 0)
        made = add_expected(op, g, expected, form, (int32_t)n, ids, 0, NULL);
done:
    if (ids != stack)
        free(ids);
    return made;
}

/* record(op, operands, attrs, data): the general form. data: a tuple of numbers, or bytes
 * that hold the words (inputs: their content). */
PyObject *
ab_record(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    OpObject *op = (OpObject *)self;
    GraphObject *g = ab_recording();
    if (!g)
        return NULL;
    if (nargs != 3 || !PyTuple_Check(args[0]) || !PyTuple_Check(args[1])
        || !(PyTuple_Check(args[2]) || PyBytes_Check(args[2]))) {
        PyErr_SetString(PyExc_TypeError, "record(operands, attrs, data): tuples, or bytes of data");
        return NULL;
    }
    PyObject *operands = args[0], *attrs = args[1], *data = args[2], *made = NULL;
    Py_ssize_t nin = AB_TUPLE_SIZE(operands), ndata;
    int content = PyBytes_Check(data);
    if (op->variadic ? nin < op->nin : nin != op->nin)
        return wrong_count(op, nin);
    ndata = content ? (PyBytes_Size(data) + 7) / 8 : AB_TUPLE_SIZE(data);
    int32_t id_stack[STACK], *ids = id_stack;
    int64_t word_stack[STACK], *words = word_stack;
    if (ndata > INT32_MAX || nin > INT32_MAX)
        return failed(AB_TOO_MANY, op);
    if (nin > STACK)
        ids = malloc((size_t)nin * sizeof *ids);
    if (ndata > STACK)
        words = malloc((size_t)ndata * sizeof *words);
    if (!ids || !words) {
        PyErr_NoMemory();
        goto done;
    }
    for (Py_ssize_t i = 0; i < nin; i++)
        if ((ids[i] = operand((PyObject *)op, g, AB_TUPLE_ITEM(operands, i))) < 0)
            goto done;
    if (content) {
        if (ndata)
            words[ndata - 1] = 0;
        memcpy(words, PyBytes_AsString(data), (size_t)PyBytes_Size(data));
    } else {
        for (Py_ssize_t i = 0; i < ndata; i++) {
            PyObject *word = AB_TUPLE_ITEM(data, i);
            if (PyFloat_Check(word)) {
                double value = PyFloat_AsDouble(word);
                memcpy(&words[i], &value, sizeof value);
            } else {
                words[i] = ab_whole_number(op, word);
                if (words[i] == -1 && PyErr_Occurred())
                    goto done;
            }
        }
    }
    int32_t form = ab_find_form_of(op, g->graph, (int32_t)nin, ids, attrs);
    if (form < 0)
        goto done;
    const ab_form *f = ab_form_get(&core.registry, form);
    int64_t limit = f->index_limit;
    if (content && f->size * f->batch * g->graph->itemsize != PyBytes_Size(data)) {
        PyErr_Format(PyExc_ValueError, "%U: expected %lld numbers of %d bytes, got %zd bytes",
                     op->name, (long long)(f->size * f->batch), g->graph->itemsize,
                     PyBytes_Size(data));
        goto done;
    }
    for (Py_ssize_t i = 0; limit >= 0 && i < ndata; i++)
        if (words[i] < 0 || words[i] >= limit) {
            ab_error("index", self, Py_BuildValue("LL", (long long)words[i], (long long)limit));
            goto done;
        }
    made = add(op, g, form, (int32_t)nin, ids, (int32_t)ndata, words);
done:
    if (ids != id_stack)
        free(ids);
    if (words != word_stack)
        free(words);
    return made;
}

int32_t
ab_record_parameter(GraphObject *g, ParamObject *p)
{
    if (ab_param_is_recorded(p, g))
        return p->node;
    if (!p->param || !p->param->data) {
        PyErr_SetString(PyExc_RuntimeError, "this parameter was never initialised");
        return -1;
    }
    if (p->param->itemsize != g->graph->itemsize) {
        ab_error("dtype", (PyObject *)core.parameter,
                 Py_BuildValue("Oii", (PyObject *)p, p->param->itemsize, g->graph->itemsize));
        return -1;
    }
    if (p->form < 0) {
        int32_t form = ab_find_form_of(core.parameter, g->graph, 0, NULL, p->shape);
        if (form < 0)
            return -1;
        p->form = form;
    }
    int32_t before = g->graph->n;
    /* Numbers of another version are another node. */
    const uint64_t version = g->graph->versioned ? p->param->version : 0;
    const int64_t words[] = {(int64_t)(intptr_t)p->param, (int64_t)version};
    int32_t id = ab_graph_add(g->graph, p->form, 0, NULL, 2, words, true);
    if (id < 0) {
        failed(id, core.parameter);
        return -1;
    }
    /* Nodes point into the parameter: the graph keeps it alive. */
    if (id == before && PyList_Append(g->parameters, (PyObject *)p) < 0)
        return -1;
    p->node = id;
    p->serial = g->serial;
    p->version = p->param->version;
    return id;
}

PyObject *
ab_record_lookup(ParamObject *table, PyObject *index)
{
    PyObject *number = NULL;
    if (!PyLong_CheckExact(index)) {
        if (!ab_is_plain_number(index))
            return PyObject_CallFunctionObjArgs(core.on_getitem, table, index, NULL);
        if (!(number = PyNumber_Index(index)))
            return NULL;
    }
    int overflow;
    int64_t row = PyLong_AsLongLongAndOverflow(number ? number : index, &overflow);
    Py_XDECREF(number);
    if (overflow || row < 0 || row >= table->param->rows)
        return ab_error("index", (PyObject *)core.lookup,
                        Py_BuildValue("OL", index, (long long)table->param->rows));
    GraphObject *g = ab_recording();
    int32_t id = g ? ab_record_parameter(g, table) : -1;
    if (id < 0)
        return NULL;
    uint32_t expected = ab_graph_expect(g->graph, core.lookup->id, 1, &id, 1, &row);
    int32_t form = ab_find_form(core.lookup, g->graph, 1, &id, 0, NULL, NULL);
    return form < 0 ? NULL : add_expected(core.lookup, g, expected, form, 1, &id, 1, &row);
}

/* Short paths. */

int32_t
ab_known_node(GraphObject *g, PyObject *object)
{
    if (ab_is_expression(object))
        return ((ExpressionObject *)object)->graph == g ? ((ExpressionObject *)object)->node : -1;
    if (PyObject_TypeCheck(object, core.holder_type) && ((HolderObject *)object)->stored) {
        if (g->type != core.column_type && !g->apart && !ab_recording_columns())
            return -1;
        object = ((HolderObject *)object)->stored;
    }
    return ab_is_param(object) ? ab_record_parameter(g, (ParamObject *)object) : -1;
}

/* numbers_input(number or list of numbers): a placeholder that holds them, of shape () or (n,);
 * None: not a short path. */
PyObject *
ab_numbers_input(PyObject *module, PyObject *given)
{
    (void)module;
    enum { SHORT = 512 };
    const int list = PyList_CheckExact(given);
    const Py_ssize_t n = list ? AB_LIST_SIZE(given) : 1;
    int64_t content[SHORT], dims[] = {1, n};
    GraphObject *g = ab_recording_columns();
    if (!g)
        return NULL;
    if (n > SHORT)
        Py_RETURN_NONE;
    if (n)
        content[(n * g->graph->itemsize - 1) / 8] = 0; /* of which half may be left over */
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *item = list ? AB_LIST_ITEM(given, i) : given;
        if (!PyFloat_Check(item) && !PyLong_CheckExact(item))
            Py_RETURN_NONE;
        double number = PyFloat_AsDouble(item);
        if (number == -1 && PyErr_Occurred()) {
            PyErr_Clear();
            Py_RETURN_NONE;
        }
        if (g->graph->itemsize == 8)
            ((double *)(void *)content)[i] = number;
        else
            ((float *)(void *)content)[i] = (float)number;
    }
    int32_t form = ab_find_form(core.placeholder, g->graph, 0, NULL, list ? 2 : 1, dims, NULL);
    if (form < 0)
        return NULL;
    int32_t words = (int32_t)((n * g->graph->itemsize + 7) / 8);
    return add(core.placeholder, g, form, 0, NULL, words, content);
}

/* A placeholder for so many numbers; words: its attributes. -1: an exception. */
static int32_t
add_placeholder(GraphObject *g, int32_t nwords, const int64_t *words, int64_t count)
{
    const int32_t form = ab_find_form(core.placeholder, g->graph, 0, NULL, nwords, words, NULL);
    const int64_t room = (count * g->graph->itemsize + 7) / 8;
    if (form < 0)
        return -1;
    const int32_t id = room > INT32_MAX
                           ? AB_TOO_MANY
                           : ab_graph_add(g->graph, form, 0, NULL, (int32_t)room, NULL, false);
    if (id < 0)
        failed(id, core.placeholder);
    return id < 0 ? -1 : id;
}

/* The number in a list of lists; *good: cleared if it is none. */
static double
number_in(PyObject *lists, Py_ssize_t i, Py_ssize_t j, int *good)
{
    PyObject *item = AB_LIST_ITEM(AB_LIST_ITEM(lists, i), j);
    const double number =
        PyFloat_Check(item) || PyLong_CheckExact(item) ? PyFloat_AsDouble(item) : -1;
    if (number == -1 && (PyErr_Occurred() || !(PyFloat_Check(item) || PyLong_CheckExact(item)))) {
        PyErr_Clear();
        *good = 0;
    }
    return number;
}

/* lists_input(lists, batched): a placeholder that holds the numbers of lists of one length, the rows
 * of a matrix, column by column, of the reversed shape; batched: the columns are a minibatch. None:
 * a case for others. */
PyObject *
ab_lists_input(PyObject *module, PyObject *const *args, Py_ssize_t n)
{
    (void)module;
    const int batched = n == 2 ? PyObject_IsTrue(args[1]) : -1;
    GraphObject *g = batched < 0 ? NULL : ab_recording_columns();
    if (!g) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "lists_input(lists, batched)");
        return NULL;
    }
    PyObject *lists = args[0];
    const Py_ssize_t rows = PyList_CheckExact(lists) ? AB_LIST_SIZE(lists) : 0;
    int good = rows > 0 && PyList_CheckExact(AB_LIST_ITEM(lists, 0));
    const Py_ssize_t columns = good ? AB_LIST_SIZE(AB_LIST_ITEM(lists, 0)) : 0;
    good &= columns > 0;
    for (Py_ssize_t i = 0; i < rows && good; i++) {
        PyObject *row = AB_LIST_ITEM(lists, i);
        good = PyList_CheckExact(row) && AB_LIST_SIZE(row) == columns;
        for (Py_ssize_t j = 0; j < columns && good; j++)
            number_in(lists, i, j, &good);
    }
    if (!good)
        Py_RETURN_NONE;
    const int64_t words[] = {1, columns, rows};
    const int32_t id = add_placeholder(g, 3 - batched, words + batched, rows * columns);
    if (id < 0)
        return NULL;
    void *to = (void *)(uintptr_t)g->graph->nodes[id].data;
    for (Py_ssize_t i = 0; i < rows; i++)
        for (Py_ssize_t j = 0; j < columns; j++) {
            const double number = number_in(lists, i, j, &good);
            if (g->graph->itemsize == 8)
                ((double *)to)[j * rows + i] = number;
            else
                ((float *)to)[j * rows + i] = (float)number;
        }
    return ab_expression_new(g, id);
}

#ifndef Py_LIMITED_API /* without it arrays are read by NumPy, in Python */

/* Numbers of one line of an array, to place `at` of a graph's. */
static void
copy_line(const Py_buffer *view, const char *from, void *to, int wide, int64_t at)
{
    const Py_ssize_t n = view->ndim ? view->shape[0] : 1;
    const Py_ssize_t stride = view->ndim ? view->strides[0] : 0;
    for (Py_ssize_t i = 0; i < n; i++, from += stride) {
        double number;
        float narrow;
        long whole;
        if (*view->format == 'd') {
            memcpy(&number, from, sizeof number);
        } else if (*view->format == 'f') {
            memcpy(&narrow, from, sizeof narrow);
            number = narrow;
        } else {
            memcpy(&whole, from, sizeof whole);
            number = (double)whole;
        }
        if (wide)
            ((double *)to)[at + i] = number;
        else
            ((float *)to)[at + i] = (float)number;
    }
}

int64_t
ab_array_begin(PyObject *array, Py_buffer *view)
{
    if (PyObject_GetBuffer(array, view, PyBUF_STRIDES | PyBUF_FORMAT) < 0) {
        PyErr_Clear(); /* dates, say */
        return -1;
    }
    const int usual = view->format[0] && !view->format[1] && strchr("dfl", view->format[0]);
    int64_t count = 1;
    for (int i = 0; i < view->ndim; i++)
        count *= view->shape[i];
    if (usual && view->ndim <= AB_ARRAY_AXES)
        return count;
    PyBuffer_Release(view);
    return -1;
}

void
ab_array_copy(const Py_buffer *view, int64_t count, void *to, int wide)
{
    Py_ssize_t place[AB_ARRAY_AXES] = {0};
    const char *line = view->buf;
    const Py_ssize_t length = view->ndim ? view->shape[0] : 1;
    for (int64_t at = 0; at < count; at += length) {
        copy_line(view, line, to, wide, at);
        for (int i = 1; i < view->ndim; i++) { /* the next line */
            line += view->strides[i];
            if (++place[i] < view->shape[i])
                break;
            line -= view->strides[i] * view->shape[i];
            place[i] = 0;
        }
    }
}

/* array_input(array, batched): a placeholder that holds an array's numbers, column by column, of
 * the reversed shape; batched: the last axis is a minibatch. None: not a short path. */
PyObject *
ab_array_input(PyObject *module, PyObject *const *args, Py_ssize_t n)
{
    (void)module;
    const int batched = n == 2 ? PyObject_IsTrue(args[1]) : -1;
    GraphObject *g = batched < 0 ? NULL : ab_recording_columns();
    Py_buffer view;
    if (!g) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "array_input(array, batched)");
        return NULL;
    }
    const int64_t count = ab_array_begin(args[0], &view);
    if (count < 0)
        Py_RETURN_NONE;
    const int ndim = view.ndim;
    int64_t words[2 + AB_ARRAY_AXES] = {1};
    PyObject *made = NULL;
    if (batched && !ndim) {
        made = Py_NewRef(Py_None);
        goto done;
    }
    for (int i = 0; i < ndim; i++)
        words[ndim - i] = view.shape[i];
    const int32_t id = add_placeholder(g, 1 + ndim - batched, words + batched, count);
    if (id < 0)
        goto done;
    ab_array_copy(&view, count, (void *)(uintptr_t)g->graph->nodes[id].data,
                  g->graph->itemsize == 8);
    made = ab_expression_new(g, id);
done:
    PyBuffer_Release(&view);
    return made;
}

#endif

/* Operators. */

static int
is_operand(PyObject *object)
{
    if (ab_is_expression(object) || PyFloat_Check(object) || PyLong_CheckExact(object)
        || ab_is_param(object) || PyObject_TypeCheck(object, core.holder_type))
        return 1;
    /* Arrays and NumPy scalars have a shape; anything else may know what to do with us. */
    return PyObject_HasAttrString(object, "__array__") || PyList_Check(object)
           || PyLong_Check(object);
}

PyObject *
ab_slot_binary(int slot, PyObject *a, PyObject *b)
{
    if (!is_operand(a) || !is_operand(b))
        Py_RETURN_NOTIMPLEMENTED;
    PyObject *args[] = {a, b};
    return ab_record_operands(core.slots[slot], args, 2);
}

PyObject *
ab_slot_power(PyObject *a, PyObject *b, PyObject *modulo)
{
    if (modulo != Py_None || !is_operand(a) || !is_operand(b))
        Py_RETURN_NOTIMPLEMENTED;
    PyObject *args[] = {a, b};
    return ab_record_operands(core.slots[SLOT_POWER], args, 2);
}

PyObject *
ab_slot_negative(PyObject *a)
{
    return ab_record_operands(core.slots[SLOT_NEGATIVE], &a, 1);
}

/* Matrices as columns: their memory is that of row-major ones of the reversed shape, and the
 * product of a and b is ours of b and a. */

static const ab_type *
type_of(GraphObject *g, PyObject *object)
{
    int32_t id = ab_known_node(g, object);
    return id < 0 ? NULL : ab_type_get(&core.registry, g->graph->nodes[id].type);
}

static int
is_number(PyObject *object)
{
    return PyFloat_Check(object) || PyLong_CheckExact(object);
}

PyObject *
ab_slot_product(PyObject *a, PyObject *b)
{
    if (is_number(a) || is_number(b))
        return ab_slot_binary(SLOT_MULTIPLY, a, b);
    GraphObject *g = ab_recording();
    const ab_type *left = g ? type_of(g, a) : NULL;
    const ab_type *right = left && left->ndim == 2 ? type_of(g, b) : NULL;
    if (right && (right->ndim == 1 || right->ndim == 2)
        && right->dims[right->ndim - 1] == left->dims[0]
        && (left->batch == 1 || right->batch == 1 || left->batch == right->batch)) {
        PyObject *args[] = {b, a};
        return ab_record_operands(core.slots[SLOT_MATMUL], args, 2);
    }
    if (PyErr_Occurred())
        return NULL;
    /* A vector times a number. */
    if (left && left->ndim < 2) {
        right = type_of(g, b);
        if (right && right->ndim < 2 && right->size == 1)
            return ab_slot_binary(SLOT_MULTIPLY, a, b);
        if (PyErr_Occurred())
            return NULL;
    }
    return PyObject_CallFunctionObjArgs(core.on_product, a, b, NULL);
}
