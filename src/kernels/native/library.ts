/** Interface of an open library, and the error of one that cannot be used. Types and one error; any thread. */

import type { Koffi, LibraryHandle } from '../../ffi/koffi.js'
import type { BindBf16, NativeGemm, NativeLibrary, ProductShape } from '../products.js'

/** Facts that a library reports about itself. */
export type LibraryFacts = Pick<NativeLibrary, 'name' | 'version' | 'detail'>

/** Products in bf16. */
export interface Bf16Library {
  readonly bind: BindBf16
  /** The kernel that they run in; throws UnfitLibrary if there is none. */
  kernel(): string
}

export interface OpenLibrary extends LibraryFacts {
  readonly gemm: NativeGemm
  /** Obstacle: the library has none, or none on this CPU. */
  readonly bf16: Bf16Library | { readonly obstacle: string }
  /** A function that it surely has: its address shows which file was loaded. */
  readonly landmark: string
  /** Reason why it is slow on this CPU, as far as the library itself reports; else null. */
  readonly slow: string | null
}

export type Opener = (koffi: Koffi, handle: LibraryHandle) => OpenLibrary

/** A library that was loaded and cannot be used; the message is the reason, without its name. */
export class UnfitLibrary extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'UnfitLibrary'
  }
}

export const spelled = ({ form, m, n, k }: ProductShape): string => `${form} ${m}x${n}x${k}`
