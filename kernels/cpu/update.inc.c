/* The trainers' updates, compiled once per (instruction set, number type); contract and
 * formulas in include/ab_update.h. Plain loops over restricted pointers: the compiler
 * vectorises them, and each pass reads and writes every number once, which is all that
 * they cost on parameters larger than the caches. */

/* The square root of the number type; with -fno-math-errno one instruction. */
#define UPDATE_SQRT(x)                                                                             \
    ((real)(sizeof(real) == sizeof(float) ? __builtin_sqrtf((float)(x))                            \
                                          : __builtin_sqrt((double)(x))))

/* One loop over the rows around one loop over a row; `body` sees the numbers as w[i], g, m[i],
 * v[i]. Methods without a state never touch m or v. */
#define UPDATE_ROWS(update, body)                                                                  \
    const real factor = (real)(update)->factor;                                                    \
    const int64_t dim = (update)->dim;                                                             \
    for (int64_t row = 0; row < (update)->n; row++) {                                              \
        const int64_t place = ((update)->rows ? (update)->rows[row] : row) * dim;                  \
        const real *restrict gradient = (const real *)(update)->g + row * dim;                     \
        real *restrict w = (real *)(update)->w + place;                                            \
        real *restrict m = (update)->m ? (real *)(update)->m + place : NULL;                       \
        real *restrict v = (update)->v ? (real *)(update)->v + place : NULL;                       \
        (void)m;                                                                                   \
        (void)v;                                                                                   \
        for (int64_t i = 0; i < dim; i++) {                                                        \
            const real g = gradient[i] * factor;                                                   \
            body                                                                                   \
        }                                                                                          \
    }

static void
update_sgd(const ab_update *update, double rate)
{
    const real step = (real)rate;

    UPDATE_ROWS(update, w[i] -= step * g;)
}

static void
update_momentum(const ab_update *update, double rate, double momentum, int nesterov)
{
    const real step = (real)rate, mu = (real)momentum;

    if (nesterov) {
        UPDATE_ROWS(update, m[i] = mu * m[i] + g; w[i] -= step * (g + mu * m[i]);)
    } else {
        UPDATE_ROWS(update, m[i] = mu * m[i] + g; w[i] -= step * m[i];)
    }
}

static void
update_adagrad(const ab_update *update, double rate, double epsilon)
{
    const real step = (real)rate, eps = (real)epsilon;

    UPDATE_ROWS(update, v[i] += g * g; w[i] -= step * g / (UPDATE_SQRT(v[i]) + eps);)
}

static void
update_rmsprop(const ab_update *update, double rate, double rho, double epsilon)
{
    const real step = (real)rate, keep = (real)rho, take = (real)(1 - rho), eps = (real)epsilon;

    UPDATE_ROWS(update, v[i] = keep * v[i] + take * (g * g);
                w[i] -= step * g / (UPDATE_SQRT(v[i]) + eps);)
}

static void
update_adamw(const ab_update *update, double step, double scale, double beta1, double beta2,
             double epsilon, double decay)
{
    const real rate = (real)step, correction = (real)scale, eps = (real)epsilon;
    const real keep1 = (real)beta1, take1 = (real)(1 - beta1);
    const real keep2 = (real)beta2, take2 = (real)(1 - beta2);
    const real shrink = (real)(1 - decay);

    UPDATE_ROWS(update, m[i] = keep1 * m[i] + take1 * g; v[i] = keep2 * v[i] + take2 * (g * g);
                w[i] = shrink * w[i] - rate * m[i] / (UPDATE_SQRT(v[i]) * correction + eps);)
}

static void
update_adam(const ab_update *update, double step, double scale, double beta1, double beta2,
            double epsilon)
{
    update_adamw(update, step, scale, beta1, beta2, epsilon, 0);
}

/* Sixteen sums side by side whatever the vector: the order of the additions, and with it
 * the result, is the same on every instruction set (for float also its bits: a square of
 * floats is exact in double, so that contraction changes nothing). */
static double
update_squared_norm(const void *g, int64_t count)
{
    typedef double sums __attribute__((vector_size(16 * sizeof(double))));
    typedef real numbers
        __attribute__((vector_size(16 * sizeof(real)), aligned(sizeof(real)), may_alias));
    const real *number = g;
    sums total = {0};
    double sum[16];
    int64_t i = 0;

    for (; i + 16 <= count; i += 16) {
        sums wide = __builtin_convertvector(*(const numbers *)(number + i), sums);
        total += wide * wide;
    }
    memcpy(sum, &total, sizeof sum);
    for (int lane = 0; i < count; i++, lane++)
        sum[lane] += (double)number[i] * (double)number[i];
    for (int width = 8; width; width /= 2)
        for (int lane = 0; lane < width; lane++)
            sum[lane] += sum[lane + width];
    return sum[0];
}

static void
update_scale(void *g, int64_t count, double factor)
{
    real *restrict number = g;
    const real by = (real)factor;

    for (int64_t i = 0; i < count; i++)
        number[i] *= by;
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
    .sgd = update_sgd,
    .momentum = update_momentum,
    .adagrad = update_adagrad,
    .rmsprop = update_rmsprop,
    .adam = update_adam,
    .adamw = update_adamw,
    .squared_norm = update_squared_norm,
    .scale = update_scale,
    .clip = update_clip,
};
