/* fixture.c: a hand-written network in the form the compiler generates. y = 2x + 1 over three patches, in row bands
 * through the arena and through each thread's scratch. FIXTURE_FACTOR makes another network of the same shapes;
 * FIXTURE_WORK repeats the arithmetic; FIXTURE_EMPTY leaves only the dispatch; FIXTURE_TWO has two inputs, two
 * outputs; FIXTURE_TRACE tells the order of the runs; FIXTURE_ELEMENT and FIXTURE_TYPE are what tensors are of;
 * FIXTURE_VARIES writes only the first row, with rank 1, where x begins with a negative value; FIXTURE_BROKEN then
 * names a result that is not there. */
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
#ifndef FIXTURE_MANIFEST
#define FIXTURE_MANIFEST "{}"
#endif
#ifndef FIXTURE_ELEMENT
#define FIXTURE_ELEMENT float
#define FIXTURE_TYPE DYDCA_FLOAT32
#endif
#ifdef FIXTURE_VARIES
enum { WIDEST = 64, TENSORS = 1, RESULTS = 2 };
#define SECOND(rows, width) ROW(width)
#elif defined FIXTURE_TWO
enum { WIDEST = 64, TENSORS = 2, RESULTS = 1 };
#define SECOND PICTURE
#else
enum { WIDEST = 64, TENSORS = 1, RESULTS = 1 };
#define SECOND PICTURE
#endif

typedef FIXTURE_ELEMENT element;

/* Doubles each row into the arena, by way of the scratch: a scratch shared by two threads would show. */
static void scale(const dydca_frame *frame, char *scratch, int begin, int end, int width) {
  float *row = (float *)scratch;
  const element *from = frame->inputs[0].data;
  float *to = (float *)frame->arena;
  for (int y = begin; y < end; y++)
    for (int again = 0; again < FIXTURE_WORK; again++) {
      for (int x = 0; x < width; x++) row[x] = from[y * width + x] * FIXTURE_FACTOR;
      for (int x = 0; x < width; x++) to[y * width + x] = row[x];
    }
}

static void shift(const dydca_frame *frame, int begin, int end, int width) {
  const float *from = (const float *)frame->arena;
  element *to = frame->outputs[0].data;
  for (int i = begin * width; i < end * width; i++) to[i] = (element)(from[i] + 1.0f);
#ifdef FIXTURE_TWO
  const element *a = frame->inputs[0].data, *b = frame->inputs[1].data;
  element *difference = frame->outputs[1].data;
  for (int i = begin * width; i < end * width; i++) difference[i] = a[i] - b[i];
#endif
}

static int run(const dydca_frame *frame, dydca_task scales, dydca_task shifts, int rows) {
#ifdef FIXTURE_TRACE /* the output begins with how many patches ran before this one */
  static float runs;
  *(float *)frame->outputs[0].data = runs++;
  return (void)scales, (void)shifts, (void)rows, 0;
#elif defined FIXTURE_EMPTY
  return (void)frame, (void)scales, (void)shifts, (void)rows, 0;
#else
#if defined FIXTURE_VARIES || defined FIXTURE_BROKEN
  if (*(const element *)frame->inputs[0].data < 0) {
    dydca_each(frame, scales, 0, 1);
    dydca_each(frame, shifts, 0, 1);
    return 1;
  }
#endif
  dydca_each(frame, scales, 0, rows);
  dydca_each(frame, shifts, 0, rows);
  return 0;
#endif
}

#define PICTURE(rows, width) \
  {0, (rows) * (width) * sizeof(element), FIXTURE_TYPE, 4, {1, 3, (rows) / 3, width}}
#define ROW(width) {0, (width) * sizeof(element), FIXTURE_TYPE, 1, {width}}

#define PLAN(name, rows, width) \
  static void name##_scale(const dydca_frame *frame, char *scratch, int begin, int end) { \
    scale(frame, scratch, begin, end, width); \
  } \
  static void name##_shift(const dydca_frame *frame, char *scratch, int begin, int end) { \
    (void)scratch; \
    shift(frame, begin, end, width); \
  } \
  static int name##_run(const dydca_frame *frame) { return run(frame, name##_scale, name##_shift, rows); } \
  static const dydca_tensor name##_pictures[] = {PICTURE(rows, width), PICTURE(rows, width)}; \
  static const dydca_tensor name##_results[] = {PICTURE(rows, width), SECOND(rows, width)};

PLAN(small, 3 * 4, 8)
PLAN(large, 3 * 32, WIDEST)
PLAN(odd, 3 * 5, 7)

#define ENTRY(name, rows, width) \
  {#name, name##_pictures, name##_pictures, name##_results, RESULTS, FIXTURE_ARENA((rows) * (width)), WIDEST * 4, \
   (double)(rows) * (width), name##_run}

static const dydca_plan plans[] = {ENTRY(small, 3 * 4, 8), ENTRY(large, 3 * 32, WIDEST), ENTRY(odd, 3 * 5, 7)};

const dydca_network dydca_this_network = {TENSORS, TENSORS, 3, plans, FIXTURE_MANIFEST};
