/** What a watcher of a run may ask of it while it goes on. Main thread. */

export class TrainControl {
  #requested = false

  /** A checkpoint at the end of the next span of steps. */
  requestCheckpoint(): void {
    this.#requested = true
  }

  /** For the trainer: whether one has been asked for since the last look. */
  takeRequest(): boolean {
    const requested = this.#requested
    this.#requested = false
    return requested
  }
}
