/* The kernels in float32 for what every CPU of the target has. */
#define AB_ISA "baseline"
#define AB_NAME(noun) noun##_baseline_f32
#define AB_F64 0
#define real float
#define AB_VECTOR_BYTES 16

#include "table.inc.c"
