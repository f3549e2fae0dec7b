/* Products with a weight, compiled once per (instruction set, number type).
 *
 *   y[r][o] = bias[o] + sum over i of W[o][i] * x[r][i]      n rows, m outputs, k inner
 *
 * The plain version is these three loops (tests/native/test_matrix.c compares with it). The
 * fast version is one register tile, used by everything below:
 *
 *   y (rows x 2 vectors)  =  x (rows, one number at a time)  *  W (k x 2 vectors)
 *
 * For each inner index it loads two vectors of W and, per row, one number of x that
 * multiplies both. With 12 rows that is 24 multiply-adds on 14 loads, and 24 chains
 * of additions hide the latency of each. The three products differ in what they put
 * in the three places:
 *
 *                        rows of x                  rows of W              y
 *   product              rows of the arena          a panel of the pack    rows of the arena
 *   product_unpacked     rows of the arena          rows of the weight     rows of the arena
 *   outer                columns of dy (a strip)    x, packed as panels    rows of the weight
 *
 * Packed form: panels of PANEL = 2 vectors of outputs, each k x PANEL numbers, contiguous and
 * in the order in which the tile reads them. The last panel is padded with zeros to
 * one vector or two. A matrix of very few outputs would waste most of a vector, so
 * its pack is the plain (m, k) matrix and its product is made of dot products.
 *
 * A row's result does not depend on the number of rows beside it: every tile adds in
 * the same order, so a node computed alone has the bits of one computed in a batch.
 *
 * Rows are aligned to their numbers only; nothing is read or written past a row's end. */

#if AB_VECTOR_BYTES == 64
#define MATRIX_ROWS 12 /* 24 accumulators of 32 registers; 12 row pointers of 15 */
#define MATRIX_DOT_ROWS 4
#elif AB_VECTOR_BYTES == 32
#define MATRIX_ROWS 6 /* 12 accumulators of 16 registers */
#define MATRIX_DOT_ROWS 2
#else
#define MATRIX_ROWS 4 /* 8 of 16: without FMA each product needs a register too */
#define MATRIX_DOT_ROWS 2
#endif
#define MATRIX_LANES ((int64_t)(AB_VECTOR_BYTES / sizeof(real)))
#define MATRIX_PANEL (2 * MATRIX_LANES)
#define MATRIX_DOT_OUTPUTS 4

/* Blocks, by bytes. x is reread for every panel and stays in the second-level cache; a
 * panel is reread for every tile. */
#define MATRIX_INNER_BLOCK ((int64_t)(65536 / (MATRIX_PANEL * sizeof(real))))
#define MATRIX_X_BYTES 262144
#define MATRIX_SLAB 64 /* inner indices that product_unpacked packs at a time, on the stack */
#define MATRIX_OUTER_ROWS 256 /* rows of dy and x that one pass over the gradient adds */
#define MATRIX_OUTER_COLUMNS 1024

#ifdef __clang__
#define MATRIX_UNROLL _Pragma("unroll")
#else
#define MATRIX_UNROLL _Pragma("GCC unroll 16")
#endif
#if defined(__clang__) || __GNUC__ >= 12
#define MATRIX_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define MATRIX_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (matrix_quad_index){__VA_ARGS__})
#endif
#define MATRIX_INLINE static inline __attribute__((always_inline))

typedef real matrix_vec __attribute__((vector_size(AB_VECTOR_BYTES)));
/* The same anywhere in a row. */
typedef real matrix_vec_at
    __attribute__((vector_size(AB_VECTOR_BYTES), aligned(sizeof(real)), may_alias));

/* Four numbers, and integers as wide as they are: shuffles name their lanes so. */
typedef real matrix_quad __attribute__((vector_size(4 * sizeof(real))));
typedef real matrix_quad_at
    __attribute__((vector_size(4 * sizeof(real)), aligned(sizeof(real)), may_alias));
typedef __typeof__((matrix_quad){0} < (matrix_quad){0}) matrix_quad_index;

MATRIX_INLINE int64_t
matrix_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static const real matrix_zeros[8 * MATRIX_LANES] __attribute__((aligned(AB_VECTOR_BYTES)));

