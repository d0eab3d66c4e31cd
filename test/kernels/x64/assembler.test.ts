/**
 * The assembler: each instruction beside the bytes of GNU as (encodings.json), and everything that it must refuse because it
 * would encode something else, or break the calling convention.
 */
import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import {
  type Address,
  Assembler,
  at,
  broadcastAt,
  CALLEE_SAVED,
  COMPARE,
  type Comparison,
  k,
  merging,
  nameOf,
  R9,
  R11,
  R12,
  R14,
  RAX,
  RBX,
  RCX,
  RDI,
  RDX,
  type Register,
  type Scale,
  scaledAt,
  tmm,
  zeroing,
  zmm,
} from '../../../src/kernels/x64/assembler.js'
import { Encoder } from '../../../src/kernels/x64/encoder.js'
import { F64Instructions } from '../../../src/kernels/x64/f64-instructions.js'
import { TileInstructions } from '../../../src/kernels/x64/tile-instructions.js'
import { ROWS } from './encodings.js'

const stored = JSON.parse(readFileSync('test/kernels/x64/encodings.json', 'utf8')) as Record<string, string>

t.test('every row has the bytes of GNU as', async t => {
  for (const { method, spelling, emit } of ROWS) {
    const code = new Assembler()
    emit(code)
    const bytes = Buffer.from(code.bytes).toString('hex')
    if (bytes !== stored[spelling]) t.equal(bytes, stored[spelling], `${method}: ${spelling}`)
  }
  t.ok(ROWS.length > 800, `${ROWS.length} rows`)
  t.strictSame(
    Object.keys(stored).filter(spelling => !ROWS.some(row => row.spelling === spelling)),
    [],
    'no stored row without an instruction',
  )
})

t.test('every instruction has a row', async t => {
  const methods = [Assembler, F64Instructions, TileInstructions, Encoder]
    .flatMap(of => Object.entries(Object.getOwnPropertyDescriptors(of.prototype)))
    .filter(([, { value }]) => typeof value === 'function')
    .map(([name]) => name)
  // Methods that others are made of, and methods that emit nothing.
  const parts = ['use', 'arithmetic', 'arithmetic0f', 'bitCount', 'integer', 'integer32', 'integer0f', 'evex', 'tile']
  const others = ['constructor', 'finish', 'rex', 'modrm', 'put', 'put32', ...parts]
  const covered = new Set(ROWS.map(({ method }) => method))
  t.strictSame(
    methods.filter(name => !covered.has(name) && !others.includes(name)),
    [],
    'hint: add rows to encodings.ts, then node scripts/x64-encodings.mjs --write',
  )
  t.strictSame(
    [...covered].filter(name => !methods.includes(name)),
    [],
    'no row of a method that is gone',
  )
})

/** Throws with such a message, and the code before it is as it was. */
const refused = (t: Test, what: string, emit: (code: Assembler) => unknown, message: RegExp) =>
  t.throws(() => emit(new Assembler()), { message }, what)

