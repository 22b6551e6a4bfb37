/* net.h: the inside of a dydca_net, shared by the files of the runtime. */
#ifndef DYDCA_NET_H
#define DYDCA_NET_H

#include "plan.h"
#include "platform.h"

/* gate.c: a word to wait on. Spins shortly, then sleeps. */
typedef struct {
  dydca_blob lock, changed;
  dydca_word value; /* atomic */
  int sleepers;     /* atomic */
} dydca_gate;

int dydca_gate_open(dydca_gate *gate); /* 0, or an error of pthreads */
void dydca_gate_close(dydca_gate *gate);
void dydca_gate_wait(dydca_gate *gate, dydca_word value); /* while it holds value; may return early */
void dydca_gate_wake(dydca_gate *gate);                   /* after value was changed */

/* text.c: a sentence of bounded length, cut off with "..." */
#define DYDCA_TEXT_BYTES 768
typedef struct {
  int length;
  char bytes[DYDCA_TEXT_BYTES];
} dydca_text;

void dydca_say(dydca_text *text, const char *words);
void dydca_say_number(dydca_text *text, long long number);
void dydca_say_shape(dydca_text *text, const dydca_tensor *tensor);
void dydca_say_type(dydca_text *text, int type);

/* errors.c: the last sentence of each thread. */
#define DYDCA_ERROR_THREADS 64
typedef struct {
  dydca_blob lock;
  int count, oldest;
  dydca_thread thread[DYDCA_ERROR_THREADS];
  dydca_text text[DYDCA_ERROR_THREADS];
} dydca_errors;

int dydca_fail(dydca_net *net, int code, const dydca_text *text); /* stores, returns code; net or text may be NULL */

/* check.c: one job against the plans of the network. */
const dydca_plan *dydca_find_plan(const dydca_tensor *inputs); /* ranks must be in range */
int dydca_check_inputs(const dydca_tensor *inputs, const dydca_plan **plan, dydca_text *why); /* type, rank, shape */
int dydca_check_job(const dydca_tensor *inputs, const dydca_tensor *outputs, const dydca_plan **plan, dydca_text *why);

/* overlap.c: memory of one job or of many. */
int dydca_check_overlap(const dydca_job *jobs, int count, dydca_text *why);

/* lanes.c: what one running patch needs; lent to callers. */
typedef struct {
  char *arena, *scratch;
} dydca_lane;

/* team.c: the threads of a net. Member 0 is the caller, the others are workers. */
typedef void (*dydca_work)(void *argument, int share, int member); /* one share, run by a member */

typedef struct {
  dydca_team *team;
  char *scratch; /* of a worker; a caller brings its lane's */
  int index;
  dydca_thread thread;
  dydca_word claim; /* atomic: twice the round of its share, plus one when taken */
} __attribute__((aligned(64))) dydca_member;

struct dydca_team {
  dydca_gate start; /* value: the round */
  dydca_gate done;  /* value: how many shares of the round are not finished */
  int members;
  int busy; /* atomic: a caller has the team */
  int stopping;     /* atomic */
  dydca_work work;  /* atomic, as the argument is: a late worker may read what it then finds taken */
  void *argument;
  dydca_member *member;
};

int dydca_team_start(dydca_team *team, int members); /* a DYDCA_ code; nothing is left running on failure */
void dydca_team_stop(dydca_team *team);
int dydca_team_claim(dydca_team *team); /* whether the caller has it now */
void dydca_team_release(dydca_team *team);
void dydca_team_call(dydca_team *team, dydca_work work, void *argument);

struct dydca_net {
  dydca_gate lanes; /* value: one bit per free lane */
  dydca_team team;
  dydca_errors errors;
  int threads;
  dydca_lane *lane;
  int *order; /* the plans, highest cost first */
};

int dydca_lane_try(dydca_net *net);   /* an index, or -1 when none is free */
int dydca_lane_lease(dydca_net *net); /* waits for one */
void dydca_lane_release(dydca_net *net, int index);
int dydca_lane_run(const dydca_lane *lane, const dydca_plan *plan, const dydca_tensor *inputs, dydca_tensor *outputs,
                   dydca_team *team); /* DYDCA_OK or DYDCA_ERROR_PLAN */

/* queue.c: many patches over the lanes. The jobs have been checked; the code of one that failed, if any. */
int dydca_queue_run(dydca_net *net, const dydca_job *jobs, int count);

#endif
