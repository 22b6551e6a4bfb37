/* check.c: one job against the plans of the network: which plan, and is every tensor what the plan needs. */
#include "net.h"

static int same_shape(const dydca_tensor *a, const dydca_tensor *b) {
  if (a->rank != b->rank) return 0;
  for (int d = 0; d < a->rank; d++)
    if (a->shape[d] != b->shape[d]) return 0;
  return 1;
}

const dydca_plan *dydca_find_plan(const dydca_tensor *inputs) {
  const dydca_network *network = &dydca_this_network;
  for (const dydca_plan *plan = network->plan; plan < network->plan + network->plans; plan++) {
    int i = 0;
    while (i < network->inputs && same_shape(&inputs[i], &plan->inputs[i])) i++;
    if (i == network->inputs) return plan;
  }
  return 0;
}

static void say_which(dydca_text *why, const char *kind, int index) {
  dydca_say(why, kind);
  dydca_say(why, " ");
  dydca_say_number(why, index);
}

static void say_shapes(dydca_text *why, const dydca_tensor *tensors, int count) {
  for (int i = 0; i < count; i++) {
    if (i) dydca_say(why, " x ");
    dydca_say_shape(why, &tensors[i]);
  }
}

static int check_given(const dydca_tensor *tensors, const char *kind, dydca_text *why) {
  if (tensors) return DYDCA_OK;
  dydca_say(why, kind);
  dydca_say(why, "s is a null pointer");
  return DYDCA_ERROR_ARGUMENT;
}

static int check_ranks(const dydca_tensor *tensors, int count, const char *kind, dydca_text *why) {
  for (int i = 0; i < count; i++) {
    if (tensors[i].rank >= 0 && tensors[i].rank <= DYDCA_MAX_RANK) continue;
    say_which(why, kind, i);
    dydca_say(why, " has rank ");
    dydca_say_number(why, tensors[i].rank);
    dydca_say(why, ", wanted 0..6");
    return DYDCA_ERROR_ARGUMENT;
  }
  return DYDCA_OK;
}

static int check_types(const dydca_tensor *tensors, const dydca_tensor *wanted, int count, const char *kind,
                       dydca_text *why) {
  for (int i = 0; i < count; i++) {
    if (tensors[i].type == wanted[i].type) continue;
    say_which(why, kind, i);
    dydca_say(why, " has ");
    dydca_say_type(why, tensors[i].type);
    dydca_say(why, ", wanted ");
    dydca_say_type(why, wanted[i].type);
    return DYDCA_ERROR_TYPE;
  }
  return DYDCA_OK;
}

static int say_room(dydca_text *why, const char *kind, int index, const dydca_tensor *given, const dydca_tensor *wanted) {
  say_which(why, kind, index);
  dydca_say(why, " has ");
  dydca_say_number(why, given->bytes);
  dydca_say(why, given->bytes < wanted->bytes ? " bytes, wanted " : " bytes, more than follow its address; wanted ");
  dydca_say_number(why, wanted->bytes);
  dydca_say(why, " for ");
  dydca_say_shape(why, wanted);
  return DYDCA_ERROR_ROOM;
}

/* Whether each tensor has the memory that the plan will use, aligned to its elements. */
static int check_memory(const dydca_tensor *tensors, const dydca_tensor *wanted, int count, const char *kind,
                        dydca_text *why) {
  static const dydca_address alignment[] = {1, 4, 1, 4, 8, 1};
  for (int i = 0; i < count; i++) {
    const dydca_address data = (dydca_address)tensors[i].data, to = alignment[wanted[i].type];
    dydca_address end;
    if (!data || data % to) {
      say_which(why, kind, i);
      dydca_say(why, data ? " has data that is not aligned to " : " has null data, wanted it aligned to ");
      dydca_say_number(why, (long long)to);
      dydca_say(why, " bytes");
      return DYDCA_ERROR_ARGUMENT;
    }
    if (tensors[i].bytes < wanted[i].bytes || __builtin_add_overflow(data, (dydca_address)tensors[i].bytes, &end))
      return say_room(why, kind, i, &tensors[i], &wanted[i]);
  }
  return DYDCA_OK;
}

int dydca_check_inputs(const dydca_tensor *inputs, const dydca_plan **plan, dydca_text *why) {
  const dydca_network *network = &dydca_this_network;
  int code = check_given(inputs, "input", why);
  if (!code) code = check_ranks(inputs, network->inputs, "input", why);
  if (!code) code = check_types(inputs, network->plan->inputs, network->inputs, "input", why);
  if (code) return code;
  *plan = dydca_find_plan(inputs);
  if (*plan) return DYDCA_OK;
  dydca_say(why, "no plan for inputs ");
  say_shapes(why, inputs, network->inputs);
  dydca_say(why, "; declared: ");
  for (int p = 0; p < network->plans; p++) {
    if (p) dydca_say(why, ", ");
    say_shapes(why, network->plan[p].inputs, network->inputs);
  }
  return DYDCA_ERROR_UNKNOWN_PATCH;
}

int dydca_check_job(const dydca_tensor *inputs, const dydca_tensor *outputs, const dydca_plan **plan, dydca_text *why) {
  const dydca_network *network = &dydca_this_network;
  int code = dydca_check_inputs(inputs, plan, why);
  if (!code) code = check_memory(inputs, (*plan)->inputs, network->inputs, "input", why);
  if (!code) code = check_given(outputs, "output", why);
  if (!code) code = check_types(outputs, (*plan)->largest, network->outputs, "output", why);
  if (!code) code = check_memory(outputs, (*plan)->largest, network->outputs, "output", why);
  return code;
}
