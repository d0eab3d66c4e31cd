/**
 * Instructions beside their spelling for the system's assembler. encodings.json holds the bytes that GNU as makes of each
 * spelling; `node scripts/x64-encodings.mjs` compares them with the `as` of this machine, `--write` writes them anew.
 *
 * Spellings say which of several encodings is meant: {disp8} always a displacement, {load} the form with the destination in
 * ModRM's register, {disp32} a jump of 32 bits, `offset n` an immediate of 32 bits (the script defines n0 to n3).
 */
import {
  type Address,
  type Assembler,
  at,
  broadcastAt,
  COMPARE,
  k,
  merging,
  nameOf,
  R8,
  R9,
  R10,
  R11,
  R12,
  R13,
  R14,
  R15,
  RAX,
  RBP,
  RBX,
  RCX,
  RDI,
  RDX,
  type Register,
  RSI,
  scaledAt,
  tmm,
  zeroing,
  zmm,
} from '../../../src/kernels/x64/assembler.js'

export interface Row {
  /** Method of the assembler that the row is about. */
  readonly method: string
  /** For GNU as, Intel's syntax without % prefixes; lines are separated by ';'. */
  readonly spelling: string
  readonly emit: (code: Assembler) => void
}

/** Values of the symbols n0 to n3: immediates of 32 bits, whatever their size. */
export const SYMBOLS = [-16, 64, 0x7fffffff, -0x80000000] as const

const rows: Row[] = []
const row = (method: string, spelling: string, emit: (code: Assembler) => void): void =>
  void rows.push({ method, spelling, emit })

const GENERAL = [RAX, RCX, RDX, RBX, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15]
/** Vectors with every combination of the bits 3 and 4 of their ids. */
const VECTORS = [0, 7, 8, 13, 16, 21, 24, 31]

/** Addresses: bases that need other encodings, displacements around one byte and 32 bits, in units and not. */
const addresses = (unit: number): readonly Address[] => [
  ...GENERAL.map(base => at(base)),
  ...[1, -1, 127, 128, -128, -129].map(n => at(RCX, n * unit)),
  ...[1, 4, 127, 128, -128, -129, 0x7fffffff, -0x80000000].map(disp => at(R13, disp)),
  ...[at(RSI, 0, R12), at(R12, unit, RAX), at(R13, 0, R11), at(RBP, 5, RBP), at(R12, 0, R15)],
  ...([1, 2, 4, 8] as const).map(scale => scaledAt(RCX, 2 * unit, R9, scale)),
]
const plain: readonly Address[] = [at(RDI), at(R12, 8), at(RBX, 0x1234, R14), at(R8, -64)]

const spelled = ({ base, index, scale = 1, disp, broadcast }: Address): string => {
  const sum = `${nameOf(base)}${index ? `+${nameOf(index)}*${scale}` : ''}${disp < 0 ? disp : `+${disp}`}`
  return `[${sum}]${broadcast ? '{1to16}' : ''}`
}
/** {disp8} for an address without a displacement: as leaves it out otherwise. */
const short = (address: Address): string => (address.disp === 0 ? '{disp8} ' : '')

// Integers.
for (const [i, to] of GENERAL.entries()) {
  const from = GENERAL[(i + 7) % GENERAL.length]
  const [t, f] = [nameOf(to), nameOf(from)]
  row('mov', `{load} mov ${t}, ${f}`, c => c.mov(to, from))
  row('add', `{load} add ${t}, ${f}`, c => c.add(to, from))
  // With RAX as takes a shorter form that has no ModRM.
  if (to !== RAX) row('add', `add ${t}, offset n${i % 4}`, c => c.add(to, SYMBOLS[i % 4]))
  row('clear', `{load} xor ${t}, ${t}`, c => c.clear(to))
  if (to !== RAX) row('set', `{load} xor ${t}, ${t}; add ${t}, offset n${i % 4}`, c => c.set(to, SYMBOLS[i % 4]))
  row('imul', `imul ${t}, ${f}, offset n${i % 4}`, c => c.imul(to, from, SYMBOLS[i % 4]))
  row('multiply', `imul ${t}, ${f}`, c => c.multiply(to, from))
  row('popcnt', `popcnt ${t}, ${f}`, c => c.popcnt(to, from))
  row('shr', `shr ${t}, ${4 * i + 3}`, c => c.shr(to, 4 * i + 3))
  row('tzcnt', `tzcnt ${t}, ${f}`, c => c.tzcnt(to, from))
  row('blsr', `blsr ${t}, ${f}`, c => c.blsr(to, from))
  const rex = to.general > 7 ? '' : 'rex '
  row('push', `${rex}push ${t}`, c => c.push(to))
  row('pop', `${rex}push ${t}; ${rex}pop ${t}`, c => {
    c.push(to)
    c.pop(to)
  })
  row('kmovq', `kmovq ${t}, k${i % 8}`, c => c.kmovq(to, k(i % 8)))
}
row('pop', 'rex push rbx; push r14; pop r14; rex pop rbx', c => {
  c.push(RBX, R14)
  c.pop(RBX, R14)
})
const low32 = (register: Register): string =>
  register.general > 7 ? `${nameOf(register)}d` : nameOf(register).replace('r', 'e')
