/* Batches of one node, which is most of what small graphs are: a call is made of addresses that the
 * node tells, without what it takes to find those of many. Such calls can be kept as steps. */
#include "engine.h"

enum { ROWS_AT_MOST = 16 };

/* Whether every row of a product has an x of its own, and all have one bias. */
static int
is_plain_product(const ab_graph *g, const ab_form *f)
{
    const affine a = affine_of(f);
    if (a.r > 1 || (a.has_bias && f->batch > 1 && ab_in_batch(g, f, 0) > 1))
        return 0;
    for (int64_t pair = 0; pair < a.pairs && f->batch > 1; pair++)
        if (ab_in_batch(g, f, affine_x(&a, pair)) == 1)
            return 0;
    return 1;
}

int
ab_is_lone(const ab_graph *g, const ab_form *f, int64_t nodes)
{
    return nodes == 1 && f->batch <= ROWS_AT_MOST && f->nin <= FEW && !(f->flags & AB_FORM_TABLE)
           && ab_widest(g, f) <= ROWS_AT_MOST && (!is_affine(f) || is_plain_product(g, f));
}

/* Where rows are listed: on the stack, or with the steps that are kept. */
typedef struct room {
    char *at;
    char stack[2 * FEW * sizeof(ab_rows) + (2 * FEW + 3) * ROWS_AT_MOST * sizeof(void *)];
} room;

static void
room_begin(const worker *w, const ab_form *f, room *r)
{
    const int64_t widest = ab_widest(w->r->g, f), most = widest > f->batch ? widest : f->batch;
    const size_t rows = (size_t)most * sizeof(void *), nin = (size_t)f->nin;
    r->at = w->keeping ? ab_steps_take(w->keeping, 2 * nin * sizeof(ab_rows) + (2 * nin + 3) * rows)
                       : NULL;
    if (!r->at)
        r->at = r->stack;
}

static inline void *
take(room *r, size_t bytes)
{
    char *at = r->at;
    r->at += bytes;
    return at;
}

static inline ab_rows
rows_at(room *r, char *at, int64_t step, int64_t n, int64_t row)
{
    void **out = take(r, (size_t)n * sizeof *out);
    for (int64_t i = 0; i < n; i++)
        out[i] = at + i * step;
    return (ab_rows){out, n == 1 ? row : step};
}

/* Rows of a node's result, in values or gradients. */
static inline ab_rows
result_at(room *r, const ab_graph *g, const ab_form *f, char *at)
{
    const int64_t row = f->size * g->itemsize;
    return rows_at(r, at, row, f->batch, row);
}

/* Rows of its operand j, at the given address. */
static inline ab_rows
operand_at(room *r, const ab_graph *g, const ab_form *f, int32_t j, int32_t operand, char *at)
{
    const ab_type *type = ab_type_get(g->registry, f->in_type[j]);
    const int64_t step = type->batch > 1 ? ab_batch_stride(g, operand) : 0;
    const int64_t n = f->flags & AB_FORM_BATCH_AWARE ? type->batch : f->batch;
    return rows_at(r, at, step, n, type->size * g->itemsize);
}

static inline const int32_t *
operands_of(const ab_graph *g, int32_t node)
{
    return g->operands + g->nodes[node].first;
}

/* Kernels. */
typedef struct kernel_step {
    ab_kernel_fn run;
    ab_call call;
} kernel_step;

static void
run_kernel(worker *w, const void *arguments)
{
    (void)w;
    const kernel_step *s = arguments;
    s->run(&s->call);
}

/* y, data and those operands of a call that are read. */
static ab_call
call_of(worker *w, const ab_form *f, const ab_kernel *k, uint32_t reads, int32_t node, room *r)
{
    const ab_graph *g = w->r->g;
    const ab_node *d = &g->nodes[node];
    const int32_t *operands = g->operands + d->first;
    const int64_t n = f->batch;
    ab_rows *xs = take(r, (size_t)f->nin * sizeof *xs);
    ab_call call = {.n = n,
                    .nin = f->nin,
                    .p = f->p,
                    .x = xs,
                    .y = result_at(r, g, f, g->value[node]),
                    .scratch = w->scratch,
                    .self = k->self};
    for (int32_t j = 0; j < f->nin; j++)
        if (reads >> j & 1)
            xs[j] = operand_at(r, g, f, j, operands[j], ab_value_address(g, operands[j]));
        else /* any rows */
            xs[j] = (ab_rows){call.y.row, ab_in_bytes(g, f, j)};
    if (d->ndata) {
        const int64_t **data = take(r, (size_t)n * sizeof *data), words = d->ndata / n;
        for (int64_t i = 0; i < n; i++)
            data[i] = d->data + i * words;
        call.data = data;
    }
    return call;
}

/* Products: y (+)= W x, or x (+)= W^T y. */
typedef struct product_step {
    int32_t weight;
    int side;
    int64_t outputs, inner, n;
    ab_rows x, y;
    const void *bias;
    int accumulate;
} product_step;

