/* All kernels but the matrix ones, in every build that this processor can run.
 *
 *   test_kernels            functions of vmath.h, special values, every kernel
 *   test_kernels --dense    the functions on a hundred times more points, and a table
 *
 * A kernel's value is compared with plain loops in double precision, its gradient with
 * central differences of those loops. Rows are contiguous, scattered, repeated or all
 * one, each in memory that notices when a kernel leaves it. */
#include "support.h"

#include <float.h>
#include <math.h>

enum { MAX_OPERANDS = 12, MAX_P = 64, MAX_ROWS = 80, PLACES = 20 };

static const ab_kernel_table *table;

static const ab_kernel *
kernel_named(const ab_kernel_table *from, const char *name)
{
    const int index = ab_kernel_index(name);
    if (index < 0) {
        fprintf(stderr, "there is no kernel %s\n", name);
        exit(1);
    }
    return &from->kernels[index];
}

static int64_t
bits_of(double value)
{
    int64_t word;
    memcpy(&word, &value, sizeof word);
    return word;
}

/* ------------------------------------------------------------ the functions of vmath.h */

typedef struct function {
    const char *name;
    const char *kernel; /* the elementwise kernel that shows it */
    int second;         /* the kernel has a second operand (0) or an attribute (1) */
    int negated;        /* it gives -f(-x) */
    long double (*exact)(long double);
    double low, high; /* range of arguments for float */
    double low_f64, high_f64;
    double bound; /* units in the last place */
} function;

static long double
sigmoid_exact(long double x)
{
    return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x));
}

static const function functions[] = {
    {"exp", "exp", 0, 0, expl, -106, 90, -750, 712, 1.25},
    {"expm1", "elu", 1, 0, expm1l, -90, 0, -720, 0, 2.0},
    {"log", "log", 0, 0, logl, 0, 1e38, 0, 1e308, 1.0},
    /* Of probabilities; a loss has a largest value: not from -1 on. */
    {"log1p", "binary_cross_entropy", 1, 1, log1pl, -0.9999999, 0, -0.999999999999999, 0, 1.0},
    {"tanh", "tanh", 0, 0, tanhl, -30, 30, -40, 40, 2.0},
    {"sigmoid", "sigmoid", 0, 0, sigmoid_exact, -106, 110, -750, 750, 2.0},
    {"sin", "sin", 0, 0, sinl, -1e4, 1e4, -1e4, 1e4, 1.8},
    {"cos", "cos", 0, 0, cosl, -1e4, 1e4, -1e4, 1e4, 1.8},
    {"erf", "erf", 0, 0, erfl, -7, 7, -7, 7, 1.5},
};
enum { FUNCTIONS = sizeof functions / sizeof functions[0] };

/* Distance of a result from the exact value, in units of the last place of its type. */
static double
units(double got, long double exact)
{
    if (isnan(exact) || isnan(got))
        return isnan(exact) && isnan(got) ? 0 : INFINITY;
    const long double largest = itemsize == 4 ? FLT_MAX : DBL_MAX;
    const int digits = itemsize == 4 ? FLT_MANT_DIG : DBL_MANT_DIG;
    const int least = itemsize == 4 ? -149 : -1074;
    /* Half a unit beyond the largest number is infinity. */
    if (isinf(got) && fabsl(exact) > largest && (got > 0) == (exact > 0))
        return 0;
    int exponent;
    frexpl(exact, &exponent);
    exponent -= digits;
    if (exact == 0 || exponent < least)
        exponent = least;
    return (double)(fabsl(got - exact) / ldexpl(1, exponent));
}

static void
function_run(const function *f, int64_t n, void *y, void *x)
{
    static double zero;
    void *zeros = &zero;
    const int loss = !strcmp(f->kernel, "binary_cross_entropy");
    /* [1, n, stride, (stride 0 of the second operand,) attributes] */
    const int64_t p[] = {1, n, 1, loss ? 0 : bits_of(1), bits_of(0), bits_of(0)};
    const ab_rows rows[] = {{&x, 0}, {&zeros, 0}};
    const ab_call call = {
        .n = 1,
        .nin = 1 + loss,
        .p = p,
        .x = rows,
        .y = {&y, 0},
        .self = kernel_named(table, f->kernel)->self,
    };
    kernel_named(table, f->kernel)->forward(&call);
}

/* Arguments of one kind of sweep: even over the range, even near zero, or even in exponent. */
static double
argument(const function *f, int kind)
{
    const double low = itemsize == 4 ? f->low : f->low_f64;
    const double high = itemsize == 4 ? f->high : f->high_f64;
    if (kind == 0)
        return low + (uniform() + 1) / 2 * (high - low);
    if (kind == 1)
        return fmin(high, fmax(low, 1.2 * uniform()));
    if (kind == 2)
        return fmin(high, fmax(low, 12 * uniform()));
    const double least = itemsize == 4 ? -149 : -1074;
    const double most = log2(fmax(-low, high));
    const double x = exp2(least + (uniform() + 1) / 2 * (most - least));
    return next() & 1 && -x >= low ? -x : fmin(high, fmax(low, x));
}

static double
function_error(const function *f, int64_t points, double *worst_at)
{
    enum { N = 1000 };
    static double x[N], y[N];
    double worst = 0;
    for (int kind = 0; kind < 4; kind++) {
        for (int64_t done = 0; done < points; done += N) {
            for (int i = 0; i < N; i++)
                set(x, i, f->negated ? -argument(f, kind) : argument(f, kind));
            function_run(f, N, y, x);
            for (int i = 0; i < N; i++) {
                const long double at = f->negated ? -get(x, i) : get(x, i);
                const double got = f->negated ? -get(y, i) : get(y, i);
                const double error = units(got, f->exact(at));
                if (error > worst) {
                    worst = error;
                    *worst_at = (double)at;
                }
            }
        }
    }
    return worst;
}

/* Multiples of pi/2, where sin or cos is all that the reduction leaves; and beyond the limit. */
static double
trig_error(const function *f)
{
    double worst = 0;
    for (int k = 1; k < 8000; k++) {
        double x[3], y[3];
        const double near = k * 1.57079632679489661923;
        const double large = ldexp(1 + (uniform() + 1) / 2, 13 + k % 100);
        set(x, 0, near);
        set(x, 1, -near);
        set(x, 2, large);
        function_run(f, k % 4 ? 2 : 3, y, x);
        for (int i = 0; i < (k % 4 ? 2 : 3); i++)
            worst = fmax(worst, units(get(y, i), f->exact(get(x, i))));
    }
    return worst;
}

/* Zeros with their sign, infinities, NaN, and a vector's rest: the scalar loop agrees. */
static void
special_values(const function *f)
{
    static const double values[] = {0.0, -0.0, INFINITY, -INFINITY, NAN, 1, -1, 1000, -1000};
    enum { COUNT = sizeof values / sizeof values[0] };
    double x[40 * COUNT], y[40 * COUNT];
    for (int v = 0; v < 40 * COUNT; v++)
        set(x, v, values[v % COUNT]);
    for (int n = 1; n <= 40 * COUNT; n += n < 80 ? 1 : 17) {
        function_run(f, n, y, x);
        for (int v = 0; v < n; v++) {
            const double at = f->negated ? -get(x, v) : get(x, v);
            const double got = f->negated ? -get(y, v) : get(y, v);
            if (!strcmp(f->kernel, "elu") && at > 0)
                continue;
            if (!strcmp(f->kernel, "binary_cross_entropy") && !(at > -1 && at <= 0))
                continue; /* a loss has a largest value, and takes probabilities only */
            const long double exact = f->exact(at);
            const int sign = exact == 0 && !f->negated && !!signbit(got) != !!signbit(exact);
            if (units(got, exact) > f->bound || sign) {
                fprintf(stderr, "%s(%g) is %g, not %Lg, in %s %d\n", f->name, at, got, exact,
                        table->isa, itemsize * 8);
                exit(1);
            }
        }
    }
}

