/* Indexing: entries and ranges of an operand's axes.
 *
 * A key describes a walk over a contiguous operand: sizes, strides, and the element it begins
 * with. A walk along neighbours is a view, a node of the op `slice`. Any other is a copy, a node
 * of `strided`, of the view from its lowest element to its highest: where that begins is data, so
 * one pattern has one form wherever it lies. The view costs its record and nothing afterwards.
 *
 * What is unusual or wrong is left to _getitem of functions.py, and of dynet/expressions.py,
 * which record the same nodes, more slowly. */
#include "core.h"

#include <string.h>

enum {
    ELEMENTS = 256, /* of a manual minibatch */
    AXES = 8,
    WALKED = 2 * AXES, /* None adds axes */
    STEP = INT32_MAX,  /* of slices */
};

/* An operand of a short path. */
typedef struct source {
    PyObject *object;
    GraphObject *g;
    int32_t id;
    const ab_type *type;
} source;

typedef struct walk {
    int32_t ndim;
    int64_t offset;
    int64_t dims[WALKED], strides[WALKED];
} walk;

static inline int
find_source(PyObject *x, source *s)
{
    if (!(s->g = ab_recording()) || (s->id = ab_known_node(s->g, x)) < 0)
        return 0;
    s->object = x;
    s->type = ab_type_get(&core.registry, s->g->graph->nodes[s->id].type);
    return s->type->batch <= ELEMENTS;
}

static inline int
has_axes(const source *s)
{
    return s->type->ndim >= 1 && s->type->ndim <= AXES;
}

int
ab_is_plain_number(PyObject *object)
{
    return PyLong_CheckExact(object)
           || (core.integer && PyObject_TypeCheck(object, (PyTypeObject *)core.integer)
               && (PyObject *)Py_TYPE(object) != core.span
               && !(PyType_GetFlags(Py_TYPE(object)) & Py_TPFLAGS_HEAPTYPE));
}

/* Whether an object is a number that fits. */
static int
whole_number(PyObject *object, int64_t *number)
{
    int overflow;
    if (PyLong_CheckExact(object)) {
        *number = PyLong_AsLongLongAndOverflow(object, &overflow);
        return !overflow;
    }
    if (!ab_is_plain_number(object))
        return 0;
    PyObject *made = PyNumber_Index(object);
    int found = made && PyLong_CheckExact(made) && whole_number(made, number);
    Py_XDECREF(made);
    PyErr_Clear();
    return found;
}

/* The ends and the step of a slice of plain numbers. */
static int
plain_slice(PyObject *slice, Py_ssize_t *start, Py_ssize_t *stop, Py_ssize_t *step)
{
    static const char *const parts[] = {"start", "stop", "step"};
    for (int i = 0; i < 3; i++) {
        PyObject *part = PyObject_GetAttrString(slice, parts[i]);
        const int plain = part && (part == Py_None || ab_is_plain_number(part));
        Py_XDECREF(part);
        if (!plain)
            return 0;
    }
    if (PySlice_Unpack(slice, start, stop, step) == 0)
        return 1;
    PyErr_Clear(); /* a step of 0 */
    return 0;
}

/* ... and an index from 0 on. */
static inline int
index_from(PyObject *object, int64_t length, int64_t *index)
{
    return whole_number(object, index) && *index >= 0 && *index < length;
}

/* ... or a negative one, counted from the end. */
static inline int
index_in(PyObject *object, int64_t length, int64_t *index)
{
    if (!whole_number(object, index))
        return 0;
    if (*index < 0)
        *index += length;
    return *index >= 0 && *index < length;
}

/* One data word, the same for every element of the minibatch; the node, or negative. */
static int32_t
add_word(OpObject *op, ab_graph *g, int32_t x, int32_t batch, int32_t form, int64_t word)
{
    int64_t words[ELEMENTS];
    for (int32_t i = 0; i < batch; i++)
        words[i] = word;
    int32_t id = ab_graph_add(g, form, 1, &x, batch, words, true);
    if (id < 0)
        ab_record_failed(id, (PyObject *)op);
    return id;
}

