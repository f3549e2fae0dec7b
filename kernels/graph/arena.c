/* One range of addresses per arena, reserved once and never moved, so that plans, views and
 * packed pointers stay valid while a graph grows. Pages cost nothing until they are touched,
 * and stay with the process from one graph to the next: no page faults in a training loop. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, MAP_NORESERVE */
#include "ab_graph.h"

#include <sys/mman.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

enum { KEEP = 1 << 30 };       /* bytes of pages that an emptied arena keeps */
enum { LARGE_PAGE = 2 << 20 }; /* of most processors */

/* Where the system has large pages, all but the first few megabytes shall have them: large graphs
 * then fault and look up addresses less often, and small ones touch no more than they use. */
static void
use_large_pages(const ab_arena *a)
{
#ifdef MADV_HUGEPAGE
    const uintptr_t from = ((uintptr_t)a->base + 2 * LARGE_PAGE - 1) & ~(uintptr_t)(LARGE_PAGE - 1);
    const uintptr_t end = (uintptr_t)a->base + a->reserved;
    if (from < end)
        madvise((void *)from, end - from, MADV_HUGEPAGE);
#else
    (void)a;
#endif
}

int
ab_arena_grow(ab_arena *a, size_t bytes, size_t limit)
{
    if (bytes > limit || a->used > limit - bytes)
        return AB_LIMIT;
    if (!a->base) {
        /* The limit is what may be used; where even its addresses cannot be had, take less. */
        for (size_t size = limit + 4096; size > bytes; size /= 2) {
            void *base = mmap(NULL, size, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            if (base != MAP_FAILED) {
                a->base = base;
                a->reserved = size;
                use_large_pages(a);
                break;
            }
        }
        if (!a->base)
            return AB_NO_MEMORY;
    }
    return a->used + bytes <= a->reserved ? AB_OK : AB_LIMIT;
}

void
ab_arena_clear(ab_arena *a)
{
    if (a->used > KEEP)
        madvise(a->base + KEEP, a->reserved - KEEP, MADV_DONTNEED);
    a->used = 0;
}

void
ab_arena_free(ab_arena *a)
{
    if (a->base)
        munmap(a->base, a->reserved);
    *a = (ab_arena){0};
}
