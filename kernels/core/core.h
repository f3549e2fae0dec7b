/* The recorder's CPython types. Only this folder knows Python. */
#ifndef AB_CORE_H
#define AB_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "ab_api.h"
#include "ab_graph.h"
#include "ab_update.h"

/* The limited API (abi3) lacks vector calls and the macros that read containers directly. */
#ifdef Py_LIMITED_API
#define AB_TUPLE_ITEM PyTuple_GetItem
#define AB_TUPLE_SIZE PyTuple_Size
#define AB_LIST_ITEM PyList_GetItem
#define AB_LIST_SIZE PyList_Size
#define Py_XSETREF(place, value)                                                                   \
    do {                                                                                           \
        PyObject *former = (PyObject *)(place);                                                    \
        (place) = (value);                                                                         \
        Py_XDECREF(former);                                                                        \
    } while (0)
#else
#define AB_TUPLE_ITEM PyTuple_GET_ITEM
#define AB_TUPLE_SIZE PyTuple_GET_SIZE
#define AB_LIST_ITEM PyList_GET_ITEM
#define AB_LIST_SIZE PyList_GET_SIZE
#endif

/* Ops behind operators. */
enum slot {
    SLOT_ADD,
    SLOT_SUBTRACT,
    SLOT_MULTIPLY,
    SLOT_DIVIDE,
    SLOT_POWER,
    SLOT_MATMUL,
    SLOT_NEGATIVE,
    SLOTS,
};

typedef struct ab_level ab_level; /* see graph.c */

typedef struct GraphObject {
    PyObject_HEAD
    ab_graph *graph;              /* NULL once the graph is finished */
    uint64_t serial;              /* differs for every graph of the process */
    ab_level *level;              /* of the block that entered it; NULL: none is open */
    struct GraphObject *replaced; /* finished when this one records its first node */
    PyObject *parameters;         /* list: keeps alive what nodes point to */
    PyTypeObject *type;           /* of its expressions, a subtype; NULL: the plain one */
    PyObject *state;              /* what the engine keeps for this graph */
    int ended;                    /* finished, though its memory waits for the last of its users */
    int running;                  /* jobs that run it: its memory stays */
    int block_ended;              /* with the block of a with statement */
    int inference;                /* nothing is differentiated in it */
    int versioned;                /* see ab_graph.versioned */
    int apart;                    /* a cell's trace: nothing is run in it */
    int direct;                   /* what C may answer by itself, see direct.c */
    int updated;                  /* parameters were changed since it began */
    int late;                     /* something was run after that */
    int backend;                  /* that has begun to run it; -1: none */
    unsigned long thread;
} GraphObject;

typedef struct ExpressionObject {
    PyObject_HEAD
    GraphObject *graph;
    int32_t node;
} ExpressionObject;

/* Numbers of parameters and their states begin at multiples of this: the widest vector
 * registers, and a cache line. */
enum { AB_ALIGNMENT = 64 };

/* Bytes rounded up, so that what follows them is aligned if they are. */
static inline int64_t
ab_padded(int64_t bytes)
{
    return (bytes + AB_ALIGNMENT - 1) / AB_ALIGNMENT * AB_ALIGNMENT;
}

typedef struct ParamObject {
    PyObject_HEAD
    ab_param *param;
    PyObject *memory;    /* a bytearray that holds the numbers and their gradient */
    PyObject *arrays[2]; /* of NumPy that show them; NULL: nobody has looked */
    PyObject *shape, *name;
    int32_t form; /* of its node, -1 until first recorded */
    int32_t node; /* in the graph of this serial, at this version */
    uint64_t serial, version;
} ParamObject;

typedef struct ComputationObject { /* see computation.c */
    PyObject_HEAD
    PyObject *graph; /* the present one */
    long long version;
    PyObject *checkpoints; /* a list */
    char check, movable, moved;
} ComputationObject;

typedef struct HolderObject { /* an object that stands for a parameter */
    PyObject_HEAD
    PyObject *stored;
} HolderObject;

#ifndef Py_LIMITED_API
struct ab_trace;

typedef struct CellObject {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *function;
    PyObject *dict; /* __name__, __doc__ ... */
    int lenient;    /* what cannot be traced is no error: the function is called */
    int count;      /* of traces */
    struct ab_trace *traces;
} CellObject;
#endif

enum { DIRECT_NOTHING, DIRECT_COMPUTED, DIRECT_ALL }; /* of GraphObject.direct */

