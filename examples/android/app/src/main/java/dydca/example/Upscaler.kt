package dydca.example

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer

/** A compiled network. Any number of threads may call [run]; [close] after the last call has returned. */
class Upscaler(threads: Int) : AutoCloseable {
    private val handle = create(threads)

    /** Upscales one patch of planes, red first, values 0..1. Both buffers are direct and in native order. */
    fun run(from: FloatBuffer, to: FloatBuffer) = run(handle, from, to)

    override fun close() = destroy(handle)

    companion object {
        init {
            System.loadLibrary("net")
            System.loadLibrary("upscaler")
        }

        /** A buffer that [run] takes. */
        fun buffer(floats: Int): FloatBuffer =
            ByteBuffer.allocateDirect(floats * 4).order(ByteOrder.nativeOrder()).asFloatBuffer()

        @JvmStatic private external fun create(threads: Int): Long

        @JvmStatic private external fun run(handle: Long, from: FloatBuffer, to: FloatBuffer)

        @JvmStatic private external fun destroy(handle: Long)
    }
}
