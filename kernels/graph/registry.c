/* Forms and types, interned: equal keys give one id, and only equal keys do. The hash finds
 * candidates; the comparison is exact. Written to under Python's lock, read without it:
 * ids below n are complete, and what they point to never moves. */
#include "ab_graph.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 1024 };

uint64_t
ab_hash(const int64_t *words, int64_t n, uint64_t seed)
{
    uint64_t h = seed ^ (uint64_t)n;
    for (int64_t i = 0; i < n; i++) {
        h = (h ^ (uint64_t)words[i]) * UINT64_C(0x9E3779B97F4A7C15);
        h ^= h >> 29;
    }
    return h ^ h >> 32;
}

static int32_t *
empty_table(int64_t slots)
{
    int32_t *table = malloc((size_t)slots * sizeof *table);
    if (table)
        memset(table, 0xff, (size_t)slots * sizeof *table);
    return table;
}

int
ab_registry_init(ab_registry *r)
{
    memset(r, 0, sizeof *r);
    r->hash_mask = ~UINT64_C(0);
    r->form_slots = r->type_slots = FIRST_SLOTS;
    r->form_table = empty_table(FIRST_SLOTS);
    r->type_table = empty_table(FIRST_SLOTS);
    if (r->form_table && r->type_table)
        return AB_OK;
    ab_registry_clear(r);
    return AB_NO_MEMORY;
}

void
ab_registry_clear(ab_registry *r)
{
    for (int32_t i = 0; i < r->nforms; i++) {
        ab_form *f = ab_form_get(r, i);
        free(f->p);
        free(f->in_type);
        free(f->key);
        free(f);
    }
    for (int32_t i = 0; i < r->ntypes; i++)
        free(ab_type_get(r, i));
    for (int i = 0; i < AB_CHUNKS; i++) {
        free(r->forms[i]);
        free(r->types[i]);
    }
    free(r->form_table);
    free(r->type_table);
    memset(r, 0, sizeof *r);
}

static uint64_t
type_hash(int32_t ndim, const int64_t *dims, int32_t batch)
{
    return ab_hash(dims, ndim, (uint64_t)batch * UINT64_C(0xC2B2AE3D27D4EB4F));
}

static void
put(int32_t *table, int64_t slots, uint64_t hash, int32_t id)
{
    int64_t i = (int64_t)(hash & (uint64_t)(slots - 1));
    while (table[i] >= 0)
        i = (i + 1) & (slots - 1);
    table[i] = id;
}

static int
grow(ab_registry *r, bool forms)
{
    int64_t slots = 2 * (forms ? r->form_slots : r->type_slots);
    int32_t *table = empty_table(slots);
    if (!table)
        return AB_NO_MEMORY;
    if (forms) {
        for (int32_t i = 0; i < r->nforms; i++)
            put(table, slots, ab_form_get(r, i)->hash & r->hash_mask, i);
        free(r->form_table);
        r->form_table = table;
        r->form_slots = slots;
    } else {
        for (int32_t i = 0; i < r->ntypes; i++) {
            const ab_type *t = ab_type_get(r, i);
            put(table, slots, type_hash(t->ndim, t->dims, t->batch) & r->hash_mask, i);
        }
        free(r->type_table);
        r->type_table = table;
        r->type_slots = slots;
    }
    return AB_OK;
}

void
ab_registry_rehash(ab_registry *r, uint64_t mask)
{
    r->hash_mask = mask;
    memset(r->form_table, 0xff, (size_t)r->form_slots * sizeof *r->form_table);
    memset(r->type_table, 0xff, (size_t)r->type_slots * sizeof *r->type_table);
    for (int32_t i = 0; i < r->nforms; i++)
        put(r->form_table, r->form_slots, ab_form_get(r, i)->hash & mask, i);
    for (int32_t i = 0; i < r->ntypes; i++) {
        const ab_type *t = ab_type_get(r, i);
        put(r->type_table, r->type_slots, type_hash(t->ndim, t->dims, t->batch) & mask, i);
    }
}

