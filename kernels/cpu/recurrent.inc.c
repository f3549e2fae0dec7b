/* lstm_cell: y = [h, c'] from the gates [i, f, o, g] and c.
 *     c' = sigmoid(f) c + sigmoid(i) tanh(g),  h = sigmoid(o) tanh(c')
 * p: [d]; gates 4 d, c d, y 2 d numbers. The backward pass computes the nonlinearities again:
 * that is cheaper than to store and read them. */

ALWAYS_INLINE real
lstm_memory(real i, real f, real g, real c)
{
    return ab_sigmoid(f) * c + ab_sigmoid(i) * ab_tanh(g);
}

static void
lstm_cell_forward(const ab_call *call)
{
    const int64_t d = call->p[0];
    for (int64_t row = 0; row < call->n; row++) {
        const real *restrict a = ROW(call->x[0], row), *restrict c = ROW(call->x[1], row);
        real *restrict y = ROW(call->y, row);
#pragma omp simd
        for (int64_t k = 0; k < d; k++) {
            const real memory = lstm_memory(a[k], a[d + k], a[3 * d + k], c[k]);
            y[k] = ab_sigmoid(a[2 * d + k]) * ab_tanh(memory);
            y[d + k] = memory;
        }
    }
}

/* Adds the gradient of the gates of cell k; answers that of c' and its sigmoid(f). */
ALWAYS_INLINE real
lstm_gates_gradient(int64_t d, int64_t k, const real *a, const real *c, const real *y,
                    const real *dy, real *da, real *open)
{
    const real i = ab_sigmoid(a[k]), f = ab_sigmoid(a[d + k]), o = ab_sigmoid(a[2 * d + k]);
    const real g = ab_tanh(a[3 * d + k]), t = ab_tanh(y[d + k]);
    const real dc = dy[d + k] + dy[k] * o * (1 - t * t);
    da[k] += dc * g * i * (1 - i);
    da[d + k] += dc * c[k] * f * (1 - f);
    da[2 * d + k] += dy[k] * t * o * (1 - o);
    da[3 * d + k] += dc * i * (1 - g * g);
    *open = f;
    return dc;
}

static void
lstm_cell_backward(const ab_call *call)
{
    const int64_t d = call->p[0];
    for (int64_t row = 0; row < call->n; row++) {
        const real *restrict a = ROW(call->x[0], row), *restrict c = ROW(call->x[1], row);
        const real *restrict y = ROW(call->y, row), *restrict dy = ROW(call->dy, row);
        real *restrict dx = ROW(call->dx, row);
        if (call->wrt == 1) {
#pragma omp simd
            for (int64_t k = 0; k < d; k++) {
                const real t = ab_tanh(y[d + k]), o = ab_sigmoid(a[2 * d + k]);
                dx[k] += (dy[d + k] + dy[k] * o * (1 - t * t)) * ab_sigmoid(a[d + k]);
            }
            continue;
        }
#pragma omp simd
        for (int64_t k = 0; k < d; k++) {
            real open;
            lstm_gates_gradient(d, k, a, c, y, dy, dx, &open);
        }
    }
}

static void
lstm_cell_joint(const ab_call *call)
{
    const int64_t d = call->p[0];
    for (int64_t row = 0; row < call->n; row++) {
        const real *restrict a = ROW(call->x[0], row), *restrict c = ROW(call->x[1], row);
        const real *restrict y = ROW(call->y, row), *restrict dy = ROW(call->dy, row);
        real *restrict da = ROW(call->dxs[0], row), *restrict dc = ROW(call->dxs[1], row);
#pragma omp simd
        for (int64_t k = 0; k < d; k++) {
            real open;
            dc[k] += lstm_gates_gradient(d, k, a, c, y, dy, da, &open) * open;
        }
    }
}
