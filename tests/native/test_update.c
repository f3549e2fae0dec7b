/* The update kernels of every instruction set that this processor has, against their formulas
 * in double: dense and by rows, cut in parts, with what must not be touched checked. */
#include "support.h"

#include <float.h>
#include <math.h>

/* A rule and the numbers it is called with; Nesterov's and the two places of epsilon are rules
 * of their own here. */
static const struct method {
    const char *name;
    enum ab_rule rule;
    double numbers[6];
    int m, v, x; /* the states it has */
} methods[] = {
    {"sgd", AB_SGD, {0.07}, 0, 0, 0},
    {"momentum", AB_MOMENTUM, {0.07, 0.9, 0}, 1, 0, 0},
    {"nesterov", AB_MOMENTUM, {0.07, 0.9, 1}, 1, 0, 0},
    {"adagrad", AB_ADAGRAD, {0.07, 1e-3}, 0, 1, 0},
    {"rmsprop", AB_RMSPROP, {0.07, 0.8, 1e-3, 0}, 0, 1, 0},
    {"rmsprop, inside", AB_RMSPROP, {0.07, 0.8, 1e-3, 1}, 0, 1, 0},
    {"adam", AB_ADAM, {0.07, 1.7, 0.85, 0.95, 1e-3}, 1, 1, 0},
    {"adamw", AB_ADAMW, {0.07, 1.7, 0.85, 0.95, 1e-3, 0.01}, 1, 1, 0},
    {"amsgrad", AB_AMSGRAD, {0.07, 1.7, 0.85, 0.95, 1e-3}, 1, 1, 1},
    {"adadelta", AB_ADADELTA, {0.07, 0.8, 1e-3}, 1, 1, 0},
};

enum { METHODS = sizeof methods / sizeof *methods };

static void
formula(const struct method *method, double g, double *w, double *m, double *v, double *x)
{
    const double *a = method->numbers;

    switch (method->rule) {
    case AB_SGD:
        *w -= a[0] * g;
        break;
    case AB_MOMENTUM:
        *m = a[1] * *m + g;
        *w -= a[0] * (a[2] != 0 ? g + a[1] * *m : *m);
        break;
    case AB_ADAGRAD:
        *v += g * g;
        *w -= a[0] * g / (sqrt(*v) + a[1]);
        break;
    case AB_RMSPROP:
        *v = a[1] * *v + (1 - a[1]) * g * g;
        *w -= a[0] * g / (a[3] != 0 ? sqrt(*v + a[2]) : sqrt(*v) + a[2]);
        break;
    case AB_ADADELTA:
        *v = a[1] * *v + (1 - a[1]) * g * g;
        g *= sqrt(*m + a[2]) / sqrt(*v + a[2]);
        *m = a[1] * *m + (1 - a[1]) * g * g;
        *w -= a[0] * g;
        break;
    default:
        *m = a[2] * *m + (1 - a[2]) * g;
        *v = a[3] * *v + (1 - a[3]) * g * g;
        *x = fmax(*x, *v);
        if (method->rule == AB_ADAMW)
            *w *= 1 - a[5];
        *w -= a[0] * *m / (sqrt(method->x ? *x : *v) * a[1] + a[4]);
    }
}

static void
fail(const ab_kernel_table *table, const char *what, double got, double expected)
{
    fprintf(stderr, "%s %s%d: got %.17g, expected %.17g\n", what, table->isa, itemsize * 8, got,
            expected);
    exit(1);
}

static void
check(const ab_kernel_table *table, const char *what, double got, double expected)
{
    double unit = itemsize == 4 ? FLT_EPSILON : DBL_EPSILON;

    if (!(fabs(got - expected) <= 16 * unit * (fabs(expected) + 1)))
        fail(table, what, got, expected);
}

