/* Rendered from the declarations in autobatch/ops by `python -m autobatch.ops.render`;
 * change those, not this. Included by cpu/elementwise.inc.c. */

AB_VALUE(add)
{
    return a + b;
}

AB_DERIVATIVE(add, 0)
{
    return (real)1;
}

AB_DERIVATIVE(add, 1)
{
    return (real)1;
}

AB_FORWARD(add, 2)
AB_GRADIENT(add, 2, 0)
AB_GRADIENT(add, 2, 1)
AB_ELEMENTWISE(add, 2, 0, add_gradient_0, add_gradient_1)
AB_READS(add, 0, 0)

AB_VALUE(subtract)
{
    return a - b;
}

AB_DERIVATIVE(subtract, 0)
{
    return (real)1;
}

AB_DERIVATIVE(subtract, 1)
{
    return (real)-1;
}

AB_FORWARD(subtract, 2)
AB_GRADIENT(subtract, 2, 0)
AB_GRADIENT(subtract, 2, 1)
AB_ELEMENTWISE(subtract, 2, 0, subtract_gradient_0, subtract_gradient_1)
AB_READS(subtract, 0, 0)

AB_VALUE(multiply)
{
    return a * b;
}

AB_DERIVATIVE(multiply, 0)
{
    return b;
}

AB_DERIVATIVE(multiply, 1)
{
    return a;
}

AB_FORWARD(multiply, 2)
AB_GRADIENT(multiply, 2, 0)
AB_GRADIENT(multiply, 2, 1)
AB_ELEMENTWISE(multiply, 2, 0, multiply_gradient_0, multiply_gradient_1)
AB_READS(multiply, 1u << 1, 1u << 0)

AB_VALUE(divide)
{
    return a / b;
}

AB_DERIVATIVE(divide, 0)
{
    return (real)1 / b;
}

AB_DERIVATIVE(divide, 1)
{
    return -y / b;
}

AB_FORWARD(divide, 2)
AB_GRADIENT(divide, 2, 0)
AB_GRADIENT(divide, 2, 1)
AB_ELEMENTWISE(divide, 2, 0, divide_gradient_0, divide_gradient_1)
AB_READS(divide, 1u << 1, 1u << 1 | AB_READS_Y)

AB_VALUE(power)
{
    return ab_pow(a, b);
}

AB_DERIVATIVE(power, 0)
{
    return ab_power_slope(a, b, y);
}

AB_DERIVATIVE(power, 1)
{
    return (a == (real)0 && b >= (real)0 ? (real)0 : y * ab_log(a));
}

AB_FORWARD(power, 2)
AB_GRADIENT(power, 2, 0)
AB_GRADIENT(power, 2, 1)
AB_ELEMENTWISE(power, 2, 0, power_gradient_0, power_gradient_1)
AB_READS(power, 1u << 0 | 1u << 1 | AB_READS_Y, 1u << 0 | 1u << 1 | AB_READS_Y)

AB_VALUE(negative)
{
    return -a;
}

AB_DERIVATIVE(negative, 0)
{
    return (real)-1;
}

AB_FORWARD(negative, 1)
AB_GRADIENT(negative, 1, 0)
AB_ELEMENTWISE(negative, 1, 0, negative_gradient_0)
AB_READS(negative, 0)

AB_VALUE(maximum)
{
    return (a < b || b != b ? b : a);
}

AB_DERIVATIVE(maximum, 0)
{
    return (a < b || b != b ? (real)0 : (real)1);
}

AB_DERIVATIVE(maximum, 1)
{
    return (a < b || b != b ? (real)1 : (real)0);
}

AB_FORWARD(maximum, 2)
AB_GRADIENT(maximum, 2, 0)
AB_GRADIENT(maximum, 2, 1)
AB_ELEMENTWISE(maximum, 2, 0, maximum_gradient_0, maximum_gradient_1)
AB_READS(maximum, 1u << 0 | 1u << 1, 1u << 0 | 1u << 1)

AB_VALUE(minimum)
{
    return (a > b || b != b ? b : a);
}

AB_DERIVATIVE(minimum, 0)
{
    return (a > b || b != b ? (real)0 : (real)1);
}

AB_DERIVATIVE(minimum, 1)
{
    return (a > b || b != b ? (real)1 : (real)0);
}

