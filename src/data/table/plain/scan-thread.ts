/**
 * Thread of a scan of plain files: does its part, answers with the facts, and then waits for the paths of files whose digests it is to
 * take, or for null.
 */
import { createHash } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { type PlainTask, scanBlocks } from './blocks.js'
import type { StoredTask } from './parquet-blocks.js'
import type { PlainDigest } from './parts.js'

const DIGEST_BYTES = 2 ** 19

const port = parentPort!
port.once('message', (paths: readonly string[] | null) => {
  if (paths !== null) port.postMessage(paths.map(digestOf))
})

const task = workerData as PlainTask | StoredTask
const blocks = 'chunks' in task ? (await import('./parquet-blocks.js')).scanStored(task) : scanBlocks(task)
let step = blocks.next()
while (step.done !== true) step = blocks.next()
port.postMessage(step.value)

function digestOf(path: string): PlainDigest {
  const md5 = createHash('md5')
  const block = new Uint8Array(DIGEST_BYTES)
  const handle = openSync(path, 'r')
  try {
    for (let bytes = 0; ; ) {
      const count = readSync(handle, block, 0, DIGEST_BYTES, bytes)
      if (count === 0) return { bytes, md5: md5.digest('hex') }
      md5.update(block.subarray(0, count))
      bytes += count
    }
  } finally {
    closeSync(handle)
  }
}