enum { RECENT = 8 };

/* Short calls: op(x, index), and whether only op([x, ...]) is one. */
enum { INDEXED_BY_INTS = 1, INDEXED_BY_LISTS = 2, ONLY_LISTS = 4 };

typedef struct OpObject {
    PyObject_HEAD
#ifndef Py_LIMITED_API
    vectorcallfunc vectorcall;
#endif
    int32_t id;
    int32_t nin; /* operands; of a variadic op, the least count */
    int variadic;
    int plain;   /* neither attributes nor data: may be called */
    int weights; /* the rule asks which operands are weights */
    int kind;    /* what of its forms is worked out in usual.c, from what follows */
    int32_t kernels[2];
    uint32_t flags;
    int64_t flops; /* per element */
    PyObject *name;
    PyObject *doc;
    PyObject *dict; /* __module__, __signature__ ... */
    /* A call that the C path does not take goes to this function; so does one that fails
     * with `unless`. With `indexed`, op(x, 3) records x with the data word 3, and op(x, [3, 1])
     * a minibatch of vectors with a word for each. */
    PyObject *fallback, *unless;
    int indexed;    /* see below */
    int vectors;    /* ... if x is a vector */
    int32_t nattrs; /* attributes of that short call */
    int64_t attrs[2];
    /* Forms found last, by operand types: most calls repeat one of them. */
    struct {
        int64_t key[3];
        int32_t nin;
        int32_t form;
    } recent[RECENT];
} OpObject;

typedef struct {
    ab_registry registry;
    PyTypeObject *graph_type, *expression_type, *param_type, *holder_type, *op_type, *cell_type,
        *direct_type, *updates_type, *trainer_type, *turn_type, *computation_type;
    ComputationObject *computation; /* DyNet's one; NULL: its module is not loaded */
    PyTypeObject *column_type;      /* of its expressions; NULL: as above */
    PyTypeObject *param_seen[2];
    PyObject *hooks;       /* the dict below, for the collector */
    PyObject *on_rule;     /* (op, attrs, operands) -> form description */
    PyObject *on_operand;  /* (op, object) -> Expression, for what is no operand yet */
    PyObject *on_error;    /* (kind, op, ...): raises */
    PyObject *on_settings; /* () -> what ab_settings holds */
    PyObject *on_getitem;  /* (expression, key) -> Expression */
    PyObject *columns;     /* the tuple of the next two, for the collector */
    PyObject *on_product, *on_column_item; /* see ab_slot_product */
    PyObject *on_lookup;                   /* the op of `table[i]` */
    PyObject *forms;  /* list: of each form what on_rule said, or what to ask it, for Python */
    PyObject *shapes; /* list: by type, the shape as a tuple */
    OpObject *slots[SLOTS];
    OpObject *input, *parameter, *lookup, *slice, *strided, *pick, *placeholder, *lookup_again,
        *pick_again;
    /* run.c: the engine, and the functions of Python that serve what is unusual. */
    const ab_engine_functions *engine;
    PyObject *running; /* the tuple of what follows, for the collector */
    PyObject *on_value, *on_item, *on_backward;
    PyObject *on_resume;                           /* (graph, code): finishes a backward pass */
    PyObject *on_zeros;                            /* bytes -> (memory that is zero, its address) */
    PyObject *ndarray, *integer, *span, *dtype[2]; /* numpy's; spans of time are integers there */
    ab_twister *stream; /* that graphs' random numbers are drawn from; NULL: none are */
    uint64_t serial;
    ExpressionObject *free; /* dead expressions, linked through `graph` */
    int nfree;
} Core;

extern Core core;
extern PyType_Spec ab_graph_spec, ab_expression_spec, ab_param_spec, ab_holder_spec, ab_op_spec,
    ab_cell_spec, ab_direct_spec, ab_updates_spec, ab_trainer_spec, ab_turn_spec,
    ab_computation_spec;

enum { AB_BACKEND_CPU = 0 }; /* the others are run by Python */

/* The settings in force for a thread, as far as C needs them. */
typedef struct ab_settings {
    uint64_t generation;
    int itemsize, sharing, strategy, threads;
    int backend, profile;
    size_t limit;
    const ab_kernel_table *table[2]; /* for numbers of 4 and of 8 bytes */
} ab_settings;

