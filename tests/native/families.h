/* Cases of test_kernels.c: statistics, distributions, random arrays, windows, and what else has
 * no family of its own. Plain loops that follow each kernel's definition, not its method. */

/* ------------------------------------------------- lines along an axis: outer, len, inner */

typedef void line_fn(const test_case *c, int64_t n, const double *x, const double *u, double *y);

/* Applies a function to every line; those of y have `ylen` numbers. */
static void
lines(const test_case *c, double *const *x, double *y, int64_t ylen, line_fn *apply)
{
    const int64_t outer = c->p[0], len = c->p[1], inner = c->p[2];
    double from[128], bounds[128], to[128];
    for (int64_t o = 0; o < outer; o++) {
        for (int64_t k = 0; k < inner; k++) {
            for (int64_t l = 0; l < len; l++) {
                from[l] = along(c, x[0], o, l, k);
                bounds[l] = c->nin > 1 ? along(c, x[1], o, l, k) : 0;
            }
            apply(c, len, from, bounds, to);
            for (int64_t l = 0; l < ylen; l++)
                y[(o * ylen + l) * inner + k] = to[l];
        }
    }
}

static void
cumsum_line(const test_case *c, int64_t n, const double *x, const double *u, double *y)
{
    (void)c, (void)u;
    for (int64_t l = 0; l < n; l++) {
        y[l] = 0;
        for (int64_t i = 0; i <= l; i++)
            y[l] += x[i];
    }
}

static void
std_line(const test_case *c, int64_t n, const double *x, const double *u, double *y)
{
    (void)c, (void)u;
    double mean = 0, variance = 0;
    for (int64_t l = 0; l < n; l++)
        mean += x[l] / (double)n;
    for (int64_t l = 0; l < n; l++)
        variance += (x[l] - mean) * (x[l] - mean) / (double)n;
    y[0] = sqrt(variance);
}

static void
moment_line(const test_case *c, int64_t n, const double *x, const double *u, double *y)
{
    (void)u;
    y[0] = 0;
    for (int64_t l = 0; l < n; l++)
        y[0] += pow(x[l], (double)c->p[3]) / (double)n;
}

/* The place of a number when the line is sorted, the largest first. */
static int64_t
rank(int64_t n, const double *x, int64_t at)
{
    int64_t larger = 0;
    for (int64_t l = 0; l < n; l++)
        larger += x[l] > x[at];
    return larger;
}

static void
hardmax_line(const test_case *c, int64_t n, const double *x, const double *u, double *y)
{
    (void)c, (void)u;
    for (int64_t l = 0; l < n; l++)
        y[l] = rank(n, x, l) == 0;
}

static void
kmax_line(const test_case *c, int64_t n, const double *x, const double *u, double *y)
{
    (void)u;
    for (int64_t l = 0; l < n; l++) {
        if (rank(n, x, l) < c->p[3])
            *y++ = x[l];
    }
}

/* y = max(0, x - t), with the t that makes the sum 1. */
static void
sparsemax_line(const test_case *c, int64_t n, const double *x, const double *u, double *y)
{
    (void)c, (void)u;
    double low = -100, high = 100;
    for (int i = 0; i < 64; i++) {
        const double t = (low + high) / 2;
        double sum = 0;
        for (int64_t l = 0; l < n; l++)
            sum += fmax(0, x[l] - t);
        *(sum > 1 ? &low : &high) = t;
    }
    for (int64_t l = 0; l < n; l++)
        y[l] = fmax(0, x[l] - low);
}

/* y = min(u, s exp(x)), with the s that makes the sum 1; u where the bounds leave less. */
static void
constrained_line(const test_case *c, int64_t n, const double *x, const double *u, double *y)
{
    (void)c;
    double low = -100, high = 100; /* log s */
    for (int i = 0; i < 64; i++) {
        const double log_s = (low + high) / 2;
        double sum = 0;
        for (int64_t l = 0; l < n; l++)
            sum += fmin(u[l], exp(x[l] + log_s));
        *(sum < 1 ? &low : &high) = log_s;
    }
    for (int64_t l = 0; l < n; l++)
        y[l] = fmin(u[l], exp(x[l] + high));
}

