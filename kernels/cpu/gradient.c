/* The gradients of one batch: of a kernel's operands, of a product's vectors and weights.
 *
 * Rows that add to the gradient of one node always belong to one thread; where all rows of a batch
 * add to the same node (a bias), each thread sums a part of them and the parts are added in order.
 */
#include "engine.h"

#include <string.h>

void *
ab_slot_of(ab_param *p, int64_t row)
{
    int32_t slot = p->slot_of_row[row];
    if (slot < 0) {
        slot = p->slot_of_row[row] = (int32_t)p->slots;
        p->row_of_slot[p->slots++] = row;
    }
    return (char *)p->sparse + slot * p->dim * p->itemsize;
}

static inline char *
owner_of(const ab_graph *g, int32_t node, int32_t j)
{
    return g->grad[g->nodes[g->operands[g->nodes[node].first + j]].root];
}

/* The rows of a batch whose operand j gets a gradient, and how they are cut into parts. */
typedef struct gradient_job {
    const ab_form *f;
    const affine *a; /* of the product whose x is operand j, or NULL */
    int32_t j;
    const int32_t *nodes;
    int64_t n;
    int ordered; /* owners come in order: parts are ranges */
    int to_sums; /* all rows have one owner: parts make sums, to be added up */
    char *place; /* that owner's address */
    int64_t size;
} gradient_job;

/* Lists the nodes whose operand j gets a gradient. */
static void
select_rows(const ab_graph *g, const engine *e, const int32_t *nodes, int64_t n, int32_t *list,
            gradient_job *job)
{
    char *before = NULL;
    int one = 1;
    job->nodes = list;
    job->n = 0;
    job->ordered = 1;
    for (int64_t i = 0; i < n; i++) {
        int32_t o = g->operands[g->nodes[nodes[i]].first + job->j];
        if (!ab_is_live(e, o))
            continue;
        char *owner = g->grad[g->nodes[o].root], *at = g->grad[o];
        job->ordered &= owner >= before;
        before = owner;
        one &= !job->n || at == job->place;
        job->place = at;
        list[job->n++] = nodes[i];
    }
    if (!one)
        job->place = NULL;
}

/* The nodes of a part: rows that add to one node's gradient are never in two parts. */
static int64_t
part_rows(const ab_graph *g, const gradient_job *job, int part, int parts, const int32_t **nodes,
          int32_t *mine)
{
    *nodes = job->nodes;
    if (parts == 1)
        return job->n;
    if (job->ordered || job->to_sums) {
        int64_t cut[2];
        for (int side = 0; side < 2; side++) {
            int64_t at = job->n * (part + side) / parts;
            while (!job->to_sums && at > 0 && at < job->n
                   && owner_of(g, job->nodes[at], job->j)
                          == owner_of(g, job->nodes[at - 1], job->j))
                at++;
            cut[side] = at;
        }
        *nodes = job->nodes + cut[0];
        return cut[1] - cut[0];
    }
    int64_t kept = 0;
    for (int64_t i = 0; i < job->n; i++) {
        uint64_t h =
            (uint64_t)(uintptr_t)owner_of(g, job->nodes[i], job->j) * UINT64_C(0x9E3779B97F4A7C15);
        if ((int)((h >> 40) % (uint64_t)parts) == part)
            mine[kept++] = job->nodes[i];
    }
    *nodes = mine;
    return kept;
}

int64_t
ab_in_bytes(const ab_graph *g, const ab_form *f, int32_t j)
{
    return ab_type_get(g->registry, f->in_type[j])->size * g->itemsize;
}

/* Addresses of the gradients of operand j; answers their stride. */
static int64_t
fill_gradient(const ab_graph *g, const ab_form *f, int32_t j, const int32_t *nodes, int64_t first,
              int64_t n, void **out)
{
    const int64_t batch = f->batch;
    const int minibatch = ab_in_batch(g, f, j) > 1;
    const int32_t *node = nodes + first / batch;
    int64_t element = first % batch;
    for (int64_t i = 0; i < n; element = 0) {
        const ab_node *d = &g->nodes[*node++];
        if (f->flags & AB_FORM_TABLE) {
            ab_param *p = (ab_param *)(intptr_t)g->nodes[g->operands[d->first]].data[0];
            for (int64_t words = d->ndata / batch; element < batch && i < n; element++)
                out[i++] = ab_slot_of(p, d->data[element * words]);
            continue;
        }
        int32_t o = g->operands[d->first + j];
        int64_t step = minibatch ? ab_batch_stride(g, o) : 0;
        for (char *at = g->grad[o] + element * step; element < batch && i < n;
             element++, at += step)
            out[i++] = at;
        if (i == n && n > 1 && node == nodes + first / batch + 1)
            return step; /* all are one node's */
    }
    return ab_stride_of(out, n, ab_in_bytes(g, f, j));
}

