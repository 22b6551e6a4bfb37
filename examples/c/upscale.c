/* Upscales a binary PPM picture with a compiled network, cut into tiles of the patch it was compiled for.
 *
 *   dydca compile model.pt --patch 54x48 --name net -o out/
 *   cc -O2 -Iout upscale.c -Lout -lnet -Wl,-rpath,'$ORIGIN/out' -o upscale
 *   ./upscale in.ppm out.ppm
 *
 * The network has one float32 input and output, values 0..1. The last tiles of a row or column are moved back inside
 * the picture, so it must be at least as large as a tile. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

enum { COLOURS = 3, THREADS = 2 };

static unsigned char *read_ppm(const char *path, int *width, int *height) {
  FILE *file = fopen(path, "rb");
  unsigned char *pixels = NULL;
  if (file && fscanf(file, "P6 %d %d 255", width, height) == 2 && fgetc(file) != EOF && *width > 0 && *height > 0) {
    const size_t size = (size_t)*width * (size_t)*height * COLOURS;
    pixels = malloc(size);
    if (pixels && fread(pixels, 1, size, file) != size) {
      free(pixels);
      pixels = NULL;
    }
  }
  if (file) fclose(file);
  return pixels;
}

/* Where tile `index` of `count` begins, the last one moved back to end with the picture. */
static int start_of(int index, int tile, int size) {
  const int start = index * tile;
  return start + tile > size ? size - tile : start;
}

static void cut(const unsigned char *picture, int width, int top, int left, const dydca_tensor *tile) {
  float *to = tile->data;
  for (int c = 0; c < COLOURS; c++)
    for (int y = 0; y < tile->shape[2]; y++)
      for (int x = 0; x < tile->shape[3]; x++)
        *to++ = (float)picture[((top + y) * width + left + x) * COLOURS + c] / 255.0f;
}

static void paste(unsigned char *picture, int width, int top, int left, const dydca_tensor *tile) {
  const float *from = tile->data;
  for (int c = 0; c < COLOURS; c++)
    for (int y = 0; y < tile->shape[2]; y++)
      for (int x = 0; x < tile->shape[3]; x++) {
        const float value = *from++ * 255.0f + 0.5f;
        picture[((top + y) * width + left + x) * COLOURS + c] =
            (unsigned char)(value < 0.0f ? 0.0f : value > 255.0f ? 255.0f : value);
      }
}

int main(int count, char **words) {
  const dydca_tensor input = NET_PATCH0_INPUT, output = NET_PATCH0_OUTPUT;
  const int tile_height = (int)input.shape[2], tile_width = (int)input.shape[3];
  const int scale = (int)(output.shape[2] / input.shape[2]);
  int width, height;
  unsigned char *picture = count == 3 ? read_ppm(words[1], &width, &height) : NULL;
  if (!picture || width < tile_width || height < tile_height) {
    fprintf(stderr, "usage: upscale in.ppm out.ppm, a picture of at least %dx%d\n", tile_width, tile_height);
    return 1;
  }

  const int across = (width + tile_width - 1) / tile_width, down = (height + tile_height - 1) / tile_height;
  const int tiles = across * down;
  dydca_tensor *tensors = malloc(2 * (size_t)tiles * sizeof *tensors);
  dydca_job *jobs = malloc((size_t)tiles * sizeof *jobs);
  char *memory = malloc((size_t)tiles * (size_t)(input.bytes + output.bytes));
  unsigned char *large = malloc((size_t)width * (size_t)height * COLOURS * (size_t)(scale * scale));
  dydca_net *net = NULL;
  if (!tensors || !jobs || !memory || !large || dydca_create(THREADS, &net)) {
    fprintf(stderr, "%s\n", dydca_last_error(NULL));
    return 1;
  }
  for (int t = 0; t < tiles; t++) {
    dydca_tensor *x = &tensors[t], *y = &tensors[tiles + t];
    *x = input;
    *y = output;
    x->data = memory + t * input.bytes; /* all inputs, then all outputs: the quick way for the check of overlaps */
    y->data = memory + tiles * input.bytes + t * output.bytes;
    cut(picture, width, start_of(t / across, tile_height, height), start_of(t % across, tile_width, width), x);
    jobs[t].inputs = x;
    jobs[t].outputs = y;
  }
  int code = dydca_run_many(net, jobs, tiles);
  if (code) fprintf(stderr, "%s\n", dydca_last_error(net));
  for (int t = 0; t < tiles && !code; t++)
    paste(large, width * scale, start_of(t / across, tile_height, height) * scale,
          start_of(t % across, tile_width, width) * scale, &tensors[tiles + t]);
  FILE *file = code ? NULL : fopen(words[2], "wb");
  if (file) {
    const size_t size = (size_t)width * (size_t)height * COLOURS * (size_t)(scale * scale);
    fprintf(file, "P6\n%d %d\n255\n", width * scale, height * scale);
    code = fwrite(large, 1, size, file) != size;
    code |= fclose(file) != 0;
  } else {
    code = 1;
  }
  dydca_destroy(net);
  free(large);
  free(memory);
  free(jobs);
  free(tensors);
  free(picture);
  return code != 0;
}
