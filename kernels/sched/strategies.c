/* In which order nodes run, and which of them together. */
#include "ab_sched.h"

#include <stdlib.h>
#include <string.h>

int64_t
ab_strategy_none(const ab_problem *p, int32_t *order, int32_t *batch_end)
{
    for (int32_t i = 0; i < p->n; i++) {
        order[i] = i;
        batch_end[i] = i + 1;
    }
    return p->n;
}

/* Counting sort by depth, then by profile within a depth; stable, so nodes stay in order. */
int64_t
ab_strategy_depth(const ab_problem *p, int32_t *order, int32_t *batch_end)
{
    int32_t deepest = 0;
    for (int32_t i = 0; i < p->n; i++)
        deepest = p->depth[i] > deepest ? p->depth[i] : deepest;
    int64_t keys = (p->nprofiles > deepest ? p->nprofiles : deepest) + 2;
    int32_t *count = malloc((size_t)keys * sizeof *count);
    int32_t *by_profile = malloc((size_t)(p->n ? p->n : 1) * sizeof *by_profile);
    int64_t batches = AB_NO_MEMORY;
    if (!count || !by_profile)
        goto done;
    memset(count, 0, (size_t)keys * sizeof *count);
    for (int32_t i = 0; i < p->n; i++)
        count[p->profile[i] + 1]++;
    for (int64_t k = 1; k < keys; k++)
        count[k] += count[k - 1];
    for (int32_t i = 0; i < p->n; i++)
        by_profile[count[p->profile[i]]++] = i;
    memset(count, 0, (size_t)keys * sizeof *count);
    for (int32_t i = 0; i < p->n; i++)
        count[p->depth[i] + 1]++;
    for (int64_t k = 1; k < keys; k++)
        count[k] += count[k - 1];
    for (int32_t i = 0; i < p->n; i++)
        order[count[p->depth[by_profile[i]]]++] = by_profile[i];
    batches = 0;
    for (int32_t i = 0; i < p->n; i++)
        if (i + 1 == p->n || p->depth[order[i]] != p->depth[order[i + 1]]
            || p->profile[order[i]] != p->profile[order[i + 1]])
            batch_end[batches++] = i + 1;
done:
    free(count);
    free(by_profile);
    return batches;
}

/* Ready nodes by profile: a list through `next`, in the order in which they became ready. */
typedef struct ready {
    int32_t *next, *head, *tail;
} ready;

static int
ready_init(ready *r, const ab_problem *p)
{
    r->next = malloc((size_t)(p->n + 1) * sizeof *r->next);
    r->head = malloc((size_t)(p->nprofiles + 1) * sizeof *r->head);
    r->tail = malloc((size_t)(p->nprofiles + 1) * sizeof *r->tail);
    if (!r->next || !r->head || !r->tail)
        return AB_NO_MEMORY;
    memset(r->head, 0xff, (size_t)(p->nprofiles + 1) * sizeof *r->head);
    return AB_OK;
}

static void
ready_free(ready *r)
{
    free(r->next);
    free(r->head);
    free(r->tail);
}