/* The kernel's gradient of operand j for the given nodes; `into`: to there instead. */
static void
kernel_gradient(worker *w, const ab_form *f, int32_t j, const int32_t *nodes, int64_t n, char *into)
{
    const ab_graph *g = w->r->g;
    const ab_kernel *k = &w->r->table->kernels[f->kernel];
    if (!k->backward)
        return;
    /* Of a product, only the bias comes here, whose gradient reads no operand. */
    const uint32_t reads = is_affine(f) ? 0 : k->reads ? k->reads[j] : UINT32_MAX;
    frame fr = ab_frame(w, f);
    int64_t rows = n * f->batch;
    for (int64_t first = 0; first < rows; first += fr.chunk) {
        int64_t count = rows - first < fr.chunk ? rows - first : fr.chunk;
        ab_call call = ab_fill_call(w, f, k, &fr, reads, nodes, first, count);
        call.wrt = j;
        call.dy.row = fr.dy;
        call.dy.stride = ab_fill_result(g, f, g->grad, nodes, first, count, fr.dy);
        if (f->flags & AB_FORM_BATCH_AWARE) { /* all elements of the operand's minibatch */
            int64_t own = ab_in_batch(g, f, j);
            void **dx = ab_frame_x(&fr, j); /* nothing reads x: sums and means only */
            for (int64_t i = 0; i < count; i++) {
                int32_t o = g->operands[g->nodes[nodes[first + i]].first + j];
                for (int64_t b = 0; b < own; b++)
                    dx[i * own + b] = g->grad[o] + (own > 1 ? b * ab_batch_stride(g, o) : 0);
            }
            call.dx = (ab_rows){dx, ab_stride_of(dx, count * own, ab_in_bytes(g, f, j))};
        } else if (into) {
            for (int64_t i = 0; i < count; i++)
                fr.dx[i] = into;
            call.dx = (ab_rows){fr.dx, count > 1 ? 0 : ab_in_bytes(g, f, j)};
        } else {
            call.dx.row = fr.dx;
            call.dx.stride = fill_gradient(g, f, j, nodes, first, count, fr.dx);
        }
        k->backward(&call);
    }
}

void
ab_add_to(const ab_graph *g, char *into, const char *from, int64_t n)
{
    if (g->itemsize == 4)
        for (int64_t i = 0; i < n; i++)
            ((float *)into)[i] += ((const float *)from)[i];
    else
        for (int64_t i = 0; i < n; i++)
            ((double *)into)[i] += ((const double *)from)[i];
}

