/** Thread of a scan of plain files: does its part, and answers with the facts. */
import { parentPort, workerData } from 'node:worker_threads'
import { type PlainTask, scanBlocks } from './blocks.js'
import type { StoredTask } from './parquet-blocks.js'

const task = workerData as PlainTask | StoredTask
const blocks = 'chunks' in task ? (await import('./parquet-blocks.js')).scanStored(task) : scanBlocks(task)
let step = blocks.next()
while (step.done !== true) step = blocks.next()
parentPort!.postMessage(step.value)