static PyObject *
record_word(OpObject *op, const source *s, int32_t nattrs, const int64_t *attrs, int64_t word)
{
    int32_t form = ab_find_form(op, s->g->graph, 1, &s->id, nattrs, attrs, NULL);
    if (form < 0)
        return NULL;
    int32_t id = add_word(op, s->g->graph, s->id, s->type->batch, form, word);
    return id < 0 ? NULL : ab_expression_new(s->g, id);
}

#ifndef Py_LIMITED_API /* which makes no short calls */

/* A vector's minibatch with a list of indices, one for each element. */
static PyObject *
record_listed(OpObject *op, PyObject *x, PyObject *indices)
{
    source s;
    int64_t words[ELEMENTS];
    if (!find_source(x, &s) || s.type->ndim != 1 || s.type->batch != AB_LIST_SIZE(indices))
        return NULL;
    for (int32_t i = 0; i < s.type->batch; i++)
        if (!index_from(AB_LIST_ITEM(indices, i), s.type->dims[0], &words[i]))
            return NULL;
    int32_t form = ab_find_form(op, s.g->graph, 1, &s.id, op->nattrs, op->attrs, NULL);
    if (form < 0)
        return NULL;
    int32_t id = ab_graph_add(s.g->graph, form, 1, &s.id, s.type->batch, words, true);
    return id < 0 ? ab_record_failed(id, (PyObject *)op) : ab_expression_new(s.g, id);
}

PyObject *
ab_record_indexed(OpObject *op, PyObject *x, PyObject *index)
{
    source s;
    int64_t word;
    if (PyList_CheckExact(index) && op->indexed & INDEXED_BY_LISTS)
        return record_listed(op, x, index);
    if (!(op->indexed & INDEXED_BY_INTS) || !whole_number(index, &word) || !find_source(x, &s)
        || (op->vectors && s.type->ndim != 1))
        return NULL;
    int32_t form = ab_find_form(op, s.g->graph, 1, &s.id, op->nattrs, op->attrs, NULL);
    if (form < 0)
        return NULL;
    int64_t limit = ab_form_get(&core.registry, form)->index_limit;
    if (word < 0 || (limit >= 0 && word >= limit))
        return ab_error("index", (PyObject *)op,
                        Py_BuildValue("LL", (long long)word, (long long)limit));
    int32_t id = add_word(op, s.g->graph, s.id, s.type->batch, form, word);
    return id < 0 ? NULL : ab_expression_new(s.g, id);
}

#endif

/* Walks. */

static inline void
add_axis(walk *w, int64_t dim, int64_t stride)
{
    w->dims[w->ndim] = dim;
    w->strides[w->ndim++] = stride;
}

/* The walk over all of an operand. */
static void
whole_walk(const ab_type *t, walk *w)
{
    int64_t step = 1;
    w->ndim = t->ndim;
    w->offset = 0;
    for (int32_t d = t->ndim - 1; d >= 0; d--) {
        w->dims[d] = t->dims[d];
        w->strides[d] = step;
        step *= t->dims[d];
    }
}

static int
is_contiguous(const walk *w)
{
    int64_t step = 1;
    int contiguous = 1;
    for (int32_t d = w->ndim - 1; d >= 0; d--) {
        if (!w->dims[d])
            return 1;
        if (w->dims[d] != 1) {
            contiguous &= w->strides[d] == step;
            step *= w->dims[d];
        }
    }
    return contiguous;
}