/* dx += W^T dy for operand x of a pair. */
static void
affine_gradient(worker *w, const ab_form *f, const affine *a, int64_t pair, const int32_t *nodes,
                int64_t n, char *spare)
{
    const ab_graph *g = w->r->g;
    const ab_matrix_kernels *m = w->r->table->matrix;
    const int64_t item = g->itemsize, k = a->k[pair], row = k * item;
    const int32_t j = affine_x(a, pair);
    const weight *v =
        &w->r->e->weights
             [w->r->e->weight_of[g->operands[g->nodes[nodes[0]].first + affine_w(a, pair)]]];
    const int side = affine_side(a, 1);
    frame fr = ab_frame(w, f);
    int64_t rows = n * f->batch, panels = (k + m->panel - 1) / m->panel;
    int64_t chunk = fr.chunk / a->r > 0 ? fr.chunk / a->r : 1;
    for (int64_t first = 0; first < rows; first += chunk) {
        int64_t count = rows - first < chunk ? rows - first : chunk;
        for (int64_t v0 = 0; v0 < a->r; v0 += fr.chunk) {
            int64_t vs = a->r - v0 < fr.chunk ? a->r - v0 : fr.chunk, total = count * vs;
            ab_fill_result(g, f, g->grad, nodes, first, count, fr.dy);
            fill_gradient(g, f, j, nodes, first, count, fr.dx);
            if (a->r > 1)
                for (int64_t i = count - 1; i >= 0; i--)
                    for (int64_t u = vs - 1; u >= 0; u--) {
                        fr.dy[i * vs + u] = (char *)fr.dy[i] + (v0 + u) * a->m * item;
                        fr.dx[i * vs + u] = (char *)fr.dx[i] + (v0 + u) * row;
                    }
            /* The product holds several rows in registers: they must not overlap. */
            int apart = 1;
            for (int64_t i = 1; i < total && apart; i++)
                apart = (char *)fr.dx[i] >= (char *)fr.dx[i - 1] + row;
            void **into = fr.dx;
            if (!apart) {
                into = fr.y;
                for (int64_t i = 0; i < total; i++)
                    into[i] = spare + i * row;
            }
            if (v->ready[side])
                m->product(v->packed[side], k, a->m, total, fr.dy, into, NULL, apart, 0, panels);
            else
                m->product_unpacked(ab_value_address(g, v->node), side ? 1 : v->stored_columns,
                                    side ? v->stored_columns : 1, a->m, total, fr.dy, into, NULL,
                                    apart, 0, k);
            for (int64_t i = 0; !apart && i < total; i++)
                ab_add_to(g, fr.dx[i], into[i], k);
        }
    }
}

/* Room behind a frame for what the gradient of a form needs beside it. */
size_t
ab_gradient_bytes(const ab_graph *g, const ab_form *f, int64_t nodes)
{
    size_t row = 0;
    for (int32_t j = 0; j < f->nin; j++) {
        size_t own = (size_t)ab_in_bytes(g, f, j);
        row = own > row ? own : row;
    }
    size_t bytes = f->nin == 1 ? row * (size_t)ab_in_batch(g, f, 0) : row;
    if (f->kernel >= 0 && is_affine(f)) {
        affine a = affine_of(f);
        int64_t k = 0;
        for (int64_t pair = 0; pair < a.pairs; pair++)
            k = a.k[pair] > k ? a.k[pair] : k;
        size_t product = (size_t)(ROWS * k * g->itemsize);
        bytes = product > bytes ? product : bytes;
    }
    return bytes + 64 + ((size_t)nodes * sizeof(int32_t) + 63) / 64 * 64;
}

/* The gradient of a weight: one product over all rows of the pass. */
typedef struct outer_job {
    int32_t weight;
    int trans;
    int64_t rows;
    void **x, **dy;
} outer_job;

static void
outer_part(worker *w, const void *job, int part, int parts)
{
    const outer_job *j = job;
    const engine *e = w->r->e;
    const weight *v = &e->weights[j->weight];
    const ab_matrix_kernels *m = w->r->table->matrix;
    int64_t outputs = j->trans ? v->stored_columns : v->stored_rows;
    int64_t inner = j->trans ? v->stored_rows : v->stored_columns;
    int64_t panels = (outputs + m->panel - 1) / m->panel;
    int64_t from = panels * part / parts * m->panel, to = panels * (part + 1) / parts * m->panel;
    to = to < outputs ? to : outputs;
    if (to > from)
        m->outer(w->r->g->grad[v->node], j->trans ? 1 : v->stored_columns,
                 j->trans ? v->stored_columns : 1, inner, j->rows, j->dy, j->x, from, to,
                 w->scratch);
}

static void
run_outer(worker *w, const void *job)
{
    outer_part(w, job, 0, 1);
}

static void
keep_outer(const worker *w, outer_job job)
{
    const size_t bytes = (size_t)job.rows * sizeof(void *);
    void **kept = ab_steps_take(w->keeping, 2 * bytes);
    if (!kept)
        return;
    job.x = memcpy(kept, job.x, bytes);
    job.dy = memcpy(kept + job.rows, job.dy, bytes);
    ab_steps_add(w->keeping, run_outer, &job, sizeof job);
}

