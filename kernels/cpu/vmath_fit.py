"""Computes the polynomial coefficients of vmath.h (needs mpmath; run by hand, not by the build).

Each polynomial is the minimax one on its interval, found by Remez' exchange algorithm on a
grid: the largest weighted error is made as small as it can be. The weight is the
polynomial's share of the function's value, so that what is minimised is relative error of
the function.

    python kernels/cpu/vmath_fit.py
"""

from __future__ import annotations

from collections.abc import Callable

from mpmath import cos, erf, erfc, expm1, log, log1p, lu_solve, matrix, mp, mpf, pi, sin, sqrt

mp.prec = 160
Function = Callable[[mpf], mpf]


def minimax(target: Function, weight: Function, low: mpf, high: mpf, degree: int):
    """Coefficients (constant first) and largest weighted error of the best polynomial."""
    count = 40 * (degree + 2)
    middle, half = (low + high) / 2, (high - low) / 2
    grid = [middle - half * cos(pi * (i + mpf(1) / 2) / count) for i in range(count)]
    values = [target(x) for x in grid]
    weights = [abs(weight(x)) for x in grid]
    chosen = [(2 * i + 1) * count // (2 * (degree + 2)) for i in range(degree + 2)]
    for _ in range(30):
        system, right = matrix(degree + 2, degree + 2), matrix(degree + 2, 1)
        for row, i in enumerate(chosen):
            for column in range(degree + 1):
                system[row, column] = grid[i] ** column
            system[row, degree + 1] = (-1) ** row / weights[i]
            right[row] = values[i]
        solution = lu_solve(system, right)
        coefficients = [solution[i] for i in range(degree + 1)]
        errors = []
        for x, value, share in zip(grid, values, weights, strict=True):
            total = mpf(0)
            for coefficient in reversed(coefficients):
                total = total * x + coefficient
            errors.append((total - value) * share)
        # The extrema of alternating sign: the largest error of each run of one sign.
        extrema: list[int] = []
        for i, error in enumerate(errors):
            if extrema and (error > 0) == (errors[extrema[-1]] > 0):
                if abs(error) > abs(errors[extrema[-1]]):
                    extrema[-1] = i
            else:
                extrema.append(i)
        while len(extrema) > degree + 2:
            extrema.pop(0 if abs(errors[extrema[0]]) < abs(errors[extrema[-1]]) else -1)
        if len(extrema) < degree + 2 or extrema == chosen:
            break
        chosen = extrema
    return coefficients, max(abs(error) for error in errors)


def show(name: str, target: Function, weight: Function, low, high, degree: int, digits: int):
    coefficients, error = minimax(target, weight, mpf(low), mpf(high), degree)
    print(f"{name}: relative error {float(error):.1e}")
    for power, coefficient in enumerate(coefficients):
        print(f"    {power:2d}  {mp.nstr(coefficient, digits, min_fixed=0, max_fixed=1)}")


def even(function: Function) -> Function:
    """The function of the square, so that an even polynomial is an ordinary one."""
    return lambda square: function(sqrt(square))


def main() -> None:
    tiny = mpf(2) ** -40
    half_step = log(2) / 2 * mpf("1.001")
    for bits, digits, degrees in ((32, 10, (4, 8, 2, 2, 6, 5)), (64, 20, (9, 6, 5, 5, 12, 16))):
        print(f"-- real is {bits} bits")
        exponent, logarithm, sine, cosine, small, large = degrees
        show(
            "exp(r) = 1 + r + r^2 P(r)",
            lambda r: (expm1(r) - r) / r**2 if abs(r) > tiny else mpf(1) / 2 + r / 6,
            lambda r: r**2 / expm1(r) if abs(r) > tiny else abs(r),
            -half_step, half_step, exponent, digits,
        )  # fmt: skip
        if bits == 32:
            show(
                "log(1 + f) = f - f^2/2 + f^3 P(f)",
                lambda f: (log1p(f) - f + f**2 / 2) / f**3 if abs(f) > tiny else mpf(1) / 3 - f / 4,
                lambda f: f**3 / log1p(f) if abs(f) > tiny else f**2,
                sqrt(mpf(1) / 2) - 1, sqrt(mpf(2)) - 1, logarithm, digits,
            )  # fmt: skip
        else:
            # s = f / (2 + f); log(1 + f) = 2 atanh(s)
            show(
                "log(1 + f) = 2 s + s z P(z), z = s^2",
                even(lambda s: 2 * (mp.atanh(s) / s - 1) / s**2),
                even(lambda s: s**3 / (2 * mp.atanh(s))),
                tiny, ((sqrt(mpf(2)) - 1) / (sqrt(mpf(2)) + 1)) ** 2, logarithm, digits,
            )  # fmt: skip
        quarter = (pi / 4 * mpf("1.0005")) ** 2
        show(
            "sin(r) = r + r z P(z), z = r^2",
            even(lambda r: (sin(r) / r - 1) / r**2),
            even(lambda r: r**3 / sin(r)),
            tiny, quarter, sine, digits,
        )  # fmt: skip
        show(
            "cos(r) = 1 - z/2 + z^2 P(z), z = r^2",
            even(lambda r: (cos(r) - 1 + r**2 / 2) / r**4),
            even(lambda r: r**4 / cos(r)),
            mpf(2) ** -12, quarter, cosine, digits,
        )  # fmt: skip
        show(
            "erf(x) = x + x P(z), z = x^2, |x| < 1",
            even(lambda x: erf(x) / x - 1),
            even(lambda x: x / erf(x)),
            tiny, 1, small, digits,
        )  # fmt: skip
        # Beyond 1 the complement is small, so an absolute error of erf is what counts.
        last = mpf("4.0") if bits == 32 else mpf("6.0")
        show(
            f"1 - erf(x) = exp(P(x - 1)), 1 <= x < {float(last)}",
            lambda t: log(erfc(t + 1)),
            lambda t: erfc(t + 1),
            0, last - 1, large, digits,
        )  # fmt: skip


if __name__ == "__main__":
    main()
