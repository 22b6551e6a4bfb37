/* plan.h: what the generated C of a network and the runtime know of each other. Not for users.
 *
 * The compiler writes one function per (route, patch): kernel calls in order, over one arena whose offsets are
 * fixed at compile time. The runtime finds the plan of a call by its shapes, lends it an arena and a team. */
#ifndef DYDCA_PLAN_H
#define DYDCA_PLAN_H

#include "dydca.h"

typedef struct dydca_team dydca_team; /* the threads that share one run; NULL when it runs alone */

typedef struct {
  const dydca_tensor *inputs;
  const dydca_tensor *outputs;
  char *arena;   /* arena_bytes of the plan, 64-byte aligned, contents undefined */
  char *scratch; /* scratch_bytes for the calling thread; tasks get their own thread's */
  dydca_team *team;
} dydca_frame;

/* A share of a kernel's work: the units [begin, end) of it, e.g. rows of the output. */
typedef void (*dydca_task)(const dydca_frame *frame, char *scratch, int begin, int end);

/* Runs the task over the units [begin, end): in one call when alone, else in contiguous shares, one per thread of the
 * team (the share of a thread that is late is run by another), and returns when all are done. Writes of all shares
 * are visible afterwards. A task never calls dydca_each. */
void dydca_each(const dydca_frame *frame, dydca_task task, int begin, int end);

/* The same for `count` bands of picture `n` from `band` on, of which only those in [0, bands) exist; a band is `across`
 * units. */
void dydca_bands(const dydca_frame *frame, dydca_task task, int bands, int across, int n, int band, int count);

/* Planes of height x width pixels of `block` floats with a halo around; row y lies at y + halo modulo `rows`. */
typedef struct {
  int planes, height, width, block, halo, rows;
} dydca_picture;

/* Zeroes the halo in the rows [begin, end), of which only those in [-halo, height + halo) exist. */
void dydca_border(float *planes, dydca_picture lies, int begin, int end);

/* In the tables of tensors all but data is set, and bytes is what the shape takes. */
typedef struct {
  const char *name;            /* "route/patch", for the report */
  const dydca_tensor *inputs;
  const dydca_tensor *largest; /* by output: of the results the one with the most bytes */
  const dydca_tensor *results; /* what a run may write: `result_count` rows of all outputs */
  int result_count;            /* more than one where values decide the shape of an output */
  unsigned long arena_bytes;   /* multiple of 64 */
  unsigned long scratch_bytes; /* per thread, multiple of 64 */
  double cost;                 /* predicted, in any unit that is the same over the network */
  int (*run)(const dydca_frame *frame); /* returns which of the results it has written */
} dydca_plan;

typedef struct {
  int inputs, outputs, plans;
  const dydca_plan *plan;
  const char *manifest;
} dydca_network;

extern const dydca_network dydca_this_network; /* defined by the generated C */

#endif
