/* lanes.c: a lane is what one running patch needs: an arena and a scratch. A net has one lane per thread; free lanes
 * are the bits of one word, so that leasing one takes no lock. */
#include "net.h"

int dydca_lane_try(dydca_net *net) {
  dydca_word unused = __atomic_load_n(&net->lanes.value, __ATOMIC_RELAXED);
  while (unused) {
    const dydca_word others = unused & (unused - 1);
    if (__atomic_compare_exchange_n(&net->lanes.value, &unused, others, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
      return __builtin_ctzll(unused);
  }
  return -1;
}

int dydca_lane_lease(dydca_net *net) {
  int index = dydca_lane_try(net);
  while (index < 0) {
    dydca_gate_wait(&net->lanes, 0);
    index = dydca_lane_try(net);
  }
  return index;
}

void dydca_lane_release(dydca_net *net, int index) {
  __atomic_or_fetch(&net->lanes.value, 1ull << index, __ATOMIC_SEQ_CST);
  dydca_gate_wake(&net->lanes);
}

int dydca_lane_run(const dydca_lane *lane, const dydca_plan *plan, const dydca_tensor *inputs, dydca_tensor *outputs,
                   dydca_team *team) {
  const dydca_frame frame = {inputs, outputs, lane->arena, lane->scratch, team};
  const int taken = plan->run(&frame), count = dydca_this_network.outputs;
  if (taken < 0 || taken >= plan->result_count) return DYDCA_ERROR_PLAN;
  const dydca_tensor *result = plan->results + taken * count;
  for (int o = 0; o < count; o++) {
    if (result[o].bytes > outputs[o].bytes) return DYDCA_ERROR_PLAN;
    outputs[o].rank = result[o].rank;
    memcpy(outputs[o].shape, result[o].shape, sizeof outputs[o].shape);
  }
  return DYDCA_OK;
}