static void
line_plain(const test_case *c, const int64_t *data, double *const *x, double *y)
{
    (void)data;
    const char *const kind = c->kernel;
    if (!strcmp(kind, "cumsum"))
        lines(c, x, y, c->p[1], cumsum_line);
    else if (!strcmp(kind, "reduce_std"))
        lines(c, x, y, 1, std_line);
    else if (!strcmp(kind, "reduce_moment"))
        lines(c, x, y, 1, moment_line);
    else if (!strcmp(kind, "hardmax"))
        lines(c, x, y, c->p[1], hardmax_line);
    else if (!strcmp(kind, "kmax"))
        lines(c, x, y, c->p[3], kmax_line);
    else if (!strcmp(kind, "sparsemax"))
        lines(c, x, y, c->p[1], sparsemax_line);
    else
        lines(c, x, y, c->p[1], constrained_line);
}

static void
test_lines(void)
{
    static const int64_t shapes[][3] = {{1, 1, 1}, {1, 5, 1}, {3, 17, 1}, {1, 100, 1}, {4, 3, 5},
                                        {2, 6, 7}, {1, 9, 6}, {0, 3, 2},  {2, 3, 0}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        const int64_t outer = shapes[s][0], len = shapes[s][1], inner = shapes[s][2];
        const int64_t size = outer * len * inner;
        CASE(.kernel = "cumsum", .reference = line_plain, .nin = 1, .size = {size}, .ysize = size,
             .p = {outer, len, inner});
        CASE(.kernel = "reduce_std", .reference = line_plain, .nin = 1, .size = {size},
             .ysize = outer * inner, .p = {outer, len, inner});
        for (int64_t order = 1; order <= 3; order++)
            CASE(.kernel = "reduce_moment", .reference = line_plain, .nin = 1, .size = {size},
                 .ysize = outer * inner, .p = {outer, len, inner, order});
        CASE(.kernel = "hardmax", .reference = line_plain, .nin = 1, .size = {size}, .ysize = size,
             .p = {outer, len, inner});
        for (int64_t count = 1; count <= len; count += count < 3 ? 1 : len)
            CASE(.kernel = "kmax", .reference = line_plain, .nin = 1, .size = {size},
                 .ysize = outer * count * inner, .p = {outer, len, inner, count});
        if (size > 60) /* slow references */
            continue;
        CASE(.kernel = "sparsemax", .reference = line_plain, .nin = 1, .size = {size},
             .ysize = size, .p = {outer, len, inner}, .kinked = 1);
        CASE_WITHIN(0.05, 0.5, .kernel = "constrained_softmax", .reference = line_plain, .nin = 2,
                    .size = {size, size}, .ysize = size, .p = {outer, len, inner}, .kinked = 1);
    }
}

/* ------------------------------------------------------------------------- whole vectors */

static void
layer_norm_plain(const test_case *c, const int64_t *data, double *const *x, double *y)
{
    (void)data;
    const int64_t dim = c->p[1];
    for (int64_t v = 0; v < c->p[0]; v++) {
        const double *const own = x[0] + v * dim;
        double mean = 0, variance = 0;
        for (int64_t k = 0; k < dim; k++)
            mean += own[k] / (double)dim;
        for (int64_t k = 0; k < dim; k++)
            variance += (own[k] - mean) * (own[k] - mean) / (double)dim;
        for (int64_t k = 0; k < dim; k++)
            *y++ = x[1][k] * (own[k] - mean) / sqrt(variance + ab_double(c->p[2])) + x[2][k];
    }
}

static void
restricted_plain(const test_case *c, const int64_t *data, double *const *x, double *y)
{
    double sum = 0;
    for (int64_t i = 0; i < c->p[1]; i++)
        sum += exp(x[0][data[i]]);
    for (int64_t k = 0; k < c->p[0]; k++)
        y[k] = -INFINITY;
    for (int64_t i = 0; i < c->p[1]; i++)
        y[data[i]] = x[0][data[i]] - log(sum);
}

