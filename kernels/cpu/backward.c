/* Running backward: the same tape, reversed.
 *
 * begin marks the nodes that take part (those that the loss depends on and that depend on
 * something whose gradient is wanted), so that a NaN elsewhere cannot spread. Rows that add
 * to the gradient of one node always belong to one thread; where all rows of a batch add to
 * the same node (a bias), each thread sums a part of them and the parts are added in order.
 */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

static int
reserve(void *array, size_t item, int64_t n)
{
    void **a = array;
    void *grown = realloc(*a, (size_t)(n > 0 ? n : 1) * item);
    if (!grown)
        return AB_NO_MEMORY;
    *a = grown;
    return AB_OK;
}

/* Memory for a pass over all that the graph has memory for: asked for when that has grown. */
static int
make_room(ab_graph *g, engine *e, int32_t nseeds, int32_t nviews)
{
    int64_t n = (int64_t)g->capacity + 1;
    if (e->room < n) {
        if (reserve(&e->marks, 1, n) < 0 || reserve(&e->nodes, sizeof *e->nodes, n) < 0
            || reserve(&e->batch_first, sizeof *e->batch_first, n) < 0
            || reserve(&e->flush, sizeof *e->flush, n) < 0
            || reserve(&g->grad, sizeof *g->grad, n) < 0)
            return AB_NO_MEMORY;
        e->room = n;
    }
    if (e->seed_room < nseeds) {
        if (reserve(&e->seeds, sizeof *e->seeds, nseeds) < 0)
            return AB_NO_MEMORY;
        e->seed_room = nseeds;
    }
    if (e->view_room < nviews) {
        if (reserve(&e->views, sizeof *e->views, nviews) < 0)
            return AB_NO_MEMORY;
        e->view_room = nviews;
    }
    return AB_OK;
}

static const ab_form *
form_of(const ab_graph *g, int32_t node)
{
    return ab_form_get(g->registry, g->nodes[node].form);
}

/* Whether a gradient reaches operand j as numbers of that node (a table's goes to its rows). */
static inline int
passes(const ab_form *f)
{
    return !(f->flags & (AB_FORM_NO_GRADIENT | AB_FORM_TABLE));
}

enum { FEW = 8 }; /* operands that are worth a walk over the rows each */

/* Of engine.marks. */
enum {
    WANTED = 1,  /* it depends on something whose gradient is wanted */
    REACHED = 2, /* the loss depends on it */
    ASKED = 4,   /* its own gradient was asked for */
};

static inline int
is_live(const engine *e, int32_t node)
{
    return (e->marks[node] & (WANTED | REACHED)) == (WANTED | REACHED);
}

/* Enters a parameter, or the table of a lookup with the rows that it may add to. */
static int
add_source(const ab_graph *g, engine *e, int32_t node, const ab_form *f)
{
    const int dense = (f->flags & AB_FORM_PARAMETER) != 0;
    const int64_t rows = dense ? 0 : f->batch;
    node = dense ? node : g->operands[g->nodes[node].first];
    for (int32_t i = 0; i < e->nsources; i++)
        if (e->sources[i] == node) {
            e->source_dense[i] |= (uint8_t)dense;
            e->source_rows[i] += rows;
            return AB_OK;
        }
    if (e->nsources == e->source_room) {
        int32_t n = e->source_room ? 2 * e->source_room : 16;
        if (reserve(&e->sources, sizeof *e->sources, n) < 0
            || reserve(&e->source_rows, sizeof *e->source_rows, n) < 0
            || reserve(&e->source_dense, sizeof *e->source_dense, n) < 0)
            return AB_NO_MEMORY;
        e->source_room = n;
    }
    e->sources[e->nsources] = node;
    e->source_dense[e->nsources] = (uint8_t)dense;
    e->source_rows[e->nsources++] = rows;
    return AB_OK;
}

