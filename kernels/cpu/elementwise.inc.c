/* Elementwise kernels: y = f(a, b, c) with operands broadcast as NumPy does.
 *
 * The values and derivatives come from the declarations, rendered into
 * generated/elementwise.inc.c by autobatch/ops/render.py; the loops are here, once.
 *
 * p: [ndim, dims (ndim), strides of operand 0 (ndim, in elements, 0: repeated), of
 * operand 1 ..., attributes (bits of doubles)]. y is contiguous.
 *
 * The plain version is one loop over the index of y. The fast version cuts the work into
 * runs, in which every operand walks with stride 1 or 0, and vectorises each run:
 *   - all rows of a call are one run where they lie side by side;
 *   - a row is one run where its dimensions collapse into one;
 *   - otherwise a run is the innermost dimension. */

#define ELEMENTWISE_OPERANDS 3
#define ELEMENTWISE_ATTRS 2
#define ELEMENTWISE_DIMS 64  /* NumPy's limit */
#define ELEMENTWISE_BLOCK 32 /* runs that are prepared at a time */

typedef struct elementwise_runs {
    int64_t count;
    int64_t n; /* numbers per run */
    void *const *x[ELEMENTWISE_OPERANDS];
    void *const *y;
    void *const *dy; /* backward only */
    void *const *dx;
    int stride[ELEMENTWISE_OPERANDS]; /* 0 or 1 */
    real p[ELEMENTWISE_ATTRS];
} elementwise_runs;

typedef struct elementwise_op {
    int operands;
    int attrs;
    void (*forward)(const elementwise_runs *runs);
    void (*gradient[ELEMENTWISE_OPERANDS])(const elementwise_runs *runs);
} elementwise_op;

#define VALUE_ARGUMENTS                                                                            \
    __attribute__((unused)) const real a, __attribute__((unused)) const real b,                    \
        __attribute__((unused)) const real c, __attribute__((unused)) const real p0,               \
        __attribute__((unused)) const real p1
#define DERIVATIVE_ARGUMENTS VALUE_ARGUMENTS, __attribute__((unused)) const real y

typedef real elementwise_value(VALUE_ARGUMENTS);
typedef real elementwise_derivative(DERIVATIVE_ARGUMENTS);
typedef int elementwise_test(VALUE_ARGUMENTS);

/* One run's operands; those that the op has not are constants, and vanish. */
#define RUN_OPERANDS(runs, i)                                                                      \
    const real *const xa = (runs)->x[0][i];                                                        \
    const real *const xb = operands > 1 ? (runs)->x[1][i] : NULL;                                  \
    const real *const xc = operands > 2 ? (runs)->x[2][i] : NULL;
#define RUN_ARGUMENTS(j)                                                                           \
    xa[(j) * sa], operands > 1 ? xb[(j) * sb] : 0, operands > 2 ? xc[(j) * sc] : 0, p0, p1

/* Whether any number of a run needs the functions that do not vectorise. */
#define RUN_IS_RARE(runs, test)                                                                    \
    int found = 0;                                                                                 \
    if (test != NULL) {                                                                            \
        _Pragma("omp simd reduction(| : found)") for (int64_t j = 0; j < (runs)->n; j++) found |=  \
            test(RUN_ARGUMENTS(j));                                                                \
    }

ALWAYS_INLINE void
elementwise_forward_runs(const elementwise_runs *runs, const int operands, elementwise_value value,
                         elementwise_test rare, elementwise_value any, const int sa, const int sb,
                         const int sc)
{
    const int64_t n = runs->n;
    const real p0 = runs->p[0], p1 = runs->p[1];
    for (int64_t i = 0; i < runs->count; i++) {
        RUN_OPERANDS(runs, i)
        RUN_IS_RARE(runs, rare)
        real *const restrict y = runs->y[i];
        if (found) {
            for (int64_t j = 0; j < n; j++)
                y[j] = any(RUN_ARGUMENTS(j));
            continue;
        }
        if (n < VECTOR) {
#pragma omp simd
            for (int64_t j = 0; j < n; j++)
                y[j] = value(RUN_ARGUMENTS(j));
            continue;
        }
        /* Whole vectors only: the last one ends with the run and repeats what it overlaps. */
        for (int64_t next = 0; next < n; next += VECTOR) {
            const int64_t first = next < n - VECTOR ? next : n - VECTOR;
#pragma omp simd
            for (int64_t j = first; j < first + VECTOR; j++)
                y[j] = value(RUN_ARGUMENTS(j));
        }
    }
}

