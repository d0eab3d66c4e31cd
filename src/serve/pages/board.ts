/** Drawing area: strokes by mouse, finger, pen or keys, kept as points so that the last one can be undone. Browser. */

interface Point {
  readonly x: number
  readonly y: number
}

interface Stroke {
  readonly width: number
  readonly points: Point[]
}

/** Distance in pixels that a key moves the pen. */
const STEP = 8
const MOVES: Readonly<Record<string, readonly [x: number, y: number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
}

export interface BoardEvents {
  /** Called when something was drawn or undone. */
  readonly onChange: () => void
  /** Called at the end of a stroke. */
  readonly onStroke: () => void
}

export class Board {
  #strokes: Stroke[] = []
  #pointer: number | null = null
  /** Position of the keyboard's pen, and whether it draws. */
  #pen: Point
  #penDown = false
  #penWidth = 22
  /** Shown instead of paper, until something is drawn. */
  #photo: ImageBitmap | null = null

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly penMark: HTMLElement,
    private readonly events: BoardEvents,
  ) {
    this.#pen = { x: canvas.width / 2, y: canvas.height / 4 }
    canvas.addEventListener('pointerdown', event => this.#pointerDown(event))
    canvas.addEventListener('pointermove', event => this.#pointerMove(event))
    for (const name of ['pointerup', 'pointercancel'] as const) {
      canvas.addEventListener(name, event => this.#pointerUp(event))
    }
    canvas.addEventListener('keydown', event => this.#key(event))
    canvas.addEventListener('blur', () => this.#liftPen())
    this.#draw()
  }

  get isEmpty(): boolean {
    return this.#strokes.length === 0
  }

  set penWidth(width: number) {
    this.#penWidth = width
  }

  clear(): void {
    this.#liftPen()
    this.#strokes = []
    this.#photo = null
    this.#changed()
  }

  /** Shows a photo in place of the drawing, without a change of the drawing's own. */
  showPhoto(photo: ImageBitmap | null): void {
    this.#liftPen()
    this.#strokes = []
    this.#photo = photo
    this.#draw()
  }

  undo(): void {
    this.#liftPen()
    this.#photo = null
    this.#strokes.pop()
    this.#changed()
  }

  /** Drawing as a PNG, in base64 with a `data:` prefix. */
  picture(): string {
    return this.canvas.toDataURL('image/png')
  }

  #pointerDown(event: PointerEvent): void {
    if (this.#pointer !== null || event.button !== 0) return
    this.#pointer = event.pointerId
    this.canvas.setPointerCapture(event.pointerId)
    this.#liftPen()
    this.#begin(this.#pointOf(event))
  }

  #pointerMove(event: PointerEvent): void {
    if (event.pointerId !== this.#pointer) return
    const moments = event.getCoalescedEvents()
    for (const moment of moments.length > 0 ? moments : [event]) this.#goTo(this.#pointOf(moment))
    this.#changed()
  }

  #pointerUp(event: PointerEvent): void {
    if (event.pointerId !== this.#pointer) return
    this.#pointer = null
    this.events.onStroke()
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const move = MOVES[event.key]
    if (move) this.#movePen(move, event.shiftKey ? STEP / 4 : STEP)
    else if (event.key === ' ') this.#penDown ? this.#liftPen() : this.#putPen()
    else if (event.key === 'Backspace') this.undo()
    else if (event.key === 'Escape') this.clear()
    else return
    event.preventDefault()
    this.#showPen()
  }

  #movePen([x, y]: readonly [number, number], step: number): void {
    const { width, height } = this.canvas
    const within = (value: number, most: number) => Math.min(most, Math.max(0, value))
    this.#pen = { x: within(this.#pen.x + x * step, width), y: within(this.#pen.y + y * step, height) }
    if (!this.#penDown) return
    this.#goTo(this.#pen)
    this.#changed()
  }

  #putPen(): void {
    this.#penDown = true
    this.#begin(this.#pen)
  }

  #liftPen(): void {
    if (this.#penDown) this.events.onStroke()
    this.#penDown = false
    this.penMark.hidden = true
  }

  #showPen(): void {
    const { width, height } = this.canvas
    this.penMark.hidden = false
    this.penMark.classList.toggle('down', this.#penDown)
    this.penMark.style.left = `${(100 * this.#pen.x) / width}%`
    this.penMark.style.top = `${(100 * this.#pen.y) / height}%`
  }

  #begin(point: Point): void {
    this.#photo = null
    this.#strokes.push({ width: this.#penWidth, points: [point] })
    this.#changed()
  }

  #goTo(point: Point): void {
    this.#strokes.at(-1)?.points.push(point)
  }

  #pointOf({ clientX, clientY }: PointerEvent): Point {
    const { left, top, width, height } = this.canvas.getBoundingClientRect()
    return {
      x: ((clientX - left) / width) * this.canvas.width,
      y: ((clientY - top) / height) * this.canvas.height,
    }
  }

  /** The whole photo, as large as fits. */
  #drawPhoto(context: CanvasRenderingContext2D, photo: ImageBitmap): void {
    const scale = Math.min(this.canvas.width / photo.width, this.canvas.height / photo.height)
    const [width, height] = [photo.width * scale, photo.height * scale]
    context.drawImage(photo, (this.canvas.width - width) / 2, (this.canvas.height - height) / 2, width, height)
  }

  #changed(): void {
    this.#draw()
    this.events.onChange()
  }

  /** Draws black on white in every theme. */
  #draw(): void {
    const context = this.canvas.getContext('2d')!
    context.fillStyle = '#fff'
    context.fillRect(0, 0, this.canvas.width, this.canvas.height)
    if (this.#photo) this.#drawPhoto(context, this.#photo)
    context.strokeStyle = '#000'
    context.lineCap = 'round'
    context.lineJoin = 'round'
    for (const { width, points } of this.#strokes) {
      context.lineWidth = width
      context.beginPath()
      context.moveTo(points[0].x, points[0].y)
      for (const { x, y } of points.slice(1)) context.lineTo(x, y)
      // Draws a single point as a dot; a line of zero length would not be visible.
      if (points.length === 1) context.lineTo(points[0].x + 0.01, points[0].y)
      context.stroke()
    }
  }
}
