/* The matrix kernels of every instruction set that this processor has, against three plain loops.
 *
 *   test_matrix           compare on random shapes: edges, zeros, slices, scattered rows
 *   test_matrix --time    then print GFLOP/s on one core
 *
 * Every row, weight, pack and scratch lies against a page that may not be touched, before
 * it or after it, and the rest of its own page is filled with a pattern: reading or
 * writing past an end stops the test.
 */
#include "support.h"

#include <float.h>
#include <math.h>
#include <time.h>

typedef struct rows {
    int64_t n;
    block *block;
    void **row;
} rows;

static rows
rows_random(int64_t n, int64_t size)
{
    rows r = {n, malloc((size_t)(n + 1) * sizeof(block)), malloc((size_t)(n + 1) * sizeof(void *))};

    for (int64_t i = 0; i < n; i++) {
        r.block[i] = block_random(size);
        r.row[i] = r.block[i].start;
    }
    return r;
}

static void
rows_free(rows *r)
{
    for (int64_t i = 0; i < r->n; i++)
        block_free(&r->block[i]);
    free(r->block);
    free(r->row);
}

/* ---- Comparison ---- */

static const char *isa;

static void
check(const char *what, double got, double expected, double magnitude, int64_t terms,
      const int64_t shape[3])
{
    double unit = itemsize == 4 ? FLT_EPSILON : DBL_EPSILON;

    if (fabs(got - expected) <= unit * (double)(terms + 4) * (magnitude + DBL_MIN))
        return;
    fprintf(stderr, "%s %s%d: n=%lld m=%lld k=%lld: got %.17g, expected %.17g\n", what, isa,
            itemsize * 8, (long long)shape[0], (long long)shape[1], (long long)shape[2], got,
            expected);
    exit(1);
}

/* A weight of m x k: strides of the three layouts that occur. */
static void
layout(int kind, int64_t m, int64_t k, int64_t *stride_o, int64_t *stride_i)
{
    *stride_o = kind == 0 ? k : kind == 1 ? 1 : 2 * k + 1;
    *stride_i = kind == 0 ? 1 : kind == 1 ? m : 2;
}

static int64_t
extent(int64_t m, int64_t k, int64_t stride_o, int64_t stride_i)
{
    return m && k ? (m - 1) * stride_o + (k - 1) * stride_i + 1 : 0;
}

static void
compare_product(const char *what, rows *x, rows *before, rows *y, const void *w, int64_t stride_o,
                int64_t stride_i, const void *bias, int accumulate, const int64_t shape[3],
                int64_t first, int64_t last)
{
    for (int64_t r = 0; r < shape[0]; r++)
        for (int64_t o = 0; o < shape[1]; o++) {
            int inside = o >= first && o < last;
            double sum = accumulate || !inside ? get(before->row[r], o) : bias ? get(bias, o) : 0;
            double size = fabs(sum);
            for (int64_t i = 0; i < shape[2] && inside; i++) {
                double term = get(w, o * stride_o + i * stride_i) * get(x->row[r], i);
                sum += term;
                size += fabs(term);
            }
            check(what, get(y->row[r], o), sum, size, inside ? shape[2] : 0, shape);
        }
}

static void
rows_copy(rows *to, rows *from, int64_t size)
{
    for (int64_t r = 0; r < from->n; r++)
        memcpy(to->row[r], from->row[r], (size_t)(size * itemsize));
}

