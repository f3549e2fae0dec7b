/* Looking at graphs and kernels from outside, and the trainers' updates. */
#include "engine.h"

#include "ab_update.h"

#include <stdlib.h>

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

void
ab_tape_set_done(ab_graph *g, int64_t done)
{
    g->tape_done = done;
}

int32_t
ab_tape_batch(const ab_graph *g, int64_t batch, int32_t *form, const int32_t **nodes)
{
    *form = g->tape[batch].form;
    *nodes = g->tape_nodes + g->tape[batch].first;
    return g->tape[batch].n;
}

void
ab_graph_table(const ab_graph *g, int32_t first, int32_t *form, int32_t *root, int32_t *parent,
               int64_t *offset, int64_t *batch_stride, int64_t *address, int32_t *batch)
{
    for (int32_t i = first; i < g->n; i++) {
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

void
ab_param_set_trainable(ab_param *p, int trainable)
{
    p->trainable = trainable;
}

void
ab_param_set_gradient(ab_param *p, void *dense, void *sparse, int32_t *slot_of_row,
                      int64_t *row_of_slot, int64_t slots)
{
    p->grad = dense;
    p->sparse = sparse;
    p->slot_of_row = slot_of_row;
    p->row_of_slot = row_of_slot;
    p->slots = slots;
}

int64_t
ab_param_slots(const ab_param *p)
{
    return p->slots;
}

/* Updates. */

enum { LEAST = 1 << 18 }; /* numbers per thread: to wake one costs as much as many updates */

static void
update_part(const ab_update_kernels *k, int rule, const ab_update *u, const double *a)
{
    switch (rule) {
    case 0:
        k->sgd(u, a[0]);
        break;
    case 1:
        k->momentum(u, a[0], a[1], a[2] != 0);
        break;
    case 2:
        k->adagrad(u, a[0], a[1]);
        break;
    case 3:
        k->rmsprop(u, a[0], a[1], a[2]);
        break;
    case 4:
        k->adam(u, a[0], a[1], a[2], a[3], a[4]);
        break;
    case 5:
        k->adamw(u, a[0], a[1], a[2], a[3], a[4], a[5]);
        break;
    default:
        break;
    }
}

static char *
moved(void *base, int64_t bytes)
{
    return base ? (char *)base + bytes : NULL;
}

void
ab_update_run(const ab_kernel_table *table, int rule, void *w, void *g, void *m, void *v,
              const int64_t *rows, int64_t n, int64_t dim, double factor, const double *numbers,
              int threads)
{
    int64_t parts = n * dim / LEAST < threads ? n * dim / LEAST : threads;
    parts = ab_threads((int)(parts < 1 ? 1 : parts));
    const int64_t item = table->itemsize;
#ifdef _OPENMP
#pragma omp parallel for num_threads((int)parts) if (parts > 1)
#endif
    for (int64_t t = 0; t < parts; t++) {
        ab_update u = {
            .w = w, .g = g, .m = m, .v = v, .rows = rows, .n = n, .dim = dim, .factor = factor};
        if (rows) { /* some of the rows */
            int64_t from = n * t / parts, to = n * (t + 1) / parts;
            u.rows = rows + from;
            u.g = (const char *)g + from * dim * item;
            u.n = to - from;
        } else { /* a part of the one row */
            int64_t all = n * dim, from = all * t / parts, to = all * (t + 1) / parts;
            u.w = moved(w, from * item);
            u.g = moved(g, from * item);
            u.m = moved(m, from * item);
            u.v = moved(v, from * item);
            u.n = 1;
            u.dim = to - from;
        }
        update_part(table->update, rule, &u, numbers);
    }
}

/* Blocks of fixed size, so that the sum does not depend on the number of threads. */
double
ab_squared_norm(const ab_kernel_table *table, const void *g, int64_t count, int threads)
{
    enum { BLOCK = 1 << 14, BLOCKS = 4096 };
    double total = 0, part[BLOCKS];
    for (int64_t done = 0; done < count;) {
        int64_t here = (count - done + BLOCK - 1) / BLOCK;
        here = here < BLOCKS ? here : BLOCKS;
        int parts = ab_threads(here * BLOCK < 4 * LEAST ? 1 : threads);
#ifdef _OPENMP
#pragma omp parallel for num_threads(parts) if (parts > 1)
#else
        (void)parts;
#endif
        for (int64_t i = 0; i < here; i++) {
            int64_t from = done + i * BLOCK, left = count - from;
            part[i] = table->update->squared_norm((const char *)g + from * table->itemsize,
                                                  left < BLOCK ? left : BLOCK);
        }
        for (int64_t i = 0; i < here; i++)
            total += part[i];
        done += here * BLOCK;
    }
    return total;
}

void
ab_scale(const ab_kernel_table *table, void *g, int64_t count, double factor)
{
    table->update->scale(g, count, factor);
}

void
ab_clip(const ab_kernel_table *table, void *g, int64_t count, double low, double high)
{
    table->update->clip(g, count, low, high);
}