/* The uses of a weight as W x, or as x W: their rows go along other sides of it. */
static void
outer_of_uses(worker *w, int32_t weight, int trans)
{
    const engine *e = w->r->e;
    const ab_graph *g = w->r->g;
    const struct weight *v = &e->weights[weight];
    outer_job job = {.weight = weight, .trans = trans, .x = e->outer_x, .dy = e->outer_dy};
    for (int32_t u = v->first_use; u >= 0; u = e->uses[u].next) {
        const weight_use *use = &e->uses[u];
        const ab_form *f = form_at(g, use->batch);
        const int32_t *nodes = e->nodes + e->batch_first[use->batch];
        affine a = affine_of(f);
        if ((a.trans != 0) != trans)
            continue;
        int64_t rows = (e->batch_first[use->batch + 1] - e->batch_first[use->batch]) * f->batch;
        void **x = e->outer_x + job.rows, **dy = e->outer_dy + job.rows;
        ab_fill_operand(g, f, affine_x(&a, use->pair), nodes, 0, rows, x);
        ab_fill_result(g, f, g->grad, nodes, 0, rows, dy);
        if (a.r > 1)
            for (int64_t i = rows - 1; i >= 0; i--)
                for (int64_t q = a.r - 1; q >= 0; q--) {
                    x[i * a.r + q] = (char *)x[i] + q * a.k[use->pair] * g->itemsize;
                    dy[i * a.r + q] = (char *)dy[i] + q * a.m * g->itemsize;
                }
        job.rows += rows * a.r;
    }
    if (!job.rows)
        return;
    if (w->keeping)
        keep_outer(w, job);
    ab_share(w, outer_part, &job,
             ab_parts(w->r, job.rows * v->stored_rows * v->stored_columns / 4));
}

void
ab_gradient_of_weight(worker *w, int32_t weight)
{
    for (int trans = 0; trans < 2; trans++)
        outer_of_uses(w, weight, trans);
}

/* From `from` on the next rows whose operand j takes part: [from, the answer), which is 0 if there
 * are none. */
static int64_t
live_rows(const ab_graph *g, const engine *e, const ab_form *f, int32_t j, const int32_t *nodes,
          int64_t first, int64_t count, int64_t *from)
{
    const int64_t batch = f->batch;
    int64_t to = *from;
    for (int64_t k = (first + to) / batch; to < count; k++) {
        const int live = ab_is_live(e, g->operands[g->nodes[nodes[k]].first + j]);
        if (!live && to > *from)
            return to;
        to = (k + 1) * batch - first < count ? (k + 1) * batch - first : count;
        *from = live ? *from : to;
    }
    return to > *from ? to : 0;
}

/* Every operand in turn, with the addresses looked up once: for ops of many operands, and for
 * batches that are too small to be shared out. */
static void
all_gradients(worker *w, const ab_form *f, const int32_t *nodes, int64_t n)
{
    const ab_graph *g = w->r->g;
    const engine *e = w->r->e;
    const ab_kernel *k = &w->r->table->kernels[f->kernel];
    if (!k->backward)
        return;
    uint32_t reads = k->reads ? 0 : UINT32_MAX;
    for (int32_t j = 0; j < f->nin && j < FEW && k->reads; j++)
        reads |= k->reads[j];
    frame fr = ab_frame(w, f);
    int64_t rows = n * f->batch;
    for (int64_t first = 0; first < rows; first += fr.chunk) {
        int64_t count = rows - first < fr.chunk ? rows - first : fr.chunk;
        ab_call call = ab_fill_call(w, f, k, &fr, reads, nodes, first, count);
        int64_t shifted = 0; /* rows that the operands' addresses begin with */
        call.dy.row = fr.dy;
        call.dy.stride = ab_fill_result(g, f, g->grad, nodes, first, count, fr.dy);
        for (int32_t j = 0; j < f->nin; j++) {
            for (int64_t from = 0, to = 0; (to = live_rows(g, e, f, j, nodes, first, count, &from));
                 from = to) {
                ab_call part = call;
                part.n = to - from;
                part.wrt = j;
                if (part.n != call.n) {
                    part.y = (ab_rows){fr.y + from, AB_SCATTERED};
                    part.dy = (ab_rows){fr.dy + from, AB_SCATTERED};
                    part.data = fr.data + from;
                }
                for (int32_t i = 0; i < f->nin && shifted != from; i++)
                    fr.xs[i] = (ab_rows){ab_frame_x(&fr, i) + from, AB_SCATTERED};
                shifted = from;
                part.dx.row = fr.dx;
                part.dx.stride = fill_gradient(g, f, j, nodes, first + from, part.n, fr.dx);
                k->backward(&part);
            }
        }
    }
}

