/* A declared op as a callable. The core knows it by number. */
#include "core.h"

#include <string.h>

#ifndef Py_LIMITED_API
#include "structmember.h"

/* Whether a list is of single numbers, some with an axis and some without, which are alike to some
 * programs (losses with and without a mask): the op would refuse them at length, the function makes
 * them alike. */
static int
mixes_scalars(PyObject *items)
{
    int seen = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items); i++) {
        const ExpressionObject *e = (ExpressionObject *)PyTuple_GET_ITEM(items, i);
        if (!ab_is_expression((PyObject *)e) || !e->graph->graph)
            return 0;
        const ab_type *t = ab_type_get(&core.registry, e->graph->graph->nodes[e->node].type);
        if (t->size != 1 || t->ndim > 1)
            return 0;
        seen |= t->ndim ? 2 : 1;
    }
    return seen == 3;
}

static PyObject *
op_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    OpObject *op = (OpObject *)self;
    Py_ssize_t n = PyVectorcall_NARGS(nargsf);
    int named = names && PyTuple_GET_SIZE(names), taken = op->plain && !named;
    PyObject *made = NULL;
    if (op->indexed && n == 2 && !named) {
        made = ab_record_indexed(op, args[0], args[1]);
        if (made || PyErr_Occurred())
            return made;
    }
    if (taken && op->variadic && n == 1 && PyList_CheckExact(args[0])) {
        /* A copy: converting an operand may run the user's code, which may change the list. */
        PyObject *items = PyList_AsTuple(args[0]);
        if (!items)
            return NULL;
        if (!(op->indexed & ONLY_LISTS && mixes_scalars(items)))
            made =
                ab_record_operands(op, ((PyTupleObject *)items)->ob_item, PyTuple_GET_SIZE(items));
        Py_DECREF(items);
    } else if (op->indexed & ONLY_LISTS)
        taken = 0;
    else if (taken && op->variadic && n == 1 && PyTuple_CheckExact(args[0]))
        made =
            ab_record_operands(op, ((PyTupleObject *)args[0])->ob_item, PyTuple_GET_SIZE(args[0]));
    else if (taken && !(op->unless && n && args[0] == Py_None))
        made = ab_record_operands(op, args, n);
    if (made)
        return made;
    if (PyErr_Occurred()) {
        if (!op->unless || !PyErr_ExceptionMatches(op->unless))
            return NULL;
        PyErr_Clear();
    }
    if (op->fallback)
        return PyObject_Vectorcall(op->fallback, args, nargsf, names);
    return ab_error(named ? "keywords" : "not plain", self, NULL);
}
#endif

#ifdef Py_LIMITED_API
static PyObject *
op_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    OpObject *op = (OpObject *)self;
    if (op->fallback)
        return PyObject_Call(op->fallback, args, kwargs);
    if (kwargs && PyDict_Size(kwargs))
        return ab_error("keywords", self, NULL);
    if (!op->plain)
        return ab_error("not plain", self, NULL);
    PyObject *items = NULL;
    if (op->variadic && PyTuple_Size(args) == 1 && PyList_CheckExact(PyTuple_GetItem(args, 0)))
        items = PyList_AsTuple(PyTuple_GetItem(args, 0));
    else if (op->variadic && PyTuple_Size(args) == 1
             && PyTuple_CheckExact(PyTuple_GetItem(args, 0)))
        Py_INCREF(items = PyTuple_GetItem(args, 0));
    else
        Py_INCREF(items = args);
    if (!items)
        return NULL;
    Py_ssize_t n = PyTuple_Size(items);
    PyObject *made = NULL, *stack[8];
    if (n <= 8) {
        for (Py_ssize_t i = 0; i < n; i++)
            stack[i] = PyTuple_GetItem(items, i);
        made = ab_record_operands(op, stack, n);
    } else {
        PyObject **array = PyMem_Malloc((size_t)n * sizeof *array);
        if (!array) {
            PyErr_NoMemory();
        } else {
            for (Py_ssize_t i = 0; i < n; i++)
                array[i] = PyTuple_GetItem(items, i);
            made = ab_record_operands(op, array, n);
            PyMem_Free(array);
        }
    }
    Py_DECREF(items);
    return made;
}
#endif

static int
op_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"id", "name", "inputs", "variadic", "plain", "weights", "doc", NULL};
    OpObject *op = (OpObject *)self;
    int id, inputs, variadic, plain, weights;
    PyObject *name, *doc;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "iUipppU", names, &id, &name, &inputs, &variadic,
                                     &plain, &weights, &doc))
        return -1;
    op->id = id;
    for (int i = 0; i < RECENT; i++)
        op->recent[i].form = -1;
    op->nin = inputs;
    op->variadic = variadic;
    op->plain = plain;
    op->weights = weights;
    Py_INCREF(name);
    Py_XDECREF(op->name);
    op->name = name;
    Py_INCREF(doc);
    Py_XDECREF(op->doc);
    op->doc = doc;
#ifndef Py_LIMITED_API
    op->vectorcall = op_vectorcall;
#endif
    return 0;
}

