/* Weights: matrices that are one for all rows of a batch. They are packed for the matrix
 * kernel once per change, and their gradient is one product per backward pass. Also here:
 * what the engine keeps for a graph, and the lock by which runs take turns. */
#define _GNU_SOURCE /* pthread_atfork */
#include "engine.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Runs of several Python threads take turns: each uses all cores, and packed weights are
 * shared. A forked child has neither the other threads nor OpenMP's. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int forked;

static void
in_child(void)
{
    pthread_mutex_init(&turn, NULL);
    forked = 1;
}

static void
watch_forks(void)
{
    pthread_atfork(NULL, NULL, in_child);
}

int
ab_lock(void)
{
    pthread_once(&once, watch_forks);
    return pthread_mutex_lock(&turn);
}

void
ab_unlock(void)
{
    pthread_mutex_unlock(&turn);
}

int
ab_has_threads(void)
{
#ifdef _OPENMP
    return !forked;
#else
    return 0;
#endif
}

int
ab_threads(int wanted)
{
    return ab_has_threads() && wanted > 1 ? wanted : 1;
}

double
ab_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int
ab_late(double *deadline, double seconds)
{
    double now = ab_now();
    if (*deadline == 0)
        *deadline = now + seconds;
    return now > *deadline;
}

int
ab_affine_kernel(void)
{
    static int place = -2; /* -1 would mean that there is none */
    if (place == -2)
        place = ab_kernel_index("affine");
    return place;
}

static void
forget(engine *e)
{
    for (int32_t i = 0; i < e->nweights; i++)
        if (!e->weights[i].shared) {
            free(e->weights[i].packed[0]);
            free(e->weights[i].packed[1]);
        }
    for (int32_t i = 0; i < e->nweights; i++)
        e->weight_of[e->weights[i].node] = -1;
    e->nweights = 0;
    e->ahead.table = e->back.table = NULL;
}

static void
engine_free(void *p)
{
    engine *e = p;
    forget(e);
    ab_steps_free(&e->ahead.steps);
    ab_steps_free(&e->back.steps);
    free(e->weights);
    free(e->weight_of);
    free(e->scratch);
    free(e->sums);
    free(e->rows);
    free(e->marks);
    free(e->listed);
    free(e->below);
    for (int32_t i = 0; i < e->nundos; i++) {
        free(e->undos[i].dense);
        free(e->undos[i].sparse);
    }
    free(e->undos);
    free(e->views);
    free(e->nodes);
    free(e->batch_first);
    free(e->flush);
    free(e->uses);
    free(e->sources);
    free(e->source_rows);
    free(e->source_dense);
    free(e->seeds);
    free(e->outer_x);
    free(e->outer_dy);
    free(e);
}

engine *
ab_engine(ab_graph *g)
{
    engine *e = g->engine;
    if (!e) {
        if (!(e = calloc(1, sizeof *e)))
            return NULL;
        g->engine = e;
        g->engine_free = engine_free;
        e->epoch = g->epoch;
    }
    if (e->epoch != g->epoch) {
        forget(e);
        e->epoch = g->epoch;
        e->started = 0;
    }
    if (e->keeps != g->keeps) {
        e->keeps = g->keeps;
        forget(e); /* weights may be their parameter's no more, or again */
    }
    if (e->weight_of_n < g->capacity) {
        int32_t *grown = realloc(e->weight_of, (size_t)g->capacity * sizeof *grown);
        if (!grown)
            return NULL;
        memset(grown + e->weight_of_n, 0xff,
               (size_t)(g->capacity - e->weight_of_n) * sizeof *grown);
        e->weight_of = grown;
        e->weight_of_n = g->capacity;
    }
    return e;
}

static int
scratch(char **memory, size_t *have, size_t want)
{
    if (want <= *have)
        return AB_OK;
    free(*memory);
    *have = 0;
    if (posix_memalign((void **)memory, 4096, want)) {
        *memory = NULL;
        return AB_NO_MEMORY;
    }
    *have = want;
    return AB_OK;
}

int
ab_engine_scratch(engine *e, int threads, size_t each, size_t sum)
{
    /* Pages apart: no two threads write to one cache line. */
    e->scratch_each = (each + 4095) & ~(size_t)4095;
    e->sum_each = (sum + 63) & ~(size_t)63;
    const char *before = e->scratch;
    if (scratch(&e->scratch, &e->scratch_n, (size_t)threads * e->scratch_each) < 0)
        return AB_NO_MEMORY;
    if (e->scratch != before) /* steps have addresses in it */
        e->ahead.steps.state = e->back.steps.state = STEPS_NONE;
    return scratch(&e->sums, &e->sums_n, (size_t)(threads * PARTS) * e->sum_each);
}