for (const address of addresses(1)) {
  const m = spelled(address)
  const s = short(address)
  row('mov', `${s}mov rdx, ${m}`, c => c.mov(RDX, address))
  row('mov32', `${s}mov ${low32(R10)}, ${m}`, c => c.mov32(R10, address))
  row('movByte', `${s}movzx rdx, byte ptr ${m}`, c => c.movByte(RDX, address))
  row('store', `${s}mov ${m}, r15`, c => c.store(address, R15))
  row('store32', `${s}mov ${m}, ${low32(R10)}`, c => c.store32(address, R10))
  row('call', `${s}rex call ${m}`, c => c.call(address))
  row('stmxcsr', `${s}rex.w stmxcsr ${m}`, c => c.stmxcsr(address))
  row('ldmxcsr', `${s}rex.w ldmxcsr ${m}`, c => c.ldmxcsr(address))
  row('prefetcht1', `${s}rex.w prefetcht1 ${m}`, c => c.prefetcht1(address))
  row('prefetchw', `${s}rex.w prefetchw ${m}`, c => c.prefetchw(address))
}
row('store32', '{disp8} rex mov [rdi+0], esi', c => c.store32(at(RDI), RSI))
row('mov32', '{disp8} rex mov eax, [rdi+0]', c => c.mov32(RAX, at(RDI)))
row('ret', 'vzeroupper; ret', c => c.ret())
row('sfence', 'sfence', c => c.sfence())

// Jumps.
row('jumpIfZero', 'test rcx, rcx; {disp32} jz 1f; sfence; 1:', c => {
  const end = c.label()
  c.jumpIfZero(RCX, end)
  c.sfence()
  c.bind(end)
})
row('jumpIfNotZero', '1: sfence; test r11, r11; {disp32} jnz 1b', c => {
  const start = c.label()
  c.bind(start)
  c.sfence()
  c.jumpIfNotZero(R11, start)
})
row('bind', 'test rcx, rcx; {disp32} jz 1f; test rdx, rdx; {disp32} jnz 1f; sfence; 1:', c => {
  const end = c.label()
  c.jumpIfZero(RCX, end)
  c.jumpIfNotZero(RDX, end)
  c.sfence()
  c.bind(end)
})
row('label', '1: test rcx, rcx; {disp32} jz 1b', c => {
  const start = c.label()
  c.bind(start)
  c.jumpIfZero(RCX, start)
})
row('countDown', '1: sfence; add r9, offset n0; {disp32} jnz 1b', c => {
  const start = c.label()
  c.bind(start)
  c.sfence()
  c.countDown(R9, 16, start)
})
row('loop', '1: sfence; add rcx, offset n0; {disp32} jnz 1b', c => c.loop(RCX, 16, () => c.sfence()))
row('unlessZero', 'test rbp, rbp; {disp32} jz 1f; sfence; 1:', c => c.unlessZero(RBP, () => c.sfence()))
row('ifZero', 'test r15, r15; {disp32} jnz 1f; sfence; 1:', c => c.ifZero(R15, () => c.sfence()))
row('eachSetBit', '1: tzcnt rax, r9; vzeroupper; ret; blsr r9, r9; sfence; {disp32} jnz 1b', c =>
  c.eachSetBit(
    R9,
    RAX,
    () => c.ret(),
    () => c.sfence(),
  ),
)

