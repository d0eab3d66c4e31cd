/**
 * Letters for pictures: printable ASCII, 5 x 7 pixels each, drawn for gradloom. Letters with accents show without them, and anything
 * else as `?`. Any thread.
 */

export const GLYPH = { width: 5, height: 7, /** From letter to letter. */ step: 6 } as const

/** Glyphs from the space on: seven rows a letter, from the top, each a digit of base 32 whose bits are pixels from the left. */
const GLYPHS =
  '0000000 4444404 aa00000 aavavaa 4fke5u4 op248j3 cik8lid 4480000 2488842 8422248 04lel40 044v440 0000c48 000v000 ' +
  '00000cc 01248g0 ehjlphe 4c4444e eh1248v v2421he 26aiv22 vgu11he 68guhhe v124888 ehhehhe ehhf12c 0cc0cc0 0cc0c48 ' +
  '248g842 00v0v00 8421248 eh12404 eh1dlle ehhhvhh uhhuhhu ehggghe sihhhis vgguggv vgguggg ehgnhhf hhhvhhh e44444e ' +
  '72222ic hikokih ggggggv hrllhhh hhpljhh ehhhhhe uhhuggg ehhhlid uhhukih fgge11u v444444 hhhhhhe hhhhha4 hhhllla ' +
  'hha4ahh hhha444 v1248gv e88888e 0g84210 e22222e 4ah0000 000000v 8420000 00e1fhf ggmphhu 00egghe 11djhhf 00ehvge ' +
  '698s888 0fhhf1e ggmphhh 40c444e 20622ic ggikoki c44444e 00qllhh 00mphhh 00ehhhe 00uhugg 00djf11 00mpggg 00ege1u ' +
  '88s8896 00hhhjd 00hhha4 00hhlla 00ha4ah 00hhf1e 00v248v 2448442 4444444 8442448 008l200'
const ROWS = GLYPHS.split(' ').map(rows => Array.from(rows, digit => Number.parseInt(digit, 32)))
const FIRST = 0x20

/** Letters that Unicode does not take apart into one of ASCII and an accent. */
const PLAIN: Readonly<Record<string, string>> = {
  ...{
    ß: 'ss',
    ẞ: 'SS',
    æ: 'ae',
    Æ: 'AE',
    œ: 'oe',
    Œ: 'OE',
    ø: 'o',
    Ø: 'O',
    ł: 'l',
    Ł: 'L',
    đ: 'd',
    Đ: 'D',
    ð: 'd',
    Ð: 'D',
  },
  ...{ þ: 'th', Þ: 'Th', ı: 'i' },
}

/** The characters that are drawn for a text: grün and græs are grun and graes. */
export const drawnAs = (text: string): string[] =>
  [...text.normalize('NFKD').replaceAll(/\p{M}/gu, '')].flatMap(character => [...(PLAIN[character] ?? character)])

/** Seven rows of five bits, the highest one leftmost. */
export function glyphOf(character: string): readonly number[] {
  return ROWS[character.charCodeAt(0) - FIRST] ?? ROWS['?'.charCodeAt(0) - FIRST]
}

/** Pixels from the first to behind the last letter, without the gap after it. */
export function textWidth(text: string, scale = 1): number {
  const { length } = drawnAs(text)
  return length === 0 ? 0 : (length * GLYPH.step - 1) * scale
}
