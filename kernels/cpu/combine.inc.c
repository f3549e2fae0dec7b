/* Reductions over a list of operands of one shape, and over a manual minibatch. */

/* nary_sum: y = scale * (x_1 + ... + x_nin). p: [size, scale (bits)]. */
static void
nary_sum_forward(const ab_call *call)
{
    const int64_t size = call->p[0];
    const double scale = ab_double(call->p[1]);
    for (int64_t i = 0; i < call->n; i++) {
        real *const y = ROW(call->y, i);
        if (size == 1) {
            /* A sum of losses may have thousands of terms: double costs nothing here. */
            double sum = 0;
            for (int32_t j = 0; j < call->nin; j++)
                sum += ROW(call->x[j], i)[0];
            y[0] = (real)(scale * sum);
            continue;
        }
        for (int64_t first = 0; first < size; first += TILE) {
            const int64_t width = size - first < TILE ? size - first : TILE;
            double sum[TILE] = {0};
            TILE_SUM(sum, call->nin, width, (ROW(call->x[l], i) + first)[k])
            for (int64_t k = 0; k < width; k++)
                y[first + k] = (real)scale * (real)sum[k];
        }
    }
}

static void
nary_sum_backward(const ab_call *call)
{
    const real scale = (real)ab_double(call->p[1]);
    for (int64_t i = 0; i < call->n; i++)
        row_add(call->p[0], ROW(call->dx, i), ROW(call->dy, i), scale);
}

/* nary_max: y = the largest of x_1 ... x_nin; NaN where one is NaN. p: [size]. */
static void
nary_max_forward(const ab_call *call)
{
    const int64_t size = call->p[0];
    for (int64_t i = 0; i < call->n; i++) {
        real *const restrict y = ROW(call->y, i);
        row_copy(size, y, ROW(call->x[0], i));
        for (int32_t j = 1; j < call->nin; j++) {
            const real *const x = ROW(call->x[j], i);
            for (int64_t k = 0; k < size; k++)
                y[k] = ab_max(y[k], x[k]);
        }
    }
}

/* The gradient goes to the first operand that holds the maximum, or the first NaN. */
static void
nary_max_backward(const ab_call *call)
{
    const int64_t size = call->p[0];
    for (int64_t i = 0; i < call->n; i++) {
        const real *const y = ROW(call->y, i);
        const real *const dy = ROW(call->dy, i);
        real *const restrict dx = ROW(call->dx, i);
        for (int64_t first = 0; first < size; first += TILE) {
            const int64_t width = size - first < TILE ? size - first : TILE;
            const real *const own = ROW(call->x[call->wrt], i) + first;
            unsigned char takes[TILE]; /* until an earlier operand is found that holds it, too */
            int left = 0;
            for (int64_t k = 0; k < width; k++) {
                takes[k] = (own[k] == y[first + k]) | (own[k] != own[k]);
                left |= takes[k];
            }
            for (int32_t j = 0; j < call->wrt && left; j++) {
                const real *const x = ROW(call->x[j], i) + first;
                left = 0;
                for (int64_t k = 0; k < width; k++) {
                    takes[k] &= !((x[k] == y[first + k]) | (x[k] != x[k]));
                    left |= takes[k];
                }
            }
            for (int64_t k = 0; k < width && left; k++)
                dx[first + k] += takes[k] ? dy[first + k] : 0;
        }
    }
}

/* batch_sum: y = scale * (sum over the minibatch of x); x has B rows for each row of y.
 * p: [B, size, scale (bits)]. */
static void
batch_sum_forward(const ab_call *call)
{
    const int64_t batch = call->p[0], size = call->p[1];
    const double scale = ab_double(call->p[2]);
    for (int64_t i = 0; i < call->n; i++) {
        real *const y = ROW(call->y, i);
        if (size == 1) {
            double sum = 0;
            for (int64_t b = 0; b < batch; b++)
                sum += ROW(call->x[0], i * batch + b)[0];
            y[0] = (real)(scale * sum);
            continue;
        }
        for (int64_t first = 0; first < size; first += TILE) {
            const int64_t width = size - first < TILE ? size - first : TILE;
            double sum[TILE] = {0};
            TILE_SUM(sum, batch, width, (ROW(call->x[0], i * batch + l) + first)[k])
            for (int64_t k = 0; k < width; k++)
                y[first + k] = (real)scale * (real)sum[k];
        }
    }
}

static void
batch_sum_backward(const ab_call *call)
{
    const int64_t batch = call->p[0], size = call->p[1];
    const real scale = (real)ab_double(call->p[2]);
    for (int64_t i = 0; i < call->n; i++) {
        for (int64_t b = 0; b < batch; b++)
            row_add(size, ROW(call->dx, i * batch + b), ROW(call->dy, i), scale);
    }
}

/* batch_stack: y (B_1 + ... + B_nin, size) = the elements of all minibatches, one after the
 * other; x[j] has B_j rows for each row of y. p: [size, B_1, B_1 + B_2, ...]. */
static void
batch_stack_forward(const ab_call *call)
{
    const int64_t size = call->p[0], *const end = call->p + 1;
    for (int64_t i = 0; i < call->n; i++) {
        real *y = ROW(call->y, i);
        for (int32_t j = 0; j < call->nin; j++) {
            const int64_t own = j ? end[j] - end[j - 1] : end[0];
            for (int64_t b = 0; b < own; b++, y += size)
                row_copy(size, y, ROW(call->x[j], i * own + b));
        }
    }
}

static void
batch_stack_backward(const ab_call *call)
{
    const int64_t size = call->p[0], *const end = call->p + 1;
    const int64_t start = call->wrt ? end[call->wrt - 1] : 0, own = end[call->wrt] - start;
    for (int64_t i = 0; i < call->n; i++) {
        for (int64_t b = 0; b < own; b++)
            row_add(size, ROW(call->dx, i * own + b), ROW(call->dy, i) + (start + b) * size, 1);
    }
}
