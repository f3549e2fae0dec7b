/* From nodes to the addresses of rows. */
#include "engine.h"

#include <string.h>

int64_t
ab_in_batch(const ab_graph *g, const ab_form *f, int32_t j)
{
    return ab_type_get(g->registry, f->in_type[j])->batch;
}

static int64_t
in_size(const ab_graph *g, const ab_form *f, int32_t j)
{
    return ab_type_get(g->registry, f->in_type[j])->size;
}

/* Rows per operand and result row: more than one where the kernel reads a whole minibatch. */
int64_t
ab_widest(const ab_graph *g, const ab_form *f)
{
    int64_t most = 1;
    if (f->flags & AB_FORM_BATCH_AWARE)
        for (int32_t j = 0; j < f->nin; j++)
            most = ab_in_batch(g, f, j) > most ? ab_in_batch(g, f, j) : most;
    return most;
}

/* Rows per call. */
static int64_t
chunk_of(const ab_form *f, int64_t wide)
{
    int64_t pointers = (f->nin + 4) * wide, fit;
    if (pointers <= POINTERS / ROWS)
        return ROWS;
    fit = POINTERS / pointers;
    return fit < 1 ? 1 : fit;
}

/* Operands whose gradients are written by one call. */
static int64_t
gradients(const ab_form *f, const ab_kernel_table *t)
{
    return f->kernel >= 0 && t->kernels[f->kernel].joint ? f->nin : 1;
}

/* Bytes of a frame before the kernel's own scratch, which begins a cache line. */
static size_t
pointer_bytes(const ab_form *f, const ab_kernel_table *t, int64_t chunk, int64_t wide)
{
    int64_t words = (3 + gradients(f, t) + f->nin * wide) * chunk;
    return ((size_t)words * sizeof(void *) + (size_t)f->nin * sizeof(ab_rows) + 63) & ~(size_t)63;
}

size_t
ab_frame_bytes(const ab_form *f, const ab_graph *g, const ab_kernel_table *t)
{
    int64_t wide = ab_widest(g, f), chunk = chunk_of(f, wide);
    size_t bytes = pointer_bytes(f, t, chunk, wide);
    if (f->kernel >= 0 && t->kernels[f->kernel].scratch)
        bytes += (t->kernels[f->kernel].scratch(f->p, chunk) + 63) & ~(size_t)63;
    return bytes;
}

frame
ab_frame(worker *w, const ab_form *f)
{
    const ab_kernel_table *t = w->r->table;
    int64_t wide = ab_widest(w->r->g, f), chunk = chunk_of(f, wide);
    frame fr = {.chunk = chunk, .kernel = w->scratch + pointer_bytes(f, t, chunk, wide)};
    fr.xs = (ab_rows *)w->scratch;
    fr.y = (void **)(fr.xs + f->nin);
    fr.dy = fr.y + chunk;
    fr.data = (const int64_t **)(fr.dy + chunk);
    fr.dx = fr.dy + 2 * chunk;
    fr.x = fr.dx + gradients(f, t) * chunk;
    fr.wide = chunk * wide;
    return fr;
}

/* The common step of row addresses; a single row counts as contiguous. */
int64_t
ab_stride_of(void *const *row, int64_t n, int64_t row_bytes)
{
    if (n < 2)
        return row_bytes;
    int64_t step = (char *)row[1] - (char *)row[0];
    for (int64_t i = 2; i < n; i++)
        if ((char *)row[i] - (char *)row[i - 1] != step)
            return AB_SCATTERED;
    return step;
}

/* Rows `step` bytes apart. */
static int64_t
fill_even(char *at, int64_t step, int64_t n, int64_t row_bytes, void **out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = at + i * step;
    return n < 2 ? row_bytes : step;
}