/* The weight of a node, entered when first asked for. rows x columns is how it is stored. */
int32_t
ab_weight_find(ab_graph *g, engine *e, int32_t node, int64_t rows, int64_t columns)
{
    if (e->weight_of[node] >= 0)
        return e->weight_of[node];
    if (e->nweights == e->weight_capacity) {
        int32_t to = e->weight_capacity ? 2 * e->weight_capacity : 16;
        weight *grown = realloc(e->weights, (size_t)to * sizeof *grown);
        if (!grown)
            return AB_NO_MEMORY;
        e->weights = grown;
        e->weight_capacity = to;
    }
    weight *w = &e->weights[e->nweights];
    *w = (weight){.node = node, .stored_rows = rows, .stored_columns = columns};
    w->first_use = w->flush_next = -1;
    const ab_node *d = &g->nodes[node], *root = &g->nodes[d->root];
    if (ab_form_get(g->registry, root->form)->flags & AB_FORM_PARAMETER) {
        ab_param *p = (ab_param *)(intptr_t)root->data[0];
        if (p->size == rows * columns && g->value[d->root] == p->data) {
            w->param = p;
            w->shared = 1;
            for (int32_t i = 0; i < e->nweights; i++) /* or they are for another shape of it */
                w->shared &= e->weights[i].param != p;
        }
    }
    return e->weight_of[node] = e->nweights++;
}

/* Whether a side of a weight is packed or to be packed, given the rows that the run will
 * bring; makes the memory. */
int
ab_weight_reserve(const run *r, weight *w, int backward, int side)
{
    int64_t outputs = side ? w->stored_columns : w->stored_rows;
    int64_t inner = side ? w->stored_rows : w->stored_columns;
    ab_param *p = w->shared ? w->param : NULL;
    int64_t rows = w->rows[backward][side];
    if (p) {
        if (p->served_version != p->version) {
            p->served_version = p->version;
            p->rows_served = 0;
        }
        p->rows_served += rows;
        rows = p->rows_served;
        w->packed[side] = p->packed[side];
        w->packed_bytes[side] = p->packed_bytes[side];
        w->ready[side] = p->packed[side] && p->packed_version[side] == p->version
                         && p->packed_shape[side][0] == outputs && p->packed_shape[side][1] == inner
                         && p->packed_by[side] == r->table->matrix;
    } else if (w->packed_by[side] != r->table->matrix
               || (w->param && w->packed_version[side] != w->param->version)) {
        w->ready[side] = 0;
    }
    /* Anew every time: a run need not come to all that it reserves. */
    w->use[side] = !w->ready[side] && rows >= PACK_ROWS;
    if (!w->use[side])
        return AB_OK;
    size_t bytes = r->table->matrix->packed_bytes(outputs, inner);
    if (bytes > w->packed_bytes[side] || !w->packed[side]) {
        void *memory = NULL;
        if (posix_memalign(&memory, 64, bytes ? bytes : 64)) {
            w->use[side] = 0;
            return AB_NO_MEMORY;
        }
        free(w->packed[side]);
        w->packed[side] = memory;
        w->packed_bytes[side] = bytes;
        if (p) {
            p->packed[side] = memory;
            p->packed_bytes[side] = bytes;
        }
    }
    w->packed_by[side] = r->table->matrix;
    if (p) {
        p->packed_version[side] = 0; /* not while it is being packed */
        p->packed_shape[side][0] = outputs;
        p->packed_shape[side][1] = inner;
        p->packed_by[side] = r->table->matrix;
    }
    return AB_OK;
}

typedef struct packing {
    weight *v;
    int side;
} packing;

static void
pack_part(worker *w, const void *job, int part, int parts)
{
    const weight *v = ((const packing *)job)->v;
    int side = ((const packing *)job)->side;
    const ab_matrix_kernels *m = w->r->table->matrix;
    int64_t outputs = side ? v->stored_columns : v->stored_rows;
    int64_t inner = side ? v->stored_rows : v->stored_columns;
    int64_t panels = (outputs + m->panel - 1) / m->panel;
    m->pack(v->packed[side], ab_value_address(w->r->g, v->node), outputs, inner,
            side ? 1 : v->stored_columns, side ? v->stored_columns : 1, panels * part / parts,
            panels * (part + 1) / parts);
}

/* Packs a weight whose value is there. */
void
ab_weight_pack(worker *w, weight *v, int side)
{
    packing job = {v, side};
    ab_share(w, pack_part, &job, ab_parts(w->r, v->stored_rows * v->stored_columns));
    v->ready[side] = 1;
    v->use[side] = 0;
    if (v->param)
        *(v->shared ? &v->param->packed_version[side] : &v->packed_version[side]) =
            v->param->version;
}
