/**
 * The task that piscina runs once in every thread, for the life of the run: it serves a TrainWorker over the given port
 * and ends when the coordinator closes it. Holding the task open keeps the thread awake for comlink's calls.
 */
import { type Endpoint, expose } from 'comlink'
import { endThread } from '../../tensor/thread-end.js'
import type { HostTask } from './protocol.js'
import { createWorker } from './worker.js'

export default function host({ port }: HostTask): Promise<void> {
  return new Promise(resolve => {
    port.once('close', () => {
      endThread()
      resolve()
    })
    // Node's ports have the event methods that comlink wants; its adapter would keep the port from closing.
    expose(createWorker(), port as unknown as Endpoint)
  })
}