AB_FORWARD(minimum, 2)
AB_GRADIENT(minimum, 2, 0)
AB_GRADIENT(minimum, 2, 1)
AB_ELEMENTWISE(minimum, 2, 0, minimum_gradient_0, minimum_gradient_1)
AB_READS(minimum, 1u << 0 | 1u << 1, 1u << 0 | 1u << 1)

AB_VALUE(exp)
{
    return ab_exp(a);
}

AB_DERIVATIVE(exp, 0)
{
    return y;
}

AB_FORWARD(exp, 1)
AB_GRADIENT(exp, 1, 0)
AB_ELEMENTWISE(exp, 1, 0, exp_gradient_0)
AB_READS(exp, AB_READS_Y)

AB_VALUE(log)
{
    return ab_log(a);
}

AB_DERIVATIVE(log, 0)
{
    return (y != y ? y : (real)1 / a);
}

AB_FORWARD(log, 1)
AB_GRADIENT(log, 1, 0)
AB_ELEMENTWISE(log, 1, 0, log_gradient_0)
AB_READS(log, 1u << 0 | AB_READS_Y)

AB_VALUE(sqrt)
{
    return ab_sqrt(a);
}

AB_DERIVATIVE(sqrt, 0)
{
    return (real)0.5 / y;
}

AB_FORWARD(sqrt, 1)
AB_GRADIENT(sqrt, 1, 0)
AB_ELEMENTWISE(sqrt, 1, 0, sqrt_gradient_0)
AB_READS(sqrt, AB_READS_Y)

AB_VALUE(square)
{
    return a * a;
}

AB_DERIVATIVE(square, 0)
{
    return (real)2 * a;
}

AB_FORWARD(square, 1)
AB_GRADIENT(square, 1, 0)
AB_ELEMENTWISE(square, 1, 0, square_gradient_0)
AB_READS(square, 1u << 0)

AB_VALUE(abs)
{
    return ab_fabs(a);
}

AB_DERIVATIVE(abs, 0)
{
    return (a > (real)0 ? (real)1 : (a < (real)0 ? (real)-1 : a));
}

AB_FORWARD(abs, 1)
AB_GRADIENT(abs, 1, 0)
AB_ELEMENTWISE(abs, 1, 0, abs_gradient_0)
AB_READS(abs, 1u << 0)

AB_RARE(sin)
{
    return ab_trig_large(a);
}

AB_RARE_VALUE(sin)
{
    return ab_sin_any(a);
}

AB_VALUE(sin)
{
    return ab_sin(a);
}

AB_RARE_DERIVATIVE(sin, 0)
{
    return ab_cos_any(a);
}

AB_DERIVATIVE(sin, 0)
{
    return ab_cos(a);
}

AB_FORWARD_RARE(sin, 1)
AB_GRADIENT_RARE(sin, 1, 0)
AB_ELEMENTWISE(sin, 1, 0, sin_gradient_0)
AB_READS(sin, 1u << 0)

AB_RARE(cos)
{
    return ab_trig_large(a);
}

AB_RARE_VALUE(cos)
{
    return ab_cos_any(a);
}

AB_VALUE(cos)
{
    return ab_cos(a);
}

AB_RARE_DERIVATIVE(cos, 0)
{
    return -ab_sin_any(a);
}

AB_DERIVATIVE(cos, 0)
{
    return -ab_sin(a);
}

AB_FORWARD_RARE(cos, 1)
AB_GRADIENT_RARE(cos, 1, 0)
AB_ELEMENTWISE(cos, 1, 0, cos_gradient_0)
AB_READS(cos, 1u << 0)

AB_VALUE(erf)
{
    return ab_erf(a);
}

AB_DERIVATIVE(erf, 0)
{
    return (real)1.1283791670955126 * ab_exp(-a * a);
}

AB_FORWARD(erf, 1)
AB_GRADIENT(erf, 1, 0)
AB_ELEMENTWISE(erf, 1, 0, erf_gradient_0)
AB_READS(erf, 1u << 0)

AB_VALUE(clip)
{
    return (a < p0 ? p0 : (a > p1 ? p1 : a));
}

AB_DERIVATIVE(clip, 0)
{
    return (a < p0 || a > p1 ? (real)0 : (a != a ? a : (real)1));
}

AB_FORWARD(clip, 1)
AB_GRADIENT(clip, 1, 0)
AB_ELEMENTWISE(clip, 1, 2, clip_gradient_0)
AB_READS(clip, 1u << 0)

