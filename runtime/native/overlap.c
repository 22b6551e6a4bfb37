/* overlap.c: no output may share memory with an input or another output, of the same job or of another one. The
 * tensors have been checked, so none goes beyond the last address. */
#include "net.h"

typedef struct {
  dydca_address begin, end;
} span;

static span span_of(const dydca_tensor *tensor) {
  const dydca_address begin = (dydca_address)tensor->data;
  const span of = {begin, begin + (dydca_address)tensor->bytes};
  return of;
}

static int meet(span a, span b) {
  return a.begin < b.end && b.begin < a.end;
}

static span hull(span a, span b) {
  const span both = {a.begin < b.begin ? a.begin : b.begin, a.end > b.end ? a.end : b.end};
  return both;
}

/* The usual layout, known clean in one pass: outputs ascend in memory, and all inputs lie apart from all of them. */
static int is_plainly_clean(const dydca_job *jobs, int count) {
  span in = {~(dydca_address)0, 0}, out = in;
  for (int j = 0; j < count; j++) {
    for (int i = 0; i < dydca_this_network.inputs; i++) in = hull(in, span_of(&jobs[j].inputs[i]));
    for (int o = 0; o < dydca_this_network.outputs; o++) {
      const span next = span_of(&jobs[j].outputs[o]);
      if (next.begin < out.end) return 0;
      out = hull(out, next);
    }
  }
  return !meet(in, out);
}

static int is_clean(span written, int job, int output, const dydca_job *jobs, int count) {
  for (int j = 0; j < count; j++) {
    for (int i = 0; i < dydca_this_network.inputs; i++)
      if (meet(written, span_of(&jobs[j].inputs[i]))) return 0;
    for (int o = 0; o < dydca_this_network.outputs; o++)
      if ((j != job || o != output) && meet(written, span_of(&jobs[j].outputs[o]))) return 0;
  }
  return 1;
}

int dydca_check_overlap(const dydca_job *jobs, int count, dydca_text *why) {
  if (is_plainly_clean(jobs, count)) return DYDCA_OK;
  for (int j = 0; j < count; j++)
    for (int o = 0; o < dydca_this_network.outputs; o++) {
      if (is_clean(span_of(&jobs[j].outputs[o]), j, o, jobs, count)) continue;
      dydca_say(why, "output ");
      dydca_say_number(why, o);
      dydca_say(why, " overlaps an input or another output");
      if (count > 1) {
        dydca_say(why, "; job ");
        dydca_say_number(why, j);
      }
      return DYDCA_ERROR_OVERLAP;
    }
  return DYDCA_OK;
}