/* ---- The register tile ---- */

typedef struct matrix_tile {
    int64_t inner;
    const real *w; /* row i of W begins at w + i * w_step */
    int64_t w_step;
    int64_t pair_step; /* from two vectors of W to the next two */
    void *const *x;    /* row r, index i: x[r][x_offset + i * x_step] */
    int64_t x_offset;
    int64_t x_step;
    void *const *y; /* row r, output o: y[r][y_offset + o] */
    int64_t y_offset;
    const real *start; /* what the sums start from, the same for all rows */
    int accumulate;    /* add to y instead of writing it */
} matrix_tile;

/* rows, vectors: constants, so that all sums live in registers. */
MATRIX_INLINE void
matrix_tile_run(const matrix_tile *t, const int rows, const int vectors)
{
    const int64_t x_step = t->x_step, w_step = t->w_step;
    const int64_t end = t->inner * x_step;
    const real *x[MATRIX_ROWS];
    const real *w[4];
    matrix_vec sum[MATRIX_ROWS][8];

    MATRIX_UNROLL
    for (int r = 0; r < rows; r++)
        x[r] = (const real *)t->x[r] + t->x_offset + end;
    MATRIX_UNROLL
    for (int v = 0; v < vectors; v += 2)
        w[v / 2] = t->w + v / 2 * t->pair_step;
    MATRIX_UNROLL
    for (int v = 0; v < vectors; v++) {
        matrix_vec start = *(const matrix_vec_at *)(t->start + v * MATRIX_LANES);
        MATRIX_UNROLL
        for (int r = 0; r < rows; r++)
            sum[r][v] = start;
    }
    /* y is read only after the loop: by then it has arrived. */
    if (t->accumulate) {
        MATRIX_UNROLL
        for (int r = 0; r < rows; r++) {
            MATRIX_UNROLL
            for (int v = 0; v < vectors; v++)
                __builtin_prefetch((const real *)t->y[r] + t->y_offset + v * MATRIX_LANES, 1);
        }
    }
    for (int64_t i = -end; i < 0; i += x_step) {
        matrix_vec row[8];
        MATRIX_UNROLL
        for (int v = 0; v < vectors; v++)
            row[v] = *(const matrix_vec_at *)(w[v / 2] + v % 2 * MATRIX_LANES);
        MATRIX_UNROLL
        for (int v = 0; v < vectors; v += 2)
            w[v / 2] += w_step;
        MATRIX_UNROLL
        for (int r = 0; r < rows; r++) {
            matrix_vec number = x[r][i] - (matrix_vec){0};
            MATRIX_UNROLL
            for (int v = 0; v < vectors; v++)
                sum[r][v] += number * row[v];
        }
    }
    /* What t says of y is read anew: the row pointers need every register in the loop. */
    __asm__ volatile("" ::: "memory");
    void *const *y = t->y;
    const int64_t y_offset = t->y_offset;
    if (t->accumulate) {
        MATRIX_UNROLL
        for (int r = 0; r < rows; r++) {
            matrix_vec_at *row = (matrix_vec_at *)((real *)y[r] + y_offset);
            MATRIX_UNROLL
            for (int v = 0; v < vectors; v++)
                row[v] += sum[r][v];
        }
    } else {
        MATRIX_UNROLL
        for (int r = 0; r < rows; r++) {
            matrix_vec_at *row = (matrix_vec_at *)((real *)y[r] + y_offset);
            MATRIX_UNROLL
            for (int v = 0; v < vectors; v++)
                row[v] = sum[r][v];
        }
    }
}

#define MATRIX_TILE(rows, vectors)                                                                 \
    static void matrix_tile_##rows##_##vectors(const matrix_tile *t)                               \
    {                                                                                              \
        matrix_tile_run(t, rows, vectors);                                                         \
    }
#define MATRIX_TILES(rows) MATRIX_TILE(rows, 1) MATRIX_TILE(rows, 2)
#define MATRIX_TILE_NAMES(rows) {matrix_tile_##rows##_1, matrix_tile_##rows##_2}

