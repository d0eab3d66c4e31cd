/** Refusal of content that is not plain delimited text. Any thread. */

/** Content that is left to DuckDB; it may be right or wrong. */
export class NotPlain extends Error {
  override readonly name = 'NotPlain'
}
