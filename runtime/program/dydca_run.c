/* dydca-run: one compiled network as a command, for a shell on the device. Linked with the network itself.
 *
 *   dydca-run                            the patches it was compiled for
 *   dydca-run -n 50 -t 4                 times every patch on noise
 *   dydca-run in.ppm -o out.ppm          one patch; P5 and P6 pictures, anything else is raw memory
 *   dydca-run -s 1x3x54x48 a.raw b.raw -o y.raw -o state.raw    -s where the size of a file does not tell the shape
 *
 * Results go to the files and to stdout, complaints to stderr. Exit code 0: done, 1: refused, 2: not understood. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "plan.h"

enum { MOST = 16 }; /* inputs, outputs and shapes on the command line */

static const dydca_network *const network = &dydca_this_network;
static const char *const type_names[] = {"", "float32", "uint8", "int32", "int64", "bool"};

static int refuse(const char *what, const char *about) {
  fprintf(stderr, "dydca-run: %s%s%s\n", what, *about ? ": " : "", about);
  return 1;
}

static void print_tensor(const dydca_tensor *tensor) {
  printf(" %s ", type_names[tensor->type]);
  for (int d = 0; d < tensor->rank; d++) printf("%s%lld", d ? "x" : "", tensor->shape[d]);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e3 + (double)time.tv_nsec * 1e-6;
}

/* Files */

static char *read_file(const char *path, long *size) {
  FILE *file = fopen(path, "rb");
  if (!file) return 0;
  char *content = 0;
  if (!fseek(file, 0, SEEK_END) && (*size = ftell(file)) >= 0 && !fseek(file, 0, SEEK_SET)) {
    content = malloc((size_t)*size + 1);
    if (content && fread(content, 1, (size_t)*size, file) != (size_t)*size) {
      free(content);
      content = 0;
    }
  }
  fclose(file);
  if (content) content[*size] = 0;
  return content;
}

static int write_file(const char *path, const char *head, const void *content, size_t size) {
  FILE *file = fopen(path, "wb");
  if (!file) return refuse("cannot write", path);
  int bad = fwrite(head, 1, strlen(head), file) != strlen(head) || fwrite(content, 1, size, file) != size;
  bad |= fclose(file) != 0;
  return bad ? refuse("cannot write", path) : 0;
}

/* A P5 or P6 picture as planes; 0 if the file is none. */
static int read_picture(const char *content, long size, dydca_tensor *tensor) {
  int width, height, deepest, header = 0;
  char kind, space;
  if (sscanf(content, "P%c %d %d %d%c%n", &kind, &width, &height, &deepest, &space, &header) != 5) return 0;
  const long channels = kind == '6' ? 3 : kind == '5' ? 1 : 0;
  if (!channels || width < 1 || height < 1 || deepest != 255) return 0;
  const long pixels = (size - header) / channels;
  if (width > pixels / height || (long)width * height != pixels) return 0;
  const dydca_tensor shaped = {0, 0, tensor->type, 4, {1, channels, height, width}};
  const unsigned char *from = (const unsigned char *)content + header;
  const int is_float = tensor->type == DYDCA_FLOAT32;
  *tensor = shaped;
  tensor->bytes = pixels * channels * (is_float ? 4 : 1);
  tensor->data = malloc((size_t)tensor->bytes);
  if (!tensor->data) return 0;
  for (long c = 0; c < channels; c++)
    for (long p = 0; p < pixels; p++) {
      const unsigned char value = from[p * channels + c];
      if (is_float) ((float *)tensor->data)[c * pixels + p] = (float)value / 255.0f;
      else ((unsigned char *)tensor->data)[c * pixels + p] = value;
    }
  return 1;
}

