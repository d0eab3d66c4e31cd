/** Feature maps drawn one by one: every value once, in the map of its channel. */
import t from 'tap'
import { drawLayers } from '../../src/picture/layers.js'
import { mapsTitle, mosaicOf } from '../../src/picture/mosaic.js'

t.test(
  'every value of maps of any shape has one cell, its neighbours in the map beside it, and maps a gap between them',
  async t => {
    let cases = 0
    for (const [height, width] of [
      [1, 1],
      [3, 2],
      [2, 5],
      [14, 14],
    ]) {
      for (const channels of [1, 2, 7, 32]) {
        const maps = { height, width, channels }
        const mosaic = mosaicOf(maps)
        const places = new Map<number, readonly [number, number]>()
        for (let row = 0; row < mosaic.height; row++) {
          for (let column = 0; column < mosaic.width; column++) {
            const at = mosaic.indexAt(column, row)
            if (at !== null) places.set(at, [column, row])
          }
        }
        t.equal(places.size, height * width * channels)
        for (let map = 0; map < channels; map++) {
          const [left, top] = places.get(map)!
          for (let y = 0; y < height; y++) {
            for (let x = 0; x < width; x++) {
              const place = places.get((y * width + x) * channels + map)!
              if (place[0] !== left + x || place[1] !== top + y) t.fail(`map ${map}: ${x}, ${y} is at ${place}`)
            }
          }
        }
        cases++
      }
    }
    t.equal(cases, 16)
    t.same(
      [
        mosaicOf({ height: 2, width: 2, channels: 4 }).indexAt(2, 0),
        mosaicOf({ height: 2, width: 2, channels: 3 }).indexAt(4, 3),
      ],
      [null, null],
    )
  },
)

t.test('a panel of maps has their colours, and a title that says their sizes', async t => {
  const panel = { title: '', note: '', names: null, shape: null, maps: { height: 2, width: 1, channels: 2 } }
  const canvas = drawLayers([{ ...panel, values: Float32Array.of(0, 1, 1, 0) }])
  const colours = new Map<string, number>()
  for (let i = 0; i < canvas.rgb.length; i += 3) {
    const colour = canvas.rgb.subarray(i, i + 3).join()
    colours.set(colour, (colours.get(colour) ?? 0) + 1)
  }
  const pixel = Math.floor(280 / 3)
  t.ok(colours.get('225,225,225')! >= 2 * pixel * pixel, 'the gap')
  t.ok(colours.get('68,1,84')! >= 2 * pixel * pixel)
  t.equal(mapsTitle({ height: 7, width: 14, channels: 16 }), '16 maps of 14 x 7')
})
