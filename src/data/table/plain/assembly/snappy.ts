/** Decompression of Snappy: https://github.com/google/snappy/blob/main/format_description.txt. */
// `@ts-ignore` lines are for editors: TypeScript allows decorators on classes alone, AssemblyScript on constants and functions.

// @ts-ignore: decorator
@inline const CHUNK: usize = 16

/**
 * Decompresses bytes [at, end), which follow the length, into `size` bytes at `to`. Returns 1, or 0 for damaged data. Writes up to 16
 * bytes behind the result, and reads as many behind the data.
 */
export function unsnap(at: usize, end: usize, to: usize, size: usize): i32 {
  const begin = to
  const limit = to + size
  while (at < end) {
    const tag = <u32>load<u8>(at++)
    if ((tag & 3) == 0) {
      let length: usize = <usize>(tag >>> 2)
      if (length >= 60) {
        const bytes = length - 59
        if (end - at < bytes) return 0
        length = <usize>(load<u32>(at) & (0xffffffff >>> (32 - (<u32>bytes << 3))))
        at += bytes
      }
      if (length >= end - at || length >= limit - to) return 0
      length++
      copy(to, at, length)
      at += length
      to += length
      continue
    }
    let length: usize
    let offset: usize
    if ((tag & 3) == 1) {
      length = <usize>(4 + ((tag >>> 2) & 7))
      offset = <usize>((tag >>> 5) << 8) | <usize>load<u8>(at++)
    } else {
      length = <usize>(1 + (tag >>> 2))
      if ((tag & 3) == 2) {
        offset = <usize>load<u16>(at)
        at += 2
      } else {
        offset = <usize>load<u32>(at)
        at += 4
      }
    }
    if (at > end || offset == 0 || offset > to - begin || length > limit - to) return 0
    if (offset >= CHUNK) copy(to, to - offset, length)
    else for (let i: usize = 0; i < length; i++) store<u8>(to + i, load<u8>(to + i - offset))
    to += length
  }
  return to == limit ? 1 : 0
}

/** Copies bytes that lie at least a chunk behind, in whole chunks. */
// @ts-ignore: decorator
@inline
function copy(to: usize, from: usize, length: usize): void {
  if (length > 256) {
    memory.copy(to, from, length)
    return
  }
  for (let i: usize = 0; i < length; i += CHUNK) v128.store(to + i, v128.load(from + i))
}