ALWAYS_INLINE void
elementwise_gradient_runs(const elementwise_runs *runs, const int operands, const int wrt,
                          elementwise_derivative derivative, elementwise_test rare,
                          elementwise_derivative any, const int sa, const int sb, const int sc)
{
    const int64_t n = runs->n;
    const real p0 = runs->p[0], p1 = runs->p[1];
    const int repeated = (wrt == 0 ? sa : wrt == 1 ? sb : sc) == 0;
    for (int64_t i = 0; i < runs->count; i++) {
        RUN_OPERANDS(runs, i)
        RUN_IS_RARE(runs, rare)
        const real *const y = runs->y[i];
        const real *const dy = runs->dy[i];
        real *const restrict dx = runs->dx[i];
        if (found) {
            for (int64_t j = 0; j < n; j++)
                dx[repeated ? 0 : j] += dy[j] * any(RUN_ARGUMENTS(j), y[j]);
        } else if (repeated) {
            real sum = 0;
#pragma omp simd reduction(+ : sum)
            for (int64_t j = 0; j < n; j++)
                sum += dy[j] * derivative(RUN_ARGUMENTS(j), y[j]);
            dx[0] += sum;
        } else {
#pragma omp simd
            for (int64_t j = 0; j < n; j++)
                dx[j] += dy[j] * derivative(RUN_ARGUMENTS(j), y[j]);
        }
    }
}

/* Calls `loops` with the strides as constants, one copy of the loops for each. A run of one
 * number fits any; otherwise one operand at least has stride 1. */
#define ELEMENTWISE_CASE(k, loops, ...)                                                            \
    case k:                                                                                        \
        loops(__VA_ARGS__, (k) & 1, (k) >> 1 & 1, (k) >> 2 & 1);                                   \
        break;
#define ELEMENTWISE_STRIDES(runs, loops, ...)                                                      \
    const int key =                                                                                \
        (runs)->n == 1 ? 7 : (runs)->stride[0] | (runs)->stride[1] << 1 | (runs)->stride[2] << 2;  \
    switch (key & ((1 << operands) - 1)) {                                                         \
        ELEMENTWISE_CASE(1, loops, __VA_ARGS__)                                                    \
        ELEMENTWISE_CASE(2, loops, __VA_ARGS__)                                                    \
        ELEMENTWISE_CASE(3, loops, __VA_ARGS__)                                                    \
        ELEMENTWISE_CASE(4, loops, __VA_ARGS__)                                                    \
        ELEMENTWISE_CASE(5, loops, __VA_ARGS__)                                                    \
        ELEMENTWISE_CASE(6, loops, __VA_ARGS__)                                                    \
        ELEMENTWISE_CASE(7, loops, __VA_ARGS__)                                                    \
    }

ALWAYS_INLINE void
elementwise_forward_loops(const elementwise_runs *runs, const int operands, elementwise_value value,
                          elementwise_test rare, elementwise_value any)
{
    ELEMENTWISE_STRIDES(runs, elementwise_forward_runs, runs, operands, value, rare, any);
}

ALWAYS_INLINE void
elementwise_gradient_loops(const elementwise_runs *runs, const int operands, const int wrt,
                           elementwise_derivative derivative, elementwise_test rare,
                           elementwise_derivative any)
{
    ELEMENTWISE_STRIDES(runs, elementwise_gradient_runs, runs, operands, wrt, derivative, rare,
                        any);
}

/* ------------------------------------------------------------------ from call to runs */

/* Makes all rows one run, if they lie side by side. */
static int
elementwise_flatten(const ab_call *call, int operands, int backward, elementwise_runs *runs)
{
    const int64_t row = runs->n * (int64_t)sizeof(real);
    int stride[ELEMENTWISE_OPERANDS] = {0};
    int walking = 0;
    for (int j = 0; j < operands; j++) {
        const int one = runs->n == 1 || runs->stride[j] == 0;
        if (call->x[j].stride == row && (runs->n == 1 || runs->stride[j] == 1))
            walking = stride[j] = 1;
        else if (!(call->x[j].stride == 0 && one))
            return 0;
    }
    if (!walking || call->y.stride != row)
        return 0;
    if (backward && (call->dy.stride != row || call->dx.stride != (stride[call->wrt] ? row : 0)))
        return 0;
    memcpy(runs->stride, stride, sizeof stride);
    runs->n *= call->n;
    runs->count = 1;
    return 1;
}

