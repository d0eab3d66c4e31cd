/**
 * Runs the `gradloom` program of this process. Main thread. Everything but the streams is in program.ts, which is loaded while a table is
 * read.
 */
import { readAhead } from './read-ahead.js'

// `gradloom ... | head` closes our output early; that is not a failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit()
  // Report the first failure only: a stream that has failed once fails at every write, and the result is lost anyway.
  if (!stdoutFailed) process.stderr.write(`stdout: cannot be written: ${error.message}\n${hintFor(error)}`)
  stdoutFailed = true
})
let stdoutFailed = false
process.on('exit', code => {
  if (stdoutFailed && code === 0) process.exitCode = 1
})
// Ignore failures of stderr: nobody reads the progress any more, or it cannot be kept; training continues.
process.stderr.on('error', () => {})

function hintFor({ code }: NodeJS.ErrnoException): string {
  return code === 'ENOSPC' ? 'hint: free some space on the disk that stdout goes to, or write elsewhere\n' : ''
}

const args = process.argv.slice(2)
const stopReading = await readAhead(args, process.env)
try {
  const { runCli } = await import('./program.js')
  await runCli(args)
} finally {
  await stopReading?.()
}
