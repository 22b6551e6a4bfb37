/* driver.c: many callers on several nets, every result compared bit for bit; built with a sanitizer by the tests.
 *   driver calls THREADS CALLERS ROUNDS     mixed run, run_many and bad calls
 *   driver create                           every allocation and every thread of create fails in turn
 *   driver soak THREADS ROUNDS              frames of patches; the resident size must not grow
 *   driver dispatch THREADS ROUNDS          prints the seconds of a call of the smallest patch, round by round
 * Prints what failed and exits 1. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dydca.h"

enum { SHAPES = 3, NETS = 2, JOBS = 7, LONGEST = 3 * 32 * 64 };
static const int rows[SHAPES] = {4, 32, 5}, widths[SHAPES] = {8, 64, 7};

static dydca_net *nets[NETS];
static int rounds;
static int failures; /* atomic */

#define CHECK(condition) \
  do { \
    if (!(condition)) { \
      fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
      __atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED); \
    } \
  } while (0)

/* --wrap: the calls of create fail when their countdown reaches zero; -1 means never. */
static int threads_until_failure = -1, allocations_until_failure = -1;
int __real_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
int __real_posix_memalign(void **, size_t, size_t);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
  if (threads_until_failure == 0) return 11;
  if (threads_until_failure > 0) threads_until_failure--;
  return __real_pthread_create(thread, attributes, start, argument);
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t bytes) {
  if (allocations_until_failure == 0) return 12;
  if (allocations_until_failure > 0) allocations_until_failure--;
  return __real_posix_memalign(memory, alignment, bytes);
}

static int length(int shape) {
  return 3 * rows[shape] * widths[shape];
}

static dydca_tensor tensor(float *data, int shape) {
  const dydca_tensor made = {data, length(shape) * 4, DYDCA_FLOAT32, 4, {1, 3, rows[shape], widths[shape]}};
  return made;
}

static void fill(float *data, int count, unsigned seed) {
  for (int i = 0; i < count; i++) data[i] = (float)((seed + (unsigned)i * 7u) % 1009u);
}

static int is_right(const float *from, const float *to, int count) {
  for (int i = 0; i < count; i++)
    if (to[i] != from[i] * 2.0f + 1.0f) return 0;
  return 1;
}

static void run_one(dydca_net *net, unsigned seed, float *x, float *y) {
  const int shape = (int)(seed % SHAPES);
  dydca_tensor in = tensor(x, shape), out = tensor(y, shape);
  fill(x, length(shape), seed);
  CHECK(dydca_run(net, &in, &out) == DYDCA_OK);
  CHECK(is_right(x, y, length(shape)));
}

static void run_frame(dydca_net *net, unsigned seed, float *x, float *y) {
  dydca_tensor in[JOBS], out[JOBS];
  dydca_job jobs[JOBS];
  for (int j = 0; j < JOBS; j++) {
    const int shape = (int)((seed + (unsigned)j) % SHAPES);
    in[j] = tensor(x + j * LONGEST, shape);
    out[j] = tensor(y + (JOBS - 1 - j) * LONGEST, shape); /* descending: the slow overlap check */
    fill(in[j].data, length(shape), seed + (unsigned)j);
    jobs[j].inputs = &in[j];
    jobs[j].outputs = &out[j];
  }
  CHECK(dydca_run_many(net, jobs, JOBS) == DYDCA_OK);
  for (int j = 0; j < JOBS; j++)
    CHECK(is_right(in[j].data, out[j].data, length((int)((seed + (unsigned)j) % SHAPES))));
}

static void run_badly(dydca_net *net, unsigned seed, float *x, float *y) {
  dydca_tensor in = tensor(x, 0), out = tensor(y, 0);
  char wanted[32];
  in.shape[3] = 100 + seed % 50;
  snprintf(wanted, sizeof wanted, "(1, 3, 4, %d)", (int)in.shape[3]);
  CHECK(dydca_run(net, &in, &out) == DYDCA_ERROR_UNKNOWN_PATCH);
  CHECK(strstr(dydca_last_error(net), wanted) != NULL); /* this thread's own sentence */
  CHECK(dydca_output_shapes(&in, &out) == DYDCA_ERROR_UNKNOWN_PATCH);
  CHECK(dydca_last_error(NULL) != NULL);
}