ALWAYS_INLINE void
elementwise_run(const ab_call *call, const int backward)
{
    const elementwise_op *const op = call->self;
    void (*const loops)(const elementwise_runs *) =
        backward ? op->gradient[call->wrt] : op->forward;
    const int operands = op->operands;
    const int ndim = (int)call->p[0];
    const int64_t *const dims = call->p + 1;
    const int64_t *const strides = dims + ndim;
    elementwise_runs runs = {.count = call->n, .n = dims[ndim - 1], .y = call->y.row};
    for (int i = 0; i < op->attrs; i++)
        runs.p[i] = (real)ab_double(strides[operands * ndim + i]);
    for (int j = 0; j < operands; j++) {
        runs.stride[j] = (int)strides[j * ndim + ndim - 1];
        runs.x[j] = call->x[j].row;
    }
    if (backward) {
        runs.dy = call->dy.row;
        runs.dx = call->dx.row;
    }
    if (ndim == 1) {
        if (call->n > 1)
            elementwise_flatten(call, operands, backward, &runs);
        loops(&runs);
        return;
    }

    for (int d = 0; d < ndim; d++) {
        if (dims[d] == 0)
            return;
    }
    void *x[ELEMENTWISE_OPERANDS][ELEMENTWISE_BLOCK], *y[ELEMENTWISE_BLOCK];
    void *dy[ELEMENTWISE_BLOCK], *dx[ELEMENTWISE_BLOCK];
    for (int j = 0; j < operands; j++)
        runs.x[j] = x[j];
    runs.y = y;
    runs.dy = dy;
    runs.dx = dx;
    int64_t filled = 0;
    for (int64_t i = 0; i < call->n; i++) {
        int64_t index[ELEMENTWISE_DIMS] = {0};
        int64_t at[ELEMENTWISE_OPERANDS] = {0};
        int64_t to = 0;
        int d;
        do {
            for (int j = 0; j < operands; j++)
                x[j][filled] = ROW(call->x[j], i) + at[j];
            y[filled] = ROW(call->y, i) + to;
            if (backward) {
                dy[filled] = ROW(call->dy, i) + to;
                dx[filled] = ROW(call->dx, i) + at[call->wrt];
            }
            if (++filled == ELEMENTWISE_BLOCK) {
                runs.count = filled;
                loops(&runs);
                filled = 0;
            }
            to += dims[ndim - 1];
            for (d = ndim - 2; d >= 0; d--) {
                for (int j = 0; j < operands; j++)
                    at[j] += strides[j * ndim + d];
                if (++index[d] < dims[d])
                    break;
                for (int j = 0; j < operands; j++)
                    at[j] -= strides[j * ndim + d] * dims[d];
                index[d] = 0;
            }
        } while (d >= 0);
    }
    runs.count = filled;
    loops(&runs);
}

static void
elementwise_forward(const ab_call *call)
{
    elementwise_run(call, 0);
}

static void
elementwise_backward(const ab_call *call)
{
    /* An operand without a gradient adds nothing. */
    if (((const elementwise_op *)call->self)->gradient[call->wrt] != NULL)
        elementwise_run(call, 1);
}

/* -------------------------------------------------------------- what the rendering uses */

#define AB_VALUE(name) static inline real name##_value(VALUE_ARGUMENTS)
#define AB_DERIVATIVE(name, j) static inline real name##_derivative_##j(DERIVATIVE_ARGUMENTS)
/* For ops whose functions vectorise only where AB_RARE is false. */
#define AB_RARE(name) static inline int name##_rare(VALUE_ARGUMENTS)
#define AB_RARE_VALUE(name) static inline real name##_rare_value(VALUE_ARGUMENTS)
#define AB_RARE_DERIVATIVE(name, j)                                                                \
    static inline real name##_rare_derivative_##j(DERIVATIVE_ARGUMENTS)

#define AB_FORWARD(name, operands)                                                                 \
    static void name##_forward(const elementwise_runs *runs)                                       \
    {                                                                                              \
        elementwise_forward_loops(runs, operands, name##_value, NULL, NULL);                       \
    }
#define AB_GRADIENT(name, operands, j)                                                             \
    static void name##_gradient_##j(const elementwise_runs *runs)                                  \
    {                                                                                              \
        elementwise_gradient_loops(runs, operands, j, name##_derivative_##j, NULL, NULL);          \
    }
#define AB_FORWARD_RARE(name, operands)                                                            \
    static void name##_forward(const elementwise_runs *runs)                                       \
    {                                                                                              \
        elementwise_forward_loops(runs, operands, name##_value, name##_rare, name##_rare_value);   \
    }
#define AB_GRADIENT_RARE(name, operands, j)                                                        \
    static void name##_gradient_##j(const elementwise_runs *runs)                                  \
    {                                                                                              \
        elementwise_gradient_loops(runs, operands, j, name##_derivative_##j, name##_rare,          \
                                   name##_rare_derivative_##j);                                    \
    }
#define AB_ELEMENTWISE(name, operands, attrs, ...)                                                 \
    static const elementwise_op name##_op = {operands, attrs, name##_forward, {__VA_ARGS__}};
#define AB_READS(name, ...) static const uint32_t name##_reads[] = {__VA_ARGS__};
#define AB_ELEMENTWISE_KERNEL(op)                                                                  \
    {.name = #op,                                                                                  \
     .forward = elementwise_forward,                                                               \
     .backward = elementwise_backward,                                                             \
     .self = &op##_op,                                                                             \
     .reads = op##_reads},

#include "../generated/elementwise.inc.c"
