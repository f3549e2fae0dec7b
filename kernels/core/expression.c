/* The handle that a user holds: a graph and a number. */
#include "core.h"

enum { KEPT = 1 << 14 }; /* dead expressions kept for the next ones */

PyObject *
ab_expression_new(GraphObject *g, int32_t node)
{
    ExpressionObject *e = core.free;
    PyTypeObject *type = g->type ? g->type : core.expression_type;
#ifndef Py_LIMITED_API
    if (e) {
        core.free = (ExpressionObject *)e->graph;
        core.nfree--;
        PyObject_Init((PyObject *)e, type);
    } else
#endif
        if (!(e = PyObject_New(ExpressionObject, type)))
        return NULL;
    Py_INCREF(g);
    e->graph = g;
    e->node = node;
    return (PyObject *)e;
}

static void
expression_dealloc(PyObject *self)
{
    ExpressionObject *e = (ExpressionObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    Py_DECREF(e->graph);
#ifndef Py_LIMITED_API
    if (core.nfree < KEPT && type->tp_basicsize == sizeof(ExpressionObject)) {
        e->graph = (GraphObject *)core.free;
        core.free = e;
        core.nfree++;
        Py_DECREF(type);
        return;
    }
#endif
    PyObject_Free(self);
    Py_DECREF(type);
}

PyObject *
ab_type_shape(int32_t type)
{
    while (PyList_Size(core.shapes) <= type) {
        const ab_type *t = ab_type_get(&core.registry, (int32_t)PyList_Size(core.shapes));
        PyObject *shape = PyTuple_New(t->ndim);
        for (int32_t i = 0; shape && i < t->ndim; i++) {
            PyObject *dim = PyLong_FromLongLong(t->dims[i]);
            if (!dim || PyTuple_SetItem(shape, i, dim) < 0)
                Py_CLEAR(shape);
        }
        if (!shape || PyList_Append(core.shapes, shape) < 0) {
            Py_XDECREF(shape);
            return NULL;
        }
        Py_DECREF(shape);
    }
    return PyList_GetItem(core.shapes, type);
}

static const ab_form *
form_of(PyObject *self)
{
    ExpressionObject *e = (ExpressionObject *)self;
    if (!e->graph->graph) {
        ab_error("stale", NULL, Py_NewRef((PyObject *)e->graph));
        return NULL;
    }
    return ab_form_get(&core.registry, e->graph->graph->nodes[e->node].form);
}

static PyObject *
get_shape(PyObject *self, void *closure)
{
    (void)closure;
    const ab_form *f = form_of(self);
    PyObject *shape = f ? ab_type_shape(f->type) : NULL;
    Py_XINCREF(shape);
    return shape;
}

static PyObject *
get_batch_size(PyObject *self, void *closure)
{
    (void)closure;
    const ab_form *f = form_of(self);
    return f ? PyLong_FromLong(f->batch) : NULL;
}

static PyObject *
get_form(PyObject *self, void *closure)
{
    (void)closure;
    ExpressionObject *e = (ExpressionObject *)self;
    return form_of(self) ? PyLong_FromLong(e->graph->graph->nodes[e->node].form) : NULL;
}

static PyObject *
get_weight(PyObject *self, void *closure)
{
    (void)closure;
    ExpressionObject *e = (ExpressionObject *)self;
    if (!form_of(self))
        return NULL;
    return PyBool_FromLong(e->graph->graph->nodes[e->node].flags & AB_NODE_WEIGHT);
}

static PyObject *
get_node(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromLong(((ExpressionObject *)self)->node);
}

static PyObject *
get_graph(PyObject *self, void *closure)
{
    (void)closure;
    PyObject *graph = (PyObject *)((ExpressionObject *)self)->graph;
    Py_INCREF(graph);
    return graph;
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

static Py_ssize_t
expression_length(PyObject *self)
{
    const ab_form *f = form_of(self);
    if (!f)
        return -1;
    const ab_type *t = ab_type_get(&core.registry, f->type);
    if (!t->ndim) {
        ab_error("length", NULL, NULL);
        return -1;
    }
    return (Py_ssize_t)t->dims[0];
}

static int
expression_bool(PyObject *self)
{
    (void)self;
    ab_error("truth", NULL, NULL);
    return -1;
}

static PyGetSetDef expression_getset[] = {
    {"shape", get_shape, NULL, "The shape, a tuple, without the manual minibatch.", NULL},
    {"batch_size", get_batch_size, NULL, "The size of the manual minibatch; 1 if none.", NULL},
    {"is_weight", get_weight, NULL, "Whether it is computed from parameters only.", NULL},
    {"graph", get_graph, NULL, "The graph that it belongs to.", NULL},
    {"node", get_node, NULL, "The number of its node.", NULL},
    {"_form", get_form, NULL, NULL, NULL},
    {0},
};

static PyMethodDef expression_methods[] = {
    {"value", ab_expression_value, METH_NOARGS,
     "value($self)\n--\n\n"
     "The value as a new array; runs what it needs and has not run yet.\n\n"
     "A manual minibatch is the first axis. Indices (of `argmax`) are int64, all else has the\n"
     "graph's dtype. Also ``np.asarray(expression)``.\n\n"
     ">>> import autobatch as ab\n"
     ">>> x = ab.input([1.0, 2.0])\n"
     ">>> (x + x).value()\n"
     "array([2., 4.], dtype=float32)\n"},
    {"item", ab_expression_item, METH_NOARGS,
     "item($self)\n--\n\n"
     "The value of a scalar (of an expression with one element) as a Python number.\n\n"
     ">>> import autobatch as ab\n"
     ">>> ab.sum(ab.input([1.0, 2.0])).item()\n"
     "3.0\n"},
    {"_computed", ab_expression_computed, METH_NOARGS, NULL},
    {"_numbers", ab_expression_numbers, METH_NOARGS, NULL},
    {"_plain", ab_expression_plain, METH_NOARGS, NULL},
    {"_differentiate", ab_expression_differentiate, METH_NOARGS, NULL},
    {"_differentiate_full", ab_expression_differentiate_full, METH_NOARGS, NULL},
    {"_gradient_columns", ab_expression_gradient_columns, METH_NOARGS, NULL},
    {"_write", ab_expression_write, METH_O, NULL},
    {"backward", (PyCFunction)(void (*)(void))ab_expression_backward, METH_VARARGS | METH_KEYWORDS,
     "backward($self, wrt=())\n--\n\n"
     "Differentiates a scalar; adds to the gradient of every parameter that it depends on.\n\n"
     "Runs forward first where needed. Gradients of parameters add up until a trainer's update\n"
     "or ``zero_grad()``; those of expressions are of the last call.\n\n"
     "Args:\n"
     "    wrt: expressions whose gradient is wanted, too: read it by "
     "``expression.gradient()``.\n\n"
     "Raises:\n"
     "    GradientError: it is not a scalar without a manual minibatch.\n\n"
     ">>> import autobatch as ab\n"
     ">>> w = ab.Parameter(init=[3.0, 4.0])\n"
     ">>> x = ab.input([1.0, 2.0])\n"
     ">>> ab.sum(w * x).backward(wrt=[x])\n"
     ">>> w.gradient(), x.gradient()\n"
     "(array([1., 2.], dtype=float32), array([3., 4.], dtype=float32))\n"},
    {0},
};

static PyObject *
expression_new(PyTypeObject *type, PyObject *args, PyObject *named)
{
    (void)args;
    (void)named;
    return ab_error("instance", NULL, PyObject_GetAttrString((PyObject *)type, "__name__"));
}

static PyType_Slot expression_slots[] = {
    {Py_tp_new, expression_new},
    {Py_tp_doc, "Expression()\n--\n\n"
                "A value to be computed; operators on it record more.\n\n"
                "Operators are NumPy's: ``+ - * / **`` broadcast, ``@`` is the matrix product,\n"
                "``[]`` takes ints and slices. ``shape`` and ``batch_size`` are known at once;\n"
                "``value()``, ``item()``, ``np.asarray()`` and ``backward()`` run what they need.\n"
                "It ends with its graph.\n\n"
                ">>> import autobatch as ab\n"
                ">>> x = ab.input([1.0, 2.0])\n"
                ">>> y = 2 * x + 1\n"
                ">>> y.shape, y.value()\n"
                "((2,), array([3., 5.], dtype=float32))\n"},
    {Py_tp_dealloc, expression_dealloc},
    {Py_tp_methods, expression_methods},
    {Py_tp_getset, expression_getset},
    {Py_nb_add, slot_add},
    {Py_nb_subtract, slot_subtract},
    {Py_nb_multiply, slot_multiply},
    {Py_nb_true_divide, slot_divide},
    {Py_nb_matrix_multiply, slot_matmul},
    {Py_nb_power, ab_slot_power},
    {Py_nb_negative, ab_slot_negative},
    {Py_nb_bool, expression_bool},
    {Py_mp_subscript, ab_item},
    {Py_mp_length, expression_length},
    {0, NULL},
};

/* A type of expressions whose matrices are columns, see record.c. Classes made in Python are
 * collected as garbage, which costs each object a header and the collector a look; this one is
 * not, and Python gives it its methods. */
PyObject *
ab_expression_variant(PyObject *module, PyObject *none)
{
    (void)module;
    (void)none;
    static PyType_Slot slots[] = {
        {Py_tp_dealloc, expression_dealloc},
        {Py_nb_multiply, ab_slot_product},
        {Py_nb_matrix_multiply, ab_slot_product},
        {Py_mp_subscript, ab_column_item},
        {Py_sq_item, ab_column_entry},
        {Py_tp_iter, PySeqIter_New},
        {0, NULL},
    };
    static PyType_Spec spec = {
        .name = "autobatch.ExpressionVariant",
        .basicsize = sizeof(ExpressionObject),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
        .slots = slots,
    };
    PyObject *bases = PyTuple_Pack(1, (PyObject *)core.expression_type);
    PyObject *type = bases ? PyType_FromSpecWithBases(&spec, bases) : NULL;
    Py_XDECREF(bases);
    if (type)
        Py_XSETREF(core.column_type, (PyTypeObject *)Py_NewRef(type));
    return type;
}

PyType_Spec ab_expression_spec = {
    .name = "autobatch.Expression",
    .basicsize = sizeof(ExpressionObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = expression_slots,
};
