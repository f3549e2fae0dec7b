/* Usual forms: what the declarations of autobatch/ops say of the most frequent ops, once more in C. A
 * program's first graphs, and every new length of a sentence, bring forms by the dozen, and asking a
 * declaration takes ten microseconds or more. What is not plain here, errors above all, is left to
 * the declarations; the tests compare the two. */
#include "core.h"

#include <stdlib.h>
#include <string.h>

enum { AXES = 16, MOST = 64, ANY = -1 }; /* of a tensor; operands of an affine map */

typedef struct asked {
    OpObject *op;
    ab_form *f; /* to be filled in, but for the type */
    PyObject *attrs,
        *inputs; /* what the declaration would be asked; attrs: NULL if there are none */
    int how;     /* of a kind, see KINDS */
} asked;

typedef int32_t usual(const asked *a);

/* Enters the form, with what the declaration is asked if somebody looks. */
static int32_t
enter(const asked *a, int32_t ndim, const int64_t *dims)
{
    PyObject *known = Py_BuildValue("iOO", a->op->id, a->attrs ? a->attrs : Py_None, a->inputs);
    const int32_t id = known ? ab_form_enter(a->op, a->f, ndim, dims, known) : -1;
    Py_XDECREF(known);
    return id;
}

static const ab_type *
operand(const ab_form *f, int32_t i)
{
    return ab_type_get(&core.registry, f->in_type[i]);
}

static int32_t
attr_count(const ab_form *f)
{
    return (int32_t)f->key[1];
}

static const int64_t *
attrs_of(const ab_form *f)
{
    return f->key + 2;
}

/* Ops that read weights only. */
static int
is_weight(const ab_form *f, int32_t i)
{
    return f->key[2 + f->key[1] + i] & 1;
}