static void
circular_plain(const test_case *c, const int64_t *data, double *const *x, double *y)
{
    (void)data;
    const int64_t n = c->p[0];
    for (int64_t k = 0; k < n; k++) {
        y[k] = 0;
        for (int64_t i = 0; i < n; i++)
            y[k] += x[0][i] * x[1][c->p[1] ? (i + k) % n : (k - i + n) % n];
    }
}

static void
lstm_cell_plain(const test_case *c, const int64_t *data, double *const *x, double *y)
{
    (void)data;
    const int64_t d = c->p[0];
    for (int64_t k = 0; k < d; k++) {
        double gate[3]; /* i, f, o */
        for (int g = 0; g < 3; g++)
            gate[g] = 1 / (1 + exp(-x[0][g * d + k]));
        y[d + k] = gate[1] * x[1][k] + gate[0] * tanh(x[0][3 * d + k]);
        y[k] = gate[2] * tanh(y[d + k]);
    }
}

static void
test_vectors(void)
{
    static const int64_t sizes[] = {1, 2, 7, 16, 33, 77};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        const int64_t n = sizes[s];
        CASE(.kernel = "layer_norm", .reference = layer_norm_plain, .nin = 3, .size = {3 * n, n, n},
             .ysize = 3 * n, .p = {3, n, bits_of(0.1)});
        CASE(.kernel = "log_softmax_restricted", .reference = restricted_plain, .nin = 1,
             .size = {n}, .ysize = n, .p = {n, (n + 1) / 2}, .words = (int)((n + 1) / 2),
             .limit = n, .distinct = 1);
        for (int correlate = 0; correlate < 2; correlate++)
            CASE_WITHIN(-0.01, 1, .kernel = "circular", .reference = circular_plain, .nin = 2,
                        .size = {n, n}, .ysize = n, .p = {n, correlate});
        CASE(.kernel = "lstm_cell", .reference = lstm_cell_plain, .nin = 2, .size = {4 * n, n},
             .ysize = 2 * n, .p = {n});
    }
}

/* ------------------------------------------------------------------------- random arrays */

static void
random_plain(const test_case *c, const int64_t *data, double *const *x, double *y)
{
    (void)x;
    const char *const kind = c->kernel;
    const double a = ab_double(c->p[1]), b = ab_double(c->p[2]);
    const uint64_t start = mix((uint64_t)data[0] ^ 0x9E3779B97F4A7C15u * ((uint64_t)data[1] + 1));
    for (int64_t k = 0; k < c->ysize; k++) {
        const uint64_t bits = mix(start + (uint64_t)k), high = bits >> 40;
        const double u = (double)high * 0x1p-24;
        const double turn = (double)(bits >> 8 & 0xFFFFFFFFu) * 0x1p-32;
        if (!strcmp(kind, "random_uniform"))
            y[k] = a + (b - a) * u;
        else if (!strcmp(kind, "random_normal"))
            y[k] = a + b * sqrt(-2 * log(u + 0x1p-24)) * cos(2 * 3.14159265358979323846 * turn);
        else if (!strcmp(kind, "random_gumbel"))
            y[k] = a - b * log(-log(u + 0x1p-25));
        else
            y[k] = u < a ? b : 0;
    }
}

/* The generator is right if its numbers are those of the formula; that these are random as
 * they should be is for the moments to show. */
static void
test_moments(const char *kernel, double a, double b, double mean, double deviation)
{
    enum { N = 100000 };
    double *const values = malloc(N * sizeof *values), sum = 0, squares = 0;
    if (!values)
        exit(2);
    const int64_t p[] = {N, bits_of(a), bits_of(b)}, words[] = {7, 3}, *data = words;
    void *row = values;
    const ab_call call = {.n = 1, .p = p, .y = {&row, 0}, .data = &data};
    kernel_named(table, kernel)->forward(&call);
    for (int k = 0; k < N; k++) {
        sum += get(values, k);
        squares += get(values, k) * get(values, k);
    }
    free(values);
    const double got = sum / N, spread_ = sqrt(squares / N - got * got);
    if (fabs(got - mean) > 5 * deviation / sqrt(N) || fabs(spread_ / deviation - 1) > 0.03) {
        fprintf(stderr, "%s in %s f%d: mean %g, deviation %g\n", kernel, table->isa, itemsize * 8,
                got, spread_);
        exit(1);
    }
}

