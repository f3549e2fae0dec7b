/* The module: types, hooks into Python, and the state that they share. */
#include "core.h"

#include <string.h>

/* One state for the process: recording looks at it several times per node. Sub-interpreters
 * are refused. */
Core core;

static PyObject *
set_hooks(PyObject *module, PyObject *args, PyObject *kwargs)
{
    (void)module;
    static char *names[] = {"rule", "operand", "error", "settings", "getitem", NULL};
    PyObject *rule, *operand, *error, *settings, *getitem;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOO", names, &rule, &operand, &error,
                                     &settings, &getitem))
        return NULL;
    PyObject *hooks = PyTuple_Pack(5, rule, operand, error, settings, getitem);
    if (!hooks)
        return NULL;
    Py_XDECREF(core.hooks);
    core.hooks = hooks;
    core.on_rule = rule;
    core.on_operand = operand;
    core.on_error = error;
    core.on_settings = settings;
    core.on_getitem = getitem;
    Py_RETURN_NONE;
}

static PyObject *
set_ops(PyObject *module, PyObject *args)
{
    (void)module;
    OpObject *ops[SLOTS + 9];
    if (PyTuple_Size(args) != SLOTS + 9) {
        PyErr_SetString(PyExc_TypeError,
                        "set_ops: the operators' ops, input, parameter, lookup, slice, "
                        "strided, pick, placeholder, lookup_again, pick_again");
        return NULL;
    }
    for (int i = 0; i < SLOTS + 9; i++) {
        PyObject *op = PyTuple_GetItem(args, i);
        if (!PyObject_TypeCheck(op, core.op_type)) {
            PyErr_SetString(PyExc_TypeError, "set_ops: expected ops");
            return NULL;
        }
        Py_INCREF(op);
        ops[i] = (OpObject *)op;
    }
    memcpy(core.slots, ops, sizeof core.slots);
    core.input = ops[SLOTS];
    core.parameter = ops[SLOTS + 1];
    core.lookup = ops[SLOTS + 2];
    core.slice = ops[SLOTS + 3];
    core.strided = ops[SLOTS + 4];
    core.pick = ops[SLOTS + 5];
    core.placeholder = ops[SLOTS + 6];
    core.lookup_again = ops[SLOTS + 7];
    core.pick_again = ops[SLOTS + 8];
    Py_RETURN_NONE;
}

static PyObject *
set_columns(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *product, *item;
    if (!PyArg_ParseTuple(args, "OO", &product, &item))
        return NULL;
    Py_INCREF(args);
    Py_XDECREF(core.columns);
    core.columns = args;
    core.on_product = product;
    core.on_column_item = item;
    Py_RETURN_NONE;
}

static PyObject *
set_hash_mask(PyObject *module, PyObject *mask)
{
    (void)module;
    unsigned long long bits = PyLong_AsUnsignedLongLongMask(mask);
    if (PyErr_Occurred())
        return NULL;
    ab_registry_rehash(&core.registry, bits);
    Py_RETURN_NONE;
}

static const char new_graph_doc[] =
    "new_graph()\n--\n\n"
    "Begins a graph in this thread; the graph before it ends, and its expressions with it.\n\n"
    "As a context manager, the graph before waits and goes on after the block.\n\n"
    "Returns:\n    Graph: the new one.\n\n"
    ">>> import autobatch as ab\n"
    ">>> _ = ab.new_graph()\n"
    ">>> x = ab.input([1.0, 2.0])\n"
    ">>> with ab.new_graph():\n"
    "...     ab.input([3.0]).item()\n"
    "3.0\n"
    ">>> x.value()\n"
    "array([1., 2.], dtype=float32)\n";

static const char current_graph_doc[] =
    "current_graph()\n--\n\n"
    "The graph that this thread records in; begun if there is none.\n\n"
    ">>> import autobatch as ab\n"
    ">>> graph = ab.new_graph()\n"
    ">>> ab.current_graph() is graph\n"
    "True\n";