AB_VALUE(tanh)
{
    return ab_tanh(a);
}

AB_DERIVATIVE(tanh, 0)
{
    return (real)1 - y * y;
}

AB_FORWARD(tanh, 1)
AB_GRADIENT(tanh, 1, 0)
AB_ELEMENTWISE(tanh, 1, 0, tanh_gradient_0)
AB_READS(tanh, AB_READS_Y)

AB_VALUE(sigmoid)
{
    return ab_sigmoid(a);
}

AB_DERIVATIVE(sigmoid, 0)
{
    return y * ((real)1 - y);
}

AB_FORWARD(sigmoid, 1)
AB_GRADIENT(sigmoid, 1, 0)
AB_ELEMENTWISE(sigmoid, 1, 0, sigmoid_gradient_0)
AB_READS(sigmoid, AB_READS_Y)

AB_VALUE(log_sigmoid)
{
    return (a < (real)0 ? a : (real)0) - ab_log1p(ab_exp(-ab_fabs(a)));
}

AB_DERIVATIVE(log_sigmoid, 0)
{
    return ab_sigmoid(-a);
}

AB_FORWARD(log_sigmoid, 1)
AB_GRADIENT(log_sigmoid, 1, 0)
AB_ELEMENTWISE(log_sigmoid, 1, 0, log_sigmoid_gradient_0)
AB_READS(log_sigmoid, 1u << 0)

AB_VALUE(softplus)
{
    return (a > (real)0 ? a : (real)0) + ab_log1p(ab_exp(-ab_fabs(a)));
}

AB_DERIVATIVE(softplus, 0)
{
    return ab_sigmoid(a);
}

AB_FORWARD(softplus, 1)
AB_GRADIENT(softplus, 1, 0)
AB_ELEMENTWISE(softplus, 1, 0, softplus_gradient_0)
AB_READS(softplus, 1u << 0)

AB_VALUE(relu)
{
    return (a < (real)0 ? (real)0 : a);
}

AB_DERIVATIVE(relu, 0)
{
    return (a > (real)0 ? (real)1 : (a < (real)0 ? (real)0 : a));
}

AB_FORWARD(relu, 1)
AB_GRADIENT(relu, 1, 0)
AB_ELEMENTWISE(relu, 1, 0, relu_gradient_0)
AB_READS(relu, 1u << 0)

AB_VALUE(leaky_relu)
{
    return (a > (real)0 ? a : p0 * a);
}

AB_DERIVATIVE(leaky_relu, 0)
{
    return (a > (real)0 ? (real)1 : (a != a ? a : p0));
}

AB_FORWARD(leaky_relu, 1)
AB_GRADIENT(leaky_relu, 1, 0)
AB_ELEMENTWISE(leaky_relu, 1, 1, leaky_relu_gradient_0)
AB_READS(leaky_relu, 1u << 0)

AB_VALUE(elu)
{
    return (a > (real)0 ? a : p0 * ab_expm1(a));
}

AB_DERIVATIVE(elu, 0)
{
    return (a > (real)0 ? (real)1 : p0 * ab_exp(a));
}

AB_FORWARD(elu, 1)
AB_GRADIENT(elu, 1, 0)
AB_ELEMENTWISE(elu, 1, 1, elu_gradient_0)
AB_READS(elu, 1u << 0)

AB_VALUE(selu)
{
    return (a > (real)0 ? (real)1.0507009873554805 * a : (real)1.7580993408473768 * ab_expm1(a));
}

AB_DERIVATIVE(selu, 0)
{
    return (a > (real)0 ? (real)1.0507009873554805 : (real)1.7580993408473768 * ab_exp(a));
}

AB_FORWARD(selu, 1)
AB_GRADIENT(selu, 1, 0)
AB_ELEMENTWISE(selu, 1, 0, selu_gradient_0)
AB_READS(selu, 1u << 0)

AB_VALUE(gelu)
{
    return (real)0.5 * a * ((real)1 + ab_erf((real)0.7071067811865476 * a));
}

AB_DERIVATIVE(gelu, 0)
{
    return (real)0.5 * ((real)1 + ab_erf((real)0.7071067811865476 * a)) + (real)0.3989422804014327 * a * ab_exp((real)-0.5 * a * a);
}

