/* What a graph knows of parameters that are about to be changed: copies of the numbers as they were
 * read (graph/keep.c), or only what is computed. */
#include "core.h"

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

void
ab_graph_leave(GraphObject *g)
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

/* _keep(parameters, every_row): see ab_graph_keep; parameters: a list of them, or of what stands
 * for them. */
PyObject *
ab_graph_keep_all(PyObject *self, PyObject *args)
{
    GraphObject *g = (GraphObject *)self;
    PyObject *list;
    int every_row, tables = 0;
    if (!PyArg_ParseTuple(args, "O!p", &PyList_Type, &list, &every_row))
        return NULL;
    for (Py_ssize_t i = 0; g->graph && i < PyList_Size(list); i++) {
        PyObject *object = AB_LIST_ITEM(list, i);
        if (PyObject_TypeCheck(object, core.holder_type) && ((HolderObject *)object)->stored)
            object = ((HolderObject *)object)->stored;
        if (!ab_is_param(object)) {
            PyErr_SetString(PyExc_TypeError, "Graph._keep: expected parameters");
            return NULL;
        }
        const ParamObject *p = (const ParamObject *)object;
        const int32_t node = parameter_node(g, p);
        if (node < 0)
            continue;
        if (p->param->rows && !tables++ && compute_rows(g) < 0)
            return NULL;
        const int error = ab_graph_keep(g->graph, node, every_row);
        if (error < 0)
            return ab_record_failed(error, NULL);
    }
    Py_RETURN_NONE;
}