/* Whether the profile had no ready node before. */
static inline int
ready_add(ready *r, int32_t profile, int32_t node)
{
    int first = r->head[profile] < 0;
    r->next[node] = -1;
    if (first)
        r->head[profile] = node;
    else
        r->next[r->tail[profile]] = node;
    r->tail[profile] = node;
    return first;
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
ab_strategy_agenda(const ab_problem *p, int32_t *order, int32_t *batch_end)
{
    ready r = {0};
    int64_t batches = AB_NO_MEMORY;
    size_t profiles = (size_t)p->nprofiles + 1;
    int64_t *sum = malloc(profiles * sizeof *sum);
    int32_t *left = malloc(profiles * sizeof *left);
    entry *heap = malloc(profiles * sizeof *heap);
    if (ready_init(&r, p) < 0 || !sum || !left || !heap)
        goto done;
    memcpy(sum, p->depth_sum, (size_t)p->nprofiles * sizeof *sum);
    memcpy(left, p->members, (size_t)p->nprofiles * sizeof *left);
    int32_t waiting = 0, done = 0;
    for (int32_t i = 0; i < p->n; i++)
        if (!p->waits[i])
            ready_add(&r, p->profile[i], i);
    for (int32_t k = 0; k < p->nprofiles; k++)
        if (r.head[k] >= 0)
            heap_push(heap, &waiting, (entry){(double)sum[k] / left[k], k});
    batches = 0;
    while (waiting) {
        int32_t k = heap_pop(heap, &waiting).profile;
        int32_t i = r.head[k];
        r.head[k] = -1;
        for (; i >= 0; i = r.next[i]) {
            order[done++] = i;
            sum[k] -= p->depth[i];
            left[k]--;
        }
        batch_end[batches] = done;
        for (int32_t at = batches ? batch_end[batches - 1] : 0; at < done; at++)
            for (int32_t s = p->succ_first[order[at]]; s < p->succ_first[order[at] + 1]; s++) {
                int32_t reader = p->succ[s];
                if (--p->waits[reader] == 0) {
                    int32_t q = p->profile[reader];
                    if (ready_add(&r, q, reader) && q != k)
                        heap_push(heap, &waiting, (entry){(double)sum[q] / left[q], q});
                }
            }
        if (r.head[k] >= 0)
            heap_push(heap, &waiting, (entry){(double)sum[k] / left[k], k});
        batches++;
    }
done:
    ready_free(&r);
    free(sum);
    free(left);
    free(heap);
    return batches;
}

enum { LANES = 32 }; /* profiles whose chains are followed at a time */

/* For every node and LANES profiles at a time, the longest chain of that profile over all
 * paths to the node; what is kept of it is the node's own. Narrow counters where they do. */
#define CHAINS(name, counter)                                                                      \
    static void name(const ab_problem *p, counter *longest, int32_t *chain)                        \
    {                                                                                              \
        for (int32_t base = 0; base < p->nprofiles; base += LANES)                                 \
            for (int32_t i = 0; i < p->n; i++) {                                                   \
                counter mine[LANES] = {0};                                                         \
                for (int32_t e = p->pred_first[i]; e < p->pred_first[i + 1]; e++) {                \
                    const counter *theirs = longest + (size_t)p->pred[e] * LANES;                  \
                    for (int l = 0; l < LANES; l++)                                                \
                        mine[l] = theirs[l] > mine[l] ? theirs[l] : mine[l];                       \
                }                                                                                  \
                int32_t lane = p->profile[i] - base;                                               \
                if (lane >= 0 && lane < LANES) {                                                   \
                    chain[i] = mine[lane];                                                         \
                    mine[lane] += mine[lane] < (counter) - 1;                                      \
                }                                                                                  \
                memcpy(longest + (size_t)i * LANES, mine, sizeof mine);                            \
            }                                                                                      \
    }
CHAINS(chains_u8, uint8_t)
CHAINS(chains_u16, uint16_t)

/* Of a profile, the frontier are the remaining nodes that wait for no remaining node of the
 * same profile. If all of it is ready, running it now cannot be a mistake: every schedule
 * needs a batch for the frontier, and no later one could take more (the sufficient condition
 * of Chen et al.: ED-Batch, ICML 2023). So the profile with the largest ready share of its
 * frontier runs; ties go to the lowest average depth.
 *
 * chain[i]: nodes of i's own profile on the longest path to i, counted by that profile. The
 * frontier of a profile are its remaining nodes of lowest chain, which is exact as long as
 * whole frontiers run and a good guess where they do not. */
int64_t
ab_strategy_frontier(const ab_problem *p, int32_t *order, int32_t *batch_end)
{
    int64_t batches = AB_NO_MEMORY;
    ready r = {0};
    size_t n = (size_t)p->n + 1, profiles = (size_t)p->nprofiles + 1;
    int32_t *chain = malloc(n * sizeof *chain);
    int32_t deepest = 0;
    for (int32_t i = 0; i < p->n; i++)
        deepest = p->depth[i] > deepest ? p->depth[i] : deepest;
    void *longest = malloc(n * LANES * (deepest < UINT8_MAX ? 1 : 2));
    int64_t *sum = malloc(profiles * sizeof *sum);
    int32_t *left = malloc(profiles * sizeof *left);
    int32_t *level_first = malloc((profiles + 1) * sizeof *level_first);
    int32_t *level_count = NULL;
    int32_t *level = calloc(profiles, sizeof *level);
    int32_t *at_level = calloc(profiles, sizeof *at_level);
    int32_t *active = malloc(profiles * sizeof *active);
    if (ready_init(&r, p) < 0 || !chain || !longest || !sum || !left || !level_first || !level
        || !at_level || !active)
        goto done;
    if (deepest < UINT8_MAX)
        chains_u8(p, longest, chain);
    else
        chains_u16(p, longest, chain);
    memcpy(sum, p->depth_sum, (size_t)p->nprofiles * sizeof *sum);
    memcpy(left, p->members, (size_t)p->nprofiles * sizeof *left);
    /* level_count[level_first[k] + c]: remaining nodes of profile k with chain c. */
    memset(level_first, 0, (profiles + 1) * sizeof *level_first);
    for (int32_t i = 0; i < p->n; i++)
        if (chain[i] + 1 > level_first[p->profile[i] + 1])
            level_first[p->profile[i] + 1] = chain[i] + 1;
    for (int32_t k = 0; k < p->nprofiles; k++)
        level_first[k + 1] += level_first[k];
    level_count = calloc((size_t)level_first[p->nprofiles] + 1, sizeof *level_count);
    if (!level_count)
        goto done;
    for (int32_t i = 0; i < p->n; i++)
        level_count[level_first[p->profile[i]] + chain[i]]++;
    int32_t nactive = 0, done = 0;
    for (int32_t i = 0; i < p->n; i++)
        if (!p->waits[i]) {
            int32_t k = p->profile[i];
            if (ready_add(&r, k, i))
                active[nactive++] = k;
            at_level[k] += chain[i] == level[k];
        }
    batches = 0;
    while (nactive) {
        int32_t best = 0;
        double best_share = -1, best_average = 0;
        for (int32_t a = 0; a < nactive; a++) {
            int32_t k = active[a];
            double share = (double)at_level[k] / level_count[level_first[k] + level[k]];
            double average = (double)sum[k] / left[k];
            if (share > best_share
                || (share == best_share
                    && (average < best_average || (average == best_average && k < active[best])))) {
                best = a;
                best_share = share;
                best_average = average;
            }
        }
        int32_t k = active[best];
        active[best] = active[--nactive];
        int32_t i = r.head[k];
        r.head[k] = -1;
        at_level[k] = 0;
        for (; i >= 0; i = r.next[i]) {
            order[done++] = i;
            sum[k] -= p->depth[i];
            left[k]--;
            level_count[level_first[k] + chain[i]]--;
        }
        while (level_first[k] + level[k] < level_first[k + 1] - 1
               && !level_count[level_first[k] + level[k]])
            level[k]++;
        batch_end[batches] = done;
        for (int32_t at = batches ? batch_end[batches - 1] : 0; at < done; at++)
            for (int32_t s = p->succ_first[order[at]]; s < p->succ_first[order[at] + 1]; s++) {
                int32_t reader = p->succ[s];
                if (--p->waits[reader] == 0) {
                    int32_t q = p->profile[reader];
                    if (ready_add(&r, q, reader))
                        active[nactive++] = q;
                    at_level[q] += chain[reader] == level[q];
                }
            }
        batches++;
    }
done:
    ready_free(&r);
    free(chain);
    free(longest);
    free(sum);
    free(left);
    free(level_first);
    free(level_count);
    free(level);
    free(at_level);
    free(active);
    return batches;
}
