/* platform.h: what the runtime needs of the C library, declared here instead of included, so that the same text
 * compiles for bionic, musl and glibc with no headers installed. */
#ifndef DYDCA_PLATFORM_H
#define DYDCA_PLATFORM_H

typedef __SIZE_TYPE__ dydca_size;
typedef __UINTPTR_TYPE__ dydca_address;
typedef unsigned long long dydca_word;

/* Room for a pthread_mutex_t or pthread_cond_t: at most 48 bytes in all three libraries. */
typedef struct {
  char bytes[64];
} __attribute__((aligned(64))) dydca_blob;

/* pthread_t is an integer or a pointer, as wide as long in all three libraries. */
typedef unsigned long dydca_thread;

int posix_memalign(void **memory, dydca_size alignment, dydca_size bytes);
void free(void *memory);
void *memset(void *memory, int byte, dydca_size bytes);
void *memcpy(void *to, const void *from, dydca_size bytes);

int pthread_create(dydca_thread *thread, const void *attributes, void *(*start)(void *), void *argument);
int pthread_join(dydca_thread thread, void **result);
dydca_thread pthread_self(void);
int pthread_mutex_init(dydca_blob *mutex, const void *attributes);
int pthread_mutex_destroy(dydca_blob *mutex);
int pthread_mutex_lock(dydca_blob *mutex);
int pthread_mutex_unlock(dydca_blob *mutex);
int pthread_cond_init(dydca_blob *condition, const void *attributes);
int pthread_cond_destroy(dydca_blob *condition);
int pthread_cond_wait(dydca_blob *condition, dydca_blob *mutex);
int pthread_cond_broadcast(dydca_blob *condition);

/* One turn of a spin loop. On ARM `yield` costs nothing and so delays nothing; `isb` does. */
static inline void dydca_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb" ::: "memory");
#elif defined(__arm__)
  __asm__ volatile("yield" ::: "memory");
#endif
}

#endif
