/* queue.c: many patches, one to a thread, longest first, without a list in memory: one counter walks over
 * (plan, job) in the order of the plans' costs, and a job is run where the counter meets its own plan. */
#include "net.h"

typedef struct {
  dydca_net *net;
  const dydca_job *jobs;
  int count;
  dydca_word next, end; /* next is atomic */
  int code;             /* atomic: of a patch that failed */
} queue;

/* Waits for a lane only while there is something left to run: a helper must not outstay the queue. */
static int lease_while_work(queue *work) {
  while (__atomic_load_n(&work->next, __ATOMIC_RELAXED) < work->end) {
    const int lane = dydca_lane_try(work->net);
    if (lane >= 0) return lane;
    dydca_gate_wait(&work->net->lanes, 0);
  }
  return -1;
}

static int run_next(queue *work, int lane) {
  const dydca_network *network = &dydca_this_network;
  for (;;) {
    const dydca_word at = __atomic_fetch_add(&work->next, 1, __ATOMIC_RELAXED);
    if (at >= work->end) return 0;
    const dydca_job *job = &work->jobs[at % (dydca_word)work->count];
    const dydca_plan *plan = &network->plan[work->net->order[at / (dydca_word)work->count]];
    if (dydca_find_plan(job->inputs) != plan) continue;
    const int code = dydca_lane_run(&work->net->lane[lane], plan, job->inputs, job->outputs, 0);
    if (code) __atomic_store_n(&work->code, code, __ATOMIC_RELAXED);
    return 1;
  }
}

static void drain(void *argument, int share, int member) {
  queue *work = argument;
  int lane, more = 1;
  (void)share, (void)member;
  while (more && (lane = lease_while_work(work)) >= 0) {
    more = run_next(work, lane);
    dydca_lane_release(work->net, lane); /* after each patch, so that other callers wait for one patch at most */
  }
}

int dydca_queue_run(dydca_net *net, const dydca_job *jobs, int count) {
  queue work = {net, jobs, count, 0, (dydca_word)dydca_this_network.plans * (dydca_word)count, DYDCA_OK};
  if (count > 1 && dydca_team_claim(&net->team)) {
    dydca_team_call(&net->team, drain, &work);
    dydca_team_release(&net->team);
  } else {
    drain(&work, 0, 0);
  }
  return work.code;
}