/* A copy of what is walked over, which is not contiguous. */
static PyObject *
record_strided(const source *s, const walk *w)
{
    ab_graph *g = s->g->graph;
    int64_t back = 0, span = 1, layout[1 + 2 * WALKED];
    for (int32_t d = 0; d < w->ndim; d++) {
        int64_t reach = (w->dims[d] - 1) * w->strides[d];
        back += reach < 0 ? -reach : 0;
        span += reach < 0 ? -reach : reach;
    }
    int32_t form = ab_find_form(core.slice, g, 1, &s->id, 1, &span, NULL);
    int32_t window =
        form < 0 ? -1 : add_word(core.slice, g, s->id, s->type->batch, form, w->offset - back);
    if (window < 0)
        return NULL;
    layout[0] = back;
    memcpy(layout + 1, w->dims, (size_t)w->ndim * sizeof *layout);
    memcpy(layout + 1 + w->ndim, w->strides, (size_t)w->ndim * sizeof *layout);
    form = ab_find_form(core.strided, g, 1, &window, 1 + 2 * w->ndim, layout, NULL);
    if (form < 0)
        return NULL;
    int32_t id = ab_graph_add(g, form, 1, &window, 0, NULL, true);
    return id < 0 ? ab_record_failed(id, (PyObject *)core.strided) : ab_expression_new(s->g, id);
}

static PyObject *
record_walk(const source *s, const walk *w)
{
    if (!is_contiguous(w))
        return record_strided(s, w);
    if (w->ndim == s->type->ndim
        && !memcmp(w->dims, s->type->dims, (size_t)w->ndim * sizeof *w->dims)) {
        if (!ab_is_expression(s->object))
            return ab_expression_new(s->g, s->id);
        Py_INCREF(s->object);
        return s->object;
    }
    int empty = 0;
    for (int32_t d = 0; d < w->ndim; d++)
        empty |= !w->dims[d];
    return record_word(core.slice, s, w->ndim, w->dims, empty ? 0 : w->offset);
}

/* NumPy's basic indexing. */

/* Whether the short path knows all of a key, and the walk that it describes. */
static int
walk_of(const ab_type *t, PyObject *key, walk *w)
{
    const int tuple = PyTuple_CheckExact(key);
    const Py_ssize_t n = tuple ? AB_TUPLE_SIZE(key) : 1;
    int32_t given = 0, axis = 0, ellipses = 0;
    walk all;
    if (n > AXES)
        return 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *item = tuple ? AB_TUPLE_ITEM(key, i) : key;
        given += item != Py_None && item != Py_Ellipsis;
        ellipses += item == Py_Ellipsis;
    }
    if (ellipses > 1 || given > t->ndim)
        return 0;
    whole_walk(t, &all);
    w->ndim = 0;
    w->offset = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *item = tuple ? AB_TUPLE_ITEM(key, i) : key;
        int64_t index;
        if (item == Py_None) {
            add_axis(w, 1, 0);
        } else if (item == Py_Ellipsis) {
            for (int32_t rest = t->ndim - given; rest > 0; rest--, axis++)
                add_axis(w, all.dims[axis], all.strides[axis]);
        } else if (PySlice_Check(item)) {
            Py_ssize_t start, stop, step;
            if (!plain_slice(item, &start, &stop, &step))
                return 0;
            if (step > STEP || step < -STEP)
                return 0;
            Py_ssize_t count =
                PySlice_AdjustIndices((Py_ssize_t)all.dims[axis], &start, &stop, step);
            add_axis(w, count, step * all.strides[axis]);
            w->offset += start * all.strides[axis++];
        } else if (index_in(item, all.dims[axis], &index)) {
            w->offset += index * all.strides[axis++];
        } else {
            return 0;
        }
    }
    for (; axis < t->ndim; axis++)
        add_axis(w, all.dims[axis], all.strides[axis]);
    return 1;
}

PyObject *
ab_record_item(PyObject *x, PyObject *key)
{
    source s;
    walk w;
    int64_t index;
    if (!find_source(x, &s) || !has_axes(&s))
        return NULL;
    if (index_in(key, s.type->dims[0], &index))
        return record_word(core.pick, &s, 0, NULL, index);
    return walk_of(s.type, key, &w) ? record_walk(&s, &w) : NULL;
}