static void
test_random(void)
{
    static const char *const kernels[] = {"random_uniform", "random_normal", "random_gumbel",
                                          "random_bernoulli"};
    static const int64_t sizes[] = {0, 1, 5, 64, 150};
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++) {
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
            CASE(.kernel = kernels[i], .reference = random_plain, .ysize = sizes[s],
                 .p = {sizes[s], bits_of(0.3), bits_of(1.7)}, .words = 2, .limit = INT64_MAX);
    }
    const double pi = 3.14159265358979323846;
    test_moments("random_uniform", -1, 3, 1, 4 / sqrt(12));
    test_moments("random_normal", 0.5, 2, 0.5, 2);
    test_moments("random_gumbel", 0.5, 2, 0.5 + 2 * 0.57721566490153286061, 2 * pi / sqrt(6));
    test_moments("random_bernoulli", 0.3, 2, 0.6, 2 * sqrt(0.3 * 0.7));
}

/* ------------------------------------------------------------------- rows and windows */

static void
gather_axis_plain(const test_case *c, const int64_t *data, double *const *x, double *y)
{
    for (int64_t o = 0; o < c->p[0]; o++) {
        for (int64_t i = 0; i < c->p[3]; i++) {
            for (int64_t k = 0; k < c->p[2]; k++)
                *y++ = along(c, x[0], o, data[i], k);
        }
    }
}

static void
batch_stack_plain(const test_case *c, const int64_t *data, double *const *x, double *y)
{
    (void)data;
    int rows = 0;
    for (int j = 0; j < c->nin; j++)
        rows += (int)c->rows[j];
    for (int r = 0; r < rows; r++) {
        for (int64_t k = 0; k < c->p[0]; k++)
            *y++ = x[r][k];
    }
}

/* The number of an image that a place of a window shows; `outside` where it is padding. */
static double
window_number(const int64_t *p, const double *x, int64_t channel, int64_t oy, int64_t ox,
              int64_t ky, int64_t kx, double outside)
{
    const int64_t row = oy * p[5] - p[7] + ky, column = ox * p[6] - p[8] + kx;
    const int inside = row >= 0 && row < p[1] && column >= 0 && column < p[2];
    return inside ? x[(channel * p[1] + row) * p[2] + column] : outside;
}

static void
unfold2d_plain(const test_case *c, const int64_t *data, double *const *x, double *y)
{
    (void)data;
    const int64_t *const p = c->p;
    for (int64_t o = 0; o < p[9] * p[10]; o++) {
        for (int64_t k = 0; k < p[0] * p[3] * p[4]; k++)
            *y++ = window_number(p, x[0], k / (p[3] * p[4]), o / p[10], o % p[10], k / p[4] % p[3],
                                 k % p[4], 0);
    }
}

static void
max_pool2d_plain(const test_case *c, const int64_t *data, double *const *x, double *y)
{
    (void)data;
    const int64_t *const p = c->p;
    for (int64_t o = 0; o < p[0] * p[9] * p[10]; o++) {
        double most = -INFINITY;
        for (int64_t k = 0; k < p[3] * p[4]; k++)
            most = fmax(most, window_number(p, x[0], o / (p[9] * p[10]), o / p[10] % p[9],
                                            o % p[10], k / p[4], k % p[4], -INFINITY));
        *y++ = most;
    }
}