/* run.c */
static const double AB_SLICE = 0.1;       /* seconds after which Python may see signals */
const ab_settings *ab_settings_now(void); /* NULL: an exception */
PyObject *ab_settings_changed(PyObject *module, PyObject *none);
PyObject *ab_timings(PyObject *module, PyObject *anew);
enum { AB_RECORD, AB_SCHEDULE, AB_FORWARD, AB_BACKWARD, AB_UPDATE, AB_PHASES };
extern double ab_spent[AB_PHASES];
/* When this thread's graph began or was last run, 0: not counted. What lies between that and the
 * next run is recording, with all else that the program does there. */
extern _Thread_local double ab_recording_since;
void ab_spend(int phase, double begin, double end);
PyObject *ab_phase(PyObject *module, PyObject *ends);
double ab_clock(const ab_settings *s); /* seconds; 0 unless they are counted */
PyObject *ab_in_inference(PyObject *module, PyObject *none);
PyObject *ab_set_engine(PyObject *module, PyObject *args);
int ab_is_computed(const ExpressionObject *e);
PyObject *ab_expression_computed(PyObject *self, PyObject *none);
PyObject *ab_expression_value(PyObject *self, PyObject *none);
PyObject *ab_expression_item(PyObject *self, PyObject *none);
PyObject *ab_expression_columns(PyObject *self);
PyObject *ab_expression_run(PyObject *self); /* whether it is computed now, the straight way */
PyObject *ab_expression_numbers(PyObject *self, PyObject *none);
PyObject *ab_expression_plain(PyObject *self, PyObject *none);
PyObject *ab_expression_differentiate(PyObject *self, PyObject *none);
PyObject *ab_expression_differentiate_full(PyObject *self, PyObject *none);
PyObject *ab_expression_gradient_columns(PyObject *self, PyObject *none);
PyObject *ab_graph_ends(PyObject *graph, PyObject *node);
PyObject *ab_graph_check_run(PyObject *graph, PyObject *args);
PyObject *ab_graph_check_pass(PyObject *graph, PyObject *node);
PyObject *ab_expression_backward(PyObject *self, PyObject *args, PyObject *kwargs);

/* computation.c */
PyObject *ab_renewed(void); /* the computation graph, renewed */
int ab_is_movable(void);    /* lookups and picks are nodes of their own */
/* As ab_recording, of a graph whose expressions are columns: an empty graph becomes one, of another
 * there is an exception. */
GraphObject *ab_recording_columns(void);
PyObject *ab_columns_begin(PyObject *module, PyObject *none);

/* keep.c */
void ab_keep_all_updates(void); /* from now on */
PyObject *ab_keep_updates(PyObject *module, PyObject *number);
/* A trainer is about to change parameters of two lists; every_row: rows without a gradient, too. -1:
 * an exception. */
int ab_graph_before_update(GraphObject *g, PyObject *parameters, PyObject *tables, int every_row);
PyObject *ab_graph_update(PyObject *graph, PyObject *args);
PyObject *ab_graph_keep_all(PyObject *graph, PyObject *args);

/* draw.c */
PyObject *ab_set_stream(PyObject *module, PyObject *address);
/* What is drawn, from a Draw of autobatch/dynet/random.py; -1: an exception. */
int ab_read_draw(PyObject *given, ab_draw *draw);
PyObject *ab_drawn(PyObject *module, PyObject *const *args, Py_ssize_t n);
PyObject *ab_with_drawn(PyObject *module, PyObject *const *args, Py_ssize_t n);

/* Draws what the value of a node may need. */
static inline void
ab_draw_until(ab_graph *m, int32_t node)
{
    if (m->draws_done < m->draws_n && core.stream)
        core.engine->draw(core.stream, m, node);
}

/* write.c */
PyObject *ab_redirect_directly(PyObject *module, PyObject *flag);
PyObject *ab_expression_write(PyObject *self, PyObject *numbers);
PyObject *ab_param_write_row(PyObject *self, PyObject *args);
PyObject *ab_expression_redirect(PyObject *self, PyObject *places);

/* param.c */
void ab_param_fill(const ab_param *p, void *numbers, double number); /* as many as it has */

/* updates.c */
typedef struct ab_steps { /* what an update is told, see ab_update_all */
    int rule, flags;
    double numbers[AB_UPDATE_NUMBERS];
    double clip_value, clip_norm, factor;
    double first; /* what the numbers of states begin with */
} ab_steps;
enum { AB_STEPS_ARGUMENTS = 8 };
int ab_steps_read(PyObject *const *args, ab_steps *steps); /* of so many; -1: an exception */
/* 1: *norm is the answer of ab_update_all; 0: another backend runs; -1: an exception. */
int ab_updates_run(PyObject *updates, const ab_steps *steps, double *norm);