// Vectors: three operands of which the last may be in memory.
type Three = (to: ReturnType<typeof zmm>, a: ReturnType<typeof zmm>, b: Address | ReturnType<typeof zmm>) => void
const three = (method: string, mnemonic: string, emit: (c: Assembler) => Three, tail = '', broadcasts = true): void => {
  for (const [i, id] of VECTORS.entries()) {
    const [a, b] = [VECTORS[(i + 3) % 8], VECTORS[(i + 6) % 8]]
    row(method, `${mnemonic} zmm${id}, zmm${a}, zmm${b}${tail}`, c => emit(c)(zmm(id), zmm(a), zmm(b)))
  }
  for (const address of [...plain, at(RCX, 128), ...(broadcasts ? [broadcastAt(RDI, 0x94), broadcastAt(R9, 3)] : [])]) {
    const text = `${short(address)}${mnemonic} zmm9, zmm30, ${spelled(address)}${tail}`
    row(method, text, c => emit(c)(zmm(9), zmm(30), address))
  }
}
three('vaddps', 'vaddps', c => c.vaddps.bind(c))
three('vsubps', 'vsubps', c => c.vsubps.bind(c))
three('vmulps', 'vmulps', c => c.vmulps.bind(c))
three('vdivps', 'vdivps', c => c.vdivps.bind(c))
three('vminps', 'vminps', c => c.vminps.bind(c))
three('vmaxps', 'vmaxps', c => c.vmaxps.bind(c))
three('vfmadd231ps', 'vfmadd231ps', c => c.vfmadd231ps.bind(c))
three('vfnmadd231ps', 'vfnmadd231ps', c => c.vfnmadd231ps.bind(c))
three('vpandd', 'vpandd', c => c.vpandd.bind(c))
three('vpord', 'vpord', c => c.vpord.bind(c))
three('vpxord', 'vpxord', c => c.vpxord.bind(c))
three('vpaddd', 'vpaddd', c => c.vpaddd.bind(c))
three('vpxor3d', 'vpternlogd', c => c.vpxor3d.bind(c), ', 0x96')
three('vdpbf16ps', 'vdpbf16ps', c => c.vdpbf16ps.bind(c))
three('vpackusdw', 'vpackusdw', c => c.vpackusdw.bind(c))
three('vaddpd', 'vaddpd', c => c.vaddpd.bind(c), '', false)
three('vfmadd231pd', 'vfmadd231pd', c => c.vfmadd231pd.bind(c), '', false)
three('vpmuludq', 'vpmuludq', c => c.vpmuludq.bind(c), '', false)
row('vmulps', 'vmulps zmm1{k1}{z}, zmm2, zmm3', c => c.vmulps(zmm(1), zmm(2), zmm(3), zeroing(k(1))))
row('vmulps', 'vmulps zmm17{k7}, zmm31, zmm9', c => c.vmulps(zmm(17), zmm(31), zmm(9), merging(k(7))))

// Vectors to masks.
for (const [i, id] of VECTORS.entries()) {
  const other = VECTORS[(i + 5) % 8]
  const [a, b] = [zmm(id), zmm(other)]
  for (const [name, predicate] of Object.entries(COMPARE)) {
    row('vcmpps', `vcmpps k${i}, zmm${id}, zmm${other}, ${predicate} # ${name}`, c => c.vcmpps(k(i), a, b, predicate))
  }
  const among = k(1 + (i % 7))
  row('vcmpps', `vcmpps k${i}{k${among.mask}}, zmm${id}, zmm${other}, 22`, c =>
    c.vcmpps(k(i), a, b, COMPARE.notLessOrEqual, among),
  )
  row('vpcmpud', `vpcmpud k${i}, zmm${id}, zmm${other}, 5`, c => c.vpcmpud(k(i), a, b))
  row('vptestmw', `vptestmw k${i}, zmm${id}, zmm${other}`, c => c.vptestmw(k(i), a, b))
  row('vptestmd', `vptestmd k${i}, zmm${id}, zmm${other}`, c => c.vptestmd(k(i), a, b))
}
for (const address of [...plain, broadcastAt(RSI, 8)]) {
  const [s, m] = [short(address), spelled(address)]
  row('vcmpps', `${s}vcmpps k2, zmm20, ${m}, 29`, c => c.vcmpps(k(2), zmm(20), address, COMPARE.greaterOrEqual))
  row('vpcmpud', `${s}vpcmpud k2, zmm20, ${m}, 5`, c => c.vpcmpud(k(2), zmm(20), address))
  row('vptestmd', `${s}vptestmd k2, zmm20, ${m}`, c => c.vptestmd(k(2), zmm(20), address))
}

