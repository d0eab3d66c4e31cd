/** Photos as input: chosen as a file, or dropped on the page. Browser. The server decodes them as `predict --image` does. */

export interface Photo {
  readonly name: string
  /** File in base64, with a `data:` prefix. */
  readonly data: string
  /** The photo to look at; null where the browser cannot show its format. */
  readonly bitmap: ImageBitmap | null
}

/** Largest file and picture that the server takes as they are; a photo beyond them is made smaller here. */
const MOST = { bytes: 2_900_000, pixels: 4e6, side: 1024 } as const

/** Calls `onPhoto` for a file from `input` or dropped on the page, `onTrouble` where it cannot be sent. */
export function takePhotos(
  input: HTMLInputElement,
  { onPhoto, onTrouble }: { onPhoto(photo: Photo): void; onTrouble(text: string): void },
): void {
  const take = (file: File | undefined) => {
    if (!file) return
    photoOf(file).then(onPhoto, error => onTrouble(`${file.name}: ${(error as Error).message}`))
  }
  input.addEventListener('change', () => {
    take(input.files?.[0])
    input.value = '' // so that the same file can be chosen again
  })
  document.addEventListener('dragover', event => event.preventDefault())
  document.addEventListener('drop', event => {
    event.preventDefault() // or the browser leaves the page for the file
    take(event.dataTransfer?.files[0])
  })
}

async function photoOf(file: File): Promise<Photo> {
  const { name } = file
  const bitmap = await createImageBitmap(file).catch(() => null)
  const isSmall = file.size <= MOST.bytes && (bitmap === null || bitmap.width * bitmap.height <= MOST.pixels)
  if (isSmall) return { name, data: await dataOf(file), bitmap }
  if (bitmap === null) throw new Error('is too large, and of a format that this browser cannot make smaller')
  const scale = Math.min(1, MOST.side / Math.max(bitmap.width, bitmap.height))
  const canvas = document.createElement('canvas')
  canvas.width = Math.max(1, Math.round(bitmap.width * scale))
  canvas.height = Math.max(1, Math.round(bitmap.height * scale))
  const context = canvas.getContext('2d')!
  context.imageSmoothingQuality = 'high'
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height)
  const data = canvas.toDataURL('image/png')
  return { name, data: data.length < (MOST.bytes * 4) / 3 ? data : canvas.toDataURL('image/webp', 0.95), bitmap }
}

const dataOf = (file: File): Promise<string> =>
  new Promise((resolve, reject) => {
    const reader = new FileReader()
    reader.addEventListener('load', () => resolve(String(reader.result)))
    reader.addEventListener('error', () => reject(new Error('cannot be read')))
    reader.readAsDataURL(file)
  })
