/* What Python calls once per graph or per batch of work, through cffi. Plain declarations
 * only: cffi reads this file. */
#ifndef AB_API_H
#define AB_API_H

#include <stdint.h>

typedef struct ab_graph ab_graph;
typedef struct ab_param ab_param;
typedef struct ab_kernel_table ab_kernel_table;

/* Scheduling and planning, see ab_sched.h. Negative: an error of ab_graph.h. */
int64_t ab_plan(ab_graph *g, int32_t ntargets, const int32_t *targets, int32_t strategy);
void ab_unplan(ab_graph *g, int64_t batches);
int64_t ab_lower_bound(ab_graph *g, int32_t ntargets, const int32_t *targets, int32_t *profiles);
int32_t ab_profiles(ab_graph *g, int32_t ntargets, const int32_t *targets, int32_t *profile);

/* Kernels. */
const ab_kernel_table *ab_table_select(const char *isa, int itemsize);
const char *ab_table_isa(const ab_kernel_table *table);
int ab_kernel_index(const char *name);
const char *ab_kernel_name(const ab_kernel_table *table, int index); /* NULL past the last */

/* Looking at a graph. */
int32_t ab_graph_itemsize(const ab_graph *g);
int32_t ab_graph_nodes(const ab_graph *g);
int64_t ab_graph_shared(const ab_graph *g);
int64_t ab_graph_size(const ab_graph *g);  /* bytes */
int64_t ab_graph_arena(const ab_graph *g); /* bytes of computed values */
int64_t ab_tape_length(const ab_graph *g); /* batches planned */
int64_t ab_tape_done(const ab_graph *g);   /* batches that have run */
/* Whether the next run, forward or backward, will be by steps that were kept. */
int ab_tape_is_kept(const ab_graph *g, int backward);
void ab_tape_set_done(ab_graph *g, int64_t done);
void ab_graph_forget(ab_graph *g);
/* A batch of the tape: its form, and where its nodes stand. */
int32_t ab_tape_batch(const ab_graph *g, int64_t batch, int32_t *form, const int32_t **nodes);
/* Per node, of n nodes from `first` on: form, root, operand 0 of views or -1, offset in the root in
 * elements, elements between elements of a minibatch, address of computed values in elements
 * from the start of the arena (-1: none yet), batch of the tape (-1). */
void ab_graph_table(const ab_graph *g, int32_t first, int32_t n, int32_t *form, int32_t *root,
                    int32_t *parent, int64_t *offset, int64_t *batch_stride, int64_t *address,
                    int32_t *batch);
int32_t ab_node_operands(const ab_graph *g, int32_t node, const int32_t **operands);
int32_t ab_node_data(const ab_graph *g, int32_t node, const int64_t **data);
const void *ab_node_value(const ab_graph *g, int32_t node); /* NULL: not planned */
const void *ab_node_kept(const ab_graph *g, int32_t node);  /* NULL: not kept, see ab_graph_keep */
void *ab_node_gradient(const ab_graph *g, int32_t node);    /* NULL: none */

/* Running. Times are seconds; a call returns soon after they are over, to be called again. */
enum {
    AB_RUN_DONE = 0,
    AB_RUN_AGAIN = 1,   /* time is over */
    AB_RUN_FORMULA = 2, /* the next batch has no kernel */
    AB_RUN_ROOM = 3,    /* see ab_backward_run */
};
int ab_forward(ab_graph *g, const ab_kernel_table *table, int threads, double seconds);

/* A backward pass from scalar seeds. begin: marks what takes part. */
int ab_backward_begin(ab_graph *g, int32_t nseeds, const int32_t *seeds, int32_t nwrt,
                      const int32_t *wrt);
/* AB_RUN_ROOM: a lookup's gradient needs more slots than there is memory for. */
int ab_backward_run(ab_graph *g, const ab_kernel_table *table, int threads, double seconds);
/* The i-th parameter that takes part, NULL past the last, and how many of its rows get a
 * gradient of their own, counted with repeats. */
