/* text.c: sentences of bounded length, without the C library's formatting. */
#include "net.h"

void dydca_say(dydca_text *text, const char *words) {
  const int last = DYDCA_TEXT_BYTES - 1;
  for (; *words && text->length < last; words++) text->bytes[text->length++] = *words;
  if (*words) memcpy(text->bytes + last - 3, "...", 3);
  text->bytes[text->length] = 0;
}

void dydca_say_number(dydca_text *text, long long number) {
  char digits[24];
  char *at = digits + sizeof digits - 1;
  unsigned long long rest = number < 0 ? 0ull - (unsigned long long)number : (unsigned long long)number;
  *at = 0;
  do {
    *--at = (char)('0' + rest % 10);
    rest /= 10;
  } while (rest);
  if (number < 0) *--at = '-';
  dydca_say(text, at);
}

void dydca_say_shape(dydca_text *text, const dydca_tensor *tensor) {
  dydca_say(text, "(");
  for (int d = 0; d < tensor->rank; d++) {
    if (d) dydca_say(text, ", ");
    dydca_say_number(text, tensor->shape[d]);
  }
  dydca_say(text, ")");
}

void dydca_say_type(dydca_text *text, int type) {
  static const char *const names[] = {"no type", "float32", "uint8", "int32", "int64", "bool"};
  dydca_say(text, type > 0 && type <= DYDCA_BOOL ? names[type] : names[0]);
}
