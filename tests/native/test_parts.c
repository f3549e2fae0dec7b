/* Parts of a batch's gradient: rows that add to one owner are never in two parts, and every row is
 * in one. The functions are static, so their file is included; nothing runs in parallel. */
#include "../../kernels/cpu/gradient.c"

#include <stdio.h>
#include <stdlib.h>

enum { PLACES = 24, NODES = 6 };

static int
check(const int *owner_of_row, int views, int parts)
{
    static char memory[NODES * 64];
    ab_node nodes[NODES + PLACES + PLACES] = {0};
    char *grad[NODES + PLACES + PLACES] = {0};
    int32_t operands[PLACES], list[PLACES], rows[PLACES];
    uint8_t marks[NODES + PLACES + PLACES];
    for (int i = 0; i < NODES + PLACES + PLACES; i++) {
        nodes[i].root = i;
        marks[i] = WANTED | REACHED;
    }
    for (int i = 0; i < NODES; i++)
        grad[i] = memory + 64 * i;
    for (int i = 0; i < PLACES; i++) {
        const int view = NODES + i, node = NODES + PLACES + i;
        nodes[view].root = owner_of_row[i];
        grad[view] = grad[owner_of_row[i]] + (views ? i % 4 : 0);
        operands[i] = view;
        nodes[node].first = i;
        nodes[node].nin = 1;
        rows[i] = node;
    }
    ab_graph g = {.nodes = nodes, .operands = operands, .grad = grad};
    engine e = {.marks = marks, .n = NODES + PLACES + PLACES};
    gradient_job job = {0};
    select_rows(&g, &e, rows, PLACES, list, &job);
    if (job.n != PLACES)
        return 1;
    int part_of_owner[NODES], seen = 0;
    for (int i = 0; i < NODES; i++)
        part_of_owner[i] = -1;
    for (int part = 0; part < parts; part++) {
        int32_t mine[PLACES];
        const int32_t *found;
        const int64_t n = part_rows(&g, &job, part, parts, &found, mine);
        for (int64_t i = 0; i < n; i++, seen++) {
            const int owner = owner_of_row[found[i] - NODES - PLACES];
            if (part_of_owner[owner] >= 0 && part_of_owner[owner] != part) {
                printf("owner %d is in parts %d and %d of %d\n", owner, part_of_owner[owner], part,
                       parts);
                return 1;
            }
            part_of_owner[owner] = part;
        }
    }
    return seen != PLACES;
}

int
main(void)
{
    uint64_t state = 1;
    int failed = 0, cases = 0;
    for (int round = 0; round < 2000; round++) {
        int owners[PLACES];
        for (int i = 0; i < PLACES; i++) {
            state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
            /* In order, in order but for a few, or in none. */
            const int ordered = i * NODES / PLACES, any = (int)(state >> 33) % NODES;
            owners[i] = round % 3 == 0 ? ordered : round % 3 == 1 && i % 8 ? ordered : any;
        }
        for (int parts = 2; parts <= 5; parts++, cases++)
            failed += check(owners, round % 2, parts);
    }
    printf("%d cuts of a batch's rows into parts\n", cases);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
