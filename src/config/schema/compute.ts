/** The section `compute`: threads, backend, precision. Types and data only; any thread. */
import * as z from 'zod'
import { count, help } from './fields.js'

export const compute = z
  .strictObject({
    workers: z
      .union([z.literal('auto'), z.int().min(1).max(256)])
      .default('auto')
      .meta(
        help(
          'Worker threads. `auto`: as many as this machine can use, or one where a trial finds that faster; bits do not depend on it.',
        ),
      ),
    backend: z
      .enum(['auto', 'reference', 'wasm', 'blas', 'onednn'])
      .default('auto')
      .meta(
        help(
          'Implementation of the kernels. `wasm` works everywhere and gives the same bits on every machine. `blas` and `onednn` multiply in ' +
            'a native library; bits depend on it and on the CPU. `reference` is slow, simple and exact. `auto`: the ' +
            'fastest for this network here, by a short trial that is remembered; `--backend wasm` or another name pins it.',
        ),
      ),
    library: z
      .string()
      .min(1)
      .nullable()
      .default(null)
      .meta(
        help(
          'The library of `blas` or `onednn`: a file, relative to the experiment file, or without a slash a name for ' +
            'the dynamic linker. null: `GRADLOOM_BLAS` or `GRADLOOM_ONEDNN`, else the usual ones.',
        ),
      ),
    precision: z
      .enum(['f32', 'bf16', 'auto'])
      .default('f32')
      .meta(
        help(
          'Number type of matrix products. `bf16` needs `onednn` and a CPU with AMX or AVX512-BF16. `auto`: bf16 ' +
            'where it works and a trial finds it faster, else f32.',
        ),
      ),
    allReduce: z
      .enum(['fused', 'buffers'])
      .default('fused')
      .meta(
        help(
          'How gradients of the shards are summed. `fused`: tile by tile, the same bits for any number of workers. ' +
            '`buffers`: one gradient buffer per worker; bits depend on the number of workers.',
        ),
      ),
    shardRows: z
      .union([z.literal('auto'), count()])
      .default('auto')
      .meta(help('Rows of a mini-batch that a worker takes at a time. `auto`: by the size of the network.')),
    gradientGroups: z
      .union([z.null(), z.int().min(1).max(256)])
      .default(null)
      .meta(
        help(
          'Number of groups of rows whose gradients of dense layers are summed apart, then added in a fixed order. It lets several machines ' +
            'exchange sums of gradients where these are smaller than the rows, as with large mini-batches: a multiple of their number. Bits ' +
            'depend on it, not on the machines. null: sums over all rows in their order.',
        ),
      ),
    machines: z
      .enum(['auto', 'off', 'mpi'])
      .default('auto')
      .meta(
        help(
          'Whether the processes that a launcher of MPI started train one run together, with the bits of one process. `auto`: if there are ' +
            'several; `mpi`: and it is an error if there are not; `off`: never.',
        ),
      ),
    machinesTimeout: z
      .number()
      .min(1)
      .max(3600)
      .default(8)
      .meta(
        help(
          'Seconds after which a process of such a run, or a host, that has given no sign of life ends the run; all have as long, and at least 5 s, to start MPI.',
        ),
      ),
    maxRestarts: z.int().min(0).default(3).meta(help('How often failed workers are replaced before the run fails.')),
  })
  .prefault({})
  .meta({ title: 'Compute', description: 'Threads, kernels and precision.' })
