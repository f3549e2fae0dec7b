/* The CPU engine: runs the batches of a tape on the kernels of one table.
 *
 * One thread, the leader, walks the tape. A batch with enough work is cut into parts, which
 * the leader and its helpers take as they come (team.c); nobody waits for a helper that the
 * system has put aside, unless it holds a part. What a part is depends on the batch and on
 * the configured number of threads only, so results repeat bit for bit.
 */
#ifndef AB_ENGINE_H
#define AB_ENGINE_H

#include "ab_api.h"
#include "ab_graph.h"
#include "ab_kernel.h"

enum {
    ROWS = 504,         /* rows per call of a kernel: a multiple of the matrix tile's 12 */
    POINTERS = 1 << 15, /* pointers per call, where ops have many operands */
    WORK = 1 << 15,     /* least work of a part; in operations, roughly */
    SHARED = 4 * WORK,  /* work of a run that other threads may share in */
    PARTS = 3,          /* parts per thread, so that a late helper can be made up for */
    PACK_ROWS = 4,      /* a weight that serves as many rows as this is packed */
};

/* One use of a weight by a batch. */
typedef struct weight_use {
    int64_t batch;
    int32_t pair;
    int32_t next; /* use of the same weight, -1 */
} weight_use;

/* A matrix that is the same for all rows of a batch. */
typedef struct weight {
    int32_t node;
    ab_param *param;    /* it is this parameter's whole; NULL: it is computed */
    int shared;         /* its packed copies are the parameter's; else they are this graph's */
    int64_t rows[2][2]; /* that a run forward, or backward, brings to a side */
    int64_t stored_rows, stored_columns;
    void *packed[2]; /* 0: outputs are the stored rows; 1: the stored columns */
    /* Of copies of this graph: the kernels whose order that is, their size, and the version of the
     * parameter. */
    const void *packed_by[2];
    size_t packed_bytes[2];
    uint64_t packed_version[2];
    int ready[2];
    int use[2]; /* is to be packed */
    /* backward */
    int64_t outer_rows; /* rows whose product the gradient is */
    int32_t first_use, flush_next;
} weight;

/* The calls of a run, see steps.c. */
typedef struct steps {
    enum { STEPS_NONE, STEPS_KEEPING, STEPS_KEPT, STEPS_REFUSED } state;
    char *memory;
    size_t used;
    void *first, *last;
} steps;

/* What was found out about all batches of a tape, kept for the next run of the same: programs that
 * build a graph once and set its inputs run it again and again. */
typedef struct preparation {
    const ab_kernel_table *table; /* NULL: nothing is kept */
    uint64_t plans;               /* of the graph then */
    int64_t batches;
    size_t scratch, sum;
    int64_t work;
    int lone;     /* all batches are of one node, as far as calls of such can be kept */
    int formulas; /* some have no kernel */
    steps steps;
} preparation;

static inline int
is_prepared(const preparation *p, const ab_graph *g, const ab_kernel_table *table, int64_t batches)
{
    return p->table == table && p->plans == g->plans && p->batches == batches;
}

/* A parameter's gradient as it was before a pass. */
typedef struct undo {
    ab_param *param;
    int32_t graded;
    int64_t slots;
    char *dense, *sparse; /* copies; NULL: there was none, or the pass cannot be stopped */
} undo;

typedef struct engine {
    uint64_t epoch; /* of the graph that the rest belongs to */
    uint64_t keeps; /* of the graph when the weights were entered */
    weight *weights;
    int32_t nweights, weight_capacity;
    int32_t *weight_of; /* node -> weight, -1 */
    int32_t weight_of_n;
    char *scratch; /* threads * scratch_each bytes */
    size_t scratch_each, scratch_n;
    char *sums; /* parts * sum_each bytes, for sums that are made in parts */
    size_t sum_each, sums_n;
    int32_t *rows; /* nodes of the batch at hand */
    int64_t rows_n;
    preparation ahead, back;
    /* backward */
    int64_t room;    /* nodes that there is memory for, in these four and in the graph's `grad` */
    uint8_t *marks;  /* [n], see below; zero outside [low, n) and the list below it */
    int32_t *listed; /* [n] of a parameter or a table: its place among the sources */
    int32_t *below;  /* sources that take part and were recorded before `low` */
    int32_t low, n;  /* nodes that may take part, but for those */
    int32_t known;   /* nodes whose marks, and gradients' addresses, are not just any */
    int32_t nbelow;
    uint64_t graph; /* the epoch of the last pass's graph, plus 1 */
    int64_t first;  /* the first batch that may take part */
    undo *undos;    /* of the sources */
    int32_t nundos, undo_room;
    int32_t *nodes;       /* those of each batch that take part */
    int64_t *batch_first; /* [tape + 1] */
    int64_t ntape;
    int32_t *flush; /* [tape + 1]: weights whose gradient is due before a batch runs */
    weight_use *uses;
    int32_t nuses, use_capacity;
    int32_t *sources;
    int64_t *source_rows;
    uint8_t *source_dense;
    int32_t ntouched; /* nodes */
    int32_t nsources, source_room;
    uint64_t trained; /* which parameters were trainable */
    int32_t nseeds, seed_room;
    int32_t nwrt;
    int32_t *seeds;
    int32_t view_room;
    int32_t nviews; /* views with a gradient of their own, in descending order; -1: done */
    int32_t *views;
    int64_t at; /* the batch to run next, downwards */
    int started;
    void **outer_x, **outer_dy;
    int64_t outer_capacity;
} engine;

