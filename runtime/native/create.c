/* create.c: making and releasing a net. All its memory is one block, laid out here; nothing is allocated later. */
#include "net.h"

typedef struct {
  dydca_size end;
  int overflows;
} layout;

/* The offset of `count` pieces of `bytes` each, every piece and the offset a multiple of 64. */
static dydca_size place(layout *block, dydca_size count, dydca_size bytes) {
  const dydca_size offset = block->end;
  dydca_size piece, all;
  block->overflows |= __builtin_add_overflow(bytes, 63, &piece);
  piece &= ~(dydca_size)63;
  block->overflows |= __builtin_mul_overflow(count, piece, &all);
  block->overflows |= __builtin_add_overflow(offset, all, &block->end);
  return offset;
}

typedef struct {
  dydca_size arena, scratch; /* the largest over the plans, multiples of 64 */
  dydca_size lane, member, order, control_end, scratches, arenas, end;
  int overflows;
} pieces;

static dydca_size larger(dydca_size a, dydca_size b) {
  const dydca_size most = a > b ? a : b;
  return most > ~(dydca_size)63 ? most : (most + 63) & ~(dydca_size)63;
}

static pieces lay_out(int threads) {
  const dydca_network *network = &dydca_this_network;
  const dydca_size lanes = (dydca_size)threads;
  pieces of = {0};
  layout block = {0, 0};
  for (int p = 0; p < network->plans; p++) {
    of.arena = larger(of.arena, network->plan[p].arena_bytes);
    of.scratch = larger(of.scratch, network->plan[p].scratch_bytes);
  }
  place(&block, 1, sizeof(dydca_net));
  of.lane = place(&block, 1, lanes * sizeof(dydca_lane));
  of.member = place(&block, 1, lanes * sizeof(dydca_member));
  of.order = place(&block, 1, (dydca_size)network->plans * sizeof(int));
  of.control_end = block.end;
  of.scratches = place(&block, 2 * lanes - 1, of.scratch); /* one per lane, one per worker */
  of.arenas = place(&block, lanes, of.arena);
  of.end = block.end;
  of.overflows = block.overflows;
  return of;
}

/* Plans are few: insertion keeps equal costs in their order. */
static void order_plans(int *order) {
  const dydca_plan *plan = dydca_this_network.plan;
  for (int p = 0; p < dydca_this_network.plans; p++) {
    int at = p;
    for (; at > 0 && plan[order[at - 1]].cost < plan[p].cost; at--) order[at] = order[at - 1];
    order[at] = p;
  }
}

static void point(dydca_net *net, const pieces *of) {
  char *block = (char *)net;
  net->lane = (dydca_lane *)(block + of->lane);
  net->order = (int *)(block + of->order);
  net->team.member = (dydca_member *)(block + of->member);
  for (int t = 0; t < net->threads; t++) {
    const dydca_size i = (dydca_size)t, workers = (dydca_size)net->threads;
    net->lane[t].arena = block + of->arenas + i * of->arena;
    net->lane[t].scratch = block + of->scratches + i * of->scratch;
    if (t) net->team.member[t].scratch = block + of->scratches + (workers + i - 1) * of->scratch;
  }
  net->lanes.value = ~0ull >> (64 - net->threads);
  order_plans(net->order);
}

static int start(dydca_net *net) {
  if (pthread_mutex_init(&net->errors.lock, 0)) return DYDCA_ERROR_THREAD;
  int code = dydca_gate_open(&net->lanes) ? DYDCA_ERROR_THREAD : DYDCA_OK;
  if (!code) {
    code = dydca_team_start(&net->team, net->threads);
    if (code) dydca_gate_close(&net->lanes);
  }
  if (code) pthread_mutex_destroy(&net->errors.lock);
  return code;
}

int dydca_create(int threads, dydca_net **net) {
  if (!net) return dydca_fail(0, DYDCA_ERROR_ARGUMENT, 0);
  *net = 0;
  if (threads < 1 || threads > DYDCA_MAX_THREADS) return dydca_fail(0, DYDCA_ERROR_ARGUMENT, 0);
  const pieces of = lay_out(threads);
  void *block = 0;
  if (of.overflows || posix_memalign(&block, 64, of.end)) return dydca_fail(0, DYDCA_ERROR_MEMORY, 0);
  memset(block, 0, of.control_end); /* not the arenas: their pages come when they are used */
  dydca_net *made = block;
  made->threads = threads;
  point(made, &of);
  const int code = start(made);
  if (code) {
    free(block);
    return dydca_fail(0, code, 0);
  }
  *net = made;
  return DYDCA_OK;
}

void dydca_destroy(dydca_net *net) {
  if (!net) return;
  dydca_team_stop(&net->team);
  dydca_gate_close(&net->lanes);
  pthread_mutex_destroy(&net->errors.lock);
  free(net);
}
