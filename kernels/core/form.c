/* Forms: what nodes of one op, attributes and operand types have in common. The declaration is
 * asked for each once, but for what usual.c knows by itself. */
#include "core.h"

#include <stdlib.h>
#include <string.h>

enum { STACK = 64 }; /* words that need no allocation */

static PyObject *
tuple_of(int32_t n, const int64_t *words)
{
    PyObject *tuple = PyTuple_New(n);
    for (int32_t i = 0; tuple && i < n; i++) {
        PyObject *word = PyLong_FromLongLong(words[i]);
        if (!word || PyTuple_SetItem(tuple, i, word) < 0)
            Py_CLEAR(tuple);
    }
    return tuple;
}

/* form(number): all that the core knows of it, as the declaration would answer it. */
PyObject *
ab_form_known(PyObject *module, PyObject *number)
{
    (void)module;
    const int64_t i = PyLong_AsLongLong(number);
    if (i < 0 || i >= core.registry.nforms) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_IndexError, "there is no form %R", number);
        return NULL;
    }
    const ab_form *f = ab_form_get(&core.registry, (int32_t)i);
    PyObject *shape = ab_type_shape(f->type);
    return shape ? Py_BuildValue("OiiIKLLLLN", shape, f->batch, f->kernel, f->flags,
                                 (unsigned long long)f->same, (long long)f->view_offset,
                                 (long long)f->view_scale, (long long)f->index_limit,
                                 (long long)f->flops, tuple_of(f->np, f->p))
                 : NULL;
}

/* The operand types as the declaration takes them: (shape, batch, weight) of each. */
static PyObject *
inputs_of(const OpObject *op, const ab_graph *g, int32_t nin, const int32_t *operands,
          int32_t *types)
{
    PyObject *inputs = PyTuple_New(nin);
    int before = 0;
    for (int32_t i = 0; inputs && i < nin; i++) {
        const ab_node *d = &g->nodes[operands[i]];
        types[i] = ab_form_get(&core.registry, d->form)->type;
        const int weight = op->weights && d->flags & AB_NODE_WEIGHT;
        PyObject *input;
        if (i && types[i] == types[i - 1]
            && weight == before) { /* a sum of many is one of equals */
            input = AB_TUPLE_ITEM(inputs, i - 1);
            Py_INCREF(input);
        } else {
            PyObject *shape = ab_type_shape(types[i]);
            int32_t batch = ab_type_get(&core.registry, types[i])->batch;
            input = shape ? Py_BuildValue("OiO", shape, batch, weight ? Py_True : Py_False) : NULL;
        }
        before = weight;
        if (!input || PyTuple_SetItem(inputs, i, input) < 0)
            Py_CLEAR(inputs);
    }
    return inputs;
}

int32_t
ab_form_enter(OpObject *op, ab_form *f, int32_t ndim, const int64_t *dims, PyObject *known)
{
    f->type = ab_type_intern(&core.registry, ndim, dims, f->batch);
    if (f->type < 0) {
        ab_record_failed(f->type, (PyObject *)op);
        return -1;
    }
    f->size = ab_type_get(&core.registry, f->type)->size;
    /* While the rule ran, another thread may have asked for the same form. */
    int32_t id = ab_form_find(&core.registry, f->nkey, f->key, ab_hash(f->key, f->nkey, 0));
    if (id >= 0)
        return id;
    if (PyList_Append(core.forms, known) < 0)
        return -1;
    id = ab_form_add(&core.registry, f);
    if (id < 0) {
        PyList_SetSlice(core.forms, core.registry.nforms, PY_SSIZE_T_MAX, NULL);
        ab_record_failed(id, (PyObject *)op);
        return -1;
    }
    return id;
}

/* Asks the declaration. */
static int32_t
declared_form(OpObject *op, ab_form *f, PyObject *attrs, PyObject *inputs)
{
    PyObject *shape, *params, *bound;
    int64_t *p = NULL;
    int32_t id = -1;
    unsigned long long same;
    long long offset, scale, limit, flops;
    unsigned int flags;
    PyObject *described =
        PyObject_CallFunction(core.on_rule, "iOO", op->id, attrs ? attrs : Py_None, inputs);
    if (!described)
        return -1;
    if (!PyArg_ParseTuple(described, "O!iiIKLLLLO!O", &PyTuple_Type, &shape, &f->batch, &f->kernel,
                          &flags, &same, &offset, &scale, &limit, &flops, &PyTuple_Type, &params,
                          &bound))
        goto done;
    f->flags = flags;
    f->same = same;
    f->view_offset = offset;
    f->view_scale = scale;
    f->index_limit = limit;
    f->flops = flops;
    f->np = (int32_t)PyTuple_Size(params);
    if (!(p = malloc(((size_t)f->np + (size_t)PyTuple_Size(shape) + 1) * sizeof *p))) {
        PyErr_NoMemory();
        goto done;
    }
    int32_t ndim = (int32_t)PyTuple_Size(shape);
    int64_t *dims = p + f->np;
    for (int32_t i = 0; i < f->np; i++)
        p[i] = PyLong_AsLongLong(PyTuple_GetItem(params, i));
    for (int32_t i = 0; i < ndim; i++)
        dims[i] = PyLong_AsLongLong(PyTuple_GetItem(shape, i));
    if (PyErr_Occurred())
        goto done;
    f->p = p;
    id = ab_form_enter(op, f, ndim, dims, bound);
done:
    if (id < 0 && PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_OverflowError)) {
        PyErr_Clear(); /* sizes of more than 64 bits */
        ab_record_failed(AB_LIMIT, (PyObject *)op);
    }
    free(p);
    Py_DECREF(described);
    return id;
}

