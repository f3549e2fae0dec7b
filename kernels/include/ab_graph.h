/* Graphs: forms, nodes, sharing and memory. Plain C, no Python.
 *
 * registry ── forms, interned for the life of the process
 * graph    ── nodes in one array, operands in another, data words in chunks that never move
 * arena    ── the memory of a graph's values, and a mirror of it for gradients
 */
#ifndef AB_GRAPH_H
#define AB_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Errors; every function that can fail returns one, or a negative one in place of an id. */
enum {
    AB_OK = 0,
    AB_NO_MEMORY = -1,
    AB_LIMIT = -2,    /* the graph's memory limit */
    AB_TOO_MANY = -3, /* more nodes or operands than an int32 counts */
};

/* Of ab_form.flags. */
enum {
    AB_FORM_VIEW = 1,           /* the value lies inside operand 0 */
    AB_FORM_VIEW_BATCH = 2,     /* ... and data[0] picks an element of its minibatch */
    AB_FORM_SOURCE = 4,         /* the value exists before anything runs */
    AB_FORM_RANDOM = 8,         /* never shared */
    AB_FORM_BATCH_AWARE = 16,   /* the kernel reads the whole minibatch of its operands */
    AB_FORM_TABLE = 32,         /* operand 0 is a table; each row's data word picks a row of it */
    AB_FORM_NO_GRADIENT = 64,   /* gradients stop here */
    AB_FORM_INTEGER = 128,      /* the result is an index */
    AB_FORM_ALWAYS_SHARE = 256, /* one node per graph, even with sharing off (parameters) */
    AB_FORM_PARAMETER = 512,    /* data: the address of an ab_param, the version it is read at */
};

/* A shape and the size of a manual minibatch. */
typedef struct ab_type {
    int32_t ndim;
    int32_t batch;
    int64_t size; /* elements of one element of the minibatch */
    int64_t dims[];
} ab_type;

/* All that op, attributes and operand types fix. */
typedef struct ab_form {
    int32_t op;
    int32_t nin;
    int32_t type;   /* of the result */
    int32_t batch;  /* of the result; the rows of one node */
    int64_t size;   /* elements of a row */
    int32_t kernel; /* index into the kernel tables; -1: NumPy formula only */
    uint32_t flags;
    uint64_t same; /* bit j: a batch's nodes share operand j (j < 64) */
    int64_t view_offset, view_scale;
    int64_t index_limit; /* data words lie in [0, limit); -1: no limit */
    int64_t flops;       /* of one row */
    int32_t np;
    int64_t *p;       /* the kernel's numbers */
    int32_t *in_type; /* [nin] */
    int32_t nkey;     /* the words it is interned by */
    int64_t *key;
    uint64_t hash;
} ab_form;

typedef struct ab_graph ab_graph;
typedef struct ab_param ab_param;

enum { AB_CHUNK = 512, AB_CHUNKS = 8192 }; /* forms and types: pointers stay valid while it grows */

typedef struct ab_registry {
    int32_t nforms, ntypes;
    ab_form **forms[AB_CHUNKS];
    ab_type **types[AB_CHUNKS];
    int32_t *form_table, *type_table; /* open addressing, -1 empty */
    int64_t form_slots, type_slots;   /* powers of two */
    uint64_t hash_mask;               /* all ones; tests narrow it to force collisions */
} ab_registry;

/* What the engine knows of a parameter. */
struct ab_param {
    int64_t size; /* elements of the whole */
    int64_t rows; /* of a lookup; 0 for a dense parameter */
    int64_t dim;  /* elements of a lookup's row */
    int32_t itemsize;
    int32_t trainable;
    void *data;
    void *grad;           /* of the whole */
    int32_t frozen;       /* updates leave it alone, and its gradient */
    int32_t graded;       /* grad holds a gradient; if not, whatever it held last */
    void *sparse;         /* of a lookup's used rows, slot by slot; zero from `slots` on */
    int32_t *slot_of_row; /* -1: none */
    int64_t *row_of_slot;
    int64_t slots;    /* used */
    int64_t capacity; /* slots there is memory for */
    uint64_t version; /* changes whenever data does */
    /* Packed for the matrix kernel, [0] as it is, [1] transposed. */
    void *packed[2];
    size_t packed_bytes[2];
    uint64_t packed_version[2];
    int64_t packed_shape[2][2]; /* outputs, inner, of what is packed */
    const void *packed_by[2];   /* the kernels whose order that is */
    int64_t rows_served;        /* by the unpacked kernel, since the last change */
    uint64_t served_version;
};