AB_FORWARD(gelu, 1)
AB_GRADIENT(gelu, 1, 0)
AB_ELEMENTWISE(gelu, 1, 0, gelu_gradient_0)
AB_READS(gelu, 1u << 0)

AB_VALUE(gelu_tanh)
{
    return a * ab_sigmoid((real)1.5957691216057308 * a * ((real)1 + (real)0.044715 * a * a));
}

AB_DERIVATIVE(gelu_tanh, 0)
{
    return ab_sigmoid((real)1.5957691216057308 * a * ((real)1 + (real)0.044715 * a * a)) * ((real)1 + ((real)1 - ab_sigmoid((real)1.5957691216057308 * a * ((real)1 + (real)0.044715 * a * a))) * ab_gelu_slope(a < (real)-100 ? (real)-100 : (a > (real)100 ? (real)100 : a)));
}

AB_FORWARD(gelu_tanh, 1)
AB_GRADIENT(gelu_tanh, 1, 0)
AB_ELEMENTWISE(gelu_tanh, 1, 0, gelu_tanh_gradient_0)
AB_READS(gelu_tanh, 1u << 0)

AB_VALUE(gelu_sigmoid)
{
    return a * ab_sigmoid((real)1.702 * a);
}

AB_DERIVATIVE(gelu_sigmoid, 0)
{
    return ab_sigmoid((real)1.702 * a) + a * ab_sigmoid((real)1.702 * a) * ((real)1.702 * ((real)1 - ab_sigmoid((real)1.702 * a)));
}

AB_FORWARD(gelu_sigmoid, 1)
AB_GRADIENT(gelu_sigmoid, 1, 0)
AB_ELEMENTWISE(gelu_sigmoid, 1, 0, gelu_sigmoid_gradient_0)
AB_READS(gelu_sigmoid, 1u << 0)

AB_VALUE(silu)
{
    return a * ab_sigmoid(a);
}

AB_DERIVATIVE(silu, 0)
{
    return ab_sigmoid(a) * ((real)1 + a * ((real)1 - ab_sigmoid(a)));
}

AB_FORWARD(silu, 1)
AB_GRADIENT(silu, 1, 0)
AB_ELEMENTWISE(silu, 1, 0, silu_gradient_0)
AB_READS(silu, 1u << 0)

AB_VALUE(softsign)
{
    return a / ((real)1 + ab_fabs(a));
}

AB_DERIVATIVE(softsign, 0)
{
    return (real)1 / (((real)1 + ab_fabs(a)) * ((real)1 + ab_fabs(a)));
}

AB_FORWARD(softsign, 1)
AB_GRADIENT(softsign, 1, 0)
AB_ELEMENTWISE(softsign, 1, 0, softsign_gradient_0)
AB_READS(softsign, 1u << 0)

AB_VALUE(binary_cross_entropy)
{
    return ab_probable(a, -(b == (real)0 ? (real)0 : b * ab_at_least_smallest(ab_log(a))) - (b == (real)1 ? (real)0 : ((real)1 - b) * ab_at_least_smallest(ab_log1p(-a))));
}

AB_DERIVATIVE(binary_cross_entropy, 0)
{
    return ab_probable(a, a == b ? (real)0 : (b == (real)1 ? (real)0 : ((real)1 - b) / ab_complement(a)) - (b == (real)0 ? (real)0 : b / ab_probability(a)));
}

AB_DERIVATIVE(binary_cross_entropy, 1)
{
    return ab_probable(a, ab_at_least_smallest(ab_log1p(-a)) - ab_at_least_smallest(ab_log(a)));
}

AB_FORWARD(binary_cross_entropy, 2)
AB_GRADIENT(binary_cross_entropy, 2, 0)
AB_GRADIENT(binary_cross_entropy, 2, 1)
AB_ELEMENTWISE(binary_cross_entropy, 2, 0, binary_cross_entropy_gradient_0, binary_cross_entropy_gradient_1)
AB_READS(binary_cross_entropy, 1u << 0 | 1u << 1, 1u << 0)

AB_VALUE(binary_cross_entropy_logits)
{
    return a * ((a > (real)0 ? (real)1 : (real)0) - b) + ab_log1p(ab_exp(-ab_fabs(a)));
}

AB_DERIVATIVE(binary_cross_entropy_logits, 0)
{
    return ab_sigmoid(a) - b;
}

