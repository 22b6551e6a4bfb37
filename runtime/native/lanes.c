/* lanes.c: a lane is what one running patch needs: an arena, a scratch, and room for its pointers. A net has one
 * lane per thread; free lanes are the bits of one word, so that leasing one takes no lock. */
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

void dydca_lane_run(const dydca_lane *lane, const dydca_plan *plan, const dydca_tensor *inputs,
                    const dydca_tensor *outputs, dydca_team *team) {
  for (int i = 0; i < dydca_this_network.inputs; i++) lane->inputs[i] = inputs[i].data;
  for (int o = 0; o < dydca_this_network.outputs; o++) lane->outputs[o] = outputs[o].data;
  const dydca_frame frame = {lane->inputs, lane->outputs, lane->arena, lane->scratch, team};
  plan->run(&frame);
}
