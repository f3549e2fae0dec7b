/* Threads: who runs which part of the work at hand.
 *
 * OpenMP provides the threads for the length of a run. The leader publishes work as one
 * number: a count that tells pieces of work apart, how many parts it has, and the next part.
 * Whoever advances that number has the part it names. */
#include "engine.h"

#ifdef _OPENMP
#include <omp.h>
#endif

#if defined(__x86_64__) || defined(__i386__)
#define PAUSE() __builtin_ia32_pause()
#else
#define PAUSE() ((void)0)
#endif

#include <sched.h>

enum { SPINS = 2000 }; /* before a thread offers its processor to others */

static inline uint64_t
count_of(uint64_t state)
{
    return state >> 32;
}

static inline int
parts_of(uint64_t state)
{
    return (int)(state >> 16 & 0xffff);
}

static inline int
next_of(uint64_t state)
{
    return (int)(state & 0xffff);
}

static const uint64_t END = UINT64_C(0xffffffff) << 32;

/* Runs the next part, if there is one left. */
static int
take_part(worker *w)
{
    run *r = w->r;
    uint64_t state = __atomic_load_n(&r->state, __ATOMIC_ACQUIRE);
    while (state != END && next_of(state) < parts_of(state)) {
        /* The work cannot end, nor another begin, while this part is not finished. */
        if (__atomic_compare_exchange_n(&r->state, &state, state + 1, 0, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE)) {
            r->task(w, r->job, next_of(state), parts_of(state));
            __atomic_add_fetch(&r->finished, 1, __ATOMIC_RELEASE);
            return 1;
        }
    }
    return 0;
}

static inline void
rest(int *spins)
{
    if (++*spins < SPINS)
        PAUSE();
    else
        sched_yield();
}

int
ab_parts(const run *r, int64_t work)
{
    int64_t parts = work / WORK, most = (int64_t)r->threads * PARTS;
    if (r->threads == 1 || parts < 2)
        return 1;
    return (int)(parts < most ? parts : most);
}

void
ab_share(worker *w, task *t, const void *job, int parts)
{
    run *r = w->r;
    if (parts < 2) {
        t(w, job, 0, 1);
        return;
    }
    r->task = t;
    r->job = job;
    __atomic_store_n(&r->finished, 0, __ATOMIC_RELAXED);
    uint64_t count = count_of(r->state) + 1;
    count = count == count_of(END) ? 0 : count;
    __atomic_store_n(&r->state, count << 32 | (uint64_t)parts << 16, __ATOMIC_RELEASE);
    while (take_part(w))
        ;
    for (int spins = 0; __atomic_load_n(&r->finished, __ATOMIC_ACQUIRE) < parts;)
        rest(&spins);
}

#ifdef _OPENMP
static void
help(worker *w)
{
    for (int spins = 0; __atomic_load_n(&w->r->state, __ATOMIC_ACQUIRE) != END;) {
        if (take_part(w))
            spins = 0;
        else
            rest(&spins);
    }
}
#endif

/* Helpers do not always pay: threads have to be woken, and where processors are shared they may not
 * be there: a run that waits for one takes milliseconds. So the faster way is taken, and the other is
 * tried now and then: the seldomer the more it was slower, so that trials cost a small part. The
 * parts are the same either way, and so are the numbers. Guarded by ab_lock. */
typedef struct ways {
    double cost[2]; /* seconds per operation without and with helpers; 0: not known */
    int left;       /* runs before the next trial */
    int trials;
} ways;

enum {
    SMALL = 8 * WORK, /* work that is never shared out */
    SOON = 8,         /* runs between the first trial, which makes the threads, and the second */
    TRY = 32,         /* ... between the others, for each time that the other way takes longer */
    LATE = 1024,      /* ... at most */
};

static ways ways_of[2]; /* by kind of run */

static int
is_better_helped(const ways *v)
{
    return v->cost[1] != 0 && v->cost[1] < v->cost[0];
}

static int
choose(const run *r, int kind, int64_t work)
{
    ways *v = &ways_of[kind];
    if (r->threads == 1 || work < SMALL || v->cost[0] == 0)
        return 0;
    if (v->cost[1] == 0)
        return 1;
    return v->left-- > 0 ? is_better_helped(v) : !is_better_helped(v);
}

static void
note(int kind, int helped, double seconds, int64_t work)
{
    ways *v = &ways_of[kind];
    double *c = &v->cost[helped];
    const double now = seconds / (double)work;
    const int trial = *c == 0 || helped != is_better_helped(v);
    *c = trial ? now : 0.75 * *c + 0.25 * now;
    if (!trial || v->cost[!helped] == 0)
        return;
    const double other = v->cost[!is_better_helped(v)], taken = v->cost[is_better_helped(v)];
    const double runs = TRY * (other / taken - 1);
    v->left = !v->trials++ ? SOON : runs < TRY ? TRY : runs < LATE ? (int)runs : LATE;
}

static void
lead(run *r, int helped, void (*body)(worker *, void *), void *argument)
{
#ifdef _OPENMP
    if (helped) {
#pragma omp parallel num_threads(r->threads)
        {
            size_t place = (size_t)omp_get_thread_num();
            worker w = {.r = r, .scratch = r->e->scratch + place * r->e->scratch_each};
            if (place == 0) {
                body(&w, argument);
                __atomic_store_n(&r->state, END, __ATOMIC_RELEASE);
            } else {
                help(&w);
            }
        }
        return;
    }
#endif
    (void)helped;
    worker w = {.r = r, .scratch = r->e->scratch};
    body(&w, argument);
}

void
ab_lead(run *r, int kind, int64_t work, void (*body)(worker *, void *), void *argument)
{
    int helped = choose(r, kind, work), measured = r->threads > 1 && work >= SMALL;
    double start = measured ? ab_now() : 0;
    lead(r, helped, body, argument);
    if (measured)
        note(kind, helped, ab_now() - start, work);
}
