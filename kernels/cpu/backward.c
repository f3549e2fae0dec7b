/* Running backward: the same tape, reversed.
 *
 * begin marks the nodes that take part (those that the loss depends on and that depend on
 * something whose gradient is wanted), so that a NaN elsewhere cannot spread.
 */
#include "engine.h"

#include <math.h>
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
        if (reserve(&e->marks, 1, n) < 0 || reserve(&e->listed, sizeof *e->listed, n) < 0
            || reserve(&e->below, sizeof *e->below, n) < 0
            || reserve(&e->nodes, sizeof *e->nodes, n) < 0
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

/* Enters a parameter, or the table of a lookup with the rows that it may add to. */
static int
add_source(const ab_graph *g, engine *e, int32_t node, const ab_form *f)
{
    const int dense = (f->flags & AB_FORM_PARAMETER) != 0;
    const int64_t rows = dense ? 0 : f->batch;
    node = dense ? node : g->operands[g->nodes[node].first];
    const int32_t i = e->listed[node]; /* whatever it was, if the node is not listed */
    if (i >= 0 && i < e->nsources && e->sources[i] == node) {
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
    e->listed[node] = e->nsources;
    e->sources[e->nsources] = node;
    e->source_dense[e->nsources] = (uint8_t)dense;
    e->source_rows[e->nsources++] = rows;
    return AB_OK;
}

static int
is_table_of_parameter(const ab_graph *g, int32_t node, const ab_form *f)
{
    return f->flags & AB_FORM_TABLE
           && form_of(g, g->operands[g->nodes[node].first])->flags & AB_FORM_PARAMETER;
}

/* DyNet's trainers take rows for used that were looked up before the loss, on whatever path: their
 * running means move on. Not so what was looked up as a constant, which is used behind
 * stop_gradient only. */
static int
mark_touched(const ab_graph *g, engine *e, int32_t last)
{
    uint8_t *mark = e->marks;
    for (int32_t i = 0; i <= last; i++)
        if (!ab_is_live(e, i) && is_table_of_parameter(g, i, form_of(g, i))
            && ab_table_of(g, i)->trainable)
            mark[i] |= TOUCHED;
    for (int32_t i = 0; i < e->n; i++) {
        const ab_node *d = &g->nodes[i];
        const uint32_t stops = AB_FORM_VIEW | AB_FORM_NO_GRADIENT;
        const uint8_t how = (form_of(g, i)->flags & stops) == stops ? STOPPED : USED;
        for (int32_t j = 0; j < d->nin; j++)
            if (mark[g->operands[d->first + j]] & TOUCHED)
                mark[g->operands[d->first + j]] |= how;
    }
    for (int32_t i = 0; i <= last; i++) {
        if (!(mark[i] & TOUCHED))
            continue;
        if ((mark[i] & (STOPPED | USED)) == STOPPED) {
            mark[i] &= (uint8_t)~TOUCHED;
            continue;
        }
        e->ntouched++;
        if (add_source(g, e, i, form_of(g, i)) < 0)
            return AB_NO_MEMORY;
    }
    return AB_OK;
}

/* Begins the gradients of rows that are touched. */
static void
touch(const ab_graph *g, const engine *e)
{
    for (int32_t i = 0, left = e->ntouched; left; i++) {
        if (!(e->marks[i] & TOUCHED))
            continue;
        left--;
        for (int32_t word = 0; word < g->nodes[i].ndata; word++)
            ab_slot_of(ab_table_of(g, i), g->nodes[i].data[word]);
    }
}

/* Takes back what the last pass marked. */
static void
unmark(ab_graph *g, engine *e)
{
    if (e->graph != g->epoch + 1) {
        e->graph = g->epoch + 1;
        e->low = e->n = e->nbelow = e->known = 0;
        return;
    }
    memset(e->marks + e->low, 0, (size_t)(e->n - e->low));
    memset(g->grad + e->low, 0, (size_t)(e->n - e->low) * sizeof *g->grad);
    for (int32_t i = 0; i < e->nbelow; i++) {
        e->marks[e->below[i]] = 0;
        g->grad[e->below[i]] = NULL;
    }
}

static void
list_below(engine *e, int32_t node)
{
    e->marks[node] = SEEN;
    e->below[e->nbelow++] = node;
}

/* Nodes from `low` on, and sources before it, are all that a second pass over a graph has to look
 * at: a graph of many losses costs what each depends on. */
static void
find_low(const ab_graph *g, engine *e, int32_t nseeds, const int32_t *seeds, int32_t nwrt,
         const int32_t *wrt)
{
    uint8_t *mark = e->marks;
    for (int32_t i = 0; i < nseeds + nwrt; i++) {
        const int32_t node = i < nseeds ? seeds[i] : wrt[i - nseeds];
        mark[node] |= SEEN;
        e->low = node < e->low ? node : e->low;
    }
    for (int32_t i = e->n - 1; i >= e->low; i--) {
        const ab_node *d = &g->nodes[i];
        for (int32_t j = 0; j < d->nin && mark[i] & SEEN; j++) {
            const int32_t o = g->operands[d->first + j];
            if (mark[o] & SEEN)
                continue;
            if (!(form_of(g, o)->flags & AB_FORM_SOURCE)) {
                mark[o] |= SEEN;
                e->low = o < e->low ? o : e->low;
                continue;
            }
            const int32_t table = g->nodes[o].nin ? g->operands[g->nodes[o].first] : o;
            if (!(mark[table] & SEEN))
                list_below(e, table);
            if (table != o)
                list_below(e, o);
        }
    }
    int32_t kept = 0; /* tables stand before their rows */
    for (int32_t i = 0; i < e->nbelow; i++)
        if (e->below[i] < e->low)
            e->below[kept++] = e->below[i];
    e->nbelow = kept;
}

/* Whether the gradient of a node is wanted, by what it is or is computed from. */
static inline void
mark_wanted(const ab_graph *g, uint8_t *mark, int32_t i)
{
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

/* Also lists the parameters and tables that get a gradient. */
static int
mark(ab_graph *g, engine *e, int32_t nseeds, const int32_t *seeds, int32_t nwrt, const int32_t *wrt)
{
    uint8_t *mark = e->marks;
    int32_t rows = 0; /* nodes that are rows of tables, without those that take part */
    unmark(g, e);
    const int again = e->n > 0 && !g->touching;
    memset(mark + e->known, 0, (size_t)(g->n - e->known));
    memset(g->grad + e->known, 0, (size_t)(g->n - e->known) * sizeof *g->grad);
    e->known = g->n;
    e->nbelow = 0;
    e->low = again ? g->n : 0;
    e->n = g->n;
    if (again) {
        e->n = 0;
        for (int32_t i = 0; i < nseeds + nwrt; i++) {
            const int32_t node = i < nseeds ? seeds[i] : wrt[i - nseeds];
            e->n = node >= e->n ? node + 1 : e->n;
        }
        find_low(g, e, nseeds, seeds, nwrt, wrt);
    }
    for (int32_t i = 0; i < nwrt; i++)
        mark[wrt[i]] |= WANTED | ASKED;
    for (int32_t i = 0; i < e->nbelow; i++)
        mark_wanted(g, mark, e->below[i]);
    for (int32_t i = e->low; i < e->n; i++) {
        rows += (form_of(g, i)->flags & AB_FORM_TABLE) != 0;
        mark_wanted(g, mark, i);
    }
    for (int32_t i = 0; i < nseeds; i++)
        mark[seeds[i]] |= REACHED;
    for (int32_t i = e->n - 1, k = e->nbelow; i >= e->low || k > 0;) {
        const int32_t node = i >= e->low ? i-- : e->below[--k];
        const ab_node *d = &g->nodes[node];
        if (!ab_is_live(e, node))
            continue;
        const ab_form *f = form_of(g, node);
        if (passes(f))
            for (int32_t j = 0; j < d->nin; j++)
                mark[g->operands[d->first + j]] |= REACHED;
        rows -= (f->flags & AB_FORM_TABLE) != 0;
        if (f->flags & (AB_FORM_PARAMETER | AB_FORM_TABLE) && add_source(g, e, node, f) < 0)
            return AB_NO_MEMORY;
    }
    return g->touching && rows && nseeds ? mark_touched(g, e, seeds[0]) : AB_OK;
}

/* The batches that may take part: [first, ntape). */
static void
find_batches(const ab_graph *g, engine *e)
{
    e->first = 0;
    if (!e->low)
        return;
    int64_t first = e->ntape, last = -1;
    for (int32_t i = e->low; i < e->n; i++) {
        const int64_t b = g->nodes[i].batch_tape;
        if (b < 0 || b >= e->ntape || !ab_is_live(e, i))
            continue;
        first = b < first ? b : first;
        last = b > last ? b : last;
    }
    e->ntape = last + 1;
    e->first = first < e->ntape ? first : e->ntape;
}

/* Lists a use of each weight of an affine batch, due before the weight's own batch runs. */
static int
add_uses(ab_graph *g, engine *e, int64_t b, const ab_form *f, int32_t node, int64_t rows)
{
    affine a = affine_of(f);
    for (int64_t pair = 0; pair < a.pairs; pair++) {
        int32_t w = g->operands[g->nodes[node].first + affine_w(&a, pair)];
        if (!ab_is_live(e, w))
            continue;
        int32_t v = ab_weight_find(g, e, w, a.trans ? a.k[pair] : a.m, a.trans ? a.m : a.k[pair]);
        if (v < 0)
            return AB_NO_MEMORY;
        if (e->nuses == e->use_capacity) {
            const int32_t n = e->use_capacity ? 2 * e->use_capacity : 256;
            if (reserve(&e->uses, sizeof *e->uses, n) < 0)
                return AB_NO_MEMORY;
            e->use_capacity = n;
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
    for (int32_t i = 0; i < g->nparameters; i++)
        if (((const ab_param *)(intptr_t)g->nodes[g->parameters[i]].data[0])->trainable)
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

static ab_param *
source_at(const ab_graph *g, const engine *e, int32_t i)
{
    return (ab_param *)(intptr_t)g->nodes[e->sources[i]].data[0];
}

static void
drop_copies(engine *e)
{
    for (int32_t i = 0; i < e->nundos; i++) {
        free(e->undos[i].dense);
        free(e->undos[i].sparse);
        e->undos[i].dense = e->undos[i].sparse = NULL;
    }
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
    drop_copies(e);
    e->nundos = 0;
    e->ntape = g->tape_done;
    e->at = e->ntape - 1;
    if (repeated)
        return AB_OK;
    e->back.table = NULL;
    e->nwrt = nwrt;
    e->nsources = e->nuses = e->nviews = e->ntouched = 0;
    if (make_room(g, e, nseeds, nwrt) < 0)
        return AB_NO_MEMORY;
    memcpy(e->seeds, seeds, (size_t)nseeds * sizeof *seeds);
    e->nseeds = nseeds;
    for (int32_t i = 0; i < e->nweights; i++)
        e->weights[i].first_use = -1;
    if (mark(g, e, nseeds, seeds, nwrt, wrt) < 0) {
        e->graph = 0; /* what is marked is not known */
        return AB_NO_MEMORY;
    }
    find_batches(g, e);
    e->at = e->ntape - 1;
    e->flush[0] = -1;
    memset(e->flush + e->first, 0xff, (size_t)(e->ntape - e->first + 1) * sizeof *e->flush);
    int64_t at = 0;
    for (int64_t b = e->first; b < e->ntape; b++) {
        e->batch_first[b] = at;
        const int32_t *nodes = g->tape_nodes + g->tape[b].first;
        const ab_form *f = form_at(g, b);
        for (int32_t i = 0; i < g->tape[b].n; i++)
            if (f->size && ab_is_live(e, nodes[i])) /* results without elements pass nothing on */
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
    return e && node < e->n && ab_is_live(e, node);
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

static char *
zeros(ab_graph *g, int64_t bytes)
{
    int64_t *words = ab_graph_words(g, bytes / (int64_t)sizeof(int64_t) + 1);
    if (words)
        memset(words, 0, (size_t)bytes);
    return (char *)words;
}

/* Begins the gradients of the parameters that take part, and notes what they were. */
static int
begin_sources(const ab_graph *g, engine *e)
{
    for (int32_t i = 0; i < e->nsources; i++) {
        const ab_param *p = source_at(g, e, i);
        int64_t rows = p->slots + e->source_rows[i];
        if ((rows < p->rows ? rows : p->rows) > p->capacity)
            return AB_RUN_ROOM;
    }
    if (e->undo_room < e->nsources) {
        if (reserve(&e->undos, sizeof *e->undos, e->nsources) < 0)
            return AB_NO_MEMORY;
        e->undo_room = e->nsources;
    }
    for (; e->nundos < e->nsources; e->nundos++) {
        ab_param *p = source_at(g, e, e->nundos);
        e->undos[e->nundos] = (undo){.param = p, .graded = p->graded, .slots = p->slots};
        if (e->source_dense[e->nundos])
            ab_param_dense(p);
    }
    touch(g, e);
    return AB_OK;
}

/* Copies what the gradients are, so that a pass that is stopped can be undone. */
static int
copy_sources(engine *e)
{
    for (int32_t i = 0; i < e->nundos; i++) {
        undo *u = &e->undos[i];
        const size_t dense = u->graded ? (size_t)(u->param->size * u->param->itemsize) : 0;
        const size_t sparse = (size_t)(u->slots * u->param->dim * u->param->itemsize);
        if ((dense && !(u->dense = malloc(dense))) || (sparse && !(u->sparse = malloc(sparse))))
            return AB_NO_MEMORY;
        if (dense)
            memcpy(u->dense, u->param->grad, dense);
        if (sparse)
            memcpy(u->sparse, u->param->sparse, sparse);
    }
    return AB_OK;
}

void
ab_backward_undo(ab_graph *g)
{
    engine *e = g->engine;
    for (int32_t i = 0; e && i < e->nundos; i++) {
        const undo *u = &e->undos[i];
        ab_param *p = u->param;
        const size_t row = (size_t)(p->dim * p->itemsize);
        p->graded = u->graded;
        if (u->dense)
            memcpy(p->grad, u->dense, (size_t)(p->size * p->itemsize));
        for (int64_t slot = u->slots; slot < p->slots; slot++)
            p->slot_of_row[p->row_of_slot[slot]] = -1;
        if (p->slots > u->slots)
            memset((char *)p->sparse + (size_t)u->slots * row, 0,
                   (size_t)(p->slots - u->slots) * row);
        if (u->sparse)
            memcpy(p->sparse, u->sparse, (size_t)u->slots * row);
        p->slots = u->slots;
    }
    if (e) {
        drop_copies(e);
        e->nundos = 0;
        e->back.table = NULL;
    }
    g->grad_n = 0;
}

/* Gives every node that takes part the address of its gradient. */
static int
address(ab_graph *g, engine *e)
{
    g->grad_n = 0;
    g->gradients.used = 0;
    size_t used = ab_graph_bytes(g);
    if (g->limit && g->values.used > g->limit - (used < g->limit ? used : g->limit))
        return AB_LIMIT;
    int error = ab_arena_grow(&g->gradients, g->values.used, g->limit ? g->limit : SIZE_MAX / 4);
    if (error < 0)
        return error;
    g->gradients.used = g->values.used;
    for (int32_t k = 0, end = e->nbelow + e->n - e->low; k < end; k++) {
        const int32_t i = k < e->nbelow ? e->below[k] : e->low + k - e->nbelow;
        if (!ab_is_live(e, i))
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
        } else if (f->flags & AB_FORM_TABLE && ab_table_of(g, i)->trainable) {
            g->grad[i] = ab_slot_of(ab_table_of(g, i), g->nodes[i].data[0]);
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

/* Finds out what the batches to come need. */
static int
look_at(const run *r, preparation *p)
{
    ab_graph *g = r->g;
    engine *e = r->e;
    int64_t most = 0;
    *p = (preparation){
        .plans = g->plans, .batches = e->ntape, .lone = 1, .steps.memory = p->steps.memory};
    for (int32_t v = 0; v < e->nweights; v++)
        e->weights[v].rows[1][0] = e->weights[v].rows[1][1] = 0;
    for (int64_t b = e->first; b <= e->at; b++) {
        const ab_form *f = form_at(g, b);
        int64_t n = e->batch_first[b + 1] - e->batch_first[b];
        if (!n)
            continue;
        size_t bytes = ab_frame_bytes(f, g, r->table) + ab_gradient_bytes(g, f, n);
        p->scratch = bytes > p->scratch ? bytes : p->scratch;
        p->work += ab_gradient_work(f, n);
        p->formulas |= f->kernel < 0;
        p->lone &= f->kernel >= 0 && ab_is_lone(g, f, n);
        most = n > most ? n : most;
        for (int32_t j = 0; j < f->nin && f->nin <= FEW; j++) {
            bytes = (size_t)ab_in_bytes(g, f, j);
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
            e->weights[v].rows[1][affine_side(&a, 1)] += n * f->batch * a.r;
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

typedef struct walking {
    double seconds, deadline; /* see ab_late */
    int first;
    int again; /* it is a small pass of lone batches that was run before */
} walking;

/* Gives addresses, finds out what the batches to come need, and decides which weights are packed:
 * as far as it has not been kept. */
static int
prepare(const run *r, walking *how)
{
    ab_graph *g = r->g;
    engine *e = r->e;
    const int first = how->first;
    int error = AB_OK;
    how->again = first && is_prepared(&e->back, g, r->table, e->ntape) && is_addressed(g, e);
    if (!how->again) {
        if (first)
            error = address(g, e);
        if (error == AB_OK)
            error = look_at(r, &e->back);
        if (error == AB_OK && first && is_steady(e)) {
            e->back.table = r->table;
            e->trained = trained(g);
        }
    }
    how->again &= e->back.work < SHARED && e->back.lone;
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
    const int64_t n = e->ntape - e->first;
    for (int64_t b = e->first + n * part / parts; b < e->first + n * (part + 1) / parts; b++)
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
            if (ab_table_of(g, view)->trainable)
                ab_add_to(g, ab_slot_of(ab_table_of(g, view), g->nodes[view].data[0]),
                          g->grad[view], f->size);
        } else if (ab_is_live(e, base) && passes(f)) {
            int64_t step = ab_batch_stride(g, view);
            int64_t offset = (g->nodes[view].offset - g->nodes[base].offset) * g->itemsize;
            for (int64_t i = 0; i < f->batch; i++)
                ab_add_to(g, g->grad[base] + offset + i * step, g->grad[view] + i * step, f->size);
        }
        e->views[k] = -1;
    }
}

enum { AT_ONCE = 1 << 14 }; /* bytes that take no longer to zero than to find out which */

/* Zeroes the gradients of what takes part, and seeds. */
static void
clear(worker *w, const void *none)
{
    (void)none;
    const ab_graph *g = w->r->g;
    const engine *e = w->r->e;
    if (g->gradients.used <= AT_ONCE)
        memset(g->gradients.base, 0, g->gradients.used);
    else
        ab_share(w, clear_part, NULL, ab_parts(w->r, (int64_t)g->values.used / 8));
    for (int32_t i = 0; i < e->nseeds; i++) {
        char *at = ab_is_live(e, e->seeds[i]) ? g->grad[e->seeds[i]] : NULL;
        if (at && g->itemsize == 4)
            *(float *)at += 1;
        else if (at)
            *(double *)at += 1;
    }
}

static void
walk_batches(worker *w, walking *how)
{
    const ab_graph *g = w->r->g;
    engine *e = w->r->e;
    if (how->first)
        ab_step_now(w, clear, NULL, 0);
    for (; e->at >= e->first; e->at--) {
        int64_t b = e->at;
        for (int32_t v = e->flush[b + 1]; v >= 0; v = e->weights[v].flush_next)
            ab_gradient_of_weight(w, v);
        if (e->nviews)
            flush_views(w->r->g, e, b);
        if (e->batch_first[b + 1] == e->batch_first[b])
            continue;
        if (form_at(g, b)->kernel < 0)
            return;
        ab_gradient_batch(w, b);
        if (b && b % 16 == 0 && ab_late(&how->deadline, how->seconds)) {
            if (--e->at >= e->first)
                return;
            break;
        }
    }
    for (int32_t v = e->flush[0]; v >= 0; v = e->weights[v].flush_next)
        ab_gradient_of_weight(w, v);
    flush_views(w->r->g, e, -1);
}

static void
walk(worker *w, void *argument)
{
    walking *how = argument;
    engine *e = w->r->e;
    if (how->again && ab_steps_again(w, &e->back.steps)) {
        e->at = e->first - 1;
        return;
    }
    walk_batches(w, how);
    ab_steps_end(w, e->at < e->first);
}

enum { LONG = 1 << 26 }; /* operations: what takes no longer is not stopped half way */

int
ab_backward_run(ab_graph *g, const ab_kernel_table *table, int threads, double seconds)
{
    engine *e = g->engine;
    walking how = {.seconds = seconds, .first = !e->started};
    run r = {.g = g, .e = e, .table = table, .threads = 1};
    if (how.first) {
        const int begun = begin_sources(g, e);
        if (begun != AB_OK)
            return begun;
    }
    ab_lock();
    int error = prepare(&r, &how);
    if (e->back.work >= SHARED)
        r.threads = ab_threads(threads);
    if (error == AB_OK)
        error = ab_engine_scratch(e, r.threads, e->back.scratch, e->back.sum);
    if (error == AB_OK && e->back.work < LONG && !e->back.formulas)
        how.seconds = INFINITY;
    else if (error == AB_OK && how.first)
        error = copy_sources(e);
    if (error == AB_OK) {
        e->started = 1;
        ab_lead(&r, 1, e->back.work, walk, &how);
    }
    ab_unlock();
    if (error < 0) {
        ab_backward_undo(g);
        return error;
    }
    if (e->at < e->first)
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