static void
test_functions(int64_t points, int print)
{
    for (int i = 0; i < FUNCTIONS; i++) {
        const function *f = &functions[i];
        double at = 0;
        double error = function_error(f, points, &at);
        if (f->exact == sinl || f->exact == cosl)
            error = fmax(error, trig_error(f));
        special_values(f);
        if (print)
            printf("%-9s %-8s f%d  %.3f ulp at %.9g\n", f->name, table->isa, itemsize * 8, error,
                   at);
        if (!(error <= f->bound)) {
            fprintf(stderr, "%s in %s f%d is off by %g ulp at %.17g; bound %g\n", f->name,
                    table->isa, itemsize * 8, error, at, f->bound);
            exit(1);
        }
    }
}

/* -------------------------------------------------------------- one kernel, one shape */

typedef struct test_case test_case;
typedef void reference_fn(const test_case *c, const int64_t *data, double *const *x, double *y);

struct test_case {
    const char *kernel;
    reference_fn *reference; /* one row: y of operands x */
    reference_fn *slope;     /* what the gradient is the derivative of; NULL: `reference` */
    int nin;
    int64_t size[MAX_OPERANDS];
    int64_t rows[MAX_OPERANDS]; /* of x[j] for one row of y; `reference` gets all of them, one
                                   after the other. 0: one */
    int64_t ysize;
    int64_t p[MAX_P];
    int words;          /* of data */
    int64_t limit;      /* data words are in [0, limit); 0: any bits */
    int distinct;       /* ... and all different */
    int kinked;         /* the gradient jumps anywhere: leave out where it does near by */
    unsigned constant;  /* operands (bits) without a gradient */
    int plain_gradient; /* 0: the kernel has none */
    double low, high;   /* size of the operands' numbers; the sign is random where low < 0 */
};

enum layout { CONTIGUOUS, SCATTERED, REPEATED, ONE, LAYOUTS };

typedef struct operand {
    block memory[MAX_ROWS];
    int count; /* of memory */
    void *row[MAX_ROWS];
    int which[MAX_ROWS]; /* rows with one number are one row */
    ab_rows rows;
} operand;

static void
operand_make(operand *o, enum layout layout, int n, int64_t size)
{
    const int64_t bytes = size * itemsize;
    o->rows = (ab_rows){o->row, AB_SCATTERED};
    o->count = layout == SCATTERED ? n : layout == REPEATED ? (n + 1) / 2 : 1;
    if (layout == CONTIGUOUS || layout == ONE)
        o->rows.stride = layout == ONE ? 0 : bytes;
    for (int i = 0; i < o->count; i++)
        o->memory[i] = block_random(layout == CONTIGUOUS ? n * size : size);
    for (int i = 0; i < n; i++) {
        o->which[i] = layout == ONE ? 0 : layout == REPEATED ? (int)below(o->count) : i;
        o->row[i] =
            layout == CONTIGUOUS ? o->memory[0].start + i * bytes : o->memory[o->which[i]].start;
    }
}

static void
operand_free(operand *o)
{
    for (int i = 0; i < o->count; i++)
        block_free(&o->memory[i]);
}

static void
fail(const test_case *c, const char *what, int row, int64_t i, double got, double expected)
{
    fprintf(stderr, "%s of %s in %s f%d: row %d, number %lld is %.17g, expected %.17g\n  p:", what,
            c->kernel, table->isa, itemsize * 8, row, (long long)i, got, expected);
    for (int k = 0; k < 12; k++)
        fprintf(stderr, " %lld", (long long)c->p[k]);
    fprintf(stderr, "\n");
    exit(1);
}

static int
close_to(double got, double expected, double magnitude, double tolerance)
{
    if (isnan(expected) || isinf(expected))
        return isnan(expected) ? isnan(got) : got == expected;
    return fabs(got - expected) <= tolerance * (1 + magnitude);
}

/* A random number for place k of operand j. No two of a row are near each other, so that no
 * maximum changes hands within the step of a difference. */
static double
draw(const test_case *c, int j, int64_t k)
{
    const double low = fabs(c->low);
    const int64_t steps = (int64_t)(256 * (c->high - low));
    const double apart = (double)(k % c->size[j]) + (j + 1) / (c->nin + 1.);
    int64_t largest = 0;
    for (int i = 0; i < c->nin; i++)
        largest = c->size[i] > largest ? c->size[i] : largest;
    const double size = low + ((double)below(steps) + apart / (double)(largest + 1)) / 256;
    return c->low < 0 && next() & 1 ? -size : size;
}

/* Place s of those in a long row whose gradient is compared: the ends, and some between. */
static int64_t
spread(int s, int64_t size)
{
    return size <= PLACES ? s : (size - 1) * s / (PLACES - 1);
}

/* Whether the slopes to either side differ, within a step that floats resolve. */
static int
is_kink(const test_case *c, const int64_t *data, double *const *x, double *number, const double *y)
{
    const double at = *number, step = 1e-5;
    double *const up = malloc((size_t)(2 * c->ysize + 1) * sizeof *up), *const down = up + c->ysize;
    int kink = 0;
    *number = at + step;
    c->reference(c, data, x, up);
    *number = at - step;
    c->reference(c, data, x, down);
    *number = at;
    for (int64_t q = 0; q < c->ysize; q++)
        kink |= fabs((up[q] - y[q]) - (y[q] - down[q])) > 1e-3 * step;
    free(up);
    return kink;
}

static int64_t
rows_of(const test_case *c, int j)
{
    return c->rows[j] ? c->rows[j] : 1;
}

/* All gradients in one pass are those of one pass each. */
static void
check_joint(const test_case *c, const ab_kernel *kernel, ab_call call)
{
    static operand one[MAX_OPERANDS], all[MAX_OPERANDS];
    ab_rows dxs[MAX_OPERANDS];
    for (int j = 0; j < c->nin; j++) {
        operand_make(&one[j], SCATTERED, (int)call.n, c->size[j]);
        operand_make(&all[j], SCATTERED, (int)call.n, c->size[j]);
        for (int i = 0; i < call.n; i++)
            memcpy(all[j].row[i], one[j].row[i], (size_t)(c->size[j] * itemsize));
        dxs[j] = all[j].rows;
        call.wrt = j;
        call.dx = one[j].rows;
        kernel->backward(&call);
    }
    call.dxs = dxs;
    kernel->joint(&call);
    for (int j = 0; j < c->nin; j++) {
        for (int i = 0; i < call.n; i++)
            for (int64_t k = 0; k < c->size[j]; k++) {
                const double got = get(all[j].row[i], k), expected = get(one[j].row[i], k);
                if (!close_to(got, expected, fabs(expected), itemsize == 4 ? 1e-5 : 1e-12))
                    fail(c, "joint gradient", i, k, got, expected);
            }
        operand_free(&one[j]);
        operand_free(&all[j]);
    }
}

