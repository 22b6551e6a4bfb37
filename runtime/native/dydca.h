/* dydca.h: the C interface of a compiled network. C99; usable from C++, Kotlin/JNI, Swift and Rust.
 *
 * One shared library is one network: its routes, its declared patches and its weights. The functions never
 * abort and never print. A failing call returns a code other than DYDCA_OK and leaves a sentence in
 * dydca_last_error(). Any number of threads may call at once; at most `threads` patches of one net run at a
 * time, further callers wait. Tensors are float32, contiguous, row-major (N, C, H, W), aligned to 4 bytes. */
#ifndef DYDCA_H
#define DYDCA_H

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

#define DYDCA_ABI_VERSION 1
#define DYDCA_MAX_RANK 6
#define DYDCA_MAX_THREADS 64

typedef struct dydca_net dydca_net;

typedef struct {
  float *data;
  int rank;
  long long shape[DYDCA_MAX_RANK];
} dydca_tensor;

typedef struct {
  const dydca_tensor *inputs;  /* dydca_input_count() of them */
  dydca_tensor *outputs;       /* dydca_output_count() of them; shapes filled in by the caller, as dydca_output_shapes tells */
} dydca_job;

enum {
  DYDCA_OK = 0,
  DYDCA_ERROR_ARGUMENT = 1,      /* a null pointer, a negative count, a rank out of range, misaligned data */
  DYDCA_ERROR_UNKNOWN_PATCH = 2, /* no plan for these input shapes */
  DYDCA_ERROR_OUTPUT_SHAPE = 3,  /* an output's shape is not the one the plan writes */
  DYDCA_ERROR_OVERLAP = 4,       /* an output overlaps an input or another output */
  DYDCA_ERROR_MEMORY = 5,        /* create could not allocate */
  DYDCA_ERROR_THREAD = 6         /* create could not start its threads */
};

int dydca_abi_version(void);
const char *dydca_manifest(void); /* JSON: inputs, outputs, routes, patches, arena bytes */
int dydca_input_count(void);
int dydca_output_count(void);

/* Threads: 1..DYDCA_MAX_THREADS; the caller's own thread is one of them. Everything a run needs is allocated here. */
int dydca_create(int threads, dydca_net **net);
void dydca_destroy(dydca_net *net); /* after the last call has returned; NULL is allowed */

/* Fills rank and shape of the outputs for inputs of which only rank and shape are read. */
int dydca_output_shapes(const dydca_tensor *inputs, dydca_tensor *outputs);

/* One patch, its kernels cut into row bands for all threads of the net. Any number of callers at once. */
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