static void
test_product(const ab_matrix_kernels *matrix, int64_t n, int64_t m, int64_t k)
{
    const int64_t shape[3] = {n, m, k};
    int64_t panels = (m + matrix->panel - 1) / matrix->panel, stride_o, stride_i;
    rows x = rows_random(n, k), before = rows_random(n, m), y = rows_random(n, m);
    block bias = block_random(m), packed = block_new(matrix->packed_bytes(m, k));

    for (int kind = 0; kind < 3; kind++) {
        layout(kind, m, k, &stride_o, &stride_i);
        block weight = block_random(extent(m, k, stride_o, stride_i));
        const void *w = weight.start;
        int64_t cut = below(panels + 1), first = below(m + 1), last = first + below(m - first + 1);
        int accumulate = (int)below(2);
        const void *start = below(2) ? bias.start : NULL;

        /* Two threads' shares. */
        matrix->pack(packed.start, w, m, k, stride_o, stride_i, 0, cut);
        matrix->pack(packed.start, w, m, k, stride_o, stride_i, cut, panels);
        rows_copy(&y, &before, m);
        matrix->product(packed.start, m, k, n, x.row, y.row, start, accumulate, 0, cut);
        matrix->product(packed.start, m, k, n, x.row, y.row, start, accumulate, cut, panels);
        compare_product("product", &x, &before, &y, w, stride_o, stride_i, start, accumulate, shape,
                        0, m);

        /* A row alone has the bits of the row in a batch. */
        for (int64_t r = 0; r < n && r < 3; r++) {
            block alone = block_new((size_t)(m * itemsize));
            void *row = alone.start;
            memcpy(row, before.row[r], (size_t)(m * itemsize));
            matrix->product(packed.start, m, k, 1, x.row + r, &row, start, accumulate, 0, panels);
            if (memcmp(row, y.row[r], (size_t)(m * itemsize))) {
                fprintf(stderr, "product %s%d: n=%lld m=%lld k=%lld: a row depends on n\n", isa,
                        itemsize * 8, (long long)n, (long long)m, (long long)k);
                exit(1);
            }
            block_free(&alone);
        }

        rows_copy(&y, &before, m);
        matrix->product_unpacked(w, stride_o, stride_i, k, n, x.row, y.row, start, accumulate,
                                 first, last);
        compare_product("product_unpacked", &x, &before, &y, w, stride_o, stride_i, start,
                        accumulate, shape, first, last);
        block_free(&weight);
    }
    block_free(&packed);
    block_free(&bias);
    rows_free(&y);
    rows_free(&before);
    rows_free(&x);
}

static void
test_outer(const ab_matrix_kernels *matrix, int64_t n, int64_t m, int64_t k)
{
    const int64_t shape[3] = {n, m, k};
    rows x = rows_random(n, k), dy = rows_random(n, m);
    block scratch = block_new(matrix->outer_scratch(m, k));

    for (int kind = 0; kind < 2; kind++) {
        int64_t stride_o, stride_i, first = below(m + 1), last = first + below(m - first + 1);
        layout(kind, m, k, &stride_o, &stride_i);
        if (below(2)) {
            first = 0;
            last = m;
        }
        block dw = block_random(m * k), before = block_new(dw.bytes);
        memcpy(before.start, dw.start, dw.bytes);
        matrix->outer(dw.start, stride_o, stride_i, k, n, dy.row, x.row, first, last,
                      scratch.start);
        for (int64_t o = 0; o < m; o++)
            for (int64_t i = 0; i < k; i++) {
                double sum = get(before.start, o * stride_o + i * stride_i), size = fabs(sum);
                int inside = o >= first && o < last;
                for (int64_t r = 0; r < n && inside; r++) {
                    double term = get(dy.row[r], o) * get(x.row[r], i);
                    sum += term;
                    size += fabs(term);
                }
                check("outer", get(dw.start, o * stride_o + i * stride_i), sum, size,
                      inside ? n : 0, shape);
            }
        block_free(&before);
        block_free(&dw);
    }
    block_free(&scratch);
    rows_free(&dy);
    rows_free(&x);
}

/* Small sizes are the edges: those around vectors and panels of every width. */
static int64_t
random_size(void)
{
    switch (below(4)) {
    case 0:
        return below(8);
    case 1:
        return 8 * (1 + below(9)) - 1 + below(3);
    default:
        return below(100);
    }
}

static void
test_table(const ab_kernel_table *table)
{
    static const int64_t fixed[][3] = {
        /* n, m, k: more than one block of each kind */
        {0, 0, 0},     {0, 7, 5},      {5, 0, 7},    {5, 7, 0},       {3, 64, 1030},
        {16, 37, 530}, {270, 33, 517}, {530, 3, 9},  {600, 20, 1100}, {300, 1090, 40},
        {513, 1, 70},  {40, 500, 3},   {1, 131, 65}, {2, 131, 65},    {3, 131, 65},
    };

    isa = table->isa;
    itemsize = table->itemsize;
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        test_product(table->matrix, fixed[i][0], fixed[i][1], fixed[i][2]);
        test_outer(table->matrix, fixed[i][0], fixed[i][1], fixed[i][2]);
    }
    for (int i = 0; i < 150; i++) {
        test_product(table->matrix, random_size() / 2, random_size(), random_size());
        test_outer(table->matrix, random_size(), random_size(), random_size());
    }
    printf("%-8s float%d ok\n", table->isa, table->itemsize * 8);
}

/* ---- Timing ---- */