MATRIX_TILES(1)
MATRIX_TILES(2)
MATRIX_TILES(3)
MATRIX_TILES(4)
#if MATRIX_ROWS >= 6
MATRIX_TILES(5)
MATRIX_TILES(6)
#endif
#if MATRIX_ROWS >= 12
MATRIX_TILES(7)
MATRIX_TILES(8)
MATRIX_TILES(9)
MATRIX_TILES(10)
MATRIX_TILES(11)
MATRIX_TILES(12)
#endif
/* Of one to three rows, two vectors would be too few chains. */
MATRIX_TILE(1, 8)
MATRIX_TILE(2, 4)
MATRIX_TILE(3, 4)

typedef void (*matrix_tile_fn)(const matrix_tile *t);

/* [rows - 1][vectors - 1] */
static const matrix_tile_fn matrix_tiles[MATRIX_ROWS][2] = {
    MATRIX_TILE_NAMES(1),  MATRIX_TILE_NAMES(2),  MATRIX_TILE_NAMES(3), MATRIX_TILE_NAMES(4),
#if MATRIX_ROWS >= 6
    MATRIX_TILE_NAMES(5),  MATRIX_TILE_NAMES(6),
#endif
#if MATRIX_ROWS >= 12
    MATRIX_TILE_NAMES(7),  MATRIX_TILE_NAMES(8),  MATRIX_TILE_NAMES(9), MATRIX_TILE_NAMES(10),
    MATRIX_TILE_NAMES(11), MATRIX_TILE_NAMES(12),
#endif
};

/* Tiles of several panels: [rows - 1]. */
static const matrix_tile_fn matrix_wide_tiles[3] = {matrix_tile_1_8, matrix_tile_2_4,
                                                    matrix_tile_3_4};
static const int64_t matrix_wide_pairs[3] = {4, 2, 2};

/* n rows in tiles of nearly equal height: 13 rows are 7 and 6, never 12 and 1. `t` holds
 * all but x and y. `vectors` is 1 or 2. */
static void
matrix_tiles_run(matrix_tile *t, void *const *x, void *const *y, int64_t n, int vectors)
{
    int64_t tiles = (n + MATRIX_ROWS - 1) / MATRIX_ROWS;

    for (int64_t r = 0; tiles > 0; tiles--) {
        int64_t rows = (n - r) / tiles;
        t->x = x + r;
        t->y = y + r;
        matrix_tiles[rows - 1][vectors - 1](t);
        r += rows;
    }
}

/* The same where the tile is wider than what may be written of y: its first `count` outputs
 * are. */
static void
matrix_edge_run(const matrix_tile *t, void *const *x, void *const *y, int64_t n, int vectors,
                int64_t count)
{
    real buffer[MATRIX_ROWS][MATRIX_PANEL] __attribute__((aligned(AB_VECTOR_BYTES)));
    void *row[MATRIX_ROWS];
    matrix_tile edge = *t;
    int64_t tiles = (n + MATRIX_ROWS - 1) / MATRIX_ROWS;

    for (int r = 0; r < MATRIX_ROWS; r++)
        row[r] = buffer[r];
    edge.y = row;
    edge.y_offset = 0;
    edge.accumulate = 0;
    for (int64_t r = 0; tiles > 0; tiles--) {
        int64_t rows = (n - r) / tiles;
        edge.x = x + r;
        matrix_tiles[rows - 1][vectors - 1](&edge);
        for (int64_t j = 0; j < rows; j++, r++) {
            real *target = (real *)y[r] + t->y_offset;
            const real *source = buffer[j];
            if (t->accumulate) {
                for (int64_t o = 0; o < count; o++)
                    target[o] += source[o];
            } else {
                for (int64_t o = 0; o < count; o++)
                    target[o] = source[o];
            }
        }
    }
}

/* ---- The packed form ---- */

/* Half a vector of outputs or less: dot products win once adding up their lanes is paid for. */
MATRIX_INLINE int
matrix_is_narrow(int64_t outputs, int64_t inner)
{
    return outputs <= MATRIX_LANES / 2 && inner >= 4 * MATRIX_LANES;
}