/* Runs a case with n rows: value, and the gradient of every operand. */
static void
run_case(const test_case *c, int n, const enum layout *layouts, enum layout result)
{
    const ab_kernel *const kernel = kernel_named(table, c->kernel);
    reference_fn *const slope = c->slope ? c->slope : c->reference;
    static operand x[MAX_OPERANDS], y, dy, dx;
    ab_rows rows[MAX_OPERANDS];
    double *exact_x[MAX_ROWS][MAX_OPERANDS], *exact_y[MAX_ROWS];
    static int64_t words[MAX_ROWS][MAX_P];
    const int64_t *data[MAX_ROWS];
    void *scratch = NULL;
    const double tolerance = itemsize == 4 ? 2e-5 : 1e-12;

    int start[MAX_OPERANDS + 1] = {0}; /* of an operand's rows among those of one row of y */
    for (int j = 0; j < c->nin; j++) {
        start[j + 1] = start[j] + (int)rows_of(c, j);
        operand_make(&x[j], layouts[j], (int)(n * rows_of(c, j)), c->size[j]);
        for (int i = 0; i < x[j].count; i++) {
            const int64_t numbers = (int64_t)x[j].memory[i].bytes / itemsize;
            for (int64_t k = 0; k < numbers; k++)
                set(x[j].memory[i].start, k, draw(c, j, k));
        }
        rows[j] = x[j].rows;
    }
    operand_make(&y, result, n, c->ysize);
    operand_make(&dy, result, n, c->ysize);
    for (int i = 0; i < n; i++) {
        data[i] = words[i];
        for (int w = 0; w < c->words; w++) {
            words[i][w] = c->limit ? below(c->limit) : bits_of(uniform());
            for (int other = 0; c->distinct && other < w; other++) {
                if (words[i][other] == words[i][w]) {
                    w--; /* again */
                    break;
                }
            }
        }
    }
    if (kernel->scratch && posix_memalign(&scratch, 64, kernel->scratch(c->p, n) + 1))
        exit(2);

    ab_call call = {
        .n = n,
        .nin = c->nin,
        .p = c->p,
        .x = rows,
        .y = y.rows,
        .data = data,
        .scratch = scratch,
        .self = kernel->self,
    };
    kernel->forward(&call);

    /* Operands of one row of y, as doubles. */
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < c->nin; j++) {
            for (int64_t b = 0; b < rows_of(c, j); b++) {
                const void *const from = x[j].row[i * rows_of(c, j) + b];
                double *const to = malloc((size_t)(c->size[j] + 1) * sizeof *to);
                for (int64_t k = 0; k < c->size[j]; k++)
                    to[k] = get(from, k);
                exact_x[i][start[j] + b] = to;
            }
        }
        exact_y[i] = malloc((size_t)(c->ysize + 1) * sizeof(double));
        c->reference(c, words[i], exact_x[i], exact_y[i]);
        for (int64_t k = 0; k < c->ysize; k++) {
            const double got = get(y.row[i], k);
            if (!close_to(got, exact_y[i][k], fabs(exact_y[i][k]), tolerance))
                fail(c, "value", i, k, got, exact_y[i][k]);
        }
    }

    for (int j = 0; kernel->backward && j < c->nin; j++) {
        if (c->constant >> j & 1)
            continue;
        const int64_t per_row = rows_of(c, j);
        operand_make(&dx, layouts[j], (int)(n * per_row), c->size[j]);
        /* The same rows are one in the gradient as in the value. */
        for (int i = 0; layouts[j] == REPEATED && i < n * per_row; i++) {
            dx.which[i] = x[j].which[i];
            dx.row[i] = dx.memory[dx.which[i]].start;
        }
        const int64_t total = (layouts[j] == CONTIGUOUS ? n * per_row : 1) * c->size[j];
        double *expected = calloc((size_t)(dx.count * total + 1), sizeof(double));
        double *magnitude = calloc((size_t)(dx.count * total + 1), sizeof(double));
        for (int i = 0; i < dx.count; i++) {
            for (int64_t k = 0; k < total; k++)
                expected[i * total + k] = get(dx.memory[i].start, k);
        }
        int64_t places[PLACES];
        for (int s = 0; s < PLACES; s++)
            places[s] = spread(s, c->size[j]);
        double *up = malloc((size_t)(c->ysize + 1) * sizeof(double));
        double *down = malloc((size_t)(c->ysize + 1) * sizeof(double));
        for (int i = 0; i < n; i++) {
            for (int b = 0; b < per_row; b++) {
                const int64_t r = i * per_row + b;
                double *const own = exact_x[i][start[j] + b];
                for (int64_t s = 0; s < c->size[j] && s < PLACES; s++) {
                    const int64_t k = places[s];
                    const double at = own[k], step = 1e-6;
                    own[k] = at + step;
                    slope(c, words[i], exact_x[i], up);
                    own[k] = at - step;
                    slope(c, words[i], exact_x[i], down);
                    own[k] = at;
                    const int64_t place =
                        layouts[j] == CONTIGUOUS ? r * c->size[j] + k : dx.which[r] * total + k;
                    for (int64_t q = 0; q < c->ysize; q++) {
                        if (up[q] == down[q]) /* both may be infinite */
                            continue;
                        const double term = get(dy.row[i], q) * (up[q] - down[q]) / (2 * step);
                        expected[place] += term;
                        magnitude[place] += fabs(term);
                    }
                    if (c->kinked && is_kink(c, words[i], exact_x[i], &own[k], exact_y[i]))
                        magnitude[place] = INFINITY; /* anything will do */
                }
            }
        }
        call.wrt = j;
        call.dy = dy.rows;
        call.dx = dx.rows;
        kernel->backward(&call);
        for (int i = 0; i < dx.count; i++) {
            for (int64_t k = 0; k < total; k++) {
                const double got = get(dx.memory[i].start, k);
                int looked_at = 0;
                for (int s = 0; s < PLACES; s++)
                    looked_at |= places[s] == k % c->size[j];
                if (looked_at
                    && !close_to(got, expected[i * total + k], magnitude[i * total + k],
                                 itemsize == 4 ? 1e-4 : 2e-7))
                    fail(c, "gradient", i, k, got, expected[i * total + k]);
            }
        }
        free(expected);
        free(magnitude);
        free(up);
        free(down);
        operand_free(&dx);
    }

    if (kernel->joint)
        check_joint(c, kernel, call);

    for (int i = 0; i < n; i++) {
        for (int j = 0; j < start[c->nin]; j++)
            free(exact_x[i][j]);
        free(exact_y[i]);
    }
    for (int j = 0; j < c->nin; j++)
        operand_free(&x[j]);
    operand_free(&y);
    operand_free(&dy);
    free(scratch);
}

static int tested[256];

