/* Scheduling and planning, without Python: random graphs by every strategy, in parts and taken
 * back; counts of batches and lower bounds where they are known. */
#include "ab_sched.h"
#include "chance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SOURCE, WEIGHT, PRODUCT, UNARY, BINARY = UNARY + 40, VIEW, TERNARY, KINDS };

static int32_t form[KINDS];

static int
operands_of(int kind)
{
    return kind <= WEIGHT ? 0 : kind == PRODUCT || kind == BINARY ? 2 : kind == TERNARY ? 3 : 1;
}

static void
fail(const char *what, long graph)
{
    fprintf(stderr, "schedule: %s, graph %ld\n", what, graph);
    exit(1);
}

static void
forms_make(ab_registry *r)
{
    const int64_t dims[] = {4};
    const int32_t type = ab_type_intern(r, 1, dims, 1);
    int32_t types[] = {type, type, type};
    for (int kind = 0; kind < KINDS; kind++) {
        int64_t key[] = {kind};
        const ab_form f = {.op = kind,
                           .nin = operands_of(kind),
                           .type = type,
                           .batch = 1,
                           .size = 4,
                           .flags = kind <= WEIGHT ? AB_FORM_SOURCE
                                    : kind == VIEW ? AB_FORM_VIEW
                                                   : 0,
                           .same = kind == PRODUCT,
                           .index_limit = -1,
                           .in_type = types,
                           .nkey = 1,
                           .key = key,
                           .hash = ab_hash(key, 1, 0)};
        form[kind] = ab_form_add(r, &f);
    }
}

static int32_t
add(ab_graph *g, int kind, int32_t a, int32_t b, int32_t c)
{
    const int32_t operands[] = {a, b, c};
    const int64_t words[] = {g->n, 0};
    const int32_t node = ab_graph_add(g, form[kind], operands_of(kind), operands,
                                      kind <= WEIGHT ? 2 : 0, words, false);
    if (node < 0)
        fail("no memory", -1);
    return node;
}

/* Two nodes of a batch: one form, and one weight where they read one. */
static bool
is_alike(const ab_graph *g, int32_t a, int32_t b)
{
    const ab_node *x = &g->nodes[a], *y = &g->nodes[b];
    return x->form == y->form
           && (x->form != form[PRODUCT] || g->operands[x->first] == g->operands[y->first]);
}

/* What the targets need and have not got, by the definition. runs: 1 per node. */
static int32_t
pending(const ab_graph *g, const char *runs, int ntargets, const int32_t *targets, char *need)
{
    int32_t count = 0;
    memset(need, 0, (size_t)g->n);
    for (int t = 0; t < ntargets; t++)
        need[g->nodes[targets[t]].root] = 1;
    for (int32_t i = g->n - 1; i >= 0; i--) {
        const bool source = g->nodes[i].form == form[SOURCE] || g->nodes[i].form == form[WEIGHT];
        need[i] = need[i] && !source && !runs[i];
        for (int32_t o = 0; need[i] && o < g->nodes[i].nin; o++)
            need[g->nodes[g->operands[g->nodes[i].first + o]].root] = 1;
        count += need[i];
    }
    return count;
}

/* Checks the batches from `first` on, and notes that they have run. */
static void
check(const ab_graph *g, int64_t first, char *runs, const char *need, int32_t count, long graph)
{
    for (int64_t b = first; b < g->tape_n; b++) {
        const ab_batch *batch = &g->tape[b];
        const int32_t *nodes = g->tape_nodes + batch->first;
        for (int32_t i = 0; i < batch->n; i++) {
            const ab_node *d = &g->nodes[nodes[i]];
            if (!need[nodes[i]] || runs[nodes[i]])
                fail("a node that is not to run", graph);
            if (!is_alike(g, nodes[0], nodes[i]) || d->form != batch->form || d->batch_tape != b)
                fail("a batch of nodes that differ", graph);
            if (g->value[nodes[i]] != g->value[nodes[0]] + (size_t)i * 4 * sizeof(float))
                fail("rows that are not side by side", graph);
            for (int32_t o = 0; o < d->nin; o++) {
                const int32_t root = g->nodes[g->operands[d->first + o]].root;
                if (need[root] && !runs[root])
                    fail("a node before its operand", graph);
            }
        }
        for (int32_t i = 0; i < batch->n; i++)
            runs[nodes[i]] = 1;
        count -= batch->n;
    }
    if (count)
        fail("a node that is missing", graph);
}

static void
random_graphs(ab_graph *g, long graphs)
{
    enum { MOST = 512 };
    static char runs[MOST], need[MOST];
    static int32_t before[MOST];
    for (long graph = 0; graph < graphs; graph++) {
        const int32_t strategy = (int32_t)(graph % 4);
        ab_graph_reset(g, sizeof(float), 0, (size_t)1 << 28);
        memset(runs, 0, sizeof runs);
        for (int i = 0; i < 5; i++)
            add(g, i < 2 ? WEIGHT : SOURCE, 0, 0, 0);
        for (int round = (int)below(5); round >= 0; round--) {
            for (int64_t more = below(80); more > 0; more--) {
                static const int kinds[] = {PRODUCT, UNARY,  UNARY + 1, UNARY + 2,
                                            BINARY,  BINARY, VIEW,      TERNARY};
                int32_t late[3];
                for (int j = 0; j < 3; j++)
                    late[j] = g->n - 1 - (int32_t)below(g->n - 2 < 9 ? g->n - 2 : 9);
                const int kind = kinds[below(8)];
                add(g, kind, kind == PRODUCT ? (int32_t)below(2) : late[0], late[1], late[2]);
            }
            int32_t targets[3];
            const int32_t ntargets = 1 + (int32_t)below(3);
            for (int t = 0; t < ntargets; t++)
                targets[t] = (int32_t)below(g->n);
            const int32_t count = pending(g, runs, ntargets, targets, need);
            const int64_t first = g->tape_n, first_node = g->tape_nodes_n;
            const int64_t batches = ab_plan(g, ntargets, targets, strategy);
            const size_t bytes = (size_t)count * sizeof *before;
            if (batches != g->tape_n - first)
                fail("a wrong count", graph);
            if (next() & 1) { /* planned again, it is the same */
                memcpy(before, g->tape_nodes + first_node, bytes);
                ab_unplan(g, first);
                if (ab_plan(g, ntargets, targets, strategy) != batches
                    || memcmp(before, g->tape_nodes + first_node, bytes))
                    fail("another plan the second time", graph);
            }
            if (next() % 4 == 0) {
                ab_unplan(g, first);
                continue;
            }
            check(g, first, runs, need, count, graph);
            g->tape_done = g->tape_n;
            int32_t profiles;
            if (ab_lower_bound(g, ntargets, targets, &profiles) < profiles)
                fail("a lower bound below the count of profiles", graph);
        }
    }
}