static size_t
matrix_packed_bytes(int64_t outputs, int64_t inner)
{
    if (!matrix_is_narrow(outputs, inner))
        outputs = (outputs + MATRIX_LANES - 1) / MATRIX_LANES * MATRIX_LANES;
    return (size_t)(outputs * inner) * sizeof(real);
}

/* to[i][o] = from[o][i] for a block of 4 x 4: in registers, or the stores would be one
 * number each. */
MATRIX_INLINE void
matrix_transpose_block(real *to, int64_t to_step, const real *from, int64_t from_step)
{
    matrix_quad a = *(const matrix_quad_at *)from, b = *(const matrix_quad_at *)(from + from_step);
    matrix_quad c = *(const matrix_quad_at *)(from + 2 * from_step),
                d = *(const matrix_quad_at *)(from + 3 * from_step);
    matrix_quad ac_low = MATRIX_SHUFFLE(a, c, 0, 4, 1, 5);
    matrix_quad ac_high = MATRIX_SHUFFLE(a, c, 2, 6, 3, 7);
    matrix_quad bd_low = MATRIX_SHUFFLE(b, d, 0, 4, 1, 5);
    matrix_quad bd_high = MATRIX_SHUFFLE(b, d, 2, 6, 3, 7);

    *(matrix_quad_at *)to = MATRIX_SHUFFLE(ac_low, bd_low, 0, 4, 1, 5);
    *(matrix_quad_at *)(to + to_step) = MATRIX_SHUFFLE(ac_low, bd_low, 2, 6, 3, 7);
    *(matrix_quad_at *)(to + 2 * to_step) = MATRIX_SHUFFLE(ac_high, bd_high, 0, 4, 1, 5);
    *(matrix_quad_at *)(to + 3 * to_step) = MATRIX_SHUFFLE(ac_high, bd_high, 2, 6, 3, 7);
}

/* One panel of `width` outputs, padded to `slots`: to[i * slots + o] = w[o][i]. */
static void
matrix_pack_panel(real *to, const real *w, int64_t width, int64_t slots, int64_t inner,
                  int64_t stride_o, int64_t stride_i)
{
    int64_t whole_o = stride_i == 1 && sizeof(matrix_quad) <= AB_VECTOR_BYTES ? width / 4 * 4 : 0;
    int64_t whole_i = inner / 4 * 4;

    if (stride_o == 1) {
        for (int64_t i = 0; i < inner; i++) {
            const real *from = w + i * stride_i;
            for (int64_t o = 0; o < width; o++)
                to[i * slots + o] = from[o];
        }
    } else {
        /* 16 inner indices of all outputs at a time: a line of W is read once. */
        for (int64_t first = 0; first < whole_i; first += 16)
            for (int64_t o = 0; o < whole_o; o += 4)
                for (int64_t i = first; i < matrix_min(first + 16, whole_i); i += 4)
                    matrix_transpose_block(to + i * slots + o, slots, w + o * stride_o + i,
                                           stride_o);
        for (int64_t o = 0; o < width; o++)
            for (int64_t i = o < whole_o ? whole_i : 0; i < inner; i++)
                to[i * slots + o] = w[o * stride_o + i * stride_i];
    }
    for (int64_t i = 0; i < inner && width < slots; i++)
        for (int64_t o = width; o < slots; o++)
            to[i * slots + o] = 0;
}

static void
matrix_pack(void *packed, const void *weight, int64_t outputs, int64_t inner, int64_t stride_o,
            int64_t stride_i, int64_t first_panel, int64_t last_panel)
{
    const real *w = weight;

    if (matrix_is_narrow(outputs, inner)) {
        for (int64_t o = 0; o < outputs && first_panel < last_panel; o++)
            for (int64_t i = 0; i < inner; i++)
                ((real *)packed)[o * inner + i] = w[o * stride_o + i * stride_i];
        return;
    }
    for (int64_t p = first_panel; p < last_panel; p++) {
        int64_t first = p * MATRIX_PANEL, width = matrix_min(outputs - first, MATRIX_PANEL);
        if (width <= 0)
            return;
        matrix_pack_panel((real *)packed + first * inner, w + first * stride_o, width,
                          width > MATRIX_LANES ? MATRIX_PANEL : MATRIX_LANES, inner, stride_o,
                          stride_i);
    }
}