/* Also lists the parameters and tables that get a gradient. */
static int
mark(ab_graph *g, engine *e, int32_t nseeds, const int32_t *seeds, int32_t nwrt, const int32_t *wrt)
{
    uint8_t *mark = e->marks;
    memset(mark, 0, (size_t)e->n);
    for (int32_t i = 0; i < nwrt; i++)
        mark[wrt[i]] = WANTED | ASKED;
    for (int32_t i = 0; i < e->n; i++) {
        const ab_node *d = &g->nodes[i];
        const ab_form *f = form_of(g, i);
        if (f->flags & AB_FORM_PARAMETER) {
            if (((const ab_param *)(intptr_t)d->data[0])->trainable)
                mark[i] |= WANTED;
        } else if (!(f->flags & AB_FORM_NO_GRADIENT)) {
            for (int32_t j = 0; j < d->nin && !(mark[i] & WANTED); j++)
                mark[i] |= mark[g->operands[d->first + j]] & WANTED;
        }
    }
    for (int32_t i = 0; i < nseeds; i++)
        mark[seeds[i]] |= REACHED;
    for (int32_t i = e->n - 1; i >= 0; i--) {
        const ab_node *d = &g->nodes[i];
        if (!is_live(e, i))
            continue;
        const ab_form *f = form_of(g, i);
        if (passes(f))
            for (int32_t j = 0; j < d->nin; j++)
                mark[g->operands[d->first + j]] |= REACHED;
        if (f->flags & (AB_FORM_PARAMETER | AB_FORM_TABLE) && add_source(g, e, i, f) < 0)
            return AB_NO_MEMORY;
    }
    return AB_OK;
}

/* Lists a use of each weight of an affine batch, due before the weight's own batch runs. */
static int
add_uses(ab_graph *g, engine *e, int64_t b, const ab_form *f, int32_t node, int64_t rows)
{
    affine a = affine_of(f);
    for (int64_t pair = 0; pair < a.pairs; pair++) {
        int32_t w = g->operands[g->nodes[node].first + affine_w(&a, pair)];
        if (!is_live(e, w))
            continue;
        int32_t v = ab_weight_find(g, e, w, a.trans ? a.k[pair] : a.m, a.trans ? a.m : a.k[pair]);
        if (v < 0)
            return AB_NO_MEMORY;
        if (e->nuses == e->use_capacity) {
            e->use_capacity = e->use_capacity ? 2 * e->use_capacity : 256;
            if (reserve(&e->uses, sizeof *e->uses, e->use_capacity) < 0)
                return AB_NO_MEMORY;
        }
        weight *x = &e->weights[v];
        if (x->first_use < 0) {
            int64_t due = g->nodes[g->nodes[w].root].batch_tape + 1; /* 0: at the end */
            x->flush_next = e->flush[due];
            e->flush[due] = v;
            x->outer_rows = 0;
        }
        e->uses[e->nuses] = (weight_use){b, (int32_t)pair, x->first_use};
        x->first_use = e->nuses++;
        x->outer_rows += rows * f->batch * a.r;
    }
    return AB_OK;
}

/* Differs where other parameters are trainable. */
static uint64_t
trained(const ab_graph *g)
{
    uint64_t which = 0;
    for (int32_t i = 0; i < g->n; i++)
        if (form_of(g, i)->flags & AB_FORM_PARAMETER
            && ((const ab_param *)(intptr_t)g->nodes[i].data[0])->trainable)
            which = (which + (uint64_t)i + 1) * UINT64_C(0x9E3779B97F4A7C15);
    return which;
}

/* Whether a pass is the last one again, of which all was kept. */
static int
is_repeated(const ab_graph *g, const engine *e, int32_t nseeds, const int32_t *seeds, int32_t nwrt)
{
    return e->back.table && e->back.plans == g->plans && e->n == g->n && e->ntape == g->tape_done
           && nseeds == 1 && e->nseeds == 1 && *seeds == *e->seeds && !nwrt && !e->nwrt
           && e->trained == trained(g);
}

