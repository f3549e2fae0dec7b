/* From targets to batches with addresses. */
#include "ab_sched.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 };

typedef struct mark {
    uint32_t stamp; /* of the call that visited the node last */
    int32_t local;  /* the node's number in that call */
} mark;

/* Work space that stays with the graph: marks need no clearing, arrays no new allocation. */
typedef struct work {
    uint32_t stamp;
    uint64_t epoch;
    int32_t planned; /* nodes that the last plan could see */
    mark *marks;
    int32_t nmarks;
    mark *form_marks; /* form -> profile */
    int32_t nform_marks;
    int32_t *space;
    size_t space_n;
    int64_t *sums;
    size_t sums_n;
    int32_t *table; /* profiles of forms with shared operands */
    size_t table_n;
} work;

static void
work_free(void *p)
{
    work *w = p;
    free(w->marks);
    free(w->form_marks);
    free(w->space);
    free(w->sums);
    free(w->table);
    free(w);
}

static int
reserve(void **array, size_t item, size_t *have, size_t want)
{
    if (want <= *have)
        return AB_OK;
    want += want / 2;
    void *grown = realloc(*array, want * item);
    if (!grown)
        return AB_NO_MEMORY;
    *array = grown;
    *have = want;
    return AB_OK;
}

static work *
work_get(ab_graph *g)
{
    work *w = g->scheduler;
    if (!w) {
        if (!(w = calloc(1, sizeof *w)))
            return NULL;
        g->scheduler = w;
        g->scheduler_free = work_free;
    }
    if (w->nmarks < g->capacity) {
        mark *grown = realloc(w->marks, (size_t)g->capacity * sizeof *grown);
        if (!grown)
            return NULL;
        memset(grown + w->nmarks, 0, (size_t)(g->capacity - w->nmarks) * sizeof *grown);
        w->marks = grown;
        w->nmarks = g->capacity;
    }
    if (w->nform_marks < g->registry->nforms) {
        int32_t n = g->registry->nforms + AB_CHUNK;
        mark *grown = realloc(w->form_marks, (size_t)n * sizeof *grown);
        if (!grown)
            return NULL;
        memset(grown + w->nform_marks, 0, (size_t)(n - w->nform_marks) * sizeof *grown);
        w->form_marks = grown;
        w->nform_marks = n;
    }
    if (w->epoch != g->epoch) {
        w->epoch = g->epoch;
        w->planned = 0;
    }
    if (++w->stamp == 0) { /* wrapped: old stamps would look new */
        memset(w->marks, 0, (size_t)w->nmarks * sizeof *w->marks);
        memset(w->form_marks, 0, (size_t)w->nform_marks * sizeof *w->form_marks);
        w->stamp = 1;
    }
    return w;
}

static inline bool
is_source(const ab_graph *g, int32_t node)
{
    return ab_form_get(g->registry, g->nodes[node].form)->flags & AB_FORM_SOURCE;
}