int32_t
ab_type_intern(ab_registry *r, int32_t ndim, const int64_t *dims, int32_t batch)
{
    uint64_t hash = type_hash(ndim, dims, batch) & r->hash_mask;
    for (int64_t i = (int64_t)(hash & (uint64_t)(r->type_slots - 1));;
         i = (i + 1) & (r->type_slots - 1)) {
        int32_t id = r->type_table[i];
        if (id < 0)
            break;
        const ab_type *t = ab_type_get(r, id);
        if (t->ndim == ndim && t->batch == batch
            && (ndim == 0 || memcmp(t->dims, dims, (size_t)ndim * sizeof *dims) == 0))
            return id;
    }
    if (r->ntypes >= AB_CHUNK * AB_CHUNKS)
        return AB_TOO_MANY;
    if (2 * (int64_t)(r->ntypes + 1) > r->type_slots && grow(r, false) < 0)
        return AB_NO_MEMORY;
    ab_type ***chunk = &r->types[r->ntypes / AB_CHUNK];
    if (!*chunk && !(*chunk = calloc(AB_CHUNK, sizeof **chunk)))
        return AB_NO_MEMORY;
    ab_type *t = malloc(sizeof *t + (size_t)ndim * sizeof t->dims[0]);
    if (!t)
        return AB_NO_MEMORY;
    t->ndim = ndim;
    t->batch = batch;
    t->size = 1;
    bool large = false;
    for (int32_t i = 0; i < ndim; i++) {
        t->dims[i] = dims[i];
        large |= __builtin_mul_overflow(t->size, dims[i], &t->size);
    }
    if (large) {
        free(t);
        return AB_TOO_MANY;
    }
    (*chunk)[r->ntypes % AB_CHUNK] = t;
    put(r->type_table, r->type_slots, hash, r->ntypes);
    return r->ntypes++;
}

int32_t
ab_form_find(const ab_registry *r, int32_t nkey, const int64_t *key, uint64_t hash)
{
    int64_t mask = r->form_slots - 1;
    for (int64_t i = (int64_t)(hash & r->hash_mask) & mask;; i = (i + 1) & mask) {
        int32_t id = r->form_table[i];
        if (id < 0)
            return -1;
        const ab_form *f = ab_form_get(r, id);
        if (!((f->hash ^ hash) & r->hash_mask) && f->nkey == nkey
            && memcmp(f->key, key, (size_t)nkey * sizeof *key) == 0)
            return id;
    }
}

static void *
copy(const void *from, size_t bytes)
{
    void *to = malloc(bytes ? bytes : 1);
    if (to && bytes)
        memcpy(to, from, bytes);
    return to;
}

int32_t
ab_form_add(ab_registry *r, const ab_form *form)
{
    if (r->nforms >= AB_CHUNK * AB_CHUNKS)
        return AB_TOO_MANY;
    if (2 * (int64_t)(r->nforms + 1) > r->form_slots && grow(r, true) < 0)
        return AB_NO_MEMORY;
    ab_form ***chunk = &r->forms[r->nforms / AB_CHUNK];
    if (!*chunk && !(*chunk = calloc(AB_CHUNK, sizeof **chunk)))
        return AB_NO_MEMORY;
    ab_form *f = copy(form, sizeof *form);
    if (!f)
        return AB_NO_MEMORY;
    f->p = copy(form->p, (size_t)form->np * sizeof *form->p);
    f->in_type = copy(form->in_type, (size_t)form->nin * sizeof *form->in_type);
    f->key = copy(form->key, (size_t)form->nkey * sizeof *form->key);
    f->hash = ab_hash(form->key, form->nkey, 0);
    if (!f->p || !f->in_type || !f->key) {
        free(f->p);
        free(f->in_type);
        free(f->key);
        free(f);
        return AB_NO_MEMORY;
    }
    (*chunk)[r->nforms % AB_CHUNK] = f;
    put(r->form_table, r->form_slots, f->hash & r->hash_mask, r->nforms);
    return r->nforms++;
}