struct worker;

/* Work that is cut into parts. Called by any thread, once per part. */
typedef void task(struct worker *w, const void *job, int part, int parts);

/* What all threads of a run share. */
typedef struct run {
    ab_graph *g;
    engine *e;
    const ab_kernel_table *table;
    int threads; /* as configured: what parts depend on */
    /* The work at hand: which (a count, the parts, the next part), and how much is done. */
    uint64_t state;
    int32_t finished;
    task *task;
    const void *job;
} run;

/* What a thread works with. */
typedef struct worker {
    run *r;
    char *scratch;
    steps *keeping; /* its calls are kept there; NULL: they are not */
} worker;

/* steps.c. A step is run with its arguments, which are kept with all they point to. */
typedef void ab_step(worker *w, const void *arguments);
/* Whether all was run by the steps that were kept; if not, those that come are kept until the end,
 * unless they were refused before. */
int ab_steps_again(worker *w, steps *s);
void ab_steps_end(const worker *w, int complete); /* complete: the whole tape was run */
void ab_steps_free(steps *s);
void *ab_steps_take(steps *s, size_t bytes); /* NULL: they are too many, and nothing is kept */
void ab_steps_add(steps *s, ab_step *run, const void *arguments, size_t bytes);

/* This is none: what is run cannot be kept. */
static inline void
ab_steps_refuse(const worker *w)
{
    if (w->keeping)
        w->keeping->state = STEPS_REFUSED;
}

/* Runs a step, and keeps it if steps are kept. */
static inline void
ab_step_now(worker *w, ab_step *run, const void *arguments, size_t bytes)
{
    run(w, arguments);
    if (w->keeping)
        ab_steps_add(w->keeping, run, arguments, bytes);
}

/* team.c. The leader runs a task's parts together with whoever has time; returns when all are
 * done. */
void ab_share(worker *w, task *t, const void *job, int parts);
/* Runs body on this thread, as the leader, with helpers where they pay. kind: 0 forward, 1
 * backward; work: operations, roughly. */
void ab_lead(run *r, int kind, int64_t work, void (*body)(worker *, void *), void *argument);
int ab_parts(const run *r, int64_t work);

/* Places inside a worker's scratch, for calls of nin operands. */
typedef struct frame {
    int64_t chunk;        /* rows per call */
    int64_t wide;         /* places per operand */
    void **x;             /* [nin][wide] */
    ab_rows *xs;          /* [nin] */
    void **y, **dy, **dx; /* where a kernel makes all gradients: dx[nin][chunk] */
    const int64_t **data;
    void *kernel; /* the kernel's own scratch */
} frame;

static inline const ab_form *
form_at(const ab_graph *g, int64_t batch)
{
    return ab_form_get(g->registry, g->tape[batch].form);
}

/* rows.c */
size_t ab_frame_bytes(const ab_form *f, const ab_graph *g, const ab_kernel_table *t);
frame ab_frame(worker *w, const ab_form *f);

static inline void **
ab_frame_x(const frame *fr, int64_t j)
{
    return fr->x + j * fr->wide;
}

int64_t ab_in_batch(const ab_graph *g, const ab_form *f, int32_t j);
int64_t ab_widest(const ab_graph *g, const ab_form *f); /* operand rows per row of a result */
int64_t ab_stride_of(void *const *row, int64_t n, int64_t row_bytes);
/* These fill in the addresses of rows [first, first + n) of the listed nodes (row = node * batch +
 * element), nodes of one batch in its order. They answer the rows' stride as in ab_rows. */
int64_t ab_fill_operand(const ab_graph *g, const ab_form *f, int32_t j, const int32_t *nodes,
                        int64_t first, int64_t n, void **out);
