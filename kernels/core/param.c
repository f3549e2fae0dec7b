/* The base type of parameters: where the numbers lie, and a cache of the node. */
#include "core.h"

#include "structmember.h"

#include <stdlib.h>
#include <string.h>

/* Takes memory; its numbers are whatever it held. */
static int
begin(ParamObject *p, PyObject *shape, int lookup, int itemsize, PyObject *name)
{
    if (p->param) { /* graphs may point to what it is already */
        PyErr_SetString(PyExc_RuntimeError, "a parameter is initialised only once");
        return -1;
    }
    int64_t size = 1, rows = 0, bytes, both;
    bool large = false;
    for (Py_ssize_t i = 0; i < PyTuple_Size(shape); i++) {
        int64_t dim = PyLong_AsLongLong(PyTuple_GetItem(shape, i));
        if (dim == -1 && PyErr_Occurred())
            return -1;
        if (i == 0)
            rows = dim;
        large |= __builtin_mul_overflow(size, dim, &size);
    }
    large |= __builtin_mul_overflow(size, (int64_t)itemsize, &bytes) || bytes < 0
             || bytes > PTRDIFF_MAX / 2 - 2 * AB_ALIGNMENT;
    if (large) {
        PyErr_NoMemory();
        return -1;
    }
    both = 2 * ab_padded(bytes) + AB_ALIGNMENT;
    /* Not zeroed. Of large parameters the system gives the gradient's half no memory before a
     * backward pass reaches it. */
    PyObject *memory = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)both);
    ab_param *param = memory ? calloc(1, sizeof *param) : NULL;
    if (!param) {
        Py_XDECREF(memory);
        PyErr_NoMemory();
        return -1;
    }
    char *start = PyByteArray_AsString(memory);
    param->data = start + -(uintptr_t)start % AB_ALIGNMENT;
    param->grad = (char *)param->data + ab_padded(bytes);
    param->size = size;
    param->rows = lookup ? rows : 0;
    param->dim = lookup && rows ? size / rows : 0;
    param->itemsize = itemsize;
    param->trainable = 1;
    param->version = 1;
    p->param = param;
    p->memory = memory;
    p->shape = Py_NewRef(shape);
    p->name = Py_NewRef(name);
    p->form = -1;
    p->serial = p->version = 0;
    return 0;
}

static int
param_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"shape", "lookup", "itemsize", "name", NULL};
    PyObject *shape, *name;
    int lookup, itemsize;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!piO", names, &PyTuple_Type, &shape, &lookup,
                                     &itemsize, &name))
        return -1;
    return begin((ParamObject *)self, shape, lookup, itemsize, name);
}

/* Param._begun(shape, lookup, name): a new one, of numbers as the settings want them, which are
 * whatever the memory held. A class method; the __init__ of classes in Python is not called. */
static PyObject *
param_begun(PyObject *type, PyObject *args)
{
    PyObject *shape, *name;
    int lookup;
    const ab_settings *s = ab_settings_now();
    if (!s || !PyArg_ParseTuple(args, "O!pU", &PyTuple_Type, &shape, &lookup, &name))
        return NULL;
    PyObject *p = PyType_GenericAlloc((PyTypeObject *)type, 0);
    if (p && begin((ParamObject *)p, shape, lookup, s->itemsize, name) < 0)
        Py_CLEAR(p);
    return p;
}

