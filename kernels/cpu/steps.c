/* What a run of a small tape does, kept as a list of calls with all their addresses: programs that
 * build a graph once and set its inputs run it again and again. The list is made by a run that
 * repeats another, and holds as long as that which `preparation` keeps. */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

enum { BYTES = 1 << 17 }; /* of a list; a tape that needs more is run batch by batch */

/* Precedes a step's arguments. */
typedef struct header {
    ab_step *run;
    struct header *next;
} header;

int
ab_steps_again(worker *w, steps *s)
{
    if (s->state == STEPS_KEPT) {
        for (const header *h = s->first; h; h = h->next)
            h->run(w, h + 1);
        return 1;
    }
    if (s->state == STEPS_NONE) {
        if (!s->memory && posix_memalign((void **)&s->memory, 64, BYTES))
            s->memory = NULL;
        s->first = s->last = NULL;
        s->used = 0;
        s->state = s->memory ? STEPS_KEEPING : STEPS_REFUSED;
        w->keeping = s;
    }
    return 0;
}

void
ab_steps_end(const worker *w, int complete)
{
    steps *s = w->keeping;
    if (s)
        s->state = s->state == STEPS_KEEPING && complete ? STEPS_KEPT : STEPS_REFUSED;
}

void
ab_steps_free(steps *s)
{
    free(s->memory);
    *s = (steps){0};
}

void *
ab_steps_take(steps *s, size_t bytes)
{
    bytes = (bytes + 15) & ~(size_t)15;
    if (s->state != STEPS_KEEPING || s->used + bytes > BYTES) {
        s->state = STEPS_REFUSED;
        return NULL;
    }
    char *memory = s->memory + s->used;
    s->used += bytes;
    return memory;
}

void
ab_steps_add(steps *s, ab_step *run, const void *arguments, size_t bytes)
{
    header *h = ab_steps_take(s, sizeof *h + bytes);
    if (!h)
        return;
    *h = (header){.run = run};
    if (bytes)
        memcpy(h + 1, arguments, bytes);
    if (s->last)
        ((header *)s->last)->next = h;
    else
        s->first = h;
    s->last = h;
}