t.test('operands that do not exist or do not fit are refused', async t => {
  for (const id of [-1, 32, 0.5, Number.NaN]) {
    refused(t, `zmm ${id}`, () => zmm(id), /zmm is .*, expected 0 to 31/)
    const made = { vector: id }
    refused(t, `zmm ${id}, made by hand`, c => c.vaddps(made, zmm(0), zmm(1)), /zmm is/)
    refused(t, `zmm ${id}, second`, c => c.vaddps(zmm(0), made, zmm(1)), /zmm is/)
    refused(t, `zmm ${id}, third`, c => c.vaddps(zmm(0), zmm(1), made), /zmm is/)
    refused(t, `zmm ${id}, stored`, c => c.vpmovdw(at(RDI), made), /zmm is/)
    refused(t, `zmm ${id}, shifted`, c => c.vpsrld(made, zmm(1), 3), /zmm is/)
  }
  for (const id of [-1, 8, 16, 1.5]) {
    refused(t, `k ${id}`, () => k(id), /k is .*, expected 0 to 7/)
    refused(t, `tmm ${id}`, () => tmm(id), /tmm is .*, expected 0 to 7/)
    refused(t, `k ${id}: vcmpps`, c => c.vcmpps({ mask: id }, zmm(0), zmm(0), COMPARE.unordered), /k is/)
    refused(t, `k ${id}: vptestmd`, c => c.vptestmd({ mask: id }, zmm(0), zmm(0)), /k is/)
    refused(t, `k ${id}: kunpckwd`, c => c.kunpckwd(k(1), { mask: id }, k(2)), /k is/)
    refused(t, `k ${id}: kunpckdq`, c => c.kunpckdq(k(1), k(2), { mask: id }), /k is/)
    refused(t, `k ${id}: kmovw`, c => c.kmovw({ mask: id }), /k is/)
    refused(t, `k ${id}: kmovq`, c => c.kmovq(RAX, { mask: id }), /k is/)
    refused(t, `k ${id}: loadMask`, c => c.loadMask({ mask: id }, at(RDI)), /k is/)
    refused(t, `k ${id}: merging`, c => c.vmovups(zmm(0), zmm(1), merging({ mask: id })), /k is/)
    refused(t, `tmm ${id}: tilezero`, c => c.tilezero({ tile: id }), /tmm is/)
    refused(t, `tmm ${id}: tileload`, c => c.tileload({ tile: id }, at(RDI, 0, RAX)), /tmm is/)
    refused(t, `tmm ${id}: tdpbf16ps`, c => c.tdpbf16ps(tmm(0), tmm(1), { tile: id }), /tmm is/)
  }
  refused(t, 'k0 selects nothing', c => c.vmovups(zmm(0), zmm(1), merging(k(0))), /k0 as the mask/)
  refused(t, 'k0 zeroes nothing', c => c.vmulps(zmm(0), zmm(1), zmm(2), zeroing(k(0))), /k0 as the mask/)
  refused(t, 'the same tile twice', c => c.tdpbf16ps(tmm(1), tmm(1), tmm(2)), /three different/)
})

t.test('general registers: RSP and names that are no registers are refused', async t => {
  for (const id of [4, -1, 16, 2.5]) {
    const register = { general: id }
    const message = /the register is .*, expected one of rax to r15 without rsp/
    const uses: readonly ((code: Assembler) => void)[] = [
      c => c.mov(register, RAX),
      c => c.mov(RAX, register),
      c => c.mov(RAX, { base: register, index: null, disp: 0 }),
      c => c.mov32(RAX, { base: RCX, index: register, disp: 0 }),
      c => c.add(register, 1),
      c => c.add(register, RAX),
      c => c.add(RAX, register),
      c => c.clear(register),
      c => c.imul(register, RAX, 2),
      c => c.multiply(RAX, register),
      c => c.tzcnt(register, RAX),
      c => c.blsr(RAX, register),
      c => c.popcnt(RAX, register),
      c => c.store(at(RDI), register),
      c => c.store32(at(RDI), register),
      c => c.kmovq(register, k(1)),
      c => c.push(register),
      c => c.loop(register, 1, () => {}),
      c => c.unlessZero(register, () => {}),
      c => c.vmovups(zmm(0), { base: register, index: null, disp: 0 }),
      c => c.vmovups({ base: RAX, index: register, disp: 0 }, zmm(0)),
      c => c.loadMask(k(1), { base: register, index: null, disp: 0 }),
      c => c.tileload(tmm(1), { base: RAX, index: register, disp: 0 }),
      c => c.ldtilecfg({ base: register, index: null, disp: 0 }),
    ]
    for (const [i, use] of uses.entries()) refused(t, `register ${id}, use ${i}`, use, message)
    refused(t, `at() of register ${id}`, () => at(register), message)
  }
})

