/* Memory of one call: taken piece by piece, given back at once, kept for the next call. */
#ifndef AB_SPACE_H
#define AB_SPACE_H

#include <stddef.h>
#include <stdlib.h>

typedef struct ab_piece {
    struct ab_piece *older;
    size_t size;
    _Alignas(64) char bytes[];
} ab_piece;

typedef struct ab_space {
    ab_piece *newest;
    size_t used;  /* of the newest */
    size_t least; /* bytes of the next piece */
} ab_space;

static inline void
ab_space_free(ab_space *s)
{
    while (s->newest) {
        ab_piece *p = s->newest;
        s->newest = p->older;
        free(p);
    }
    s->used = 0;
}

/* A call that needed several pieces leaves none: the next one gets them as one. */
static inline void
ab_space_reset(ab_space *s)
{
    s->used = 0;
    if (!s->newest || !s->newest->older)
        return;
    s->least = 0;
    for (ab_piece *p = s->newest; p; p = p->older)
        s->least += p->size;
    ab_space_free(s);
}

/* NULL: no memory. What was taken does not move; it begins on a cache line. */
static inline void *
ab_space_take(ab_space *s, size_t count, size_t item)
{
    const size_t bytes = (count * item + 63) / 64 * 64;
    if (!s->newest || bytes > s->newest->size - s->used) {
        size_t size = s->least > 1 << 14 ? s->least : 1 << 14;
        size = size > bytes ? size : bytes;
        ab_piece *p = aligned_alloc(64, sizeof *p + size);
        if (!p)
            return NULL;
        p->older = s->newest;
        p->size = size;
        s->newest = p;
        s->used = 0;
        s->least = 2 * size;
    }
    void *taken = s->newest->bytes + s->used;
    s->used += bytes;
    return taken;
}

#endif