/* For flops, which nothing depends on: at most the largest number. */
static int64_t
times(int64_t a, int64_t b)
{
    int64_t product;
    return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

static int64_t
count(const int64_t *dims, int32_t n)
{
    int64_t size = 1;
    for (int32_t i = 0; i < n; i++)
        size *= dims[i];
    return size;
}

/* The elements of a shape that is asked for, -1: it is none. */
static int64_t
checked_count(const int64_t *dims, int32_t n)
{
    int64_t size = 1;
    bool wrong = n > AXES;
    for (int32_t i = 0; i < n && !wrong; i++)
        wrong = dims[i] < 0 || __builtin_mul_overflow(size, dims[i], &size);
    return wrong ? -1 : size;
}

/* The minibatch that operands have in common, 0: none. */
static int32_t
common_batch(const ab_form *f)
{
    int32_t common = 1;
    for (int32_t i = 0; i < f->nin; i++) {
        const int32_t batch = operand(f, i)->batch;
        if (batch != 1 && common != 1 && batch != common)
            return 0;
        common = batch != 1 ? batch : common;
    }
    return common;
}

static int
is_shaped(const ab_type *a, const ab_type *b)
{
    return a->ndim == b->ndim && !memcmp(a->dims, b->dims, (size_t)a->ndim * sizeof *a->dims);
}

/* A form that a kernel computes from these numbers. */
static void
computed(const asked *a, int64_t flops, int32_t np, int64_t *p)
{
    a->f->kernel = a->op->kernels[0];
    a->f->flops = flops;
    a->f->np = np;
    a->f->p = p;
}

/* ------------------------------------------------------------------------- elementwise */

enum { EACH = 8 }; /* operands */

/* The size of an axis, counted from the last. */
static int64_t
size_at(const ab_type *t, int32_t back)
{
    return back <= t->ndim ? t->dims[t->ndim - back] : 1;
}

/* The shape to which operands broadcast, and its elements; -1: they do not. */
static int64_t
broadcast(const ab_form *f, int32_t ndim, int64_t *result)
{
    for (int32_t back = 1; back <= ndim; back++) {
        int64_t dim = 1;
        for (int32_t i = 0; i < f->nin; i++) {
            const int64_t own = size_at(operand(f, i), back);
            if (own != 1 && dim != 1 && own != dim)
                return -1;
            dim = own != 1 ? own : dim;
        }
        result[ndim - back] = dim;
    }
    return checked_count(result, ndim);
}

/* Loop dimensions of a broadcast, as few as possible, and each operand's strides, from the last one
 * on (`collapse` of autobatch/ops/elementwise.py). The number of dimensions. */
static int32_t
collapse(const ab_form *f, int32_t ndim, const int64_t *result, int64_t dims[AXES],
         int64_t strides[AXES][EACH])
{
    int64_t steps[EACH] = {1, 1, 1, 1, 1, 1, 1, 1};
    int32_t n = 0;
    for (int32_t back = 1; back <= ndim; back++) {
        const int64_t dim = result[ndim - back];
        if (dim == 1)
            continue;
        bool merges = n > 0;
        for (int32_t j = 0; j < f->nin; j++) {
            const int64_t own = size_at(operand(f, j), back);
            strides[n][j] = own != 1 ? steps[j] : 0;
            steps[j] *= own;
            merges = merges && strides[n][j] == strides[n - 1][j] * dims[n - 1];
        }
        if (merges)
            dims[n - 1] *= dim;
        else
            dims[n++] = dim;
    }
    return n;
}

static int32_t
elementwise_form(const asked *a)
{
    ab_form *f = a->f;
    int64_t result[AXES], dims[AXES], strides[AXES][EACH], p[1 + AXES + AXES * EACH];
    int32_t ndim = 0;
    if (f->nin > EACH || !(f->batch = common_batch(f)))
        return AB_NOT_USUAL;
    for (int32_t i = 0; i < f->nin; i++)
        ndim = operand(f, i)->ndim > ndim ? operand(f, i)->ndim : ndim;
    const int64_t size = ndim <= AXES ? broadcast(f, ndim, result) : -1;
    if (size <= 0)
        return AB_NOT_USUAL;
    const int32_t n = collapse(f, ndim, result, dims, strides);
    p[0] = n ? n : 1;
    p[1] = 1;
    memset(p + 2, 0, (size_t)f->nin * sizeof *p); /* of single numbers */
    for (int32_t i = 0; i < n; i++) {
        p[1 + i] = dims[n - 1 - i];
        for (int32_t j = 0; j < f->nin; j++)
            p[1 + n + j * n + i] = strides[n - 1 - i][j];
    }
    computed(a, times(a->op->flops, size), (int32_t)(1 + p[0] * (1 + f->nin)), p);
    return enter(a, ndim, result);
}

/* ------------------------------------------------------------------------------ sources */

/* Attributes: the shape. */
static int32_t
source_form(const asked *a)
{
    ab_form *f = a->f;
    f->kernel = a->op->kernels[0];
    return enter(a, attr_count(f), attrs_of(f));
}

/* Attributes: the size of a minibatch, the shape. */
static int32_t
batched_source_form(const asked *a)
{
    ab_form *f = a->f;
    const int64_t *words = attrs_of(f);
    if (attr_count(f) < 1 || words[0] < 1 || words[0] > INT32_MAX)
        return AB_NOT_USUAL;
    f->batch = (int32_t)words[0];
    f->kernel = a->op->kernels[0];
    return enter(a, attr_count(f) - 1, words + 1);
}

/* Attributes: the shape. */
static int32_t
filled_form(const asked *a)
{
    ab_form *f = a->f;
    int64_t size = checked_count(attrs_of(f), attr_count(f));
    if (size < 0 || size >= (int64_t)1 << 48)
        return AB_NOT_USUAL;
    computed(a, 0, 1, &size);
    return enter(a, attr_count(f), attrs_of(f));
}

/* A row of a table. */
static int32_t
row_form(const asked *a)
{
    ab_form *f = a->f;
    const ab_type *table = operand(f, 0);
    if (!table->ndim)
        return AB_NOT_USUAL;
    f->index_limit = table->dims[0];
    return enter(a, table->ndim - 1, table->dims + 1);
}

/* Rows of a table as a minibatch, whose size is the attribute. */
static int32_t
rows_form(const asked *a)
{
    ab_form *f = a->f;
    const ab_type *table = operand(f, 0);
    const int64_t batch = attrs_of(f)[0];
    if (!table->ndim || batch < 1 || batch > INT32_MAX)
        return AB_NOT_USUAL;
    int64_t size = count(table->dims + 1, table->ndim - 1);
    f->batch = (int32_t)batch;
    f->same = 1;
    f->index_limit = table->dims[0];
    computed(a, 0, 1, &size);
    return enter(a, table->ndim - 1, table->dims + 1);
}

/* --------------------------------------------------------------------- sums over lists */

enum { SUM, MEAN, LARGEST, CHOSEN };

static int32_t
list_form(const asked *a)
{
    ab_form *f = a->f;
    const ab_type *first = f->nin ? operand(f, 0) : NULL;
    if (!first || !(f->batch = common_batch(f)))
        return AB_NOT_USUAL;
    for (int32_t i = 1; i < f->nin; i++)
        if (f->in_type[i] != f->in_type[0] && !is_shaped(operand(f, i), first))
            return AB_NOT_USUAL;
    const double scale = a->how == MEAN ? 1.0 / f->nin : 1.0;
    int64_t p[2] = {first->size};
    memcpy(&p[1], &scale, sizeof scale);
    computed(a, times(first->size, f->nin), a->how == LARGEST ? 1 : 2, p);
    return enter(a, first->ndim, first->dims);
}

/* ----------------------------------------------------------------------------- products */

static int
is_weight_of(const ab_form *f, int32_t i, int32_t ndim)
{
    const ab_type *t = operand(f, i);
    return is_weight(f, i) && t->batch == 1 && t->ndim == ndim && t->size > 0;
}

/* a @ b of vectors and matrices: by the kernel of weights if one of them is one, by the other if
 * both or neither are (_matmul_rule of autobatch/ops/linear.py). */
static int32_t
product_form(const asked *a)
{
    ab_form *f = a->f;
    const ab_type *x = operand(f, 0), *y = operand(f, 1);
    if (!(f->batch = common_batch(f)) || x->ndim < 1 || x->ndim > 2 || y->ndim < 1 || y->ndim > 2)
        return AB_NOT_USUAL;
    const int64_t k = x->dims[x->ndim - 1], m = x->ndim > 1 ? x->dims[0] : 1;
    const int64_t n = y->ndim > 1 ? y->dims[1] : 1;
    if (y->dims[0] != k)
        return AB_NOT_USUAL;
    const int matrices[] = {is_weight_of(f, 0, 2), is_weight_of(f, 1, 2)};
    const int vectors[] = {is_weight_of(f, 0, 1), is_weight_of(f, 1, 1)};
    const int64_t flops = times(2 * m, times(k, n));
    int64_t left[] = {1, 0, m, n, n > 1, 0, k}, right[] = {1, 0, n, m, 0, 1, k};
    int64_t plain[] = {1, m, k, n, 0, k, 1, 0, n, 1};
    enum { WEIGHTED = sizeof left / sizeof left[0], PLAIN = sizeof plain / sizeof plain[0] };
    int64_t dims[2];
    int32_t ndim = 0;
    if (x->ndim > 1)
        dims[ndim++] = m;
    if (y->ndim > 1)
        dims[ndim++] = n;
    if (((matrices[0] && !matrices[1]) || (vectors[0] && !is_weight(f, 1))) && y->size) {
        computed(a, flops, WEIGHTED, left);
        f->same = 1;
    } else if (((matrices[1] && !matrices[0]) || (vectors[1] && !is_weight(f, 0))) && x->size) {
        computed(a, flops, WEIGHTED, right);
        f->same = 2;
    } else {
        computed(a, flops, PLAIN, plain);
        f->kernel = a->op->kernels[1];
    }
    return enter(a, ndim, dims);
}

enum { COLUMNS, ROWS, TRANSPOSED };

/* [bias,] W1, x1, W2, x2, ...: weights of (m, k) times vectors or the columns of matrices, or times
 * the last axes of the x; transposed, of (k, m). */
static int32_t
affine_form(const asked *a)
{
    ab_form *f = a->f;
    const int columns = a->how == COLUMNS, transposed = a->how == TRANSPOSED;
    const int32_t odd = f->nin % 2, pairs = f->nin / 2;
    int64_t p[6 + MOST / 2], dims[AXES], inner = 0;
    if (f->nin < 2 || f->nin > MOST || !(f->batch = common_batch(f)))
        return AB_NOT_USUAL;
    const ab_type *first = operand(f, odd + 1);
    const int32_t lead = first->ndim - 1; /* axes but the inner one */
    if (lead < 0 || first->ndim > AXES || (columns && lead > 1))
        return AB_NOT_USUAL;
    const int64_t *leading = first->dims + columns, rows = count(leading, lead);
    const int64_t m = is_weight_of(f, odd, 2) ? operand(f, odd)->dims[transposed] : 0;
    for (int32_t i = 0; i < pairs; i++) {
        const ab_type *w = operand(f, odd + 2 * i), *x = operand(f, odd + 2 * i + 1);
        if (!is_weight_of(f, odd + 2 * i, 2) || w->dims[transposed] != m || x->ndim != lead + 1
            || x->dims[columns ? 0 : lead] != w->dims[!transposed]
            || memcmp(x->dims + columns, leading, (size_t)lead * sizeof *leading))
            return AB_NOT_USUAL;
        p[6 + i] = w->dims[!transposed];
        inner += p[6 + i];
        f->same |= (uint64_t)1 << (odd + 2 * i);
    }
    if (odd) {
        const ab_type *bias = operand(f, 0);
        if (bias->ndim != 1 + (columns && lead) || bias->dims[0] != m || bias->size != m)
            return AB_NOT_USUAL;
    }
    const int64_t head[] = {pairs, odd, m, rows, columns && rows != 1, transposed ? 2 : 0};
    memcpy(p, head, sizeof head);
    memcpy(dims + columns, leading, (size_t)lead * sizeof *dims);
    dims[columns ? 0 : lead] = m;
    computed(a, times(2 * m, times(rows, inner)), 6 + pairs, p);
    return enter(a, lead + 1, dims);
}

/* -------------------------------------------------------------------------------- views */

static int32_t
enter_view(const asked *a, int32_t ndim, const int64_t *dims)
{
    a->f->flags |= AB_FORM_VIEW;
    a->f->batch = operand(a->f, 0)->batch;
    return enter(a, ndim, dims);
}

/* Attributes: the shape. */
static int32_t
reshaped_form(const asked *a)
{
    ab_form *f = a->f;
    if (checked_count(attrs_of(f), attr_count(f)) != operand(f, 0)->size)
        return AB_NOT_USUAL;
    return enter_view(a, attr_count(f), attrs_of(f));
}

/* Attributes: the shape; the data word is where it begins. */
static int32_t
sliced_form(const asked *a)
{
    ab_form *f = a->f;
    const int64_t size = checked_count(attrs_of(f), attr_count(f));
    if (size < 0 || size > operand(f, 0)->size)
        return AB_NOT_USUAL;
    f->view_scale = 1;
    f->index_limit = operand(f, 0)->size - size + 1;
    return enter_view(a, attr_count(f), attrs_of(f));
}

/* An entry of the leading axis. */
static int32_t
entry_form(const asked *a)
{
    ab_form *f = a->f;
    const ab_type *x = operand(f, 0);
    if (!x->ndim || !x->dims[0])
        return AB_NOT_USUAL;
    f->view_scale = x->size / x->dims[0];
    f->index_limit = x->dims[0];
    return enter_view(a, x->ndim - 1, x->dims + 1);
}

/* The entries of the leading axis as a minibatch. */
static int32_t
spread_form(const asked *a)
{
    ab_form *f = a->f;
    const ab_type *x = operand(f, 0);
    if (!x->ndim || !x->dims[0] || x->dims[0] > INT32_MAX || x->batch != 1)
        return AB_NOT_USUAL;
    f->flags |= AB_FORM_VIEW;
    f->batch = (int32_t)x->dims[0];
    return enter(a, x->ndim - 1, x->dims + 1);
}

/* Attributes: the axes in their new order. A view where memory is walked through in one go, a copy
 * with strides elsewhere (strided_form of autobatch/ops/linear.py). */
static int32_t
permuted_form(const asked *a)
{
    ab_form *f = a->f;
    const ab_type *x = operand(f, 0);
    const int64_t *axes = attrs_of(f);
    int64_t steps[AXES], dims[AXES], p[3 + 2 * AXES], step = 1;
    uint32_t seen = 0;
    int32_t n = 0;
    if (attr_count(f) != x->ndim || x->ndim > AXES || !x->size)
        return AB_NOT_USUAL;
    for (int32_t i = x->ndim - 1; i >= 0; step *= x->dims[i--])
        steps[i] = step;
    int64_t merged[AXES], strides[AXES];
    for (int32_t i = 0; i < x->ndim; i++) {
        const int64_t axis = axes[i];
        if (axis < 0 || axis >= x->ndim || seen >> axis & 1)
            return AB_NOT_USUAL;
        seen |= (uint32_t)1 << axis;
        dims[i] = x->dims[axis];
        if (dims[i] == 1)
            continue;
        if (n && strides[n - 1] == dims[i] * steps[axis]) {
            merged[n - 1] *= dims[i];
            strides[n - 1] = steps[axis];
        } else {
            merged[n] = dims[i];
            strides[n++] = steps[axis];
        }
    }
    if (!n || (n == 1 && strides[0] == 1))
        return enter_view(a, x->ndim, dims);
    p[0] = n;
    memcpy(p + 1, merged, (size_t)n * sizeof *p);
    memcpy(p + 1 + n, strides, (size_t)n * sizeof *p);
    p[1 + 2 * n] = 0;
    p[2 + 2 * n] = x->size;
    computed(a, 0, 3 + 2 * n, p);
    f->batch = x->batch;
    return enter(a, x->ndim, dims);
}

/* ------------------------------------------------------------------------------- copies */

/* The minibatch of a result whose labels make one: attribute 0, 0 if they do not. 0: not usual. */
static int32_t
label_batch(const ab_form *f)
{
    const int32_t own = operand(f, 0)->batch;
    const int64_t batch = attrs_of(f)[0];
    if (batch < 0 || batch > INT32_MAX || (batch && own != 1 && own != batch))
        return 0;
    return batch ? (int32_t)batch : own;
}

/* An entry of the leading axis for every element of a minibatch. */
static int32_t
entries_form(const asked *a)
{
    ab_form *f = a->f;
    const ab_type *x = operand(f, 0);
    if (!x->ndim || !x->dims[0] || !(f->batch = label_batch(f)))
        return AB_NOT_USUAL;
    int64_t p[] = {1, x->size / x->dims[0]};
    f->index_limit = x->dims[0];
    computed(a, 0, 2, p);
    return enter(a, x->ndim - 1, x->dims + 1);
}

enum { CONCAT, STACK };

/* Operands along the axis that is the attribute; stacked, along a new one. */
static int32_t
joined_form(const asked *a)
{
    ab_form *f = a->f;
    const int stacked = a->how == STACK;
    const ab_type *first = f->nin ? operand(f, 0) : NULL;
    const int64_t axis = attrs_of(f)[0];
    int64_t dims[AXES + 1], total = 0;
    if (!first || axis < 0 || axis >= first->ndim + stacked || first->ndim > AXES
        || !(f->batch = common_batch(f)))
        return AB_NOT_USUAL;
    const int32_t after = first->ndim - (int32_t)axis - !stacked; /* axes behind it */
    const int64_t *behind = first->dims + first->ndim - after;
    const int64_t rest = count(behind, after);
    int64_t *p = malloc(((size_t)f->nin + 1) * sizeof *p);
    if (!p) {
        PyErr_NoMemory();
        return -1;
    }
    p[0] = count(first->dims, (int32_t)axis);
    int32_t id = AB_NOT_USUAL;
    for (int32_t i = 0; i < f->nin; i++) {
        const ab_type *x = operand(f, i);
        if (x != first
            && (x->ndim != first->ndim || memcmp(x->dims, first->dims, (size_t)axis * sizeof *dims)
                || memcmp(x->dims + x->ndim - after, behind, (size_t)after * sizeof *dims)))
            goto done;
        const int64_t length = stacked ? 1 : x->dims[axis];
        p[1 + i] = length * rest + (i ? p[i] : 0);
        if (__builtin_add_overflow(total, length, &total))
            goto done;
    }
    memcpy(dims, first->dims, (size_t)axis * sizeof *dims);
    dims[axis] = total;
    memcpy(dims + axis + 1, behind, (size_t)after * sizeof *dims);
    if (checked_count(dims, first->ndim + stacked) < 0)
        goto done;
    computed(a, 0, 1 + f->nin, p);
    id = enter(a, first->ndim + stacked, dims);
done:
    free(p);
    return id;
}

/* ------------------------------------------------------------------- along axes, losses */

/* Attributes: the first axis, how many, whether they are kept at size 1; of moments also an order. */
static int32_t
reduction_form(const asked *a)
{
    ab_form *f = a->f;
    const int64_t order = attr_count(f) > 3 ? attrs_of(f)[3] : 1;
    const ab_type *x = operand(f, 0);
    const int64_t axis = attrs_of(f)[0], n = attrs_of(f)[1], kept = attrs_of(f)[2] ? n : 0;
    int64_t dims[AXES];
    if (axis < 0 || n < 0 || axis > x->ndim || n > x->ndim - axis || x->ndim > AXES || !x->size
        || order < 1)
        return AB_NOT_USUAL;
    const int32_t after = x->ndim - (int32_t)(axis + n);
    int64_t p[] = {count(x->dims, (int32_t)axis), count(x->dims + axis, (int32_t)n),
                   count(x->dims + axis + n, after), order};
    for (int64_t i = 0; i < axis + kept; i++)
        dims[i] = i < axis ? x->dims[i] : 1;
    memcpy(dims + axis + kept, x->dims + axis + n, (size_t)after * sizeof *dims);
    f->batch = x->batch;
    computed(a, times(order, x->size), attr_count(f), p);
    return enter(a, (int32_t)(axis + kept) + after, dims);
}

/* Attribute: the axis. The result is of the operand's shape. */
static int32_t
along_form(const asked *a)
{
    ab_form *f = a->f;
    const ab_type *x = operand(f, 0);
    const int64_t axis = attrs_of(f)[0];
    if (axis < 0 || axis >= x->ndim)
        return AB_NOT_USUAL;
    int64_t p[] = {count(x->dims, (int32_t)axis), x->dims[axis],
                   count(x->dims + axis + 1, x->ndim - (int32_t)axis - 1)};
    f->batch = x->batch;
    computed(a, times(a->op->flops, x->size), 3, p);
    return enter(a, x->ndim, x->dims);
}

/* Attributes: an axis, how many of its entries are taken. Data words say which; or the kernel finds
 * the largest. */
static int32_t
some_form(const asked *a)
{
    ab_form *f = a->f;
    const int chosen = a->how == CHOSEN;
    const ab_type *x = operand(f, 0);
    const int64_t axis = attrs_of(f)[0], taken = attrs_of(f)[1];
    int64_t dims[AXES], size;
    if (axis < 0 || axis >= x->ndim || x->ndim > AXES || !x->dims[axis] || taken < 1
        || (!chosen && taken > x->dims[axis])
        || __builtin_mul_overflow(taken, x->size / x->dims[axis], &size))
        return AB_NOT_USUAL;
    int64_t p[] = {count(x->dims, (int32_t)axis), x->dims[axis],
                   count(x->dims + axis + 1, x->ndim - (int32_t)axis - 1), taken};
    memcpy(dims, x->dims, (size_t)x->ndim * sizeof *dims);
    dims[axis] = taken;
    f->batch = x->batch;
    if (chosen)
        f->index_limit = x->dims[axis];
    computed(a, chosen ? 0 : times(2 * x->dims[axis], x->size), 4, p);
    return enter(a, x->ndim, dims);
}

/* Of a vector of scores and a label for every element of a minibatch. */
static int32_t
labelled_form(const asked *a)
{
    ab_form *f = a->f;
    const ab_type *x = operand(f, 0);
    if (x->ndim != 1 || !x->size || !(f->batch = label_batch(f)))
        return AB_NOT_USUAL;
    int64_t classes = f->index_limit = x->size;
    computed(a, times(a->op->flops, classes), 1, &classes);
    return enter(a, 0, &classes); /* a scalar: no dimensions */
}

/* A number from two operands of one shape. */
static int32_t
paired_form(const asked *a)
{
    ab_form *f = a->f;
    int64_t size = operand(f, 0)->size;
    if (!is_shaped(operand(f, 0), operand(f, 1)) || !(f->batch = common_batch(f)))
        return AB_NOT_USUAL;
    computed(a, times(a->op->flops, size), 1, &size);
    return enter(a, 0, &size);
}

/* Sums and means over a minibatch. */
static int32_t
over_batch_form(const asked *a)
{
    const ab_type *x = operand(a->f, 0);
    const double scale = a->how == MEAN ? 1.0 / x->batch : 1.0;
    int64_t p[] = {x->batch, x->size, 0};
    memcpy(&p[2], &scale, sizeof scale);
    a->f->flags |= AB_FORM_BATCH_AWARE;
    computed(a, times(x->batch, x->size), 3, p);
    return enter(a, x->ndim, x->dims);
}

/* The elementwise part of an LSTM's step. */
static int32_t
lstm_form(const asked *a)
{
    ab_form *f = a->f;
    const ab_type *gates = operand(f, 0), *c = operand(f, 1);
    int64_t d = c->size, twice = 2 * d;
    if (gates->ndim != 1 || c->ndim != 1 || gates->size != 4 * d || !(f->batch = common_batch(f)))
        return AB_NOT_USUAL;
    computed(a, times(a->op->flops, d), 1, &d);
    return enter(a, 1, &twice);
}

/* ------------------------------------------------------------------- windows over images */

/* An image of (channels, height, width); attributes: the windows' size, steps, what lies above and
 * left of the image, how many there are. Also what the kernel takes. */
enum { KH, KW, SH, SW, TOP, LEFT, OH, OW, SIZES };

static int
windows(const ab_form *f, int64_t p[3 + SIZES])
{
    const ab_type *x = operand(f, 0);
    const int64_t *s = attrs_of(f);
    int64_t most = 1;
    if (x->ndim != 3 || s[KH] < 1 || s[KW] < 1 || s[SH] < 1 || s[SW] < 1 || s[OH] < 0 || s[OW] < 0
        || s[TOP] < 0 || s[TOP] >= s[KH] || s[LEFT] < 0 || s[LEFT] >= s[KW])
        return 0;
    const int64_t all[] = {x->dims[0], s[KH], s[KW], s[OH], s[OW]};
    for (int i = 0; i < 5; i++)
        if (__builtin_mul_overflow(most, all[i], &most))
            return 0;
    memcpy(p, x->dims, 3 * sizeof *p);
    memcpy(p + 3, s, SIZES * sizeof *p);
    return 1;
}

static int32_t
unfolded_form(const asked *a)
{
    ab_form *f = a->f;
    const int64_t *s = attrs_of(f);
    int64_t p[3 + SIZES];
    if (!windows(f, p))
        return AB_NOT_USUAL;
    const int64_t dims[] = {s[OH] * s[OW], p[0] * s[KH] * s[KW]};
    f->batch = operand(f, 0)->batch;
    computed(a, dims[0] * dims[1], 3 + SIZES, p);
    return enter(a, 2, dims);
}

static int32_t
pooled_form(const asked *a)
{
    ab_form *f = a->f;
    const int64_t *s = attrs_of(f);
    int64_t p[3 + SIZES];
    if (!windows(f, p))
        return AB_NOT_USUAL;
    const int64_t dims[] = {p[0], s[OH], s[OW]};
    f->batch = operand(f, 0)->batch;
    computed(a, times(count(dims, 3), s[KH] * s[KW]), 3 + SIZES, p);
    return enter(a, 3, dims);
}

/* ------------------------------------------------------------------------------ the kinds */

/* By the names that autobatch/recording.py has for them. */
static const struct {
    const char *name;
    usual *form;    /* NULL: the declaration is asked */
    int32_t nattrs; /* attributes; ANY: any number */
    int how;
} KINDS[] = {
    {"declared", NULL, ANY, 0},
    {"elementwise", elementwise_form, 0, 0},
    {"source", source_form, ANY, 0},
    {"batched source", batched_source_form, ANY, 0},
    {"filled", filled_form, ANY, 0},
    {"row", row_form, 0, 0},
    {"rows", rows_form, 1, 0},
    {"sum", list_form, 0, SUM},
    {"mean", list_form, 0, MEAN},
    {"max", list_form, 0, LARGEST},
    {"product", product_form, 0, 0},
    {"affine", affine_form, 0, COLUMNS},
    {"linear", affine_form, 0, ROWS},
    {"affine transposed", affine_form, 0, TRANSPOSED},
    {"reshaped", reshaped_form, ANY, 0},
    {"sliced", sliced_form, ANY, 0},
    {"entry", entry_form, 0, 0},
    {"spread", spread_form, 0, 0},
    {"permuted", permuted_form, ANY, 0},
    {"entries", entries_form, 1, 0},
    {"concat", joined_form, 1, CONCAT},
    {"stack", joined_form, 1, STACK},
    {"reduction", reduction_form, 3, 0},
    {"moment", reduction_form, 4, 0},
    {"along", along_form, 1, 0},
    {"taken", some_form, 2, CHOSEN},
    {"largest", some_form, 2, LARGEST},
    {"labelled", labelled_form, 1, 0},
    {"paired", paired_form, 0, 0},
    {"batch sum", over_batch_form, 0, SUM},
    {"batch mean", over_batch_form, 0, MEAN},
    {"lstm", lstm_form, 0, 0},
    {"unfolded", unfolded_form, SIZES, 0},
    {"pooled", pooled_form, SIZES, 0},
};

/* usual(kind, kernels, flags, flops): what all forms of an op have in common. kernels: two, of which
 * only products have the second; flops: per element. */
PyObject *
ab_op_usual(PyObject *self, PyObject *args)
{
    OpObject *op = (OpObject *)self;
    const char *kind;
    long long flops;
    if (!PyArg_ParseTuple(args, "s(ii)IL", &kind, &op->kernels[0], &op->kernels[1], &op->flags,
                          &flops))
        return NULL;
    op->flops = flops;
    for (int i = 0; i < (int)(sizeof KINDS / sizeof KINDS[0]); i++)
        if (!strcmp(kind, KINDS[i].name)) {
            op->kind = i;
            Py_RETURN_NONE;
        }
    return PyErr_Format(PyExc_ValueError, "there is no kind of ops called %s", kind);
}

int32_t
ab_usual_form(OpObject *op, ab_form *f, PyObject *attrs, PyObject *inputs)
{
    usual *form = KINDS[op->kind].form;
    const int32_t nattrs = KINDS[op->kind].nattrs;
    const asked a = {op, f, attrs, inputs, KINDS[op->kind].how};
    if (!form || (nattrs != ANY && attr_count(f) != nattrs)
        || (op->variadic ? f->nin < op->nin : f->nin != op->nin))
        return AB_NOT_USUAL;
    f->batch = 1;
    f->kernel = -1;
    f->flags = op->flags;
    f->index_limit = -1;
    const int32_t id = form(&a);
    if (id == AB_NOT_USUAL) { /* the declaration fills in all but this */
        f->same = 0;
        f->np = 0;
        f->p = NULL;
    }
    return id;
}
