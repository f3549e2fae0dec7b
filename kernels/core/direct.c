/* Functions at the door: what users call.
 *
 * Some are answered directly: a Python function, say the method `value` of the drop-in's
 * expressions, that C overtakes where it is called with so many arguments and no names, nothing has
 * to be done first (of expressions the graph's `direct` says so), and the answer is to be had without
 * an error. Anything else is the function's.
 *
 * Others have the errors of their calls settled, see autobatch/calls.py; a call that succeeds pays
 * for nothing. */
#include "core.h"

#ifndef Py_LIMITED_API /* without it such methods are their functions */

#include "structmember.h"

/* NULL: an exception; NotImplemented: the function has to. */
typedef PyObject *answer(PyObject *const *args);

struct answers;

typedef struct DirectObject {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *function;
    PyObject *dict; /* __name__, __doc__ ... */
    PyObject *weak;
    const struct answers *answers; /* NULL: none */
    PyObject *failed;              /* (function, args, kwargs, error): raises another; NULL: none */
} DirectObject;

static PyObject *
or_function(PyObject *answer, PyObject *none)
{
    if (answer != none)
        return answer;
    Py_DECREF(answer);
    Py_RETURN_NOTIMPLEMENTED;
}

/* What was recorded, or nothing. */
static PyObject *
made_or_function(PyObject *made)
{
    return made || PyErr_Occurred() ? made : Py_NewRef(Py_NotImplemented);
}

static PyObject *
done_or_function(PyObject *done)
{
    done = or_function(done, Py_False);
    if (done != Py_True)
        return done;
    Py_DECREF(done);
    Py_RETURN_NONE;
}

static PyObject *
value(PyObject *const *args)
{
    const ExpressionObject *e = (ExpressionObject *)args[0];
    if (!ab_graph_is_alive(e->graph))
        Py_RETURN_NOTIMPLEMENTED;
    /* An array where there is more than one axis, whatever way it is computed. */
    const ab_type *t = ab_type_get(&core.registry, e->graph->graph->nodes[e->node].type);
    return or_function(
        t->ndim > 1 ? ab_expression_columns(args[0]) : ab_expression_plain(args[0], NULL), Py_None);
}

static PyObject *
vec_value(PyObject *const *args)
{
    return or_function(ab_expression_numbers(args[0], NULL), Py_None);
}

static PyObject *
scalar_value(PyObject *const *args)
{
    PyObject *number = value(args);
    if (!number || PyFloat_CheckExact(number))
        return number;
    Py_DECREF(number);
    Py_RETURN_NOTIMPLEMENTED;
}

static PyObject *
npvalue(PyObject *const *args)
{
    return or_function(ab_expression_columns(args[0]), Py_None);
}

static PyObject *
forward(PyObject *const *args)
{
    return done_or_function(ab_expression_run(args[0]));
}

static PyObject *
backward(PyObject *const *args)
{
    return done_or_function(ab_expression_differentiate(args[0], NULL));
}

static PyObject *
set(PyObject *const *args)
{
    return done_or_function(ab_expression_write(args[0], args[1]));
}

static PyObject *
set_index(PyObject *const *args)
{
    return done_or_function(ab_expression_redirect(args[0], args[1]));
}

static PyObject *
update(PyObject *const *args)
{
    return done_or_function(ab_trainer_update(args[0], NULL));
}

static PyObject *
renew_cg(PyObject *const *args)
{
    (void)args;
    return ab_renewed();
}

/* What it is given, once the function has said that there is no need for it. */
static PyObject *
parameter(PyObject *const *args)
{
    static int announced; /* under the interpreter lock */
    PyObject *given = announced ? args[0] : Py_NotImplemented;
    announced = 1;
    return Py_NewRef(given);
}

static PyObject *
lookup(PyObject *const *args)
{
    return made_or_function(ab_is_movable() ? NULL : ab_table_row(args[0], args[1]));
}

static PyObject *
lookup_batch(PyObject *const *args)
{
    return made_or_function(ab_table_rows(args[0], args[1]));
}