/* ---- Dot products: a weight whose rows are contiguous, as it lies ---- */

/* total[j] = the sum of v[j]'s lanes, four vectors at once. */
MATRIX_INLINE void
matrix_sum_lanes(real total[4], const matrix_vec v[4])
{
    real lane[4][MATRIX_LANES];

    memcpy(lane, v, sizeof lane);
    if (sizeof(matrix_quad) <= AB_VECTOR_BYTES) {
        matrix_quad sum[4] = {{0}};
        real column[4][4];
        MATRIX_UNROLL
        for (int j = 0; j < 4; j++)
            MATRIX_UNROLL
        for (int part = 0; part < MATRIX_LANES; part += 4)
            sum[j] += *(const matrix_quad_at *)(lane[j] + part);
        matrix_transpose_block(column[0], 4, (const real *)sum, 4);
        for (int j = 0; j < 4; j++)
            total[j] = (column[0][j] + column[2][j]) + (column[1][j] + column[3][j]);
    } else
        for (int j = 0; j < 4; j++)
            total[j] = lane[j][0] + lane[j][MATRIX_LANES - 1];
}

/* y[r][o] (+)= bias[o] + w[o] . x[r] for rows r and outputs o of one tile. */
MATRIX_INLINE void
matrix_dot_tile(const int rows, const int outputs, const real *w, int64_t stride_o, int64_t inner,
                void *const *x, void *const *y, int64_t o, const real *bias, int accumulate)
{
    matrix_vec sum[MATRIX_DOT_ROWS][MATRIX_DOT_OUTPUTS] = {{{0}}};
    int64_t whole = inner / MATRIX_LANES * MATRIX_LANES;

    for (int64_t i = 0; i < whole; i += MATRIX_LANES) {
        matrix_vec weight[MATRIX_DOT_OUTPUTS];
        MATRIX_UNROLL
        for (int j = 0; j < outputs; j++)
            weight[j] = *(const matrix_vec_at *)(w + j * stride_o + i);
        MATRIX_UNROLL
        for (int r = 0; r < rows; r++) {
            matrix_vec row = *(const matrix_vec_at *)((const real *)x[r] + i);
            MATRIX_UNROLL
            for (int j = 0; j < outputs; j++)
                sum[r][j] += row * weight[j];
        }
    }
    for (int r = 0; r < rows; r++) {
        real *target = (real *)y[r] + o;
        real total[4];
        matrix_sum_lanes(total, sum[r]);
        for (int64_t i = whole; i < inner; i++)
            for (int j = 0; j < outputs; j++)
                total[j] += ((const real *)x[r])[i] * w[j * stride_o + i];
        for (int j = 0; j < outputs; j++)
            target[j] = total[j] + (accumulate ? target[j] : bias ? bias[o + j] : 0);
    }
}

#define MATRIX_DOT_CASE(rows, outputs)                                                             \
    case rows * 8 + outputs:                                                                       \
        matrix_dot_tile(rows, outputs, tile, stride_o, inner, x + r, y + r, o, bias, accumulate);  \
        break;
#define MATRIX_DOT_CASES(rows)                                                                     \
    MATRIX_DOT_CASE(rows, 1)                                                                       \
    MATRIX_DOT_CASE(rows, 2)                                                                       \
    MATRIX_DOT_CASE(rows, 3)                                                                       \
    MATRIX_DOT_CASE(rows, 4)