PyObject *
ab_item(PyObject *x, PyObject *key)
{
    PyObject *made = ab_record_item(x, key);
    if (made || PyErr_Occurred())
        return made;
    return PyObject_CallFunctionObjArgs(core.on_getitem, x, key, NULL);
}

/* One axis. */

static PyObject *
record_entry(const source *s, int32_t axis, int64_t index)
{
    walk w;
    if (!axis)
        return record_word(core.pick, s, 0, NULL, index);
    whole_walk(s->type, &w);
    w.offset = index * w.strides[axis];
    w.ndim--;
    for (int32_t d = axis; d < w.ndim; d++) {
        w.dims[d] = w.dims[d + 1];
        w.strides[d] = w.strides[d + 1];
    }
    return record_walk(s, &w);
}

#ifndef Py_LIMITED_API

static PyObject *
record_range(const source *s, int32_t axis, int64_t start, int64_t stop)
{
    walk w;
    whole_walk(s->type, &w);
    w.offset = start * w.strides[axis];
    w.dims[axis] = stop - start;
    return record_walk(s, &w);
}

static PyObject *
or_none(PyObject *made)
{
    if (made || PyErr_Occurred())
        return made;
    Py_RETURN_NONE;
}

/* The axis that an argument names; -1: none. */
static int32_t
axis_of(const source *s, PyObject *argument)
{
    int64_t axis;
    return has_axes(s) && index_in(argument, s->type->ndim, &axis) ? (int32_t)axis : -1;
}

/* entry(x, index, axis): the entry at an index of an axis; None: not a short path. */
PyObject *
ab_entry(PyObject *module, PyObject *const *args, Py_ssize_t n)
{
    (void)module;
    source s;
    int64_t index;
    int32_t axis = n == 3 && find_source(args[0], &s) ? axis_of(&s, args[2]) : -1;
    return or_none(axis >= 0 && index_in(args[1], s.type->dims[axis], &index)
                       ? record_entry(&s, axis, index)
                       : NULL);
}

/* range(x, start, stop, axis): at least one entry, all of them there; None: not a short path. */
PyObject *
ab_range(PyObject *module, PyObject *const *args, Py_ssize_t n)
{
    (void)module;
    source s;
    int64_t start, stop;
    int32_t axis = n == 4 && find_source(args[0], &s) ? axis_of(&s, args[3]) : -1;
    return or_none(axis >= 0 && whole_number(args[1], &start) && whole_number(args[2], &stop)
                           && 0 <= start && start < stop && stop <= s.type->dims[axis]
                       ? record_range(&s, axis, start, stop)
                       : NULL);
}

/* split(x, parts): equal parts along the first axis, as a list; None: not a short path. */
PyObject *
ab_split(PyObject *module, PyObject *const *args, Py_ssize_t n)
{
    (void)module;
    source s;
    int found = n == 2 && find_source(args[0], &s) && has_axes(&s);
    long parts = found && PyLong_CheckExact(args[1]) ? PyLong_AsLong(args[1]) : 0;
    if (!found && PyErr_Occurred())
        return NULL;
    PyErr_Clear();
    if (parts < 1 || s.type->dims[0] % parts)
        Py_RETURN_NONE;
    walk w;
    whole_walk(s.type, &w);
    w.dims[0] /= parts;
    int64_t each = s.type->size / parts;
    PyObject *list = PyList_New(parts);
    for (long i = 0; list && i < parts; i++) {
        PyObject *part = record_word(core.slice, &s, w.ndim, w.dims, i * each);
        if (!part || PyList_SetItem(list, i, part) < 0)
            Py_CLEAR(list);
    }
    return list;
}

#endif

/* Columns: the last axis is the first dimension, an index names an entry of it, and ranges are
 * to lie inside. */

