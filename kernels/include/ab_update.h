/* The contract between the trainers and the update kernels.
 *
 * An update walks n rows of `dim` numbers of a parameter. A dense parameter is one
 * row of all its numbers (n = 1, rows = NULL). Of a lookup only the rows that have a
 * gradient are walked: `rows` names them, each once, and the gradient is compact, so
 * rows that were not used keep their values and their state as they are (the "lazy"
 * or "sparse" form of these methods).
 *
 * Every number of the gradient is multiplied by `factor` first (clipping by the global
 * norm, or a mean instead of a sum); below, g is that product. Threads share the work
 * by calling with parts of a parameter: parts of a row, or some of the rows. Each number
 * is updated by itself, so how the work is cut changes no bit of the result.
 *
 * Kernels read no clock, keep no state and allocate nothing. They do not look for
 * non-finite gradients: `squared_norm` of the whole gradient tells, before any update.
 */
#ifndef AB_UPDATE_H
#define AB_UPDATE_H

#include <stdint.h>

typedef struct ab_update {
    void *w;             /* the parameter: rows of dim numbers */
    const void *g;       /* its gradient: row i is that of the parameter's row rows[i] */
    void *m;             /* first state of the method, laid out as w; NULL if it has none */
    void *v;             /* second state, laid out as w; NULL if it has none */
    void *x;             /* third state, laid out as w; NULL if it has none */
    const int64_t *rows; /* [n]; NULL: row i is row i */
    int64_t n;
    int64_t dim;
    double factor;
} ab_update;

/* The rules, and the numbers that each kernel takes, in order. */
enum ab_rule {
    /* rate: w -= rate * g */
    AB_SGD,

    /* rate, momentum, nesterov: m = momentum * m + g; w -= rate * m. With nesterov:
     * w -= rate * (g + momentum * m). Heavy ball and Nesterov's method in the form of
     * Sutskever et al. 2013, the rate outside the velocity. State: m. */
    AB_MOMENTUM,

    /* rate, epsilon: v += g^2; w -= rate * g / (sqrt(v) + epsilon). Duchi et al. 2011.
     * State: v. */
    AB_ADAGRAD,

    /* rate, rho, epsilon, inside: v = rho * v + (1 - rho) * g^2;
     * w -= rate * g / (sqrt(v) + epsilon); inside: / sqrt(v + epsilon).
     * Tieleman and Hinton 2012. State: v. */
    AB_RMSPROP,

    /* step, scale, beta1, beta2, epsilon: m = beta1 * m + (1 - beta1) * g;
     * v = beta2 * v + (1 - beta2) * g^2; w -= step * m / (sqrt(v) * scale + epsilon).
     * Kingma and Ba 2015. The corrections of the bias are in step and scale, see AB_UPDATE_T.
     * State: m, v. */
    AB_ADAM,

    /* ... and decay: w *= 1 - decay, then as adam. Decoupled decay, Loshchilov and Hutter
     * 2019: decay = rate * weight_decay. State: m, v. */
    AB_ADAMW,

    /* As adam, but divided by the largest v so far: x = max(x, v);
     * w -= step * m / (sqrt(x) * scale + epsilon). Reddi et al. 2018. State: m, v, x. */
    AB_AMSGRAD,

    /* rate, rho, epsilon: v = rho * v + (1 - rho) * g^2;
     * d = g * sqrt(m + epsilon) / sqrt(v + epsilon); m = rho * m + (1 - rho) * d^2;
     * w -= rate * d. Zeiler 2012. State: m, v. */
    AB_ADADELTA,

    AB_RULES,
};

/* What a trainer says of an update: the rate, the count of the update from 1, and the settings of
 * its rule, which are what stands behind the rate above, but for adam and its kin: beta1, beta2,
 * epsilon, folded, and of adamw the weight decay, of which decay = rate * weight decay. At update t
 * step = rate / (1 - beta1^t) and scale = 1 / sqrt(1 - beta2^t); folded: step = rate *
 * sqrt(1 - beta2^t) / (1 - beta1^t) and scale = 1, so that epsilon is corrected, too. */
enum { AB_UPDATE_RATE, AB_UPDATE_T, AB_UPDATE_SETTINGS, AB_UPDATE_NUMBERS = 8 };

typedef struct ab_update_kernels {
    void (*rule[AB_RULES])(const ab_update *update, const double *numbers);

    /* The sum of the squares of count numbers, accumulated in double in an order that
     * depends on count alone. Not finite if any of the numbers is not. */
    double (*squared_norm)(const void *g, int64_t count);

    /* g = min(max(g, low), high); NaN stays NaN. */
    void (*clip)(void *g, int64_t count, double low, double high);
} ab_update_kernels;

#endif
