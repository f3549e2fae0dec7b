/* Recording and sharing. */
#include "ab_graph.h"

#include <stdlib.h>
#include <string.h>

enum {
    FIRST_NODES = 128,
    BLOCK_BYTES = 1 << 16,
    SHARED_WORDS = 64, /* larger data are not looked for: comparing costs more than it saves */
};

static char EMPTY[1];

ab_graph *
ab_graph_new(ab_registry *r)
{
    ab_graph *g = calloc(1, sizeof *g);
    if (g)
        g->registry = r;
    return g;
}

/* Gives back what counts towards the limit. */
static void
free_counted(ab_graph *g)
{
    for (ab_block *b = g->data, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(g->nodes);
    free(g->value);
    free(g->operands);
    free(g->table);
    free(g->tape);
    free(g->tape_nodes);
    free(g->draws);
    free(g->parameters);
    ab_arena_free(&g->values);
    ab_arena_free(&g->gradients);
    g->data = NULL;
    g->parameters = NULL;
    g->parameter_capacity = 0;
    g->nodes = NULL;
    g->value = NULL;
    g->operands = g->tape_nodes = NULL;
    g->table = NULL;
    g->tape = NULL;
    g->draws = NULL;
    g->capacity = g->operand_capacity = g->draws_capacity = 0;
    g->slots = g->tape_capacity = g->tape_nodes_capacity = 0;
    g->bookkeeping = 0;
}

void
ab_graph_free(ab_graph *g)
{
    if (!g)
        return;
    if (g->scheduler)
        g->scheduler_free(g->scheduler);
    if (g->engine)
        g->engine_free(g->engine);
    free_counted(g);
    free(g->grad);
    free(g->kept);
    free(g);
}

void
ab_graph_reset(ab_graph *g, int32_t itemsize, int32_t sharing, size_t limit)
{
    g->itemsize = itemsize;
    g->sharing = sharing;
    g->n = 0;
    g->noperands = 0;
    g->tape_n = g->tape_nodes_n = g->tape_done = 0;
    g->grad_n = 0;
    g->draws_n = g->draws_done = 0;
    g->nparameters = 0;
    g->shared = 0;
    g->epoch++;
    g->asked = -1;
    g->nkept = g->kept_free = 0;
    if (g->table)
        memset(g->table, 0xff, (size_t)g->slots * sizeof *g->table);
    /* The oldest block is the first and common size; larger ones go back. */
    while (g->data && g->data->next) {
        ab_block *b = g->data;
        g->data = b->next;
        g->bookkeeping -= b->size * sizeof(int64_t);
        free(b);
    }
    if (g->data)
        g->data->used = 0;
    if (limit != g->limit) /* the reserved range follows the limit */
        free_counted(g);
    ab_arena_clear(&g->values);
    ab_arena_clear(&g->gradients);
    g->limit = limit;
}

size_t
ab_graph_bytes(const ab_graph *g)
{
    return g->bookkeeping + g->values.used + g->gradients.used;
}

static int
take(ab_graph *g, size_t bytes)
{
    if (g->limit && ab_graph_bytes(g) + bytes > g->limit)
        return AB_LIMIT;
    g->bookkeeping += bytes;
    return AB_OK;
}

int64_t *
ab_graph_words(ab_graph *g, int64_t n)
{
    ab_block *b = g->data;
    if (!b || b->used + (size_t)n > b->size) {
        size_t size = BLOCK_BYTES / sizeof(int64_t);
        if (b && b->next) /* a graph of much data: fewer, larger blocks */
            size = 2 * b->size;
        if (size < (size_t)n)
            size = (size_t)n;
        if (take(g, size * sizeof(int64_t)) < 0)
            return NULL;
        ab_block *fresh = malloc(sizeof *fresh + size * sizeof(int64_t));
        if (!fresh) {
            g->bookkeeping -= size * sizeof(int64_t);
            return NULL;
        }
        fresh->next = b;
        fresh->used = 0;
        fresh->size = size;
        g->data = b = fresh;
    }
    int64_t *words = b->words + b->used;
    b->used += (size_t)n;
    return words;
}

static int
grow_array(ab_graph *g, void **array, size_t item, int64_t from, int64_t to)
{
    int error = take(g, (size_t)(to - from) * item);
    if (error < 0)
        return error;
    void *grown = realloc(*array, (size_t)to * item);
    if (!grown) {
        g->bookkeeping -= (size_t)(to - from) * item;
        return AB_NO_MEMORY;
    }
    *array = grown;
    return AB_OK;
}

static int
grow_nodes(ab_graph *g)
{
    int64_t to = g->capacity ? 2 * (int64_t)g->capacity : FIRST_NODES;
    if (to > INT32_MAX)
        return AB_TOO_MANY;
    int error = grow_array(g, (void **)&g->nodes, sizeof *g->nodes, g->capacity, to);
    if (error == AB_OK)
        error = grow_array(g, (void **)&g->value, sizeof *g->value, g->capacity, to);
    if (error == AB_OK) {
        ab_slot *table = malloc((size_t)(2 * to) * sizeof *table);
        if (!table)
            return AB_NO_MEMORY;
        error = take(g, (size_t)(2 * to - g->slots) * sizeof *table);
        if (error < 0) {
            free(table);
            return error;
        }
        memset(table, 0xff, (size_t)(2 * to) * sizeof *table);
        int64_t mask = 2 * to - 1;
        for (int64_t i = 0; i < g->slots; i++) {
            ab_slot s = g->table[i];
            if (s.node < 0)
                continue;
            int64_t at = s.hash & mask;
            while (table[at].node >= 0)
                at = (at + 1) & mask;
            table[at] = s;
        }
        free(g->table);
        g->table = table;
        g->slots = 2 * to;
        g->capacity = (int32_t)to;
    }
    return error;
}

static int
grow_operands(ab_graph *g, int32_t nin)
{
    int64_t to = g->operand_capacity ? g->operand_capacity : 2 * FIRST_NODES;
    while (to < (int64_t)g->noperands + nin)
        to *= 2;
    if (to > INT32_MAX)
        return AB_TOO_MANY;
    int error = grow_array(g, (void **)&g->operands, sizeof *g->operands, g->operand_capacity, to);
    if (error == AB_OK)
        g->operand_capacity = (int32_t)to;
    return error;
}

static int
grow_parameters(ab_graph *g)
{
    enum { FIRST_PARAMETERS = 32 };
    int64_t to = g->parameter_capacity ? 2 * (int64_t)g->parameter_capacity : FIRST_PARAMETERS;
    int error =
        grow_array(g, (void **)&g->parameters, sizeof *g->parameters, g->parameter_capacity, to);
    if (error == AB_OK)
        g->parameter_capacity = (int32_t)to;
    return error;
}

/* Of the op, not of the form: then the slot is known before the form is. */
static inline uint32_t
node_hash(int32_t op, int32_t nin, const int32_t *operands, int32_t ndata, const int64_t *data)
{
    const uint64_t prime = UINT64_C(0x9E3779B97F4A7C15);
    uint64_t h = ((uint64_t)(uint32_t)op + 1) * prime;
    for (int32_t i = 0; i < nin; i++) {
        h = (h ^ (uint32_t)operands[i]) * prime;
        h ^= h >> 31;
    }
    for (int32_t i = 0; i < ndata; i++) {
        h = (h ^ (uint64_t)data[i]) * prime;
        h ^= h >> 31;
    }
    return (uint32_t)(h >> 32);
}

uint32_t
ab_graph_expect(const ab_graph *g, int32_t op, int32_t nin, const int32_t *operands, int32_t ndata,
                const int64_t *data)
{
    if (ndata > SHARED_WORDS)
        return 0;
    uint32_t hash = node_hash(op, nin, operands, ndata, data) & (uint32_t)g->registry->hash_mask;
    if (g->n < g->capacity) {
        __builtin_prefetch(&g->table[hash & (g->slots - 1)]);
        __builtin_prefetch(&g->nodes[g->n], 1);
        __builtin_prefetch(&g->value[g->n], 1);
    }
    return hash;
}

/* Depth, root and flags follow from the operands. */
static inline void
derive(ab_graph *g, int32_t id, ab_node *d, const ab_form *f, const int32_t *operands)
{
    d->root = id;
    d->offset = 0;
    d->stride = f->size;
    d->depth = 0;
    d->flags = 0;
    if (f->flags & AB_FORM_PARAMETER) {
        d->flags = AB_NODE_WEIGHT;
        return;
    }
    if (f->flags & AB_FORM_SOURCE)
        return;
    int32_t depth = 0;
    uint32_t all = AB_NODE_WEIGHT | AB_NODE_CONSTANT, any = 0;
    for (int32_t i = 0; i < d->nin; i++) {
        const ab_node *o = &g->nodes[operands[i]];
        depth = o->depth > depth ? o->depth : depth;
        any |= o->flags;
        if (!(o->flags & all))
            all = 0;
    }
    if (all && !(f->flags & AB_FORM_RANDOM) && d->nin)
        d->flags = any & AB_NODE_WEIGHT ? AB_NODE_WEIGHT : AB_NODE_CONSTANT;
    if (f->flags & AB_FORM_VIEW) {
        const ab_node *base = &g->nodes[operands[0]];
        d->root = base->root;
        d->offset = base->offset + f->view_offset;
        if (d->ndata)
            d->offset +=
                (f->flags & AB_FORM_VIEW_BATCH ? base->stride : f->view_scale) * d->data[0];
        /* A minibatch that lies in one value, as its leading axis, has its own stride. */
        if (f->batch == 1 || ab_type_get(g->registry, f->in_type[0])->batch > 1)
            d->stride = base->stride;
        d->depth = depth;
    } else {
        d->depth = depth + 1;
    }
}

static int32_t
add(ab_graph *g, const ab_form *f, uint32_t hash, int32_t form, int32_t nin,
    const int32_t *operands, int32_t ndata, const int64_t *data, bool shareable)
{
    if (g->n == g->capacity) {
        int error = grow_nodes(g);
        if (error < 0)
            return error;
    }
    ab_slot *slot = NULL;
    if (shareable && ndata <= SHARED_WORDS
        && ((g->sharing && !(f->flags & AB_FORM_RANDOM)) || (f->flags & AB_FORM_ALWAYS_SHARE))) {
        int64_t mask = g->slots - 1;
        int64_t at = hash & mask;
        for (; g->table[at].node >= 0; at = (at + 1) & mask) {
            if (g->table[at].hash != hash)
                continue;
            int32_t id = g->table[at].node;
            const ab_node *d = &g->nodes[id];
            if (d->form != form || d->nin != nin || d->ndata != ndata || d->flags & AB_NODE_KEPT)
                continue;
            bool equal = true;
            for (int32_t i = 0; equal && i < nin; i++)
                equal = g->operands[d->first + i] == operands[i];
            for (int32_t i = 0; equal && i < ndata; i++)
                equal = d->data[i] == data[i];
            if (equal) {
                g->shared++;
                return id;
            }
        }
        slot = &g->table[at]; /* entered below, when nothing can fail any more */
    }
    if (g->noperands > g->operand_capacity - nin) {
        int error = grow_operands(g, nin);
        if (error < 0)
            return error;
    }
    if (f->flags & AB_FORM_PARAMETER && g->nparameters == g->parameter_capacity) {
        int error = grow_parameters(g);
        if (error < 0)
            return error;
    }
    int32_t id = g->n;
    ab_node *d = &g->nodes[id];
    d->form = form;
    d->type = f->type;
    d->nin = nin;
    d->first = g->noperands;
    d->ndata = ndata;
    d->batch_tape = -1;
    d->data = NULL;
    if (ndata) {
        int64_t *words = ab_graph_words(g, ndata);
        if (!words)
            return g->limit && ab_graph_bytes(g) + BLOCK_BYTES > g->limit ? AB_LIMIT : AB_NO_MEMORY;
        if (data)
            memcpy(words, data, (size_t)ndata * sizeof *words);
        else
            memset(words, 0, (size_t)ndata * sizeof *words);
        d->data = words;
    }
    for (int32_t i = 0; i < nin; i++)
        g->operands[d->first + i] = operands[i];
    derive(g, id, d, f, operands);
    g->value[id] = NULL;
    if (f->flags & AB_FORM_SOURCE) {
        if (f->flags & AB_FORM_PARAMETER) {
            g->value[id] = ((const ab_param *)(intptr_t)data[0])->data;
            g->parameters[g->nparameters++] = id;
        } else if (f->flags & AB_FORM_TABLE)
            g->value[id] = g->value[operands[0]] + data[0] * f->size * g->itemsize;
        else
            /* An array without elements has no words, but it has a value. */
            g->value[id] = d->data ? (char *)(uintptr_t)d->data : EMPTY;
    }
    g->noperands += nin;
    g->n++;
    if (slot)
        *slot = (ab_slot){.hash = hash, .node = id};
    return id;
}

int32_t
ab_graph_add(ab_graph *g, int32_t form, int32_t nin, const int32_t *operands, int32_t ndata,
             const int64_t *data, bool shareable)
{
    const ab_form *f = ab_form_get(g->registry, form);
    uint32_t hash = 0;
    if (shareable && ndata <= SHARED_WORDS)
        hash = node_hash(f->op, nin, operands, ndata, data) & (uint32_t)g->registry->hash_mask;
    return add(g, f, hash, form, nin, operands, ndata, data, shareable);
}

int32_t
ab_graph_add_expected(ab_graph *g, uint32_t expected, int32_t form, int32_t nin,
                      const int32_t *operands, int32_t ndata, const int64_t *data)
{
    const ab_form *f = ab_form_get(g->registry, form);
    return add(g, f, expected, form, nin, operands, ndata, data, true);
}

int32_t
ab_graph_add_draw(ab_graph *g, int32_t form, const ab_draw *draw)
{
    enum { FIRST_DRAWS = 64 };
    const ab_form *f = ab_form_get(g->registry, form);
    int64_t words = (f->size * f->batch * g->itemsize + 7) / 8;
    if (words > INT32_MAX)
        return AB_TOO_MANY;
    if (g->draws_n == g->draws_capacity) {
        int64_t to = g->draws_capacity ? 2 * (int64_t)g->draws_capacity : FIRST_DRAWS;
        int error = to > INT32_MAX ? AB_TOO_MANY
                                   : grow_array(g, (void **)&g->draws, sizeof *g->draws,
                                                g->draws_capacity, to);
        if (error < 0)
            return error;
        g->draws_capacity = (int32_t)to;
    }
    int32_t id = add(g, f, 0, form, 0, NULL, (int32_t)words, NULL, false);
    if (id >= 0) {
        g->draws[g->draws_n] = *draw;
        g->draws[g->draws_n++].node = id;
    }
    return id;
}

void
ab_graph_drop_draws(ab_graph *g, int32_t first)
{
    while (g->draws_n && g->draws[g->draws_n - 1].node >= first)
        g->draws_n--;
    if (g->draws_done > g->draws_n)
        g->draws_done = g->draws_n;
}
