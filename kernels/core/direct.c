/* Methods that may be answered directly: a Python function, say `value` of the drop-in's
 * expressions, that C overtakes where it is called without arguments (`set` and `set_index` with
 * one), nothing has to be done first (of expressions the graph's `direct` says so), and the answer
 * is to be had without an error. Anything else is the function's. */
#include "core.h"

#ifndef Py_LIMITED_API /* without it such methods are their functions */

#include "structmember.h"

typedef PyObject *answer(PyObject *self, PyObject *argument); /* NULL where it takes none */

typedef struct DirectObject {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *function;
    PyObject *dict;  /* __name__, __doc__ ... */
    answer *answers; /* NULL: an exception; NotImplemented: the function has to */
} DirectObject;

static PyObject *
or_function(PyObject *answer, PyObject *none)
{
    if (answer != none)
        return answer;
    Py_DECREF(answer);
    Py_RETURN_NOTIMPLEMENTED;
}

static PyObject *
value(PyObject *self, PyObject *none)
{
    PyObject *plain = ab_expression_plain(self, none);
    if (plain != Py_None)
        return plain;
    Py_DECREF(plain);
    return or_function(ab_expression_columns(self), Py_None); /* of more than one axis */
}

static PyObject *
vec_value(PyObject *self, PyObject *none)
{
    return or_function(ab_expression_numbers(self, none), Py_None);
}

static PyObject *
scalar_value(PyObject *self, PyObject *none)
{
    PyObject *number = value(self, none);
    if (!number || PyFloat_CheckExact(number))
        return number;
    Py_DECREF(number);
    Py_RETURN_NOTIMPLEMENTED;
}

static PyObject *
npvalue(PyObject *self, PyObject *none)
{
    (void)none;
    return or_function(ab_expression_columns(self), Py_None);
}

static PyObject *
backward(PyObject *self, PyObject *none)
{
    PyObject *done = or_function(ab_expression_differentiate(self, none), Py_False);
    if (done != Py_True)
        return done;
    Py_DECREF(done);
    Py_RETURN_NONE;
}

static PyObject *
set(PyObject *self, PyObject *numbers)
{
    PyObject *done = or_function(ab_expression_write(self, numbers), Py_False);
    if (done != Py_True)
        return done;
    Py_DECREF(done);
    Py_RETURN_NONE;
}

static PyObject *
set_index(PyObject *self, PyObject *places)
{
    PyObject *done = or_function(ab_expression_redirect(self, places), Py_False);
    if (done != Py_True)
        return done;
    Py_DECREF(done);
    Py_RETURN_NONE;
}

static PyObject *
update(PyObject *self, PyObject *none)
{
    PyObject *done = or_function(ab_trainer_update(self, none), Py_False);
    if (done != Py_True)
        return done;
    Py_DECREF(done);
    Py_RETURN_NONE;
}

static const struct {
    const char *name;
    answer *answers;
} ANSWERS[] = {
    {"value", value},         {"vec_value", vec_value}, {"scalar_value", scalar_value},
    {"npvalue", npvalue},     {"backward", backward},   {"set", set},
    {"set_index", set_index}, {"update", update},
};

static int
takes_one(answer *answers)
{
    return answers == set || answers == set_index;
}

static int
is_direct(PyObject *self, answer *answers)
{
    if (answers == update)
        return PyObject_TypeCheck(self, core.trainer_type);
    if (!ab_is_expression(self))
        return 0;
    ExpressionObject *e = (ExpressionObject *)self;
    int direct = e->graph->direct;
    return direct == DIRECT_ALL || takes_one(answers)
           || (direct == DIRECT_COMPUTED && answers != backward && ab_is_computed(e));
}

static PyObject *
direct_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    DirectObject *d = (DirectObject *)self;
    if (!d->function) {
        PyErr_SetString(PyExc_RuntimeError, "this method was never initialised");
        return NULL;
    }
    const Py_ssize_t wanted = takes_one(d->answers) ? 2 : 1;
    if (PyVectorcall_NARGS(nargsf) == wanted && !names && is_direct(args[0], d->answers)) {
        PyObject *answer = d->answers(args[0], wanted == 2 ? args[1] : NULL);
        if (answer != Py_NotImplemented)
            return answer;
        Py_DECREF(answer);
    }
    return PyObject_Vectorcall(d->function, args, nargsf, names);
}

static int
direct_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"function", NULL};
    DirectObject *d = (DirectObject *)self;
    PyObject *function;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O", names, &function))
        return -1;
    PyObject *name = PyObject_GetAttrString(function, "__name__");
    if (!name)
        return -1;
    answer *found = NULL;
    for (size_t i = 0; i < sizeof ANSWERS / sizeof ANSWERS[0]; i++)
        if (PyUnicode_Check(name) && !PyUnicode_CompareWithASCIIString(name, ANSWERS[i].name))
            found = ANSWERS[i].answers;
    if (!found)
        PyErr_Format(PyExc_ValueError, "there is no direct %R", name);
    Py_DECREF(name);
    if (!found)
        return -1;
    Py_XSETREF(d->function, Py_NewRef(function));
    d->answers = found;
    d->vectorcall = direct_vectorcall;
    return 0;
}

static int
direct_traverse(PyObject *self, visitproc visit, void *arg)
{
    DirectObject *d = (DirectObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(d->function);
    Py_VISIT(d->dict);
    return 0;
}

static int
direct_clear(PyObject *self)
{
    DirectObject *d = (DirectObject *)self;
    Py_CLEAR(d->function);
    Py_CLEAR(d->dict);
    return 0;
}

static void
direct_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
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

static PyMemberDef direct_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(DirectObject, vectorcall), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(DirectObject, dict), READONLY, NULL},
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
    {Py_tp_getset, direct_getset},   {0, NULL},
};

PyType_Spec ab_direct_spec = {
    .name = "autobatch._core.Direct",
    .basicsize = sizeof(DirectObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL
             | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .slots = direct_slots,
};

#endif
