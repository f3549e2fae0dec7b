/* What a graph knows of parameters that are about to be changed: copies of the numbers as they were
 * read (graph/keep.c), or only what is computed.
 *
 * DyNet's graphs go on with the parameters as they read them: what is computed after an update, a
 * second loss's gradient say, uses the old numbers of what was read before it. Few programs compute
 * anything then, and to keep the numbers takes time: those of a trainer's first updates are kept,
 * those of later ones only if a program has ever computed so late. */
#include "core.h"

#include <limits.h>

static long kept_updates; /* still to come; LONG_MAX: all; changed under the interpreter lock */

void
ab_keep_all_updates(void)
{
    kept_updates = LONG_MAX;
}

/* keep_updates(n): at least so many of the next updates keep numbers; negative: all; 0: none. */
PyObject *
ab_keep_updates(PyObject *module, PyObject *number)
{
    (void)module;
    const long n = PyLong_AsLong(number);
    if (n == -1 && PyErr_Occurred())
        return NULL;
    if (n < 0)
        ab_keep_all_updates();
    else if (!n || n > kept_updates)
        kept_updates = n;
    Py_RETURN_NONE;
}

/* Computes the rows that were looked up before the last node that was asked for. */
static int
compute_rows(GraphObject *g)
{
    ab_graph *m = g->graph;
    const ab_settings *s = ab_settings_now();
    if (!s)
        return -1;
    if (!core.engine || s->backend != AB_BACKEND_CPU || g->backend > AB_BACKEND_CPU)
        return 0;
    for (int32_t i = 0; i <= m->asked && i < m->n; i++) {
        const ab_form *f = ab_form_get(&core.registry, m->nodes[i].form);
        if (!(f->flags & AB_FORM_TABLE) || f->flags & AB_FORM_SOURCE || ab_value_address(m, i))
            continue;
        int64_t code = core.engine->plan(m, 1, &i, s->strategy);
        while (code >= 0 && code != AB_RUN_FORMULA && m->tape_done < m->tape_n) {
            code = core.engine->forward(m, s->table[m->itemsize == 8], s->threads, AB_SLICE);
            if (code == AB_RUN_AGAIN && PyErr_CheckSignals() < 0)
                return -1;
            if (g->graph != m) /* a signal's handler has ended it */
                return 0;
        }
        if (code < 0) {
            ab_record_failed((int)code, NULL);
            return -1;
        }
        if (code == AB_RUN_FORMULA) /* a run that was interrupted: it is Python's to go on */
            return 0;
    }
    return 0;
}

static void
leave(GraphObject *g)
{
    g->updated = 1;
    if (g->direct == DIRECT_ALL)
        g->direct = DIRECT_COMPUTED;
}

/* The node of a parameter, -1: it has none. A graph within may have recorded it since. */
static int32_t
parameter_node(const GraphObject *g, const ParamObject *p)
{
    const ab_graph *m = g->graph;
    if (p->serial <= g->serial)
        return p->serial == g->serial ? p->node : -1;
    for (int32_t i = 0; i < m->n; i++)
        if (ab_form_get(&core.registry, m->nodes[i].form)->flags & AB_FORM_PARAMETER
            && (const ab_param *)(intptr_t)m->nodes[i].data[0] == p->param)
            return i;
    return -1;
}

/* Parameters, a list of them or of what stands for them, are about to be changed: see
 * ab_graph_keep. -1: an exception. */
static int
keep(GraphObject *g, PyObject *list, int every_row)
{
    int tables = 0;
    for (Py_ssize_t i = 0; g->graph && i < PyList_Size(list); i++) {
        const ParamObject *p = ab_param_of(AB_LIST_ITEM(list, i));
        if (!p) {
            PyErr_SetString(PyExc_TypeError, "Graph: expected parameters");
            return -1;
        }
        const int32_t node = parameter_node(g, p);
        if (node < 0)
            continue;
        if (p->param->rows && !tables++ && compute_rows(g) < 0)
            return -1;
        const int error = ab_graph_keep(g->graph, node, every_row);
        if (error < 0) {
            ab_record_failed(error, NULL);
            return -1;
        }
    }
    return 0;
}

int
ab_graph_before_update(GraphObject *g, PyObject *parameters, PyObject *tables, int every_row)
{
    if (g->late)
        kept_updates = LONG_MAX;
    if (!kept_updates) {
        leave(g);
        return 0;
    }
    if (kept_updates < LONG_MAX)
        kept_updates--;
    if (keep(g, parameters, every_row) < 0 || keep(g, tables, every_row) < 0)
        return -1;
    g->updated = 1;
    return 0;
}

/* _before_update(parameters, tables, every_row) */
PyObject *
ab_graph_update(PyObject *self, PyObject *args)
{
    PyObject *parameters, *tables;
    int every_row;
    if (!PyArg_ParseTuple(args, "O!O!p", &PyList_Type, &parameters, &PyList_Type, &tables,
                          &every_row)
        || ab_graph_before_update((GraphObject *)self, parameters, tables, every_row) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* _keep(parameters, every_row) */
PyObject *
ab_graph_keep_all(PyObject *self, PyObject *args)
{
    PyObject *list;
    int every_row;
    if (!PyArg_ParseTuple(args, "O!p", &PyList_Type, &list, &every_row)
        || keep((GraphObject *)self, list, every_row) < 0)
        return NULL;
    Py_RETURN_NONE;
}