/* Runs a case with several counts of rows and every layout. */
static void
run(const test_case *c)
{
    static const int counts[] = {1, 3, 17};
    tested[ab_kernel_index(c->kernel)] = 1;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        int n = counts[i];
        int64_t most = 1;
        for (int j = 0; j < c->nin; j++)
            most = rows_of(c, j) > most ? rows_of(c, j) : most;
        if (n * most > MAX_ROWS)
            continue;
        for (int first = 0; first < LAYOUTS; first++) {
            enum layout layouts[MAX_OPERANDS];
            for (int j = 0; j < c->nin; j++)
                layouts[j] = j == 0 ? (enum layout)first : (enum layout)below(LAYOUTS);
            run_case(c, n, layouts, next() & 1 ? CONTIGUOUS : SCATTERED);
        }
        /* All side by side: the flat loops. */
        enum layout layouts[MAX_OPERANDS] = {CONTIGUOUS};
        run_case(c, n, layouts, CONTIGUOUS);
        /* All operands shared but one. */
        for (int j = 0; j < c->nin; j++)
            layouts[j] = j == c->nin - 1 ? CONTIGUOUS : ONE;
        run_case(c, n, layouts, CONTIGUOUS);
    }
}

/* -------------------------------------------------------------------------- elementwise */

typedef double scalar_fn(double a, double b, double p0, double p1);

/* Checks of some values against libm; the other ops are compared with their own build for
 * one number at a time in double precision, and with their gradient. */
typedef struct elementwise_reference {
    const char *kernel;
    int operands, attrs;
    scalar_fn *value;
    double low, high, p0, p1;
    scalar_fn *slope; /* what the gradient is the derivative of, where it is not `value` */
} elementwise_reference;

#define SCALAR(name, expression)                                                                   \
    static double name##_scalar(double a, double b, double p0, double p1)                          \
    {                                                                                              \
        (void)a, (void)b, (void)p0, (void)p1;                                                      \
        return expression;                                                                         \
    }
SCALAR(add, a + b)
SCALAR(subtract, a - b)
SCALAR(multiply, a *b)
SCALAR(divide, a / b)
SCALAR(power, pow(a, b))
SCALAR(negative, -a)
SCALAR(maximum, fmax(a, b))
SCALAR(minimum, fmin(a, b))
SCALAR(exp, exp(a))
SCALAR(log, log(a))
SCALAR(sqrt, sqrt(a))
SCALAR(square, a *a)
SCALAR(abs, fabs(a))
SCALAR(sin, sin(a))
SCALAR(cos, cos(a))
SCALAR(erf, erf(a))
SCALAR(clip, fmin(fmax(a, p0), p1))
SCALAR(tanh, tanh(a))
SCALAR(sigmoid, 1 / (1 + exp(-a)))
SCALAR(log_sigmoid, -log1p(exp(-a)))
SCALAR(softplus, log1p(exp(a)))
SCALAR(relu, fmax(a, 0))
SCALAR(leaky_relu, a > 0 ? a : p0 * a)
SCALAR(elu, a > 0 ? a : p0 * expm1(a))
SCALAR(gelu, a / 2 * (1 + erf(a / sqrt(2))))
SCALAR(silu, a / (1 + exp(-a)))
SCALAR(softsign, a / (1 + fabs(a)))
SCALAR(binary_cross_entropy, -b *log(a) - (1 - b) * log1p(-a))

SCALAR(scale_gradient, a)
SCALAR(scale_gradient_slope, p0 *a)
SCALAR(straight_through, a)
SCALAR(straight_through_slope, b)

static const elementwise_reference references[] = {
    {"add", 2, 0, add_scalar, -0.1, 2, 0, 0, NULL},
    {"subtract", 2, 0, subtract_scalar, -0.1, 2, 0, 0, NULL},
    {"multiply", 2, 0, multiply_scalar, -0.1, 2, 0, 0, NULL},
    {"divide", 2, 0, divide_scalar, -0.5, 2, 0, 0, NULL},
    {"power", 2, 0, power_scalar, 0.3, 2, 0, 0, NULL},
    {"negative", 1, 0, negative_scalar, -0.1, 2, 0, 0, NULL},
    {"maximum", 2, 0, maximum_scalar, -0.1, 2, 0, 0, NULL},
    {"minimum", 2, 0, minimum_scalar, -0.1, 2, 0, 0, NULL},
    {"exp", 1, 0, exp_scalar, -0.1, 2, 0, 0, NULL},
    {"log", 1, 0, log_scalar, 0.3, 2, 0, 0, NULL},
    {"sqrt", 1, 0, sqrt_scalar, 0.3, 2, 0, 0, NULL},
    {"square", 1, 0, square_scalar, -0.1, 2, 0, 0, NULL},
    {"abs", 1, 0, abs_scalar, -0.1, 2, 0, 0, NULL},
    {"sin", 1, 0, sin_scalar, -0.1, 7, 0, 0, NULL},
    {"cos", 1, 0, cos_scalar, -0.1, 7, 0, 0, NULL},
    {"erf", 1, 0, erf_scalar, -0.1, 3, 0, 0, NULL},
    {"clip", 1, 2, clip_scalar, -0.1, 2, -0.51, 0.73, NULL},
    {"tanh", 1, 0, tanh_scalar, -0.1, 3, 0, 0, NULL},
    {"sigmoid", 1, 0, sigmoid_scalar, -0.1, 5, 0, 0, NULL},
    {"log_sigmoid", 1, 0, log_sigmoid_scalar, -0.1, 5, 0, 0, NULL},
    {"softplus", 1, 0, softplus_scalar, -0.1, 5, 0, 0, NULL},
    {"relu", 1, 0, relu_scalar, -0.1, 2, 0, 0, NULL},
    {"leaky_relu", 1, 1, leaky_relu_scalar, -0.1, 2, 0.1, 0, NULL},
    {"elu", 1, 1, elu_scalar, -0.1, 2, 0.7, 0, NULL},
    {"gelu", 1, 0, gelu_scalar, -0.1, 3, 0, 0, NULL},
    {"silu", 1, 0, silu_scalar, -0.1, 3, 0, 0, NULL},
    {"softsign", 1, 0, softsign_scalar, -0.1, 3, 0, 0, NULL},
    {"binary_cross_entropy", 2, 0, binary_cross_entropy_scalar, 0.1, 0.9, 0, 0, NULL},
    {"scale_gradient", 1, 1, scale_gradient_scalar, -0.1, 2, 0.3, 0, scale_gradient_slope_scalar},
    {"straight_through", 2, 0, straight_through_scalar, -0.1, 2, 0, 0,
     straight_through_slope_scalar},
};
static const elementwise_reference *current;

static void
elementwise_walk(const test_case *c, double *const *x, double *y, scalar_fn *value)
{
    const int ndim = (int)c->p[0];
    for (int64_t i = 0; i < c->ysize; i++) {
        int64_t rest = i, at[2] = {0};
        for (int d = ndim - 1; d >= 0; d--) {
            for (int j = 0; j < c->nin; j++)
                at[j] += rest % c->p[1 + d] * c->p[1 + (j + 1) * ndim + d];
            rest /= c->p[1 + d];
        }
        y[i] = value(x[0][at[0]], c->nin > 1 ? x[1][at[1]] : 0, current->p0, current->p1);
    }
}

static void
elementwise_plain(const test_case *c, const int64_t *data, double *const *x, double *y)
{
    (void)data;
    elementwise_walk(c, x, y, current->value);
}

static void
elementwise_slope(const test_case *c, const int64_t *data, double *const *x, double *y)
{
    (void)data;
    elementwise_walk(c, x, y, current->slope);
}