AB_DERIVATIVE(binary_cross_entropy_logits, 1)
{
    return -a;
}

AB_FORWARD(binary_cross_entropy_logits, 2)
AB_GRADIENT(binary_cross_entropy_logits, 2, 0)
AB_GRADIENT(binary_cross_entropy_logits, 2, 1)
AB_ELEMENTWISE(binary_cross_entropy_logits, 2, 0, binary_cross_entropy_logits_gradient_0, binary_cross_entropy_logits_gradient_1)
AB_READS(binary_cross_entropy_logits, 1u << 0 | 1u << 1, 1u << 0)

AB_RARE(tan)
{
    return ab_trig_large(a);
}

AB_RARE_VALUE(tan)
{
    return ab_sin_any(a) / ab_cos_any(a);
}

AB_VALUE(tan)
{
    return ab_sin(a) / ab_cos(a);
}

AB_RARE_DERIVATIVE(tan, 0)
{
    return (real)1 + y * y;
}

AB_DERIVATIVE(tan, 0)
{
    return (real)1 + y * y;
}

AB_FORWARD_RARE(tan, 1)
AB_GRADIENT_RARE(tan, 1, 0)
AB_ELEMENTWISE(tan, 1, 0, tan_gradient_0)
AB_READS(tan, AB_READS_Y)

AB_VALUE(asin)
{
    return ab_asin(a);
}

AB_DERIVATIVE(asin, 0)
{
    return (real)1 / ab_sqrt(((real)1 - a) * ((real)1 + a));
}

AB_FORWARD(asin, 1)
AB_GRADIENT(asin, 1, 0)
AB_ELEMENTWISE(asin, 1, 0, asin_gradient_0)
AB_READS(asin, 1u << 0)

AB_VALUE(acos)
{
    return ab_acos(a);
}

AB_DERIVATIVE(acos, 0)
{
    return (real)-1 / ab_sqrt(((real)1 - a) * ((real)1 + a));
}

AB_FORWARD(acos, 1)
AB_GRADIENT(acos, 1, 0)
AB_ELEMENTWISE(acos, 1, 0, acos_gradient_0)
AB_READS(acos, 1u << 0)

AB_VALUE(atan)
{
    return ab_atan(a);
}

AB_DERIVATIVE(atan, 0)
{
    return (real)1 / ((real)1 + a * a);
}

AB_FORWARD(atan, 1)
AB_GRADIENT(atan, 1, 0)
AB_ELEMENTWISE(atan, 1, 0, atan_gradient_0)
AB_READS(atan, 1u << 0)

AB_VALUE(sinh)
{
    return ab_sinh(a);
}

AB_DERIVATIVE(sinh, 0)
{
    return ab_cosh(a);
}

AB_FORWARD(sinh, 1)
AB_GRADIENT(sinh, 1, 0)
AB_ELEMENTWISE(sinh, 1, 0, sinh_gradient_0)
AB_READS(sinh, 1u << 0)

AB_VALUE(cosh)
{
    return ab_cosh(a);
}

AB_DERIVATIVE(cosh, 0)
{
    return ab_sinh(a);
}

AB_FORWARD(cosh, 1)
AB_GRADIENT(cosh, 1, 0)
AB_ELEMENTWISE(cosh, 1, 0, cosh_gradient_0)
AB_READS(cosh, 1u << 0)

AB_VALUE(asinh)
{
    return ab_asinh(a);
}

AB_DERIVATIVE(asinh, 0)
{
    return (real)1 / ab_hypot(a, (real)1);
}

AB_FORWARD(asinh, 1)
AB_GRADIENT(asinh, 1, 0)
AB_ELEMENTWISE(asinh, 1, 0, asinh_gradient_0)
AB_READS(asinh, 1u << 0)

AB_VALUE(acosh)
{
    return ab_acosh(a);
}

AB_DERIVATIVE(acosh, 0)
{
    return (real)1 / (ab_sqrt(a - (real)1) * ab_sqrt(a + (real)1));
}

AB_FORWARD(acosh, 1)
AB_GRADIENT(acosh, 1, 0)
AB_ELEMENTWISE(acosh, 1, 0, acosh_gradient_0)
AB_READS(acosh, 1u << 0)

AB_VALUE(atanh)
{
    return ab_atanh(a);
}

AB_DERIVATIVE(atanh, 0)
{
    return (y != y ? y : (real)1 / (((real)1 - a) * ((real)1 + a)));
}

