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

/* A node to run. What strategies read of it lies in a quarter of a cache line: the nodes of a
 * batch are anywhere. */
typedef struct ab_task {
    int32_t waits; /* operands not yet run, counted with repeats; strategies use it up. < 0: is
                      not to run, and nothing that runs reads it */
    int32_t profile;
    int32_t depth; /* 1 for nodes that wait for nothing */
    union {
        int32_t readers; /* while tasks are read off the graph: how often it is read */
        int32_t chain;   /* see ab_chains; 0 until then */
    };
} ab_task;

typedef struct ab_profile {
    int32_t form;
    int32_t first;               /* the first node */
    int32_t members;             /* tasks */
    int32_t shallowest, deepest; /* depth of tasks */
    int32_t unused;
    int64_t depth_sum;
} ab_profile;

/* order[first, end) */
typedef struct ab_span {
    int32_t first, end;
} ab_span;

/* What a strategy works on. Tasks are numbered from 0 in the order of recording, profiles in
 * the order of their first tasks. The tasks that task i reads are
 * operand[operand_end[i - 1], operand_end[i]), those that read it
 * reader[reader_end[i - 1], reader_end[i]), once per reading: both ends have a 0 at -1. Behind the
 * last list of readers is any task, so that every list has a first that can be asked for early. */
typedef struct ab_problem {
    int32_t n, nprofiles;
    ab_task *task;
    const ab_profile *profile;
    const int32_t *operand_end, *operand;
    const int32_t *reader_end, *reader;
    struct ab_space *space; /* for what a strategy needs besides */
    int32_t *order;         /* [n] out: tasks, those of a batch side by side */
    ab_span *batch;         /* [n] out: batches in the order in which they run */
} ab_problem;

/* Returns the count of batches or an error. */
typedef int64_t ab_strategy_fn(const ab_problem *p);
ab_strategy_fn ab_strategy_none, ab_strategy_depth, ab_strategy_agenda, ab_strategy_frontier;

/* Gives every task its chain: the count of tasks of its own profile on the path to it, itself
 * left out, that counts most. longest: receives the longest chain of each profile, itself
 * included. Returns an error or AB_OK. */
int ab_chains(const ab_problem *p, int32_t *longest);

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
