/* halo.c: convolutions read zeros around a picture; the frame of each plane is written anew after its producer,
 * because the arena's bytes held something else before. */
#include "plan.h"

static float *zeros(float *place, long count) {
  for (long i = 0; i < count; i++) place[i] = 0.0f;
  return place + count;
}

void dydca_zero_halo(float *planes, int count, int height, int width, int halo, int block) {
  const long side = (long)halo * block, row = (long)(width + 2 * halo) * block;
  for (int plane = 0; plane < count; plane++) {
    planes = zeros(planes, row * halo);
    for (int y = 0; y < height; y++) planes = zeros(zeros(planes, side) + (long)width * block, side);
    planes = zeros(planes, row * halo);
  }
}