static void
matrix_dot(const real *w, int64_t stride_o, int64_t inner, int64_t n, void *const *x,
           void *const *y, const real *bias, int accumulate, int64_t first, int64_t last)
{
    for (int64_t o = first; o < last; o += MATRIX_DOT_OUTPUTS) {
        const real *tile = w + o * stride_o;
        int64_t outputs = matrix_min(last - o, MATRIX_DOT_OUTPUTS);
        for (int64_t r = 0; r < n; r += MATRIX_DOT_ROWS) {
            switch (matrix_min(n - r, MATRIX_DOT_ROWS) * 8 + outputs) {
                MATRIX_DOT_CASES(1)
                MATRIX_DOT_CASES(2)
#if MATRIX_DOT_ROWS >= 4
                MATRIX_DOT_CASES(3)
                MATRIX_DOT_CASES(4)
#endif
            }
        }
    }
}

/* ---- product ---- */

static void
matrix_product(const void *packed, int64_t outputs, int64_t inner, int64_t n, void *const *x,
               void *const *y, const void *bias, int accumulate, int64_t first_panel,
               int64_t last_panel)
{
    int64_t first = first_panel * MATRIX_PANEL;
    int64_t last = matrix_min(last_panel * MATRIX_PANEL, outputs);
    int64_t x_row = matrix_min(inner, MATRIX_INNER_BLOCK) * (int64_t)sizeof(real) + 1;
    int64_t rows = MATRIX_X_BYTES / x_row / MATRIX_ROWS * MATRIX_ROWS;

    if (first >= last)
        return;
    if (matrix_is_narrow(outputs, inner)) {
        matrix_dot(packed, inner, inner, n, x, y, bias, accumulate, first, last);
        return;
    }
    for (int64_t r = 0; r < n; r += rows) {
        int64_t height = matrix_min(n - r, rows);
        /* At least once: with inner = 0, y is still to be written. */
        int64_t i = 0;
        do {
            matrix_tile t = {
                .inner = matrix_min(inner - i, MATRIX_INNER_BLOCK),
                .x_offset = i,
                .x_step = 1,
                .accumulate = accumulate || i > 0,
            };
            const real *start = t.accumulate ? NULL : bias;
            int64_t o = first;
            while (o < last) {
                int64_t width = matrix_min(last - o, MATRIX_PANEL);
                t.w_step = width > MATRIX_LANES ? MATRIX_PANEL : MATRIX_LANES;
                t.w = (const real *)packed + o * inner + i * t.w_step;
                t.y_offset = o;
                t.start = start ? start + o : matrix_zeros;
                if (width < MATRIX_PANEL) {
                    real padded[MATRIX_PANEL] = {0};
                    if (start)
                        memcpy(padded, start + o, (size_t)width * sizeof(real));
                    t.start = padded;
                    matrix_edge_run(&t, x + r, y + r, height, width > MATRIX_LANES ? 2 : 1, width);
                } else if (height <= 3
                           && last - o >= matrix_wide_pairs[height - 1] * MATRIX_PANEL) {
                    t.pair_step = inner * MATRIX_PANEL;
                    t.x = x + r;
                    t.y = y + r;
                    matrix_wide_tiles[height - 1](&t);
                    width = matrix_wide_pairs[height - 1] * MATRIX_PANEL;
                } else
                    matrix_tiles_run(&t, x + r, y + r, height, 2);
                o += width;
            }
            i += MATRIX_INNER_BLOCK;
        } while (i < inner);
    }
}

/* ---- product_unpacked ---- */

/* Outputs [first, last), at most a panel, of a weight in any layout, packed on the way. */
static void
matrix_product_slab(const real *w, int64_t stride_o, int64_t stride_i, int64_t inner, int64_t n,
                    void *const *x, void *const *y, const real *bias, int accumulate, int64_t first,
                    int64_t last)
{
    real slab[MATRIX_SLAB * MATRIX_PANEL] __attribute__((aligned(AB_VECTOR_BYTES)));
    real start[MATRIX_PANEL] = {0};
    int64_t width = last - first, slots = width > MATRIX_LANES ? MATRIX_PANEL : MATRIX_LANES;
    int64_t i = 0;

    if (bias && !accumulate)
        memcpy(start, bias + first, (size_t)width * sizeof(real));
    do {
        matrix_tile t = {
            .inner = matrix_min(inner - i, MATRIX_SLAB),
            .w = slab,
            .w_step = slots,
            .x_offset = i,
            .x_step = 1,
            .y_offset = first,
            .start = accumulate || i > 0 ? matrix_zeros : start,
            .accumulate = accumulate || i > 0,
        };
        matrix_pack_panel(slab, w + first * stride_o + i * stride_i, width, slots, t.inner,
                          stride_o, stride_i);
        matrix_edge_run(&t, x, y, n, (int)(slots / MATRIX_LANES), width);
        i += MATRIX_SLAB;
    } while (i < inner);
}

