/* gate.c: a word threads wait on, a portable futex: spins shortly, then sleeps on a condition variable. */
#include "net.h"

enum { SPINS = 2000 }; /* some 20 to 40 us: the gap between two kernels of one patch is shorter */

int dydca_gate_open(dydca_gate *gate) {
  int error = pthread_mutex_init(&gate->lock, 0);
  if (error) return error;
  error = pthread_cond_init(&gate->changed, 0);
  if (error) pthread_mutex_destroy(&gate->lock);
  return error;
}

void dydca_gate_close(dydca_gate *gate) {
  pthread_cond_destroy(&gate->changed);
  pthread_mutex_destroy(&gate->lock);
}

void dydca_gate_wait(dydca_gate *gate, dydca_word value) {
  for (int i = 0; i < SPINS; i++) {
    if (__atomic_load_n(&gate->value, __ATOMIC_ACQUIRE) != value) return;
    dydca_pause();
  }
  pthread_mutex_lock(&gate->lock);
  /* Sequentially consistent, as the change and the look at `sleepers` in wake are: one side sees the other. */
  __atomic_add_fetch(&gate->sleepers, 1, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&gate->value, __ATOMIC_SEQ_CST) == value) pthread_cond_wait(&gate->changed, &gate->lock);
  __atomic_sub_fetch(&gate->sleepers, 1, __ATOMIC_SEQ_CST);
  pthread_mutex_unlock(&gate->lock);
}

void dydca_gate_wake(dydca_gate *gate) {
  if (__atomic_load_n(&gate->sleepers, __ATOMIC_SEQ_CST) == 0) return;
  pthread_mutex_lock(&gate->lock);
  pthread_cond_broadcast(&gate->changed);
  pthread_mutex_unlock(&gate->lock);
}