/* Of ab_node.flags. */
enum {
    AB_NODE_WEIGHT = 1,   /* a parameter, or computed from parameters and constants only */
    AB_NODE_CONSTANT = 2, /* the same number in every example */
    AB_NODE_KEPT = 4, /* a row that was changed since it was read: no later lookup is this one */
};

typedef struct ab_node {
    int32_t form;
    int32_t nin;
    int32_t first; /* operands: graph->operands[first, first + nin) */
    int32_t root;  /* the node whose memory holds the value: itself unless a view */
    int32_t depth; /* longest path of computed nodes that ends here */
    uint32_t flags;
    int32_t ndata;
    int32_t batch_tape; /* place in the tape once it has run (or is planned); -1 */
    int64_t offset;     /* of the value inside the root's, in elements */
    int64_t stride;     /* elements from one element of the minibatch to the next */
    const int64_t *data;
    int32_t type; /* the form's, so that recording reads one cache line per operand */
    int32_t unused;
} ab_node;

/* A placeholder whose numbers are drawn when a value is first needed, and what is drawn: see
 * ab_twister_draw. */
typedef struct ab_draw {
    int32_t node, kind;
    double a, b, factor, term;
} ab_draw;

/* An entry of the sharing table. */
typedef struct ab_slot {
    uint32_t hash;
    int32_t node; /* -1: empty */
} ab_slot;

/* A block of the data pool. */
typedef struct ab_block {
    struct ab_block *next;
    size_t used, size;
    int64_t words[];
} ab_block;

typedef struct ab_arena {
    char *base;
    size_t reserved; /* address space; pages are taken when touched */
    size_t used;
} ab_arena;

/* A copy of a parameter or a row as it was when the graph read it, see keep.c. */
typedef struct ab_kept {
    char *copy;
    int32_t node, used;
} ab_kept;

typedef struct ab_batch {
    int32_t form;
    int32_t n;     /* nodes */
    int64_t first; /* graph->tape_nodes[first, first + n) */
} ab_batch;

struct ab_graph {
    ab_registry *registry;
    int32_t itemsize; /* 4 or 8 */
    int32_t sharing;
    int32_t n, capacity;
    ab_node *nodes;
    char **value; /* [n] address of the value, NULL while a computed node is pending; views: NULL */
    int32_t noperands, operand_capacity;
    int32_t *operands;
    ab_slot *table;
    int64_t slots;
    ab_block *data; /* newest first */
    /* Batches in the order in which they ran. */
    ab_batch *tape;
    int64_t tape_n, tape_capacity;
    int32_t *tape_nodes;
    int64_t tape_nodes_n, tape_nodes_capacity;
    int64_t tape_done; /* batches that have run */
    uint64_t plans;    /* counts changes of the tape */
    /* In the order of their nodes, which is the order of the random numbers; the first
     * draws_done hold theirs. */
    ab_draw *draws;
    int32_t draws_n, draws_done, draws_capacity;
    ab_arena values, gradients;
    size_t limit;       /* bytes, everything counted */
    size_t bookkeeping; /* bytes outside the arenas */
    char **grad;        /* [n] address of the gradient after a backward pass, NULL: none */
    int32_t grad_n;     /* nodes that `grad` covers */
    int64_t shared;     /* nodes that were asked for and existed already */
    void *scheduler;    /* work space, see ab_sched.h */
    void (*scheduler_free)(void *);
    void *engine; /* work space of the CPU engine */
    void (*engine_free)(void *);
    uint64_t epoch; /* counts resets */
    int32_t asked;  /* the last node whose value was asked for; what stands before it was read */
    ab_kept *kept;
    int32_t nkept, kept_capacity, kept_free;
    uint64_t keeps;      /* counts changes of addresses by keeping */
    int32_t touching;    /* rows looked up before a loss count as used, whatever becomes of them */
    int32_t versioned;   /* a parameter's node stands for one version of its numbers */
    int32_t *parameters; /* the parameters' nodes */
    int32_t nparameters, parameter_capacity;
};

static inline ab_form *
ab_form_get(const ab_registry *r, int32_t id)
{
    return r->forms[id / AB_CHUNK][id % AB_CHUNK];
}