static void
op_dealloc(PyObject *self)
{
    OpObject *op = (OpObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(op->name);
    Py_XDECREF(op->doc);
    Py_XDECREF(op->dict);
    Py_XDECREF(op->fallback);
    Py_XDECREF(op->unless);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* short_calls(function, unless, indexed, attrs, vectors): see OpObject. */
static PyObject *
op_short_calls(PyObject *self, PyObject *args)
{
    OpObject *op = (OpObject *)self;
    PyObject *function, *unless, *attrs;
    int indexed, vectors = 0;
    if (!PyArg_ParseTuple(args, "OOiO!|p", &function, &unless, &indexed, &PyTuple_Type, &attrs,
                          &vectors))
        return NULL;
    if (PyTuple_Size(attrs) > 2) {
        PyErr_SetString(PyExc_ValueError, "at most two attributes");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_Size(attrs); i++)
        op->attrs[i] = PyLong_AsLongLong(PyTuple_GetItem(attrs, i));
    if (PyErr_Occurred())
        return NULL;
    op->nattrs = (int32_t)PyTuple_Size(attrs);
    op->indexed = indexed;
    op->vectors = vectors;
    Py_INCREF(function);
    Py_XDECREF(op->fallback);
    op->fallback = function;
    Py_XDECREF(op->unless);
    op->unless = unless == Py_None ? NULL : unless;
    Py_XINCREF(op->unless);
    PyObject *doc = PyObject_GetAttrString(function, "__doc__");
    if (doc && PyUnicode_Check(doc)) {
        Py_DECREF(op->doc);
        op->doc = doc;
    } else {
        Py_XDECREF(doc);
        PyErr_Clear();
    }
    Py_INCREF(self);
    return self;
}

static PyObject *
op_get_wrapped(PyObject *self, void *closure)
{
    (void)closure;
    PyObject *function = ((OpObject *)self)->fallback;
    if (!function) {
        PyErr_SetString(PyExc_AttributeError, "__wrapped__");
        return NULL;
    }
    Py_INCREF(function);
    return function;
}

static PyObject *
op_get_name(PyObject *self, void *closure)
{
    (void)closure;
    PyObject *name = ((OpObject *)self)->name;
    Py_INCREF(name);
    return name;
}

static PyObject *
op_get_doc(PyObject *self, void *closure)
{
    (void)closure;
    PyObject *doc = ((OpObject *)self)->doc;
    Py_INCREF(doc);
    return doc;
}

static PyObject *
op_get_id(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromLong(((OpObject *)self)->id);
}

static PyObject *
op_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<op %U>", ((OpObject *)self)->name);
}

#ifdef Py_LIMITED_API
static PyObject *
op_record(PyObject *self, PyObject *args)
{
    PyObject *three[3];
    if (!PyArg_ParseTuple(args, "OOO", &three[0], &three[1], &three[2]))
        return NULL;
    return ab_record(self, three, 3);
}
#endif

/* Like a function an op is described by its signature; unlike one it does not become a method. */
static PyObject *
op_get(PyObject *self, PyObject *object, PyObject *type)
{
    (void)object;
    (void)type;
    Py_INCREF(self);
    return self;
}

static PyMethodDef op_methods[] = {
#ifdef Py_LIMITED_API
    {"record", op_record, METH_VARARGS,
#else
    {"record", (PyCFunction)(void (*)(void))ab_record, METH_FASTCALL,
#endif
     "record(operands, attrs, data): the general form of a call."},
    {"short_calls", op_short_calls, METH_VARARGS, NULL},
    {"usual", ab_op_usual, METH_VARARGS,
     "usual(kind, kernels, flags, flops): what all forms of an op of that kind have in common."},
    {0},
};

static PyGetSetDef op_getset[] = {
    {"__name__", op_get_name, NULL, NULL, NULL},
    {"__qualname__", op_get_name, NULL, NULL, NULL},
    {"__doc__", op_get_doc, NULL, NULL, NULL},
    {"__wrapped__", op_get_wrapped, NULL, NULL, NULL},
    {"id", op_get_id, NULL, "The op's number.", NULL},
    {0},
};

#ifndef Py_LIMITED_API
static PyMemberDef op_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(OpObject, vectorcall), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(OpObject, dict), READONLY, NULL},
    {0},
};
#endif

static PyType_Slot op_slots[] = {
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, op_init},
    {Py_tp_dealloc, op_dealloc},
    {Py_tp_repr, op_repr},
    {Py_tp_descr_get, op_get},
    {Py_tp_methods, op_methods},
    {Py_tp_getset, op_getset},
#ifdef Py_LIMITED_API
    {Py_tp_call, op_call},
#else
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, op_members},
#endif
    {0, NULL},
};

PyType_Spec ab_op_spec = {
    .name = "autobatch._core.Op",
    .basicsize = sizeof(OpObject),
    .flags = Py_TPFLAGS_DEFAULT
#ifndef Py_LIMITED_API
             | Py_TPFLAGS_HAVE_VECTORCALL
#endif
    ,
    .slots = op_slots,
};
