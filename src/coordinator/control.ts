/** Requests to a run in progress. Main thread. */

export class TrainControl {
  #requested = false

  /** Requests a checkpoint at the end of the next span of steps. */
  requestCheckpoint(): void {
    this.#requested = true
  }

  /** True if a checkpoint has been requested since the last call. For the trainer. */
  takeRequest(): boolean {
    const requested = this.#requested
    this.#requested = false
    return requested
  }
}