t.test('addresses, immediates and broadcasts that cannot be encoded are refused', async t => {
  for (const disp of [2 ** 31, -(2 ** 31) - 1, 0.5, Number.NaN, 2 ** 40]) {
    refused(t, `displacement ${disp}`, () => at(RDI, disp), /the displacement is .*, expected an integer of signed 32/)
    const address: Address = { base: RDI, index: null, disp }
    refused(t, `displacement ${disp}: mov`, c => c.mov(RAX, address), /the displacement is/)
    refused(t, `displacement ${disp}: store32`, c => c.store32(address, RAX), /the displacement is/)
    refused(t, `displacement ${disp}: vmovups`, c => c.vmovups(zmm(0), address), /the displacement is/)
    refused(t, `displacement ${disp}: loadMask`, c => c.loadMask(k(1), address), /the displacement is/)
    refused(t, `displacement ${disp}: ldtilecfg`, c => c.ldtilecfg(address), /the displacement is/)
    refused(t, `summand ${disp}`, c => c.add(RAX, disp), /the summand is/)
    refused(t, `factor ${disp}`, c => c.imul(RAX, RCX, disp), /the factor is/)
    refused(t, `step ${disp}`, c => c.loop(RAX, disp, () => {}), /the step is/)
  }
  for (const scale of [0, 3, 16, -1]) {
    refused(t, `scale ${scale}`, () => scaledAt(RDI, 0, RAX, scale as Scale), /the scale is/)
  }
  refused(
    t,
    'a scale without an index',
    c => c.mov(RAX, { base: RDI, index: null, disp: 0, scale: 4 }),
    /without an index/,
  )
  for (const bits of [-1, 32, 1.5]) refused(t, `shift ${bits}`, c => c.vpsrld(zmm(0), zmm(1), bits), /the shift is/)
  for (const quarter of [-1, 4]) {
    refused(t, `quarter ${quarter}`, c => c.vshuff32x4(zmm(0), zmm(1), zmm(2), [0, 1, 2, quarter]), /the quarter is/)
  }
  for (const predicate of [-1, 32, 256]) {
    const emit = (c: Assembler) => c.vcmpps(k(1), zmm(0), zmm(1), predicate as Comparison)
    refused(t, `predicate ${predicate}`, emit, /the predicate is/)
  }
  const wide = broadcastAt(RDI, 8)
  const refusing: Readonly<Record<string, (code: Assembler) => void>> = {
    mov: c => c.mov(RAX, wide),
    mov32: c => c.mov32(RAX, wide),
    store: c => c.store(wide, RAX),
    call: c => c.call(wide),
    prefetcht1: c => c.prefetcht1(wide),
    stmxcsr: c => c.stmxcsr(wide),
    'vmovups, read': c => c.vmovups(zmm(0), wide),
    'vmovups, stored': c => c.vmovups(wide, zmm(0)),
    vmovntps: c => c.vmovntps(wide, zmm(0)),
    vbroadcastss: c => c.vbroadcastss(zmm(0), wide),
    vpmovzxbd: c => c.vpmovzxbd(zmm(0), wide),
    vpmovdw: c => c.vpmovdw(wide, zmm(0)),
    'vpmuludq, of 64 bits': c => c.vpmuludq(zmm(0), zmm(1), wide),
    ldtilecfg: c => c.ldtilecfg(wide),
    tileload: c => c.tileload(tmm(0), { ...wide, index: RAX }),
    loadMask: c => c.loadMask(k(1), wide),
  }
  for (const [what, emit] of Object.entries(refusing)) refused(t, `a broadcast: ${what}`, emit, /broadcast|a mask from/)
  refused(t, 'from memory to memory', c => c.vmovups(at(RDI), at(RAX)), /memory to memory/)
  refused(t, 'a store that zeroes', c => c.vmovups(at(RDI), zmm(1), zeroing(k(1))), /zeroes/)
  refused(t, 'a mask from R9', c => c.loadMask(k(1), at(R9)), /a mask from r9/)
  refused(t, 'a mask from R12', c => c.loadMask(k(1), at(R12)), /a mask from r12/)
  refused(t, 'a mask from an index', c => c.loadMask(k(1), at(RDI, 0, RAX)), /no index/)
  refused(t, 'a tile without a stride', c => c.tileload(tmm(1), at(RDI)), /without an index/)
  refused(t, 'a tile stored without a stride', c => c.tilestore(at(RDI), tmm(1)), /without an index/)
})

t.test('labels: bound once, of this code, before the end', async t => {
  refused(
    t,
    'bound twice',
    c => {
      const label = c.label()
      c.bind(label)
      c.bind(label)
    },
    /bound a second time/,
  )
  refused(
    t,
    'never bound',
    c => {
      c.jumpIfZero(RAX, c.label())
      c.ret()
      c.finish()
    },
    /1 label\(s\) jumped to and never bound/,
  )
  refused(t, 'bound in other code', c => c.bind(new Assembler().label()), /other code/)
  refused(t, 'jumped to in other code', c => c.jumpIfNotZero(RAX, new Assembler().label()), /other code/)
  refused(t, 'counted down to in other code', c => c.countDown(RAX, 1, new Assembler().label()), /other code/)
  const code = new Assembler()
  code.label()
  code.ret()
  t.equal(Buffer.from(code.finish()).toString('hex'), 'c5f877c3', 'a label that nobody jumps to is no fault')
  t.throws(() => code.finish(), { message: /finish\(\) a second time/ })
  t.throws(() => code.sfence(), { message: /after finish\(\)/ })
  t.throws(() => code.ret(), { message: /after finish\(\)/ })
  refused(t, 'nothing', c => c.finish(), /does not end with ret/)
  refused(
    t,
    'an instruction behind the return',
    c => {
      c.ret()
      c.sfence()
      c.finish()
    },
    /does not end with ret/,
  )
})