/* A lookup of `height` rows of which n get an update; n = height and no row numbers: dense. */
static void
test_method(const ab_kernel_table *table, const struct method *method, int64_t height, int64_t n,
            int64_t dim)
{
    enum { W, M, V, X, ARRAYS };
    int64_t count = height * dim;
    const int has[ARRAYS] = {1, method->m, method->v, method->x};
    block now[ARRAYS], before[ARRAYS];
    block g = block_random(n * dim), ids = block_new((size_t)n * sizeof(int64_t));
    int64_t *rows = n == height ? NULL : (int64_t *)(void *)ids.start;
    double factor = 0.3;

    for (int a = 0; a < ARRAYS; a++) {
        now[a] = block_random(count);
        before[a] = block_new(now[a].bytes);
    }
    /* Means of squares; adadelta's first state is one, too. */
    for (int64_t i = 0; i < count; i++) {
        set(now[V].start, i, fabs(get(now[V].start, i)));
        set(now[X].start, i, fabs(get(now[X].start, i)));
        if (method->rule == AB_ADADELTA)
            set(now[M].start, i, fabs(get(now[M].start, i)));
    }
    /* Rows in falling order, every second one. */
    for (int64_t i = 0; i < n && rows; i++)
        rows[i] = height - 1 - 2 * i;
    for (int a = 0; a < ARRAYS; a++)
        memcpy(before[a].start, now[a].start, now[a].bytes);

    ab_update update = {.w = now[W].start,
                        .g = g.start,
                        .m = has[M] ? now[M].start : NULL,
                        .v = has[V] ? now[V].start : NULL,
                        .x = has[X] ? now[X].start : NULL,
                        .rows = rows,
                        .n = n,
                        .dim = dim,
                        .factor = factor};
    table->update->rule[method->rule](&update, method->numbers);
    for (int64_t r = 0; r < height; r++) {
        int64_t slot = rows ? (height - 1 - r) % 2 ? -1 : (height - 1 - r) / 2 : r;
        for (int64_t i = 0; i < dim; i++) {
            double expected[ARRAYS];
            for (int a = 0; a < ARRAYS; a++)
                expected[a] = get(before[a].start, r * dim + i);
            if (slot >= 0 && slot < n)
                formula(method, factor * get(g.start, slot * dim + i), &expected[W], &expected[M],
                        &expected[V], &expected[X]);
            for (int a = 0; a < ARRAYS; a++)
                check(table, method->name, get(now[a].start, r * dim + i),
                      has[a] ? expected[a] : get(before[a].start, r * dim + i));
        }
    }

    /* The same in two parts, as two threads share a dense parameter: not a bit differs. */
    if (!rows) {
        block whole = block_new(now[W].bytes);
        int64_t cut = below(count + 1);
        memcpy(whole.start, now[W].start, now[W].bytes);
        for (int a = 0; a < ARRAYS; a++)
            memcpy(now[a].start, before[a].start, now[a].bytes);
        for (int part = 0; part < 2; part++) {
            int64_t from = part ? cut * itemsize : 0;
            ab_update share = {.w = now[W].start + from,
                               .g = g.start + from,
                               .m = has[M] ? now[M].start + from : NULL,
                               .v = has[V] ? now[V].start + from : NULL,
                               .x = has[X] ? now[X].start + from : NULL,
                               .n = 1,
                               .dim = part ? count - cut : cut,
                               .factor = factor};
            table->update->rule[method->rule](&share, method->numbers);
        }
        if (memcmp(whole.start, now[W].start, now[W].bytes))
            fail(table, "an update depends on how it is cut", 0, 0);
        block_free(&whole);
    }
    for (int a = 0; a < ARRAYS; a++) {
        block_free(&before[a]);
        block_free(&now[a]);
    }
    block_free(&ids);
    block_free(&g);
}

static void
test_array(const ab_kernel_table *table, int64_t count)
{
    const ab_update_kernels *k = table->update;
    block g = block_random(count), before = block_new(g.bytes);
    double norm = 0, got;

    memcpy(before.start, g.start, g.bytes);
    for (int64_t i = 0; i < count; i++)
        norm += get(g.start, i) * get(g.start, i);
    got = k->squared_norm(g.start, count);
    if (!(fabs(got - norm) <= 1e-13 * norm))
        fail(table, "squared_norm", got, norm);

    memcpy(g.start, before.start, g.bytes);
    k->clip(g.start, count, -0.5, 0.25);
    for (int64_t i = 0; i < count; i++)
        if (get(g.start, i) != fmin(fmax(get(before.start, i), -0.5), 0.25))
            fail(table, "clip", get(g.start, i), fmin(fmax(get(before.start, i), -0.5), 0.25));

    /* One number that is not finite, anywhere, shows; clipping bounds the infinite and keeps
     * the undefined. */
    if (count) {
        int64_t at = below(count);
        set(g.start, at, -INFINITY);
        if (isfinite(k->squared_norm(g.start, count)))
            fail(table, "squared_norm of an infinity", 0, INFINITY);
        k->clip(g.start, count, -0.5, 0.25);
        if (get(g.start, at) != -0.5)
            fail(table, "clip of an infinity", get(g.start, at), -0.5);
        set(g.start, at, NAN);
        k->clip(g.start, count, -0.5, 0.25);
        if (!isnan(get(g.start, at)) || !isnan(k->squared_norm(g.start, count)))
            fail(table, "clip or squared_norm of a NaN", get(g.start, at), NAN);
    }
    block_free(&before);
    block_free(&g);
}

int
main(void)
{
    const ab_kernel_table *tables[6];
    int count = tables_supported(tables);

    for (int t = 0; t < count; t++) {
        itemsize = tables[t]->itemsize;
        for (int method = 0; method < METHODS; method++)
            for (int i = 0; i < 30; i++) {
                int64_t height = below(20), dim = below(i % 2 ? 9 : 100);
                test_method(tables[t], &methods[method], height, height, dim);
                test_method(tables[t], &methods[method], height, height / 2, dim);
            }
        for (int i = 0; i < 100; i++)
            test_array(tables[t], i < 40 ? i : below(2000));
        printf("%-8s float%d ok\n", tables[t]->isa, itemsize * 8);
    }

    /* The squared norm of floats has the same bits on every instruction set. */
    itemsize = 4;
    block g = block_random(1003);
    for (int t = 2; t < count; t += 2)
        if (tables[t]->update->squared_norm(g.start, 1003)
            != tables[0]->update->squared_norm(g.start, 1003))
            fail(tables[t], "squared_norm differs from baseline", 0, 0);
    block_free(&g);
    return 0;
}
