/* Gradients of parameters. Their memory belongs to whoever made the parameter. */
#include "ab_graph.h"

#include <string.h>

void *
ab_param_dense(ab_param *p)
{
    if (!p->graded) {
        memset(p->grad, 0, (size_t)(p->size * p->itemsize));
        p->graded = 1;
    }
    return p->grad;
}

/* Costs what was used, not the size of a lookup. */
void
ab_param_forget(ab_param *p)
{
    p->graded = 0;
    for (int64_t slot = 0; slot < p->slots; slot++)
        p->slot_of_row[p->row_of_slot[slot]] = -1;
    if (p->slots)
        memset(p->sparse, 0, (size_t)(p->slots * p->dim * p->itemsize));
    p->slots = 0;
}