static void
param_dealloc(PyObject *self)
{
    ParamObject *p = (ParamObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (p->param) {
        free(p->param->packed[0]);
        free(p->param->packed[1]);
        free(p->param);
    }
    Py_XDECREF(p->arrays[0]);
    Py_XDECREF(p->arrays[1]);
    Py_XDECREF(p->memory);
    Py_XDECREF(p->shape);
    Py_XDECREF(p->name);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static int
initialised(ParamObject *p)
{
    if (!p->param)
        PyErr_SetString(PyExc_RuntimeError, "this parameter was never initialised");
    return p->param != NULL;
}

enum { NUMBERS, GRADIENT }; /* of ParamObject.arrays */

/* An array of NumPy over the numbers or the gradient, made when somebody looks: small programs make
 * many parameters and look at few. */
static PyObject *
array_of(ParamObject *p, int which)
{
    if (!initialised(p))
        return NULL;
    if (!p->arrays[which] && core.ndarray) {
        const char *at = which == NUMBERS ? p->param->data : p->param->grad;
        PyObject *dtype = core.dtype[p->param->itemsize == 8];
        p->arrays[which] =
            PyObject_CallFunction(core.ndarray, "OOOn", p->shape, dtype, p->memory,
                                  (Py_ssize_t)(at - PyByteArray_AsString(p->memory)));
    }
    if (!p->arrays[which] && !PyErr_Occurred())
        PyErr_SetString(PyExc_RuntimeError, "the engine is not set up yet");
    return Py_XNewRef(p->arrays[which]);
}

static PyObject *
param_data(PyObject *self, void *closure)
{
    (void)closure;
    return array_of((ParamObject *)self, NUMBERS);
}

static PyObject *
param_room(PyObject *self, void *closure)
{
    (void)closure;
    return array_of((ParamObject *)self, GRADIENT);
}

void
ab_param_fill(const ab_param *p, void *numbers, double number)
{
    for (int64_t i = 0; i < p->size; i++)
        if (p->itemsize == 8)
            ((double *)numbers)[i] = number;
        else
            ((float *)numbers)[i] = (float)number;
}

/* _fill(number): every number is this one, in single precision. */
static PyObject *
param_fill(PyObject *self, PyObject *number)
{
    ParamObject *p = (ParamObject *)self;
    const float value = (float)PyFloat_AsDouble(number);
    if (!initialised(p) || PyErr_Occurred())
        return NULL;
    ab_param_fill(p->param, p->param->data, value);
    Py_RETURN_NONE;
}

/* _draw(draw): the numbers are the next ones of the random stream. */
static PyObject *
param_draw(PyObject *self, PyObject *given)
{
    ParamObject *p = (ParamObject *)self;
    ab_draw d;
    if (!initialised(p) || ab_read_draw(given, &d) < 0)
        return NULL;
    if (!core.stream || !core.engine) {
        PyErr_SetString(PyExc_RuntimeError, "there is no random stream");
        return NULL;
    }
    core.engine->draw_numbers(core.stream, d.kind, d.a, d.b, d.factor, d.term, p->param->size,
                              p->param->data, p->param->itemsize);
    Py_RETURN_NONE;
}

/* _bind_rows(gradients, slot_of_row, row_of_slot, capacity) */
static PyObject *
param_bind_rows(PyObject *self, PyObject *args)
{
    ParamObject *p = (ParamObject *)self;
    unsigned long long sparse, slot_of_row, row_of_slot;
    long long capacity;
    if (!initialised(p)
        || !PyArg_ParseTuple(args, "KKKL", &sparse, &slot_of_row, &row_of_slot, &capacity))
        return NULL;
    p->param->sparse = (void *)(uintptr_t)sparse;
    p->param->slot_of_row = (int32_t *)(uintptr_t)slot_of_row;
    p->param->row_of_slot = (int64_t *)(uintptr_t)row_of_slot;
    p->param->capacity = capacity;
    Py_RETURN_NONE;
}

static PyObject *
param_forget(PyObject *self, PyObject *none)
{
    (void)none;
    ParamObject *p = (ParamObject *)self;
    if (!initialised(p))
        return NULL;
    ab_param_forget(p->param);
    Py_RETURN_NONE;
}

static PyObject *
param_touch(PyObject *self, PyObject *none)
{
    (void)none;
    ParamObject *p = (ParamObject *)self;
    if (!initialised(p))
        return NULL;
    p->param->version++;
    Py_RETURN_NONE;
}

static PyObject *
param_expression(PyObject *self, PyObject *none)
{
    (void)none;
    GraphObject *g = initialised((ParamObject *)self) ? ab_recording() : NULL;
    if (!g)
        return NULL;
    int32_t node = ab_record_parameter(g, (ParamObject *)self);
    return node < 0 ? NULL : ab_expression_new(g, node);
}

static PyObject *
param_shape(PyObject *self, void *closure)
{
    (void)closure;
    ParamObject *p = (ParamObject *)self;
    if (!initialised(p))
        return NULL;
    Py_INCREF(p->shape);
    return p->shape;
}

static PyObject *
param_version(PyObject *self, void *closure)
{
    (void)closure;
    ParamObject *p = (ParamObject *)self;
    return initialised(p) ? PyLong_FromUnsignedLongLong(p->param->version) : NULL;
}

/* State that both sides change: flags of an ab_param, by their offset, and the count of rows
 * that have a gradient of their own. */
static PyObject *
param_flag(PyObject *self, void *offset)
{
    ParamObject *p = (ParamObject *)self;
    if (!initialised(p))
        return NULL;
    return PyBool_FromLong(*(int32_t *)((char *)p->param + (size_t)offset));
}

static int
param_set_flag(PyObject *self, PyObject *value, void *offset)
{
    ParamObject *p = (ParamObject *)self;
    int truth = -1;
    if (value && initialised(p)) {
        if ((size_t)offset == offsetof(ab_param, trainable) && !PyBool_Check(value))
            ab_error("flag", NULL, Py_NewRef(value));
        else
            truth = PyObject_IsTrue(value);
    }
    if (truth >= 0)
        *(int32_t *)((char *)p->param + (size_t)offset) = truth;
    else if (!PyErr_Occurred())
        ab_error("deleted", NULL, NULL);
    return truth < 0 ? -1 : 0;
}

static PyObject *
param_name(PyObject *self, void *closure)
{
    (void)closure;
    PyObject *name = ((ParamObject *)self)->name;
    return name ? Py_NewRef(name) : PyUnicode_FromString("");
}

static int
param_set_name(PyObject *self, PyObject *value, void *closure)
{
    (void)closure;
    ParamObject *p = (ParamObject *)self;
    if (!value || !PyUnicode_Check(value)) {
        ab_error("name", NULL, value ? Py_NewRef((PyObject *)Py_TYPE(value)) : NULL);
        return -1;
    }
    PyObject *old = p->name;
    p->name = Py_NewRef(value);
    Py_XDECREF(old);
    return 0;
}

static PyObject *
param_slot_count(PyObject *self, void *closure)
{
    (void)closure;
    ParamObject *p = (ParamObject *)self;
    return initialised(p) ? PyLong_FromLongLong(p->param->slots) : NULL;
}

static int
param_set_slot_count(PyObject *self, PyObject *value, void *closure)
{
    (void)closure;
    ParamObject *p = (ParamObject *)self;
    long long slots = value && initialised(p) ? PyLong_AsLongLong(value) : -1;
    if (slots < 0 || slots > p->param->capacity) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "there is no memory for so many slots");
        return -1;
    }
    p->param->slots = slots;
    return 0;
}