/* As that, of an op that reads whole minibatches, row by row. */
static void
all_aware_gradients(worker *w, const ab_form *f, const int32_t *nodes, int64_t n)
{
    const ab_graph *g = w->r->g;
    const ab_kernel *k = &w->r->table->kernels[f->kernel];
    if (!k->backward)
        return;
    frame fr = ab_frame(w, f);
    for (int64_t i = 0; i < n; i++) {
        const uint32_t reads = k->reads ? k->reads[0] : UINT32_MAX;
        ab_call call = ab_fill_call(w, f, k, &fr, reads, nodes, i, 1);
        call.dy.row = fr.dy;
        call.dy.stride = ab_fill_result(g, f, g->grad, nodes, i, 1, fr.dy);
        for (int32_t j = 0; j < f->nin; j++) {
            const int32_t o = g->operands[g->nodes[nodes[i]].first + j];
            if (!ab_is_live(w->r->e, o))
                continue;
            const int64_t own = ab_in_batch(g, f, j), step = own > 1 ? ab_batch_stride(g, o) : 0;
            void **dx = ab_frame_x(&fr, j); /* nothing reads x */
            for (int64_t b = 0; b < own; b++)
                dx[b] = g->grad[o] + b * step;
            call.wrt = j;
            call.dx = (ab_rows){dx, ab_stride_of(dx, own, ab_in_bytes(g, f, j))};
            k->backward(&call);
        }
    }
}

/* Nodes whose operands all get a gradient, for a kernel that makes them in one pass. */
typedef struct joint_job {
    const ab_form *f;
    const int32_t *nodes;
    int64_t n;
} joint_job;

/* Whether a batch is one, and whether its rows may be cut anywhere. */
static int
is_joint(const ab_graph *g, const engine *e, const joint_job *job, int *divisible)
{
    const char *first[FEW] = {NULL}, *last[FEW] = {NULL};
    const int32_t nin = job->f->nin;
    *divisible = 1;
    for (int64_t i = 0; i < job->n; i++)
        for (int32_t j = 0; j < nin; j++) {
            if (!ab_is_live(e, g->operands[g->nodes[job->nodes[i]].first + j]))
                return 0;
            const char *owner = owner_of(g, job->nodes[i], j);
            for (int32_t other = 0; other < j; other++)
                if (last[other] == owner) /* parts of one node's gradient may overlap */
                    return 0;
            *divisible &= owner > last[j];
            first[j] = i ? first[j] : owner;
            last[j] = owner;
        }
    for (int32_t j = 0; j < nin; j++) /* operands of two rows may be one node */
        for (int32_t other = 0; other < j; other++)
            *divisible &= last[other] < first[j] || last[j] < first[other];
    return 1;
}

static void
joint_part(worker *w, const void *argument, int part, int parts)
{
    const joint_job *job = argument;
    const ab_graph *g = w->r->g;
    const ab_form *f = job->f;
    const ab_kernel *k = &w->r->table->kernels[f->kernel];
    const int32_t *nodes = job->nodes + job->n * part / parts;
    frame fr = ab_frame(w, f);
    int64_t rows = (job->n * (part + 1) / parts - job->n * part / parts) * f->batch;
    for (int64_t first = 0; first < rows; first += fr.chunk) {
        int64_t count = rows - first < fr.chunk ? rows - first : fr.chunk;
        ab_call call = ab_fill_call(w, f, k, &fr, UINT32_MAX, nodes, first, count);
        ab_rows dxs[FEW];
        call.dy.row = fr.dy;
        call.dy.stride = ab_fill_result(g, f, g->grad, nodes, first, count, fr.dy);
        for (int32_t j = 0; j < f->nin; j++) {
            void **dx = fr.dx + j * fr.chunk;
            dxs[j] = (ab_rows){dx, fill_gradient(g, f, j, nodes, first, count, dx)};
        }
        call.dxs = dxs;
        k->joint(&call);
    }
}

int64_t
ab_gradient_work(const ab_form *f, int64_t n)
{
    return n * f->batch * (f->flops / 4 + 2 * f->size + 16);
}

