/* Looking at graphs and kernels from outside. */
#include "engine.h"

const char *
ab_table_isa(const ab_kernel_table *table)
{
    return table->isa;
}

const char *
ab_kernel_name(const ab_kernel_table *table, int index)
{
    return index >= 0 && index < table->count ? table->kernels[index].name : NULL;
}

int32_t
ab_graph_itemsize(const ab_graph *g)
{
    return g->itemsize;
}

int32_t
ab_graph_nodes(const ab_graph *g)
{
    return g->n;
}

int64_t
ab_graph_shared(const ab_graph *g)
{
    return g->shared;
}

int64_t
ab_graph_size(const ab_graph *g)
{
    return (int64_t)(g->bookkeeping + g->values.used + g->gradients.used);
}

int64_t
ab_graph_arena(const ab_graph *g)
{
    return (int64_t)g->values.used;
}

int64_t
ab_tape_length(const ab_graph *g)
{
    return g->tape_n;
}

int64_t
ab_tape_done(const ab_graph *g)
{
    return g->tape_done;
}

int
ab_tape_is_kept(const ab_graph *g, int backward)
{
    const engine *e = g->engine;
    const preparation *p = e ? backward ? &e->back : &e->ahead : NULL;
    return p && e->epoch == g->epoch && p->plans == g->plans && p->table
           && p->steps.state == STEPS_KEPT;
}

void
ab_tape_set_done(ab_graph *g, int64_t done)
{
    if (done)
        g->tape_done = done;
    else
        ab_graph_forget(g);
}

int32_t
ab_tape_batch(const ab_graph *g, int64_t batch, int32_t *form, const int32_t **nodes)
{
    *form = g->tape[batch].form;
    *nodes = g->tape_nodes + g->tape[batch].first;
    return g->tape[batch].n;
}

void
ab_graph_table(const ab_graph *g, int32_t first, int32_t n, int32_t *form, int32_t *root,
               int32_t *parent, int64_t *offset, int64_t *batch_stride, int64_t *address,
               int32_t *batch)
{
    for (int32_t i = first; i < first + n; i++) {
        const ab_node *d = &g->nodes[i];
        const ab_form *f = ab_form_get(g->registry, d->form);
        form[i - first] = d->form;
        root[i - first] = d->root;
        parent[i - first] = f->flags & AB_FORM_VIEW ? g->operands[d->first] : -1;
        offset[i - first] = d->offset;
        batch_stride[i - first] = d->stride;
        int computed = !(f->flags & (AB_FORM_SOURCE | AB_FORM_VIEW)) && g->value[i];
        address[i - first] = computed ? (g->value[i] - g->values.base) / g->itemsize : -1;
        batch[i - first] = d->batch_tape;
    }
}

int32_t
ab_node_operands(const ab_graph *g, int32_t node, const int32_t **operands)
{
    *operands = g->operands + g->nodes[node].first;
    return g->nodes[node].nin;
}

int32_t
ab_node_data(const ab_graph *g, int32_t node, const int64_t **data)
{
    *data = g->nodes[node].data;
    return g->nodes[node].ndata;
}

const void *
ab_node_value(const ab_graph *g, int32_t node)
{
    return ab_value_address(g, node);
}

const ab_engine_functions *
ab_engine_functions_get(void)
{
    static const ab_engine_functions functions = {
        .table_select = ab_table_select,
        .plan = ab_plan,
        .forward = ab_forward,
        .backward_begin = ab_backward_begin,
        .backward_run = ab_backward_run,
        .update_all = ab_update_all,
        .draw = ab_twister_fill,
        .draw_numbers = ab_twister_draw,
    };
    return &functions;
}
