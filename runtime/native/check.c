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

static int check_rank(const dydca_tensor *tensors, int count, const char *kind, dydca_text *why) {
  if (!tensors) {
    dydca_say(why, kind);
    dydca_say(why, "s is a null pointer");
    return DYDCA_ERROR_ARGUMENT;
  }
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

static int check_data(const dydca_tensor *tensors, int count, const char *kind, dydca_text *why) {
  for (int i = 0; i < count; i++) {
    const int is_null = !tensors[i].data;
    if (!is_null && (dydca_address)tensors[i].data % sizeof(float) == 0) continue;
    say_which(why, kind, i);
    dydca_say(why, is_null ? " has null data" : " has data that is not aligned to 4 bytes");
    return DYDCA_ERROR_ARGUMENT;
  }
  return DYDCA_OK;
}

static int check_outputs(const dydca_tensor *outputs, const dydca_plan *plan, dydca_text *why) {
  const int count = dydca_this_network.outputs;
  const int code = check_rank(outputs, count, "output", why);
  if (code) return code;
  for (int i = 0; i < count; i++) {
    if (same_shape(&outputs[i], &plan->outputs[i])) continue;
    say_which(why, "output", i);
    dydca_say(why, " has shape ");
    dydca_say_shape(why, &outputs[i]);
    dydca_say(why, ", wanted ");
    dydca_say_shape(why, &plan->outputs[i]);
    dydca_say(why, " as ");
    dydca_say(why, plan->name);
    dydca_say(why, " writes");
    return DYDCA_ERROR_OUTPUT_SHAPE;
  }
  return check_data(outputs, count, "output", why);
}

int dydca_check_inputs(const dydca_tensor *inputs, const dydca_plan **plan, dydca_text *why) {
  const dydca_network *network = &dydca_this_network;
  const int code = check_rank(inputs, network->inputs, "input", why);
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
  int code = dydca_check_inputs(inputs, plan, why);
  if (!code) code = check_data(inputs, dydca_this_network.inputs, "input", why);
  if (!code) code = check_outputs(outputs, *plan, why);
  return code;
}
