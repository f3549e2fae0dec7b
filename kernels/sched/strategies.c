/* In which order nodes run, and which of them together. */
#include "ab_sched.h"
#include "space.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { AHEAD = 8 }; /* tasks by which memory is asked for early */

int64_t
ab_strategy_none(const ab_problem *p)
{
    int32_t n = 0;
    for (int32_t i = 0; i < p->n; i++) {
        if (p->task[i].waits < 0)
            continue;
        p->batch[n] = (ab_span){n, n + 1};
        p->order[n++] = i;
    }
    return n;
}

/* Counting sort by profile, then by depth; stable, so nodes stay in order. */
int64_t
ab_strategy_depth(const ab_problem *p)
{
    int32_t deepest = 0;
    for (int32_t k = 0; k < p->nprofiles; k++)
        deepest = p->profile[k].deepest > deepest ? p->profile[k].deepest : deepest;
    int32_t *place = ab_space_take(p->space, (size_t)p->nprofiles, sizeof *place);
    int32_t *depth_place = ab_space_take(p->space, (size_t)deepest + 2, sizeof *depth_place);
    int32_t *by_profile = ab_space_take(p->space, (size_t)p->n, sizeof *by_profile);
    if (!place || !depth_place || !by_profile)
        return AB_NO_MEMORY;
    int32_t n = 0;
    for (int32_t k = 0; k < p->nprofiles; k++) {
        place[k] = n;
        n += p->profile[k].members;
    }
    memset(depth_place, 0, ((size_t)deepest + 2) * sizeof *depth_place);
    for (int32_t i = 0; i < p->n; i++) {
        if (p->task[i].waits < 0)
            continue;
        by_profile[place[p->task[i].profile]++] = i;
        depth_place[p->task[i].depth + 1]++;
    }
    for (int32_t d = 1; d <= deepest; d++)
        depth_place[d + 1] += depth_place[d];
    for (int32_t i = 0; i < n; i++)
        p->order[depth_place[p->task[by_profile[i]].depth]++] = by_profile[i];
    int64_t batches = 0;
    for (int32_t i = 0; i < n; i++) {
        const ab_task *t = &p->task[p->order[i]];
        const ab_task *last = i ? &p->task[p->order[i - 1]] : NULL;
        if (last && t->depth == last->depth && t->profile == last->profile)
            p->batch[batches - 1].end++;
        else
            p->batch[batches++] = (ab_span){i, i + 1};
    }
    return batches;
}

/* A profile while the schedule is made. Its ready tasks lie in order[from, to), in the order
 * in which they became ready: a profile has as much room there as it has members. */
typedef struct queue {
    int32_t from, to;
    int32_t left;                   /* tasks that have not run, ready or not */
    int64_t depth_sum, ready_depth; /* of `left`, of ready tasks */
    double average;                 /* depth of `left` */
    /* For the frontier only: */
    int32_t *level;     /* tasks of the frontier's chain that are not ready */
    int32_t *last;      /* such a count for the longest chain */
    int32_t chain;      /* of the frontier */
    int32_t ready_here; /* ready tasks of the frontier */
} queue;

static queue *
queues_new(const ab_problem *p)
{
    queue *queues = ab_space_take(p->space, (size_t)p->nprofiles, sizeof *queues);
    for (int32_t k = 0, at = 0; queues && k < p->nprofiles; k++) {
        const ab_profile *of = &p->profile[k];
        queues[k] = (queue){
            .from = at,
            .to = at,
            .left = of->members,
            .depth_sum = of->depth_sum,
            .average = (double)of->depth_sum / (of->members ? of->members : 1),
        };
        at += of->members;
    }
    return queues;
}

/* All that is ready runs. */
static inline ab_span
queue_run(queue *q)
{
    ab_span batch = {q->from, q->to};
    q->left -= q->to - q->from;
    q->from = q->to;
    q->depth_sum -= q->ready_depth;
    q->ready_depth = 0;
    q->average = (double)q->depth_sum / (q->left ? q->left : 1);
    return batch;
}

/* To be asked for early: readers are anywhere, and those that follow are often near the first. */
static inline const ab_task *
first_reader(const ab_problem *p, int32_t i)
{
    return &p->task[p->reader[p->reader_end[i - 1]]];
}

/* The heap's key is the average depth of a profile's remaining nodes (Neubig, Goldberg, Dyer:
 * On-the-fly Operation Batching in Dynamic Computation Graphs, NIPS 2017, section 3). It
 * changes only when nodes of the profile run, that is, while the profile is out of the heap. */
