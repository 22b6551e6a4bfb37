/* dydca.h: the C interface of a compiled network. C99; usable from C++, Kotlin/JNI, Swift and Rust.
 *
 * One shared library is one network: its routes, its declared patches and its weights. The functions never
 * abort and never print. A failing call returns a code other than DYDCA_OK and leaves a sentence in
 * dydca_last_error(); it has run nothing, DYDCA_ERROR_PLAN excepted. Any number of threads may call at once; at most
 * `threads` patches of one net run at a time, further callers wait. docs/c_abi.md tells more, with examples. */
#ifndef DYDCA_H
#define DYDCA_H

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

#define DYDCA_ABI_VERSION 2
#define DYDCA_MAX_RANK 6
#define DYDCA_MAX_THREADS 64

typedef struct dydca_net dydca_net;

/* The type of an element. Zero is none, so that a tensor someone forgot to describe is refused. */
enum {
  DYDCA_FLOAT32 = 1, /* IEEE 754 binary32 */
  DYDCA_UINT8 = 2,
  DYDCA_INT32 = 3,
  DYDCA_INT64 = 4,
  DYDCA_BOOL = 5 /* one byte, 0 or 1 */
};

/* Elements in row-major order without gaps, e.g. (N, C, H, W), aligned to the size of one element. */
typedef struct {
  void *data;                      /* the caller's own memory; that of an input is never written */
  long long bytes;                 /* how much memory at `data` belongs to this tensor */
  int type;                        /* DYDCA_FLOAT32, ... */
  int rank;                        /* 0..DYDCA_MAX_RANK, 0 being a single element */
  long long shape[DYDCA_MAX_RANK]; /* the first `rank` sizes */
} dydca_tensor;

typedef struct {
  const dydca_tensor *inputs; /* dydca_input_count() of them */
  dydca_tensor *outputs;      /* dydca_output_count() of them */
} dydca_job;

enum {
  DYDCA_OK = 0,
  DYDCA_ERROR_ARGUMENT = 1,      /* a null pointer, a negative count, a rank out of range, misaligned data */
  DYDCA_ERROR_UNKNOWN_PATCH = 2, /* no plan for these input shapes */
  DYDCA_ERROR_ROOM = 3,          /* a tensor has less memory than its shape, or the plan's largest result, takes */
  DYDCA_ERROR_OVERLAP = 4,       /* an output overlaps an input or another output */
  DYDCA_ERROR_MEMORY = 5,        /* create could not allocate */
  DYDCA_ERROR_THREAD = 6,        /* create could not start its threads */
  DYDCA_ERROR_TYPE = 7,          /* a tensor has another element type */
  DYDCA_ERROR_PLAN = 8           /* the generated code contradicts its own table: a fault of the compiler */
};

int dydca_abi_version(void);      /* DYDCA_ABI_VERSION of the library; call it before anything else */
const char *dydca_manifest(void); /* JSON: target, inputs, outputs, scale, routes, patches; never NULL */
int dydca_input_count(void);
int dydca_output_count(void);

/* Threads: 1..DYDCA_MAX_THREADS; the caller's own thread is one of them. Everything a run needs is allocated here;
 * no later call allocates. On failure *net is NULL and nothing is left behind. */
int dydca_create(int threads, dydca_net **net);
void dydca_destroy(dydca_net *net); /* after the last call has returned; NULL is allowed */

/* Describes the outputs for inputs of which only type, rank and shape are read: fills type, rank, shape and bytes,
 * leaves data alone. Where values decide the shape of an output, it is the largest that can come: `bytes` is what
 * to allocate. */
int dydca_output_shapes(const dydca_tensor *inputs, dydca_tensor *outputs);

/* One patch, its kernels cut into row bands for all threads of the net. Any number of callers at once. Of each
 * output, data, bytes and type are read, and all of its bytes may be written; rank and shape are set to those of
 * what now stands in it. */
int dydca_run(dydca_net *net, const dydca_tensor *inputs, dydca_tensor *outputs);

/* Many patches, one patch to a thread, longest predicted first. Nothing runs if any job is wrong; an output must
 * not overlap any input or output of any job. That check takes linear time if the outputs lie in memory in the
 * order of the jobs and apart from the inputs, else quadratic time. */
int dydca_run_many(dydca_net *net, const dydca_job *jobs, int count);

/* The sentence for this thread's last failing call on this net; with NULL, of the last failing call that has no
 * net (create, output_shapes, a null net). Never NULL; valid until this thread's next failing call on the net. */
const char *dydca_last_error(const dydca_net *net);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
