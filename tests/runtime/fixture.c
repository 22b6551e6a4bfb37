/* fixture.c: a hand-written network in the form the compiler generates. y = 2x + 1 over three patches, in row bands
 * through the arena and through each thread's scratch. FIXTURE_FACTOR makes another network of the same shapes;
 * FIXTURE_WORK repeats the arithmetic; FIXTURE_EMPTY leaves only the dispatch; FIXTURE_TWO has two
 * inputs, two outputs; FIXTURE_TRACE tells the order of the runs. */
#include "plan.h"

#ifndef FIXTURE_FACTOR
#define FIXTURE_FACTOR 2.0f
#endif
#ifndef FIXTURE_WORK
#define FIXTURE_WORK 1
#endif
#ifndef FIXTURE_ARENA
#define FIXTURE_ARENA(floats) (((floats) * 4ul + 63) / 64 * 64)
#endif

enum { WIDEST = 64 };

/* Doubles each row into the arena, by way of the scratch: a scratch shared by two threads would show. */
static void scale(const dydca_frame *frame, char *scratch, int begin, int end, int width) {
  float *row = (float *)scratch;
  const float *from = frame->inputs[0];
  float *to = (float *)frame->arena;
  for (int y = begin; y < end; y++)
    for (int again = 0; again < FIXTURE_WORK; again++) {
      for (int x = 0; x < width; x++) row[x] = from[y * width + x] * FIXTURE_FACTOR;
      for (int x = 0; x < width; x++) to[y * width + x] = row[x];
    }
}

static void shift(const dydca_frame *frame, int begin, int end, int width) {
  const float *from = (const float *)frame->arena;
  for (int i = begin * width; i < end * width; i++) frame->outputs[0][i] = from[i] + 1.0f;
#ifdef FIXTURE_TWO
  for (int i = begin * width; i < end * width; i++) frame->outputs[1][i] = frame->inputs[0][i] - frame->inputs[1][i];
#endif
}

#ifdef FIXTURE_TRACE /* the output begins with how many patches ran before this one */
static float runs;
#define RUN(name, rows) \
  static void name##_run(const dydca_frame *frame) { \
    (void)name##_scale, (void)name##_shift; \
    frame->outputs[0][0] = runs++; \
  }
#elif defined FIXTURE_EMPTY
#define RUN(name, rows) \
  static void name##_run(const dydca_frame *frame) { (void)frame; (void)name##_scale; (void)name##_shift; }
#else
#define RUN(name, rows) \
  static void name##_run(const dydca_frame *frame) { \
    dydca_each(frame, name##_scale, rows); \
    dydca_each(frame, name##_shift, rows); \
  }
#endif

#define PLAN(name, rows, width) \
  static void name##_scale(const dydca_frame *frame, char *scratch, int begin, int end) { \
    scale(frame, scratch, begin, end, width); \
  } \
  static void name##_shift(const dydca_frame *frame, char *scratch, int begin, int end) { \
    (void)scratch; \
    shift(frame, begin, end, width); \
  } \
  RUN(name, rows) \
  static const dydca_tensor name##_shape[] = {{0, 4, {1, 3, (rows) / 3, width}}, {0, 4, {1, 3, (rows) / 3, width}}};

PLAN(small, 3 * 4, 8)
PLAN(large, 3 * 32, WIDEST)
PLAN(odd, 3 * 5, 7)

#define ENTRY(name, rows, width) \
  {#name, name##_shape, name##_shape, FIXTURE_ARENA((rows) * (width)), WIDEST * 4, (double)(rows) * (width), name##_run}

static const dydca_plan plans[] = {ENTRY(small, 3 * 4, 8), ENTRY(large, 3 * 32, WIDEST), ENTRY(odd, 3 * 5, 7)};

#ifdef FIXTURE_TWO
const dydca_network dydca_this_network = {2, 2, 3, plans, "{\"name\": \"fixture\"}"};
#else
const dydca_network dydca_this_network = {1, 1, 3, plans, "{\"name\": \"fixture\"}"};
#endif