static double
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Best of many repetitions: the machine may be shared. */
#define BEST(flops, statement)                                                                     \
    ({                                                                                             \
        double best = 1e30, until = now() + 0.15;                                                  \
        int calls = 1 + (int)(2e6 / (flops));                                                      \
        do {                                                                                       \
            double begin = now(), seconds;                                                         \
            for (int call = 0; call < calls; call++)                                               \
                statement;                                                                         \
            seconds = (now() - begin) / calls;                                                     \
            best = seconds < best ? seconds : best;                                                \
        } while (now() < until);                                                                   \
        (flops) / best * 1e-9;                                                                     \
    })

/* Rows as in an arena: apart, in no order. */
static void **
arena_rows(void *arena, int64_t n, int64_t size)
{
    void **row = malloc((size_t)n * sizeof *row);

    for (int64_t i = 0; i < n; i++)
        row[i] = (char *)arena + i * size * itemsize;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = below(i + 1);
        void *swap = row[i];
        row[i] = row[j];
        row[j] = swap;
    }
    return row;
}

static void *
numbers(int64_t count)
{
    void *array = aligned_alloc(64, (size_t)(count * itemsize + 63) / 64 * 64);

    for (int64_t i = 0; i < count; i++)
        set(array, i, uniform());
    return array;
}

static void
time_table(const ab_kernel_table *table)
{
    static const int64_t shapes[][3] = {
        {1, 128, 256},   {2, 128, 256},    {4, 128, 256},     {8, 128, 256},
        {13, 128, 256},  {16, 128, 256},   {32, 128, 256},    {512, 128, 256},
        {16, 512, 1024}, {64, 640, 256},   {64, 5, 128},      {64, 1, 128},
        {64, 256, 5},    {2000, 640, 256}, {2000, 512, 1024}, {4, 10000, 256},
    };
    const ab_matrix_kernels *matrix = table->matrix;

    itemsize = table->itemsize;
    printf("\n%s float%d, GFLOP/s\n%18s %8s %8s %8s %8s %8s %8s %8s\n", table->isa, itemsize * 8,
           "n m k", "product", "dx", "w (m,k)", "w (k,m)", "dw (m,k)", "dw (k,m)", "pack/us");
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        int64_t n = shapes[s][0], m = shapes[s][1], k = shapes[s][2];
        int64_t panels = (m + matrix->panel - 1) / matrix->panel;
        int64_t panels_back = (k + matrix->panel - 1) / matrix->panel;
        double flops = 2.0 * (double)n * (double)m * (double)k;
        void *w = numbers(m * k), *x = numbers(n * k), *y = numbers(n * m);
        void *forward = numbers((int64_t)matrix->packed_bytes(m, k) / itemsize);
        void *backward = numbers((int64_t)matrix->packed_bytes(k, m) / itemsize);
        void *scratch = numbers((int64_t)matrix->outer_scratch(m, k) / itemsize + 1);
        void **rows_x = arena_rows(x, n, k), **rows_y = arena_rows(y, n, m);

        matrix->pack(forward, w, m, k, k, 1, 0, panels);
        matrix->pack(backward, w, k, m, 1, k, 0, panels_back);
        printf("%6lld %5lld %5lld", (long long)n, (long long)m, (long long)k);
        printf(" %8.1f",
               BEST(flops, matrix->product(forward, m, k, n, rows_x, rows_y, NULL, 0, 0, panels)));
        printf(" %8.1f", BEST(flops, matrix->product(backward, k, m, n, rows_y, rows_x, NULL, 0, 0,
                                                     panels_back)));
        printf(" %8.1f",
               BEST(flops, matrix->product_unpacked(w, k, 1, k, n, rows_x, rows_y, NULL, 0, 0, m)));
        printf(" %8.1f",
               BEST(flops, matrix->product_unpacked(w, 1, m, k, n, rows_x, rows_y, NULL, 0, 0, m)));
        printf(" %8.1f", BEST(flops, matrix->outer(w, k, 1, k, n, rows_y, rows_x, 0, m, scratch)));
        printf(" %8.1f", BEST(flops, matrix->outer(w, 1, m, k, n, rows_y, rows_x, 0, m, scratch)));
        printf(" %8.1f\n",
               flops * 1e-3 / BEST(flops, matrix->pack(forward, w, m, k, k, 1, 0, panels)));
        free(rows_y);
        free(rows_x);
        free(scratch);
        free(backward);
        free(forward);
        free(y);
        free(x);
        free(w);
    }
}

int
main(int argc, char **argv)
{
    const ab_kernel_table *tables[6];
    int count = tables_supported(tables);

    for (int i = 0; i < count; i++)
        test_table(tables[i]);
    for (int i = count - 1; i >= 0 && argc > 1 && !strcmp(argv[1], "--time"); i--)
        time_table(tables[i]);
    return 0;
}