// Vectors: two operands, and moves to and from memory.
for (const [i, id] of VECTORS.entries()) {
  const other = VECTORS[(i + 5) % 8]
  const [to, from] = [zmm(id), zmm(other)]
  row('vmovups', `{load} vmovups zmm${id}, zmm${other}`, c => c.vmovups(to, from))
  row('vsqrtps', `vsqrtps zmm${id}, zmm${other}`, c => c.vsqrtps(to, from))
  row('vcvtps2pd', `vcvtps2pd zmm${id}, ymm${other}`, c => c.vcvtps2pd(to, from))
  row('vcvtdq2ps', `vcvtdq2ps zmm${id}, zmm${other}`, c => c.vcvtdq2ps(to, from))
  row('vcvttps2dq', `vcvttps2dq zmm${id}, zmm${other}`, c => c.vcvttps2dq(to, from))
  row('vroundps', `vrndscaleps zmm${id}, zmm${other}, 8`, c => c.vroundps(to, from))
  row('vpslld', `vpslld zmm${id}, zmm${other}, ${4 * i}`, c => c.vpslld(to, from, 4 * i))
  row('vpsrld', `vpsrld zmm${id}, zmm${other}, ${4 * i}`, c => c.vpsrld(to, from, 4 * i))
  row('vpshufdUpper', `vpshufd zmm${id}, zmm${other}, 0xf5`, c => c.vpshufdUpper(to, from))
  const third = VECTORS[(i + 2) % 8]
  const operands = `zmm${id}, zmm${other}, zmm${third}`
  row('vshufps', `vshufps ${operands}, 0x88`, c => c.vshufps('even', to, from, zmm(third)))
  row('vshufps', `vshufps ${operands}, 0xdd`, c => c.vshufps('odd', to, from, zmm(third)))
  row('vunpckps', `vunpcklps ${operands}`, c => c.vunpckps('low', to, from, zmm(third)))
  row('vunpckps', `vunpckhps ${operands}`, c => c.vunpckps('high', to, from, zmm(third)))
  row('vpunpckwd', `vpunpcklwd ${operands}`, c => c.vpunpckwd('low', to, from, zmm(third)))
  row('vpunpckwd', `vpunpckhwd ${operands}`, c => c.vpunpckwd('high', to, from, zmm(third)))
  const mask = k(1 + (i % 7))
  row('vpcompressw', `vpcompressw zmm${id}{k${mask.mask}}{z}, zmm${other}`, c => c.vpcompressw(to, from, zeroing(mask)))
  row('vpcompressb', `vpcompressb zmm${id}{k${mask.mask}}, zmm${other}`, c => c.vpcompressb(to, from, merging(mask)))
  row('vunpckpd', `vunpcklpd ${operands}`, c => c.vunpckpd('low', to, from, zmm(third)))
  row('vunpckpd', `vunpckhpd ${operands}`, c => c.vunpckpd('high', to, from, zmm(third)))
  const quarters = [i & 3, 3 - (i & 3), (i + 1) & 3, (i + 2) & 3] as const
  const bits = quarters.reduce((sum, quarter, n) => sum + quarter * 4 ** n, 0)
  row('vshuff32x4', `vshuff32x4 ${operands}, ${bits}`, c => c.vshuff32x4(to, from, zmm(third), quarters))
}
row('vmovups', '{load} vmovups zmm2{k1}{z}, zmm2', c => c.vmovups(zmm(2), zmm(2), zeroing(k(1))))
row('vmovups', '{load} vmovups zmm29{k5}, zmm14', c => c.vmovups(zmm(29), zmm(14), merging(k(5))))
row('vmovups', 'vmovups zmm29{k5}{z}, [r12+64]', c => c.vmovups(zmm(29), at(R12, 64), zeroing(k(5))))
row('vmovups', 'vmovups [rsi+128]{k1}, zmm5', c => c.vmovups(at(RSI, 128), zmm(5), merging(k(1))))
for (const address of addresses(64)) {
  const [s, m] = [short(address), spelled(address)]
  row('vmovups', `${s}vmovups zmm17, ${m}`, c => c.vmovups(zmm(17), address))
  row('vmovups', `${s}vmovups ${m}, zmm31`, c => c.vmovups(address, zmm(31)))
  row('vmovntps', `${s}vmovntps ${m}, zmm8`, c => c.vmovntps(address, zmm(8)))
}
for (const address of addresses(4)) {
  row('vbroadcastss', `${short(address)}vbroadcastss zmm28, ${spelled(address)}`, c => c.vbroadcastss(zmm(28), address))
}
for (const address of addresses(16)) {
  row('vpmovzxbd', `${short(address)}vpmovzxbd zmm4, ${spelled(address)}`, c => c.vpmovzxbd(zmm(4), address))
}
for (const address of addresses(32)) {
  row('vcvtps2pd', `${short(address)}vcvtps2pd zmm22, ${spelled(address)}`, c => c.vcvtps2pd(zmm(22), address))
  row('vpmovdw', `${short(address)}vpmovdw ${spelled(address)}, zmm25`, c => c.vpmovdw(address, zmm(25)))
}
for (const address of [at(RDI), broadcastAt(RCX, 64)]) {
  row('vsqrtps', `${short(address)}vsqrtps zmm1, ${spelled(address)}`, c => c.vsqrtps(zmm(1), address))
  row('vcvttps2dq', `${short(address)}vcvttps2dq zmm1, ${spelled(address)}`, c => c.vcvttps2dq(zmm(1), address))
  row('vroundps', `${short(address)}vrndscaleps zmm1, ${spelled(address)}, 8`, c => c.vroundps(zmm(1), address))
  row('vcvtdq2ps', `${short(address)}vcvtdq2ps zmm1, ${spelled(address)}`, c => c.vcvtdq2ps(zmm(1), address))
}

