/** Stands in for `Intl.Segmenter` in the bundled program (scripts/bundle.mjs): loads the language data when text is segmented. */
const { Segmenter } = Intl

export class LateSegmenter {
  #options
  #segmenter

  constructor(...options) {
    this.#options = options
  }

  segment(text) {
    this.#segmenter ??= new Segmenter(...this.#options)
    return this.#segmenter.segment(text)
  }
}