static PyObject *
pick(PyObject *const *args)
{
    return made_or_function(ab_is_movable() ? NULL : ab_column_pick(args[0], args[1]));
}

/* Dimensions, the minibatch. */
static PyObject *
dim(PyObject *const *args)
{
    const ExpressionObject *e = (ExpressionObject *)args[0];
    if (!ab_graph_is_alive(e->graph))
        Py_RETURN_NOTIMPLEMENTED;
    const ab_type *t = ab_type_get(&core.registry, e->graph->graph->nodes[e->node].type);
    PyObject *dims = PyTuple_New(t->ndim ? t->ndim : 1);
    for (int32_t i = 0; dims && i < (t->ndim ? t->ndim : 1); i++) {
        PyObject *size = PyLong_FromLongLong(t->ndim ? t->dims[t->ndim - 1 - i] : 1);
        if (!size || PyTuple_SetItem(dims, i, size) < 0)
            Py_CLEAR(dims);
    }
    return dims ? Py_BuildValue("Ni", dims, t->batch) : NULL;
}

/* Of what the first argument has to be for an answer. */
enum { ANYTHING, EXPRESSION, VALUE, ALL, TRAINER };

static const struct answers {
    const char *name;
    answer *answer;
    int count; /* of arguments */
    int of;
} ANSWERS[] = {
    {"value", value, 1, VALUE},
    {"vec_value", vec_value, 1, VALUE},
    {"scalar_value", scalar_value, 1, VALUE},
    {"npvalue", npvalue, 1, VALUE},
    {"forward", forward, 1, VALUE},
    {"backward", backward, 1, ALL},
    {"dim", dim, 1, EXPRESSION},
    {"set", set, 2, EXPRESSION},
    {"set_index", set_index, 2, EXPRESSION},
    {"update", update, 1, TRAINER},
    {"renew_cg", renew_cg, 0, ANYTHING},
    {"parameter", parameter, 1, ANYTHING},
    {"lookup", lookup, 2, ANYTHING},
    {"lookup_batch", lookup_batch, 2, ANYTHING},
    {"batch", lookup_batch, 2, ANYTHING},
    {"pick", pick, 2, ANYTHING},
};

static int
is_direct(PyObject *const *args, int of)
{
    if (of == ANYTHING)
        return 1;
    if (of == TRAINER)
        return PyObject_TypeCheck(args[0], core.trainer_type);
    if (!ab_is_expression(args[0]))
        return 0;
    const ExpressionObject *e = (ExpressionObject *)args[0];
    const int direct = e->graph->direct;
    return of == EXPRESSION || direct == DIRECT_ALL
           || (direct == DIRECT_COMPUTED && of == VALUE && ab_is_computed(e));
}

/* Asks `failed` for a better error than the one that is set. */
static void
settle_error(DirectObject *d, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    if (trace)
        PyException_SetTraceback(error, trace);
    PyObject *given = PyTuple_New(n), *named = PyDict_New(), *answer = NULL;
    for (Py_ssize_t i = 0; given && i < n; i++)
        PyTuple_SET_ITEM(given, i, Py_NewRef(args[i]));
    for (Py_ssize_t i = 0; named && names && i < PyTuple_GET_SIZE(names); i++)
        if (PyDict_SetItem(named, PyTuple_GET_ITEM(names, i), args[n + i]) < 0)
            Py_CLEAR(named);
    if (given && named)
        answer = PyObject_CallFunctionObjArgs(d->failed, d->function, given, named, error, NULL);
    Py_XDECREF(given);
    Py_XDECREF(named);
    if (answer) {
        Py_DECREF(answer);
        PyErr_Restore(type, error, trace);
        return;
    }
    Py_DECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(trace);
}

