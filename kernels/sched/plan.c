/* From targets to batches with addresses. */
#include "ab_sched.h"
#include "space.h"

#include <stdlib.h>
#include <string.h>

enum {
    ALIGNMENT = 64,
    AHEAD = 16, /* nodes by which memory is asked for early */
};

typedef struct mark {
    uint32_t stamp; /* of the call that visited the node last */
    int32_t local;  /* the node's number in that call */
} mark;

/* Of a form, in one call. */
typedef struct form_mark {
    uint32_t stamp;
    int32_t profile; /* of its latest node */
    uint64_t same;
    uint64_t key; /* of its latest node; 0 while there is none */
} form_mark;

/* Work space that stays with the graph: marks need no clearing, arrays no new allocation. */
typedef struct work {
    uint32_t stamp;
    uint64_t epoch;
    int32_t planned; /* nodes that the last plan could see */
    mark *marks;
    int32_t nmarks;
    form_mark *form_marks;
    int32_t nform_marks;
    ab_space space;
} work;

static void
work_free(void *p)
{
    work *w = p;
    free(w->marks);
    free(w->form_marks);
    ab_space_free(&w->space);
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

static void
stamp_next(work *w)
{
    if (++w->stamp)
        return;
    /* Wrapped: old stamps would look new. */
    memset(w->marks, 0, (size_t)w->nmarks * sizeof *w->marks);
    memset(w->form_marks, 0, (size_t)w->nform_marks * sizeof *w->form_marks);
    w->stamp = 1;
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
        form_mark *grown = realloc(w->form_marks, (size_t)n * sizeof *grown);
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
    stamp_next(w);
    ab_space_reset(&w->space);
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
    if (old > 1)
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

typedef struct entry {
    uint64_t key;
    int32_t profile; /* -1: empty */
} entry;

/* The tasks as they are read off the graph. */
typedef struct reading {
    ab_graph *g;
    work *w;
    int32_t n, nprofiles;
    int32_t *list;  /* task -> node */
    int32_t *local; /* node - recent -> task, -1: none; NULL: the marks know */
    int32_t recent;
    bool old; /* out: a node before `recent` has to run, too */
    ab_task *task;
    ab_profile *profile;
    int32_t *operand_end, *operand;
    int32_t *reader_end, *reader;
    entry *table; /* of profiles with shared operands, by hash */
    size_t slots; /* a power of two */
} reading;

static int
reading_init(reading *r, ab_graph *g, work *w, size_t tasks, size_t operands)
{
    *r = (reading){.g = g, .w = w};
    r->list = ab_space_take(&w->space, tasks, sizeof *r->list);
    r->profile = ab_space_take(&w->space, tasks, sizeof *r->profile);
    r->operand = ab_space_take(&w->space, operands + 1, sizeof *r->operand);
    r->reader = ab_space_take(&w->space, operands + 1, sizeof *r->reader);
    /* These have a place at -1, of the operands that need not run. */
    r->task = ab_space_take(&w->space, tasks + 1, sizeof *r->task);
    r->operand_end = ab_space_take(&w->space, tasks + 1, sizeof *r->operand_end);
    r->reader_end = ab_space_take(&w->space, tasks + 1, sizeof *r->reader_end);
    if (!r->list || !r->profile || !r->operand || !r->reader || !r->task || !r->operand_end
        || !r->reader_end)
        return AB_NO_MEMORY;
    *r->task++ = (ab_task){.depth = 0};
    *r->operand_end++ = 0;
    *r->reader_end++ = 0;
    return AB_OK;
}

static int32_t
profile_new(reading *r, const ab_node *d)
{
    const int32_t node = (int32_t)(d - r->g->nodes);
    r->profile[r->nprofiles] =
        (ab_profile){.form = d->form, .first = node, .shallowest = INT32_MAX};
    return r->nprofiles++;
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

/* What two nodes of a form have in common if and only if they share their first two operands
 * of those to share. Never 0. */
static inline uint64_t
shared_key(const ab_graph *g, uint64_t same, const ab_node *d)
{
    const int32_t *o = g->operands + d->first;
    uint64_t key = (uint64_t)o[__builtin_ctzll(same)] + 1;
    same &= same - 1;
    return same ? key << 32 | (uint32_t)o[__builtin_ctzll(same)] : key;
}

static size_t
slot_of(const reading *r, int32_t form, uint64_t key)
{
    uint64_t hash = ((uint64_t)form + 1) * UINT64_C(0x9E3779B97F4A7C15);
    hash = (hash ^ key) * UINT64_C(0x9E3779B97F4A7C15);
    return (hash >> 32) & r->g->registry->hash_mask & (r->slots - 1);
}

/* At most half full, even if all profiles were in it. */
static int
table_grow(reading *r)
{
    const entry *old = r->table, *end = old + r->slots;
    r->slots = r->slots ? 4 * r->slots : 64;
    if (!(r->table = ab_space_take(&r->w->space, r->slots, sizeof *r->table)))
        return AB_NO_MEMORY;
    memset(r->table, 0xff, r->slots * sizeof *r->table);
    for (; old < end; old++) {
        if (old->profile < 0)
            continue;
        size_t at = slot_of(r, r->profile[old->profile].form, old->key);
        while (r->table[at].profile >= 0)
            at = (at + 1) & (r->slots - 1);
        r->table[at] = *old;
    }
    return AB_OK;
}

/* The profile of a form whose nodes share operands. */
static int32_t
profile_shared(reading *r, uint64_t same, uint64_t key, const ab_node *d)
{
    if (2 * (size_t)r->nprofiles >= r->slots && table_grow(r) < 0)
        return AB_NO_MEMORY;
    same &= same - 1;
    same &= same - 1; /* the rest, which the key does not hold */
    size_t at = slot_of(r, d->form, key);
    for (; r->table[at].profile >= 0; at = (at + 1) & (r->slots - 1)) {
        const int32_t k = r->table[at].profile;
        if (r->table[at].key == key && r->profile[k].form == d->form
            && same_operands(r->g, same, d, &r->g->nodes[r->profile[k].first]))
            return k;
    }
    r->table[at] = (entry){key, r->nprofiles};
    return profile_new(r, d);
}

/* Profiles are numbered in the order in which they first occur. */
static inline int32_t
profile_of(reading *r, const ab_node *d)
{
    form_mark *m = &r->w->form_marks[d->form];
    if (m->stamp != r->w->stamp) {
        m->stamp = r->w->stamp;
        m->same = ab_form_get(r->g->registry, d->form)->same;
        m->key = 0;
        if (!m->same)
            m->profile = profile_new(r, d);
    }
    if (!m->same)
        return m->profile;
    const uint64_t key = shared_key(r->g, m->same, d);
    if (key != m->key) {
        m->profile = profile_shared(r, m->same, key, d);
        const uint64_t second = m->same & (m->same - 1);
        m->key = second & (second - 1) ? 0 : key; /* 0: a key that is not all */
    }
    return m->profile;
}

static inline void
profile_add(ab_profile *p, int32_t depth)
{
    p->members++;
    p->depth_sum += depth;
    p->shallowest = depth < p->shallowest ? depth : p->shallowest;
    p->deepest = depth > p->deepest ? depth : p->deepest;
}

/* The task that gives a node its value, -1: it has one. Of a node before `recent`; apart, because
 * in one piece with what is asked of every operand it costs more than that. */
static __attribute__((noinline)) int32_t
task_of_old(reading *r, int32_t node)
{
    const ab_graph *g = r->g;
    const int32_t root = g->nodes[node].root;
    if (r->local) {
        r->old |= !g->value[root];
        return -1;
    }
    const mark m = r->w->marks[root];
    return m.stamp == r->w->stamp ? m.local : -1;
}

static inline int32_t
task_of(reading *r, int32_t node, const int32_t *local, int32_t recent)
{
    return local && node >= recent ? local[node - recent] : task_of_old(r, node);
}

/* Adds a node as task i; its operands are listed from `at` on. local: as in `reading`; what a
 * caller passes besides `r` can stay in registers, and each caller gets code of its own. Returns
 * where the operands end, or an error. */
static inline __attribute__((always_inline)) int32_t
task_add(reading *r, int32_t i, int32_t at, int32_t node, const int32_t *local, int32_t recent)
{
    const ab_node *d = &r->g->nodes[node];
    const int32_t *o = r->g->operands + d->first, *end = o + d->nin;
    const int32_t k = profile_of(r, d), first = at;
    ab_task *const task = r->task;
    int32_t *const operand = r->operand;
    int32_t deepest = 0;
    if (k < 0)
        return k;
    for (; o < end; o++) { /* without a branch on what is read: it is hard to foresee */
        const int32_t t = task_of(r, *o, local, recent);
        ab_task *const read = &task[t];
        operand[at] = t;
        at += 1 + (t >> 31);
        read->readers++;
        deepest = read->depth > deepest ? read->depth : deepest;
    }
    profile_add(&r->profile[k], deepest + 1);
    task[i].waits = at - first;
    task[i].profile = k;
    task[i].depth = deepest + 1;
    task[i].readers = 0;
    r->list[i] = node;
    r->operand_end[i] = at;
    return at;
}

/* All nodes of [recent, high] that have no value yet, in one walk. */
static int
read_recent(reading *r, ab_graph *g, work *w, int32_t high)
{
    const int32_t recent = w->planned;
    const ab_node *const node = g->nodes, *last = &node[high];
    char *const *const value = g->value;
    const size_t nodes = (size_t)(high - recent) + 1;
    const size_t operands = (size_t)(last->first + last->nin - node[recent].first);
    int error = reading_init(r, g, w, nodes, operands);
    int32_t *const local = ab_space_take(&w->space, nodes, sizeof *local);
    if (error < 0 || !local)
        return AB_NO_MEMORY;
    r->local = local;
    r->recent = recent;
    int32_t n = 0, at = 0;
    for (int32_t i = recent; i <= high; i++) {
        const int32_t root = node[i].root;
        if (root != i) {
            local[i - recent] = task_of(r, root, local, recent);
        } else if (value[i]) {
            local[i - recent] = -1;
        } else {
            local[i - recent] = n;
            at = task_add(r, n++, at, i, local, recent);
            if (at < 0)
                return at;
        }
    }
    r->n = n;
    return AB_OK;
}

/* The listed nodes, which are in the order of recording. */
static int
read_list(reading *r, ab_graph *g, work *w, int32_t n, const int32_t *list, size_t operands)
{
    if (reading_init(r, g, w, (size_t)n, operands) < 0)
        return AB_NO_MEMORY;
    r->n = n;
    for (int32_t i = 0, at = 0; i < n; i++) {
        w->marks[list[i]] = (mark){w->stamp, i};
        at = task_add(r, i, at, list[i], NULL, 0);
        if (at < 0)
            return at;
    }
    return AB_OK;
}

/* Takes out what no target needs: walks back over what nobody reads. Few or no nodes are,
 * so they keep their numbers. Returns whether profiles are then still in order. */
static bool
drop_unneeded(reading *r, int32_t ntargets, const int32_t *targets)
{
    enum { TARGET = 1 << 30 }; /* as if read that often */
    ab_task *const task = r->task;
    bool ordered = true;
    for (int32_t t = 0; t < ntargets; t++) {
        const int32_t root = r->g->nodes[targets[t]].root;
        if (!r->g->value[root]) /* or it may lie behind all that was read */
            task[task_of(r, root, r->local, r->recent)].readers |= TARGET;
    }
    for (int32_t i = r->n - 1; i >= 0; i--) {
        if (task[i].readers)
            continue;
        ab_profile *p = &r->profile[task[i].profile];
        task[i].waits = -1;
        p->members--;
        p->depth_sum -= task[i].depth;
        if (p->first == r->list[i]) /* its number follows from its first node */
            ordered &= p->members == 0;
        for (int32_t e = r->operand_end[i - 1]; e < r->operand_end[i]; e++)
            task[r->operand[e]].readers--;
    }
    for (int32_t t = 0; t < ntargets; t++) {
        const int32_t root = r->g->nodes[targets[t]].root;
        if (!r->g->value[root]) /* or it may lie behind all that was read */
            task[task_of(r, root, r->local, r->recent)].readers &= ~TARGET;
    }
    return ordered;
}

/* Who reads a task, from what each task reads: was counted, is listed. A task's readers come
 * after it, so its place among the lists is known in time. */
static void
turn(reading *r)
{
    ab_task *const task = r->task;
    const int32_t *const operand_end = r->operand_end, *const operand = r->operand;
    int32_t *const reader_end = r->reader_end, *const reader = r->reader;
    int32_t at = 0;
    int64_t e = 0;
    for (int32_t i = 0, n = r->n; i < n; i++) {
        const int64_t end = operand_end[i];
        reader_end[i] = at;
        at += task[i].readers;
        task[i].chain = 0;
        if (task[i].waits < 0)
            e = end;
        for (; e < end; e++)
            reader[reader_end[operand[e]]++] = i;
    }
    reader[at] = 0;
}

/* Reads what the targets need and have not got. */
static int
read_pending(reading *r, ab_graph *g, work *w, int32_t ntargets, const int32_t *targets)
{
    int32_t high = -1;
    bool old = false;
    *r = (reading){.g = g, .w = w};
    for (int32_t t = 0; t < ntargets; t++) {
        const int32_t root = g->nodes[targets[t]].root;
        if (g->value[root])
            continue;
        old |= root < w->planned;
        high = root > high ? root : high;
    }
    if (high < 0)
        return AB_OK;
    int error = AB_OK;
    if (!old) { /* nearly always */
        error = read_recent(r, g, w, high);
        old = r->old || (error == AB_OK && !drop_unneeded(r, ntargets, targets));
    }
    if (old && error == AB_OK) {
        size_t operands;
        int32_t *list = ab_space_take(&w->space, (size_t)g->n, sizeof *list);
        if (!list)
            return AB_NO_MEMORY;
        stamp_next(w);
        const int32_t n = collect(g, w, ntargets, targets, false, list, &operands);
        error = read_list(r, g, w, n, list, operands);
    }
    if (error == AB_OK)
        turn(r);
    return error;
}

static ab_problem
problem_of(const reading *r)
{
    return (ab_problem){
        .n = r->n,
        .nprofiles = r->nprofiles,
        .task = r->task,
        .profile = r->profile,
        .operand_end = r->operand_end,
        .operand = r->operand,
        .reader_end = r->reader_end,
        .reader = r->reader,
        .space = &r->w->space,
        .order = ab_space_take(&r->w->space, (size_t)r->n, sizeof(int32_t)),
        .batch = ab_space_take(&r->w->space, (size_t)r->n, sizeof(ab_span)),
    };
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
place(ab_graph *g, int32_t form, int32_t n)
{
    const ab_form *f = ab_form_get(g->registry, form);
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
    const int32_t *nodes = g->tape_nodes + g->tape_nodes_n;
    g->tape[g->tape_n] = (ab_batch){.form = form, .n = n, .first = g->tape_nodes_n};
    for (int32_t i = 0; i < n; i++) {
        /* The nodes are anywhere; those of the next batches lie behind this one's. */
        __builtin_prefetch(&g->nodes[nodes[i + AHEAD]].batch_tape, 1);
        __builtin_prefetch(&g->value[nodes[i + AHEAD]], 1);
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
    if (!w)
        return AB_NO_MEMORY;
    for (int32_t t = 0; t < ntargets; t++)
        g->asked = targets[t] > g->asked ? targets[t] : g->asked;
    reading r;
    int error = read_pending(&r, g, w, ntargets, targets);
    if (error < 0 || r.n == 0)
        return error;
    ab_problem problem = problem_of(&r);
    if (!problem.order || !problem.batch)
        return AB_NO_MEMORY;
    const int64_t batches = strategies[strategy](&problem);
    if (batches < 0)
        return batches;
    if ((error = grow_tape(g, batches, r.n + AHEAD)) < 0)
        return error;
    int32_t *nodes = g->tape_nodes + g->tape_nodes_n;
    for (int64_t b = 0; b < batches; b++)
        for (int32_t i = problem.batch[b].first; i < problem.batch[b].end; i++)
            *nodes++ = r.list[problem.order[i]];
    memset(nodes, 0, AHEAD * sizeof *nodes); /* any node: it is only asked for early */
    const int64_t before = g->tape_n;
    w->planned = g->n;
    g->plans++;
    for (int64_t b = 0; error == AB_OK && b < batches; b++) {
        const ab_span s = problem.batch[b];
        error = place(g, r.profile[r.task[problem.order[s.first]].profile].form, s.end - s.first);
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
    g->plans++;
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

/* Reads all that the targets need, whether or not it has run. */
static int
read_all(reading *r, ab_graph *g, work *w, int32_t ntargets, const int32_t *targets)
{
    size_t operands;
    *r = (reading){.g = g, .w = w};
    int32_t *list = ab_space_take(&w->space, (size_t)g->n, sizeof *list);
    if (!list)
        return AB_NO_MEMORY;
    const int32_t n = collect(g, w, ntargets, targets, true, list, &operands);
    return read_list(r, g, w, n, list, operands);
}

int32_t
ab_profiles(ab_graph *g, int32_t ntargets, const int32_t *targets, int32_t *profile)
{
    work *w = work_get(g);
    reading r;
    if (!w || read_all(&r, g, w, ntargets, targets) < 0)
        return AB_NO_MEMORY;
    memset(profile, 0xff, (size_t)g->n * sizeof *profile);
    for (int32_t i = 0; i < r.n; i++)
        profile[r.list[i]] = r.task[i].profile;
    return r.nprofiles;
}

int64_t
ab_lower_bound(ab_graph *g, int32_t ntargets, const int32_t *targets, int32_t *nprofiles)
{
    work *w = work_get(g);
    reading r;
    if (!w || read_all(&r, g, w, ntargets, targets) < 0)
        return AB_NO_MEMORY;
    *nprofiles = r.nprofiles;
    const ab_problem problem = problem_of(&r);
    int32_t *longest = ab_space_take(&w->space, (size_t)r.nprofiles, sizeof *longest);
    if (!longest || ab_chains(&problem, longest) < 0)
        return AB_NO_MEMORY;
    int64_t bound = 0;
    for (int32_t k = 0; k < r.nprofiles; k++)
        bound += longest[k];
    return bound;
}