typedef struct entry {
    double average;
    int32_t profile;
} entry;

static inline int
before(entry a, entry b)
{
    return a.average < b.average || (a.average == b.average && a.profile < b.profile);
}

static void
heap_push(entry *heap, int32_t *n, entry e)
{
    int32_t i = (*n)++;
    for (; i > 0 && before(e, heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = e;
}

static entry
heap_pop(entry *heap, int32_t *n)
{
    entry top = heap[0], last = heap[--*n];
    int32_t i = 0;
    for (int32_t child; (child = 2 * i + 1) < *n; i = child) {
        if (child + 1 < *n && before(heap[child + 1], heap[child]))
            child++;
        if (!before(heap[child], last))
            break;
        heap[i] = heap[child];
    }
    heap[i] = last;
    return top;
}

int64_t
ab_strategy_agenda(const ab_problem *p)
{
    queue *queues = queues_new(p);
    entry *heap = ab_space_take(p->space, (size_t)p->nprofiles, sizeof *heap);
    if (!queues || !heap)
        return AB_NO_MEMORY;
    int32_t waiting = 0;
    int64_t batches = 0;
    for (int32_t i = 0; i < p->n; i++) {
        if (p->task[i].waits)
            continue;
        queue *q = &queues[p->task[i].profile];
        p->order[q->to++] = i;
        q->ready_depth += p->task[i].depth;
    }
    for (int32_t k = 0; k < p->nprofiles; k++)
        if (queues[k].to > queues[k].from)
            heap_push(heap, &waiting, (entry){queues[k].average, k});
    while (waiting) {
        const int32_t k = heap_pop(heap, &waiting).profile;
        const ab_span batch = p->batch[batches++] = queue_run(&queues[k]);
        for (int32_t at = batch.first; at < batch.end; at++) {
            const int32_t i = p->order[at];
            if (at + AHEAD < batch.end)
                __builtin_prefetch(first_reader(p, p->order[at + AHEAD]), 1);
            for (int32_t e = p->reader_end[i - 1]; e < p->reader_end[i]; e++) {
                ab_task *t = &p->task[p->reader[e]];
                if (--t->waits)
                    continue;
                queue *q = &queues[t->profile];
                if (q->to == q->from && t->profile != k)
                    heap_push(heap, &waiting, (entry){q->average, t->profile});
                p->order[q->to++] = p->reader[e];
                q->ready_depth += t->depth;
            }
        }
        if (queues[k].to > queues[k].from)
            heap_push(heap, &waiting, (entry){queues[k].average, k});
    }
    return batches;
}

enum {
    LANES = 16, /* profiles whose chains are followed at a time: a vector of bytes */
    PARTS = 2,  /* vectors whose lanes are followed at once, rather than look for knots */
};

/* A profile has chains only within its knot: the profiles that it reads and that read it, be
 * it through others. Elsewhere every chain is 0, and no path that leaves a knot comes back. */
typedef struct route {
    int32_t knot; /* -1: none */
    int32_t lane; /* among the knot's profiles; -1: no chain to count */
} route;

/* The larger counters of two vectors. */
#define MORE(a, b) ((__typeof__(a))((a) > (b)))
#define LARGER_int32_t(a, b) (((a) & MORE(a, b)) | ((b) & ~MORE(a, b)))
#define LARGER_uint16_t LARGER_int32_t
#ifdef __SSE2__ /* has an instruction for what compilers make seven of */
#define LARGER_uint8_t(a, b) (lanes_uint8_t) _mm_max_epu8((__m128i)(a), (__m128i)(b))
#else
#define LARGER_uint8_t LARGER_int32_t
#endif

/* For every task of a knot the longest chain of LANES profiles over all paths to it; what is
 * kept of it is its own. Narrow counters where they do. */
#define CHAINS(counter)                                                                            \
    typedef counter lanes_##counter __attribute__((vector_size(LANES * sizeof(counter))));         \
                                                                                                   \
    static void chains_##counter(const ab_problem *p, const route *routes, int32_t *longest,       \
                                 lanes_##counter *all)                                             \
    {                                                                                              \
        const counter one[2 * LANES] = {[LANES] = 1};                                              \
        ab_task *const task = p->task;                                                             \
        const int32_t *const operand_end = p->operand_end, *const operand = p->operand;            \
        int64_t e = 0;                                                                             \
        for (int32_t i = 0, n = p->n; i < n; i++) {                                                \
            const int64_t end = operand_end[i];                                                    \
            const int32_t k = task[i].profile;                                                     \
            const route r = routes[k];                                                             \
            if (r.knot < 0) {                                                                      \
                e = end;                                                                           \
                continue;                                                                          \
            }                                                                                      \
            lanes_##counter mine = {0};                                                            \
            for (; e < end; e++) {                                                                 \
                const int32_t o = operand[e];                                                      \
                if (routes[task[o].profile].knot != r.knot)                                        \
                    continue;                                                                      \
                const lanes_##counter theirs = all[o];                                             \
                mine = LARGER_##counter(theirs, mine);                                             \
            }                                                                                      \
            all[i] = mine;                                                                         \
            if (r.lane < 0)                                                                        \
                continue;                                                                          \
            const int32_t chain = ((const counter *)&all[i])[r.lane];                              \
            lanes_##counter add; /* 1 in the lane */                                               \
            memcpy(&add, one + LANES - r.lane, sizeof add);                                        \
            all[i] = mine + add;                                                                   \
            task[i].chain = chain;                                                                 \
            longest[k] = chain >= longest[k] ? chain + 1 : longest[k];                             \
        }                                                                                          \
    }
CHAINS(uint8_t)
CHAINS(uint16_t)
CHAINS(int32_t)

/* Profiles: of an operand and, in the upper half, of its reader. */
typedef uint64_t link;

/* Which profile reads which; some are listed more than once. Returns the count. */
static int64_t
links_list(const ab_problem *p, link *links)
{
    enum { SEEN = 256, LINKS = 64 };
    link seen[SEEN];
    const bool all = p->operand_end[p->n - 1] <= LINKS; /* looking for repeats does not pay */
    if (!all)
        memset(seen, 0xff, sizeof seen);
    const ab_task *const task = p->task;
    const int32_t *const operand_end = p->operand_end, *const operand = p->operand;
    int64_t n = 0, e = 0;
    for (int32_t i = 0, tasks = p->n; i < tasks; i++) {
        const int64_t end = operand_end[i];
        const uint32_t to = (uint32_t)task[i].profile;
        for (; e < end; e++) {
            const uint32_t from = (uint32_t)task[operand[e]].profile;
            const link l = (link)to << 32 | from;
            link *s = &seen[all ? 0 : (from * 29 + to) % SEEN];
            if (all || *s != l)
                *s = links[n++] = l;
        }
    }
    return n;
}

/* Numbers the knots: the strongly connected components that hold a cycle (Tarjan: Depth-first
 * search and linear graph algorithms, SIAM J. Comput. 1972; without recursion). Returns their
 * count or an error. */
static int32_t
knots_find(const ab_problem *p, route *routes)
{
    const size_t profiles = (size_t)p->nprofiles, edges = (size_t)p->operand_end[p->n - 1];
    link *links = ab_space_take(p->space, edges, sizeof *links);
    int32_t *first = ab_space_take(p->space, profiles + 2, sizeof *first);
    int32_t *index = ab_space_take(p->space, profiles, sizeof *index);
    int32_t *low = ab_space_take(p->space, profiles, sizeof *low);
    int32_t *stack = ab_space_take(p->space, profiles, sizeof *stack);
    int32_t *path = ab_space_take(p->space, profiles, sizeof *path);
    int32_t *next = ab_space_take(p->space, profiles, sizeof *next);
    if (!links || !first || !index || !low || !stack || !path || !next)
        return AB_NO_MEMORY;
    const int64_t n = links_list(p, links);
    int32_t *to = ab_space_take(p->space, (size_t)n, sizeof *to);
    if (!to)
        return AB_NO_MEMORY;
    /* to[first[k], first[k + 1]): who reads profile k. */
    memset(first, 0, (profiles + 2) * sizeof *first);
    for (int64_t l = 0; l < n; l++)
        first[(uint32_t)links[l] + 2]++;
    for (size_t k = 2; k < profiles + 2; k++)
        first[k] += first[k - 1];
    for (int64_t l = 0; l < n; l++)
        to[first[(uint32_t)links[l] + 1]++] = (int32_t)(links[l] >> 32);
    for (size_t k = 0; k < profiles; k++) {
        routes[k] = (route){-1, -1};
        index[k] = 0; /* not visited */
        next[k] = first[k];
    }
    int32_t visited = 0, nstack = 0, knots = 0;
    for (int32_t start = 0; start < p->nprofiles; start++) {
        int32_t npath = 0, enter = start;
        if (index[start])
            continue;
        do {
            if (enter >= 0) {
                index[enter] = low[enter] = ++visited;
                path[npath++] = stack[nstack++] = enter;
                enter = -1;
            }
            const int32_t k = path[npath - 1];
            if (next[k] < first[k + 1]) {
                const int32_t reader = to[next[k]++];
                if (!index[reader])
                    enter = reader;
                else if (index[reader] < low[k])
                    low[k] = index[reader];
                continue;
            }
            npath--;
            if (npath && low[k] < low[path[npath - 1]])
                low[path[npath - 1]] = low[k];
            if (low[k] < index[k])
                continue;
            bool cycle = stack[nstack - 1] != k;
            for (int32_t l = first[k]; l < first[k + 1]; l++)
                cycle |= to[l] == k;
            int32_t lanes = 0, member;
            do {
                member = stack[--nstack];
                index[member] = INT32_MAX; /* no way back into what is complete */
                if (cycle) {
                    const ab_profile *of = &p->profile[member];
                    routes[member].knot = knots;
                    routes[member].lane = of->shallowest < of->deepest ? lanes++ : -1;
                }
            } while (member != k);
            knots += cycle;
        } while (npath || enter >= 0);
    }
    return knots;
}

/* As above, of all tasks at once. lane: where a profile's chain is counted; of one that has none, a
 * lane that stays 0. step: 1 in that lane, `parts` vectors a profile. */
static inline __attribute__((always_inline)) void
chains_follow(const ab_problem *p, const int32_t *lane, const lanes_uint8_t *step,
              lanes_uint8_t *all, int32_t *longest, const int parts)
{
    ab_task *const task = p->task;
    const int32_t *const operand_end = p->operand_end, *const operand = p->operand;
    const size_t vectors = (size_t)parts;
    int64_t e = 0;
    for (int32_t i = 0, n = p->n; i < n; i++) {
        const int64_t end = operand_end[i];
        const int32_t k = task[i].profile;
        lanes_uint8_t *const own = all + (size_t)i * vectors, mine[PARTS] = {{0}};
        for (; e < end; e++) {
            const lanes_uint8_t *theirs = all + (size_t)operand[e] * vectors;
            for (int j = 0; j < parts; j++)
                mine[j] = LARGER_uint8_t(theirs[j], mine[j]);
        }
        for (int j = 0; j < parts; j++)
            own[j] = mine[j] + step[(size_t)k * vectors + (size_t)j];
        const int32_t chain = ((const uint8_t *)own)[lane[k]];
        task[i].chain = chain - (chain > 0);
        longest[k] = chain > longest[k] ? chain : longest[k];
    }
}

/* Where few profiles have chains and bytes can count them: to follow them all, to every task,
 * takes less time than to find the knots. */
static int
chains_together(const ab_problem *p, int32_t *longest, int parts)
{
    const size_t profiles = (size_t)p->nprofiles, vectors = (size_t)parts;
    int32_t *lane = ab_space_take(p->space, profiles, sizeof *lane);
    lanes_uint8_t *step = ab_space_take(p->space, profiles * vectors, sizeof *step);
    lanes_uint8_t *all = ab_space_take(p->space, (size_t)p->n * vectors, sizeof *all);
    if (!lane || !step || !all)
        return AB_NO_MEMORY;
    memset(step, 0, profiles * vectors * sizeof *step);
    int32_t lanes = 0;
    for (size_t k = 0; k < profiles; k++) {
        const bool chain = p->profile[k].shallowest < p->profile[k].deepest;
        lane[k] = chain ? lanes++ : parts * LANES - 1;
        ((uint8_t *)&step[k * vectors])[lane[k]] = chain;
    }
    if (parts == 1)
        chains_follow(p, lane, step, all, longest, 1);
    else
        chains_follow(p, lane, step, all, longest, PARTS);
    return AB_OK;
}

int
ab_chains(const ab_problem *p, int32_t *longest)
{
    int32_t deepest = 0, several = 0, lanes = 0;
    for (int32_t k = 0; k < p->nprofiles; k++) {
        longest[k] = 1;
        deepest = p->profile[k].deepest > deepest ? p->profile[k].deepest : deepest;
        several += p->profile[k].shallowest < p->profile[k].deepest;
    }
    if (!several)
        return AB_OK;
    if (deepest <= UINT8_MAX && several < PARTS * LANES)
        return chains_together(p, longest, several < LANES ? 1 : PARTS);
    const size_t profiles = (size_t)p->nprofiles;
    route *routes = ab_space_take(p->space, 2 * profiles, sizeof *routes),
          *pass = routes + profiles;
    if (!routes || knots_find(p, routes) < 0)
        return AB_NO_MEMORY;
    for (size_t k = 0; k < profiles; k++)
        lanes = routes[k].lane >= lanes ? routes[k].lane + 1 : lanes;
    const size_t wide = deepest <= UINT8_MAX ? 1 : deepest <= UINT16_MAX ? 2 : 4;
    void *all = lanes ? ab_space_take(p->space, (size_t)p->n * LANES, wide) : NULL;
    if (lanes && !all)
        return AB_NO_MEMORY;
    for (int32_t base = 0; base < lanes; base += LANES) {
        for (size_t k = 0; k < profiles; k++) {
            const int32_t lane = routes[k].lane - base;
            pass[k] = (route){routes[k].knot, lane >= 0 && lane < LANES ? lane : -1};
        }
        if (wide == 1)
            chains_uint8_t(p, pass, longest, all);
        else if (wide == 2)
            chains_uint16_t(p, pass, longest, all);
        else
            chains_int32_t(p, pass, longest, all);
    }
    return AB_OK;
}

/* Of a profile, the frontier are the remaining nodes that wait for no remaining node of the
 * same profile. If all of it is ready, running it now cannot be a mistake: every schedule
 * needs a batch for the frontier, and no later one could take more (the sufficient condition
 * of Chen et al.: ED-Batch, ICML 2023). So the profile with the largest ready share of its
 * frontier runs; ties go to the lowest average depth of remaining nodes, then to the lowest
 * profile number.
 *
 * The frontier of a profile are taken to be its remaining nodes of lowest chain, which is
 * exact as long as whole frontiers run and a good guess where they do not. */
int64_t
ab_strategy_frontier(const ab_problem *p)
{
    queue *queues = queues_new(p);
    int32_t *longest = ab_space_take(p->space, (size_t)p->nprofiles, sizeof *longest);
    int32_t *active = ab_space_take(p->space, (size_t)p->nprofiles, sizeof *active);
    if (!queues || !longest || !active || ab_chains(p, longest) < 0)
        return AB_NO_MEMORY;
    size_t levels = 0;
    for (int32_t k = 0; k < p->nprofiles; k++)
        levels += (size_t)longest[k];
    int32_t *level = ab_space_take(p->space, levels, sizeof *level);
    if (!level)
        return AB_NO_MEMORY;
    memset(level, 0, levels * sizeof *level);
    for (int32_t k = 0; k < p->nprofiles; k++) {
        queues[k].level = level;
        level += longest[k];
        queues[k].last = level - 1;
    }
    ab_task *const task = p->task;
    const int32_t *const reader = p->reader, *const reader_end = p->reader_end;
    int32_t *const order = p->order, nactive = 0;
    for (int32_t i = 0, n = p->n; i < n; i++) {
        const ab_task *t = &task[i];
        queue *q = &queues[t->profile];
        if (t->waits) {
            q->level[t->chain] += t->waits > 0;
            continue;
        }
        if (q->to == q->from)
            active[nactive++] = t->profile;
        order[q->to++] = i;
        q->ready_depth += t->depth;
        q->ready_here += t->chain == 0;
    }
    int64_t batches = 0;
    while (nactive) {
        int32_t best = 0;
        for (int32_t a = 1; a < nactive; a++) {
            const queue *q = &queues[active[a]], *b = &queues[active[best]];
            const int64_t more = (int64_t)q->ready_here * (b->ready_here + *b->level)
                                 - (int64_t)b->ready_here * (q->ready_here + *q->level);
            if (more > 0
                || (more == 0
                    && (q->average < b->average
                        || (q->average == b->average && active[a] < active[best]))))
                best = a;
        }
        queue *q = &queues[active[best]];
        active[best] = active[--nactive];
        const ab_span batch = p->batch[batches++] = queue_run(q);
        q->ready_here = 0;
        for (; q->level < q->last && !*q->level; q->level++)
            q->chain++;
        for (int32_t at = batch.first; at < batch.end; at++) {
            const int32_t *const ends = reader_end + order[at];
            if (at + AHEAD < batch.end)
                __builtin_prefetch(first_reader(p, p->order[at + AHEAD]), 1);
            for (const int32_t *e = reader + ends[-1], *end = reader + *ends; e < end; e++) {
                ab_task *t = &task[*e];
                if (--t->waits)
                    continue;
                q = &queues[t->profile];
                if (q->to == q->from)
                    active[nactive++] = t->profile;
                order[q->to++] = *e;
                q->ready_depth += t->depth;
                const int32_t ahead = t->chain - q->chain;
                q->level[ahead]--;
                q->ready_here += ahead == 0;
            }
        }
    }
    return batches;
}