/* Whether operand j is a matrix whose gradient waits for the end of the pass. */
static int
deferred(const ab_form *f, const affine *a, int32_t j)
{
    if (f->kernel < 0 || !is_affine(f))
        return 0;
    for (int64_t pair = 0; pair < a->pairs; pair++)
        if (affine_w(a, pair) == j)
            return 1;
    return 0;
}

static void
gradient_part(worker *w, const void *job, int part, int parts)
{
    const gradient_job *j = job;
    const ab_graph *g = w->r->g;
    const int32_t *nodes;
    int32_t *mine = NULL;
    char *spare = NULL, *into = NULL;
    if (parts > 1 || j->a) {
        mine = (int32_t *)(w->scratch + ab_frame_bytes(j->f, g, w->r->table));
        spare = (char *)mine + ((size_t)j->n * sizeof *mine + 63) / 64 * 64;
    }
    int64_t n = part_rows(g, j, part, parts, &nodes, mine);
    if (j->to_sums) {
        into = w->r->e->sums + (size_t)part * w->r->e->sum_each;
        memset(into, 0, (size_t)j->size);
    }
    if (!n)
        return;
    if (j->a)
        affine_gradient(w, j->f, j->a, j->a->x_first ? 0 : (j->j - j->a->has_bias) / 2, nodes, n,
                        spare);
    else
        kernel_gradient(w, j->f, j->j, nodes, n, into);
}

void
ab_gradient_batch(worker *w, int64_t b)
{
    const ab_graph *g = w->r->g;
    engine *e = w->r->e;
    const ab_form *f = form_at(g, b);
    const int32_t *nodes = e->nodes + e->batch_first[b];
    int64_t n = e->batch_first[b + 1] - e->batch_first[b];
    affine a = {0};
    if (ab_is_lone(g, f, n) && ab_parts(w->r, ab_gradient_work(f, n)) == 1) {
        ab_lone_backward(w, f, *nodes);
        return;
    }
    ab_steps_refuse(w);
    if (is_affine(f)) {
        a = affine_of(f);
    } else if (f->nin > 1 && !(f->flags & (AB_FORM_BATCH_AWARE | AB_FORM_TABLE))) {
        joint_job job = {f, nodes, n};
        int divisible, parts = ab_parts(w->r, ab_gradient_work(f, n));
        if (w->r->table->kernels[f->kernel].joint && is_joint(g, e, &job, &divisible)
            && (divisible || parts == 1)) {
            ab_share(w, joint_part, &job, parts);
            return;
        }
        if (f->nin > FEW || parts == 1) {
            all_gradients(w, f, nodes, n);
            return;
        }
    }
    if (f->nin > FEW && f->flags & AB_FORM_BATCH_AWARE && f->batch == 1) {
        all_aware_gradients(w, f, nodes, n);
        return;
    }
    for (int32_t j = 0; j < f->nin; j++) {
        if (f->flags & AB_FORM_TABLE) { /* slots are given out in order: by the leader */
            if (ab_table_of(g, nodes[0])->trainable)
                kernel_gradient(w, f, j, nodes, n, NULL);
            continue;
        }
        if (deferred(f, &a, j))
            continue;
        gradient_job job = {.f = f, .j = j, .size = ab_in_bytes(g, f, j)};
        select_rows(g, e, nodes, n, e->rows, &job);
        if (!job.n)
            continue;
        int parts = ab_parts(w->r, ab_gradient_work(f, job.n));
        int aware = (f->flags & AB_FORM_BATCH_AWARE) != 0;
        if (is_affine(f) && !(a.has_bias && j == 0)) {
            job.a = &a;
            int64_t pair = a.x_first ? 0 : (j - a.has_bias) / 2;
            weight *v =
                &e->weights
                     [e->weight_of[g->operands[g->nodes[nodes[0]].first + affine_w(&a, pair)]]];
            int side = affine_side(&a, 1);
            if (v->use[side] && !v->ready[side])
                ab_weight_pack(w, v, side);
        } else if (job.place && parts > 1 && ab_in_batch(g, f, j) == 1 && !aware) {
            job.to_sums = 1;
        }
        ab_share(w, gradient_part, &job, parts);
        if (job.to_sums)
            for (int part = 0; part < parts; part++)
                ab_add_to(g, job.place, e->sums + (size_t)part * e->sum_each,
                          job.size / g->itemsize);
    }
}
