package dydca.example

import android.app.Activity
import android.os.Bundle
import android.widget.TextView
import kotlin.concurrent.thread
import kotlin.system.measureNanoTime

/** Times one patch of 54 x 48 pixels at scale 2 and shows the median of 100 runs. */
class MainActivity : Activity() {
    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        val text = TextView(this)
        setContentView(text)
        thread {
            val from = Upscaler.buffer(3 * 54 * 48)
            val to = Upscaler.buffer(3 * 108 * 96)
            val median = Upscaler(threads = 4).use { net ->
                LongArray(100) { measureNanoTime { net.run(from, to) } }.sorted()[50]
            }
            runOnUiThread { text.text = "%.2f ms a patch".format(median / 1e6) }
        }
    }
}