static int
compare(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static inline bool
is_needed(const ab_graph *g, work *w, int32_t root, bool all)
{
    return w->marks[root].stamp != w->stamp && (all ? !is_source(g, root) : !g->value[root]);
}

/* Lists in `list` the computed nodes that the targets need, in the order of recording; those
 * that have run already only if `all`. Roots only: views are never scheduled. Nodes recorded
 * since the last plan are walked in order, which is fast; older ones, of which there are few
 * unless `all`, by following operands. edges: receives the count of the nodes' operands. */
static int32_t
collect(ab_graph *g, work *w, int32_t ntargets, const int32_t *targets, bool all, int32_t *list,
        size_t *edges)
{
    const uint32_t stamp = w->stamp;
    const int32_t recent = all ? 0 : w->planned;
    int32_t high = -1, old = 0;
    for (int32_t t = 0; t < ntargets; t++) {
        int32_t r = g->nodes[targets[t]].root;
        if (!is_needed(g, w, r, all))
            continue;
        w->marks[r].stamp = stamp;
        if (r < recent)
            list[old++] = r;
        else
            high = r > high ? r : high;
    }
    for (int32_t i = high; i >= recent; i--) {
        if (w->marks[i].stamp != stamp)
            continue;
        const int32_t *o = g->operands + g->nodes[i].first, *end = o + g->nodes[i].nin;
        for (; o < end; o++) {
            int32_t r = g->nodes[*o].root;
            if (!is_needed(g, w, r, all))
                continue;
            w->marks[r].stamp = stamp;
            if (r < recent)
                list[old++] = r;
        }
    }
    for (int32_t at = 0; at < old; at++) { /* the list is its own queue */
        const int32_t *o = g->operands + g->nodes[list[at]].first;
        for (const int32_t *end = o + g->nodes[list[at]].nin; o < end; o++) {
            int32_t r = g->nodes[*o].root;
            if (!is_needed(g, w, r, all))
                continue;
            w->marks[r].stamp = stamp;
            list[old++] = r;
        }
    }
    qsort(list, (size_t)old, sizeof *list, compare);
    int32_t n = old;
    for (int32_t i = recent; i <= high; i++)
        if (w->marks[i].stamp == stamp)
            list[n++] = i;
    *edges = 0;
    for (int32_t i = 0; i < n; i++)
        *edges += (size_t)g->nodes[list[i]].nin;
    return n;
}

static bool
same_operands(const ab_graph *g, uint64_t same, const ab_node *a, const ab_node *b)
{
    for (; same; same &= same - 1) {
        int j = __builtin_ctzll(same);
        if (g->operands[a->first + j] != g->operands[b->first + j])
            return false;
    }
    return true;
}

/* Numbers the profiles of the listed nodes in the order in which they first occur. `first`
 * receives the first node of each. */
static int32_t
number_profiles(ab_graph *g, work *w, int32_t n, const int32_t *list, int32_t *profile,
                int32_t *first)
{
    int32_t profiles = 0;
    size_t slots = 0; /* the table is made when a form with shared operands turns up */
    for (int32_t i = 0; i < n; i++) {
        const ab_node *d = &g->nodes[list[i]];
        const ab_form *f = ab_form_get(g->registry, d->form);
        if (!f->same) {
            mark *m = &w->form_marks[d->form];
            if (m->stamp != w->stamp) {
                m->stamp = w->stamp;
                m->local = profiles;
                first[profiles++] = list[i];
            }
            profile[i] = m->local;
            continue;
        }
        if (!slots) {
            for (slots = 64; slots < 2 * (size_t)n; slots *= 2)
                ;
            if (reserve((void **)&w->table, sizeof *w->table, &w->table_n, slots) < 0)
                return AB_NO_MEMORY;
            memset(w->table, 0xff, slots * sizeof *w->table);
        }
        uint64_t hash = (uint64_t)d->form + 1;
        for (uint64_t same = f->same; same; same &= same - 1)
            hash = (hash ^ (uint64_t)g->operands[d->first + __builtin_ctzll(same)])
                   * UINT64_C(0x9E3779B97F4A7C15);
        size_t at = (size_t)((hash >> 32) & g->registry->hash_mask) & (slots - 1);
        int32_t k;
        for (; (k = w->table[at]) >= 0; at = (at + 1) & (slots - 1)) {
            const ab_node *other = &g->nodes[first[k]];
            if (other->form == d->form && same_operands(g, f->same, d, other))
                break;
        }
        if (k < 0) {
            w->table[at] = k = profiles;
            first[profiles++] = list[i];
        }
        profile[i] = k;
    }
    return profiles;
}

static int
grow_tape(ab_graph *g, int64_t batches, int64_t nodes)
{
    size_t have = (size_t)g->tape_capacity;
    if (reserve((void **)&g->tape, sizeof *g->tape, &have, (size_t)(g->tape_n + batches)) < 0)
        return AB_NO_MEMORY;
    g->tape_capacity = (int64_t)have;
    have = (size_t)g->tape_nodes_capacity;
    if (reserve((void **)&g->tape_nodes, sizeof *g->tape_nodes, &have,
                (size_t)(g->tape_nodes_n + nodes))
        < 0)
        return AB_NO_MEMORY;
    g->tape_nodes_capacity = (int64_t)have;
    return AB_OK;
}

/* Gives a batch its place on the tape and its nodes their addresses: one block, row on row. */
static int
place(ab_graph *g, int32_t n, const int32_t *nodes)
{
    const ab_form *f = ab_form_get(g->registry, g->nodes[nodes[0]].form);
    size_t row = (size_t)(f->size * f->batch * g->itemsize), bytes = row * (size_t)n;
    size_t used = ab_graph_bytes(g);
    if (g->limit && (used > g->limit || bytes > g->limit - used))
        return AB_LIMIT;
    size_t pad = -g->values.used % ALIGNMENT;
    int error = ab_arena_grow(&g->values, bytes + pad, g->limit ? g->limit : SIZE_MAX / 4);
    if (error < 0)
        return error;
    char *address = g->values.base + g->values.used + pad;
    g->values.used += bytes + pad;
    ab_batch *b = &g->tape[g->tape_n];
    b->form = g->nodes[nodes[0]].form;
    b->n = n;
    b->first = g->tape_nodes_n;
    for (int32_t i = 0; i < n; i++) {
        g->tape_nodes[b->first + i] = nodes[i];
        g->nodes[nodes[i]].batch_tape = (int32_t)g->tape_n;
        g->value[nodes[i]] = address + (size_t)i * row;
    }
    g->tape_nodes_n += n;
    g->tape_n++;
    return AB_OK;
}

int64_t
ab_plan(ab_graph *g, int32_t ntargets, const int32_t *targets, int32_t strategy)
{
    static ab_strategy_fn *const strategies[] = {
        [AB_STRATEGY_NONE] = ab_strategy_none,
        [AB_STRATEGY_DEPTH] = ab_strategy_depth,
        [AB_STRATEGY_AGENDA] = ab_strategy_agenda,
        [AB_STRATEGY_FRONTIER] = ab_strategy_frontier,
    };
    work *w = work_get(g);
    /* First the list alone: its length sizes the rest. */
    if (!w || reserve((void **)&w->space, sizeof *w->space, &w->space_n, (size_t)g->n + 1) < 0)
        return AB_NO_MEMORY;
    size_t edges;
    int32_t n = collect(g, w, ntargets, targets, false, w->space, &edges);
    w->planned = g->n;
    if (n == 0)
        return 0;
    size_t each = (size_t)n + 1;
    if (reserve((void **)&w->space, sizeof *w->space, &w->space_n, 11 * each + 2 * edges) < 0
        || reserve((void **)&w->sums, sizeof *w->sums, &w->sums_n, each) < 0)
        return AB_NO_MEMORY;
    int32_t *list = w->space, *profile = list + each, *first = profile + each;
    int32_t *depth = first + each, *waits = depth + each, *members = waits + each;
    int32_t *order = members + each, *batch_end = order + each;
    int32_t *succ_first = batch_end + each, *pred_first = succ_first + each,
            *fill = pred_first + each;
    int32_t *succ = fill + each, *pred = succ + edges;
    int32_t profiles = number_profiles(g, w, n, list, profile, first);
    if (profiles < 0)
        return profiles;
    memset(members, 0, (size_t)profiles * sizeof *members);
    memset(w->sums, 0, (size_t)profiles * sizeof *w->sums);
    memset(fill, 0, each * sizeof *fill);
    int32_t npred = 0;
    for (int32_t i = 0; i < n; i++) {
        const ab_node *d = &g->nodes[list[i]];
        w->marks[list[i]].local = i;
        int32_t deepest = 0;
        pred_first[i] = npred;
        for (int32_t j = 0; j < d->nin; j++) {
            mark m = w->marks[g->nodes[g->operands[d->first + j]].root];
            if (m.stamp != w->stamp)
                continue;
            pred[npred++] = m.local;
            fill[m.local]++;
            deepest = depth[m.local] > deepest ? depth[m.local] : deepest;
        }
        waits[i] = npred - pred_first[i];
        depth[i] = deepest + 1;
        members[profile[i]]++;
        w->sums[profile[i]] += depth[i];
    }
    pred_first[n] = npred;
    for (int32_t i = 0, at = 0; i <= n; i++) {
        int32_t count = i < n ? fill[i] : 0;
        succ_first[i] = fill[i] = at;
        at += count;
    }
    for (int32_t i = 0; i < n; i++)
        for (int32_t e = pred_first[i]; e < pred_first[i + 1]; e++)
            succ[fill[pred[e]]++] = i;
    ab_problem problem = {
        .n = n,
        .nprofiles = profiles,
        .profile = profile,
        .depth = depth,
        .waits = waits,
        .succ_first = succ_first,
        .succ = succ,
        .depth_sum = w->sums,
        .members = members,
        .pred_first = pred_first,
        .pred = pred,
    };
    int64_t batches = strategies[strategy](&problem, order, batch_end);
    if (batches < 0)
        return batches;
    int64_t before = g->tape_n;
    int error = grow_tape(g, batches, n);
    for (int32_t i = 0; i < n; i++)
        order[i] = list[order[i]];
    for (int64_t b = 0; error == AB_OK && b < batches; b++) {
        int32_t from = b ? batch_end[b - 1] : 0;
        error = place(g, batch_end[b] - from, order + from);
    }
    if (error < 0) {
        ab_unplan(g, before);
        return error;
    }
    return batches;
}

void
ab_unplan(ab_graph *g, int64_t batches)
{
    if (batches < g->tape_done)
        batches = g->tape_done;
    if (batches >= g->tape_n)
        return;
    const int64_t first = g->tape[batches].first;
    g->values.used = (size_t)(g->value[g->tape_nodes[first]] - g->values.base);
    for (int64_t i = first; i < g->tape_nodes_n; i++) {
        g->value[g->tape_nodes[i]] = NULL;
        g->nodes[g->tape_nodes[i]].batch_tape = -1;
    }
    g->tape_n = batches;
    g->tape_nodes_n = first;
    if (g->scheduler) /* old nodes may be pending again */
        ((work *)g->scheduler)->planned = 0;
}

int32_t
ab_profiles(ab_graph *g, int32_t ntargets, const int32_t *targets, int32_t *profile)
{
    work *w = work_get(g);
    if (!w || reserve((void **)&w->space, sizeof *w->space, &w->space_n, 3 * (size_t)g->n + 3) < 0)
        return AB_NO_MEMORY;
    int32_t *list = w->space, *local = list + g->n + 1, *first = local + g->n + 1;
    size_t edges;
    int32_t n = collect(g, w, ntargets, targets, true, list, &edges);
    memset(profile, 0xff, (size_t)g->n * sizeof *profile);
    int32_t profiles = number_profiles(g, w, n, list, local, first);
    for (int32_t i = 0; profiles >= 0 && i < n; i++)
        profile[list[i]] = local[i];
    return profiles;
}

int64_t
ab_lower_bound(ab_graph *g, int32_t ntargets, const int32_t *targets, int32_t *nprofiles)
{
    enum { LANES = 32 }; /* profiles per pass */
    int64_t bound = AB_NO_MEMORY;
    int32_t *profile = malloc(((size_t)g->n + 1) * sizeof *profile);
    int32_t *chain = malloc(((size_t)g->n + 1) * LANES * sizeof *chain);
    if (!profile || !chain)
        goto done;
    int32_t profiles = ab_profiles(g, ntargets, targets, profile);
    if ((bound = profiles) < 0)
        goto done;
    *nprofiles = profiles;
    bound = 0;
    for (int32_t base = 0; base < profiles; base += LANES) {
        int32_t longest[LANES] = {0};
        for (int32_t i = 0; i < g->n; i++) {
            if (profile[i] < 0)
                continue;
            int32_t *mine = chain + (size_t)i * LANES;
            memset(mine, 0, LANES * sizeof *mine);
            const int32_t *o = g->operands + g->nodes[i].first, *end = o + g->nodes[i].nin;
            for (; o < end; o++) {
                int32_t r = g->nodes[*o].root;
                if (profile[r] < 0)
                    continue;
                const int32_t *theirs = chain + (size_t)r * LANES;
                for (int l = 0; l < LANES; l++)
                    mine[l] = theirs[l] > mine[l] ? theirs[l] : mine[l];
            }
            int32_t lane = profile[i] - base;
            if (lane >= 0 && lane < LANES && ++mine[lane] > longest[lane])
                longest[lane] = mine[lane];
        }
        for (int l = 0; l < LANES; l++)
            bound += longest[l];
    }
done:
    free(profile);
    free(chain);
    return bound;
}
