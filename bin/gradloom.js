#!/usr/bin/env node
/** What npx and npm link to as `gradloom`. It is there before the build, so that a link made too early comes right. */
import { existsSync } from 'node:fs'
import * as modules from 'node:module'

// Node.js from 22.8 on keeps compiled code for the next command, which starts 60 ms sooner. NODE_DISABLE_COMPILE_CACHE=1 turns it off.
modules.enableCompileCache?.()

const main = new URL('../dist/src/cli/main.js', import.meta.url)
if (existsSync(main)) {
  await import(main.href)
} else {
  process.stderr.write('gradloom: dist is missing, expected the built program\nhint: npm ci, or npm run build\n')
  process.exitCode = 1
}