static void
elementwise_case(const int64_t *p, int count, int64_t size_a, int64_t size_b, int64_t ysize)
{
    test_case c = {.kernel = current->kernel,
                   .reference = elementwise_plain,
                   .slope = current->slope ? elementwise_slope : NULL,
                   .nin = current->operands,
                   .size = {size_a, size_b},
                   .ysize = ysize,
                   .low = current->low,
                   .high = current->high};
    memcpy(c.p, p, (size_t)count * sizeof *p);
    c.p[count] = bits_of(current->p0);
    c.p[count + 1] = bits_of(current->p1);
    run(&c);
}

#define ELEMENTWISE(size_a, size_b, ysize, ...)                                                    \
    do {                                                                                           \
        const int64_t p[] = {__VA_ARGS__};                                                         \
        elementwise_case(p, (int)(sizeof p / sizeof p[0]), size_a, size_b, ysize);                 \
    } while (0)

static void
test_elementwise(void)
{
    static const int64_t sizes[] = {0, 1, 2, 7, 8, 17, 64, 77};
    for (size_t r = 0; r < sizeof references / sizeof references[0]; r++) {
        current = &references[r];
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            const int64_t n = sizes[s];
            if (current->operands == 1) {
                ELEMENTWISE(n, 0, n, 1, n, n > 1);
                continue;
            }
            ELEMENTWISE(n, n, n, 1, n, n > 1, n > 1);
            ELEMENTWISE(n, 1, n, 1, n, n > 1, 0);
            ELEMENTWISE(1, n, n, 1, n, 0, n > 1);
        }
        if (current->operands == 2) {
            /* (5, 19) with (19), (19) with (5, 1), (5, 1) with (1, 19) */
            ELEMENTWISE(95, 19, 95, 2, 5, 19, 19, 1, 0, 1);
            ELEMENTWISE(19, 5, 95, 2, 5, 19, 0, 1, 1, 0);
            ELEMENTWISE(5, 19, 95, 2, 5, 19, 1, 0, 0, 1);
            /* (3, 4, 5) with (3, 1, 5); (3, 1, 2, 1) with (4, 1, 17) */
            ELEMENTWISE(60, 15, 60, 3, 3, 4, 5, 20, 5, 1, 5, 0, 1);
            ELEMENTWISE(6, 68, 408, 4, 3, 4, 2, 17, 2, 0, 1, 0, 0, 17, 0, 1);
            ELEMENTWISE(0, 19, 0, 2, 0, 19, 19, 1, 0, 1);
        }
    }
}

/* The rest of the elementwise kernels have no reference here: their gradient is compared with
 * differences of their own value, number by number in double precision. */
static const ab_kernel *own;

static void
own_value(const test_case *c, const int64_t *data, double *const *x, double *y)
{
    (void)data;
    void *rows[3];
    ab_rows operands[3];
    for (int j = 0; j < c->nin; j++) {
        rows[j] = x[j];
        operands[j] = (ab_rows){&rows[j], 0};
    }
    void *result = y;
    const ab_call call = {
        .n = 1, .nin = c->nin, .p = c->p, .x = operands, .y = {&result, 0}, .self = own->self};
    own->forward(&call);
}

static void
test_unreferenced(void)
{
    const int first_other = ab_kernel_index("fill");
    for (int i = 0; i < first_other; i++) {
        if (tested[i])
            continue;
        own = &ab_table_baseline_f64.kernels[i];
        /* Operands are counted by the private description, whose first number they are. */
        const int operands = *(const int *)own->self;
        test_case c = {.kernel = own->name,
                       .reference = own_value,
                       .nin = operands,
                       .size = {21, 21, 21},
                       .ysize = 21,
                       .p = {1, 21},
                       .low = 0.1,
                       .high = 0.9};
        for (int j = 0; j < operands; j++)
            c.p[2 + j] = 1;
        c.p[2 + operands] = c.p[3 + operands] = bits_of(0.5);
        run(&c);
    }
}

/* --------------------------------------------------------- reductions, softmax, losses */

static double
along(const test_case *c, const double *x, int64_t o, int64_t l, int64_t k)
{
    return x[(o * c->p[1] + l) * c->p[2] + k];
}

static void
reduce_plain(const test_case *c, const int64_t *data, double *const *x, double *y)
{
    (void)data;
    const int64_t outer = c->p[0], len = c->p[1], inner = c->p[2];
    const char *const kind = c->kernel;
    for (int64_t o = 0; o < outer; o++) {
        for (int64_t k = 0; k < inner; k++) {
            double sum = 0, squares = 0, exps = 0, most = -INFINITY, least = INFINITY, place = 0;
            for (int64_t l = 0; l < len; l++) {
                const double here = along(c, x[0], o, l, k);
                sum += here;
                squares += here * here;
                place = here > most ? (double)l : place;
                most = fmax(most, here);
                least = fmin(least, here);
            }
            for (int64_t l = 0; l < len; l++)
                exps += exp(along(c, x[0], o, l, k) - most);
            const double total = most + log(exps);
            double *const to = y + o * inner + k;
            if (!strcmp(kind, "reduce_sum"))
                *to = sum;
            else if (!strcmp(kind, "reduce_mean"))
                *to = sum / (double)len;
            else if (!strcmp(kind, "reduce_max"))
                *to = most;
            else if (!strcmp(kind, "reduce_min"))
                *to = least;
            else if (!strcmp(kind, "reduce_argmax"))
                *to = place;
            else if (!strcmp(kind, "reduce_logsumexp"))
                *to = total;
            else if (!strcmp(kind, "reduce_norm"))
                *to = sqrt(squares);
            for (int64_t l = 0; !strstr(kind, "reduce") && l < len; l++) {
                const double log_p = along(c, x[0], o, l, k) - total;
                y[(o * len + l) * inner + k] = strstr(kind, "log") ? log_p : exp(log_p);
            }
        }
    }
}

static void
test_reductions(void)
{
    static const char *const kernels[] = {"reduce_sum",  "reduce_mean",   "reduce_max",
                                          "reduce_min",  "reduce_argmax", "reduce_logsumexp",
                                          "reduce_norm", "softmax",       "log_softmax"};
    static const int64_t shapes[][3] = {{1, 1, 1},  {1, 5, 1},  {3, 17, 1}, {1, 100, 1}, {4, 3, 5},
                                        {2, 6, 70}, {1, 9, 64}, {0, 3, 2},  {2, 3, 0}};
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++) {
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
            const int64_t *p = shapes[s];
            const int reduced = strstr(kernels[i], "reduce") != NULL;
            const test_case c = {.kernel = kernels[i],
                                 .reference = reduce_plain,
                                 .nin = 1,
                                 .size = {p[0] * p[1] * p[2]},
                                 .ysize = p[0] * p[2] * (reduced ? 1 : p[1]),
                                 .p = {p[0], p[1], p[2]},
                                 .low = -0.01,
                                 .high = 3};
            run(&c);
        }
    }
}

static double
huber(double off, double delta)
{
    off = fabs(off);
    return off <= delta ? off * off / 2 : delta * (off - delta / 2);
}

