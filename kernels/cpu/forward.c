/* Running forward. */
#include "engine.h"

#include <string.h>

static weight *
weight_at(const ab_graph *g, const engine *e, int32_t node, const affine *a, int64_t pair)
{
    return &e->weights[e->weight_of[g->operands[g->nodes[node].first + affine_w(a, pair)]]];
}

/* Operations of a batch, roughly: what tells whether a batch is worth sharing out. */
static int64_t
work_of(const ab_form *f, int64_t n)
{
    return n * f->batch * (f->flops / 8 + f->size + 8);
}

/* y = bias + W1 x1 + ... for rows [first, first + n) and the given share of the outputs. */
static void
affine_rows(worker *w, const ab_form *f, const affine *a, const int32_t *nodes, int64_t first,
            int64_t n, int64_t part, int64_t parts)
{
    const ab_graph *g = w->r->g;
    const ab_matrix_kernels *m = w->r->table->matrix;
    const int64_t item = g->itemsize, r = a->r;
    frame fr = ab_frame(w, f);
    int64_t chunk = fr.chunk / r > 0 ? fr.chunk / r : 1;
    int64_t panels = (a->m + m->panel - 1) / m->panel;
    int64_t p0 = panels * part / parts, p1 = panels * (part + 1) / parts;
    int64_t o0 = p0 * m->panel < a->m ? p0 * m->panel : a->m;
    int64_t o1 = p1 * m->panel < a->m ? p1 * m->panel : a->m;
    for (int64_t end = first + n; first < end; first += chunk) {
        int64_t count = end - first < chunk ? end - first : chunk;
        /* Rows of a node, then r vectors of each: in place where they are one and the same. */
        for (int64_t v0 = 0; v0 < r; v0 += fr.chunk) {
            int64_t vs = r - v0 < fr.chunk ? r - v0 : fr.chunk;
            int64_t total = count * vs;
            ab_fill_result(g, f, g->value, nodes, first, count, fr.y);
            if (r > 1) {
                for (int64_t i = count - 1; i >= 0; i--)
                    for (int64_t v = vs - 1; v >= 0; v--)
                        fr.y[i * vs + v] = (char *)fr.y[i] + (v0 + v) * a->m * item;
            }
            const void *bias = NULL;
            int accumulate = 0;
            if (a->has_bias) {
                void **at = ab_frame_x(&fr, 0);
                ab_fill_operand(g, f, 0, nodes, first, count, at);
                bias = at[0];
                for (int64_t i = 1; i < count && bias; i++)
                    if (at[i] != bias)
                        bias = NULL;
                if (!bias) { /* each row its own: copied, then added to */
                    for (int64_t i = 0; i < total; i++)
                        memcpy((char *)fr.y[i] + o0 * item, (char *)at[i / vs] + o0 * item,
                               (size_t)((o1 - o0) * item));
                    accumulate = 1;
                }
            }
            for (int64_t pair = 0; pair < a->pairs; pair++) {
                int32_t j = affine_x(a, pair);
                void **x = ab_frame_x(&fr, j);
                ab_fill_operand(g, f, j, nodes, first, count, x);
                if (r > 1)
                    for (int64_t i = count - 1; i >= 0; i--)
                        for (int64_t v = vs - 1; v >= 0; v--)
                            x[i * vs + v] = (char *)x[i] + (v0 + v) * a->k[pair] * item;
                const weight *v = weight_at(g, w->r->e, nodes[0], a, pair);
                int side = affine_side(a, 0);
                if (v->ready[side])
                    m->product(v->packed[side], a->m, a->k[pair], total, x, fr.y, bias, accumulate,
                               p0, p1);
                else
                    m->product_unpacked(ab_value_address(g, v->node), side ? 1 : v->stored_columns,
                                        side ? v->stored_columns : 1, a->k[pair], total, x, fr.y,
                                        bias, accumulate, o0, o1);
                bias = NULL;
                accumulate = 1;
            }
        }
    }
}

static void
kernel_rows(worker *w, const ab_form *f, const ab_kernel *k, const int32_t *nodes, int64_t first,
            int64_t n)
{
    frame fr = ab_frame(w, f);
    for (int64_t end = first + n; first < end; first += fr.chunk) {
        int64_t count = end - first < fr.chunk ? end - first : fr.chunk;
        ab_call call = ab_fill_call(w, f, k, &fr, UINT32_MAX, nodes, first, count);
        k->forward(&call);
    }
}

typedef struct forward_job {
    const ab_form *f;
    const int32_t *nodes;
    int64_t rows;
    int by_output; /* a product of few rows: parts are outputs */
} forward_job;

static void
forward_part(worker *w, const void *job, int part, int parts)
{
    const forward_job *j = job;
    const ab_form *f = j->f;
    int64_t from = j->rows * part / parts, to = j->rows * (part + 1) / parts;
    if (is_affine(f)) {
        affine a = affine_of(f);
        if (j->by_output)
            affine_rows(w, f, &a, j->nodes, 0, j->rows, part, parts);
        else
            affine_rows(w, f, &a, j->nodes, from, to - from, 0, 1);
    } else if (to > from) {
        kernel_rows(w, f, &w->r->table->kernels[f->kernel], j->nodes, from, to - from);
    }
}

