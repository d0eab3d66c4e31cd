import t from 'tap'
import { colourDepth, imageLines } from '../../src/cli/terminal-image.js'

const IMAGE = { pixels: Uint8Array.of(0, 255, 128, 255, 10, 200), height: 3, width: 2, channels: 1 }

t.test('colour support of a stream: 24 bits, 256 colours, or none', async t => {
  const tty = { isTTY: true }
  t.equal(colourDepth(tty, { COLORTERM: 'truecolor' }), 'true')
  t.equal(colourDepth(tty, { COLORTERM: '24bit' }), 'true')
  t.equal(colourDepth(tty, { TERM: 'xterm' }), '256')
  t.equal(colourDepth(tty, { COLORTERM: 'truecolor', NO_COLOR: '1' }), 'none')
  t.equal(colourDepth(tty, { TERM: 'dumb' }), 'none')
  t.equal(colourDepth({}, { COLORTERM: 'truecolor' }), 'none')
})

t.test('half blocks: upper pixel in the foreground, lower in the background, reset at the end of a line', async t => {
  t.same(imageLines(IMAGE, 'true', 80), [
    '\x1b[38;2;0;0;0;48;2;128;128;128m▀\x1b[38;2;255;255;255;48;2;255;255;255m▀\x1b[0m',
    '\x1b[38;2;10;10;10;48;2;0;0;0m▀\x1b[38;2;200;200;200;48;2;0;0;0m▀\x1b[0m',
  ])
  t.same(imageLines(IMAGE, '256', 80), [
    '\x1b[38;5;16;48;5;244m▀\x1b[38;5;231;48;5;231m▀\x1b[0m',
    '\x1b[38;5;232;48;5;16m▀\x1b[38;5;251;48;5;16m▀\x1b[0m',
  ])
})

t.test('without colours, images are plain ASCII without trailing spaces', async t => {
  t.same(
    imageLines(IMAGE, 'none', 80),
    [':@', ' ='].map(line => line.trimEnd()),
  )
  t.same(imageLines({ pixels: new Uint8Array(4), height: 2, width: 2, channels: 1 }, 'none', 80), [''])
})

t.test('an image that is too wide is scaled down', async t => {
  const wide = { pixels: new Uint8Array(200 * 100).fill(255), height: 100, width: 200, channels: 1 }
  const lines = imageLines(wide, 'none', 50)
  t.same([lines.length, lines[0]], [13, '@'.repeat(50)])
})