static void
loss_plain(const test_case *c, const int64_t *data, double *const *x, double *y)
{
    const int64_t n = c->p[0];
    double exps = 0, sum = 0;
    for (int64_t j = 0; j < n; j++)
        exps += exp(x[0][j]);
    for (int64_t j = 0; j < n; j++) {
        if (!strcmp(c->kernel, "cross_entropy"))
            sum = log(exps) - x[0][data[0]];
        else if (!strcmp(c->kernel, "cross_entropy_soft"))
            sum += x[1][j] * (log(exps) - x[0][j]);
        else if (!strcmp(c->kernel, "hinge"))
            sum += j == data[0] ? 0 : fmax(0, ab_double(c->p[1]) - x[0][data[0]] + x[0][j]);
        else if (!strcmp(c->kernel, "squared_error"))
            sum += (x[0][j] - x[1][j]) * (x[0][j] - x[1][j]);
        else if (!strcmp(c->kernel, "absolute_error"))
            sum += fabs(x[0][j] - x[1][j]);
        else if (!strcmp(c->kernel, "huber"))
            sum += huber(x[0][j] - x[1][j], ab_double(c->p[1]));
        else
            sum += x[0][j] * x[1][j];
    }
    y[0] = sum;
}

static void
test_losses(void)
{
    static const char *const kernels[] = {"cross_entropy",
                                          "cross_entropy_soft",
                                          "hinge",
                                          "squared_error",
                                          "absolute_error",
                                          "huber",
                                          "dot"};
    static const int64_t sizes[] = {1, 2, 5, 16, 33, 100};
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++) {
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            const int labelled = i == 0 || i == 2;
            const test_case c = {.kernel = kernels[i],
                                 .reference = loss_plain,
                                 .nin = labelled ? 1 : 2,
                                 .size = {sizes[s], sizes[s]},
                                 .ysize = 1,
                                 .p = {sizes[s], bits_of(0.7013)},
                                 .words = labelled,
                                 .limit = labelled ? sizes[s] : 0,
                                 .low = -0.01,
                                 .high = 2};
            run(&c);
        }
    }
    const test_case nothing[] = {
        {.kernel = "squared_error", .reference = loss_plain, .nin = 2, .ysize = 1, .high = 1},
        {.kernel = "dot", .reference = loss_plain, .nin = 2, .ysize = 1, .high = 1}};
    run(&nothing[0]);
    run(&nothing[1]);
}

/* -------------------------------------------------------------------- shapes, lists */

static void
shape_plain(const test_case *c, const int64_t *data, double *const *x, double *y)
{
    const int64_t *const p = c->p;
    if (!strcmp(c->kernel, "fill")) {
        for (int64_t k = 0; k < c->ysize; k++)
            y[k] = ab_double(data[0]);
    } else if (!strcmp(c->kernel, "one_hot")) {
        for (int64_t k = 0; k < c->ysize; k++)
            y[k] = k == data[0];
    } else if (!strcmp(c->kernel, "copy")) {
        for (int64_t k = 0; k < c->ysize; k++)
            y[k] = x[0][k];
    } else if (!strcmp(c->kernel, "concat")) {
        for (int64_t o = 0; o < p[0]; o++) {
            for (int j = 0; j < c->nin; j++) {
                const int64_t own = p[1 + j] - (j ? p[j] : 0);
                for (int64_t k = 0; k < own; k++)
                    *y++ = x[j][o * own + k];
            }
        }
    } else if (!strcmp(c->kernel, "gather_rows")) {
        for (int64_t k = 0; k < c->ysize; k++)
            y[k] = x[0][data[k / p[1]] * p[1] + k % p[1]];
    } else {
        const int ndim = (int)p[0];
        for (int64_t i = 0; i < c->ysize; i++) {
            int64_t rest = i, at = p[1 + 2 * ndim];
            for (int d = ndim - 1; d >= 0; d--) {
                at += rest % p[1 + d] * p[1 + ndim + d];
                rest /= p[1 + d];
            }
            y[i] = x[0][at];
        }
    }
}

static void
list_plain(const test_case *c, const int64_t *data, double *const *x, double *y)
{
    (void)data;
    const int batch = !strcmp(c->kernel, "batch_sum");
    const int terms = batch ? (int)c->rows[0] : c->nin;
    const double scale = ab_double(c->p[batch ? 2 : 1]);
    for (int64_t k = 0; k < c->ysize; k++) {
        double sum = 0, most = -INFINITY;
        for (int j = 0; j < terms; j++) {
            sum += x[j][k];
            most = fmax(most, x[j][k]);
        }
        y[k] = !strcmp(c->kernel, "nary_max") ? most : scale * sum;
    }
}

static uint64_t
mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static void
dropout_plain(const test_case *c, const int64_t *data, double *const *x, double *y)
{
    const double rate = ab_double(c->p[1]);
    const uint64_t start = mix((uint64_t)data[0] ^ 0x9E3779B97F4A7C15u * ((uint64_t)data[1] + 1));
    for (int64_t k = 0; k < c->ysize; k++) {
        const double u = (double)(mix(start + (uint64_t)k) >> 40) * 0x1p-24;
        y[k] = u >= rate ? x[0][k] * (1 / (1 - rate)) : 0;
    }
}

#define CASE_WITHIN(low_, high_, ...)                                                              \
    do {                                                                                           \
        const test_case c = {.low = low_, .high = high_, __VA_ARGS__};                             \
        run(&c);                                                                                   \
    } while (0)
#define CASE(...) CASE_WITHIN(-0.01, 2, __VA_ARGS__)

static void
test_shapes(void)
{
    static const int64_t sizes[] = {0, 1, 5, 64, 77, 150};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        const int64_t n = sizes[s];
        CASE(.kernel = "fill", .reference = shape_plain, .ysize = n, .p = {n}, .words = 1);
        if (n)
            CASE(.kernel = "one_hot", .reference = shape_plain, .ysize = n, .p = {n}, .words = 1,
                 .limit = n);
        CASE(.kernel = "copy", .reference = shape_plain, .nin = 1, .size = {n}, .ysize = n,
             .p = {n});
        CASE(.kernel = "concat", .reference = shape_plain, .nin = 3, .size = {3 * n, 6, 3},
             .ysize = 3 * (n + 3), .p = {3, n, n + 2, n + 3});
        CASE(.kernel = "concat", .reference = shape_plain, .nin = 2, .size = {n, 33},
             .ysize = n + 33, .p = {1, n, n + 33});
        CASE(.kernel = "gather_rows", .reference = shape_plain, .nin = 1, .size = {4 * n},
             .ysize = 5 * n, .p = {5, n}, .words = 5, .limit = 4);
        CASE(.kernel = "nary_sum", .reference = list_plain, .nin = 5, .size = {n, n, n, n, n},
             .ysize = n, .p = {n, bits_of(0.3)});
        CASE(.kernel = "nary_max", .reference = list_plain, .nin = 4, .size = {n, n, n, n},
             .ysize = n, .p = {n});
        CASE(.kernel = "batch_sum", .reference = list_plain, .nin = 1, .size = {n}, .rows = {4},
             .ysize = n, .p = {4, n, bits_of(0.25)});
        CASE(.kernel = "dropout", .reference = dropout_plain, .nin = 1, .size = {n}, .ysize = n,
             .p = {n, bits_of(0.3)}, .words = 2, .limit = INT64_MAX);
        CASE(.kernel = "dropout", .reference = dropout_plain, .nin = 1, .size = {n}, .ysize = n,
             .p = {n, bits_of(0)}, .words = 2, .limit = INT64_MAX);
    }
    /* A transpose, a reversal with steps, a broadcast, a slice, a scalar, nothing. */
    CASE(.kernel = "copy_strided", .reference = shape_plain, .nin = 1, .size = {35}, .ysize = 35,
         .p = {2, 7, 5, 1, 7, 0, 35});
    CASE(.kernel = "copy_strided", .reference = shape_plain, .nin = 1, .size = {21}, .ysize = 7,
         .p = {1, 7, -3, 20, 21});
    CASE(.kernel = "copy_strided", .reference = shape_plain, .nin = 1, .size = {6}, .ysize = 120,
         .p = {3, 4, 6, 5, 0, 1, 0, 0, 6});
    CASE(.kernel = "copy_strided", .reference = shape_plain, .nin = 1, .size = {60}, .ysize = 18,
         .p = {2, 3, 6, 20, 1, 7, 60});
    CASE(.kernel = "copy_strided", .reference = shape_plain, .nin = 1, .size = {1}, .ysize = 1,
         .p = {1, 1, 0, 0, 1});
    CASE(.kernel = "copy_strided", .reference = shape_plain, .nin = 1, .size = {8}, .ysize = 0,
         .p = {2, 0, 4, 4, 1, 0, 8});
}

