/* Parameters as a graph read them. What is computed of a graph after its parameters were changed
 * can go on with the numbers that were there when they were read, as DyNet's graphs do: the nodes
 * get copies, and their addresses lead there. */
#include "ab_graph.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNED = 64 };

/* Memory for a copy of so many bytes: that of one given back before, or of the graph's pool. */
static char *
room(ab_graph *g, int32_t node, size_t bytes)
{
    for (int32_t i = 0; i < g->nkept && g->kept_free; i++)
        if (g->kept[i].node == node && !g->kept[i].used) {
            g->kept[i].used = 1;
            g->kept_free--;
            return g->kept[i].copy;
        }
    if (g->nkept == g->kept_capacity) {
        const int32_t to = g->kept_capacity ? 2 * g->kept_capacity : 16;
        ab_kept *grown = realloc(g->kept, (size_t)to * sizeof *grown);
        if (!grown)
            return NULL;
        g->kept = grown;
        g->kept_capacity = to;
    }
    int64_t *words = ab_graph_words(g, (int64_t)((bytes + ALIGNED) / sizeof(int64_t)) + 1);
    if (!words)
        return NULL;
    char *copy = (char *)words + (-(uintptr_t)words % ALIGNED);
    g->kept[g->nkept++] = (ab_kept){.copy = copy, .node = node, .used = 1};
    return copy;
}

static const ab_form *
form_of(const ab_graph *g, int32_t node)
{
    return ab_form_get(g->registry, g->nodes[node].form);
}

/* Where a parameter has the numbers of a node: its own, or those of a row. */
static char *
original(const ab_graph *g, int32_t node)
{
    const ab_node *d = &g->nodes[node];
    const ab_form *f = form_of(g, node);
    if (f->flags & AB_FORM_PARAMETER)
        return ((const ab_param *)(intptr_t)d->data[0])->data;
    const ab_param *table = (const ab_param *)(intptr_t)g->nodes[g->operands[d->first]].data[0];
    return (char *)table->data + d->data[0] * f->size * g->itemsize;
}

static int
keep(ab_graph *g, int32_t node)
{
    const char *from = original(g, node);
    if (g->value[node] != from)
        return AB_OK; /* it is kept already */
    const size_t bytes = (size_t)(form_of(g, node)->size * g->itemsize);
    char *copy = room(g, node, bytes);
    if (!copy)
        return AB_NO_MEMORY;
    memcpy(copy, from, bytes);
    g->value[node] = copy;
    g->keeps++;
    return AB_OK;
}

int
ab_graph_keep(ab_graph *g, int32_t node, int every_row)
{
    const ab_param *p = (const ab_param *)(intptr_t)g->nodes[node].data[0];
    if (node > g->asked)
        return AB_OK; /* not read so far */
    if (!p->rows)
        return keep(g, node);
    for (int32_t i = node + 1; i <= g->asked && i < g->n; i++) {
        const ab_form *f = form_of(g, i);
        if (!(f->flags & AB_FORM_TABLE) || !(f->flags & AB_FORM_SOURCE)
            || g->operands[g->nodes[i].first] != node)
            continue;
        const int graded = p->slot_of_row && p->slot_of_row[g->nodes[i].data[0]] >= 0;
        if (every_row || p->graded || graded) {
            g->nodes[i].flags |= AB_NODE_KEPT;
            if (keep(g, i) < 0)
                return AB_NO_MEMORY;
        }
    }
    return AB_OK;
}

const void *
ab_node_kept(const ab_graph *g, int32_t node)
{
    for (int32_t i = 0; i < g->nkept; i++)
        if (g->kept[i].used && g->kept[i].node == node)
            return g->kept[i].copy;
    return NULL;
}

void
ab_graph_forget(ab_graph *g)
{
    g->tape_done = 0;
    g->asked = -1;
    for (int32_t i = 0; i < g->nparameters; i++) { /* they will be read at their present version */
        int64_t *data = (int64_t *)g->nodes[g->parameters[i]].data;
        data[1] = g->versioned ? (int64_t)((const ab_param *)(intptr_t)data[0])->version : 0;
    }
    if (g->nkept == g->kept_free)
        return;
    for (int32_t i = 0; i < g->nkept; i++) {
        g->kept[i].used = 0;
        g->value[g->kept[i].node] = original(g, g->kept[i].node);
    }
    g->kept_free = g->nkept;
    g->keeps++;
}