static int
column_range(PyObject *key, int64_t length, Py_ssize_t *start, Py_ssize_t *stop, Py_ssize_t *step)
{
    if (!PySlice_Check(key) || !plain_slice(key, start, stop, step))
        return 0;
    if (*stop == PY_SSIZE_T_MAX) { /* none was given; or one far outside */
        PyObject *given = PyObject_GetAttrString(key, "stop");
        if (given == Py_None)
            *stop = (Py_ssize_t)length;
        Py_XDECREF(given);
        PyErr_Clear();
    }
    return 0 <= *start && *start < *stop && *stop <= length && *step >= 1 && *step <= STEP;
}

static PyObject *
record_column_item(PyObject *x, PyObject *key)
{
    source s;
    walk w;
    int64_t index;
    if (!find_source(x, &s) || !has_axes(&s))
        return NULL;
    const int32_t last = s.type->ndim - 1;
    if (index_in(key, s.type->dims[last], &index))
        return record_entry(&s, last, index);
    const int tuple = PyTuple_CheckExact(key);
    const Py_ssize_t n = tuple ? AB_TUPLE_SIZE(key) : 1;
    if (!n || n > s.type->ndim) /* the minibatch has a range, too */
        return NULL;
    whole_walk(s.type, &w);
    for (Py_ssize_t i = 0; i < n; i++) {
        Py_ssize_t start, stop, step;
        const int32_t axis = last - (int32_t)i;
        if (!column_range(tuple ? AB_TUPLE_ITEM(key, i) : key, w.dims[axis], &start, &stop, &step))
            return NULL;
        w.offset += start * w.strides[axis];
        w.dims[axis] = 1 + (stop - start - 1) / step;
        w.strides[axis] *= step;
    }
    return record_walk(&s, &w);
}

PyObject *
ab_column_item(PyObject *x, PyObject *key)
{
    PyObject *made = record_column_item(x, key);
    if (made || PyErr_Occurred())
        return made;
    return PyObject_CallFunctionObjArgs(core.on_column_item, x, key, NULL);
}

PyObject *
ab_column_pick(PyObject *x, PyObject *index)
{
    int64_t place;
    if (!ab_is_expression(x) || !whole_number(index, &place) || place < 0)
        return NULL;
    return record_column_item(x, index);
}

PyObject *
ab_table_row(PyObject *x, PyObject *index)
{
    int64_t row;
    ParamObject *table = ab_param_of(x);
    if (!table || !table->param->rows || !index_from(index, table->param->rows, &row))
        return NULL;
    return ab_recording_columns() ? ab_record_lookup(table, index) : NULL;
}

PyObject *
ab_table_rows(PyObject *x, PyObject *indices)
{
    enum { ROWS = 1024 };
    int64_t words[ROWS];
    ParamObject *table = ab_param_of(x);
    const int64_t n = PyList_CheckExact(indices) ? AB_LIST_SIZE(indices) : 0;
    if (!table || !table->param->rows || n < 1 || n > ROWS)
        return NULL;
    for (int64_t i = 0; i < n; i++)
        if (!index_from(AB_LIST_ITEM(indices, i), table->param->rows, &words[i]))
            return NULL;
    GraphObject *g = ab_recording_columns();
    int32_t id = g ? ab_record_parameter(g, table) : -1;
    if (id < 0)
        return NULL;
    OpObject *op = core.lookup_again;
    const int32_t form = ab_find_form(op, g->graph, 1, &id, 1, &n, NULL);
    if (form < 0)
        return NULL;
    id = ab_graph_add(g->graph, form, 1, &id, (int32_t)n, words, false); /* it has no equal */
    return id < 0 ? ab_record_failed(id, (PyObject *)op) : ab_expression_new(g, id);
}

/* Makes expressions iterable, as a class with `__getitem__` is. */
PyObject *
ab_column_entry(PyObject *x, Py_ssize_t index)
{
    PyObject *number = PyLong_FromSsize_t(index);
    PyObject *made = number ? ab_column_item(x, number) : NULL;
    Py_XDECREF(number);
    return made;
}
