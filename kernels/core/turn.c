/* The turn to sum or to apply gradients: it is one backward pass's or update's at a time, as
 * parameters are shared by all threads. A thread that has it may take it again. */
#include "core.h"

static PyThread_type_lock lock;
static unsigned long owner; /* this and the next: changed under the interpreter lock */
static long depth;

int
ab_turn_take(void)
{
    const unsigned long me = PyThread_get_thread_ident();
    if (depth && owner == me) {
        depth++;
        return 0;
    }
    if (!lock && !(lock = PyThread_allocate_lock())) {
        PyErr_NoMemory();
        return -1;
    }
    for (int taken = PyThread_acquire_lock(lock, NOWAIT_LOCK); !taken;) {
        Py_BEGIN_ALLOW_THREADS taken =
            PyThread_acquire_lock_timed(lock, 100000, 0) == PY_LOCK_ACQUIRED;
        Py_END_ALLOW_THREADS if (PyErr_CheckSignals() < 0)
        {
            if (taken)
                PyThread_release_lock(lock);
            return -1;
        }
    }
    owner = me;
    depth = 1;
    return 0;
}

void
ab_turn_give(void)
{
    if (!--depth)
        PyThread_release_lock(lock);
}

static PyObject *
turn_enter(PyObject *self, PyObject *none)
{
    (void)none;
    return ab_turn_take() < 0 ? NULL : Py_NewRef(self);
}

static PyObject *
turn_exit(PyObject *self, PyObject *exception)
{
    (void)self;
    (void)exception;
    if (!depth || owner != PyThread_get_thread_ident()) {
        PyErr_SetString(PyExc_RuntimeError, "it is not this thread's turn");
        return NULL;
    }
    ab_turn_give();
    Py_RETURN_NONE;
}

static PyMethodDef turn_methods[] = {
    {"__enter__", turn_enter, METH_NOARGS, NULL},
    {"__exit__", turn_exit, METH_VARARGS, NULL},
    {0},
};

static PyType_Slot turn_slots[] = {
    {Py_tp_doc, "The turn to sum or to apply gradients, as a context."},
    {Py_tp_methods, turn_methods},
    {0, NULL},
};

PyType_Spec ab_turn_spec = {
    .name = "autobatch._core.Turn",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = turn_slots,
};
