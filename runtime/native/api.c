/* api.c: the calls of dydca.h: check the arguments, find the plan, lend it a lane. */
#include "net.h"

int dydca_abi_version(void) {
  return DYDCA_ABI_VERSION;
}

const char *dydca_manifest(void) {
  return dydca_this_network.manifest;
}

int dydca_input_count(void) {
  return dydca_this_network.inputs;
}

int dydca_output_count(void) {
  return dydca_this_network.outputs;
}

int dydca_output_shapes(const dydca_tensor *inputs, dydca_tensor *outputs) {
  const dydca_plan *plan = 0;
  dydca_text why = {.length = 0};
  if (!outputs) return dydca_fail(0, DYDCA_ERROR_ARGUMENT, 0);
  const int code = dydca_check_inputs(inputs, &plan, &why);
  if (code) return dydca_fail(0, code, 0);
  for (int o = 0; o < dydca_this_network.outputs; o++) {
    void *data = outputs[o].data;
    outputs[o] = plan->largest[o];
    outputs[o].data = data;
  }
  return DYDCA_OK;
}

int dydca_run(dydca_net *net, const dydca_tensor *inputs, dydca_tensor *outputs) {
  if (!net) return dydca_fail(0, DYDCA_ERROR_ARGUMENT, 0);
  const dydca_plan *plan = 0;
  dydca_text why;
  why.length = 0;
  int code = dydca_check_job(inputs, outputs, &plan, &why);
  const dydca_job job = {inputs, outputs};
  if (!code) code = dydca_check_overlap(&job, 1, &why);
  if (code) return dydca_fail(net, code, &why);

  const int lane = dydca_lane_lease(net);
  dydca_team *team = dydca_team_claim(&net->team) ? &net->team : 0;
  code = dydca_lane_run(&net->lane[lane], plan, inputs, outputs, team);
  if (team) dydca_team_release(team);
  dydca_lane_release(net, lane);
  return code ? dydca_fail(net, code, 0) : DYDCA_OK;
}

static int check_jobs(const dydca_job *jobs, int count, dydca_text *why) {
  if (count < 0 || (count > 0 && !jobs)) {
    dydca_say(why, count < 0 ? "the number of jobs is negative" : "jobs is a null pointer");
    return DYDCA_ERROR_ARGUMENT;
  }
  for (int j = 0; j < count; j++) {
    const dydca_plan *plan = 0;
    const int code = dydca_check_job(jobs[j].inputs, jobs[j].outputs, &plan, why);
    if (!code) continue;
    dydca_say(why, "; job ");
    dydca_say_number(why, j);
    return code;
  }
  return dydca_check_overlap(jobs, count, why);
}

int dydca_run_many(dydca_net *net, const dydca_job *jobs, int count) {
  if (!net) return dydca_fail(0, DYDCA_ERROR_ARGUMENT, 0);
  dydca_text why;
  why.length = 0;
  int code = check_jobs(jobs, count, &why);
  if (code) return dydca_fail(net, code, &why);
  if (count > 0) code = dydca_queue_run(net, jobs, count);
  return code ? dydca_fail(net, code, 0) : DYDCA_OK;
}