// Masks.
for (let i = 0; i < 8; i++) {
  const [a, b] = [(i + 3) % 8, (i + 6) % 8]
  row('kmovw', `kmovw eax, k${i}`, c => c.kmovw(k(i)))
  row('kunpckwd', `kunpckwd k${i}, k${a}, k${b}`, c => c.kunpckwd(k(i), k(a), k(b)))
  row('kunpckdq', `kunpckdq k${i}, k${a}, k${b}`, c => c.kunpckdq(k(i), k(a), k(b)))
  row('loadMask', `kmovw k${i}, [rdi+${24 + i}]`, c => c.loadMask(k(i), at(RDI, 24 + i)))
}
for (const address of [at(RAX), at(RBP), at(RBX, 1000), at(RSI, -1)]) {
  row('loadMask', `${short(address)}kmovw k2, ${spelled(address)}`, c => c.loadMask(k(2), address))
}

// Tiles.
for (const address of [...plain, at(R13), at(RBP, 64)]) {
  row('ldtilecfg', `${short(address)}ldtilecfg ${spelled(address)}`, c => c.ldtilecfg(address))
}
row('tilerelease', 'tilerelease', c => c.tilerelease())
for (let i = 0; i < 8; i++) {
  const [a, b] = [(i + 3) % 8, (i + 6) % 8]
  row('tilezero', `tilezero tmm${i}`, c => c.tilezero(tmm(i)))
  row('tdpbf16ps', `tdpbf16ps tmm${i}, tmm${a}, tmm${b}`, c => c.tdpbf16ps(tmm(i), tmm(a), tmm(b)))
  for (const address of [at(RBX, 64 * i, R15), at(R9, 0, R12), at(R12, 5, RAX), at(R13, 0, RBP)]) {
    const [s, m] = [short(address), spelled(address)]
    row('tileload', `${s}tileloadd tmm${i}, ${m}`, c => c.tileload(tmm(i), address))
    row('tilestore', `${s}tilestored ${m}, tmm${i}`, c => c.tilestore(address, tmm(i)))
  }
}

export const ROWS: readonly Row[] = rows