static void
run_product(worker *w, const void *arguments)
{
    const product_step *s = arguments;
    const ab_matrix_kernels *m = w->r->table->matrix;
    weight *v = &w->r->e->weights[s->weight];
    const int side = s->side;
    if (v->use[side] && !v->ready[side])
        ab_weight_pack(w, v, side);
    if (v->ready[side])
        m->product(v->packed[side], s->outputs, s->inner, s->n, s->x.row, s->y.row, s->bias,
                   s->accumulate, 0, (s->outputs + m->panel - 1) / m->panel);
    else
        m->product_unpacked(ab_value_address(w->r->g, v->node), side ? 1 : v->stored_columns,
                            side ? v->stored_columns : 1, s->inner, s->n, s->x.row, s->y.row,
                            s->bias, s->accumulate, 0, s->outputs);
}

static void
forward_product(worker *w, const ab_form *f, int32_t node)
{
    const ab_graph *g = w->r->g;
    const affine a = affine_of(f);
    const int32_t *operands = operands_of(g, node);
    room r;
    room_begin(w, f, &r);
    product_step s = {.side = affine_side(&a, 0), .outputs = a.m, .n = f->batch};
    s.y = result_at(&r, g, f, g->value[node]);
    s.bias = a.has_bias ? ab_value_address(g, operands[0]) : NULL;
    for (int64_t pair = 0; pair < a.pairs; pair++) {
        const int32_t j = affine_x(&a, pair);
        s.weight = w->r->e->weight_of[operands[affine_w(&a, pair)]];
        s.inner = a.k[pair];
        s.x = operand_at(&r, g, f, j, operands[j], ab_value_address(g, operands[j]));
        ab_step_now(w, run_product, &s, sizeof s);
        s.bias = NULL;
        s.accumulate = 1;
    }
}

void
ab_lone_forward(worker *w, const ab_form *f, int32_t node)
{
    if (is_affine(f)) {
        forward_product(w, f, node);
        return;
    }
    const ab_kernel *k = &w->r->table->kernels[f->kernel];
    room r;
    room_begin(w, f, &r);
    const kernel_step s = {k->forward, call_of(w, f, k, UINT32_MAX, node, &r)};
    ab_step_now(w, run_kernel, &s, sizeof s);
}

/* Gradients of a product's bias and vectors; those of weights wait for the end of the pass. */
static void
backward_product(worker *w, const ab_form *f, int32_t node)
{
    const ab_graph *g = w->r->g;
    const affine a = affine_of(f);
    const ab_kernel *k = &w->r->table->kernels[f->kernel];
    const int32_t *operands = operands_of(g, node);
    room r;
    room_begin(w, f, &r);
    kernel_step bias = {k->backward, call_of(w, f, k, 0, node, &r)};
    product_step s = {.side = affine_side(&a, 1), .inner = a.m, .n = f->batch, .accumulate = 1};
    bias.call.dy = s.x = result_at(&r, g, f, g->grad[node]);
    if (a.has_bias && ab_is_live(w->r->e, operands[0])) {
        bias.call.dx = operand_at(&r, g, f, 0, operands[0], g->grad[operands[0]]);
        ab_step_now(w, run_kernel, &bias, sizeof bias);
    }
    for (int64_t pair = 0; pair < a.pairs; pair++) {
        const int32_t j = affine_x(&a, pair);
        if (!ab_is_live(w->r->e, operands[j]))
            continue;
        s.weight = w->r->e->weight_of[operands[affine_w(&a, pair)]];
        s.outputs = a.k[pair];
        s.y = operand_at(&r, g, f, j, operands[j], g->grad[operands[j]]);
        ab_step_now(w, run_product, &s, sizeof s);
    }
}

static void
backward_kernel(worker *w, const ab_form *f, int32_t node)
{
    const ab_graph *g = w->r->g;
    const ab_kernel *k = &w->r->table->kernels[f->kernel];
    const int32_t *operands = operands_of(g, node);
    uint32_t reads = 0, live = 0;
    for (int32_t j = 0; j < f->nin; j++)
        if (ab_is_live(w->r->e, operands[j])) {
            live |= UINT32_C(1) << j;
            reads |= k->reads ? k->reads[j] : UINT32_MAX;
        }
    int joint = k->joint && live + 1 == UINT32_C(1) << f->nin;
    for (int32_t j = 1; j < f->nin && joint; j++)
        for (int32_t i = 0; i < j; i++) /* parts of one node's gradient may overlap */
            joint &= g->grad[g->nodes[operands[i]].root] != g->grad[g->nodes[operands[j]].root];
    if (!joint && !k->backward)
        return;
    room r;
    room_begin(w, f, &r);
    kernel_step s = {joint ? k->joint : k->backward,
                     call_of(w, f, k, joint ? UINT32_MAX : reads, node, &r)};
    ab_rows *dxs = take(&r, (size_t)f->nin * sizeof *dxs);
    s.call.dy = result_at(&r, g, f, g->grad[node]);
    s.call.dxs = dxs;
    for (int32_t j = 0; j < f->nin; j++) {
        if (!(live >> j & 1))
            continue;
        s.call.wrt = j;
        s.call.dx = dxs[j] = operand_at(&r, g, f, j, operands[j], g->grad[operands[j]]);
        if (!joint)
            ab_step_now(w, run_kernel, &s, sizeof s);
    }
    if (joint)
        ab_step_now(w, run_kernel, &s, sizeof s);
}

void
ab_lone_backward(worker *w, const ab_form *f, int32_t node)
{
    if (is_affine(f))
        backward_product(w, f, node);
    else
        backward_kernel(w, f, node);
}