static int write_picture(const char *path, const dydca_tensor *tensor) {
  const int is_float = tensor->type == DYDCA_FLOAT32;
  const long long channels = tensor->rank == 4 ? tensor->shape[1] : 0;
  if ((!is_float && tensor->type != DYDCA_UINT8) || (channels != 1 && channels != 3) || tensor->shape[0] != 1)
    return refuse("this output is no picture of one or three colours", path);
  const long long pixels = tensor->shape[2] * tensor->shape[3];
  unsigned char *to = malloc((size_t)(pixels * channels));
  if (!to) return refuse("not enough memory", path);
  for (long long c = 0; c < channels; c++)
    for (long long p = 0; p < pixels; p++) {
      const long long at = c * pixels + p;
      const float value = is_float ? ((const float *)tensor->data)[at] * 255.0f + 0.5f : 0.0f;
      to[p * channels + c] = is_float ? (unsigned char)(value > 255.0f ? 255.0f : value > 0.0f ? value : 0.0f)
                                      : ((const unsigned char *)tensor->data)[at];
    }
  char head[64];
  snprintf(head, sizeof head, "P%c\n%lld %lld\n255\n", channels == 3 ? '6' : '5', tensor->shape[3], tensor->shape[2]);
  const int code = write_file(path, head, to, (size_t)(pixels * channels));
  free(to);
  return code;
}

static int ends_with(const char *path, const char *end) {
  const size_t length = strlen(path), wanted = strlen(end);
  return length >= wanted && !strcmp(path + length - wanted, end);
}

static int is_picture(const char *path) {
  return ends_with(path, ".ppm") || ends_with(path, ".pgm");
}

/* The shape of a raw input: the one given, else that of the first declared patch of its size. */
static int shape_raw(dydca_tensor *tensor, int index, long size, const char *shape) {
  for (int p = 0; p < network->plans && !shape; p++)
    if (network->plan[p].inputs[index].bytes == size) {
      *tensor = network->plan[p].inputs[index];
      return 1;
    }
  tensor->bytes = size;
  for (tensor->rank = 0; shape && *shape && tensor->rank < DYDCA_MAX_RANK; tensor->rank++) {
    char *end;
    tensor->shape[tensor->rank] = strtoll(shape, &end, 10);
    if (end == shape || (*end && *end != 'x')) return 0;
    shape = *end ? end + 1 : end;
  }
  return shape && !*shape;
}

static int read_input(const char *path, int index, const char *shape, dydca_tensor *tensor) {
  long size;
  char *content = read_file(path, &size);
  if (!content) return refuse("cannot read", path);
  tensor->type = network->plan->inputs[index].type;
  if (is_picture(path)) {
    const int is_read = read_picture(content, size, tensor);
    free(content);
    return is_read ? 0 : refuse("no binary PPM or PGM picture of 8 bits", path);
  }
  if (!shape_raw(tensor, index, size, shape)) {
    free(content);
    return refuse("no declared patch has the size of this file, or -s is no shape", path);
  }
  tensor->data = content;
  return 0;
}

/* Commands */