static inline ab_type *
ab_type_get(const ab_registry *r, int32_t id)
{
    return r->types[id / AB_CHUNK][id % AB_CHUNK];
}

/* Address of a node's value: NULL while it has none. */
static inline char *
ab_value_address(const ab_graph *g, int32_t node)
{
    const ab_node *d = &g->nodes[node];
    char *base = g->value[d->root];
    return base ? base + d->offset * g->itemsize : NULL;
}

/* Bytes from one element of a node's minibatch to the next. */
static inline int64_t
ab_batch_stride(const ab_graph *g, int32_t node)
{
    return g->nodes[node].stride * g->itemsize;
}

/* keep.c */
/* Lets a graph go on with a parameter's numbers, as far as it has read them; node: the parameter's.
 * Of a table, with the rows that have a gradient, or every row; where a node reads the whole table,
 * that is not kept. */
int ab_graph_keep(ab_graph *g, int32_t node, int every_row);
/* Nothing counts as computed, nor as read, any more. */
void ab_graph_forget(ab_graph *g);

/* param.c */
void *ab_param_dense(ab_param *p); /* the gradient of the whole, to add to */
void ab_param_forget(ab_param *p); /* it has no gradient any more */

/* version.c */
/* Whether a parameter's numbers are no longer those that a node of it was recorded for. */
int ab_graph_has_changed(const ab_graph *g);
/* A parameter's node of which that is true, and that a value needs: a node itself, or what batches
 * from `first` on read. -1: there is none. */
int32_t ab_changed_in_value(const ab_graph *g, int32_t node);
int32_t ab_changed_in_tape(const ab_graph *g, int64_t first);
/* As that, of all that a node was computed from, in *found. */
int ab_changed_before(const ab_graph *g, int32_t node, int32_t *found);

/* registry.c */
int ab_registry_init(ab_registry *r);
void ab_registry_clear(ab_registry *r);
int32_t ab_type_intern(ab_registry *r, int32_t ndim, const int64_t *dims, int32_t batch);
/* The form with this key, or -1. */
int32_t ab_form_find(const ab_registry *r, int32_t nkey, const int64_t *key, uint64_t hash);
/* Adds a form; copies key, p, in_type. */
int32_t ab_form_add(ab_registry *r, const ab_form *form);
void ab_registry_rehash(ab_registry *r, uint64_t mask);
uint64_t ab_hash(const int64_t *words, int64_t n, uint64_t seed);

/* graph.c */
ab_graph *ab_graph_new(ab_registry *r);
void ab_graph_free(ab_graph *g);
/* Empties the graph, keeps its memory. */
void ab_graph_reset(ab_graph *g, int32_t itemsize, int32_t sharing, size_t limit);
/* Records a node, or finds the one that is equal. data is copied unless it already lies
 * in the graph's pool (`owned`); NULL, of what is not shareable: zeros. `shareable`: may be found
 * by its data. */
int32_t ab_graph_add(ab_graph *g, int32_t form, int32_t nin, const int32_t *operands, int32_t ndata,
                     const int64_t *data, bool shareable);
/* As that, in two steps for callers that find the form in between: what will be looked up to
 * add a node of this op is asked for early, so that it arrives in time. */
uint32_t ab_graph_expect(const ab_graph *g, int32_t op, int32_t nin, const int32_t *operands,
                         int32_t ndata, const int64_t *data);
int32_t ab_graph_add_expected(ab_graph *g, uint32_t expected, int32_t form, int32_t nin,
                              const int32_t *operands, int32_t ndata, const int64_t *data);
/* Records a placeholder of zeros that waits for random numbers. */
int32_t ab_graph_add_draw(ab_graph *g, int32_t form, const ab_draw *draw);
/* Nothing is drawn any more for the nodes from `first` on. */
void ab_graph_drop_draws(ab_graph *g, int32_t first);
int64_t *ab_graph_words(ab_graph *g, int64_t n); /* from the data pool; NULL: no memory */
size_t ab_graph_bytes(const ab_graph *g);

/* arena.c */
int ab_arena_grow(ab_arena *a, size_t bytes, size_t limit); /* makes used + bytes addressable */
void ab_arena_clear(ab_arena *a);
void ab_arena_free(ab_arena *a);

#endif
