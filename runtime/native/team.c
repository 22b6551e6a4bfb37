/* team.c: the threads of a net and the fork-join over them. One caller has the team at a time.
 *
 * Work is handed out in rounds of one share per member. A member takes its own share first, so that a band of rows
 * stays with its thread from kernel to kernel, then any that nobody has begun: a worker that sleeps, or that the
 * system runs something else on, never delays the others. A share is claimed by turning 2 * round into
 * 2 * round + 1; that can only succeed while its round is unfinished, so a late worker cannot take part in a round
 * it did not see begin. */
#include "net.h"

static void help(dydca_team *team, dydca_word round, int self) {
  for (int i = 0; i < team->members; i++) {
    const int share = (self + i) % team->members;
    const dydca_work work = __atomic_load_n(&team->work, __ATOMIC_RELAXED);
    void *argument = __atomic_load_n(&team->argument, __ATOMIC_RELAXED);
    dydca_word unclaimed = 2 * round;
    if (!__atomic_compare_exchange_n(&team->member[share].claim, &unclaimed, 2 * round + 1, 0, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
      continue;
    work(argument, share, self);
    if (__atomic_sub_fetch(&team->done.value, 1, __ATOMIC_SEQ_CST) == 0) dydca_gate_wake(&team->done);
  }
}

static void *serve(void *argument) {
  const dydca_member *self = argument;
  dydca_team *team = self->team;
  dydca_word seen = 0;
  for (;;) {
    const dydca_word round = __atomic_load_n(&team->start.value, __ATOMIC_ACQUIRE);
    if (round == seen) {
      dydca_gate_wait(&team->start, seen);
      continue;
    }
    if (__atomic_load_n(&team->stopping, __ATOMIC_RELAXED)) return 0;
    help(team, round, self->index);
    seen = round;
  }
}

int dydca_team_start(dydca_team *team, int members) {
  if (dydca_gate_open(&team->start)) return DYDCA_ERROR_THREAD;
  if (dydca_gate_open(&team->done)) {
    dydca_gate_close(&team->start);
    return DYDCA_ERROR_THREAD;
  }
  for (team->members = 1; team->members < members; team->members++) {
    dydca_member *next = &team->member[team->members];
    next->team = team;
    next->index = team->members;
    if (pthread_create(&next->thread, 0, serve, next)) {
      dydca_team_stop(team);
      return DYDCA_ERROR_THREAD;
    }
  }
  return DYDCA_OK;
}

void dydca_team_stop(dydca_team *team) {
  __atomic_store_n(&team->stopping, 1, __ATOMIC_RELAXED);
  __atomic_add_fetch(&team->start.value, 1, __ATOMIC_SEQ_CST);
  dydca_gate_wake(&team->start);
  for (int i = 1; i < team->members; i++) pthread_join(team->member[i].thread, 0);
  dydca_gate_close(&team->done);
  dydca_gate_close(&team->start);
}

int dydca_team_claim(dydca_team *team) {
  int busy = 0;
  return team->members > 1 &&
         __atomic_compare_exchange_n(&team->busy, &busy, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

void dydca_team_release(dydca_team *team) {
  __atomic_store_n(&team->busy, 0, __ATOMIC_RELEASE);
}

void dydca_team_call(dydca_team *team, dydca_work work, void *argument) {
  const dydca_word round = team->start.value + 1;
  __atomic_store_n(&team->work, work, __ATOMIC_RELAXED);
  __atomic_store_n(&team->argument, argument, __ATOMIC_RELAXED);
  __atomic_store_n(&team->done.value, (dydca_word)team->members, __ATOMIC_RELAXED);
  for (int i = 0; i < team->members; i++) __atomic_store_n(&team->member[i].claim, 2 * round, __ATOMIC_RELEASE);
  __atomic_store_n(&team->start.value, round, __ATOMIC_SEQ_CST);
  dydca_gate_wake(&team->start);
  help(team, round, 0);
  dydca_word left;
  while ((left = __atomic_load_n(&team->done.value, __ATOMIC_ACQUIRE)) != 0) dydca_gate_wait(&team->done, left);
}

typedef struct {
  const dydca_frame *frame;
  dydca_task task;
  int begin, end;
} shares;

static void run_share(void *argument, int share, int member) {
  const shares *all = argument;
  const dydca_team *team = all->frame->team;
  const long long extent = all->end - all->begin;
  const int begin = all->begin + (int)(extent * share / team->members);
  const int end = all->begin + (int)(extent * (share + 1) / team->members);
  if (begin == end) return;
  all->task(all->frame, member ? team->member[member].scratch : all->frame->scratch, begin, end);
}

void dydca_each(const dydca_frame *frame, dydca_task task, int begin, int end) {
  if (begin >= end) return;
  if (!frame->team || end - begin == 1) {
    task(frame, frame->scratch, begin, end);
    return;
  }
  shares all = {frame, task, begin, end};
  dydca_team_call(frame->team, run_share, &all);
}

static int inside(int band, int bands) {
  return band < 0 ? 0 : band > bands ? bands : band;
}

void dydca_bands(const dydca_frame *frame, dydca_task task, int bands, int across, int n, int band, int count) {
  const int begin = inside(band, bands), end = inside(band + count, bands);
  dydca_each(frame, task, (n * bands + begin) * across, (n * bands + end) * across);
}
