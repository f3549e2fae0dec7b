/* The trainers' updates, compiled once per (instruction set, number type); contract and
 * formulas in include/ab_update.h. Plain loops over restricted pointers: the compiler
 * vectorises them, and each pass reads and writes every number once, which is all that
 * they cost on parameters larger than the caches. */

/* The square root of the number type; with -fno-math-errno one instruction. */
#define UPDATE_SQRT(x)                                                                             \
    ((real)(sizeof(real) == sizeof(float) ? __builtin_sqrtf((float)(x))                            \
                                          : __builtin_sqrt((double)(x))))

/* One loop over the rows around one loop over a row; `body` sees the numbers as w[i], g, m[i],
 * v[i], x[i]. Methods without a state never touch it. */
#define UPDATE_ROWS(update, body)                                                                  \
    const real factor = (real)(update)->factor;                                                    \
    const int64_t dim = (update)->dim;                                                             \
    for (int64_t row = 0; row < (update)->n; row++) {                                              \
        const int64_t place = ((update)->rows ? (update)->rows[row] : row) * dim;                  \
        const real *restrict gradient = (const real *)(update)->g + row * dim;                     \
        real *restrict w = (real *)(update)->w + place;                                            \
        real *restrict m = (update)->m ? (real *)(update)->m + place : NULL;                       \
        real *restrict v = (update)->v ? (real *)(update)->v + place : NULL;                       \
        real *restrict x = (update)->x ? (real *)(update)->x + place : NULL;                       \
        (void)m;                                                                                   \
        (void)v;                                                                                   \
        (void)x;                                                                                   \
        for (int64_t i = 0; i < dim; i++) {                                                        \
            const real g = gradient[i] * factor;                                                   \
            body                                                                                   \
        }                                                                                          \
    }

static void
update_sgd(const ab_update *update, const double *numbers)
{
    const real step = (real)numbers[0];

    UPDATE_ROWS(update, w[i] -= step * g;)
}

static void
update_momentum(const ab_update *update, const double *numbers)
{
    const real step = (real)numbers[0], mu = (real)numbers[1];

    if (numbers[2] != 0) {
        UPDATE_ROWS(update, m[i] = mu * m[i] + g; w[i] -= step * (g + mu * m[i]);)
    } else {
        UPDATE_ROWS(update, m[i] = mu * m[i] + g; w[i] -= step * m[i];)
    }
}

static void
update_adagrad(const ab_update *update, const double *numbers)
{
    const real step = (real)numbers[0], eps = (real)numbers[1];

    UPDATE_ROWS(update, v[i] += g * g; w[i] -= step * g / (UPDATE_SQRT(v[i]) + eps);)
}

static void
update_rmsprop(const ab_update *update, const double *numbers)
{
    const real step = (real)numbers[0], keep = (real)numbers[1], take = (real)(1 - numbers[1]);
    /* Epsilon stands under the root, or beside it. */
    const real under = (real)(numbers[3] != 0 ? numbers[2] : 0);
    const real beside = (real)(numbers[3] != 0 ? 0 : numbers[2]);

    UPDATE_ROWS(update, v[i] = keep * v[i] + take * g * g;
                w[i] -= step * g / (UPDATE_SQRT(v[i] + under) + beside);)
}

static void
update_adamw(const ab_update *update, const double *numbers)
{
    const real rate = (real)numbers[0], correction = (real)numbers[1], eps = (real)numbers[4];
    const real keep1 = (real)numbers[2], take1 = (real)(1 - numbers[2]);
    const real keep2 = (real)numbers[3], take2 = (real)(1 - numbers[3]);
    const real shrink = (real)(1 - numbers[5]);

    UPDATE_ROWS(update, m[i] = keep1 * m[i] + take1 * g; v[i] = keep2 * v[i] + take2 * g * g;
                w[i] = shrink * w[i] - rate * m[i] / (UPDATE_SQRT(v[i]) * correction + eps);)
}

static void
update_adam(const ab_update *update, const double *numbers)
{
    const double all[] = {numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], 0};

    update_adamw(update, all);
}

static void
update_amsgrad(const ab_update *update, const double *numbers)
{
    const real rate = (real)numbers[0], correction = (real)numbers[1], eps = (real)numbers[4];
    const real keep1 = (real)numbers[2], take1 = (real)(1 - numbers[2]);
    const real keep2 = (real)numbers[3], take2 = (real)(1 - numbers[3]);

    UPDATE_ROWS(update, m[i] = keep1 * m[i] + take1 * g; v[i] = keep2 * v[i] + take2 * g * g;
                x[i] = x[i] > v[i] ? x[i] : v[i];
                w[i] -= rate * m[i] / (UPDATE_SQRT(x[i]) * correction + eps);)
}

static void
update_adadelta(const ab_update *update, const double *numbers)
{
    const real rate = (real)numbers[0], keep = (real)numbers[1], take = (real)(1 - numbers[1]);
    const real eps = (real)numbers[2];

    UPDATE_ROWS(update, v[i] = keep * v[i] + take * g * g;
                const real d = g * UPDATE_SQRT(m[i] + eps) / UPDATE_SQRT(v[i] + eps);
                m[i] = keep * m[i] + take * d * d; w[i] -= rate * d;)
}

/* Sixteen sums side by side whatever the vector: the order of the additions, and with it
 * the result, is the same on every instruction set (for float also its bits: a square of
 * floats is exact in double, so that contraction changes nothing). */
static double
update_squared_norm(const void *g, int64_t count)
{
    /* Wider vectors than these the compiler keeps in memory. */
    typedef double sums __attribute__((vector_size(4 * sizeof(double))));
    typedef real numbers
        __attribute__((vector_size(4 * sizeof(real)), aligned(sizeof(real)), may_alias));
    const real *number = g;
    sums total[4] = {{0}};
    double sum[16];
    int64_t i = 0;

    for (; i + 16 <= count; i += 16)
        for (int quarter = 0; quarter < 4; quarter++) {
            const sums wide =
                __builtin_convertvector(*(const numbers *)(number + i + 4 * quarter), sums);
            total[quarter] += wide * wide;
        }
    memcpy(sum, total, sizeof sum);
    for (int lane = 0; i < count; i++, lane++)
        sum[lane] += (double)number[i] * (double)number[i];
    for (int width = 8; width; width /= 2)
        for (int lane = 0; lane < width; lane++)
            sum[lane] += sum[lane + width];
    return sum[0];
}

static void
update_clip(void *g, int64_t count, double low, double high)
{
    real *restrict number = g;
    const real least = (real)low, most = (real)high;

    /* In this order of the operands a NaN fails both comparisons and stays. */
    for (int64_t i = 0; i < count; i++) {
        real x = number[i];
        x = x < least ? least : x;
        number[i] = x > most ? most : x;
    }
}

static const ab_update_kernels AB_NAME(update_kernels) = {
    .rule =
        {
            [AB_SGD] = update_sgd,
            [AB_MOMENTUM] = update_momentum,
            [AB_ADAGRAD] = update_adagrad,
            [AB_RMSPROP] = update_rmsprop,
            [AB_ADAM] = update_adam,
            [AB_ADAMW] = update_adamw,
            [AB_AMSGRAD] = update_amsgrad,
            [AB_ADADELTA] = update_adadelta,
        },
    .squared_norm = update_squared_norm,
    .clip = update_clip,
};
