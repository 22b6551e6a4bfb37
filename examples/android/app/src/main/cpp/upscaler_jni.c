/* The JNI side of Upscaler.kt: direct float buffers go to the network as they are. */
#include <jni.h>

#include "net.h"

static void throw(JNIEnv *env, const char *message) {
  jclass kind = (*env)->FindClass(env, "java/lang/IllegalStateException");
  if (kind) (*env)->ThrowNew(env, kind, message);
}

/* Describes a direct buffer; its capacity is what the network may touch. */
static int point(JNIEnv *env, jobject buffer, dydca_tensor *tensor) {
  tensor->data = (*env)->GetDirectBufferAddress(env, buffer);
  tensor->bytes = (*env)->GetDirectBufferCapacity(env, buffer) * (jlong)sizeof(float);
  if (!tensor->data) throw(env, "the buffer is not direct");
  return tensor->data != 0;
}

JNIEXPORT jlong JNICALL Java_dydca_example_Upscaler_create(JNIEnv *env, jclass self, jint threads) {
  dydca_net *net = 0;
  (void)self;
  if (dydca_abi_version() != DYDCA_ABI_VERSION) throw(env, "libnet.so has another interface than dydca.h");
  else if (dydca_create(threads, &net)) throw(env, dydca_last_error(0));
  return (jlong)(intptr_t)net;
}

JNIEXPORT void JNICALL Java_dydca_example_Upscaler_run(JNIEnv *env, jclass self, jlong handle, jobject from, jobject to) {
  dydca_tensor input = NET_PATCH0_INPUT, output = NET_PATCH0_OUTPUT;
  dydca_net *net = (dydca_net *)(intptr_t)handle;
  (void)self;
  if (point(env, from, &input) && point(env, to, &output) && dydca_run(net, &input, &output))
    throw(env, dydca_last_error(net));
}

JNIEXPORT void JNICALL Java_dydca_example_Upscaler_destroy(JNIEnv *env, jclass self, jlong handle) {
  (void)env, (void)self;
  dydca_destroy((dydca_net *)(intptr_t)handle);
}