int
ab_backward_begin(ab_graph *g, int32_t nseeds, const int32_t *seeds, int32_t nwrt,
                  const int32_t *wrt)
{
    engine *e = ab_engine(g);
    if (!e)
        return AB_NO_MEMORY;
    const int repeated = is_repeated(g, e, nseeds, seeds, nwrt);
    e->started = 0;
    e->ntape = g->tape_done;
    e->at = e->ntape - 1;
    if (repeated)
        return AB_OK;
    e->back.table = NULL;
    e->n = g->n;
    e->nwrt = nwrt;
    e->nsources = e->nuses = e->nviews = 0;
    if (make_room(g, e, nseeds, nwrt) < 0)
        return AB_NO_MEMORY;
    memcpy(e->seeds, seeds, (size_t)nseeds * sizeof *seeds);
    e->nseeds = nseeds;
    memset(e->flush, 0xff, ((size_t)e->ntape + 1) * sizeof *e->flush);
    for (int32_t i = 0; i < e->nweights; i++)
        e->weights[i].first_use = -1;
    if (mark(g, e, nseeds, seeds, nwrt, wrt) < 0)
        return AB_NO_MEMORY;
    int64_t at = 0;
    for (int64_t b = 0; b < e->ntape; b++) {
        e->batch_first[b] = at;
        const int32_t *nodes = g->tape_nodes + g->tape[b].first;
        const ab_form *f = form_at(g, b);
        for (int32_t i = 0; i < g->tape[b].n; i++)
            if (f->size && is_live(e, nodes[i])) /* results without elements pass nothing on */
                e->nodes[at++] = nodes[i];
        int64_t n = at - e->batch_first[b];
        if (n && f->kernel >= 0 && is_affine(f)) {
            int error = add_uses(g, e, b, f, e->nodes[e->batch_first[b]], n);
            if (error < 0)
                return error;
        }
    }
    e->batch_first[e->ntape] = at;
    return AB_OK;
}

ab_param *
ab_backward_source(ab_graph *g, int32_t i, int64_t *rows)
{
    engine *e = g->engine;
    if (i >= e->nsources)
        return NULL;
    *rows = e->source_rows[i];
    return (ab_param *)(intptr_t)g->nodes[e->sources[i]].data[0];
}

int
ab_backward_is_live(ab_graph *g, int32_t node)
{
    engine *e = g->engine;
    return e && node < e->n && is_live(e, node);
}

int
ab_backward_is_wanted(ab_graph *g, int32_t node)
{
    engine *e = g->engine;
    return e && node < e->n && e->marks[node] & WANTED;
}

int
ab_backward_has_run(const ab_graph *g)
{
    return g->grad_n > 0;
}

int32_t
ab_backward_loss(const ab_graph *g)
{
    const engine *e = g->engine;
    return e && ab_backward_has_run(g) ? e->seeds[0] : -1;
}

void *
ab_node_gradient(const ab_graph *g, int32_t node)
{
    return node < g->grad_n ? g->grad[node] : NULL;
}

static void *
slot_of(ab_param *p, int64_t row)
{
    int32_t slot = p->slot_of_row[row];
    if (slot < 0) {
        slot = p->slot_of_row[row] = (int32_t)p->slots;
        p->row_of_slot[p->slots++] = row;
    }
    return (char *)p->sparse + slot * p->dim * p->itemsize;
}

static ab_param *
table_of(const ab_graph *g, int32_t node)
{
    return (ab_param *)(intptr_t)g->nodes[g->operands[g->nodes[node].first]].data[0];
}

static char *
zeros(ab_graph *g, int64_t bytes)
{
    int64_t *words = ab_graph_words(g, bytes / (int64_t)sizeof(int64_t) + 1);
    if (words)
        memset(words, 0, (size_t)bytes);
    return (char *)words;
}

/* Begins the gradients of the parameters that take part. */
static int
begin_sources(const ab_graph *g, const engine *e)
{
    for (int32_t i = 0; i < e->nsources; i++) {
        ab_param *p = (ab_param *)(intptr_t)g->nodes[e->sources[i]].data[0];
        int64_t rows = p->slots + e->source_rows[i];
        if ((rows < p->rows ? rows : p->rows) > p->capacity)
            return AB_RUN_ROOM;
        if (e->source_dense[i])
            ab_param_dense(p);
    }
    return AB_OK;
}

