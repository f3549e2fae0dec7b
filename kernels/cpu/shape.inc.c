/* Kernels that move numbers and compute none. */

/* fill: every number is data[0], the bits of a double. p: [size]. */
static void
fill_forward(const ab_call *call)
{
    const int64_t size = call->p[0];
    for (int64_t i = 0; i < call->n; i++) {
        real *const y = ROW(call->y, i);
        const real value = (real)ab_double(call->data[i][0]);
        for (int64_t k = 0; k < size; k++)
            y[k] = value;
    }
}

/* one_hot: 1 at data[0], 0 elsewhere. p: [size]. */
static void
one_hot_forward(const ab_call *call)
{
    const int64_t size = call->p[0];
    for (int64_t i = 0; i < call->n; i++) {
        real *const y = ROW(call->y, i);
        for (int64_t k = 0; k < size; k++)
            y[k] = 0;
        y[call->data[i][0]] = 1;
    }
}

/* copy: y = x. p: [size]. */
static void
copy_forward(const ab_call *call)
{
    int64_t n = call->n, size = call->p[0];
    if (rows_contiguous(&call->x[0], n, size) && rows_contiguous(&call->y, n, size) && n > 0) {
        size *= n;
        n = 1;
    }
    for (int64_t i = 0; i < n; i++)
        row_copy(size, ROW(call->y, i), ROW(call->x[0], i));
}

static void
copy_backward(const ab_call *call)
{
    for (int64_t i = 0; i < call->n; i++)
        row_add(call->p[0], ROW(call->dx, i), ROW(call->dy, i), 1);
}

/* concat: y (outer, sum of inner) = operands (outer, inner_j) side by side.
 * p: [outer, inner_1, inner_1 + inner_2, ...]: where each ends, so that none asks for the others. */
static void
concat_forward(const ab_call *call)
{
    const int64_t outer = call->p[0];
    const int64_t *const end = call->p + 1, width = end[call->nin - 1];
    for (int64_t i = 0; i < call->n; i++) {
        real *y = ROW(call->y, i);
        for (int32_t j = 0; j < call->nin; j++) {
            const real *const x = ROW(call->x[j], i);
            const int64_t own = j ? end[j] - end[j - 1] : end[0];
            for (int64_t o = 0; o < outer; o++)
                row_copy(own, y + o * width, x + o * own);
            y += own;
        }
    }
}

static void
concat_backward(const ab_call *call)
{
    const int64_t *const end = call->p + 1, width = end[call->nin - 1];
    const int64_t outer = call->p[0], offset = call->wrt ? end[call->wrt - 1] : 0;
    const int64_t own = end[call->wrt] - offset;
    for (int64_t i = 0; i < call->n; i++) {
        const real *const dy = ROW(call->dy, i) + offset;
        real *const dx = ROW(call->dx, i);
        for (int64_t o = 0; o < outer; o++)
            row_add(own, dx + o * own, dy + o * width, 1);
    }
}

/* copy_strided: y (dims), contiguous, = x[offset + index . strides]: transposes, slices,
 * broadcasts. p: [ndim, dims (ndim), strides (ndim), offset, size of x]. */
ALWAYS_INLINE void
copy_strided_walk(const ab_call *call, const int backward)
{
    const int ndim = (int)call->p[0];
    const int64_t *const dims = call->p + 1, *const strides = dims + ndim;
    const int64_t offset = strides[ndim];
    for (int d = 0; d < ndim; d++) {
        if (dims[d] == 0)
            return;
    }
    const int64_t n = ndim ? dims[ndim - 1] : 1, step = ndim ? strides[ndim - 1] : 0;
    for (int64_t i = 0; i < call->n; i++) {
        int64_t index[ELEMENTWISE_DIMS] = {0};
        int64_t at = offset;
        real *y = ROW(backward ? call->dy : call->y, i);
        real *const x = ROW(backward ? call->dx : call->x[0], i);
        int d;
        do {
            if (backward && step == 0) {
                x[at] += reduce_row_sum(n, y);
            } else if (backward && step == 1) {
                row_add(n, x + at, y, 1);
            } else if (step == 1) {
                row_copy(n, y, x + at);
            } else {
                for (int64_t k = 0; k < n; k++) {
                    if (backward)
                        x[at + k * step] += y[k];
                    else
                        y[k] = x[at + k * step];
                }
            }
            y += n;
            for (d = ndim - 2; d >= 0; d--) {
                at += strides[d];
                if (++index[d] < dims[d])
                    break;
                at -= strides[d] * dims[d];
                index[d] = 0;
            }
        } while (d >= 0);
    }
}

static void
copy_strided_forward(const ab_call *call)
{
    copy_strided_walk(call, 0);
}

static void
copy_strided_backward(const ab_call *call)
{
    copy_strided_walk(call, 1);
}

/* gather_rows: y (count, dim) = rows of x (rows, dim) named by the data.
 * p: [count, dim]; data: [row_1, ..., row_count]. */
static void
gather_rows_forward(const ab_call *call)
{
    const int64_t count = call->p[0], dim = call->p[1];
    for (int64_t i = 0; i < call->n; i++) {
        for (int64_t c = 0; c < count; c++)
            row_copy(dim, ROW(call->y, i) + c * dim, ROW(call->x[0], i) + call->data[i][c] * dim);
    }
}

static void
gather_rows_backward(const ab_call *call)
{
    const int64_t count = call->p[0], dim = call->p[1];
    for (int64_t i = 0; i < call->n; i++) {
        for (int64_t c = 0; c < count; c++)
            row_add(dim, ROW(call->dx, i) + call->data[i][c] * dim, ROW(call->dy, i) + c * dim, 1);
    }
}

/* gather_axis: y (outer, count, inner) = entries of x (outer, len, inner) named by the data.
 * p: [outer, len, inner, count]; data: [entry_1, ..., entry_count]. */
static void
gather_axis_forward(const ab_call *call)
{
    const int64_t outer = call->p[0], len = call->p[1], inner = call->p[2], count = call->p[3];
    for (int64_t i = 0; i < call->n; i++) {
        for (int64_t o = 0; o < outer; o++) {
            for (int64_t c = 0; c < count; c++)
                row_copy(inner, ROW(call->y, i) + (o * count + c) * inner,
                         ROW(call->x[0], i) + (o * len + call->data[i][c]) * inner);
        }
    }
}

static void
gather_axis_backward(const ab_call *call)
{
    const int64_t outer = call->p[0], len = call->p[1], inner = call->p[2], count = call->p[3];
    for (int64_t i = 0; i < call->n; i++) {
        for (int64_t o = 0; o < outer; o++) {
            for (int64_t c = 0; c < count; c++)
                row_add(inner, ROW(call->dx, i) + (o * len + call->data[i][c]) * inner,
                        ROW(call->dy, i) + (o * count + c) * inner, 1);
        }
    }
}
