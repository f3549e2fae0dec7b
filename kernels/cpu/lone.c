/* Batches of one node, which is most of what small graphs are: a call is made on the stack, of
 * addresses that the node tells, without what it takes to find those of many. */
#include "engine.h"

enum { ROWS_AT_MOST = 16 };

int
ab_is_lone(const ab_form *f, int64_t nodes)
{
    return nodes == 1 && f->batch <= ROWS_AT_MOST && f->nin <= FEW
           && !(f->flags & (AB_FORM_TABLE | AB_FORM_BATCH_AWARE));
}

/* What a call points to. */
typedef struct room {
    ab_rows xs[FEW], dxs[FEW];
    void *x[FEW][ROWS_AT_MOST], *dx[FEW][ROWS_AT_MOST], *y[ROWS_AT_MOST], *dy[ROWS_AT_MOST];
    const int64_t *data[ROWS_AT_MOST];
} room;

static inline ab_rows
rows_at(void **out, char *at, int64_t step, int64_t n, int64_t row)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = at + i * step;
    return (ab_rows){out, n == 1 ? row : step};
}

/* Rows of operand j, at the given address. */
static inline ab_rows
operand_at(const ab_graph *g, const ab_form *f, int32_t j, int32_t operand, char *at, void **out)
{
    const ab_type *type = ab_type_get(g->registry, f->in_type[j]);
    const int64_t step = type->batch > 1 ? ab_batch_stride(g, operand) : 0;
    return rows_at(out, at, step, f->batch, type->size * g->itemsize);
}

/* y, data and those operands of a call that are read. */
static ab_call
call_of(worker *w, const ab_form *f, const ab_kernel *k, uint32_t reads, int32_t node, room *r)
{
    const ab_graph *g = w->r->g;
    const ab_node *d = &g->nodes[node];
    const int32_t *operands = g->operands + d->first;
    const int64_t n = f->batch, row = f->size * g->itemsize;
    ab_call call = {.n = n,
                    .nin = f->nin,
                    .p = f->p,
                    .x = r->xs,
                    .y = rows_at(r->y, g->value[node], row, n, row),
                    .data = r->data,
                    .scratch = w->scratch,
                    .self = k->self};
    for (int32_t j = 0; j < f->nin; j++)
        if (reads >> j & 1)
            r->xs[j] = operand_at(g, f, j, operands[j], ab_value_address(g, operands[j]), r->x[j]);
        else /* any rows */
            r->xs[j] = (ab_rows){r->y, ab_in_bytes(g, f, j)};
    const int64_t words = d->ndata ? d->ndata / n : 0;
    for (int64_t i = 0; i < n && words; i++)
        r->data[i] = d->data + i * words;
    return call;
}

void
ab_lone_forward(worker *w, const ab_form *f, int32_t node)
{
    const ab_kernel *k = &w->r->table->kernels[f->kernel];
    room r;
    ab_call call = call_of(w, f, k, UINT32_MAX, node, &r);
    k->forward(&call);
}

void
ab_lone_backward(worker *w, const ab_form *f, int32_t node)
{
    const ab_graph *g = w->r->g;
    const ab_kernel *k = &w->r->table->kernels[f->kernel];
    const int32_t *operands = g->operands + g->nodes[node].first;
    const int64_t row = f->size * g->itemsize;
    uint32_t reads = 0, live = 0;
    for (int32_t j = 0; j < f->nin; j++)
        if (ab_is_live(w->r->e, operands[j])) {
            live |= UINT32_C(1) << j;
            reads |= k->reads ? k->reads[j] : UINT32_MAX;
        }
    int joint = k->joint && live + 1 == UINT32_C(1) << f->nin;
    for (int32_t j = 1; j < f->nin && joint; j++)
        for (int32_t i = 0; i < j; i++) /* parts of one node's gradient may overlap */
            joint &= g->nodes[operands[i]].root != g->nodes[operands[j]].root;
    if (!joint && !k->backward)
        return;
    room r;
    ab_call call = call_of(w, f, k, joint ? UINT32_MAX : reads, node, &r);
    call.dy = rows_at(r.dy, g->grad[node], row, call.n, row);
    call.dxs = r.dxs;
    for (int32_t j = 0; j < f->nin; j++) {
        if (!(live >> j & 1))
            continue;
        call.wrt = j;
        call.dx = r.dxs[j] = operand_at(g, f, j, operands[j], g->grad[operands[j]], r.dx[j]);
        if (!joint)
            k->backward(&call);
    }
    if (joint)
        k->joint(&call);
}