/* Gives every node that takes part the address of its gradient. */
static int
address(ab_graph *g, engine *e)
{
    memset(g->grad, 0, (size_t)e->n * sizeof *g->grad);
    g->grad_n = 0;
    g->gradients.used = 0;
    size_t used = ab_graph_bytes(g);
    if (g->limit && g->values.used > g->limit - (used < g->limit ? used : g->limit))
        return AB_LIMIT;
    int error = ab_arena_grow(&g->gradients, g->values.used, g->limit ? g->limit : SIZE_MAX / 4);
    if (error < 0)
        return error;
    g->gradients.used = g->values.used;
    for (int32_t i = 0; i < e->n; i++) {
        if (!is_live(e, i))
            continue;
        const ab_form *f = form_of(g, i);
        if (f->flags & AB_FORM_VIEW && !(e->marks[i] & ASKED)) {
            int32_t base = g->operands[g->nodes[i].first];
            g->grad[i] = g->grad[base] + (g->nodes[i].offset - g->nodes[base].offset) * g->itemsize;
        } else if (f->flags & AB_FORM_VIEW) { /* its own, laid out as in the root */
            if (!(g->grad[i] = zeros(g, f->batch * ab_batch_stride(g, i))))
                return AB_LIMIT;
            e->views[e->nviews++] = i;
        } else if (!(f->flags & AB_FORM_SOURCE)) {
            g->grad[i] = g->gradients.base + (g->value[i] - g->values.base);
        } else if (f->flags & AB_FORM_PARAMETER) {
            g->grad[i] = ((ab_param *)(intptr_t)g->nodes[i].data[0])->grad;
        } else if (f->flags & AB_FORM_TABLE && e->marks[i] & ASKED) {
            /* Its own of this pass; the row's is the sum of all passes. */
            if (!(g->grad[i] = zeros(g, f->size * g->itemsize)))
                return AB_LIMIT;
            e->views[e->nviews++] = i;
        } else if (f->flags & AB_FORM_TABLE && table_of(g, i)->trainable) {
            g->grad[i] = slot_of(table_of(g, i), g->nodes[i].data[0]);
        } else { /* an input whose gradient was asked for */
            if (!(g->grad[i] = zeros(g, f->size * f->batch * g->itemsize)))
                return AB_LIMIT;
        }
    }
    for (int32_t i = 0; i < e->nviews / 2; i++) {
        int32_t other = e->views[i];
        e->views[i] = e->views[e->nviews - 1 - i];
        e->views[e->nviews - 1 - i] = other;
    }
    g->grad_n = e->n;
    return AB_OK;
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
        if (!is_live(e, o))
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

static int64_t
in_bytes(const ab_graph *g, const ab_form *f, int32_t j)
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
                out[i++] = slot_of(p, d->data[element * words]);
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
    return ab_stride_of(out, n, in_bytes(g, f, j));
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
            call.dx = (ab_rows){dx, ab_stride_of(dx, count * own, in_bytes(g, f, j))};
        } else if (into) {
            for (int64_t i = 0; i < count; i++)
                fr.dx[i] = into;
            call.dx = (ab_rows){fr.dx, count > 1 ? 0 : in_bytes(g, f, j)};
        } else {
            call.dx.row = fr.dx;
            call.dx.stride = fill_gradient(g, f, j, nodes, first, count, fr.dx);
        }
        k->backward(&call);
    }
}

static void
add_to(const ab_graph *g, char *into, const char *from, int64_t n)
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
    const int side = a->trans ? 0 : 1;
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
                add_to(g, fr.dx[i], into[i], k);
        }
    }
}

