/**
 * Machine code that makes a list of calls: it copies the arguments of each to the argument block and calls the kernel. JavaScript then
 * makes one call for all of them, and computes no arguments. Pure; any thread.
 *
 * Test: node dist/test/kernels/x64/call-list.test.js
 */
import { at, R12, RBX, RDI, zmm } from './assembler.js'
import { ARGUMENTS_AT, begin, type Loadable } from './calling-convention.js'
import { count, read, signature } from './signature.js'

/** An entry is a cache line: 14 arguments, then the address of the kernel. */
export const ENTRY_BYTES = 64
export const ENTRY_ARGUMENTS = 14
export const ENTRY_ADDRESS_AT = 4 * ENTRY_ARGUMENTS

export const CALL_LIST = signature(
  'call_list',
  read('list', ({ calls }) => calls * ENTRY_BYTES, { space: 'block', aligned: ENTRY_BYTES }),
  count('calls'),
)

/** Returns what the last call returns. The address lands among the arguments too, behind those that a kernel of a list has. */
export function callList(): Loadable {
  const { code, load } = begin(CALL_LIST)
  const kept = [RBX, R12]
  const [entry, left] = kept
  code.push(...kept)
  load(entry, 'list')
  load(left, 'calls')
  code.loop(left, 1, () => {
    code.vmovups(zmm(0), at(entry))
    code.vmovups(at(RDI, ARGUMENTS_AT), zmm(0))
    code.call(at(entry, ENTRY_ADDRESS_AT))
    code.add(entry, ENTRY_BYTES)
  })
  code.pop(...kept)
  code.ret()
  return { signature: CALL_LIST, code }
}