static void
test_windows(void)
{
    /* channels, height, width, window, steps, padding above and left, result */
    static const int64_t forms[][11] = {
        {1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1}, {2, 5, 6, 3, 2, 1, 1, 0, 0, 3, 5},
        {3, 5, 4, 3, 3, 1, 1, 1, 1, 5, 4}, {1, 7, 7, 2, 3, 2, 3, 0, 1, 4, 3},
        {2, 4, 3, 4, 3, 3, 2, 2, 1, 2, 2}, {1, 3, 40, 3, 35, 1, 2, 1, 17, 3, 20}};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        const int64_t *const p = forms[i];
        test_case c = {.kernel = "unfold2d",
                       .reference = unfold2d_plain,
                       .nin = 1,
                       .size = {p[0] * p[1] * p[2]},
                       .ysize = p[9] * p[10] * p[0] * p[3] * p[4],
                       .low = -0.01,
                       .high = 2};
        memcpy(c.p, p, sizeof forms[i]);
        run(&c);
        c.kernel = "max_pool2d";
        c.reference = max_pool2d_plain;
        c.ysize = p[0] * p[9] * p[10];
        run(&c);
    }
}

/* Cofactors along the first row: of small matrices, as the definition has it. */
static double
determinant(int64_t n, const double *a)
{
    double total = 0, minor[16];
    if (n == 1)
        return a[0];
    for (int64_t c = 0; c < n; c++) {
        for (int64_t i = 1, at = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++)
                if (j != c)
                    minor[at++] = a[i * n + j];
        total += (c % 2 ? -1 : 1) * a[c] * determinant(n - 1, minor);
    }
    return total;
}

static void
logdet_plain(const test_case *c, const int64_t *data, double *const *x, double *y)
{
    (void)data;
    y[0] = log(determinant(c->p[0], x[0])); /* NaN where it is negative */
}

static void
logdet_slope(const test_case *c, const int64_t *data, double *const *x, double *y)
{
    (void)data;
    y[0] = log(fabs(determinant(c->p[0], x[0]))); /* has a derivative on either side */
}

static void
inverse_plain(const test_case *c, const int64_t *data, double *const *x, double *y)
{
    const int64_t n = c->p[0];
    double turned[16], whole = determinant(n, x[0]);
    (void)data;
    for (int64_t i = 0; i < n; i++) /* Cramer's rule: column i of the inverse */
        for (int64_t j = 0; j < n; j++) {
            for (int64_t k = 0; k < n * n; k++)
                turned[k] = k % n == j ? (k / n == i) : x[0][k];
            y[j * n + i] = determinant(n, turned) / whole;
        }
}

static void
algebra_case(int64_t n)
{
    run(&(test_case){.kernel = "inverse",
                     .reference = inverse_plain,
                     .nin = 1,
                     .size = {n * n},
                     .ysize = n * n,
                     .p = {n},
                     .low = 0.5,
                     .high = 2});
    run(&(test_case){.kernel = "logdet",
                     .reference = logdet_plain,
                     .slope = logdet_slope,
                     .nin = 1,
                     .size = {n * n},
                     .ysize = 1,
                     .p = {n},
                     .low = 0.5,
                     .high = 2});
}

static void
test_families(void)
{
    algebra_case(1);
    algebra_case(2);
    algebra_case(3);
    test_lines();
    test_vectors();
    test_random();
    test_windows();
    CASE(.kernel = "gather_axis", .reference = gather_axis_plain, .nin = 1, .size = {3 * 7 * 5},
         .ysize = 3 * 4 * 5, .p = {3, 7, 5, 4}, .words = 4, .limit = 7);
    CASE(.kernel = "gather_axis", .reference = gather_axis_plain, .nin = 1, .size = {6 * 9},
         .ysize = 6, .p = {6, 9, 1, 1}, .words = 1, .limit = 9);
    CASE(.kernel = "gather_axis", .reference = gather_axis_plain, .nin = 1, .size = {2 * 70},
         .ysize = 3 * 70, .p = {1, 2, 70, 3}, .words = 3, .limit = 2);
    for (int64_t size = 0; size <= 80; size += size < 2 ? 1 : 39)
        CASE(.kernel = "batch_stack", .reference = batch_stack_plain, .nin = 3,
             .size = {size, size, size}, .rows = {2, 1, 4}, .ysize = 7 * size,
             .p = {size, 2, 3, 7});
}
