/* halo.c: convolutions read zeros around a picture; they are written anew for each picture, because the arena's bytes
 * held something else before. */
#include "plan.h"
#include "platform.h"

static void zero(float *place, long floats) {
  memset(place, 0, (dydca_size)floats * sizeof(float));
}

void dydca_border(float *planes, dydca_picture lies, int begin, int end) {
  const long side = (long)lies.halo * lies.block, inside = (long)lies.width * lies.block, row = inside + 2 * side;
  if (begin < -lies.halo) begin = -lies.halo;
  if (end > lies.height + lies.halo) end = lies.height + lies.halo;
  for (int plane = 0; plane < lies.planes; plane++, planes += row * lies.rows)
    for (int y = begin; y < end; y++) {
      float *place = planes + (y + lies.halo) % lies.rows * row;
      if (y < 0 || y >= lies.height) {
        zero(place, row);
      } else {
        zero(place, side);
        zero(place + side + inside, side);
      }
    }
}