static int describe(void) {
  for (int p = 0; p < network->plans; p++) {
    printf("%s:", network->plan[p].name);
    for (int i = 0; i < network->inputs; i++) print_tensor(&network->plan[p].inputs[i]);
    printf(" ->");
    for (int o = 0; o < network->outputs; o++) print_tensor(&network->plan[p].largest[o]);
    printf("\n");
  }
  return 0;
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Allocates the outputs and runs `repeats` times. */
static int run(dydca_net *net, const dydca_tensor *inputs, dydca_tensor *outputs, int repeats, const char *name) {
  double *times = malloc((size_t)repeats * sizeof *times);
  int code = times ? dydca_output_shapes(inputs, outputs) : DYDCA_ERROR_MEMORY;
  for (int o = 0; o < network->outputs && !code; o++)
    if (!(outputs[o].data = malloc((size_t)outputs[o].bytes))) code = DYDCA_ERROR_MEMORY;
  for (int r = 0; r < repeats && !code; r++) {
    const double start = now();
    code = dydca_run(net, inputs, outputs);
    times[r] = now() - start;
  }
  if (!code && repeats > 1) {
    qsort(times, (size_t)repeats, sizeof *times, ascending);
    printf("%s: median %.3f ms, least %.3f ms of %d\n", name, times[repeats / 2], times[0], repeats);
  }
  free(times);
  if (!code) return 0;
  const char *own = dydca_last_error(net);
  return refuse(strcmp(own, "no error") ? own : dydca_last_error(0), "");
}

static int time_all(dydca_net *net, int repeats) {
  for (int p = 0; p < network->plans; p++) {
    dydca_tensor inputs[MOST], outputs[MOST];
    memset(outputs, 0, sizeof outputs);
    int code = 0;
    for (int i = 0; i < network->inputs; i++) {
      inputs[i] = network->plan[p].inputs[i];
      if (!(inputs[i].data = calloc((size_t)inputs[i].bytes, 1))) return refuse("not enough memory", "");
      for (long long at = 0; inputs[i].type == DYDCA_FLOAT32 && at < inputs[i].bytes / 4; at++)
        ((float *)inputs[i].data)[at] = (float)rand() / (float)RAND_MAX;
    }
    code = run(net, inputs, outputs, repeats, network->plan[p].name);
    for (int i = 0; i < network->inputs; i++) free(inputs[i].data);
    for (int o = 0; o < network->outputs; o++) free(outputs[o].data);
    if (code) return code;
  }
  return 0;
}

typedef struct {
  int threads, repeats, inputs, outputs, shapes;
  const char *input[MOST], *output[MOST], *shape[MOST];
} options;

static int run_files(dydca_net *net, const options *given) {
  dydca_tensor inputs[MOST], outputs[MOST];
  memset(inputs, 0, sizeof inputs);
  memset(outputs, 0, sizeof outputs);
  if (given->inputs != network->inputs || given->outputs > network->outputs)
    return refuse("the network has another number of inputs or fewer outputs", "");
  int code = 0;
  for (int i = 0; i < given->inputs && !code; i++)
    code = read_input(given->input[i], i, i < given->shapes ? given->shape[i] : 0, &inputs[i]);
  if (!code) code = run(net, inputs, outputs, given->repeats, "run");
  for (int o = 0; o < network->outputs && !code; o++) {
    printf("output");
    print_tensor(&outputs[o]);
    printf("\n");
    if (o >= given->outputs) continue;
    size_t size = (size_t)outputs[o].bytes; /* the room; what stands in it may be less */
    if (outputs[o].rank) {
      const size_t sizes[] = {0, 4, 1, 4, 8, 1};
      size = sizes[outputs[o].type];
      for (int d = 0; d < outputs[o].rank; d++) size *= (size_t)outputs[o].shape[d];
    }
    code = is_picture(given->output[o]) ? write_picture(given->output[o], &outputs[o])
                                        : write_file(given->output[o], "", outputs[o].data, size);
  }
  for (int i = 0; i < MOST; i++) free(inputs[i].data);
  for (int o = 0; o < MOST; o++) free(outputs[o].data);
  return code;
}

static int parse(int count, char **words, options *given) {
  for (int w = 1; w < count; w++) {
    const char *word = words[w];
    if (word[0] != '-') {
      if (given->inputs == MOST) return 0;
      given->input[given->inputs++] = word;
      continue;
    }
    if (!word[1] || word[2] || !strchr("tnso", word[1]) || ++w == count) return 0;
    if (word[1] == 't') given->threads = atoi(words[w]);
    if (word[1] == 'n') given->repeats = atoi(words[w]);
    if (word[1] == 's' && given->shapes < MOST) given->shape[given->shapes++] = words[w];
    if (word[1] == 'o' && given->outputs < MOST) given->output[given->outputs++] = words[w];
  }
  return given->repeats > 0 && given->repeats < 1000000 && network->inputs <= MOST && network->outputs <= MOST;
}

int main(int count, char **words) {
  options given = {.threads = 1, .repeats = 1};
  if (!parse(count, words, &given)) {
    fprintf(stderr, "usage: dydca-run [-t THREADS] [-n REPEATS] [-s SHAPE]... [INPUT... [-o OUTPUT]...]\n");
    return 2;
  }
  if (!given.inputs && given.repeats == 1) return describe();
  dydca_net *net;
  if (dydca_create(given.threads, &net)) return refuse(dydca_last_error(0), "");
  const int code = given.inputs ? run_files(net, &given) : time_all(net, given.repeats);
  dydca_destroy(net);
  return code;
}