static PyObject *
param_address(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromVoidPtr(((ParamObject *)self)->param);
}

static PyObject *
param_getitem(PyObject *self, PyObject *key)
{
    ParamObject *p = (ParamObject *)self;
    if (!initialised(p))
        return NULL;
    if (p->param->rows)
        return ab_record_lookup(p, key);
    return ab_item(self, key);
}

static Py_ssize_t
param_length(PyObject *self)
{
    ParamObject *p = (ParamObject *)self;
    if (!initialised(p))
        return -1;
    if (PyTuple_Size(p->shape) == 0) {
        ab_error("length", NULL, NULL);
        return -1;
    }
    return PyLong_AsSsize_t(PyTuple_GetItem(p->shape, 0));
}

#define BINARY(name, slot)                                                                         \
    static PyObject *name(PyObject *a, PyObject *b)                                                \
    {                                                                                              \
        return ab_slot_binary(slot, a, b);                                                         \
    }
BINARY(slot_add, SLOT_ADD)
BINARY(slot_subtract, SLOT_SUBTRACT)
BINARY(slot_multiply, SLOT_MULTIPLY)
BINARY(slot_divide, SLOT_DIVIDE)
BINARY(slot_matmul, SLOT_MATMUL)

static PyMethodDef param_methods[] = {
    {"_begun", param_begun, METH_VARARGS | METH_CLASS, "A new one, whose numbers are to be made."},
    {"_fill", param_fill, METH_O, "Makes all numbers one."},
    {"_write_row", ab_param_write_row, METH_VARARGS, "Whether numbers were written into a row."},
    {"_draw", param_draw, METH_O, "Draws the numbers from the random stream."},
    {"_bind_rows", param_bind_rows, METH_VARARGS, "Tells where the gradients of rows lie."},
    {"_forget", param_forget, METH_NOARGS, "Forgets the gradient."},
    {"_expression", param_expression, METH_NOARGS, "Its node in the present graph."},
    {"_touch", param_touch, METH_NOARGS, "Tells that the numbers changed."},
    {0},
};