static PyMethodDef functions[] = {
    {"set_hooks", (PyCFunction)(void (*)(void))set_hooks, METH_VARARGS | METH_KEYWORDS, NULL},
    {"set_columns", set_columns, METH_VARARGS,
     "What serves products and items of columns where the short way does not."},
    {"set_ops", set_ops, METH_VARARGS, NULL},
    {"_set_hash_mask", set_hash_mask, METH_O,
     "Narrows every hash to the bits of a mask. For tests: collisions must change nothing."},
#ifndef Py_LIMITED_API
    {"split", (PyCFunction)(void (*)(void))ab_split, METH_FASTCALL, NULL},
    {"entry", (PyCFunction)(void (*)(void))ab_entry, METH_FASTCALL, NULL},
    {"range", (PyCFunction)(void (*)(void))ab_range, METH_FASTCALL, NULL},
    {"array_input", (PyCFunction)(void (*)(void))ab_array_input, METH_FASTCALL,
     "array_input(array, batched): a placeholder that holds an array's numbers, column by column; "
     "None: a case for others."},
#endif
    {"form", ab_form_known, METH_O,
     "form(number): what the core knows of a form, in the order of the rule's answer."},
    {"lists_input", (PyCFunction)(void (*)(void))ab_lists_input, METH_FASTCALL,
     "lists_input(lists, batched): a placeholder that holds the numbers of lists of one length, "
     "column by column; None: a case for others."},
    {"numbers_input", ab_numbers_input, METH_O,
     "A placeholder that holds a number or a list of numbers; None: a case for others."},
    {"keep_updates", ab_keep_updates, METH_O,
     "keep_updates(n): at least so many of the next updates keep the numbers that graphs have "
     "read; negative: all from now on; 0: none."},
    {"redirect_directly", ab_redirect_directly, METH_O,
     "Whether lookups and picks are moved in C from now on, without a word to Python."},
    {"set_stream", ab_set_stream, METH_O,
     "set_stream(address): of the ab_twister that random numbers are drawn from."},
    {"drawn", (PyCFunction)(void (*)(void))ab_drawn, METH_FASTCALL,
     "drawn(draw, dims, batch): random numbers, to be drawn when a value is needed; dims, an int "
     "or a tuple, are ordered as columns. None: a case for others."},
    {"with_drawn", (PyCFunction)(void (*)(void))ab_with_drawn, METH_FASTCALL,
     "with_drawn(op, x, draw, lines): op(x, random numbers). lines: as many numbers as x has, "
     "-1; one for each line along a dimension, its number; one for each element of the minibatch, "
     "-2; one for all, -3. None: there is no such dimension."},
    {"set_engine", ab_set_engine, METH_VARARGS, NULL},
    {"settings_changed", ab_settings_changed, METH_NOARGS, "Settings are asked for anew."},
    {"timings", ab_timings, METH_O, NULL},
    {"phase", ab_phase, METH_O, "phase(ends): a phase that Python counts begins or has ended."},
    {"columns_begin", ab_columns_begin, METH_NOARGS,
     "What is recorded next is DyNet's: an empty graph becomes one of columns."},
    {"in_inference", ab_in_inference, METH_NOARGS, NULL},
    {"new_expression_type", ab_expression_variant, METH_NOARGS,
     "A bare subtype of Expression, for Graph.expression_type."},
    {"new_graph", ab_new_graph, METH_NOARGS, new_graph_doc},
    {"current_graph", ab_get_graph, METH_NOARGS, current_graph_doc},
    {0},
};

static int
add_type(PyObject *module, const char *name, PyType_Spec *spec, PyTypeObject **type)
{
    *type = (PyTypeObject *)PyType_FromSpec(spec);
    if (!*type)
        return -1;
    Py_INCREF(*type);
    return PyModule_AddObject(module, name, (PyObject *)*type);
}

static int
module_exec(PyObject *module)
{
    if (core.forms) {
        PyErr_SetString(PyExc_ImportError, "autobatch._core is loaded once per process");
        return -1;
    }
    if (ab_registry_init(&core.registry) < 0 || ab_turn_begin()) {
        PyErr_NoMemory();
        return -1;
    }
    core.forms = PyList_New(0);
    core.shapes = PyList_New(0);
    if (!core.forms || !core.shapes)
        return -1;
    Py_INCREF(core.forms);
    if (add_type(module, "Graph", &ab_graph_spec, &core.graph_type) < 0
        || add_type(module, "Expression", &ab_expression_spec, &core.expression_type) < 0
        || add_type(module, "Param", &ab_param_spec, &core.param_type) < 0
        || add_type(module, "Holder", &ab_holder_spec, &core.holder_type) < 0
        || add_type(module, "Updates", &ab_updates_spec, &core.updates_type) < 0
        || add_type(module, "Trainer", &ab_trainer_spec, &core.trainer_type) < 0
        || add_type(module, "Turn", &ab_turn_spec, &core.turn_type) < 0
        || add_type(module, "Computation", &ab_computation_spec, &core.computation_type) < 0
        || add_type(module, "Op", &ab_op_spec, &core.op_type) < 0
#ifndef Py_LIMITED_API
        || add_type(module, "Cell", &ab_cell_spec, &core.cell_type) < 0
        || add_type(module, "Direct", &ab_direct_spec, &core.direct_type) < 0
#endif
        || PyModule_AddObject(module, "forms", core.forms) < 0)
        return -1;
    PyObject *address = PyLong_FromVoidPtr(&core.registry);
    if (!address)
        return -1;
    return PyModule_AddObject(module, "registry", address);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, module_exec},
#if defined(Py_mod_multiple_interpreters) && !defined(Py_LIMITED_API)
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "autobatch._core",
    .m_doc = "The recorder.",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