int64_t
ab_fill_operand(const ab_graph *g, const ab_form *f, int32_t j, const int32_t *nodes, int64_t first,
                int64_t n, void **out)
{
    const int64_t batch = f->batch, item = g->itemsize, own = ab_in_batch(g, f, j);
    const int64_t row = in_size(g, f, j) * item;
    if (f->flags & AB_FORM_TABLE) {
        const int64_t bytes = f->size * item;
        for (int64_t i = 0; i < n; i++) {
            const ab_node *d = &g->nodes[nodes[(first + i) / batch]];
            int64_t words = d->ndata / batch;
            out[i] = ab_value_address(g, g->operands[d->first])
                     + d->data[(first + i) % batch * words] * bytes;
        }
        return ab_stride_of(out, n, row);
    }
    const int aware = (f->flags & AB_FORM_BATCH_AWARE) != 0;
    const int64_t rows = aware ? own : batch, element = aware ? 0 : first % batch;
    const int32_t *node = nodes + (aware ? first : first / batch);
    if (aware)
        n *= own;
    if (rows == 1) {
        for (int64_t i = 0; i < n; i++)
            out[i] = ab_value_address(g, g->operands[g->nodes[node[i]].first + j]);
        return ab_stride_of(out, n, row);
    }
    int64_t stride = row;
    for (int64_t i = 0, at = element; i < n; at = 0, node++) {
        const int32_t o = g->operands[g->nodes[*node].first + j];
        const int64_t step = own > 1 ? ab_batch_stride(g, o) : 0;
        const int64_t here = rows - at < n - i ? rows - at : n - i;
        stride = fill_even(ab_value_address(g, o) + at * step, step, here, row, out + i);
        i += here;
        if (here == n) /* all are one node's: mostly */
            return stride;
    }
    return ab_stride_of(out, n, row);
}

/* base: g->value or g->grad. Results are never views, so a node's rows lie side by side, and so
 * do the nodes' of a batch, in its order, unless some take no part. */
int64_t
ab_fill_result(const ab_graph *g, const ab_form *f, char *const *base, const int32_t *nodes,
               int64_t first, int64_t n, void **out)
{
    const int64_t batch = f->batch, row = f->size * g->itemsize, last = first + n - 1;
    char *const begin = base[nodes[first / batch]] + first % batch * row;
    char *const end = base[nodes[last / batch]] + last % batch * row;
    if (end - begin == (n - 1) * row)
        return fill_even(begin, row, n, row, out);
    for (int64_t i = 0; i < n; i++)
        out[i] = base[nodes[(first + i) / batch]] + (first + i) % batch * row;
    return ab_stride_of(out, n, row);
}

void
ab_fill_data(const ab_graph *g, const ab_form *f, const int32_t *nodes, int64_t first, int64_t n,
             const int64_t **out)
{
    const int32_t *node = nodes + first / f->batch;
    int64_t element = first % f->batch;
    for (int64_t i = 0; i < n; element = 0) {
        const ab_node *d = &g->nodes[*node++];
        for (int64_t words = d->ndata / f->batch; element < f->batch && i < n; element++)
            out[i++] = d->data + element * words;
    }
}

/* Operand rows of a call for one node of one row. */
static void
fill_single(const ab_graph *g, const ab_form *f, frame *fr, uint32_t reads, int32_t node)
{
    const int32_t *operands = g->operands + g->nodes[node].first;
    for (int32_t j = 0; j < f->nin; j++) {
        void **x = fr->y; /* where it is not read */
        if (reads && (j >= 31 || reads >> j & 1)) {
            x = ab_frame_x(fr, j);
            *x = ab_value_address(g, operands[j]);
        }
        fr->xs[j] = (ab_rows){x, in_size(g, f, j) * g->itemsize};
    }
}

ab_call
ab_fill_call(worker *w, const ab_form *f, const ab_kernel *k, frame *fr, uint32_t reads,
             const int32_t *nodes, int64_t first, int64_t n)
{
    const ab_graph *g = w->r->g;
    const int64_t stride = ab_fill_result(g, f, g->value, nodes, first, n, fr->y);
    const int single =
        n == 1 && f->batch == 1 && !(f->flags & (AB_FORM_TABLE | AB_FORM_BATCH_AWARE));
    if (single)
        fill_single(g, f, fr, reads, nodes[first]);
    for (int32_t j = 0; j < f->nin && !single; j++) {
        if (!reads || (j < 31 && !(reads >> j & 1))) {
            fr->xs[j] = (ab_rows){fr->y, in_size(g, f, j) * g->itemsize};
            continue;
        }
        void **x = ab_frame_x(fr, j);
        fr->xs[j] = (ab_rows){x, ab_fill_operand(g, f, j, nodes, first, n, x)};
    }
    if (g->nodes[nodes[0]].ndata)
        ab_fill_data(g, f, nodes, first, n, fr->data);
    return (ab_call){
        .n = n,
        .nin = f->nin,
        .p = f->p,
        .x = fr->xs,
        .y = {fr->y, stride},
        .data = fr->data,
        .scratch = fr->kernel,
        .self = k->self,
    };
}