/* ---------------------------------------------------------------------------- products */

static void
matmul_plain(const test_case *c, const int64_t *data, double *const *x, double *y)
{
    (void)data;
    const int64_t *const p = c->p;
    for (int64_t b = 0; b < p[0]; b++) {
        for (int64_t i = 0; i < p[1]; i++) {
            for (int64_t j = 0; j < p[3]; j++) {
                double sum = 0;
                for (int64_t k = 0; k < p[2]; k++)
                    sum +=
                        x[0][b * p[4] + i * p[5] + k * p[6]] * x[1][b * p[7] + k * p[8] + j * p[9]];
                *y++ = sum;
            }
        }
    }
}

/* kind 0: both row-major; 1: a transposed; 2: b transposed; 3: both; 4: every second column.
 * shared: 1: one a for all products; 2: one b. */
static void
matmul_case(int64_t nb, int64_t m, int64_t k, int64_t n, int kind, int shared)
{
    const int64_t step = kind == 4 ? 2 : 1;
    const int transposed_a = kind == 1 || kind == 3, transposed_b = kind == 2 || kind == 3;
    const int64_t a = m * k * step, b = k * n * step;
    CASE(.kernel = "matmul", .reference = matmul_plain, .nin = 2,
         .size = {shared == 1 ? a : nb * a, shared == 2 ? b : nb * b}, .ysize = nb * m * n,
         .p = {nb, m, k, n, shared == 1 ? 0 : a, transposed_a ? 1 : k * step,
               transposed_a ? m : step, shared == 2 ? 0 : b, transposed_b ? 1 : n * step,
               transposed_b ? k : step});
}

static void
affine_plain(const test_case *c, const int64_t *data, double *const *x, double *y)
{
    (void)data;
    const int64_t *const p = c->p;
    const int64_t pairs = p[0], bias = p[1], m = p[2], r = p[3], columns = p[4], trans = p[5];
    for (int64_t o = 0; o < m; o++) {
        for (int64_t q = 0; q < r; q++) {
            double sum = bias ? x[0][o] : 0;
            for (int64_t j = 0; j < pairs; j++) {
                const double *const w = x[bias + 2 * j + (trans == 1)];
                const double *const v = x[bias + 2 * j + (trans != 1)];
                for (int64_t i = 0; i < p[6 + j]; i++)
                    sum += (trans ? w[i * m + o] : w[o * p[6 + j] + i])
                           * (columns ? v[i * r + q] : v[q * p[6 + j] + i]);
            }
            y[columns ? o * r + q : q * m + o] = sum;
        }
    }
}

static void
affine_case(int64_t pairs, int64_t bias, int64_t m, int64_t r, int64_t columns, int64_t trans)
{
    static const int64_t inner[] = {9, 21};
    test_case c = {.kernel = "affine",
                   .reference = affine_plain,
                   .nin = (int)(bias + 2 * pairs),
                   .ysize = m * r,
                   .p = {pairs, bias, m, r, columns, trans, inner[0], inner[1]},
                   .low = -0.01,
                   .high = 1};
    c.size[0] = m;
    for (int64_t j = 0; j < pairs; j++) {
        c.size[bias + 2 * j + (trans == 1)] = m * inner[j];
        c.size[bias + 2 * j + (trans != 1)] = inner[j] * r;
    }
    run(&c);
}

static void
test_products(void)
{
    for (int kind = 0; kind < 5; kind++) {
        matmul_case(1, 1, 1, 1, kind, 0);
        matmul_case(1, 5, 7, 3, kind, 0);
        matmul_case(1, 1, 19, 1, kind, 0);
        matmul_case(1, 17, 6, 1, kind, 0);
        matmul_case(1, 1, 6, 18, kind, 0);
        matmul_case(3, 4, 9, 5, kind, 1);
        matmul_case(3, 4, 9, 5, kind, 2);
        matmul_case(2, 9, 1, 8, kind, 0);
        matmul_case(1, 3, 0, 4, kind, 0);
        matmul_case(1, 0, 3, 4, kind, 0);
    }
    matmul_case(1, 70, 3, 5, 0, 0);
    for (int bias = 0; bias < 2; bias++) {
        for (int columns = 0; columns < 2; columns++) {
            affine_case(1, bias, 7, 1, columns, 0);
            affine_case(2, bias, 7, 1, columns, 0);
            affine_case(2, bias, 18, 3, columns, 0);
            affine_case(0, 1, 5, 2, columns, 0);
            affine_case(2, bias, 9, 3, columns, 2);
        }
    }
    affine_case(1, 0, 7, 1, 0, 1);
    affine_case(1, 0, 7, 3, 0, 1);
}

#include "families.h"

/* ------------------------------------------------------------------------ special rows */

static void
expect(const char *kernel, const int64_t *p, int64_t word, int nin, int64_t size, const double *in,
       int64_t ysize, const double *value, const double *gradient)
{
    double x[16], y[16], dy[16], dx[16] = {0};
    void *rx = x, *ry = y, *rdy = dy, *rdx = dx;
    const int64_t *data = &word;
    const ab_rows rows[] = {{&rx, 0}, {&rx, 0}};
    for (int64_t k = 0; k < size; k++)
        set(x, k, in[k]);
    for (int64_t k = 0; k < ysize; k++)
        set(dy, k, 1);
    const ab_kernel *const k = kernel_named(table, kernel);
    ab_call call = {.n = 1,
                    .nin = nin,
                    .p = p,
                    .x = rows,
                    .y = {&ry, 0},
                    .dy = {&rdy, 0},
                    .dx = {&rdx, 0},
                    .data = &data,
                    .self = k->self};
    const test_case c = {.kernel = kernel};
    k->forward(&call);
    for (int64_t i = 0; i < ysize; i++) {
        if (!close_to(get(y, i), value[i], fabs(value[i]), 1e-6))
            fail(&c, "value of special row", 0, i, get(y, i), value[i]);
    }
    if (gradient)
        k->backward(&call);
    for (int64_t i = 0; gradient && i < size; i++) {
        if (!close_to(get(dx, i), gradient[i], fabs(gradient[i]), 1e-6))
            fail(&c, "gradient of special row", 0, i, get(dx, i), gradient[i]);
    }
}