/* Lower bounds by the definition, of graphs with few and many profiles, of few and many levels. */
static void
random_bounds(ab_graph *g, long graphs)
{
    enum { MOST = 600 };
    static int32_t every[MOST], profile[MOST], chain[MOST];
    for (long graph = 0; graph < graphs; graph++) {
        const int kinds = 1 + (int)below(40), window = 1 + (int)below(30);
        const int32_t n = 2 + (int32_t)below(MOST - 2);
        ab_graph_reset(g, sizeof(float), 0, (size_t)1 << 30);
        for (int32_t i = 0; i < n; i++) {
            const int kind = next() % 4 ? UNARY + (int)below(kinds) : BINARY;
            const int32_t near = i < window ? i : window;
            every[i] = i == 0 ? add(g, SOURCE, 0, 0, 0)
                              : add(g, kind, i - 1 - (int32_t)below(near),
                                    i - 1 - (int32_t)below(near), 0);
        }
        const int32_t nprofiles = ab_profiles(g, n, every, profile);
        int64_t least = 0;
        for (int32_t k = 0; k < nprofiles; k++) {
            int32_t longest = 0;
            for (int32_t i = 0; i < n; i++) {
                const ab_node *d = &g->nodes[i];
                chain[i] = 0;
                for (int32_t o = d->first; o < d->first + d->nin; o++)
                    if (chain[g->operands[o]] > chain[i])
                        chain[i] = chain[g->operands[o]];
                chain[i] += profile[i] == k;
                longest = chain[i] > longest ? chain[i] : longest;
            }
            least += longest;
        }
        int32_t counted;
        if (ab_lower_bound(g, n, every, &counted) != least || counted != nprofiles)
            fail("a wrong lower bound", graph);
    }
}

/* `kinds` profiles take turns in a chain of `length` rounds, as the only way there is. */
static void
chain(ab_graph *g, int kinds, int32_t length)
{
    ab_graph_reset(g, sizeof(float), 0, (size_t)1 << 30);
    int32_t node = add(g, SOURCE, 0, 0, 0), profiles;
    for (int32_t i = 0; i < length; i++) {
        for (int k = 0; k < kinds; k++)
            node = add(g, UNARY + k, node, 0, 0);
    }
    if (ab_lower_bound(g, 1, &node, &profiles) != (int64_t)kinds * length || profiles != kinds
        || ab_plan(g, 1, &node, AB_STRATEGY_FRONTIER) != (int64_t)kinds * length)
        fail("wrong counts of a chain", length);
}

/* Sequences of 1 to `length` steps: the frontier waits for all, whose starts differ in depth. */
static void
sequences(ab_graph *g, int32_t length)
{
    enum { MOST = 64 };
    int32_t ends[MOST], profiles;
    ab_graph_reset(g, sizeof(float), 0, (size_t)1 << 30);
    const int32_t source = add(g, SOURCE, 0, 0, 0), weight = add(g, WEIGHT, 0, 0, 0);
    for (int32_t i = 0; i < length; i++) {
        int32_t h = source;
        for (int32_t step = 0; step <= i; step++)
            h = add(g, UNARY, add(g, BINARY, h, add(g, PRODUCT, weight, source, 0), 0), 0, 0);
        ends[i] = h;
    }
    /* All products at once, then a sum and a function for every step. */
    if (ab_lower_bound(g, length, ends, &profiles) != 1 + 2 * length || profiles != 3
        || ab_plan(g, length, ends, AB_STRATEGY_FRONTIER) != 1 + 2 * length)
        fail("wrong counts of sequences", length);
}

int
main(void)
{
    ab_registry registry;
    if (ab_registry_init(&registry) < 0)
        return 2;
    forms_make(&registry);
    ab_graph *g = ab_graph_new(&registry);
    if (!g)
        return 2;
    random_graphs(g, 20000);
    ab_registry_rehash(&registry, 3); /* nearly all profiles collide */
    random_graphs(g, 2000);
    ab_registry_rehash(&registry, UINT64_MAX);
    random_bounds(g, 1000);
    /* More profiles in a knot than are followed at a time; chains that outgrow a counter. */
    chain(g, 1, 10);
    chain(g, 15, 17);
    chain(g, 16, 15);
    chain(g, 31, 8);
    chain(g, 32, 7);
    chain(g, 40, 5);
    chain(g, 2, 200);
    chain(g, 3, 300);
    chain(g, 2, 70000);
    sequences(g, 1);
    sequences(g, 12);
    sequences(g, 60);
    ab_graph_free(g);
    ab_registry_clear(&registry);
    printf("schedules ok\n");
    return 0;
}
