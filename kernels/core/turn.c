/* The turn to sum or to apply gradients: it is one backward pass's or update's at a time, as
 * parameters are shared by all threads. A thread that has it may take it again. */
#include "core.h"

#include <pthread.h>

/* All changed under the interpreter lock, so that a turn that nobody waits for takes no other. */
static unsigned long owner;
static long depth, waiting;
static PyThread_type_lock bell; /* released for one of those who wait, once it may be their turn */
static int rung;
static int passing; /* the owner runs a backward pass: gradients are half summed */

/* A forked child has none of the threads that may have had the turn or waited for it. */
static void
in_child(void)
{
    if (owner != PyThread_get_thread_ident())
        depth = passing = 0;
    waiting = 0;
    bell = NULL;
    rung = 0;
}

int
ab_turn_begin(void)
{
    return pthread_atfork(NULL, NULL, in_child);
}

static int
wait_for_turn(void)
{
    if (!bell) {
        if (!(bell = PyThread_allocate_lock())) {
            PyErr_NoMemory();
            return -1;
        }
        PyThread_acquire_lock(bell, WAIT_LOCK);
    }
    int error = 0;
    waiting++;
    while (depth && bell && !error) {
        int heard;
        Py_BEGIN_ALLOW_THREADS heard =
            PyThread_acquire_lock_timed(bell, 100000, 0) == PY_LOCK_ACQUIRED;
        Py_END_ALLOW_THREADS if (heard) rung = 0;
        error = PyErr_CheckSignals();
    }
    waiting -= waiting > 0; /* a child that was forked meanwhile counts anew */
    return error;
}

int
ab_turn_take(void)
{
    const unsigned long me = PyThread_get_thread_ident();
    if (depth && owner == me && passing) {
        ab_error("in a pass", NULL, NULL);
        return -1;
    }
    if (depth && owner != me && wait_for_turn() < 0)
        return -1;
    owner = me;
    depth++;
    return 0;
}

void
ab_turn_pass(void)
{
    passing = 1;
}

void
ab_turn_give(void)
{
    if (--depth)
        return;
    passing = 0;
    if (!waiting || rung || !bell)
        return;
    rung = 1;
    PyThread_release_lock(bell);
}

static PyObject *
turn_enter(PyObject *self, PyObject *none)
{
    (void)none;
    return ab_turn_take() < 0 ? NULL : Py_NewRef(self);
}

static PyObject *
turn_pass(PyObject *self, PyObject *none)
{
    (void)self;
    (void)none;
    ab_turn_pass();
    Py_RETURN_NONE;
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
    {"differentiates", turn_pass, METH_NOARGS,
     "A backward pass begins: until the turn ends nothing else changes gradients or parameters."},
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