AB_FORWARD(atanh, 1)
AB_GRADIENT(atanh, 1, 0)
AB_ELEMENTWISE(atanh, 1, 0, atanh_gradient_0)
AB_READS(atanh, 1u << 0 | AB_READS_Y)

AB_VALUE(lgamma)
{
    return ab_lgamma(a);
}

AB_DERIVATIVE(lgamma, 0)
{
    return ab_digamma(a);
}

AB_FORWARD(lgamma, 1)
AB_GRADIENT(lgamma, 1, 0)
AB_ELEMENTWISE(lgamma, 1, 0, lgamma_gradient_0)
AB_READS(lgamma, 1u << 0)

AB_VALUE(cube)
{
    return a * a * a;
}

AB_DERIVATIVE(cube, 0)
{
    return (real)3 * a * a;
}

AB_FORWARD(cube, 1)
AB_GRADIENT(cube, 1, 0)
AB_ELEMENTWISE(cube, 1, 0, cube_gradient_0)
AB_READS(cube, 1u << 0)

AB_VALUE(round)
{
    return ab_rint(a);
}

AB_DERIVATIVE(round, 0)
{
    return (real)0;
}

AB_FORWARD(round, 1)
AB_GRADIENT(round, 1, 0)
AB_ELEMENTWISE(round, 1, 0, round_gradient_0)
AB_READS(round, 0)

AB_VALUE(floor)
{
    return ab_floor(a);
}

AB_DERIVATIVE(floor, 0)
{
    return (real)0;
}

AB_FORWARD(floor, 1)
AB_GRADIENT(floor, 1, 0)
AB_ELEMENTWISE(floor, 1, 0, floor_gradient_0)
AB_READS(floor, 0)

AB_VALUE(ceil)
{
    return ab_ceil(a);
}

AB_DERIVATIVE(ceil, 0)
{
    return (real)0;
}

AB_FORWARD(ceil, 1)
AB_GRADIENT(ceil, 1, 0)
AB_ELEMENTWISE(ceil, 1, 0, ceil_gradient_0)
AB_READS(ceil, 0)

AB_VALUE(sign)
{
    return (a > (real)0 ? (real)1 : (a < (real)0 ? (real)-1 : a));
}

AB_DERIVATIVE(sign, 0)
{
    return (real)0;
}

AB_FORWARD(sign, 1)
AB_GRADIENT(sign, 1, 0)
AB_ELEMENTWISE(sign, 1, 0, sign_gradient_0)
AB_READS(sign, 0)

AB_VALUE(margin_ranking)
{
    return (p0 - a + b < (real)0 ? (real)0 : p0 - a + b);
}

AB_DERIVATIVE(margin_ranking, 0)
{
    return (y == (real)0 ? (real)0 : (real)-1);
}

AB_DERIVATIVE(margin_ranking, 1)
{
    return (y == (real)0 ? (real)0 : (real)1);
}

AB_FORWARD(margin_ranking, 2)
AB_GRADIENT(margin_ranking, 2, 0)
AB_GRADIENT(margin_ranking, 2, 1)
AB_ELEMENTWISE(margin_ranking, 2, 1, margin_ranking_gradient_0, margin_ranking_gradient_1)
AB_READS(margin_ranking, AB_READS_Y, AB_READS_Y)

AB_VALUE(poisson_nll)
{
    return ab_exp(a) - b * a + ab_lgamma(b + (real)1);
}

AB_DERIVATIVE(poisson_nll, 0)
{
    return ab_exp(a) - b;
}

AB_DERIVATIVE(poisson_nll, 1)
{
    return ab_digamma(b + (real)1) - a;
}

AB_FORWARD(poisson_nll, 2)
AB_GRADIENT(poisson_nll, 2, 0)
AB_GRADIENT(poisson_nll, 2, 1)
AB_ELEMENTWISE(poisson_nll, 2, 0, poisson_nll_gradient_0, poisson_nll_gradient_1)
AB_READS(poisson_nll, 1u << 0 | 1u << 1, 1u << 0 | 1u << 1)

AB_VALUE(scale_gradient)
{
    return a;
}

AB_DERIVATIVE(scale_gradient, 0)
{
    return p0;
}

