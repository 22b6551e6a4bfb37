/* load.c: opens a network's library as an app does, by dlopen, and runs one patch in it; made for emulators.
 *   load LIBRARY [-s SHAPE FILE.TYPE]... [-o FILE]...    as dydca-run; raw files only
 * Without files it tells how many outputs there are. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dydca.h"

enum { MOST = 16 };
static const char *const names[] = {"", "float32", "uint8", "int32", "int64", "bool"};
static const int sizes[] = {0, 4, 1, 4, 8, 1};

static void *symbol(void *library, const char *name) {
  void *found = dlsym(library, name);
  if (!found) fprintf(stderr, "no %s\n", name), exit(1);
  return found;
}

static dydca_tensor read_tensor(const char *shape, const char *path) {
  dydca_tensor tensor = {0};
  for (int type = 1; type <= DYDCA_BOOL; type++)
    if (!strcmp(strrchr(path, '.') + 1, names[type])) tensor.type = type;
  tensor.bytes = sizes[tensor.type];
  for (char *end; *shape; shape = *end ? end + 1 : end) {
    tensor.shape[tensor.rank] = strtoll(shape, &end, 10);
    tensor.bytes *= tensor.shape[tensor.rank++];
  }
  tensor.data = malloc((size_t)tensor.bytes);
  FILE *file = fopen(path, "rb");
  if (!file || fread(tensor.data, 1, (size_t)tensor.bytes, file) != (size_t)tensor.bytes) exit(1);
  fclose(file);
  return tensor;
}

int main(int count, char **words) {
  void *library = count > 1 ? dlopen(words[1], RTLD_NOW | RTLD_LOCAL) : 0;
  if (!library) return fprintf(stderr, "%s\n", dlerror()), 1;
  int (*output_count)(void) = (int (*)(void))symbol(library, "dydca_output_count");
  int (*create)(int, dydca_net **) = (int (*)(int, dydca_net **))symbol(library, "dydca_create");
  int (*shapes)(const dydca_tensor *, dydca_tensor *) =
      (int (*)(const dydca_tensor *, dydca_tensor *))symbol(library, "dydca_output_shapes");
  int (*run)(dydca_net *, const dydca_tensor *, dydca_tensor *) =
      (int (*)(dydca_net *, const dydca_tensor *, dydca_tensor *))symbol(library, "dydca_run");
  void (*destroy)(dydca_net *) = (void (*)(dydca_net *))symbol(library, "dydca_destroy");
  if (count == 2) {
    printf("library: ->");
    for (int o = 0; o < output_count(); o++) printf(" tensor %d", o);
    return puts(""), 0;
  }
  dydca_tensor inputs[MOST], outputs[MOST] = {{0}};
  const char *paths[MOST];
  int given = 0, wanted = 0;
  for (int w = 2; w + 1 < count; w += 2) {
    if (!strcmp(words[w], "-s")) inputs[given++] = read_tensor(words[w + 1], words[w + 2]), w++;
    else paths[wanted++] = words[w + 1];
  }
  dydca_net *net;
  if (create(2, &net) || shapes(inputs, outputs)) return fprintf(stderr, "refused\n"), 1;
  for (int o = 0; o < output_count(); o++) outputs[o].data = malloc((size_t)outputs[o].bytes);
  if (run(net, inputs, outputs)) return fprintf(stderr, "failed\n"), 1;
  for (int o = 0; o < wanted; o++) {
    size_t items = 1;
    printf("output %s ", names[outputs[o].type]);
    for (int d = 0; d < outputs[o].rank; d++) {
      printf("%s%lld", d ? "x" : "", outputs[o].shape[d]);
      items *= (size_t)outputs[o].shape[d];
    }
    puts("");
    FILE *file = fopen(paths[o], "wb");
    fwrite(outputs[o].data, (size_t)sizes[outputs[o].type], items, file);
    fclose(file);
  }
  destroy(net);
  return dlclose(library);
}
