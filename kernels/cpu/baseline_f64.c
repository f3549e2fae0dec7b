/* The kernels in float64 for what every CPU of the target has. */
#define AB_ISA "baseline"
#define AB_NAME(noun) noun##_baseline_f64
#define AB_F64 1
#define real double
#define AB_VECTOR_BYTES 16

#include "table.inc.c"
