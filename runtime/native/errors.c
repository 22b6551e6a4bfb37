/* errors.c: the last sentence of each thread on a net, in a small table instead of thread-local storage, which
 * older Android lacks. When more threads have failed than it has rows, the oldest row is taken. */
#include "net.h"

static int last_code; /* atomic: of the last failing call without a net */

static const char *const sentences[] = {
    "no error",
    "an argument is wrong: a null pointer, a rank out of range, or a thread count that is not 1..64",
    "no plan for these input shapes; dydca_manifest() lists the declared patches",
    "a tensor has less memory than it takes",
    "an output overlaps an input or another output",
    "not enough memory for the arenas; ask for fewer threads",
    "the threads could not be started; ask for fewer",
    "a tensor has another element type",
    "the generated code contradicts its own table; please report this network",
};

static dydca_text *row_of(dydca_errors *errors, dydca_thread self) {
  for (int i = 0; i < errors->count; i++)
    if (errors->thread[i] == self) return &errors->text[i];
  return 0;
}

static dydca_text *new_row(dydca_errors *errors, dydca_thread self) {
  int row = errors->count;
  if (row < DYDCA_ERROR_THREADS) {
    errors->count++;
  } else {
    row = errors->oldest;
    errors->oldest = (row + 1) % DYDCA_ERROR_THREADS;
  }
  errors->thread[row] = self;
  return &errors->text[row];
}

int dydca_fail(dydca_net *net, int code, const dydca_text *text) {
  if (!net) {
    __atomic_store_n(&last_code, code, __ATOMIC_RELAXED);
    return code;
  }
  const dydca_thread self = pthread_self();
  pthread_mutex_lock(&net->errors.lock);
  dydca_text *row = row_of(&net->errors, self);
  if (!row) row = new_row(&net->errors, self);
  row->length = 0;
  dydca_say(row, text ? text->bytes : sentences[code]);
  pthread_mutex_unlock(&net->errors.lock);
  return code;
}

const char *dydca_last_error(const dydca_net *net) {
  if (!net) return sentences[__atomic_load_n(&last_code, __ATOMIC_RELAXED)];
  dydca_errors *errors = &((dydca_net *)net)->errors;
  pthread_mutex_lock(&errors->lock);
  const dydca_text *row = row_of(errors, pthread_self());
  pthread_mutex_unlock(&errors->lock);
  return row ? row->bytes : sentences[DYDCA_OK];
}
