/* Scheduling and planning. Plain C, no Python, no device. */
#ifndef AB_SCHED_H
#define AB_SCHED_H

#include "ab_graph.h"

enum ab_strategy {
    AB_STRATEGY_NONE,     /* every node a batch of its own, in the order of recording */
    AB_STRATEGY_DEPTH,    /* nodes of one profile and one depth */
    AB_STRATEGY_AGENDA,   /* all ready nodes of the profile of lowest average depth */
    AB_STRATEGY_FRONTIER, /* the profile whose frontier is ready most completely */
};

/* What a strategy works on: the nodes to run, numbered from 0 in the order of recording. */
typedef struct ab_problem {
    int32_t n;
    int32_t nprofiles;
    const int32_t *profile;    /* [n] */
    const int32_t *depth;      /* [n], 1 for nodes that wait for nothing */
    int32_t *waits;            /* [n] operands not yet run, counted with repeats; used up */
    const int32_t *succ_first; /* [n + 1] */
    const int32_t *succ;       /* who reads a node, once per reading */
    const int64_t *depth_sum;  /* [nprofiles] */
    const int32_t *members;    /* [nprofiles] */
    const int32_t *pred_first; /* [n + 1] the same edges, backwards */
    const int32_t *pred;
} ab_problem;

/* A strategy writes nodes in running order and the end of each batch; returns the count of
 * batches or an error. */
typedef int64_t ab_strategy_fn(const ab_problem *p, int32_t *order, int32_t *batch_end);
ab_strategy_fn ab_strategy_none, ab_strategy_depth, ab_strategy_agenda, ab_strategy_frontier;

/* Schedules and plans what the targets need and have not got: appends batches to the graph's
 * tape and gives every node its address. Returns the count of new batches or an error, after
 * which the graph is as before. */
int64_t ab_plan(ab_graph *g, int32_t ntargets, const int32_t *targets, int32_t strategy);

/* Takes back what was planned and has not run: the tape keeps its first `batches` batches. */
void ab_unplan(ab_graph *g, int64_t batches);

/* The least count of batches that any schedule of all that the targets need could have: the
 * longest chain of each profile over all paths, summed over profiles. Counts nodes that have
 * run, too. Returns it, or an error; profiles: receives the count of profiles. */
int64_t ab_lower_bound(ab_graph *g, int32_t ntargets, const int32_t *targets, int32_t *profiles);

/* The profile of every node that the targets need (run or not), -1 for the rest and for nodes
 * that are never scheduled. profile: [g->n]. Returns the count of profiles or an error. */
int32_t ab_profiles(ab_graph *g, int32_t ntargets, const int32_t *targets, int32_t *profile);

#endif