static PyObject *
direct_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    DirectObject *d = (DirectObject *)self;
    if (!d->function) {
        PyErr_SetString(PyExc_RuntimeError, "this function was never initialised");
        return NULL;
    }
    if (d->answers && PyVectorcall_NARGS(nargsf) == d->answers->count && !names
        && is_direct(args, d->answers->of)) {
        PyObject *answer = d->answers->answer(args);
        if (answer != Py_NotImplemented)
            return answer;
        Py_DECREF(answer);
    }
    PyObject *result = PyObject_Vectorcall(d->function, args, nargsf, names);
    if (!result && d->failed && PyErr_ExceptionMatches(PyExc_Exception))
        settle_error(d, args, PyVectorcall_NARGS(nargsf), names);
    return result;
}

static int
direct_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"function", "failed", NULL};
    DirectObject *d = (DirectObject *)self;
    PyObject *function, *failed = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O", names, &function, &failed))
        return -1;
    d->vectorcall = direct_vectorcall;
    if (failed) {
        Py_XSETREF(d->function, Py_NewRef(function));
        Py_XSETREF(d->failed, Py_NewRef(failed));
        d->answers = NULL;
        return 0;
    }
    PyObject *name = PyObject_GetAttrString(function, "__name__");
    if (!name)
        return -1;
    const struct answers *found = NULL;
    for (size_t i = 0; i < sizeof ANSWERS / sizeof ANSWERS[0]; i++)
        if (PyUnicode_Check(name) && !PyUnicode_CompareWithASCIIString(name, ANSWERS[i].name))
            found = &ANSWERS[i];
    if (!found)
        PyErr_Format(PyExc_ValueError, "there is no direct %R", name);
    Py_DECREF(name);
    if (!found)
        return -1;
    Py_XSETREF(d->function, Py_NewRef(function));
    d->answers = found;
    return 0;
}

static int
direct_traverse(PyObject *self, visitproc visit, void *arg)
{
    DirectObject *d = (DirectObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(d->function);
    Py_VISIT(d->failed);
    Py_VISIT(d->dict);
    return 0;
}

static int
direct_clear(PyObject *self)
{
    DirectObject *d = (DirectObject *)self;
    Py_CLEAR(d->function);
    Py_CLEAR(d->failed);
    Py_CLEAR(d->dict);
    return 0;
}

static void
direct_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (((DirectObject *)self)->weak)
        PyObject_ClearWeakRefs(self);
    direct_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
direct_get(PyObject *self, PyObject *object, PyObject *type)
{
    (void)type;
    return object && object != Py_None ? PyMethod_New(self, object) : Py_NewRef(self);
}

/* By its name, as functions are pickled and copied. */
static PyObject *
direct_reduce(PyObject *self, PyObject *none)
{
    (void)none;
    return PyObject_GetAttrString(self, "__qualname__");
}

static PyObject *
direct_repr(PyObject *self)
{
    DirectObject *d = (DirectObject *)self;
    return d->function ? PyObject_Repr(d->function) : PyUnicode_FromString("<function>");
}

static PyMethodDef direct_methods[] = {
    {"__reduce__", direct_reduce, METH_NOARGS, NULL},
    {0},
};

static PyMemberDef direct_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(DirectObject, vectorcall), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(DirectObject, dict), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(DirectObject, weak), READONLY, NULL},
    {0},
};

static PyGetSetDef direct_getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {0},
};

static PyType_Slot direct_slots[] = {
    {Py_tp_new, PyType_GenericNew},  {Py_tp_init, direct_init},
    {Py_tp_dealloc, direct_dealloc}, {Py_tp_traverse, direct_traverse},
    {Py_tp_clear, direct_clear},     {Py_tp_call, PyVectorcall_Call},
    {Py_tp_descr_get, direct_get},   {Py_tp_members, direct_members},
    {Py_tp_getset, direct_getset},   {Py_tp_methods, direct_methods},
    {Py_tp_repr, direct_repr},       {0, NULL},
};

PyType_Spec ab_direct_spec = {
    .name = "autobatch._core.Direct",
    .basicsize = sizeof(DirectObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL
             | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .slots = direct_slots,
};

#endif
