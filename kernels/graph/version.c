/* Parameters that change while a graph has read them. What is recorded after a change stands on a
 * node of its own, of the new version; what was recorded before is found out here, since neither its
 * values nor its gradients can be made of numbers that are gone. */
#include "ab_graph.h"

#include <stdlib.h>

static inline int
has_changed(const ab_graph *g, int32_t parameter)
{
    const int64_t *data = g->nodes[parameter].data;
    return ((const ab_param *)(intptr_t)data[0])->version != (uint64_t)data[1];
}

int
ab_graph_has_changed(const ab_graph *g)
{
    if (g->versioned)
        for (int32_t i = 0; i < g->nparameters; i++)
            if (has_changed(g, g->parameters[i]))
                return 1;
    return 0;
}

/* The parameter in whose memory a node's value lies; -1: it lies elsewhere, in a copy, say. */
static int32_t
parameter_of(const ab_graph *g, int32_t node)
{
    const int32_t root = g->nodes[node].root;
    const ab_node *d = &g->nodes[root];
    const ab_form *f = ab_form_get(g->registry, d->form);
    int32_t found = root;
    int64_t offset = 0;
    if (f->flags & AB_FORM_TABLE) {
        found = g->operands[d->first];
        offset = d->data[0] * f->size * g->itemsize;
        f = ab_form_get(g->registry, g->nodes[found].form);
    }
    if (!(f->flags & AB_FORM_PARAMETER))
        return -1;
    const ab_param *p = (const ab_param *)(intptr_t)g->nodes[found].data[0];
    const int batch =
        g->nodes[root].root != root || g->value[root] == NULL; /* copied when it runs */
    return batch || g->value[root] == (char *)p->data + offset ? found : -1;
}

int32_t
ab_changed_in_value(const ab_graph *g, int32_t node)
{
    const int32_t parameter = parameter_of(g, node);
    return parameter >= 0 && has_changed(g, parameter) ? parameter : -1;
}

int32_t
ab_changed_in_tape(const ab_graph *g, int64_t first)
{
    for (int64_t b = first; b < g->tape_n; b++)
        for (int32_t i = 0; i < g->tape[b].n; i++) {
            const ab_node *d = &g->nodes[g->tape_nodes[g->tape[b].first + i]];
            for (int32_t j = 0; j < d->nin; j++) {
                const int32_t found = ab_changed_in_value(g, g->operands[d->first + j]);
                if (found >= 0)
                    return found;
            }
        }
    return -1;
}

int
ab_changed_before(const ab_graph *g, int32_t node, int32_t *found)
{
    char *reached = calloc((size_t)node + 1, 1);
    *found = -1;
    if (!reached)
        return AB_NO_MEMORY;
    reached[node] = 1;
    for (int32_t i = node; i >= 0 && *found < 0; i--) {
        if (!reached[i])
            continue;
        const ab_node *d = &g->nodes[i];
        for (int32_t j = 0; j < d->nin; j++)
            reached[g->operands[d->first + j]] = 1;
        if (!d->nin)
            *found = ab_changed_in_value(g, i);
    }
    free(reached);
    return AB_OK;
}