/* W stored (k, m): the tile reads it as it lies, except for a last part of a panel, which it
 * would read past the end. */
static void
matrix_product_columns(const real *w, int64_t stride_i, int64_t inner, int64_t n, void *const *x,
                       void *const *y, const real *bias, int accumulate, int64_t first,
                       int64_t last)
{
    const real *start = accumulate ? NULL : bias;
    matrix_tile t = {
        .inner = inner,
        .w_step = stride_i,
        .pair_step = MATRIX_PANEL,
        .x = x,
        .x_step = 1,
        .y = y,
        .accumulate = accumulate,
    };
    int64_t o = first;

    while (last - o >= MATRIX_PANEL) {
        t.w = w + o;
        t.y_offset = o;
        t.start = start ? start + o : matrix_zeros;
        if (n <= 3 && n > 0 && last - o >= matrix_wide_pairs[n - 1] * MATRIX_PANEL) {
            matrix_wide_tiles[n - 1](&t);
            o += matrix_wide_pairs[n - 1] * MATRIX_PANEL;
        } else {
            matrix_tiles_run(&t, x, y, n, 2);
            o += MATRIX_PANEL;
        }
    }
    if (o < last)
        matrix_product_slab(w, 1, stride_i, inner, n, x, y, bias, accumulate, o, last);
}

static void
matrix_product_unpacked(const void *w, int64_t stride_o, int64_t stride_i, int64_t inner, int64_t n,
                        void *const *x, void *const *y, const void *bias, int accumulate,
                        int64_t first, int64_t last)
{
    if (stride_i == 1 && inner >= MATRIX_LANES && (stride_o != 1 || last - first < MATRIX_LANES))
        matrix_dot(w, stride_o, inner, n, x, y, bias, accumulate, first, last);
    else if (stride_o == 1)
        matrix_product_columns(w, stride_i, inner, n, x, y, bias, accumulate, first, last);
    else
        for (int64_t o = first; o < last; o += MATRIX_PANEL)
            matrix_product_slab(w, stride_o, stride_i, inner, n, x, y, bias, accumulate, o,
                                matrix_min(last, o + MATRIX_PANEL));
}

/* ---- outer ---- */

/* to[panel][r][PANEL] from columns [first, last) of n rows; the last panel padded with zeros to
 * one vector or two. */
static void
matrix_gather_panels(real *to, void *const *row, int64_t n, int64_t first, int64_t last)
{
    for (int64_t r = 0; r < n; r++) {
        const real *from = row[r];
        int64_t c = first;
        real *slot = to + r * MATRIX_PANEL;
        for (; c + MATRIX_PANEL <= last; c += MATRIX_PANEL, slot += n * MATRIX_PANEL)
            memcpy(slot, from + c, MATRIX_PANEL * sizeof(real));
        if (c < last) {
            int64_t slots = last - c > MATRIX_LANES ? MATRIX_PANEL : MATRIX_LANES;
            slot -= r * (MATRIX_PANEL - slots);
            for (int64_t j = 0; j < slots; j++)
                slot[j] = c + j < last ? from[c + j] : 0;
        }
    }
}

/* to[r][rows] from columns [first, first + rows) of n rows. */
static void
matrix_gather_strip(real *to, void *const *row, int64_t n, int64_t first, int64_t rows,
                    int64_t last)
{
    if (first + MATRIX_ROWS <= last) {
        /* A fixed length is copied by a few moves; the next row overwrites what is too much. */
        for (int64_t r = 0; r < n; r++, to += rows)
            memcpy(to, (const real *)row[r] + first, MATRIX_ROWS * sizeof(real));
    } else
        for (int64_t r = 0; r < n; r++, to += rows)
            for (int64_t j = 0; j < rows; j++)
                to[j] = ((const real *)row[r])[first + j];
}

