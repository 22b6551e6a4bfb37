/* allocations.c: opens a compiled network and counts every allocation of this process while it runs.
 *   allocations LIBRARY THREADS ROUNDS SHAPE TYPE...    one SHAPE TYPE pair for each input
 * Prints how many allocations create made, and how many all the runs. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dydca.h"

enum { MOST = 16, JOBS = 5 };

static int counted; /* atomic */

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

void *malloc(size_t bytes) { return __atomic_add_fetch(&counted, 1, __ATOMIC_RELAXED), __libc_malloc(bytes); }
void *calloc(size_t n, size_t bytes) { return __atomic_add_fetch(&counted, 1, __ATOMIC_RELAXED), __libc_calloc(n, bytes); }
void *realloc(void *p, size_t bytes) { return __atomic_add_fetch(&counted, 1, __ATOMIC_RELAXED), __libc_realloc(p, bytes); }
int posix_memalign(void **memory, size_t alignment, size_t bytes) {
  __atomic_add_fetch(&counted, 1, __ATOMIC_RELAXED);
  return (*memory = __libc_memalign(alignment, bytes)) ? 0 : 12;
}

static dydca_tensor parse(const char *shape, int type) {
  static const int sizes[] = {0, 4, 1, 4, 8, 1};
  dydca_tensor tensor = {0};
  tensor.type = type;
  tensor.bytes = sizes[type];
  for (char *end; *shape; shape = *end ? end + 1 : end) {
    tensor.shape[tensor.rank] = strtoll(shape, &end, 10);
    tensor.bytes *= tensor.shape[tensor.rank++];
  }
  tensor.data = __libc_calloc((size_t)tensor.bytes, 1);
  return tensor;
}

int main(int count, char **words) {
  void *library = count > 5 ? dlopen(words[1], RTLD_NOW) : 0;
  if (!library) return 2;
  int (*create)(int, dydca_net **) = (int (*)(int, dydca_net **))dlsym(library, "dydca_create");
  int (*shapes)(const dydca_tensor *, dydca_tensor *) =
      (int (*)(const dydca_tensor *, dydca_tensor *))dlsym(library, "dydca_output_shapes");
  int (*run)(dydca_net *, const dydca_tensor *, dydca_tensor *) =
      (int (*)(dydca_net *, const dydca_tensor *, dydca_tensor *))dlsym(library, "dydca_run");
  int (*run_many)(dydca_net *, const dydca_job *, int) =
      (int (*)(dydca_net *, const dydca_job *, int))dlsym(library, "dydca_run_many");
  int (*outputs_of)(void) = (int (*)(void))dlsym(library, "dydca_output_count");
  dydca_tensor inputs[MOST], outputs[JOBS][MOST];
  for (int i = 0; 5 + 2 * i < count; i++) inputs[i] = parse(words[4 + 2 * i], atoi(words[5 + 2 * i]));
  dydca_job jobs[JOBS];
  for (int j = 0; j < JOBS; j++) {
    if (shapes(inputs, outputs[j])) return 3;
    for (int o = 0; o < outputs_of(); o++) outputs[j][o].data = __libc_malloc((size_t)outputs[j][o].bytes);
    jobs[j] = (dydca_job){inputs, outputs[j]};
  }
  dydca_net *net;
  const int before = counted;
  if (create(atoi(words[2]), &net)) return 4;
  const int created = counted;
  for (int i = 0; i < atoi(words[3]); i++)
    if (run(net, inputs, outputs[0]) || run_many(net, jobs, JOBS)) return 5;
  inputs[0].rank = 1;
  if (run(net, inputs, outputs[0]) != DYDCA_ERROR_UNKNOWN_PATCH) return 6; /* a refusal needs none either */
  const int ran = counted;
  printf("%d %d\n", created - before, ran - created);
  return 0;
}