AB_FORWARD(scale_gradient, 1)
AB_GRADIENT(scale_gradient, 1, 0)
AB_ELEMENTWISE(scale_gradient, 1, 1, scale_gradient_gradient_0)
AB_READS(scale_gradient, 0)

AB_VALUE(straight_through)
{
    return a;
}

AB_DERIVATIVE(straight_through, 0)
{
    return (real)0;
}

AB_DERIVATIVE(straight_through, 1)
{
    return (real)1;
}

AB_FORWARD(straight_through, 2)
AB_GRADIENT(straight_through, 2, 0)
AB_GRADIENT(straight_through, 2, 1)
AB_ELEMENTWISE(straight_through, 2, 0, straight_through_gradient_0, straight_through_gradient_1)
AB_READS(straight_through, 0, 0)

#define AB_ELEMENTWISE_KERNELS                          \
    AB_ELEMENTWISE_KERNEL(add)                          \
    AB_ELEMENTWISE_KERNEL(subtract)                     \
    AB_ELEMENTWISE_KERNEL(multiply)                     \
    AB_ELEMENTWISE_KERNEL(divide)                       \
    AB_ELEMENTWISE_KERNEL(power)                        \
    AB_ELEMENTWISE_KERNEL(negative)                     \
    AB_ELEMENTWISE_KERNEL(maximum)                      \
    AB_ELEMENTWISE_KERNEL(minimum)                      \
    AB_ELEMENTWISE_KERNEL(exp)                          \
    AB_ELEMENTWISE_KERNEL(log)                          \
    AB_ELEMENTWISE_KERNEL(sqrt)                         \
    AB_ELEMENTWISE_KERNEL(square)                       \
    AB_ELEMENTWISE_KERNEL(abs)                          \
    AB_ELEMENTWISE_KERNEL(sin)                          \
    AB_ELEMENTWISE_KERNEL(cos)                          \
    AB_ELEMENTWISE_KERNEL(erf)                          \
    AB_ELEMENTWISE_KERNEL(clip)                         \
    AB_ELEMENTWISE_KERNEL(tanh)                         \
    AB_ELEMENTWISE_KERNEL(sigmoid)                      \
    AB_ELEMENTWISE_KERNEL(log_sigmoid)                  \
    AB_ELEMENTWISE_KERNEL(softplus)                     \
    AB_ELEMENTWISE_KERNEL(relu)                         \
    AB_ELEMENTWISE_KERNEL(leaky_relu)                   \
    AB_ELEMENTWISE_KERNEL(elu)                          \
    AB_ELEMENTWISE_KERNEL(selu)                         \
    AB_ELEMENTWISE_KERNEL(gelu)                         \
    AB_ELEMENTWISE_KERNEL(gelu_tanh)                    \
    AB_ELEMENTWISE_KERNEL(gelu_sigmoid)                 \
    AB_ELEMENTWISE_KERNEL(silu)                         \
    AB_ELEMENTWISE_KERNEL(softsign)                     \
    AB_ELEMENTWISE_KERNEL(binary_cross_entropy)         \
    AB_ELEMENTWISE_KERNEL(binary_cross_entropy_logits)  \
    AB_ELEMENTWISE_KERNEL(tan)                          \
    AB_ELEMENTWISE_KERNEL(asin)                         \
    AB_ELEMENTWISE_KERNEL(acos)                         \
    AB_ELEMENTWISE_KERNEL(atan)                         \
    AB_ELEMENTWISE_KERNEL(sinh)                         \
    AB_ELEMENTWISE_KERNEL(cosh)                         \
    AB_ELEMENTWISE_KERNEL(asinh)                        \
    AB_ELEMENTWISE_KERNEL(acosh)                        \
    AB_ELEMENTWISE_KERNEL(atanh)                        \
    AB_ELEMENTWISE_KERNEL(lgamma)                       \
    AB_ELEMENTWISE_KERNEL(cube)                         \
    AB_ELEMENTWISE_KERNEL(round)                        \
    AB_ELEMENTWISE_KERNEL(floor)                        \
    AB_ELEMENTWISE_KERNEL(ceil)                         \
    AB_ELEMENTWISE_KERNEL(sign)                         \
    AB_ELEMENTWISE_KERNEL(margin_ranking)               \
    AB_ELEMENTWISE_KERNEL(poisson_nll)                  \
    AB_ELEMENTWISE_KERNEL(scale_gradient)               \
    AB_ELEMENTWISE_KERNEL(straight_through)
