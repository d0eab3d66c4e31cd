/** Thread of `train --live`: a server for one run. It yields to the threads that train. */
import { setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { GradloomError } from '../errors.js'
import type { ProgressEvent } from '../run/events.js'
import { Registry } from './registry.js'
import { startServer } from './server.js'

export type ToLive = { readonly runDir: string } | { readonly progress: ProgressEvent } | { readonly stop: true }
export type FromLive = { readonly url: string } | { readonly failed: string; readonly hint: string | undefined }

/** Nice value on Linux, where it applies to the thread alone; elsewhere it would slow the training too. */
const NICE = 10
if (process.platform === 'linux') setPriority(NICE)

const port = parentPort!
const registry = new Registry()
try {
  const server = await startServer({ registry, port: (workerData as { port: number | null }).port, home: '/watch' })
  let run: string | undefined
  port.on('message', (message: ToLive) => {
    if ('runDir' in message) run = registry.add({ target: message.runDir, dir: message.runDir }).id
    else if ('progress' in message) {
      if (run !== undefined) registry.setProgress(run, message.progress)
    } else {
      port.close()
      void server.stop()
    }
  })
  port.postMessage({ url: `${server.url}/watch` } satisfies FromLive)
} catch (error) {
  if (!(error instanceof GradloomError)) throw error
  port.postMessage({ failed: error.message, hint: error.hint } satisfies FromLive)
}
