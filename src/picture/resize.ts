/** Grey images, and their change of size without jagged edges. Pure; any thread. */

export interface Gray {
  readonly width: number
  readonly height: number
  readonly values: Float32Array // (height, width) 0 to 1
}

/**
 * Smaller: each pixel is the mean over the area it covers, which keeps ink and edges exact. Larger: linear between the
 * centres of pixels. The same size: the same values.
 */
export function resize({ width, height, values }: Gray, toWidth: number, toHeight: number): Gray {
  if (width === toWidth && height === toHeight) return { width, height, values }
  const across = weightsOf(width, toWidth)
  const down = weightsOf(height, toHeight)
  const half = new Float64Array(toWidth * height) // all rows, the new columns
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < toWidth; x++) {
      half[y * toWidth + x] = across[x].reduce((sum, { from, share }) => sum + share * values[y * width + from], 0)
    }
  }
  const out = new Float32Array(toWidth * toHeight)
  for (let y = 0; y < toHeight; y++) {
    for (let x = 0; x < toWidth; x++) {
      out[y * toWidth + x] = down[y].reduce((sum, { from, share }) => sum + share * half[from * toWidth + x], 0)
    }
  }
  return { width: toWidth, height: toHeight, values: out }
}

interface Share {
  readonly from: number
  readonly share: number
}

/** Weights of the old pixels in each new pixel of a line. They sum to 1. */
function weightsOf(size: number, toSize: number): Share[][] {
  const scale = size / toSize
  return Array.from({ length: toSize }, (_, i) =>
    scale >= 1 ? areaOf(i * scale, (i + 1) * scale, size) : between(i, scale, size),
  )
}

function areaOf(start: number, end: number, size: number): Share[] {
  const shares: Share[] = []
  for (let from = Math.floor(start); from < Math.min(Math.ceil(end), size); from++) {
    const share = (Math.min(from + 1, end) - Math.max(from, start)) / (end - start)
    if (share > 0) shares.push({ from, share })
  }
  return shares
}

function between(i: number, scale: number, size: number): Share[] {
  const at = Math.min(size - 1, Math.max(0, (i + 0.5) * scale - 0.5))
  const from = Math.min(Math.floor(at), Math.max(0, size - 2))
  const share = at - from
  return size === 1
    ? [{ from: 0, share: 1 }]
    : [
        { from, share: 1 - share },
        { from: from + 1, share },
      ]
}