static void *call(void *argument) {
  unsigned seed = *(unsigned *)argument;
  float *x = malloc(JOBS * LONGEST * sizeof *x), *y = malloc(JOBS * LONGEST * sizeof *y);
  for (int i = 0; i < rounds; i++) {
    seed = seed * 1103515245u + 12345u;
    dydca_net *net = nets[seed >> 16 & 1];
    switch (seed >> 20 & 7) {
      case 0: run_frame(net, seed >> 8, x, y); break;
      case 1: run_badly(net, seed >> 8, x, y); break;
      default: run_one(net, seed >> 8, x, y);
    }
  }
  free(x);
  free(y);
  return NULL;
}

static void mix_callers(int threads, int callers) {
  pthread_t thread[64];
  unsigned seeds[64];
  for (int n = 0; n < NETS; n++) CHECK(dydca_create(n ? 1 : threads, &nets[n]) == DYDCA_OK);
  for (int c = 0; c < callers; c++) {
    seeds[c] = (unsigned)c + 1;
    pthread_create(&thread[c], NULL, call, &seeds[c]);
  }
  for (int c = 0; c < callers; c++) pthread_join(thread[c], NULL);
  for (int n = 0; n < NETS; n++) dydca_destroy(nets[n]);
}

static void fail_creates(void) {
  dydca_net *net = (dydca_net *)&net;
  allocations_until_failure = 0;
  CHECK(dydca_create(4, &net) == DYDCA_ERROR_MEMORY);
  CHECK(net == NULL);
  CHECK(strstr(dydca_last_error(NULL), "memory") != NULL);
  allocations_until_failure = 1; /* one allocation is all that create needs; a run needs none */
  for (int started = 0; started < 3; started++) {
    threads_until_failure = started;
    allocations_until_failure = -1;
    CHECK(dydca_create(4, &net) == DYDCA_ERROR_THREAD);
    CHECK(net == NULL);
    CHECK(strstr(dydca_last_error(NULL), "threads") != NULL);
  }
  threads_until_failure = 3;
  allocations_until_failure = 1;
  CHECK(dydca_create(4, &net) == DYDCA_OK);
  float *x = malloc(JOBS * LONGEST * sizeof *x), *y = malloc(JOBS * LONGEST * sizeof *y);
  for (unsigned seed = 0; seed < 20; seed++) {
    run_one(net, seed, x, y);
    run_frame(net, seed, x, y);
    run_badly(net, seed, x, y);
  }
  free(x);
  free(y);
  dydca_destroy(net);
}

static long resident_pages(void) {
  long pages = 0, resident = -1;
  FILE *file = fopen("/proc/self/statm", "r");
  if (file && fscanf(file, "%ld %ld", &pages, &resident) != 2) resident = -1;
  if (file) fclose(file);
  return resident;
}

static void soak(int threads) {
  dydca_net *net;
  CHECK(dydca_create(threads, &net) == DYDCA_OK);
  float *x = malloc(JOBS * LONGEST * sizeof *x), *y = malloc(JOBS * LONGEST * sizeof *y);
  for (unsigned seed = 0; seed < 100; seed++) run_frame(net, seed, x, y);
  const long before = resident_pages();
  for (int i = 0; i < rounds; i++) run_frame(net, (unsigned)i, x, y);
  CHECK(resident_pages() <= before + 64); /* the kernel counts in batches of 64 per thread */
  free(x);
  free(y);
  dydca_destroy(net);
}

static void time_dispatch(int threads) {
  enum { CALLS = 20000 };
  dydca_net *net;
  CHECK(dydca_create(threads, &net) == DYDCA_OK);
  float x[LONGEST] = {0}, y[LONGEST];
  dydca_tensor in = tensor(x, 0), out = tensor(y, 0);
  CHECK(dydca_run(net, &in, &out) == DYDCA_OK);
  for (int i = 0; i < rounds; i++) {
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int call = 0; call < CALLS; call++) dydca_run(net, &in, &out);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%.3e\n", ((double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec)) / CALLS);
  }
  dydca_destroy(net);
}

int main(int count, char **arguments) {
  if (count == 5 && !strcmp(arguments[1], "calls")) {
    rounds = atoi(arguments[4]);
    mix_callers(atoi(arguments[2]), atoi(arguments[3]));
  } else if (count == 2 && !strcmp(arguments[1], "create")) {
    fail_creates();
  } else if (count == 4 && !strcmp(arguments[1], "soak")) {
    rounds = atoi(arguments[3]);
    soak(atoi(arguments[2]));
  } else if (count == 4 && !strcmp(arguments[1], "dispatch")) {
    rounds = atoi(arguments[3]);
    time_dispatch(atoi(arguments[2]));
  } else {
    return 2;
  }
  return failures != 0;
}