/* trainer.c */
PyObject *ab_trainer_update(PyObject *trainer, PyObject *none);

/* turn.c */
int ab_turn_begin(void); /* once, before the others; not 0: no memory */
int ab_turn_take(void);  /* negative: an exception */
void
ab_turn_pass(void); /* what has the turn is a backward pass: the thread may not take it again */
void ab_turn_give(void);

/* graph.c */
typedef struct ab_levels { /* of a thread */
    GraphObject *current;  /* NULL: none was begun */
    ab_level *innermost;
    unsigned long thread;
} ab_levels;
extern _Thread_local ab_levels *ab_own_levels; /* NULL: it has not begun */
GraphObject *ab_graph_current_slow(void);
GraphObject *ab_recording_slow(void);
PyObject *ab_new_graph(PyObject *module, PyObject *none);
GraphObject *ab_graph_apart(const GraphObject *like); /* without sharing, not the current one */
ab_level *ab_level_begin(GraphObject *g);             /* makes it current until the level ends */
void ab_level_end(ab_level *level);
void ab_graph_discard(GraphObject *g);
PyObject *ab_get_graph(PyObject *module, PyObject *none);

/* The current graph if there is one. Borrowed. */
static inline GraphObject *
ab_graph_present(void)
{
    return ab_own_levels ? ab_own_levels->current : NULL;
}

static inline GraphObject *
ab_graph_current(void)
{
    GraphObject *g = ab_graph_present();
    return g ? g : ab_graph_current_slow();
}

/* The current graph, ready for a node; NULL: an exception. Borrowed. */
static inline GraphObject *
ab_recording(void)
{
    GraphObject *g = ab_graph_current();
    return g && g->graph->n ? g : ab_recording_slow();
}

/* One that new_graph() is about to replace is gone, whether or not the new one records; but a job
 * that runs it goes on. */
static inline int
ab_graph_is_alive(const GraphObject *g)
{
    const GraphObject *now = ab_graph_present();
    return g->graph && !g->ended && (g->running || !(now && now->replaced == g));
}

/* expression.c */
static inline int
ab_is_expression(PyObject *object)
{
#ifdef Py_LIMITED_API
    return PyObject_TypeCheck(object, core.expression_type);
#else /* subtypes are direct ones */
    return Py_TYPE(object) == core.expression_type
           || Py_TYPE(object)->tp_base == core.expression_type;
#endif
}
/* Parameters are objects of classes made in Python, of which there are few: the last two are
 * known at once. */
static inline int
ab_is_param(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    if (type == core.param_seen[0] || type == core.param_seen[1])
        return 1;
    if (!PyObject_TypeCheck(object, core.param_type))
        return 0;
    Py_INCREF(type);
    Py_XDECREF(core.param_seen[1]);
    core.param_seen[1] = core.param_seen[0];
    core.param_seen[0] = type;
    return 1;
}
/* A parameter, or the one that an object stands for; NULL: it is neither. Borrowed. */
static inline ParamObject *
ab_param_of(PyObject *object)
{
    if (PyObject_TypeCheck(object, core.holder_type) && ((HolderObject *)object)->stored)
        object = ((HolderObject *)object)->stored;
    return ab_is_param(object) && ((ParamObject *)object)->param ? (ParamObject *)object : NULL;
}
/* Whether its node of this graph stands for the numbers that it has now. */
static inline int
ab_param_is_recorded(const ParamObject *p, const GraphObject *g)
{
    return p->serial == g->serial && p->version == p->param->version;
}
PyObject *ab_expression_new(GraphObject *g, int32_t node);
PyObject *ab_expression_variant(PyObject *module, PyObject *none);
PyObject *ab_type_shape(int32_t type); /* borrowed */
PyObject *ab_slot_binary(int slot, PyObject *a, PyObject *b);
PyObject *ab_slot_negative(PyObject *a);
PyObject *ab_slot_product(PyObject *a, PyObject *b);
PyObject *ab_slot_power(PyObject *a, PyObject *b, PyObject *modulo);

/* form.c */
/* The form of whole-number attributes, given as words. attrs: the same as a tuple, or NULL. -1: an
 * exception. */