static void
run_batch(worker *w, int64_t b)
{
    const ab_graph *g = w->r->g;
    const ab_form *f = form_at(g, b);
    forward_job job = {.f = f,
                       .nodes = g->tape_nodes + g->tape[b].first,
                       .rows = (int64_t)g->tape[b].n * f->batch};
    int parts = ab_parts(w->r, work_of(f, g->tape[b].n));
    if (parts == 1 && ab_is_lone(g, f, g->tape[b].n)) {
        ab_lone_forward(w, f, *job.nodes);
        return;
    }
    ab_steps_refuse(w);
    if (is_affine(f)) {
        affine a = affine_of(f);
        for (int64_t pair = 0; pair < a.pairs; pair++) {
            weight *v = weight_at(g, w->r->e, job.nodes[0], &a, pair);
            int side = affine_side(&a, 0);
            if (v->use[side] && !v->ready[side])
                ab_weight_pack(w, v, side);
        }
        job.by_output = job.rows < 12 * parts;
    }
    ab_share(w, forward_part, &job, parts);
}

/* Enters the weights of the batches to come. */
static int
look_at(const run *r, int64_t from, preparation *p)
{
    ab_graph *g = r->g;
    engine *e = r->e;
    *p = (preparation){
        .plans = g->plans, .batches = g->tape_n - from, .lone = 1, .steps.memory = p->steps.memory};
    for (int32_t v = 0; v < e->nweights; v++)
        e->weights[v].rows[0][0] = e->weights[v].rows[0][1] = 0;
    for (int64_t b = from; b < g->tape_n; b++) {
        const ab_form *f = form_at(g, b);
        size_t bytes = ab_frame_bytes(f, g, r->table);
        p->scratch = bytes > p->scratch ? bytes : p->scratch;
        p->work += work_of(f, g->tape[b].n);
        p->lone &= f->kernel >= 0 && ab_is_lone(g, f, g->tape[b].n);
        if (f->kernel < 0 || !is_affine(f))
            continue;
        affine a = affine_of(f);
        const ab_node *d = &g->nodes[g->tape_nodes[g->tape[b].first]];
        for (int64_t pair = 0; pair < a.pairs; pair++) {
            int32_t node = g->operands[d->first + affine_w(&a, pair)];
            int64_t rows = a.trans ? a.k[pair] : a.m, columns = a.trans ? a.m : a.k[pair];
            int32_t v = ab_weight_find(g, e, node, rows, columns);
            if (v < 0)
                return AB_NO_MEMORY;
            e->weights[v].rows[0][affine_side(&a, 0)] += (int64_t)g->tape[b].n * f->batch * a.r;
        }
    }
    if (!from) /* of the whole tape: it may run so again */
        p->table = r->table;
    return AB_OK;
}

typedef struct walking {
    double seconds, deadline; /* see ab_late */
    int64_t reached;
    int again; /* it is a small tape of lone batches that was run before */
} walking;

/* Finds out what the batches to come need, and decides which weights are packed. */
static int
prepare(const run *r, walking *how)
{
    engine *e = r->e;
    const int64_t from = how->reached;
    for (int32_t v = 0; v < e->nweights && !from; v++) /* what is computed is computed anew */
        if (!e->weights[v].param)
            e->weights[v].ready[0] = e->weights[v].ready[1] = 0;
    how->again = is_prepared(&e->ahead, r->g, r->table, r->g->tape_n - from);
    if (!how->again && look_at(r, from, &e->ahead) < 0)
        return AB_NO_MEMORY;
    how->again &= e->ahead.work < SHARED && e->ahead.lone;
    for (int32_t v = 0; v < e->nweights; v++)
        for (int side = 0; side < 2; side++)
            if (e->weights[v].rows[0][side]) {
                int error = ab_weight_reserve(r, &e->weights[v], 0, side);
                if (error < 0)
                    return error;
            }
    return AB_OK;
}

static void
walk(worker *w, void *argument)
{
    walking *how = argument;
    const ab_graph *g = w->r->g;
    if (how->again && ab_steps_again(w, &w->r->e->ahead.steps)) {
        how->reached = g->tape_n;
        return;
    }
    for (; how->reached < g->tape_n; how->reached++) {
        if (form_at(g, how->reached)->kernel < 0)
            break;
        if (form_at(g, how->reached)->size) /* else there is nothing to compute */
            run_batch(w, how->reached);
        if (how->reached % 16 == 15 && ab_late(&how->deadline, how->seconds)) {
            how->reached++;
            break;
        }
    }
    ab_steps_end(w, how->reached == g->tape_n);
}

int
ab_forward(ab_graph *g, const ab_kernel_table *table, int threads, double seconds)
{
    walking how = {.seconds = seconds, .reached = g->tape_done};
    if (g->tape_done == g->tape_n)
        return AB_RUN_DONE;
    engine *e = ab_engine(g);
    if (!e)
        return AB_NO_MEMORY;
    ab_lock();
    run r = {.g = g, .e = e, .table = table, .threads = 1};
    int error = prepare(&r, &how);
    if (e->ahead.work >= SHARED)
        r.threads = ab_threads(threads);
    if (error == AB_OK)
        error = ab_engine_scratch(e, r.threads, e->ahead.scratch, 0);
    if (error == AB_OK)
        ab_lead(&r, 0, e->ahead.work, walk, &how);
    ab_unlock();
    if (error < 0)
        return error;
    g->tape_done = how.reached;
    if (how.reached == g->tape_n)
        return AB_RUN_DONE;
    return form_at(g, how.reached)->kernel < 0 ? AB_RUN_FORMULA : AB_RUN_AGAIN;
}
