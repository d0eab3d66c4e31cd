#!/usr/bin/env node
/** The `gradloom` program. Main thread. Everything but the streams is in program.ts. */
import { runCli } from './program.js'

// `gradloom ... | head` closes our output early, which is the reader's right and no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit()
})
// Nobody reads the progress any more; the training goes on.
process.stderr.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})

await runCli(process.argv.slice(2))