/* Room behind a frame for what the gradient of a form needs beside it. */
static size_t
spare_bytes(const ab_graph *g, const ab_form *f, int64_t nodes)
{
    size_t row = 0;
    for (int32_t j = 0; j < f->nin; j++) {
        size_t own = (size_t)in_bytes(g, f, j);
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
    const weight *v;
    int trans;
    int64_t rows;
} outer_job;

static void
outer_part(worker *w, const void *job, int part, int parts)
{
    const outer_job *j = job;
    const weight *v = j->v;
    const engine *e = w->r->e;
    const ab_matrix_kernels *m = w->r->table->matrix;
    int64_t outputs = j->trans ? v->stored_columns : v->stored_rows;
    int64_t inner = j->trans ? v->stored_rows : v->stored_columns;
    int64_t panels = (outputs + m->panel - 1) / m->panel;
    int64_t from = panels * part / parts * m->panel, to = panels * (part + 1) / parts * m->panel;
    to = to < outputs ? to : outputs;
    if (to > from)
        m->outer(w->r->g->grad[v->node], j->trans ? 1 : v->stored_columns,
                 j->trans ? v->stored_columns : 1, inner, j->rows, e->outer_dy, e->outer_x, from,
                 to, w->scratch);
}

static void
flush_weight(worker *w, const weight *v)
{
    const engine *e = w->r->e;
    const ab_graph *g = w->r->g;
    outer_job job = {.v = v};
    for (int32_t u = v->first_use; u >= 0; u = e->uses[u].next) {
        const weight_use *use = &e->uses[u];
        const ab_form *f = form_at(g, use->batch);
        const int32_t *nodes = e->nodes + e->batch_first[use->batch];
        affine a = affine_of(f);
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
        job.trans = (int)a.trans;
        job.rows += rows * a.r;
    }
    ab_share(w, outer_part, &job,
             ab_parts(w->r, job.rows * v->stored_rows * v->stored_columns / 4));
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
        const int live = is_live(e, g->operands[g->nodes[nodes[k]].first + j]);
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
            if (!is_live(e, g->operands[g->nodes[job->nodes[i]].first + j]))
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

static int64_t
work_of(const ab_form *f, int64_t n)
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

static void
run_batch(worker *w, int64_t b)
{
    const ab_graph *g = w->r->g;
    engine *e = w->r->e;
    const ab_form *f = form_at(g, b);
    const int32_t *nodes = e->nodes + e->batch_first[b];
    int64_t n = e->batch_first[b + 1] - e->batch_first[b];
    affine a = {0};
    if (is_affine(f)) {
        a = affine_of(f);
    } else if (f->nin > 1 && !(f->flags & (AB_FORM_BATCH_AWARE | AB_FORM_TABLE))) {
        joint_job job = {f, nodes, n};
        int divisible, parts = ab_parts(w->r, work_of(f, n));
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
    for (int32_t j = 0; j < f->nin; j++) {
        if (f->flags & AB_FORM_TABLE) { /* slots are given out in order: by the leader */
            if (table_of(g, nodes[0])->trainable)
                kernel_gradient(w, f, j, nodes, n, NULL);
            continue;
        }
        if (deferred(f, &a, j))
            continue;
        gradient_job job = {.f = f, .j = j, .size = in_bytes(g, f, j)};
        select_rows(g, e, nodes, n, e->rows, &job);
        if (!job.n)
            continue;
        int parts = ab_parts(w->r, work_of(f, job.n));
        int aware = (f->flags & AB_FORM_BATCH_AWARE) != 0;
        if (is_affine(f) && !(a.has_bias && j == 0)) {
            job.a = &a;
            int64_t pair = a.x_first ? 0 : (j - a.has_bias) / 2;
            weight *v =
                &e->weights
                     [e->weight_of[g->operands[g->nodes[nodes[0]].first + affine_w(&a, pair)]]];
            int side = a.trans ? 0 : 1;
            if (v->use[side] && !v->ready[side])
                ab_weight_pack(w, v, side);
        } else if (job.place && parts > 1 && ab_in_batch(g, f, j) == 1 && !aware) {
            job.to_sums = 1;
        }
        ab_share(w, gradient_part, &job, parts);
        if (job.to_sums)
            for (int part = 0; part < parts; part++)
                add_to(g, job.place, e->sums + (size_t)part * e->sum_each, job.size / g->itemsize);
    }
}

/* Finds out what the batches to come need. */
static int
look_at(const run *r, preparation *p)
{
    ab_graph *g = r->g;
    engine *e = r->e;
    int64_t most = 0;
    *p = (preparation){.plans = g->plans, .batches = e->at + 1};
    for (int32_t v = 0; v < e->nweights; v++)
        e->weights[v].rows[1][0] = e->weights[v].rows[1][1] = 0;
    for (int64_t b = 0; b <= e->at; b++) {
        const ab_form *f = form_at(g, b);
        int64_t n = e->batch_first[b + 1] - e->batch_first[b];
        if (!n)
            continue;
        size_t bytes = ab_frame_bytes(f, g, r->table) + spare_bytes(g, f, n);
        p->scratch = bytes > p->scratch ? bytes : p->scratch;
        p->work += work_of(f, n);
        most = n > most ? n : most;
        for (int32_t j = 0; j < f->nin && f->nin <= FEW; j++) {
            bytes = (size_t)in_bytes(g, f, j);
            p->sum = bytes > p->sum ? bytes : p->sum;
        }
        if (f->kernel < 0 || !is_affine(f))
            continue;
        affine a = affine_of(f);
        const ab_node *d = &g->nodes[e->nodes[e->batch_first[b]]];
        for (int64_t pair = 0; pair < a.pairs; pair++) {
            int32_t v = ab_weight_find(g, e, g->operands[d->first + affine_w(&a, pair)],
                                       a.trans ? a.k[pair] : a.m, a.trans ? a.m : a.k[pair]);
            if (v < 0)
                return AB_NO_MEMORY;
            e->weights[v].rows[1][a.trans ? 0 : 1] += n * f->batch * a.r;
        }
    }
    if (most > e->rows_n) {
        if (reserve(&e->rows, sizeof *e->rows, most) < 0)
            return AB_NO_MEMORY;
        e->rows_n = most;
    }
    most = 0;
    for (int32_t i = 0; i < e->nweights; i++) {
        const weight *v = &e->weights[i];
        if (v->first_use < 0)
            continue;
        most = v->outer_rows > most ? v->outer_rows : most;
        size_t one = r->table->matrix->outer_scratch(v->stored_rows, v->stored_columns);
        size_t two = r->table->matrix->outer_scratch(v->stored_columns, v->stored_rows);
        one = one > two ? one : two;
        p->scratch = one > p->scratch ? one : p->scratch;
    }
    if (most > e->outer_capacity) {
        if (reserve(&e->outer_x, sizeof *e->outer_x, most) < 0
            || reserve(&e->outer_dy, sizeof *e->outer_dy, most) < 0)
            return AB_NO_MEMORY;
        e->outer_capacity = most;
    }
    return AB_OK;
}

/* Whether all that a pass uses has one address whenever it is run again. */
static int
is_steady(const engine *e)
{
    int dense = !e->nviews && !e->nwrt;
    for (int32_t i = 0; i < e->nsources && dense; i++)
        dense = e->source_dense[i] && !e->source_rows[i]; /* slots of rows change */
    return dense;
}

static int
is_addressed(const ab_graph *g, const engine *e)
{
    for (int32_t i = 0; i < e->nsources; i++)
        if (g->grad[e->sources[i]] != ((ab_param *)(intptr_t)g->nodes[e->sources[i]].data[0])->grad)
            return 0;
    return g->gradients.used == g->values.used;
}

/* Gives addresses, finds out what the batches to come need, and decides which weights are packed:
 * as far as it has not been kept. */
static int
prepare(const run *r, int first)
{
    ab_graph *g = r->g;
    engine *e = r->e;
    int error = AB_OK;
    if (!first || !is_prepared(&e->back, g, r->table, e->ntape) || !is_addressed(g, e)) {
        if (first)
            error = address(g, e);
        if (error == AB_OK)
            error = look_at(r, &e->back);
        if (error == AB_OK && first && is_steady(e)) {
            e->back.table = r->table;
            e->trained = trained(g);
        }
    }
    for (int32_t i = 0; i < e->nweights && error == AB_OK; i++)
        for (int side = 0; side < 2 && error == AB_OK; side++)
            if (e->weights[i].rows[1][side])
                error = ab_weight_reserve(r, &e->weights[i], 1, side);
    return error;
}

static void
clear_part(worker *w, const void *job, int part, int parts)
{
    (void)job;
    const ab_graph *g = w->r->g;
    const engine *e = w->r->e;
    for (int64_t b = e->ntape * part / parts; b < e->ntape * (part + 1) / parts; b++)
        if (e->batch_first[b + 1] > e->batch_first[b]) {
            const ab_form *f = form_at(g, b);
            char *at = g->value[g->tape_nodes[g->tape[b].first]];
            memset(g->gradients.base + (at - g->values.base), 0,
                   (size_t)(f->size * f->batch * g->itemsize * g->tape[b].n));
        }
}

/* Adds what views with a gradient of their own have gathered to what they view, where that is
 * due before batch b runs (b = -1: at the end). Inner views come first. */
static void
flush_views(ab_graph *g, engine *e, int64_t b)
{
    for (int32_t k = 0; k < e->nviews; k++) {
        int32_t view = e->views[k];
        if (view < 0 || (b >= 0 && g->nodes[g->nodes[view].root].batch_tape < b))
            continue;
        const ab_form *f = form_of(g, view);
        int32_t base = g->operands[g->nodes[view].first];
        if (f->flags & AB_FORM_TABLE) {
            if (table_of(g, view)->trainable)
                add_to(g, slot_of(table_of(g, view), g->nodes[view].data[0]), g->grad[view],
                       f->size);
        } else if (is_live(e, base) && passes(f)) {
            int64_t step = ab_batch_stride(g, view);
            int64_t offset = (g->nodes[view].offset - g->nodes[base].offset) * g->itemsize;
            for (int64_t i = 0; i < f->batch; i++)
                add_to(g, g->grad[base] + offset + i * step, g->grad[view] + i * step, f->size);
        }
        e->views[k] = -1;
    }
}

/* Zeroes the gradients of what takes part, and seeds. */
static void
clear(worker *w)
{
    const ab_graph *g = w->r->g;
    const engine *e = w->r->e;
    ab_share(w, clear_part, NULL, ab_parts(w->r, (int64_t)g->values.used / 8));
    for (int32_t i = 0; i < e->nseeds; i++) {
        char *at = is_live(e, e->seeds[i]) ? g->grad[e->seeds[i]] : NULL;
        if (at && g->itemsize == 4)
            *(float *)at += 1;
        else if (at)
            *(double *)at += 1;
    }
}

typedef struct walking {
    double seconds, deadline; /* see ab_late */
    int first;
} walking;

static void
walk(worker *w, void *argument)
{
    walking *how = argument;
    const ab_graph *g = w->r->g;
    engine *e = w->r->e;
    if (how->first)
        clear(w);
    for (; e->at >= 0; e->at--) {
        int64_t b = e->at;
        for (int32_t v = e->flush[b + 1]; v >= 0; v = e->weights[v].flush_next)
            flush_weight(w, &e->weights[v]);
        if (e->nviews)
            flush_views(w->r->g, e, b);
        if (e->batch_first[b + 1] == e->batch_first[b])
            continue;
        if (form_at(g, b)->kernel < 0)
            return;
        run_batch(w, b);
        if (b && b % 16 == 0 && ab_late(&how->deadline, how->seconds)) {
            if (--e->at >= 0)
                return;
            break;
        }
    }
    for (int32_t v = e->flush[0]; v >= 0; v = e->weights[v].flush_next)
        flush_weight(w, &e->weights[v]);
    flush_views(w->r->g, e, -1);
}

int
ab_backward_run(ab_graph *g, const ab_kernel_table *table, int threads, double seconds)
{
    engine *e = g->engine;
    walking how = {.seconds = seconds, .first = !e->started};
    run r = {.g = g, .e = e, .table = table, .threads = 1};
    if (how.first && begin_sources(g, e) != AB_OK)
        return AB_RUN_ROOM;
    ab_lock();
    int error = prepare(&r, how.first);
    if (e->back.work >= 4 * WORK)
        r.threads = ab_threads(threads);
    if (error == AB_OK)
        error = ab_engine_scratch(e, r.threads, e->back.scratch, e->back.sum);
    if (error == AB_OK) {
        e->started = 1;
        ab_lead(&r, 1, e->back.work, walk, &how);
    }
    ab_unlock();
    if (error < 0)
        return error;
    if (e->at < 0)
        return AB_RUN_DONE;
    return form_at(g, e->at)->kernel < 0 ? AB_RUN_FORMULA : AB_RUN_AGAIN;
}

int32_t
ab_backward_batch(ab_graph *g, const int32_t **nodes, int32_t *form)
{
    engine *e = g->engine;
    *nodes = e->nodes + e->batch_first[e->at];
    *form = g->tape[e->at].form;
    return (int32_t)(e->batch_first[e->at + 1] - e->batch_first[e->at]);
}

void
ab_backward_skip(ab_graph *g)
{
    engine *e = g->engine;
    e->at--;
}