ab_param *ab_backward_source(ab_graph *g, int32_t i, int64_t *rows);
/* The batch that ab_backward_run stopped at for want of a kernel: its nodes that take part. */
int32_t ab_backward_batch(ab_graph *g, const int32_t **nodes, int32_t *form);
int ab_backward_has_run(const ab_graph *g);
int32_t ab_backward_loss(const ab_graph *g); /* the first seed of the last pass; -1: none ran */
int ab_backward_is_live(ab_graph *g, int32_t node);
int ab_backward_is_wanted(ab_graph *g, int32_t node);
void ab_backward_undo(ab_graph *g); /* gradients of parameters are as before the last pass */
void ab_backward_skip(ab_graph *g); /* that batch has been done */

/* Updates; the rules and their numbers are in ab_update.h. */
typedef struct ab_updated {
    ab_param *param;
    void *m, *v, *x; /* the rule's states; NULL: it has none */
    int32_t started; /* the states are there */
    int32_t idle;    /* once started, it is updated even without a gradient */
    /* No number of the parameter is larger than most[0], none of the states m, v, x than the others:
     * this holds for the version that it was found at, and is 0 before that. */
    double most[4];
    uint64_t version;
    int32_t doubtful; /* limits do not tell that the present update leaves it finite */
} ab_updated;

enum {
    AB_UPDATE_SPARSE = 1,  /* of a lookup, rows without a gradient are left alone */
    AB_UPDATE_MEASURE = 2, /* the norm is taken, and must be finite; so must what is written */
};
enum {                            /* nothing was changed: */
       AB_UPDATE_NOTHING = -1,    /* there is no gradient */
       AB_UPDATE_NOT_FINITE = -2, /* the norm is not finite, or a number would not be */
       AB_UPDATE_STATES = -3,     /* a parameter begins that has no states */
};
/* Updates all parameters that have a gradient and forgets the gradients; returns their norm
 * before clipping (0 if it is not measured), or one of the above. tables: for numbers of 4 and
 * of 8 bytes. numbers: AB_UPDATE_NUMBERS. clip_value, clip_norm: 0 for none. factor: of every
 * gradient. */
double ab_update_all(const ab_kernel_table *const *tables, ab_updated *all, int64_t n, int rule,
                     const double *numbers, int flags, double clip_value, double clip_norm,
                     double factor, int threads);

/* A stream of random numbers, see twister.c. */
typedef struct ab_twister ab_twister;
enum {
    AB_DRAW_UNIFORM = 0,   /* in [a, b) */
    AB_DRAW_BERNOULLI = 1, /* 1 with probability a, else 0 */
    AB_DRAW_NORMAL = 2,    /* of mean a and standard deviation b */
    AB_DRAW_GUMBEL = 3,    /* of location 0 and scale 1 */
};
ab_twister *ab_twister_new(uint32_t seed);           /* NULL: no memory */
void ab_twister_begin(ab_twister *t, uint32_t seed); /* as if it were new */
void ab_twister_free(ab_twister *t);
int ab_twister_untouched(const ab_twister *t); /* nothing was drawn yet */
/* Writes n numbers, each multiplied by `factor`, plus `term`. */
void ab_twister_draw(ab_twister *t, int kind, double a, double b, double factor, double term,
                     int64_t n, void *out, int itemsize);
/* Writes the content of the placeholders up to a node that wait for random numbers. */
void ab_twister_fill(ab_twister *t, ab_graph *g, int32_t last);

/* What the recorder calls without a detour over Python. */
typedef struct ab_engine_functions {
    const ab_kernel_table *(*table_select)(const char *isa, int itemsize);
    int64_t (*plan)(ab_graph *g, int32_t ntargets, const int32_t *targets, int32_t strategy);
    int (*forward)(ab_graph *g, const ab_kernel_table *table, int threads, double seconds);
    int (*backward_begin)(ab_graph *g, int32_t nseeds, const int32_t *seeds, int32_t nwrt,
                          const int32_t *wrt);
    int (*backward_run)(ab_graph *g, const ab_kernel_table *table, int threads, double seconds);
    double (*update_all)(const ab_kernel_table *const *tables, ab_updated *all, int64_t n, int rule,
                         const double *numbers, int flags, double clip_value, double clip_norm,
                         double factor, int threads);
    void (*draw)(ab_twister *t, ab_graph *g, int32_t last);
    void (*draw_numbers)(ab_twister *t, int kind, double a, double b, double factor, double term,
                         int64_t n, void *out, int itemsize);
} ab_engine_functions;
const ab_engine_functions *ab_engine_functions_get(void);

int ab_has_threads(void); /* whether more than one thread can be used */

#endif