static int32_t
new_form(OpObject *op, ab_graph *g, int32_t nin, const int32_t *operands, PyObject *attrs,
         int32_t nkey, const int64_t *key)
{
    int32_t id = -1, *types = malloc(((size_t)nin + 1) * sizeof *types);
    if (!types) {
        PyErr_NoMemory();
        return -1;
    }
    PyObject *inputs = inputs_of(op, g, nin, operands, types);
    ab_form f = {.op = op->id, .nin = nin, .in_type = types, .nkey = nkey, .key = (int64_t *)key};
    if (inputs && (id = ab_usual_form(op, &f, attrs, inputs)) == AB_NOT_USUAL)
        id = declared_form(op, &f, attrs, inputs);
    free(types);
    Py_XDECREF(inputs);
    return id;
}

/* Where the form of operands of these types may have been kept, and whether it is that one. */
static inline int
recent_place(const OpObject *op, const ab_graph *g, int32_t nin, const int32_t *operands,
             int64_t *types)
{
    for (int32_t i = 0; i < nin; i++) {
        const ab_node *d = &g->nodes[operands[i]];
        types[i] = 2 * (int64_t)d->type + (op->weights && d->flags & AB_NODE_WEIGHT);
    }
    return (int)((types[0] + 3 * types[1] + 5 * types[2]) >> 1 & (RECENT - 1));
}

static inline int
is_recent(const OpObject *op, int place, int32_t nin, const int64_t *types)
{
    const int64_t *key = op->recent[place].key;
    return op->recent[place].nin == nin && key[0] == types[0] && key[1] == types[1]
           && key[2] == types[2] && op->recent[place].form >= 0;
}

int32_t
ab_find_form(OpObject *op, ab_graph *g, int32_t nin, const int32_t *operands, int32_t nattrs,
             const int64_t *words, PyObject *attrs)
{
    int32_t nkey = 2 + nattrs + nin, form = -1;
    int64_t stack[STACK], *key = stack;
    int place = -1;
    int64_t types[3] = {0};
    if (!nattrs && nin <= 3) {
        place = recent_place(op, g, nin, operands, types);
        if (is_recent(op, place, nin, types))
            return op->recent[place].form;
    }
    if (nkey > STACK && !(key = malloc((size_t)nkey * sizeof *key))) {
        PyErr_NoMemory();
        return -1;
    }
    key[0] = op->id;
    key[1] = nattrs;
    if (nattrs)
        memcpy(key + 2, words, (size_t)nattrs * sizeof *words);
    for (int32_t i = 0; i < nin; i++) {
        const ab_node *d = &g->nodes[operands[i]];
        key[2 + nattrs + i] = 2 * (int64_t)d->type + (op->weights && d->flags & AB_NODE_WEIGHT);
    }
    form = ab_form_find(&core.registry, nkey, key, ab_hash(key, nkey, 0));
    if (form < 0) {
        PyObject *made = nattrs && !attrs ? tuple_of(nattrs, words) : NULL;
        ab_pin pin = ab_pin_graph();
        if (!PyErr_Occurred())
            form = new_form(op, g, nin, operands, attrs ? attrs : made, nkey, key);
        if (ab_unpin_graph(&pin, (PyObject *)op) < 0)
            form = -1;
        Py_XDECREF(made);
    }
    if (form >= 0 && place >= 0) {
        memcpy(op->recent[place].key, types, sizeof types);
        op->recent[place].nin = nin;
        op->recent[place].form = form;
    }
    if (key != stack)
        free(key);
    return form;
}

int64_t
ab_whole_number(OpObject *op, PyObject *number)
{
    if (!PyLong_Check(number) && !ab_is_plain_number(number)) { /* an expression would run */
        Py_INCREF(number);
        ab_error("whole", (PyObject *)op, number);
        return -1;
    }
    int64_t word = PyLong_AsLongLong(number);
    if (word == -1 && PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_OverflowError)) {
        PyErr_Clear();
        Py_INCREF(number);
        ab_error("too large", (PyObject *)op, number);
    }
    return word;
}

int32_t
ab_find_form_of(OpObject *op, ab_graph *g, int32_t nin, const int32_t *operands, PyObject *attrs)
{
    int32_t nattrs = attrs ? (int32_t)AB_TUPLE_SIZE(attrs) : 0, form = -1;
    int64_t stack[STACK], *words = stack;
    if (nattrs > STACK && !(words = malloc((size_t)nattrs * sizeof *words))) {
        PyErr_NoMemory();
        return -1;
    }
    for (int32_t i = 0; i < nattrs; i++) {
        PyObject *attr = AB_TUPLE_ITEM(attrs, i);
        if (PyFloat_Check(attr)) {
            double value = PyFloat_AsDouble(attr);
            memcpy(&words[i], &value, sizeof value);
        } else {
            words[i] = ab_whole_number(op, attr);
            if (words[i] == -1 && PyErr_Occurred())
                goto done;
        }
    }
    form = ab_find_form(op, g, nin, operands, nattrs, words, attrs);
done:
    if (words != stack)
        free(words);
    return form;
}