static PyGetSetDef param_getset[] = {
    {"shape", param_shape, NULL, "The shape, a tuple.", NULL},
    {"_data", param_data, NULL, "The numbers, an array of NumPy.", NULL},
    {"_room", param_room, NULL, "The memory of the gradient, an array of NumPy.", NULL},
    {"name", param_name, param_set_name, "Its name in messages.", NULL},
    {"trainable", param_flag, param_set_flag, "Whether gradients are made.",
     (void *)offsetof(ab_param, trainable)},
    {"_frozen", param_flag, param_set_flag, NULL, (void *)offsetof(ab_param, frozen)},
    {"_graded", param_flag, param_set_flag, NULL, (void *)offsetof(ab_param, graded)},
    {"_slots", param_slot_count, param_set_slot_count, NULL, NULL},
    {"_version", param_version, NULL, NULL, NULL},
    {"_address", param_address, NULL, NULL, NULL},
    {0},
};

static PyType_Slot param_slots[] = {
    {Py_tp_doc, "Base of parameters: where their numbers lie."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, param_init},
    {Py_tp_dealloc, param_dealloc},
    {Py_tp_methods, param_methods},
    {Py_tp_getset, param_getset},
    {Py_nb_add, slot_add},
    {Py_nb_subtract, slot_subtract},
    {Py_nb_multiply, slot_multiply},
    {Py_nb_true_divide, slot_divide},
    {Py_nb_matrix_multiply, slot_matmul},
    {Py_nb_power, ab_slot_power},
    {Py_nb_negative, ab_slot_negative},
    {Py_mp_subscript, param_getitem},
    {Py_mp_length, param_length},
    {0, NULL},
};

PyType_Spec ab_param_spec = {
    .name = "autobatch._core.Param",
    .basicsize = sizeof(ParamObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = param_slots,
};

/* Holders: classes of other libraries' names, whose objects have a parameter and methods of
 * their own; as operands they are that parameter. */
static int
holder_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((HolderObject *)self)->stored);
    return 0;
}

static int
holder_clear(PyObject *self)
{
    Py_CLEAR(((HolderObject *)self)->stored);
    return 0;
}

static void
holder_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    holder_clear(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* Operators of holders record columns, whichever operand comes first. */
#define HOLDER_BINARY(name, slot)                                                                  \
    static PyObject *name(PyObject *a, PyObject *b)                                                \
    {                                                                                              \
        return ab_recording_columns() ? slot(a, b) : NULL;                                         \
    }
HOLDER_BINARY(holder_add, slot_add)
HOLDER_BINARY(holder_subtract, slot_subtract)
HOLDER_BINARY(holder_divide, slot_divide)
HOLDER_BINARY(holder_product, ab_slot_product)

/* A row of a table, or what the brackets of columns take. */
static PyObject *
holder_item(PyObject *a, PyObject *key)
{
    ParamObject *p = ab_param_of(a);
    if (!((HolderObject *)a)->stored)
        return PyErr_Format(PyExc_AttributeError, "this expression stands for no parameter");
    if (!ab_recording_columns())
        return NULL;
    return p && p->param->rows ? PyObject_GetItem((PyObject *)p, key) : ab_column_item(a, key);
}

static PyObject *
holder_negative(PyObject *a)
{
    return ab_recording_columns() ? ab_slot_negative(a) : NULL;
}

static PyObject *
holder_expression(PyObject *self, PyObject *none)
{
    ParamObject *p = ab_param_of(self);
    if (!p) {
        PyErr_SetString(PyExc_AttributeError, "_stored");
        return NULL;
    }
    return ab_recording_columns() ? param_expression((PyObject *)p, none) : NULL;
}

static PyMethodDef holder_methods[] = {
    {"_expression", holder_expression, METH_NOARGS, "Its node in the present graph, of columns."},
    {0},
};

static PyMemberDef holder_members[] = {
    {"_stored", T_OBJECT_EX, offsetof(HolderObject, stored), 0, "The parameter."},
    {0},
};

static PyType_Slot holder_slots[] = {
    {Py_tp_methods, holder_methods},
    {Py_tp_doc, "Base of objects that stand for the parameter in `_stored`."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, holder_dealloc},
    {Py_tp_traverse, holder_traverse},
    {Py_tp_clear, holder_clear},
    {Py_tp_members, holder_members},
    {Py_nb_add, holder_add},
    {Py_nb_subtract, holder_subtract},
    {Py_nb_true_divide, holder_divide},
    {Py_nb_negative, holder_negative},
    {Py_nb_multiply, holder_product},
    {Py_nb_matrix_multiply, holder_product},
    {Py_mp_subscript, holder_item},
    {Py_sq_item, ab_column_entry},
    {0, NULL},
};

PyType_Spec ab_holder_spec = {
    .name = "autobatch._core.Holder",
    .basicsize = sizeof(HolderObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = holder_slots,
};