#define NUMBERS(...) ((const double[]){__VA_ARGS__})
#define WORDS(...) ((const int64_t[]){__VA_ARGS__})

static void
test_special_rows(void)
{
    const double inf = INFINITY, nan_ = NAN, e = exp(1);
    const int64_t *const three = WORDS(1, 3, 1), *const columns = WORDS(1, 2, 2);
    expect("reduce_logsumexp", three, 0, 1, 3, NUMBERS(-inf, -inf, -inf), 1, NUMBERS(-inf),
           NUMBERS(0, 0, 0));
    expect("reduce_logsumexp", three, 0, 1, 3, NUMBERS(-inf, 2, -inf), 1, NUMBERS(2),
           NUMBERS(0, 1, 0));
    expect("reduce_logsumexp", three, 0, 1, 3, NUMBERS(0, inf, 1), 1, NUMBERS(inf),
           NUMBERS(0, 0, 0));
    expect("reduce_logsumexp", three, 0, 1, 3, NUMBERS(0, nan_, 1), 1, NUMBERS(nan_), NULL);
    expect("reduce_logsumexp", three, 0, 1, 3, NUMBERS(80000, 80000, 80000), 1,
           NUMBERS(80000 + log(3)), NULL);
    expect("reduce_logsumexp", columns, 0, 1, 4, NUMBERS(-inf, 7, -inf, -inf), 2, NUMBERS(-inf, 7),
           NUMBERS(0, 1, 0, 0));
    expect("softmax", three, 0, 1, 3, NUMBERS(-inf, 1, 0), 3, NUMBERS(0, e / (1 + e), 1 / (1 + e)),
           NULL);
    expect("softmax", three, 0, 1, 3, NUMBERS(1, nan_, 0), 3, NUMBERS(nan_, nan_, nan_), NULL);
    expect("softmax", three, 0, 1, 3, NUMBERS(-inf, -inf, -inf), 3, NUMBERS(nan_, nan_, nan_),
           NULL);
    expect("log_softmax", three, 0, 1, 3, NUMBERS(-inf, 1, 0), 3,
           NUMBERS(-inf, 1 - log(1 + e), -log(1 + e)), NULL);
    expect("log_softmax", three, 0, 1, 3, NUMBERS(-1000, 1000, 0), 3, NUMBERS(-2000, 0, -1000),
           NUMBERS(1, -2, 1));
    expect("reduce_max", three, 0, 1, 3, NUMBERS(2, 5, 5), 1, NUMBERS(5), NUMBERS(0, 1, 0));
    expect("reduce_max", three, 0, 1, 3, NUMBERS(-inf, -inf, -inf), 1, NUMBERS(-inf),
           NUMBERS(1, 0, 0));
    expect("reduce_max", three, 0, 1, 3, NUMBERS(7, nan_, nan_), 1, NUMBERS(nan_),
           NUMBERS(0, 1, 0));
    expect("reduce_min", three, 0, 1, 3, NUMBERS(7, nan_, 1), 1, NUMBERS(nan_), NUMBERS(0, 1, 0));
    expect("reduce_min", columns, 0, 1, 4, NUMBERS(3, nan_, 3, 1), 2, NUMBERS(3, nan_),
           NUMBERS(1, 1, 0, 0));
    expect("reduce_argmax", three, 0, 1, 3, NUMBERS(2, 5, 5), 1, NUMBERS(1), NULL);
    expect("reduce_argmax", three, 0, 1, 3, NUMBERS(2, 5, nan_), 1, NUMBERS(2), NULL);
    expect("reduce_norm", three, 0, 1, 3, NUMBERS(0, 0, 0), 1, NUMBERS(0), NUMBERS(0, 0, 0));
    expect("reduce_sum", WORDS(1, 0, 2), 0, 1, 0, NUMBERS(0), 2, NUMBERS(0, 0), NULL);
    expect("cross_entropy", WORDS(3), 1, 1, 3, NUMBERS(0, -inf, 0), 1, NUMBERS(inf),
           NUMBERS(0.5, -1, 0.5));
    expect("cross_entropy", WORDS(3), 1, 1, 3, NUMBERS(-inf, 4, -inf), 1, NUMBERS(0),
           NUMBERS(0, 0, 0));
    expect("cross_entropy", WORDS(3), 0, 1, 3, NUMBERS(1000, -1000, 0), 1, NUMBERS(0),
           NUMBERS(0, 0, 0));
    expect("cross_entropy", WORDS(2), 0, 1, 2, NUMBERS(nan_, 0), 1, NUMBERS(nan_), NULL);
    expect("hinge", WORDS(2, bits_of(1)), 0, 1, 2, NUMBERS(nan_, 0), 1, NUMBERS(nan_), NULL);
    expect("nary_max", WORDS(2), 0, 2, 2, NUMBERS(3, nan_), 2, NUMBERS(3, nan_), NUMBERS(1, 1));
    expect("maximum", WORDS(1, 2, 1, 1), 0, 2, 2, NUMBERS(3, nan_), 2, NUMBERS(3, nan_), NULL);
    expect("sin", WORDS(1, 3, 1), 0, 1, 3, NUMBERS(1e5, inf, 1), 3, NUMBERS(sin(1e5), nan_, sin(1)),
           NUMBERS(cos(1e5), nan_, cos(1)));
}

static void
test_selection(void)
{
    static const char *const names[] = {"avx512", "avx2", "baseline"};
    for (int i = 0; i < 3; i++) {
        for (int size = 4; size <= 8; size += 4) {
            const ab_kernel_table *const chosen = ab_table_select(names[i], size);
            if (chosen && (strcmp(chosen->isa, names[i]) || chosen->itemsize != size))
                exit(1);
            if (!chosen && i == 2)
                exit(1);
        }
    }
    if (!ab_table_select(NULL, 4) || ab_table_select(NULL, 2) || ab_table_select("other", 4)
        || ab_kernel_index("no such kernel") != -1) {
        fprintf(stderr, "ab_table_select\n");
        exit(1);
    }
}

int
main(int argc, char **argv)
{
    const ab_kernel_table *tables[6];
    const int count = tables_supported(tables);
    const int dense = argc > 1 && !strcmp(argv[1], "--dense");
    test_selection();
    for (int t = 0; t < count; t++) {
        table = tables[t];
        itemsize = table->itemsize;
        test_functions(dense ? 2000000 : 20000, dense);
        if (dense)
            continue;
        memset(tested, 0, sizeof tested);
        test_special_rows();
        test_elementwise();
        test_unreferenced();
        test_reductions();
        test_losses();
        test_shapes();
        test_products();
        test_families();
        for (int i = 0; i < table->count; i++) {
            if (strcmp(table->kernels[i].name, ab_table_baseline_f32.kernels[i].name)) {
                fprintf(stderr, "tables differ in kernel %d\n", i);
                return 1;
            }
            if (!tested[i]) {
                fprintf(stderr, "no case for %s\n", table->kernels[i].name);
                return 1;
            }
        }
        printf("%s f%d: %d kernels\n", table->isa, itemsize * 8, table->count);
    }
    return 0;
}
