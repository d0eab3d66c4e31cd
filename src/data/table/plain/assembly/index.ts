/**
 * The WebAssembly module of tables: parses text, unpacks Snappy, takes the facts of columns, packs them, splits rows. Compiled by
 * scripts/build-wasm.mjs; each thread of a scan instantiates it over memory of its own (plain/scan-module.ts). Pointers are bytes of
 * that memory.
 */
export { parse } from './parse'
export { look, absorb, take, count_nan } from './facts'
export { pack } from './pack'
export { unsnap } from './snappy'
export { count_labels, divide } from './split'
export { encode_numbers } from './encode'