/* c[a * step + b] += sum over r of left[r][left_first + a] * right[r][right_first + b] */
static void
matrix_outer_block(real *c, int64_t step, int64_t n, void *const *left, int64_t left_first,
                   int64_t left_count, void *const *right, int64_t right_first, int64_t right_count,
                   real *scratch)
{
    real *panels = scratch;
    real *strip = scratch + n * ((right_count + MATRIX_PANEL - 1) / MATRIX_PANEL * MATRIX_PANEL);
    int64_t strips = (left_count + MATRIX_ROWS - 1) / MATRIX_ROWS;
    matrix_tile t = {.inner = n, .start = matrix_zeros, .accumulate = 1};

    matrix_gather_panels(panels, right, n, right_first, right_first + right_count);
    for (int64_t a = 0; strips > 0; strips--) {
        int64_t rows = (left_count - a) / strips;
        void *x[MATRIX_ROWS], *y[MATRIX_ROWS];
        matrix_gather_strip(strip, left, n, left_first + a, rows, left_first + left_count);
        for (int64_t j = 0; j < rows; j++) {
            x[j] = strip + j;
            y[j] = c + (a + j) * step;
        }
        t.x_step = rows;
        for (int64_t b = 0; b < right_count; b += MATRIX_PANEL) {
            int64_t width = matrix_min(right_count - b, MATRIX_PANEL);
            t.w = panels + b * n;
            t.y_offset = b;
            t.w_step = width > MATRIX_LANES ? MATRIX_PANEL : MATRIX_LANES;
            if (width < MATRIX_PANEL)
                matrix_edge_run(&t, x, y, rows, width > MATRIX_LANES ? 2 : 1, width);
            else
                matrix_tiles_run(&t, x, y, rows, 2);
        }
        a += rows;
    }
}

static size_t
matrix_outer_scratch(int64_t outputs, int64_t inner)
{
    int64_t wider = matrix_min(outputs > inner ? outputs : inner, MATRIX_OUTER_COLUMNS);

    /* Panels, a strip, and what the strip's last row copies too much. */
    return (size_t)(MATRIX_OUTER_ROWS * (wider + MATRIX_PANEL + MATRIX_ROWS) + MATRIX_ROWS)
           * sizeof(real);
}

static void
matrix_outer(void *dw, int64_t stride_o, int64_t stride_i, int64_t inner, int64_t n,
             void *const *dy, void *const *x, int64_t first, int64_t last, void *scratch)
{
    /* Vectors run along the contiguous axis of the weight. */
    int along_inner = stride_i == 1 && !(stride_o == 1 && inner < last - first);
    int64_t blocks = (n + MATRIX_OUTER_ROWS - 1) / MATRIX_OUTER_ROWS;
    int64_t columns = along_inner ? inner : last - first;

    if (first >= last || inner <= 0)
        return;
    for (int64_t r = 0; blocks > 0; blocks--) {
        int64_t height = (n - r) / blocks;
        for (int64_t b = 0; b < columns; b += MATRIX_OUTER_COLUMNS) {
            int64_t width = matrix_min(columns - b, MATRIX_OUTER_COLUMNS);
            if (along_inner)
                matrix_outer_block((real *)dw + first * stride_o + b, stride_o, height, dy + r,
                                   first, last - first, x + r, b, width, scratch);
            else
                matrix_outer_block((real *)dw + first + b, stride_i, height, x + r, 0, inner,
                                   dy + r, first + b, width, scratch);
        }
        r += height;
    }
}

static const ab_matrix_kernels AB_NAME(matrix_kernels) = {
    .packed_bytes = matrix_packed_bytes,
    .pack = matrix_pack,
    .panel = MATRIX_PANEL,
    .product = matrix_product,
    .product_unpacked = matrix_product_unpacked,
    .outer = matrix_outer,
    .outer_scratch = matrix_outer_scratch,
};
