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
static int64_t
widest(const ab_graph *g, const ab_form *f)
{
    int64_t most = 1;
    if (f->flags & AB_FORM_BATCH_AWARE)
        for (int32_t j = 0; j < f->nin; j++)
            most = ab_in_batch(g, f, j) > most ? ab_in_batch(g, f, j) : most;
    return most;
}

int64_t
ab_chunk(const ab_form *f, const ab_graph *g)
{
    int64_t fit = POINTERS / ((f->nin + 4) * widest(g, f));
    return fit > ROWS ? ROWS : fit < 1 ? 1 : fit;
}

static size_t
aligned(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

static size_t
kernel_bytes(const ab_form *f, const ab_kernel_table *t, int64_t chunk)
{
    if (f->kernel < 0 || !t->kernels[f->kernel].scratch)
        return 0;
    return t->kernels[f->kernel].scratch(f->p, chunk);
}

/* Operands whose gradients are written by one call. */
static int64_t
gradients(const ab_form *f, const ab_kernel_table *t)
{
    return f->kernel >= 0 && t->kernels[f->kernel].joint ? f->nin : 1;
}

size_t
ab_frame_bytes(const ab_form *f, const ab_graph *g, const ab_kernel_table *t)
{
    int64_t chunk = ab_chunk(f, g), nin = f->nin;
    return aligned((size_t)(nin * chunk * widest(g, f)) * sizeof(void *))
           + aligned((size_t)nin * sizeof(void **)) + aligned((size_t)nin * sizeof(ab_rows))
           + 3 * aligned((size_t)chunk * sizeof(void *))
           + aligned((size_t)(chunk * gradients(f, t)) * sizeof(void *))
           + aligned((size_t)nin * sizeof(ab_packed)) + aligned(kernel_bytes(f, t, chunk));
}

frame
ab_frame(worker *w, const ab_form *f)
{
    const ab_graph *g = w->r->g;
    int64_t chunk = ab_chunk(f, g), wide = chunk * widest(g, f), nin = f->nin;
    char *at = w->scratch;
    frame fr = {.chunk = chunk};
    void **pointers = (void **)at;
    at += aligned((size_t)(nin * wide) * sizeof(void *));
    fr.x = (void ***)at;
    at += aligned((size_t)nin * sizeof(void **));
    for (int64_t j = 0; j < nin; j++)
        fr.x[j] = pointers + j * wide;
    fr.xs = (ab_rows *)at;
    at += aligned((size_t)nin * sizeof(ab_rows));
    fr.y = (void **)at;
    at += aligned((size_t)chunk * sizeof(void *));
    fr.dy = (void **)at;
    at += aligned((size_t)chunk * sizeof(void *));
    fr.dx = (void **)at;
    at += aligned((size_t)(chunk * gradients(f, w->r->table)) * sizeof(void *));
    fr.data = (const int64_t **)at;
    at += aligned((size_t)chunk * sizeof(void *));
    fr.packed = (ab_packed *)at;
    at += aligned((size_t)nin * sizeof(ab_packed));
    memset(fr.packed, 0, (size_t)nin * sizeof(ab_packed));
    fr.kernel = at;
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

void
ab_fill_operand(const ab_graph *g, const ab_form *f, int32_t j, const int32_t *nodes, int64_t first,
                int64_t n, void **out)
{
    const int64_t batch = f->batch, item = g->itemsize, own = ab_in_batch(g, f, j);
    if (f->flags & AB_FORM_TABLE) {
        int64_t row = f->size * item;
        for (int64_t i = 0; i < n; i++) {
            const ab_node *d = &g->nodes[nodes[(first + i) / batch]];
            int64_t words = d->ndata / batch;
            out[i] = ab_value_address(g, g->operands[d->first])
                     + d->data[(first + i) % batch * words] * row;
        }
        return;
    }
    if (f->flags & AB_FORM_BATCH_AWARE) {
        for (int64_t i = 0; i < n; i++) {
            int32_t o = g->operands[g->nodes[nodes[first + i]].first + j];
            char *at = ab_value_address(g, o);
            int64_t step = own > 1 ? ab_batch_stride(g, o) : 0;
            for (int64_t b = 0; b < own; b++)
                out[i * own + b] = at + b * step;
        }
        return;
    }
    if (batch == 1) {
        for (int64_t i = 0; i < n; i++)
            out[i] = ab_value_address(g, g->operands[g->nodes[nodes[first + i]].first + j]);
        return;
    }
    for (int64_t i = 0; i < n;) {
        int32_t o = g->operands[g->nodes[nodes[(first + i) / batch]].first + j];
        char *at = ab_value_address(g, o);
        int64_t step = own > 1 ? ab_batch_stride(g, o) : 0;
        for (int64_t b = (first + i) % batch; b < batch && i < n; b++)
            out[i++] = at + b * step;
    }
}

/* base: g->value or g->grad. Results are never views, so rows lie side by side. */
void
ab_fill_result(const ab_graph *g, const ab_form *f, char *const *base, const int32_t *nodes,
               int64_t first, int64_t n, void **out)
{
    const int64_t batch = f->batch, row = f->size * g->itemsize;
    if (batch == 1) {
        for (int64_t i = 0; i < n; i++)
            out[i] = base[nodes[first + i]];
        return;
    }
    for (int64_t i = 0; i < n; i++)
        out[i] = base[nodes[(first + i) / batch]] + (first + i) % batch * row;
}

void
ab_fill_data(const ab_graph *g, const ab_form *f, const int32_t *nodes, int64_t first, int64_t n,
             const int64_t **out)
{
    for (int64_t i = 0; i < n; i++) {
        const ab_node *d = &g->nodes[nodes[(first + i) / f->batch]];
        out[i] = d->data + (first + i) % f->batch * (d->ndata / f->batch);
    }
}

ab_call
ab_fill_call(worker *w, const ab_form *f, const ab_kernel *k, frame *fr, uint32_t reads,
             const int32_t *nodes, int64_t first, int64_t n)
{
    const ab_graph *g = w->r->g;
    ab_fill_result(g, f, g->value, nodes, first, n, fr->y);
    for (int32_t j = 0; j < f->nin; j++) {
        const int64_t row = in_size(g, f, j) * g->itemsize;
        if (j < 31 && !(reads >> j & 1)) {
            fr->xs[j] = (ab_rows){fr->y, row};
            continue;
        }
        int64_t rows = f->flags & AB_FORM_BATCH_AWARE ? n * ab_in_batch(g, f, j) : n;
        ab_fill_operand(g, f, j, nodes, first, n, fr->x[j]);
        fr->xs[j] = (ab_rows){fr->x[j], ab_stride_of(fr->x[j], rows, row)};
    }
    if (g->nodes[nodes[0]].ndata)
        ab_fill_data(g, f, nodes, first, n, fr->data);
    return (ab_call){
        .n = n,
        .nin = f->nin,
        .p = f->p,
        .x = fr->xs,
        .y = {fr->y, ab_stride_of(fr->y, n, f->size * g->itemsize)},
        .data = fr->data,
        .packed = fr->packed,
        .scratch = fr->kernel,
        .self = k->self,
    };
}
