/** Thread of a scan of plain text: does its part, and answers with the facts. */
import { parentPort, workerData } from 'node:worker_threads'
import { type PlainTask, scanBlocks } from './blocks.js'

const part = scanBlocks(workerData as PlainTask, rows => parentPort!.postMessage({ rows }))
parentPort!.postMessage({ part })