t.test('callee-saved registers: pushed before they are used, popped before the return', async t => {
  const uses: readonly (readonly [string, (code: Assembler, register: Register) => void])[] = [
    ['written', (c, r) => c.mov(r, RAX)],
    ['read', (c, r) => c.mov(RAX, r)],
    ['base of an address', (c, r) => c.vmovups(zmm(0), at(r))],
    ['index of an address', (c, r) => c.vmovups(at(RAX, 0, r), zmm(0))],
    ['loaded', (c, r) => c.mov32(r, at(RDI))],
    ['added', (c, r) => c.add(RAX, r)],
    ['counted down', (c, r) => c.loop(r, 1, () => c.sfence())],
    ['tested', (c, r) => c.unlessZero(r, () => c.sfence())],
    ['counted', (c, r) => c.tzcnt(r, RAX)],
    ['cleared of a bit', (c, r) => c.blsr(r, RAX)],
    ['from a mask', (c, r) => c.kmovq(r, k(1))],
    ['stride of a tile', (c, r) => c.tileload(tmm(0), at(RDI, 0, r))],
    [
      'used after pop',
      (c, r) => {
        c.push(r)
        c.pop(r)
        c.mov(r, RAX)
      },
    ],
  ]
  for (const register of CALLEE_SAVED) {
    for (const [what, use] of uses) {
      const emit = (c: Assembler) => {
        use(c, register)
        c.ret()
      }
      refused(t, `${nameOf(register)} ${what}`, emit, new RegExp(`callee-saved ${nameOf(register)}, expected push`))
    }
    const code = new Assembler()
    code.push(register)
    for (const [what, use] of uses) if (what !== 'used after pop') use(code, register)
    t.throws(() => code.ret(), { message: new RegExp(`ret\\(\\) with ${nameOf(register)} on the stack`) })
    code.pop(register)
    code.ret()
    t.ok(code.finish().length > 0, `${nameOf(register)}: pushed, used, popped`)
  }
  const swapped = (c: Assembler) => {
    c.push(RBX, R14)
    c.pop(R14, RBX)
  }
  const poppedInBranch = (c: Assembler) => {
    c.push(RBX)
    c.ifZero(RAX, () => c.pop(RBX))
  }
  refused(t, 'popped in another order', swapped, /pop\(rbx\), but r14 was pushed last/)
  refused(t, 'popped from an empty stack', c => c.pop(RBX), /the stack is empty/)
  refused(t, 'pushed in a loop', c => c.loop(RAX, 1, () => c.push(RBX)), /leaves the stack changed/)
  refused(t, 'popped in a branch', poppedInBranch, /leaves the stack changed/)
})

t.test('the flags between a comparison and its jump', async t => {
  const changing: readonly ((code: Assembler) => void)[] = [
    c => c.add(RAX, 1),
    c => c.add(RAX, RCX),
    c => c.clear(RAX),
    c => c.imul(RAX, RCX, 2),
    c => c.multiply(RAX, RCX),
    c => c.popcnt(RAX, RCX),
    c => c.tzcnt(RAX, RCX),
    c => c.blsr(RAX, RCX),
    c => c.loop(RAX, 1, () => {}),
    c => c.unlessZero(RAX, () => {}),
    c => c.ifZero(RAX, () => {}),
    c => c.jumpIfZero(RAX, c.label()),
    c => c.countDown(RAX, 1, c.label()),
  ]
  for (const [i, change] of changing.entries()) {
    const emit = (c: Assembler) =>
      c.eachSetBit(
        R9,
        R11,
        () => {},
        () => change(c),
      )
    refused(t, `change ${i}`, emit, /changes the flags, which the jump at the end of eachSetBit reads/)
  }
  const code = new Assembler()
  code.eachSetBit(
    R9,
    R11,
    () => code.add(RAX, RDX),
    () => {
      code.mov(RAX, at(RDI))
      code.vaddps(zmm(0), zmm(1), at(RDI, 0, R11))
    },
  )
  code.add(RAX, RDX)
  code.ret()
  t.ok(code.finish().length > 0, 'moves and vectors leave the flags alone')
})