int32_t ab_find_form(OpObject *op, ab_graph *g, int32_t nin, const int32_t *operands,
                     int32_t nattrs, const int64_t *words, PyObject *attrs);
/* attrs: a tuple of numbers or NULL. */
int32_t ab_find_form_of(OpObject *op, ab_graph *g, int32_t nin, const int32_t *operands,
                        PyObject *attrs);
/* A number as a word; -1 with an exception if it is none or too large for one. */
int64_t ab_whole_number(OpObject *op, PyObject *number);
PyObject *ab_form_known(PyObject *module, PyObject *number);
/* Enters a form of which only the type is missing. known: what Python finds in `forms`. */
int32_t ab_form_enter(OpObject *op, ab_form *f, int32_t ndim, const int64_t *dims, PyObject *known);

/* usual.c */
enum { AB_NOT_USUAL = -2 };
/* A form, -1 with an exception, or AB_NOT_USUAL: the declaration has to be asked. f: its key and its
 * operands' types. */
int32_t ab_usual_form(OpObject *op, ab_form *f, PyObject *attrs, PyObject *inputs);
PyObject *ab_op_usual(PyObject *op, PyObject *args);

/* record.c */
/* Held while Python runs in the middle of recording: it may begin another graph, or end this one,
 * by an operand's methods, finalizers and handlers of signals. */
typedef struct ab_pin {
    GraphObject *g;
    ab_graph *memory;
    uint64_t epoch;
    int32_t nodes;
} ab_pin;
ab_pin ab_pin_graph(void);
int ab_unpin_graph(ab_pin *pin, PyObject *op); /* -1: not the same graph any more; an exception */
/* The node of an expression, a parameter or a number. */
int32_t ab_record_operand(GraphObject *g, PyObject *op, PyObject *object);
PyObject *ab_record_failed(int error, PyObject *op);
PyObject *ab_record_operands(OpObject *op, PyObject *const *args, Py_ssize_t n);
PyObject *ab_record(PyObject *op, PyObject *const *args, Py_ssize_t n);
PyObject *ab_record_lookup(ParamObject *table, PyObject *index);
int32_t ab_record_parameter(GraphObject *g, ParamObject *p);
/* The node of an operand that is none of numbers and arrays; -1: another operand, or an
 * exception. */
int32_t ab_known_node(GraphObject *g, PyObject *object);
PyObject *ab_numbers_input(PyObject *module, PyObject *given);
PyObject *ab_lists_input(PyObject *module, PyObject *const *args, Py_ssize_t n);
PyObject *ab_array_input(PyObject *module, PyObject *const *args, Py_ssize_t n);
#ifndef Py_LIMITED_API
enum { AB_ARRAY_AXES = 16 };
/* How many numbers an array has, to be read by the next; -1: it is not of one of the usual types,
 * and `view` is nothing. */
int64_t ab_array_begin(PyObject *array, Py_buffer *view);
/* Its numbers, column by column; wide: as doubles. */
void ab_array_copy(const Py_buffer *view, int64_t count, void *to, int wide);
#endif
PyObject *ab_error(const char *kind, PyObject *op, PyObject *detail); /* steals detail */

/* index.c */
/* Truth values and arrays are none, and a class of Python's may do anything in its __index__: such
 * objects are for the long way. */
int ab_is_plain_number(PyObject *object);
/* NULL without an exception: the function of Python has to. */
PyObject *ab_record_indexed(OpObject *op, PyObject *x, PyObject *index);
/* Of columns: the entry at an index from 0 on, rows of a table. NULL without an exception: as
 * above. */
PyObject *ab_column_pick(PyObject *x, PyObject *index);
PyObject *ab_table_row(PyObject *x, PyObject *index);
PyObject *ab_table_rows(PyObject *x, PyObject *indices); /* as a minibatch, which may be moved */
PyObject *ab_record_item(PyObject *x, PyObject *key);
PyObject *ab_item(PyObject *x, PyObject *key); /* x[key], by either */
PyObject *ab_column_item(PyObject *x, PyObject *key);
PyObject *ab_column_entry(PyObject *x, Py_ssize_t index); /* for iterators */
/* Functions of the module; they answer None instead. */
PyObject *ab_split(PyObject *module, PyObject *const *args, Py_ssize_t n);
PyObject *ab_entry(PyObject *module, PyObject *const *args, Py_ssize_t n);
PyObject *ab_range(PyObject *module, PyObject *const *args, Py_ssize_t n);

#endif