int64_t ab_fill_result(const ab_graph *g, const ab_form *f, char *const *base, const int32_t *nodes,
                       int64_t first, int64_t n, void **out);
void ab_fill_data(const ab_graph *g, const ab_form *f, const int32_t *nodes, int64_t first,
                  int64_t n, const int64_t **out);
/* x, y and data of a call; returns the call with everything but the gradients. reads: as in
 * ab_kernel.reads, of one gradient; what is not read stands at the result's rows. */
ab_call ab_fill_call(worker *w, const ab_form *f, const ab_kernel *k, frame *fr, uint32_t reads,
                     const int32_t *nodes, int64_t first, int64_t n);

/* backward.c */
/* Of engine.marks. */
enum {
    WANTED = 1,   /* it depends on something whose gradient is wanted */
    REACHED = 2,  /* the loss depends on it */
    ASKED = 4,    /* its own gradient was asked for */
    TOUCHED = 8,  /* rows that count as used all the same: their gradients begin, as zeros */
    USED = 16,    /* by something that passes gradients on, and by something that stops them; of */
    STOPPED = 32, /* rows that may be touched */
    SEEN = 64     /* what the loss depends on, or what was asked for */
};

static inline int
ab_is_live(const engine *e, int32_t node)
{
    return (e->marks[node] & (WANTED | REACHED)) == (WANTED | REACHED);
}

static inline ab_param *
ab_table_of(const ab_graph *g, int32_t node)
{
    return (ab_param *)(intptr_t)g->nodes[g->operands[g->nodes[node].first]].data[0];
}

/* gradient.c */
enum { FEW = 8 };                           /* operands that are worth a walk over the rows each */
void *ab_slot_of(ab_param *p, int64_t row); /* where the gradient of a table's row is summed */
void ab_add_to(const ab_graph *g, char *into, const char *from, int64_t n);
int64_t ab_in_bytes(const ab_graph *g, const ab_form *f, int32_t j);
/* Scratch for the gradients of so many nodes of a form, and operations, roughly. */
size_t ab_gradient_bytes(const ab_graph *g, const ab_form *f, int64_t nodes);
int64_t ab_gradient_work(const ab_form *f, int64_t nodes);
void ab_gradient_batch(worker *w, int64_t b);
void ab_gradient_of_weight(worker *w, int32_t weight); /* one product over all rows of the pass */

/* lone.c */
int ab_is_lone(const ab_graph *g, const ab_form *f, int64_t nodes); /* a batch of so many */
void ab_lone_forward(worker *w, const ab_form *f, int32_t node);
/* The gradients of what takes part, but for those of weights. */
void ab_lone_backward(worker *w, const ab_form *f, int32_t node);

/* weights.c */
engine *ab_engine(ab_graph *g);
int ab_engine_scratch(engine *e, int threads, size_t each, size_t sum);
int32_t ab_weight_find(ab_graph *g, engine *e, int32_t node, int64_t rows, int64_t columns);
int ab_weight_reserve(const run *r, weight *w, int backward, int side);
void ab_weight_pack(worker *w, weight *v, int side);
int ab_lock(void);
void ab_unlock(void);
int ab_threads(int wanted);
double ab_now(void);
/* Whether a run has taken so many seconds since it first asked: short runs read no clock. */
int ab_late(double *deadline, double seconds);

/* The matrix product of a form: which operands, which layout. */
typedef struct affine {
    int64_t pairs, has_bias, m, r, columns;
    int64_t trans;   /* W is stored (k, m) */
    int64_t x_first; /* operands are x, W: one pair, no bias */
    const int64_t *k;
} affine;

static inline affine
affine_of(const ab_form *f)
{
    return (affine){f->p[0], f->p[1],      f->p[2],      f->p[3],
                    f->p[4], f->p[5] != 0, f->p[5] == 1, f->p + 6};
}

static inline int32_t
affine_w(const affine *a, int64_t pair)
{
    return a->x_first ? 1 : (int32_t)(a->has_bias + 2 * pair);
}

static inline int32_t
affine_x(const affine *a, int64_t pair)
{
    return a->x_first ? 0 : (int32_t)(a->has_bias + 2 * pair + 1);
}

/* A weight's side that W x needs, or W^T y: 0 where outputs are the stored rows, 1 where they are the
 * columns. */
static inline int
affine_side(const affine *a, int backward)
{
    return (a->trans != 0) != backward;
}

int ab_affine_kernel(void); /* its place in the tables */

static inline int
is_affine(const ab_form *f)
{
    return f->kernel == ab_affine_kernel() && f->p[4] == 0 && f->same;
}

#endif
