/** Thread of a scan of plain text: does its part, and answers with the facts. */
import { parentPort, workerData } from 'node:worker_threads'
import { type PlainTask, scanBlocks } from './blocks.js'

const blocks = scanBlocks(workerData as PlainTask)
let step = blocks.next()
while (step.done !== true) step = blocks.next()
parentPort!.postMessage(step.value)
